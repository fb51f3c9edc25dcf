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
starved)
    # Too few descriptors, in every place where the start-up may meet it: a clear line, and 1 or 6.
    codes=''
    for limit in 6 7 8 9 10 11 12 16 24 48 96; do
        got=0
        (ulimit -n "$limit" && exec "$program" run --workers 64 --endpoint "$work/e") \
            2>"$work/err" 3<&- || got=$?
        echo "$limit descriptors: $got: $(cat "$work/err")"
        [ "$(wc -l <"$work/err")" -eq 1 ] || fail "not one line"
        case $got in
        1) grep -q "cannot start the .*: .*no more descriptors" "$work/err" || fail "not clear" ;;
        6) grep -q "cannot start at $work/e: .*no more descriptors" "$work/err" ||
            fail "not clear" ;;
        *) fail "exit code $got, neither 1 nor 6" ;;
        esac
        codes="$codes $got"
        [ ! -e "$work/e" ] || fail "the socket is left behind"
    done
    case $codes in *1*6*) ;; *) fail "not both codes: $codes" ;; esac
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
    start --endpoint "$work/e" --allow "uid 4001" --allow "gid 4002" --allow daemon
    until_line listening
    as 4001 4003 4003 ok
    as 4003 4002 4002 ok # his first group
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
    grep -q "$work/e" "$work/err" || fail "the line does not name the endpoint"
    now
    kill -TERM "$pid"
    ends 0 3
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
*) fail "no such case" ;;
esac
