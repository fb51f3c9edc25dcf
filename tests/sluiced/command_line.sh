#!/bin/sh
# What sluiced says to a wrong command line or configuration: command_line.sh [EMULATOR] SLUICED
# One line on standard error, and the exit code of broker/options.h.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program="$*"
failures=0

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
expect 2 "a command is missing"
expect 2 "unknown option --colour" run --colour red
expect 2 "--workers: workers: 65 is out of range" run --workers 65
expect 2 "--limit: handles: 1 is out of range" run --limit handles=1
expect 2 "unresponsive_ns: must be at least twice" run --limit ping_interval=50s
expect 2 "service install wants --allow" service install
expect 2 "no process can be watched" run --endpoint "x-$$" --private-for nobody
expect 4 "cannot read none.conf" run --config none.conf
expect 4 "cannot read ." run --config .
config 'workers = 1\ncolour = red\n'
expect 4 "c.conf:2: there is no setting \"colour\"" run --config c.conf
config 'close_grace = 5\n'
expect 4 "c.conf:1: close_grace: \"5\" is not a time" run --config c.conf
config 'ping_interval = 50s\n'
expect 4 "c.conf: unresponsive_ns: must be" run --config c.conf
expect 4 "allow: there is no user or group" run --endpoint "x-$$" --allow "nobody of this name"
[ "$failures" -eq 0 ]
