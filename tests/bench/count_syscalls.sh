#!/bin/sh
# Counts system calls per unit (ping-pong, block, cancel) of the raw loop and of the engine on
# Linux, with strace.
#
#     tests/bench/count_syscalls.sh BUILD/tests/bench/engine_bench [CASE...]
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
[ $# -gt 0 ] || set -- pingpong inflight64 bulk64k cancel-1000
few=2000
many=22000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

count() { # case subject units file: "call count" lines of the whole run
    strace -f -c -U name,calls -o "$work/raw" \
        "$bench" --case "$1" --subject "$2" --rounds 1 --iterations "$3" >"$work/out"
    grep -q skipped "$work/out" && { cat "$work/out" >&2; exit 1; }
    awk 'NF == 2 && $2 ~ /^[0-9]+$/ && $1 != "total" { print $1, $2 }' "$work/raw" >"$4"
}

for case in "$@"; do
    for subject in raw engine; do
        count "$case" "$subject" $few "$work/few"
        count "$case" "$subject" $many "$work/many"
        awk -v units=$((many - few)) -v name="$case" -v subject="$subject" '
            NR == FNR { before[$1] = $2; next }
            { gained = ($2 - before[$1]) / units
              total += gained
              if (gained >= 0.005) detail = detail sprintf("  %s %.2f", $1, gained) }
            END { printf "%-12s %-7s %6.2f system calls per unit:%s\n",
                         name, subject, total, detail }
        ' "$work/few" "$work/many"
    done
done
