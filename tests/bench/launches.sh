#!/bin/sh
# Runs engine_bench several times for each case and prints the median and range of the launches'
# ratios, because where memory lies differs from launch to launch and within one launch it does not.
#
#     tests/bench/launches.sh LAUNCHES BUILD/tests/bench/engine_bench [CASE...]
set -eu

if [ $# -lt 2 ] || [ "$1" = --help ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
fi
launches=$1
bench=$2
shift 2
[ $# -gt 0 ] || set -- pingpong inflight64 bulk64k cancel-1 cancel-1000 cancel-9000

# Sorted numbers, one a line: "median (lowest to highest)".
spread() {
    sort -n | awk '{ value[NR] = $1 }
        END { if (NR == 0) { printf "-"; exit }
              median = (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2
              printf "%.3f (%.3f to %.3f)", median, value[1], value[NR] }'
}

for case in "$@"; do
    lines=
    launch=0
    while [ "$launch" -lt "$launches" ]; do
        line=$("$bench" --case "$case" --rounds 7 --seconds 0.15 | grep -a ' ratio ')
        lines="$lines$line
"
        launch=$((launch + 1))
    done
    wall=$(printf '%s' "$lines" | awk '{ print $2 }' | spread)
    cpu=$(printf '%s' "$lines" | sed -n 's/.*CPU time \([0-9.]*\).*/\1/p' | spread)
    printf '%-12s wall %s   CPU time %s   %s launches\n' "$case" "$wall" "$cpu" "$launches"
done
