#!/usr/bin/env bash
# Makes the kit for a real Windows: one zip with the programs, the tests that only a Windows kernel
# certifies, and run.cmd, which runs them and writes one report. See --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<END
Usage: deploy/windows-kit.sh [--output FILE.zip] [--no-build] [--help]
Builds the preset mingw-release (deploy/quickstart.sh installs what that needs) and packs it.
  --output FILE.zip  default: build/sluice-windows-kit.zip
  --no-build         pack what build/mingw-release has
On the Windows machine: unpack it, start run.cmd as administrator, send back the report.
END
}

die() {
    printf '%s\n' "error: $*" >&2
    exit 2
}

output=$root/build/sluice-windows-kit.zip
is_built=no
while [ $# -gt 0 ]; do
    case $1 in
    --output)
        [ $# -ge 2 ] || die "--output needs a file"
        output=$2
        shift 2
        ;;
    --no-build) is_built=yes; shift ;;
    --help | -h) usage; exit ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
done
[[ $output = *.zip ]] || die "--output wants a name that ends with .zip, not \"$output\""
folder=$(cd "$(dirname "$output")" 2>/dev/null && pwd) || die "no folder $(dirname "$output")"
output=$folder/${output##*/}

build=$root/build/mingw-release
if [ $is_built = no ]; then
    (cd "$root" && cmake --preset mingw-release && cmake --build --preset mingw-release)
fi
[ -f "$build/tests/kit/kit.exe" ] || die "no kit.exe in $build: build it first, without --no-build"

tool() { sed -n "s/^CMAKE_$1:FILEPATH=//p" "$build/CMakeCache.txt"; }
commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || commit="$commit with changes"
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
what="Sluice $version, commit $commit, packed $(date -u +%Y-%m-%d), x86-64"

work=$(mktemp -d "$build/kit.XXXXXX")
trap 'rm -rf "$work"' EXIT
cmake "-DROOT=$root" "-DBUILD=$build" "-DKIT=$work/sluice-windows-kit" "-DWHAT=$what" \
    "-DSTRIP=$(tool STRIP)" -P "$root/tests/kit/pack.cmake"
(cd "$work" && cmake -E tar cf kit.zip --format=zip sluice-windows-kit)
mv -f "$work/kit.zip" "$output"
printf '%s\n' "$what" "$(du -h "$output" | cut -f1) $output"
