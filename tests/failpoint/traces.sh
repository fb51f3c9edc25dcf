#!/bin/sh
# The product has nothing of the failpoints: traces.sh SOURCES TEST-PROGRAM PRODUCT...
# Neither the name of the variable, nor a point's, nor a symbol. The test build has all of them, so
# that this test would see them. Also: the manual names each point, and each is swept by a test.
set -eu
sources=$1 test_program=$2
shift 2
strings=${STRINGS:-strings} nm=${NM:-nm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "traces: $*" >&2
    failed=1
}

sed -n 's/^    X(\([a-z]*\), \([a-z]*\), .*/\1.\2/p' "$sources/base/failpoint.h" >"$work/points"
count=$(wc -l <"$work/points")
[ "$count" -ge 50 ] || fail "the table was not read: $count points"
{ cat "$work/points"; echo SLUICE_FAILPOINTS; } >"$work/traces"

# traces_in FILE: how many of them it has
traces_in() {
    "$strings" -a -n 4 "$1" >"$work/strings"
    { "$nm" "$1" 2>/dev/null || true; } | sed -n 's/.* _*\(sl_failpoint_[a-z_]*\).*/\1/p' |
        sort -u >"$work/found"
    grep -oFf "$work/traces" "$work/strings" | sort -u >>"$work/found" || true
    wc -l <"$work/found"
}

found=$(traces_in "$test_program")
[ "$found" -gt "$count" ] || fail "$test_program: only $found traces of $count points"
echo "$test_program: $found traces"
for product in "$@"; do
    found=$(traces_in "$product")
    echo "$product: $found traces"
    [ "$found" -eq 0 ] || fail "$product has: $(tr '\n' ' ' <"$work/found")"
done

while IFS= read -r point; do
    grep -qF "\`$point\`" "$sources/docs/testing.md" || fail "docs/testing.md does not name $point"
    case $point in
    engine.* | broker.* | client.*) ;; # case_sweep.c
    service.*)                         # service.sh, under Wine
        grep -qF "$point" "$sources/tests/failpoint/service.sh" || fail "nothing meets $point"
        ;;
    *) fail "no test sweeps $point" ;;
    esac
done <"$work/points"
exit "$failed"
