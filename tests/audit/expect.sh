#!/bin/sh
# Runs a case of the run-time audit's self-test: expect.sh PROGRAM... CASE
# The case says which kinds of violation it expects ("none" for a right program). Passes when the
# program was caught for these, for no other, and ended with the audit's exit code; or was right
# and ended with 0. The summary must be there, and show that calls were recorded.
set -eu
output=$("$@" 2>&1) && code=0 || code=$?
output=$(printf '%s\n' "$output" | tr -d '\r')
printf '%s\n' "$output"
expected=$(printf '%s\n' "$output" | sed -n 's/^case [^ ]* expects //p')
as_set() {
    LC_ALL=C sort -u | tr '\n' ' '
}
found=$(printf '%s\n' "$output" | sed -n 's/.*sluice-audit: VIOLATION //p' | as_set)
wanted=$(printf '%s\n' "$expected" | tr ' ' '\n' | sed '/^none$/d' | as_set)
fail() {
    echo "expect: FAILED: $1" >&2
    exit 1
}
[ -n "$expected" ] || fail "the case did not start"
case $output in
*"audit_cases: cannot "*) fail "the case did not do what it is about" ;;
esac
want_code=99
[ "$expected" != none ] || want_code=0
[ "$code" = "$want_code" ] || fail "exit code $code instead of $want_code"
[ "$found" = "$wanted" ] || fail "caught for '$found' instead of '$wanted'"
printf '%s\n' "$output" | grep -Eq '^sluice-audit: [1-9][0-9]* threads ' || fail "no summary"
printf '%s\n' "$output" | grep -Eq ' [0-9]+ outstanding, violations [0-9]+$' || fail "no totals"
echo "expect: $expected, exit code $code: as it must be"
