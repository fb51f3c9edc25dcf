#!/usr/bin/env bash
# From a fresh Debian 12 machine to a built Sluice in one command: installs what is missing, builds
# for Linux and for Windows, and runs a short smoke test of both.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/lib.sh"

usage() {
    cat <<END
Usage: deploy/quickstart.sh [--help]
Installs what is missing (apt, with sudo if need be), builds Sluice for Linux (build/linux-release)
and for Windows (build/mingw-release), and runs the tests labelled "smoke" of both, the Windows ones
under Wine.
Environment: SLUICE_CACHE, SLUICE_NO_INSTALL as for deploy/test.sh, which runs all tests.
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
trap stop_everything EXIT
trap 'say "interrupted"; exit 130' INT
trap 'say "terminated"; exit 143' TERM HUP

say "1. Packages (compilers, CMake, libraries, Wine): installing those that are missing."
run_stage packages run_step install install_packages || die "could not install; see above"
say "2. The Windows libraries: libuv, protobuf-c and cmocka from Debian's source packages, once."
run_stage windows-deps run_step build "$root/deploy/bootstrap-windows-deps.sh" || die "see above"
say "3. Linux: build and smoke test."
run_stage linux-release stage_preset linux-release -L smoke || die "Linux failed; see above"
say "4. Windows: cross-build and smoke test under Wine."
run_stage mingw-release stage_preset mingw-release -L smoke || die "Windows failed; see above"

print_table packages windows-deps linux-release mingw-release
say
say "Built: build/linux-release (Linux) and build/mingw-release (Windows)."
say "Smoke tests: $total_passed passed, $total_failed failed, $total_skipped skipped."
say "Next: deploy/test.sh runs every test, on Linux, under the sanitizers and under Wine."
