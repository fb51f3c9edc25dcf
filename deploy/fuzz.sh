#!/usr/bin/env bash
# Fuzzes every decoder and the two cores for a while: see --help.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/lib.sh"

targets=(frame message config session reply)
input_bytes=2048 # at most: a few hundred actions
usage() {
    cat <<END
Usage: deploy/fuzz.sh [--seconds N] [--jobs N] [--seed N] [--fresh] [--keep] [TARGET...]
Builds the fuzz targets (preset linux-fuzz: clang, libFuzzer, the address and the undefined
behaviour sanitizer) and runs each for a while, beginning with the inputs in
tests/fuzz/corpus/TARGET. Targets: ${targets[*]} (default: all).
  --seconds N   how long each target runs (default: 60)
  --jobs N      targets at a time (default: the number of processors)
  --seed N      libFuzzer's, 1 to 4294967295 (default: one of its own choice, in the report)
  --fresh       begin with the corpus only, not with what earlier runs have found
  --keep        what was found goes to the corpus: the smallest set of inputs that reaches all
Inputs that reach something new are kept in build/fuzz/TARGET, so that a later run goes on where
this one ended. An input that fails is build/fuzz/TARGET-crash-* (-timeout-, -oom-, -leak-); the
report names the command that repeats it.
Exit code: 0 only if every target ran for its time and found nothing.
END
}

run_seconds=60
jobs=$(nproc)
keep=
fresh=
seed=0 # 0: libFuzzer chooses
chosen=()
while [ $# -gt 0 ]; do
    case $1 in
    --seconds | --jobs | --seed)
        [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "$1 needs a number"
        case $1 in
        --jobs) jobs=$2 ;;
        --seed) seed=$2 ;;
        *) run_seconds=$2 ;;
        esac
        shift 2
        ;;
    --fresh) fresh=1; shift ;;
    --keep) keep=1; shift ;;
    --help | -h) usage; exit ;;
    *)
        [[ " ${targets[*]} " == *" $1 "* ]] || die "no target \"$1\"; there are: ${targets[*]}"
        chosen+=("$1")
        shift
        ;;
    esac
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${targets[@]}")

found=$root/build/fuzz
programs=$root/build/linux-fuzz/tests/fuzz
mkdir -p "$logs" "$found" || die "cannot write to $root/build"
# These sanitizers' runtimes fail at random under newer kernels' address randomisation.
without_aslr=()
if setarch -R true 2>/dev/null; then without_aslr=(setarch -R); fi

# Without -reload nothing depends on how fast it is: the same seed and corpus repeat a run.
# fuzz TARGET: its report is build/logs/fuzz-TARGET.log; its exit code is libFuzzer's.
fuzz() {
    "${without_aslr[@]}" "$programs/fuzz_$1" -seed="$seed" -max_total_time="$run_seconds" \
        -reload=0 -max_len=$input_bytes -len_control=0 -rss_limit_mb=2048 -timeout=60 \
        -print_final_stats=1 -artifact_prefix="$found/$1-" \
        "$found/$1" "$root/tests/fuzz/corpus/$1" >"$logs/fuzz-$1.log" 2>&1
}

# One line of the table, from the report and the exit code.
tell() {
    local log=$logs/fuzz-$1.log verdict="found nothing" count edges
    count=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log")
    edges=$(awk '{ for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
                 END { print edges }' "$log")
    [ "$2" = 0 ] || verdict=FAILED
    printf '%-10s %12s %8s %8s   %s\n' "$1" "${count:--}" "${edges:--}" \
        "$(find "$found/$1" -type f | wc -l)" "$verdict"
}

# What went wrong, and how to see it again.
explain() {
    local log=$logs/fuzz-$1.log
    say "----- $1: the end of build/logs/fuzz-$1.log"
    grep -E '^INFO: Seed|broken invariant|ERROR|SUMMARY|^ +#[0-9]+ .* in ' "$log" | head -n 24
    say "repeat: build/linux-fuzz/tests/fuzz/fuzz_$1 $(
        awk '/Test unit written to/ { print $NF }' "$log" | tail -n 1)"
}

# The smallest set of inputs that reaches what all reach.
minimise() {
    local kept=$found/$1.kept
    rm -rf "$kept" && mkdir -p "$kept"
    "$programs/fuzz_$1" -set_cover_merge=1 -rss_limit_mb=2048 -timeout=20 "$kept" \
        "$root/tests/fuzz/corpus/$1" "$found/$1" >"$logs/fuzz-$1.merge.log" 2>&1 || return 1
    rm -rf "$root/tests/fuzz/corpus/$1" && mv "$kept" "$root/tests/fuzz/corpus/$1"
}

say "Fuzzing ${chosen[*]}: $run_seconds s each, $jobs at a time"
(cd "$root" && cmake --preset linux-fuzz -DSLUICE_WERROR=ON &&
    cmake --build --preset linux-fuzz --parallel "$(nproc)" \
        --target "${targets[@]/#/fuzz_}") >"$logs/fuzz-build.log" 2>&1 ||
    { tail -n 30 "$logs/fuzz-build.log"; die "the targets do not build"; }

# How far the targets are that run, every 15 s, until fewer than $1 do.
await_fewer() {
    local target since=$SECONDS
    while [ "$(jobs -rp | wc -l)" -ge "$1" ]; do
        sleep 0.2
        [ $((SECONDS - since)) -ge 15 ] || continue
        since=$SECONDS
        for target in "${!pids[@]}"; do
            kill -0 "${pids[$target]}" 2>/dev/null || continue
            say "  $target: $(awk '/^#[0-9]+/ { line = $0 } END { print line }' \
                "$logs/fuzz-$target.log" | tr '\t' ' ' | cut -c1-70)"
        done
    done
}

declare -A pids=()
failed=()
trap 'kill "${pids[@]}" 2>/dev/null; exit 130' INT TERM HUP
for target in "${chosen[@]}"; do
    await_fewer "$jobs"
    if [ -n "$fresh" ]; then rm -rf "${found:?}/$target"; fi
    mkdir -p "$found/$target"
    say "  $target ..."
    fuzz "$target" &
    pids[$target]=$!
done
await_fewer 1
say
printf '%-10s %12s %8s %8s   %s\n' target executions edges inputs result
for target in "${chosen[@]}"; do
    code=0
    wait "${pids[$target]}" || code=$?
    tell "$target" $code
    [ $code = 0 ] || failed+=("$target")
done
for target in "${failed[@]}"; do explain "$target"; done
if [ -n "$keep" ] && [ ${#failed[@]} = 0 ]; then
    for target in "${chosen[@]}"; do
        minimise "$target" || die "$target: its inputs could not be merged"
    done
fi
[ ${#failed[@]} = 0 ]
