#!/usr/bin/env bash
# Builds and tests everything, on a fresh Debian 12 or 13 as on a busy one: native, under the
# sanitizers, and cross-compiled for Windows under Wine. See --help.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/lib.sh"

all_stages=(packages windows-deps linux-release linux-asan linux-tsan linux-fuzz mingw-release
    mingw-clang mingw-arm64)

usage() {
    cat <<END
Usage: deploy/test.sh [--only STAGE]... [--jobs N] [--list] [--help]
Installs what is missing (apt, with sudo if need be), builds with warnings as errors, and tests.
  --only STAGE  this stage only (may be repeated); --list names them
  --jobs N      parallel compilations and tests (default: the number of processors)
Each stage's output is in build/logs/STAGE.log, that of its tests in build/logs/STAGE.tests.log.
Environment:
  SLUICE_CACHE         where the Windows libraries are kept (default: ~/.cache/sluice)
  SLUICE_NO_INSTALL=1  do not look at packages at all
Exit code: 0 only if every stage and every test passed, and tests were run.
END
}

list_stages() {
    cat <<END
packages       install what is missing
windows-deps   cross-build libuv, protobuf-c and cmocka for Windows, once
linux-release  native, optimised: build, test
linux-asan     native, AddressSanitizer and UndefinedBehaviorSanitizer: build, test
linux-tsan     native, ThreadSanitizer: build, test
linux-fuzz     clang, libFuzzer with both sanitizers: each target for a minute
mingw-release  Windows, MinGW's GCC: build, test under Wine
mingw-clang    Windows, clang: build only
mingw-arm64    Windows on ARM64, clang: compile only, nothing can be linked
END
}

chosen=()
jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
    --only)
        [ $# -ge 2 ] || die "--only needs a stage; --list names them"
        [[ " ${all_stages[*]} " == *" $2 "* ]] || die "no stage \"$2\"; there are: ${all_stages[*]}"
        chosen+=("$2")
        shift 2
        ;;
    --jobs)
        [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "--jobs needs a number"
        jobs=$2
        shift 2
        ;;
    --list) list_stages; exit ;;
    --help | -h) usage; exit ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${all_stages[@]}")

mkdir -p "$logs" || die "cannot write to $root/build"
exec 8>"$root/build/test.lock"
flock -n 8 || die "another deploy/test.sh or quickstart.sh is at work in this source tree"
export SLUICE_WINEPREFIX=$root/build/wine-prefix
trap stop_everything EXIT
trap 'say "interrupted"; exit 130' INT
trap 'say "terminated"; exit 143' TERM HUP

say "Sluice: build and test on $(nproc) processors (logs in build/logs)"
failed_stages=() ran=()
for name in "${all_stages[@]}"; do
    [[ " ${chosen[*]} " == *" $name "* ]] || continue
    ran+=("$name")
    case $name in
    packages) run_stage packages run_step install install_packages ;;
    windows-deps) run_stage windows-deps run_step build "$root/deploy/bootstrap-windows-deps.sh" ;;
    mingw-*)
        if [ "${verdicts[windows-deps]:-ok}" = ok ]; then
            run_stage "$name" stage_preset "$name"
        else
            verdicts[$name]="not run: no Windows libraries"
            false
        fi
        ;;
    linux-fuzz) run_stage "$name" stage_fuzz "$name" ;;
    *) run_stage "$name" stage_preset "$name" ;;
    esac || failed_stages+=("$name")
    [ "${verdicts[packages]:-ok}" = ok ] || break # nothing can be built
done

print_table "${ran[@]}"
tested=$((total_passed + total_failed))
say
if [ ${#failed_stages[@]} -gt 0 ]; then
    say "FAILED: ${failed_stages[*]} (see build/logs)"
elif [ $tested = 0 ]; then
    say "No test was run: the chosen stages have none."
else
    say "Everything passed."
fi
say "$total_passed passed, $total_failed failed, $total_skipped skipped"
[ ${#failed_stages[@]} = 0 ] && [ "$total_failed" = 0 ] || exit 1
# A stage without tests may be run alone; a whole run without a test is no success.
[ $tested -gt 0 ] || [ ${#chosen[@]} -lt ${#all_stages[@]} ]
