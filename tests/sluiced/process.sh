#!/bin/sh
# One behaviour of a running sluiced on Linux: process.sh CASE SLUICED
# The log comes through a FIFO; reading it until a line has come is how this script waits.
set -eu
case=$1 program=$2
work=$(mktemp -d)
pid='' other=''
clean() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    [ -z "$other" ] || kill -9 "$other" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
mkfifo "$work/log"

fail() {
    echo "sluiced.$case: $*"
    exit 1
}

# start ARGUMENT...: in the background, log on descriptor 3
start() {
    "$program" run "$@" 2>"$work/log" &
    pid=$!
    exec 3<"$work/log"
}

# until_line TEXT: reads the log up to a line with TEXT
until_line() {
    while IFS= read -r line <&3; do
        echo "$line"
        case $line in *"$1"*) return 0 ;; esac
    done
    fail "the log ended without: $1"
}

# ends CODE SECONDS: it ends with that code, in that time since $since
ends() {
    cat <&3 # until it closes its end
    got=0
    wait "$pid" || got=$?
    pid=''
    [ "$got" -eq "$1" ] || fail "exit code $got, not $1"
    took=$(($(date +%s%N) / 1000000 - since))
    echo "took $took ms"
    [ "$took" -le $(($2 * 1000)) ] || fail "took $took ms, more than $2 s"
}

now() {
    since=$(($(date +%s%N) / 1000000))
}

# A process to be the client: it waits for a FIFO that nobody opens.
client() {
    mkfifo "$work/never"
    cat "$work/never" >/dev/null 3<&- &
    other=$!
}

# as UID GID GROUPS WHAT: `sluice status` of that user must succeed, or fail with WHAT
as() {
    code=0
    setpriv --reuid "$1" --regid "$2" --groups "$3" "$cli" status --endpoint "$work/e" \
        --broker-user "uid 0" >"$work/out" 2>&1 3<&- || code=$?
    cat "$work/out"
    if [ "$4" = ok ]; then
        [ "$code" -eq 0 ] || fail "uid $1, gid $2, groups $3: exit code $code"
        grep -q "You are uid $1 to it, and see your own" "$work/out" || fail "not as uid $1"
    else
        [ "$code" -ne 0 ] || fail "uid $1, gid $2, groups $3 was let in"
        grep -q "$4" "$work/out" || fail "no word of $4"
    fi
}

# serves: whether a client is greeted at $work/e before the program has ended, in 30 s at most.
serves() {
    until=$(($(date +%s) + 30))
    while ! "$cli" status --endpoint "$work/e" >"$work/status" 2>&1; do
        kill -0 "$pid" 2>/dev/null && [ "$(date +%s)" -lt "$until" ] || return 1
    done
}

# starve LIMIT WORKERS: with so many descriptors it must serve, or refuse with a clear line; which
# of these, in $outcome. With 4, less what is inherited, the system's loader opens no library, and
# the program never begins.
starve() {
    (ulimit -n "$1" && exec "$program" run --workers "$2" --endpoint "$work/e") 2>"$work/err" &
    pid=$!
    outcome=refuses
    if serves; then
        outcome=serves
        kill -TERM "$pid" # without a word, if it has ended
    fi
    got=0
    wait "$pid" || got=$?
    pid=''
    echo "$1 descriptors: $outcome, exit code $got: $(head -n 1 "$work/err")"
    [ ! -e "$work/e" ] || fail "the socket is left behind"
    case $outcome$got in
    serves0) ;;
    refuses127)
        [ "$1" -lt 12 ] && grep -q "error while loading shared libraries" "$work/err" ||
            fail "it did not begin"
        ;;
    refuses6)
        [ "$(wc -l <"$work/err")" -eq 1 ] || fail "not one line"
        grep -q "too few descriptors: with .* it needs .*, and may have $1[ ,]" "$work/err" ||
            fail "not clear"
        ;;
    *) fail "$outcome, exit code $got" ;;
    esac
}

now
case $case in
log_file)
    echo "what was there" >"$work/file"
    "$program" run --endpoint "$work/e" --log-file "$work/file" 2>"$work/err" &
    pid=$!
    tail -n +1 -F "$work/file" >"$work/log" 2>/dev/null &
    other=$!
    exec 3<"$work/log"
    until_line "what was there"
    until_line listening
    ls -l "/proc/$pid/fd" | grep -q "$work/file" || fail "the log file is not open"
    got=0
    "$program" run --endpoint "$work/e" --log-file "$work/file" 2>"$work/second" 3<&- || got=$?
    [ "$got" -eq 5 ] || fail "the second broker: exit code $got, not 5"
    until_line "cannot listen on $work/e" # both write at the end of the same file
    now
    kill -TERM "$pid"
    until_line "stopped"
    kill "$other"
    other=''
    ends 0 3
    [ ! -s "$work/err" ] || fail "something went to standard error, too"
    ;;
log_links)
    # Links of root and of this user are followed, those of others nowhere on the way; nor is a file
    # of somebody else taken.
    mkdir "$work/own" "$work/theirs"
    ln -s "$work/own" "$work/way"
    ln -s ../own/log "$work/own/link"
    got=0
    "$program" run --endpoint "$work/none/e" --log-file "$work/way/link" 2>"$work/err" || got=$?
    [ "$got" -eq 5 ] || fail "its own links: exit code $got, not 5: $(cat "$work/err")"
    [ -s "$work/own/log" ] || fail "the log is not where its own links lead"
    refuse() {
        got=0
        timeout 30 "$program" run --endpoint "$work/e" --log-file "$1" 2>"$work/err" || got=$?
        cat "$work/err"
        [ "$got" -eq 9 ] || fail "$1: exit code $got, not 9"
        grep -q "cannot open the log file $1: .*$2" "$work/err" || fail "$1: not for that reason"
    }
    ln -s loop "$work/loop"
    refuse "$work/loop" "symbolic links"
    refuse "$work/own/log/x" "Not a directory"
    refuse "$work/own/" "directory"
    if [ "$(id -u)" -eq 0 ]; then
        echo mine >"$work/victim"
        chown 4001 "$work/theirs"
        ln -s "$work/victim" "$work/theirs/link"
        ln -s "$work/own" "$work/theirs/way"
        chown -h 4001 "$work/theirs/link" "$work/theirs/way"
        : >"$work/theirs/file"
        chown 4001 "$work/theirs/file"
        refuse "$work/theirs/link" "a symbolic link on the way belongs to somebody else"
        refuse "$work/theirs/way/log" "a symbolic link on the way belongs to somebody else"
        refuse "$work/theirs/file" "it belongs to somebody else"
        [ "$(cat "$work/victim")" = mine ] || fail "it wrote where somebody else's link leads"
    fi
    ;;
starved)
    # Whatever the limit is: it serves, or it says what it needs and ends with 6.
    cli=$3
    outcomes=''
    for limit in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 \
        30 31 32 33 34 35 36 37 38 39 40 48 56 64; do
        starve "$limit" 1
        outcomes="$outcomes $outcome"
    done
    echo "limits 0 to 64:$outcomes"
    case $outcomes in *refuses*serves*) ;; *) fail "not both" ;; esac
    case $outcomes in *serves*refuses*) fail "more descriptors are worse" ;; esac
    starve 96 64
    [ "$outcome" = refuses ] || fail "64 workers serve with 96 descriptors"
    grep -q "with 64 workers it needs 288, and may have 96[ ,].*fewer --workers" "$work/err" ||
        fail "not clear"
    # What it inherits counts.
    bash -c 'i=10; while [ $i -lt 50 ]; do eval "exec $i</dev/null"; i=$((i + 1)); done
        ulimit -n 64; exec "$0" "$@"' "$program" run --workers 1 --endpoint "$work/e" \
        2>"$work/err" && fail "it serves with what is left" || got=$?
    cat "$work/err"
    [ "$got" -eq 6 ] || fail "exit code $got, not 6"
    grep -Eq "needs 36, and may have 64, 4[0-9] of them taken when it was started" "$work/err" ||
        fail "not clear"
    # Also when the limit is large; what lies above a limit that was lowered takes nothing of it.
    if [ "$(ulimit -H -n)" = unlimited ] || [ "$(ulimit -H -n)" -ge 6000 ]; then
        for limit in 5000 4900; do
            bash -c 'ulimit -n 6000; i=20; while [ $i -lt 4990 ]; do
                eval "exec $i</dev/null"; i=$((i + 1)); done
                ulimit -n $0; exec "$@"' $limit "$program" run --workers 1 --endpoint "$work/e" \
                2>"$work/err" && fail "it serves with what is left of $limit" || got=$?
            cat "$work/err"
            [ "$got" -eq 6 ] || fail "exit code $got, not 6"
            grep -Eq "may have (5000, 49[78]|4900, 48[89]). of them taken" "$work/err" ||
                fail "not clear"
        done
    fi
    ;;
streams)
    # Started with any of the standard streams closed: nothing comes in their place but /dev/null.
    cli=$3
    for closed in '0<&-' '1>&-' '2>&-' '0<&- 1>&-' '0<&- 2>&-' '1>&- 2>&-' '0<&- 1>&- 2>&-'; do
        echo "== $closed"
        : >"$work/err"
        eval '"$program" run --endpoint "$work/e" --log-level debug --workers 1 \
            <"$work/err" >"$work/out" 2>"$work/err" '"$closed"' &'
        pid=$!
        serves || fail "it does not serve"
        # The tool's own streams are like the broker's.
        got=0
        eval '"$cli" status --endpoint "$work/e" </dev/null >"$work/out" 2>"$work/err2" ' \
            "$closed" || got=$?
        case $closed in *1*) wanted=1 ;; *) wanted=0 ;; esac # nobody gets what it would say
        [ "$got" -eq "$wanted" ] || fail "sluice status: exit code $got, not $wanted"
        : >"$work/out"
        # What it has open, and so what descriptors.h says that it needs.
        ls -l "/proc/$pid/fd" >"$work/fd"
        count=$(($(wc -l <"$work/fd") - 1))
        [ "$count" -le $((24 + 4)) ] || fail "it has $count descriptors open; see descriptors.h"
        for number in 0 1 2; do
            case $closed in
            *$number*) grep -q " $number -> /dev/null\$" "$work/fd" || fail "$(cat "$work/fd")" ;;
            *) grep -q " $number -> $work/" "$work/fd" || fail "$(cat "$work/fd")" ;;
            esac
        done
        kill -TERM "$pid"
        got=0
        wait "$pid" || got=$?
        pid=''
        [ "$got" -eq 0 ] || fail "exit code $got: $(cat "$work/err")"
        case $closed in
        *2*) [ ! -s "$work/err" ] || fail "it wrote to a closed stream" ;;
        *) grep -q stopped "$work/err" || fail "no log: $(cat "$work/err")" ;;
        esac
        [ ! -s "$work/out" ] || fail "the log went to standard output"
        got=0
        eval '"$program" walk </dev/null >"$work/out" 2>"$work/err" '"$closed" || got=$?
        [ "$got" -eq 2 ] || fail "a wrong command: exit code $got"
        got=0
        eval '"$program" --version </dev/null >"$work/out" 2>"$work/err" '"$closed" || got=$?
        case $closed in *1*) wanted=1 ;; *) wanted=0 ;; esac
        [ "$got" -eq "$wanted" ] || fail "--version: exit code $got, not $wanted"
    done
    ;;
stuck)
    # A worker that is held where it is (hold_thread_posix.c), as the system would hold it.
    holder=$3
    "$holder" "sluice worker" "$program" run --endpoint "$work/e" --workers 1 \
        --limit drain_grace=100ms --limit close_grace=100ms 2>"$work/log" &
    pid=$!
    exec 3<"$work/log"
    until_line listening
    kill -USR1 "$pid"
    while IFS= read -r line <&3; do
        echo "$line"
        case $line in
        held) break ;;
        skipped*) exit 77 ;;
        esac
    done
    now
    kill -TERM "$pid"
    until_line "stopped without a thread that does not come back"
    ends 7 15
    ;;
allow)
    cli=$3
    if [ "$(id -u)" -ne 0 ] || ! setpriv --reuid 4001 --regid 4001 --clear-groups test -x "$cli"
    then
        echo "skipped: only root can be another user, who must reach $cli"
        exit 77
    fi
    chmod 0711 "$work"
    got=0 # as root only who insists
    "$program" run --endpoint "$work/e" --allow "uid 4001" 2>"$work/err" || got=$?
    cat "$work/err"
    [ "$got" -eq 2 ] || fail "--allow as root: exit code $got, not 2"
    grep -q -e "--allow: not as root: .*--allow-as-root" "$work/err" || fail "that is not said"
    printf 'workers = 1\nallow = uid 4001\n' >"$work/c"
    got=0
    "$program" run --endpoint "$work/e" --config "$work/c" 2>"$work/err" || got=$?
    [ "$got" -eq 4 ] || fail "allow in a file as root: exit code $got, not 4"
    grep -q "/c:2: not as root" "$work/err" || fail "the file's line is not named"
    printf 'allow = uid 4001\nallow_as_root = yes\n' >"$work/c"
    start --endpoint "$work/e" --config "$work/c"
    until_line listening
    kill -TERM "$pid"
    ends 0 5
    start --endpoint "$work/e" --allow-as-root --allow "uid 4001" --allow "gid 4002" --allow daemon
    until_line listening
    as 4001 4003 4003 ok
    as 4003 4002 4002 ok # its first group
    as 4003 4003 4004,4002 ok # a further one
    as "$(id -u daemon)" 4003 4003 ok
    as 4003 4001 4001 EACCESS # a user's number is no group's
    until_line "client refused"
    case $line in *"uid 4003"*) ;; *) fail "the log does not say who" ;; esac
    kill -TERM "$pid"
    ends 0 5
    start --endpoint "$work/e"
    until_line listening
    as 4001 4001 4001 EACCESS # the socket's mode
    kill -TERM "$pid"
    ends 0 5
    ;;
taken)
    start --endpoint "$work/e"
    until_line listening
    got=0
    "$program" run --endpoint "$work/e" 2>"$work/err" 3<&- || got=$?
    cat "$work/err"
    [ "$got" -eq 5 ] || fail "the second broker: exit code $got, not 5"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "not one line"
    grep -q "listen on $work/e: another process already listens" "$work/err" || fail "not clear"
    grep -q "; .sluice status --endpoint $work/e. asks whether it is a broker; or take another" \
        "$work/err" || fail "what can be done is not said"
    now
    kill -TERM "$pid"
    ends 0 3
    # A socket that another program has left behind is not said to be listened at: without the lock
    # beside it, it is nobody's that we know.
    start --endpoint "$work/f"
    until_line listening
    kill -9 "$pid"
    wait "$pid" || true
    pid=''
    rm "$work/f.lock"
    got=0
    "$program" run --endpoint "$work/f" 2>"$work/err" 3<&- || got=$?
    cat "$work/err"
    [ "$got" -eq 5 ] || fail "at a socket of another program's: exit code $got, not 5"
    grep -q "$work/f: a socket that is not known to be Sluice's lies there, and is left alone" \
        "$work/err" || fail "that is not said"
    [ -S "$work/f" ] || fail "the socket of another program is gone"
    : >"$work/g.lock"
    got=0
    "$program" run --endpoint "$work/g" 2>"$work/err" 3<&- || got=$?
    cat "$work/err"
    [ "$got" -eq 5 ] || fail "beside a lock of another program's: exit code $got, not 5"
    grep -q "a file that is not Sluice's lies where the name's lock would be" "$work/err" ||
        fail "that is not said"
    ;;
stop | interrupt)
    start --endpoint "$work/e" --log-level debug
    until_line listening
    now
    [ "$case" = stop ] && signal=TERM || signal=INT
    kill -"$signal" "$pid"
    until_line stopping
    ends 0 3
    [ ! -S "$work/e" ] || fail "the socket is left behind"
    ;;
nohup)
    # Who started it has it ignore SIGHUP: it goes on, and ends by the next signal.
    trap '' HUP
    start --endpoint "$work/e"
    trap - HUP
    until_line listening
    now
    kill -HUP "$pid"
    kill -TERM "$pid"
    until_line stopping
    case $line in *number=15*) ;; *) fail "it stopped for SIGHUP" ;; esac
    ends 0 3
    ;;
stop_early)
    # Whenever the signal comes, from before main to listening: it ends, by the signal or in order.
    for round in 1 2 3 4 5 6 7 8 9 10; do
        "$program" run --endpoint "$work/e$round" 2>/dev/null &
        pid=$!
        kill -TERM "$pid"
        got=0
        wait "$pid" || got=$?
        [ "$got" -eq 0 ] || [ "$got" -eq 143 ] || fail "exit code $got"
    done
    pid=''
    ;;
private)
    client
    start --endpoint "$work/e" --private-for "$other"
    until_line listening
    now
    kill -9 "$other"
    other=''
    until_line "client of this private broker"
    ends 0 2
    ;;
private_gone)
    client
    kill -9 "$other"
    wait "$other" || true
    start --endpoint "$work/e" --private-for "$other"
    other=''
    ends 0 2
    ;;
directory)
    XDG_RUNTIME_DIR=$work/run
    export XDG_RUNTIME_DIR
    mkdir -p "$work/run"
    start
    until_line listening
    mode=$(stat -c %a "$work/run/sluice")
    [ "$mode" = 700 ] || fail "the directory's mode is $mode"
    [ -S "$work/run/sluice/broker" ] || fail "no socket at the default endpoint"
    now
    kill -TERM "$pid"
    ends 0 3
    chmod 755 "$work/run/sluice"
    got=0
    "$program" run 2>"$work/err" || got=$?
    cat "$work/err"
    [ "$got" -eq 5 ] || fail "a directory that others can enter: exit code $got, not 5"
    grep -q "others can enter $work/run/sluice: chmod it" "$work/err" || fail "that is not said"
    ;;
descriptors)
    hard=$(ulimit -Hn)
    ulimit -Sn 64
    start --endpoint "$work/e"
    until_line listening
    grep -q "^Max open files *$hard " "/proc/$pid/limits" || fail "not raised to $hard"
    # SIGPIPE, number 13, is bit 12 of the mask of ignored signals.
    ignored=$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$pid/status")
    [ $((0x$ignored & 0x1000)) -ne 0 ] || fail "SIGPIPE is not ignored"
    now
    kill -TERM "$pid"
    ends 0 3
    ;;
file_size)
    cli=$3
    # Its first file is the name's lock. What it says goes through a pipe: it may write no file.
    said=$(ulimit -f 0 && { timeout 30 "$program" run --endpoint "$work/e" 2>&1 ||
        echo "exit code $?"; })
    echo "$said"
    case $said in
    *"cannot start at $work/e: the limit of a file's size (ulimit -f) has no room"*"exit code 6") ;;
    *) fail "that is not said, or not with exit code 6" ;;
    esac
    # A log file that has reached the limit costs lines, not the broker.
    (ulimit -f 1 &&
        exec "$program" run --endpoint "$work/e" --log-level debug --log-file "$work/file") &
    pid=$!
    calls=0
    while [ "$calls" -lt 20 ]; do
        serves || fail "it ended, after $calls calls"
        calls=$((calls + 1))
    done
    size=$(stat -c %s "$work/file")
    echo "$size bytes of log"
    [ "$size" -eq 512 ] || [ "$size" -eq 1024 ] || fail "the log did not reach the limit"
    kill -TERM "$pid"
    got=0
    wait "$pid" || got=$?
    pid=''
    [ "$got" -eq 0 ] || fail "exit code $got, not 0"
    ;;
*) fail "no such case" ;;
esac
