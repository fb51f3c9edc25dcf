#!/bin/sh
# Counts system calls per unit (ping-pong, block, cancel) of the raw loop and of the engine on
# Linux, with strace.
#
#     tests/bench/count_syscalls.sh BUILD/bin/yardsticks [CASE...]
#
# Each subject is run with two numbers of units; the difference of the counts is what the units
# cost, whatever opening and closing took.
set -eu

if [ $# -lt 1 ] || [ "$1" = --help ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
fi
bench=$1
shift
[ $# -gt 0 ] || set -- engine-pingpong engine-flight engine-bulk engine-cancel-1000
few=200
many=2200
slices=9 # of a round, and one to warm up
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

count() { # case subject units file: "call count" lines of the whole run
    strace -f -c -U name,calls -o "$work/raw" \
        "$bench" --case "$1" --only "$2" --rounds 1 --units "$3" >"$work/out"
    grep -q "Not measurable" "$work/out" && { cat "$work/out" >&2; exit 1; }
    awk 'NF == 2 && $2 ~ /^[0-9]+$/ && $1 != "total" { print $1, $2 }' "$work/raw" >"$4"
}

for case in "$@"; do
    for subject in model subject; do
        count "$case" "$subject" $few "$work/few"
        count "$case" "$subject" $many "$work/many"
        awk -v units=$(((many - few) * slices)) -v name="$case" -v subject="$subject" '
            NR == FNR { before[$1] = $2; next }
            { gained = ($2 - before[$1]) / units
              total += gained
              if (gained >= 0.005) detail = detail sprintf("  %s %.2f", $1, gained) }
            END { printf "%-12s %-7s %6.2f system calls per unit:%s\n",
                         name, subject, total, detail }
        ' "$work/few" "$work/many"
    done
done
