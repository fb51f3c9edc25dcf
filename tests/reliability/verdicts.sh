#!/usr/bin/env bash
# deploy/reliability.sh tells what passed, what failed and what could not be measured: run with a
# build of stand-ins that say what programs say. verdicts.sh SCRIPT CMAKE.
set -euo pipefail
script=$1
cmake=$2
work=$(mktemp -d)
burners=()
leave() {
    if [ ${#burners[@]} -gt 0 ]; then kill "${burners[@]}" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap leave EXIT
fail() {
    echo "FAILED: $*"
    cat "$work/output"
    exit 1
}

# stand_in PROGRAM CODE TEXT: says the text, ends with the code.
stand_in() {
    mkdir -p "$work/$(dirname "$1")"
    printf '#!/bin/sh\ncat <<"END"\n%s\nEND\nexit %d\n' "$3" "$2" >"$work/$1"
    chmod +x "$work/$1"
}
# expect CODE WORD...: the script with these words ends with that code.
expect() {
    local wanted=$1 code=0
    shift
    "$script" --build "$work" "$@" >"$work/output" 2>&1 || code=$?
    [ $code = "$wanted" ] || fail "$* ended with $code instead of $wanted"
}
says() { grep -q -e "$1" "$work/output" || fail "it does not say \"$1\""; }

# ---- words ----
expect 2 --only nothing
says 'there is no "nothing"; there are: hangtest'
expect 2 --minutes 0
says -- '--minutes needs a number'
expect 2 --sometimes
expect 0 --help
says 'Exit code: 0'

# ---- what passes, with its figures ----
stand_in bin/sluice 0 '{"operations": 1234567, "over_30s": 0, "doubled": 0, "missing": 0,
"left_in_broker": {"handles": 0, "operations": 3, "zombies": 0}, "passed": true}'
stand_in tests/integration/integration 0 'round  1: so and so
figure: p99 of a null RPC: 1.50 times'
expect 0 --only hangtest --only client-killed
says '^hangtest  *10 x 100,000 pipes  *1,234,567 operations'
says '3 *0 calls\|3 *or missing\|left 0 handles, 3'
says 'p99 of a null RPC: 1.50'
if grep -q 'short run' "$work/output"; then fail 'it was no short run'; fi
[ "$(grep -c ' passed' "$work/output")" = 2 ] || fail 'not both passed'

# ---- the figures of chaos: the survivors' slope, which is the second ----
stand_in tests/chaos/chaos 0 '{"hangs": 0, "wrong": 0, "leaks": 0, "crashes": 0,
"calls_ratio": 0.81, "bytes_ratio": 0.92, "broker": {"growth_bytes_per_minute": 1},
"survivor": {"growth_bytes_per_minute": 77}, "deeds": {"KILL_CLIENT": 8, "KILL_BROKER": 2}}'
expect 0 --only chaos
says '1,800 s, 8 clients'
says '77 bytes a minute'

# ---- what a program printed and did not judge ----
stand_in tests/integration/integration 0 'figure: p99 of a null RPC: 9.50 times
bound: 2.0 times; judged here at 2.0: not judged (Wine or a sanitizer)'
expect 0 --only flood
says '^flood .* passed (p99 not'

# ---- a smaller size is told ----
expect 0 --only hangtest --minutes 1
says '^hangtest  *10 x [0-9,]* pipes .* passed (short'
says 'short run: the pass mark is for the full size'

# ---- as JSON, and nothing else on standard output ----
"$script" --build "$work" --only hangtest --json >"$work/json" 2>"$work/output"
cat >"$work/check.cmake" <<'END'
file(READ "${FILE}" text)
string(JSON name GET "${text}" rows 0 name)
string(JSON result GET "${text}" rows 0 result)
string(JSON full GET "${text}" rows 0 is_full_size)
if(NOT "${name} ${result} ${full}" STREQUAL "hangtest passed ON")
    message(FATAL_ERROR "${name} ${result} ${full}")
endif()
END
"$cmake" -DFILE="$work/json" -P "$work/check.cmake" || fail 'the JSON is not right'

# ---- what fails, also beside what passes ----
stand_in tests/integration/integration 0 'figure: p99 of a null RPC: 1.50 times'
stand_in bin/sluice 1 '{"operations": 5, "over_30s": 1}'
expect 1 --only hangtest --only client-killed
says '^hangtest .* FAILED'
says '^client-killed .* passed'

# ---- a program that says that it cannot run here; nothing was measured ----
stand_in tests/integration/integration 77 'skipped: no such thing on this system'
expect 1 --only broker-killed
says '^broker-killed .* not measurable'
says 'no such thing'

# ---- a figure of time on a machine that does other things: no failure; no excuse for others ----
for ((i = 0; i < $(nproc); i++)); do
    while :; do :; done &
    burners+=($!)
done
stand_in tests/integration/integration 1 'figure: p99 of a null RPC: 9.00 times
bound: 2.0 times; judged here at 2.0: P99 MISSED'
stand_in tests/broker/broker_sessions_test 0 '100 sessions, 1000000 guesses'
expect 0 --only flood --only guesses
says '^flood .* not measurable'
says 'busy with other'
stand_in tests/integration/integration 1 'figure: p99 of a null RPC: 1.00 times
case_flood.c:1: it crashed'
expect 1 --only flood --only guesses
says '^flood .* FAILED'
echo "all verdicts are told"
