#!/bin/sh
# How much systemd finds that the service is exposed: exposure.sh UNIT
# Its figure for deploy/sluice.service is in docs/lab/service.md.
set -eu
unit=$1
most=2.0
if ! command -v systemd-analyze >/dev/null ||
    ! systemd-analyze security --help 2>/dev/null | grep -q -e --offline; then
    echo "skipped: no systemd-analyze here that judges a file (systemd 250 and later)"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# measure UNIT: the figure, in $figure
measure() {
    systemd-analyze security --no-pager --offline=true "$1" >"$work/report" 2>&1 || {
        cat "$work/report"
        exit 1
    }
    figure=$(sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p' "$work/report")
    [ -n "$figure" ] || { cat "$work/report"; exit 1; }
}

# Words that systemd does not know it passes over, and so would we. That the program is not
# installed here, or another unit's page not either, is no fault of the file's.
cp "$unit" "$work/sluice.service"
systemd-analyze verify "$work/sluice.service" >"$work/words" 2>&1 || true
if grep "^$work/sluice.service:" "$work/words"; then
    echo "systemd does not take these lines"
    exit 1
fi

# A test that cannot fail shows nothing: the same service without its walls.
printf '[Service]\nExecStart=/bin/true\n' >"$work/open.service"
measure "$work/open.service"
awk -v figure="$figure" -v most=$most 'BEGIN { exit !(figure > most) }' || {
    echo "an open service is exposed by $figure only: the measure has changed"
    exit 1
}
measure "$unit"
grep '✗' "$work/report" || true
echo "exposure $figure, at most $most"
awk -v figure="$figure" -v most=$most 'BEGIN { exit !(figure <= most) }'
