#!/usr/bin/env bash
# From a fresh Debian 12 or 13 to a broker at work in one command: installs what is missing,
# builds for Linux and for Windows, starts the broker and sends through it what hangs Windows
# programs, natively and under Wine (there as an installed service), then stops and uninstalls it.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/lib.sh"

native_iterations=2000
wine_iterations=100
workers=10

usage() {
    cat <<END
Usage: deploy/quickstart.sh [--help]
Installs what is missing (apt, with sudo if need be), builds Sluice for Linux (build/linux-release)
and for Windows (build/mingw-release), and runs the tests labelled "smoke" of both. Then the main
job: "sluice hangtest" through a broker: $workers x $native_iterations pipes natively, and
$workers x $wine_iterations under Wine with sluiced.exe installed and started as a service.
Everything that was started is stopped again.
Environment: SLUICE_CACHE, SLUICE_NO_INSTALL as for deploy/test.sh, which runs all tests.
Exit code: 0 only if everything ran, and nothing hung, was lost, or was left behind.
END
}
case ${1:-} in
'') ;;
--help | -h) usage; exit ;;
*) usage >&2; die "unknown option $1" ;;
esac

jobs=$(nproc)
mkdir -p "$logs" || die "cannot write to $root/build"
exec 8>"$root/build/test.lock"
flock -n 8 || die "another deploy/test.sh or quickstart.sh is at work in this source tree"
export SLUICE_WINEPREFIX=$root/build/wine-prefix

work=$(mktemp -d) # holds the broker's socket
broker_pid=       # the native broker
service=          # the name of the installed service
wine=$root/cmake/wine-run.sh
linux=$root/build/linux-release
windows=$root/build/mingw-release

# Runs a program of the Windows build, without the lock of this run.
in_wine() {
    timeout 200 "$wine" "$@" </dev/null 8>&-
}

stop_brokers() {
    if [ -n "$broker_pid" ]; then
        kill -TERM "$broker_pid" 2>/dev/null || true
        wait "$broker_pid" 2>/dev/null || true
        broker_pid=
    fi
    if [ -n "$service" ]; then
        in_wine "$windows/bin/sluiced.exe" service uninstall --name "$service" \
            >/dev/null 2>&1 || true
        service=
    fi
}
clean_up() {
    stop_brokers
    stop_everything
    rm -rf "$work"
}
trap clean_up EXIT
trap 'say "interrupted"; exit 130' INT
trap 'say "terminated"; exit 143' TERM HUP

# figure FILE NAME: a number of hangtest's JSON.
figure() {
    sed -n "s/^ *\"$2\": \([0-9][0-9]*\).*/\1/p" "$1" | head -n 1
}

# tell WHERE FILE: what a hangtest has found, in one line each.
tell() {
    local file=$2 left
    left="$(figure "$file" handles) handles, $(figure "$file" memory_bytes) bytes of pools"
    say
    say "$1"
    say "  ran         $(figure "$file" workers) workers: $(figure "$file" iterations) pipes," \
        "each closed while it was read and written"
    say "  operations  $(figure "$file" operations)"
    say "  cancelled   $(figure "$file" cut_short) by the close, in the midst"
    say "  hangs       $(figure "$file" hangs)    over 1 s: $(figure "$file" over_1s)," \
        "doubled: $(figure "$file" doubled), missing: $(figure "$file" missing)"
    say "  left        $left"
    say "  slowest     $(($(figure "$file" slowest_ns) / 1000)) us"
    say "  time        $(($(figure "$file" time_ns) / 1000000)) ms"
}

# until_answers COMMAND...: until `sluice status` finds the broker, 20 s at most.
until_answers() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || return 1
        sleep 0.2
    done
}

# The figures of a failed run are worth reading, too.
hangtest_native() {
    timeout 200 "$linux/bin/sluice" hangtest --endpoint "$work/broker" \
        --workers "$workers" --iterations "$native_iterations" --json >"$logs/hangtest.json"
    local code=$?
    cat "$logs/hangtest.json"
    return $code
}

# In this shell, so that the broker's process id is known to whoever cleans up.
main_job_native() {
    [ -x "$linux/bin/sluiced" ] || die "there is no sluiced in $linux: it was not built"
    [ -x "$linux/bin/sluice" ] || die "there is no sluice in $linux: it was not built"
    "$linux/bin/sluiced" run --endpoint "$work/broker" \
        >>"$logs/broker.log" 2>&1 </dev/null 8>&- &
    broker_pid=$!
    if ! until_answers timeout 10 "$linux/bin/sluice" status --endpoint "$work/broker"; then
        tail -n 20 "$logs/broker.log"
        return 1
    fi
    run_step hangtest hangtest_native || return 1
    kill -TERM "$broker_pid"
    local code=0
    wait "$broker_pid" || code=$?
    broker_pid=
    [ "$code" = 0 ] || say "the broker stopped with exit code $code"
    [ "$code" = 0 ]
}

hangtest_wine() {
    in_wine "$windows/bin/sluice.exe" hangtest --endpoint "$service" \
        --workers "$workers" --iterations "$wine_iterations" --json >"$logs/hangtest-wine.json"
    local code=$?
    cat "$logs/hangtest-wine.json"
    return $code
}

main_job_wine() {
    local sluiced=$windows/bin/sluiced.exe sluice=$windows/bin/sluice.exe
    [ -f "$sluiced" ] || die "there is no sluiced.exe in $windows: it was not built"
    [ -f "$sluice" ] || die "there is no sluice.exe in $windows: it was not built"
    service=sluice-quickstart-$$
    # S-1-1-0 is everyone: Wine does not enforce the access list of a pipe anyway.
    run_step install in_wine "$sluiced" service install --name "$service" --endpoint "$service" \
        --allow S-1-1-0 --from-here || return 1
    run_step start in_wine "$sluiced" service start --name "$service" || return 1
    until_answers in_wine "$sluice" status --endpoint "$service" || return 1
    run_step hangtest hangtest_wine || return 1
    run_step stop in_wine "$sluiced" service stop --name "$service" || return 1
    run_step uninstall in_wine "$sluiced" service uninstall --name "$service" || return 1
    service=
}

say "1. Packages (compilers, CMake, libraries, Wine): installing those that are missing."
run_stage packages run_step install install_packages || die "could not install; see above"
say "2. The Windows libraries: libuv, protobuf-c and cmocka from Debian's source packages, once."
run_stage windows-deps run_step build "$root/deploy/bootstrap-windows-deps.sh" || die "see above"
say "3. Linux: build and smoke test."
run_stage linux-release stage_preset linux-release -L smoke || die "Linux failed; see above"
say "4. Windows: cross-build and smoke test under Wine."
run_stage mingw-release stage_preset mingw-release -L smoke || die "Windows failed; see above"
say "5. The main job natively: sluiced, and hangtest through it."
run_stage native main_job_native || die "the main job failed; see above and build/logs"
say "6. The main job under Wine: sluiced.exe as a service, sluice.exe as its client."
run_stage wine main_job_wine || die "the main job failed under Wine; see above and build/logs"

print_table packages windows-deps linux-release mingw-release native wine
say
say "Built: build/linux-release/bin (Linux) and build/mingw-release/bin (Windows)."
say "Smoke tests: $total_passed passed, $total_failed failed, $total_skipped skipped."
tell "The workload of golang/go#64482 through the broker on Linux:" "$logs/hangtest.json"
tell "The same under Wine, sluiced.exe as a service (stopped and uninstalled again):" \
    "$logs/hangtest-wine.json"
say
say "Wine cancels at once and never shows the hang itself; on Windows, see the disease with"
say "  sluice.exe hangtest --via direct"
say "Next: deploy/test.sh runs every test, on Linux, under the sanitizers and under Wine."
