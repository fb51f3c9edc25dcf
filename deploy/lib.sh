# What deploy/test.sh and deploy/quickstart.sh share. Sourced by bash, with `root` set.
# shellcheck shell=bash

# Debian's names, 12 and 13: compiler, CMake, native libraries, MinGW, a second compiler, Wine.
packages=(
    gcc libc6-dev
    cmake ninja-build pkg-config
    libuv1-dev libprotobuf-c-dev protobuf-c-compiler libcmocka-dev
    gcc-mingw-w64-x86-64-win32
    clang libclang-rt-dev
    wine64
)

logs=$root/build/logs
stage=          # the stage at work, for messages and file names
stage_pid=      # the process group of the running step
declare -A seconds=() counts=() verdicts=()

say() { printf '%s\n' "$*"; }
die() {
    printf '%s\n' "error: $*" >&2
    exit 1
}

clock_seconds() { printf '%d' "$SECONDS"; }
as_minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# Runs "$@" as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --preserve-env=DEBIAN_FRONTEND -- "$@"
    else
        say "Packages must be installed, which needs root, and there is no sudo. As root, run:"
        say "  apt-get update && apt-get install --no-install-recommends ${packages[*]}"
        return 1
    fi
}

# On anything but the systems that deploy/fresh.sh tries: what is needed.
tell_needs() {
    local system
    system=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-}" "${VERSION_ID:-}")
    case $system in
    'debian 12' | 'debian 13') return ;;
    esac
    say "Tried are Debian 12 and 13; this is \"${system:-without /etc/os-release}\". Needed:"
    say "  GCC 12 or clang 14, CMake 3.25, Ninja, pkg-config; libuv 1.44, protobuf-c 1.4 with its"
    say "  compiler, cmocka 1.1.5; for Windows MinGW-w64 10 and Wine 8. In Debian's packages:"
    say "  ${packages[*]}"
}

# Installs the packages that are missing. If none is, touches nothing and needs no network.
install_packages() {
    local missing=() package
    tell_needs
    if [ "${SLUICE_NO_INSTALL:-}" = 1 ]; then
        say "SLUICE_NO_INSTALL=1: taking the tools as they are"
        return 0
    fi
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        say "This machine has no apt. Install the equivalents of those packages and set"
        say "SLUICE_NO_INSTALL=1."
        return 1
    fi
    for package in "${packages[@]}"; do
        case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) in
        ?i*) ;;
        *) missing+=("$package") ;;
        esac
    done
    if [ ${#missing[@]} = 0 ]; then
        say "all ${#packages[@]} packages are installed"
        return 0
    fi
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    as_root true || return 1
    as_root apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update ||
        say "apt-get update complained; trying all the same"
    as_root apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        install --no-install-recommends "${missing[@]}"
}

# Ends the running step and this run's Wine. Called on every way out.
stop_everything() {
    if [ -n "$stage_pid" ]; then
        kill -TERM -- "-$stage_pid" 2>/dev/null || true
        wait "$stage_pid" 2>/dev/null || true
        stage_pid=
    fi
    "$root/cmake/wine-run.sh" --stop >/dev/null 2>&1 || true
}

# run_step NAME COMMAND...: runs the command with its output in build/logs/$stage.log, says every
# 20 s how far it is, and shows the log's tail if it fails. Adds its time to seconds[$stage/NAME].
run_step() {
    local step=$1 log=$logs/$stage.log begin now told code=0
    shift
    begin=$(clock_seconds)
    told=$begin
    printf '\n== %s: %s ==\n' "$step" "$*" >>"$log"
    printf '  %-14s %-10s ...\n' "$stage" "$step"
    set -m # a process group of its own, so that an interrupt ends all of it
    ("$@") >>"$log" 2>&1 </dev/null 8>&- & # 8: the lock of this run
    stage_pid=$!
    set +m
    while kill -0 "$stage_pid" 2>/dev/null; do
        sleep 0.2
        now=$(clock_seconds)
        if [ $((now - told)) -ge 20 ]; then
            told=$now
            printf '  %-14s %-10s %s  %s\n' "$stage" "$step" "$(as_minutes $((now - begin)))" \
                "$(tail -c 2000 "$log" | tail -n 1 | tr -d '\r' | cut -c1-90)"
        fi
    done
    wait "$stage_pid" || code=$?
    stage_pid=
    now=$(clock_seconds)
    seconds[$stage/$step]=$((now - begin))
    seconds[$stage]=$((${seconds[$stage]:-0} + now - begin))
    if [ $code = 0 ]; then
        printf '  %-14s %-10s %s  ok\n' "$stage" "$step" "$(as_minutes $((now - begin)))"
    else
        printf '  %-14s %-10s %s  FAILED (exit code %d)\n' "$stage" "$step" \
            "$(as_minutes $((now - begin)))" $code
        say "----- the end of build/logs/$stage.log"
        tail -n "${SLUICE_LOG_TAIL:-60}" "$log"
        say "-----"
    fi
    return $code
}

# Adds the outcomes of one ctest run (its output is the file $1) to
# counts[$stage/passed|failed|skipped]. A test that could not be started counts as failed; one that
# says it cannot run here, as skipped.
count_tests() {
    local passed failed skipped
    read -r passed failed skipped < <(awk '
        /^ *[0-9]+\/[0-9]+ +Test +#[0-9]+:/ {
            if ($0 ~ /\*\*\*(Skipped|Not Run \(Disabled\))/) skipped++
            else if ($0 ~ / Passed +[0-9.]+ sec/) passed++
            else failed++
        }
        END { print passed + 0, failed + 0, skipped + 0 }' "$1")
    counts[$stage/passed]=$passed
    counts[$stage/failed]=$failed
    counts[$stage/skipped]=$skipped
}

# The names of the failed tests of a ctest run, one a line.
failed_tests() {
    awk '
        / Passed +[0-9.]+ sec/ || /\*\*\*(Skipped|Not Run \(Disabled\))/ { next }
        /^ *[0-9]+\/[0-9]+ +Test +#[0-9]+:/ {
            sub(/^.*#[0-9]+: /, "")
            sub(/ \.\.+/, " ")
            print "    " $0
        }' "$1"
}

configure_preset() { (cd "$root" && cmake --preset "$1" -DSLUICE_WERROR=ON); }
build_preset() { (cd "$root" && cmake --build --preset "$1" --parallel "$jobs"); }

# test_preset PRESET [CTEST ARGUMENT...]
test_preset() {
    local preset=$1 without_aslr=()
    shift
    # These sanitizers' runtimes fail at random under newer kernels' address randomisation.
    case $preset in
    *-asan | *-tsan) if setarch -R true 2>/dev/null; then without_aslr=(setarch -R); fi ;;
    esac
    (cd "$root" &&
        "${without_aslr[@]}" ctest --preset "$preset" --no-tests=error --parallel "$jobs" "$@")
}

# stage_preset PRESET [CTEST ARGUMENT...]: configure, build and test; mingw-clang and mingw-arm64
# build only.
stage_preset() {
    local preset=$1 log
    shift
    run_step configure configure_preset "$preset" || return 1
    run_step build build_preset "$preset" || return 1
    case $preset in
    mingw-clang | mingw-arm64) return 0 ;;
    mingw-*) run_step wine "$root/cmake/wine-run.sh" --init || return 1 ;;
    esac
    log=$logs/$stage.ctest
    local code=0
    run_step test test_logged "$log" "$preset" "$@" || code=1
    # The full output of every test (seeds, counts), also of those that passed.
    cp -f "$root/build/$preset/Testing/Temporary/LastTest.log" "$logs/$stage.tests.log" || true
    count_tests "$log"
    if [ "${counts[$stage/passed]}" = 0 ]; then
        say "  $stage: no test passed"
        code=1
    fi
    if [ "${counts[$stage/failed]}" != 0 ]; then
        say "  $stage: failed tests:"
        failed_tests "$log"
        code=1
    fi
    return $code
}

# stage_fuzz: each target for a minute, with the same seed every time.
fuzz_seconds=60
fuzz_seed=2026
stage_fuzz() {
    local code=0 log=$logs/$stage.log
    run_step configure configure_preset "$1" || return 1
    run_step test "$root/deploy/fuzz.sh" --seconds $fuzz_seconds --jobs 2 --seed $fuzz_seed \
        --fresh || code=1
    # The table: executions and edges of each target.
    awk '/^target / { is_table = 1 } /^-----/ { is_table = 0 } is_table { print "    " $0 }' "$log"
    counts[$stage/passed]=$(grep -c ' found nothing$' "$log")
    counts[$stage/failed]=$(grep -c ' FAILED$' "$log")
    counts[$stage/skipped]=0
    return $code
}

# ctest's own output to a file of its own (it is counted) and to the stage's log.
test_logged() {
    local log=$1
    shift
    test_preset "$@" 2>&1 | tee "$log"
    return "${PIPESTATUS[0]}"
}

# run_stage NAME COMMAND...: one line of the closing table.
run_stage() {
    stage=$1
    shift
    : >"$logs/$stage.log"
    verdicts[$stage]=FAILED
    if "$@"; then
        verdicts[$stage]=ok
        return 0
    fi
    return 1
}

# A step's time in the table, or a dash.
time_cell() {
    if [ -n "${seconds[$1]:-}" ]; then as_minutes "${seconds[$1]}"; else printf '%s' -; fi
}

# print_table STAGE...: times and counts of each, and the totals, also in total_passed and so on.
print_table() {
    local name layout='%-14s %9s %7s %7s %7s   %6s %6s %7s   %s\n' total=0
    total_passed=0 total_failed=0 total_skipped=0
    say
    # shellcheck disable=SC2059 # one layout for all lines
    {
        printf "$layout" stage configure build test total passed failed skipped result
        for name in "$@"; do
            printf "$layout" "$name" "$(time_cell "$name/configure")" "$(time_cell "$name/build")" \
                "$(time_cell "$name/test")" "$(time_cell "$name")" "${counts[$name/passed]:--}" \
                "${counts[$name/failed]:--}" "${counts[$name/skipped]:--}" \
                "${verdicts[$name]:-not run}"
            total=$((total + ${seconds[$name]:-0}))
            total_passed=$((total_passed + ${counts[$name/passed]:-0}))
            total_failed=$((total_failed + ${counts[$name/failed]:-0}))
            total_skipped=$((total_skipped + ${counts[$name/skipped]:-0}))
        done
        printf "$layout" total '' '' '' "$(as_minutes $total)" \
            "$total_passed" "$total_failed" "$total_skipped" ''
    }
}
