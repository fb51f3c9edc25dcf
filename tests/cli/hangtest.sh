#!/bin/sh
# hangtest that does not come to its end, on Linux: hangtest.sh CASE SLUICE SLUICED
#   lost        its broker is killed: that is said, and is no finding; exit code 3
#   interrupt   Ctrl-C: the figures until then, marked as such; exit code 5
set -eu
case=$1 sluice=$2 sluiced=$3
work=$(mktemp -d)
broker='' test=''
clean() {
    [ -z "$broker" ] || kill -9 "$broker" 2>/dev/null || true
    [ -z "$test" ] || kill -9 "$test" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

fail() {
    cat "$work/out" "$work/err" 2>/dev/null || true
    echo "cli.hangtest_$case: $*"
    exit 1
}

# at_work ARGUMENT...: a hangtest in the background that has come past its warm-up
at_work() {
    "$sluice" hangtest --endpoint "$work/e" --workers 2 --iterations 100000000 "$@" \
        >"$work/out" 2>"$work/err" &
    test=$!
    before=$(started)
    until [ "$(started)" -gt $((before + 5000)) ]; do
        kill -0 "$test" 2>/dev/null || fail "it has ended by itself"
    done
}

started() {
    "$sluice" status --endpoint "$work/e" --json |
        sed -n 's/.*"operations_started": \([0-9]*\).*/\1/p'
}

# ends CODE
ends() {
    got=0
    wait "$test" || got=$?
    test=''
    [ "$got" -eq "$1" ] || fail "exit code $got, not $1"
}

# says TEXT: a line of its report
says() {
    grep -q "$1" "$work/out" || fail "it does not say: $1"
}

mkfifo "$work/log"
"$sluiced" run --endpoint "$work/e" 2>"$work/log" &
broker=$!
exec 3<"$work/log"
while IFS= read -r line <&3; do
    case $line in *listening*) break ;; esac
done
case $case in
lost)
    at_work
    kill -9 "$broker"
    ends 3
    says "^unexplained outcomes (must be 0)  *0$"
    says "^  cut short by the broker's loss  *[1-9]"
    says "^left in the broker: NOT KNOWN, it was lost$"
    says "^BROKER LOST: it ended before the test did\.$"
    says "^Nothing was wrong until then\.$"
    ;;
interrupt)
    for signal in INT TERM; do
        at_work
        kill -"$signal" "$test"
        ends 5
        says "^iterations  *[1-9]"
        says "^  operations  *0$" # left in the broker
        says "^INTERRUPTED: these are the figures until then\.$"
        says "^Nothing was wrong until then\.$"
    done
    at_work --json
    kill -INT "$test"
    ends 5
    says '^  "interrupted": true,$'
    says '^  "broker_lost": false,$'
    says '^  "passed": false$'
    ;;
*) fail "no such case" ;;
esac
