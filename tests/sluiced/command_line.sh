#!/bin/sh
# What sluiced says to a wrong command line or configuration: command_line.sh [EMULATOR] SLUICED
# One line on standard error, and the exit code of broker/options.h.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program="$*"
failures=0
case $program in
*.exe) platform=windows name="x-$$" ;;
*) platform=linux name="$work/x" ;; # a name is relative to nothing there, a path here
esac
long_name=$(printf '%0250d' 0) # a socket's path and a pipe's name end before it

# expect CODE WHAT ARGUMENT...: exit code and a part of the one line
expect() {
    code=$1 what=$2
    shift 2
    got=0
    # shellcheck disable=SC2086 # the emulator and the program are words
    timeout 60 $program "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    tr -d '\r' <"$work/err" >"$work/line"
    if [ "$got" -ne "$code" ]; then
        echo "sluiced $*: exit code $got, not $code"
        cat "$work/line"
        failures=$((failures + 1))
    elif [ "$code" -ne 0 ] && { [ "$(wc -l <"$work/line")" -ne 1 ] ||
        ! grep -qF -- "$what" "$work/line"; }; then
        echo "sluiced $*: wanted one line with: $what; got:"
        cat "$work/line"
        failures=$((failures + 1))
    elif [ "$code" -eq 0 ] && ! grep -qF -- "$what" "$work/out"; then
        echo "sluiced $*: wanted on standard output: $what"
        failures=$((failures + 1))
    fi
}

config() {
    printf "$1" >"$work/c.conf"
}

cd "$work" # paths relative to here are the same for Wine
expect 0 "sluiced 0." --version
expect 0 "close_grace_ns" --help
if [ -e /dev/full ]; then
    for word in --help --version; do
        got=0
        # shellcheck disable=SC2086 # the emulator and the program are words
        timeout 60 $program $word >/dev/full 2>"$work/err" </dev/null || got=$?
        [ "$got" -eq 1 ] && grep -q "not all of the output could be written" "$work/err" ||
            { echo "sluiced $word >/dev/full: exit code $got"; failures=$((failures + 1)); }
    done
fi
expect 0 "sluiced service install --allow" service --help
expect 0 "sluiced service install --allow" service start --help
expect 2 "a command is missing"
expect 2 "want run, service, --version or --help, not walk (see" walk
expect 2 "want run, service, --version or --help, not --walk (see" --walk
expect 2 "unexpected word twice" run twice
expect 2 "a value is missing after --workers" run --workers
expect 2 "an empty value for --workers" run --workers=
expect 2 "given twice: --config" run --config a --config b
expect 2 "this command has no option --name" run --name x
expect 2 "this command has no option --workers" service status --workers 2
expect 2 "service wants install" service
expect 2 "service wants install, uninstall, start, stop or status, not walk (see" service walk
expect 2 "--name wants 1 to 64" service status --name "a b"
expect 2 "--limit wants NAME=VALUE" run --limit handles
expect 2 "there is no limit colours" run --limit colours=1
expect 2 "is not a log level: error, warn" run --log-level loud
expect 2 "is not an engine of this program; it has: " run --engine steam
expect 2 "sluiced: --workers: \"many\" is not a whole number" run --workers many
expect 2 "unknown option --colour (see" run --colour red
expect 2 "unknown option --log_level; did you mean --log-level?" run --log_level debug
expect 2 "unknown option --wrokers; did you mean --workers?" run --wrokers 2
expect 2 "unknown option --work (see" run --work 2
expect 2 "there is no limit handels; did you mean handles?" run --limit handels=1
expect 2 "there is no limit user-sessions; did you mean user_sessions?" run --limit user-sessions=1
expect 2 "sluiced: --workers: 65 is out of range" run --workers 65
expect 2 "--limit: handles: 1 is out of range" run --limit handles=1
expect 2 "unresponsive_ns: must be at least twice" run --limit ping_interval=50s
expect 2 "service install wants --allow" service install
expect 2 "nobody: no process can be watched by that: give its id, or, inherited, handle:N (Win" \
    run --endpoint "$name" --private-for nobody
expect 2 "77:5: no process can be watched by that" run --endpoint "$name" --private-for 77:5
expect 4 "cannot read none.conf" run --config none.conf
expect 4 "cannot read ." run --config .
config 'workers = 1\ncolour = red\n'
expect 4 "c.conf:2: there is no setting \"colour\"" run --config c.conf
config 'workers = 1\nlog-level = debug\n'
expect 4 "c.conf:2: there is no setting \"log-level\"; did you mean log_level?" run --config c.conf
config 'user_memory_byte = 1GiB\n'
expect 4 "c.conf:1: there is no setting \"user_memory_byte\"; did you mean user_memory_bytes?" \
    run --config c.conf
config 'user_memory = 1KiB\n'
expect 4 "c.conf:1: user_memory: 1KiB is out of range: 1 MiB to" run --config c.conf
config 'close_grace = 5\n'
expect 4 "c.conf:1: close_grace: \"5\" is not a time" run --config c.conf
config 'workers = 1\n\n# x\nworkers = 2\n'
expect 4 "c.conf:4: workers: set already in line 1" run --config c.conf
config 'workers\n'
expect 4 "c.conf:1: want: name = value" run --config c.conf
config 'workers =\n'
expect 4 "c.conf:1: workers: the value is missing" run --config c.conf
config 'workers = 1\033\n'
expect 4 "c.conf:1: a control character" run --config c.conf
config 'ping_interval = 50s\n'
expect 4 "c.conf: unresponsive_ns: must be" run --config c.conf
expect 2 "sluiced: --allow: there is no user or group \"nobody of this name\"" \
    run --endpoint "$name" --allow "nobody of this name"
config 'allow_as_root = perhaps\n'
expect 4 "c.conf:1: allow_as_root: " run --config c.conf
expect 2 "no value belongs to --allow-as-root" run --allow-as-root=yes
expect 2 "allow_as_root without allow: nobody else may connect" \
    run --endpoint "$name" --allow-as-root
config 'allow_as_root = yes\n'
expect 4 "allow_as_root without allow: nobody else may connect" run --config c.conf
expect 2 "--life-line belongs to --private-for" run --endpoint "$name" --life-line fd:3:1
config 'endpoint = x\nallow = nobody of this name\n'
expect 4 "c.conf:2: allow: there is no user or group" run --config c.conf
expect 9 "cannot open the log file none/log: " run --endpoint "$name" --log-file none/log
expect 9 "cannot open the log file .: " run --endpoint "$name" --log-file .
echo victim >victim
ln victim second
expect 9 "cannot open the log file second: it has a second name" run --log-file second
[ "$(cat victim)" = victim ] || { echo "it wrote to another file"; failures=$((failures + 1)); }
rm victim second
config 'log_file = none/log\n'
expect 9 "cannot open the log file none/log: " run --endpoint "$name" --config c.conf
expect 2 "this command has no option --log-file" service status --log-file x
head -c 1100000 /dev/zero >c.conf
expect 4 "cannot read c.conf: " run --config c.conf
case $platform in
windows)
    expect 5 "endpoint: run/x looks like a path; on Windows it is the name of a pipe" \
        run --endpoint run/x
    expect 5 "endpoint: longer than Windows allows, ${#long_name} characters instead of at most" \
        run --endpoint "$long_name"
    expect 5 'endpoint: a pipe of another machine, or no pipe' run --endpoint '\\server\pipe\x'
    for nothing in .. ' . ' '\\.\pipe\' '\\?\PIPE\ '; do
        expect 5 "endpoint: nothing is left of the pipe's name without its dots and blanks" \
            run --endpoint "$nothing"
    done
    expect 5 'endpoint: ".." is no part of a pipe'"'s name" run --endpoint 'x\..\y'
    # Wine lets everybody read everything, and two servers have one name: see docs/testing.md.
    expect 8 "service run is for the service manager" service run
    ;;
linux)
    expect 5 "0: 251 bytes long, and an endpoint's path has at most 106" \
        run --endpoint "/$long_name"
    expect 5 "0: 107 bytes long, and an endpoint's path has at most 106" \
        run --endpoint "/$(printf '%0106d' 0)"
    mkdir deep
    export XDG_RUNTIME_DIR="/$long_name"
    expect 5 "too long for an endpoint in it" run
    export XDG_RUNTIME_DIR="$work/none"
    expect 5 "$work/none/sluice: No such file or directory; give XDG_RUNTIME_DIR or" run
    unset XDG_RUNTIME_DIR
    expect 5 "endpoint: $work/deep is a folder; name a socket, which is made there" \
        run --endpoint "$work/deep"
    for relative in x ./x none/e; do
        expect 5 "endpoint: $relative is a relative path; give one that begins with /" \
            run --endpoint $relative
    done
    config 'endpoint = x\n'
    expect 5 "endpoint: x is a relative path" run --config c.conf
    expect 2 "sluiced: --allow: wants an endpoint" run --allow everyone
    config 'workers = 1\nallow = everyone\n'
    expect 4 "c.conf:2: allow: wants an endpoint" run --config c.conf
    expect 5 "cannot listen on $work/none/e: the folder that it" run --endpoint "$work/none/e"
    expect 5 "cannot listen on /proc/x: nothing can be made in the folder" run --endpoint /proc/x
    : >file
    expect 5 "endpoint: $work/file is a file; name a socket" run --endpoint "$work/file"
    [ -f file ] || { echo "a file at the endpoint was removed"; failures=$((failures + 1)); }
    expect 4 "cannot read ?[31m?x.conf: " run --config "$(printf '\033[31m\342\200\256x.conf')"
    expect 2 "unknown option --??[2J (see" run "$(printf -- '--\n\033[2J')"
    mkfifo fifo
    expect 5 "endpoint: $work/fifo is a FIFO; name a socket" run --endpoint "$work/fifo"
    ln -s "$work/deep/x" link
    expect 5 "endpoint: $work/link is a symbolic link; name a socket" run --endpoint "$work/link"
    expect 4 "cannot read fifo: this is no file" run --config fifo
    expect 9 "cannot open the log file fifo: this is no file" run --log-file fifo
    expect 5 "cannot listen on $work/none/e" run --endpoint "$work/none/e" --log-file log
    diff "$work/line" log || { echo "not the same in the log file"; failures=$((failures + 1)); }
    expect 8 "use systemd" service run
    expect 8 "use systemd" service install --allow everyone
    ;;
esac
[ "$failures" -eq 0 ]
