#!/usr/bin/env bash
# Cross-builds libuv, protobuf-c and cmocka for Windows (static, MinGW) from Debian's source
# packages into a cache outside the source tree. Nothing to do = done in a blink; with the tarballs
# in the cache it needs no network; two at once wait for each other; an interrupted one leaves
# nothing half done.
#
# The cache:   $SLUICE_CACHE, else $XDG_CACHE_HOME/sluice, else ~/.cache/sluice
#   sources/                 the tarballs, and `taken`: their SHA-256, as apt has delivered them
#   windows-x86_64-<key>/    include/ lib/ stamp; <key> covers sources, recipe and compiler
# Whose sources they are is apt's to say: it checks the distribution's signature, and this script
# takes nothing that apt would not authenticate. deploy/windows-deps.txt has the least versions.
set -euo pipefail

usage() {
    cat <<END
Usage: deploy/bootstrap-windows-deps.sh [--print-prefix | --print-sources | --help]
  (no option)      make sure that the Windows libraries are there, build them if not
  --print-prefix   where they are, or will be
  --print-sources  where the source tarballs are, or will be
Environment: SLUICE_CACHE (where to keep all this).
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
list=$root/deploy/windows-deps.txt
recipe=$root/cmake/dependency-sources/CMakeLists.txt
toolchain=$root/cmake/toolchain-mingw.cmake

say() { printf '%s\n' "windows-deps: $*"; }
die() { printf '%s\n' "windows-deps: error: $*" >&2; exit 1; }

home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache=${SLUICE_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/sluice}
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
sources=$cache/sources
by_hand="(The .orig tarballs of these source packages may also be put into $sources by hand.)"

compiler_version() {
    { x86_64-w64-mingw32-gcc-win32 --version || x86_64-w64-mingw32-gcc --version; } 2>/dev/null |
        head -n 1
}
# Which prefix: known once the sources are, so it is asked for again after a download.
find_prefix() {
    local key
    key=$({
        compiler_version || true
        cat "$sources/taken" 2>/dev/null || true
        cat "$recipe" "$toolchain"
    } | sha256sum | cut -c1-16)
    prefix=$cache/windows-x86_64-$key
}
find_prefix

is_complete() {
    local file
    for file in stamp include/uv.h include/protobuf-c/protobuf-c.h include/cmocka.h \
        lib/libuv_a.a lib/libprotobuf-c.a lib/libcmocka-static.a; do
        [ -f "$prefix/$file" ] || return 1
    done
}

wanted() { grep -v '^#' "$list" | grep .; }

# The tarball of package $2 in folder $1; nothing if there is not exactly one. (A detached signature
# may lie beside it: NAME.orig.tar.gz.asc.)
tarball_of() {
    local found=("$1/$2"_*.orig.tar.gz "$1/$2"_*.orig.tar.xz "$1/$2"_*.orig.tar.bz2) file there=()
    for file in "${found[@]}"; do
        [ -f "$file" ] && there+=("$file")
    done
    [ ${#there[@]} = 1 ] && printf '%s\n' "${there[0]}"
}

# Is there one tarball of each package in the folder $1, and none too old? Says what is wrong.
are_versions_right() {
    local package least file version
    while read -r package least; do
        file=$(tarball_of "$1" "$package") || {
            echo "there is not one tarball $package""_VERSION.orig.tar.* in $1"
            return 1
        }
        version=${file##*/"$package"_}
        version=${version%.orig.tar.*}
        if [ "$(printf '%s\n%s\n' "$least" "$version" | sort -V | head -n 1)" != "$least" ]; then
            echo "$package $version is too old: Sluice needs $least or later"
            return 1
        fi
    done < <(wanted)
}

# Are the cache's tarballs there, and still those of the record?
are_sources_right() {
    [ -f "$sources/taken" ] && are_versions_right "$sources" >/dev/null &&
        (cd "$sources" && sha256sum --check --status --strict taken 2>/dev/null)
}

# Writes down what lies in the folder $1.
record() {
    local package least
    while read -r package least; do
        (cd "$1" && sha256sum "$(basename "$(tarball_of . "$package")")")
    done < <(wanted) >"$1/taken.new" && mv "$1/taken.new" "$1/taken"
}

# Writes to the folder $1 the machine's own apt sources with "deb" turned into "deb-src": deb822
# files (*.sources) and classic ones (*.list). The system's own files are only read.
derive_sources() {
    local to=$1 file n=0 etc parts main
    eval "$(apt-config shell etc Dir::Etc/d parts Dir::Etc::sourceparts/d \
        main Dir::Etc::sourcelist/f)"
    : "${etc:=/etc/apt}" "${parts:=/etc/apt/sources.list.d}" "${main:=/etc/apt/sources.list}"
    for file in "$main" "${parts%/}"/*.list "${parts%/}"/*.sources; do
        [ -f "$file" ] || continue
        n=$((n + 1))
        case $file in
        *.sources)
            sed -E 's/^Types:.*/Types: deb-src/I' "$file" >"$to/$n.sources" ;;
        *)
            sed -nE 's/^[[:space:]]*deb(-src)?[[:space:]]+/deb-src /p' "$file" |
                sort -u >"$to/$n.list" ;;
        esac
    done
    cat "$to"/* 2>/dev/null | grep -qi 'deb-src' ||
        die "no apt sources found in $etc. $by_hand"
}

# Downloads the tarballs into the folder $1 with an apt of its own: own lists, own cache, own
# sources, the machine's own settings (proxy, keys) without its hooks.
download() {
    local to=$1 apt=$tmp/apt packages
    command -v apt-get >/dev/null || die "no apt-get here. $by_hand"
    mkdir -p "$apt"/{lists/partial,cache/archives/partial,sources,parts}
    derive_sources "$apt/sources"
    {
        apt-config dump |
            grep -Ev '^(APT::Update::|DPkg::(Pre|Post)-|Dir::(Etc|State|Cache|Log)|APT::Sandbox)'
        cat <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "$apt/parts";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/sources";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "$(id -un)";
APT::Get::AllowUnauthenticated "0";
Acquire::AllowInsecureRepositories "0";
Acquire::AllowWeakRepositories "0";
Acquire::AllowDowngradeToInsecureRepositories "0";
Acquire::Languages "none";
Acquire::Retries "3";
END
    } >"$apt/apt.conf"
    export APT_CONFIG=$apt/apt.conf
    say "reading the lists of source packages (into a temporary folder)"
    # An apt source without source packages must not stop us: what counts is the result.
    apt-get -q update >"$apt/log" 2>&1 || say "apt-get update complained; trying all the same"
    packages=$(wanted | cut -d' ' -f1 | tr '\n' ' ')
    say "downloading" $packages
    # shellcheck disable=SC2086 # three words
    (cd "$to" && apt-get -q source --download-only --tar-only $packages >>"$apt/log" 2>&1) || {
        tail -n 20 "$apt/log" >&2
        die "apt could not get the source packages: is there a network? $by_hand"
    }
    unset APT_CONFIG
    local problem
    problem=$(are_versions_right "$to") || die "apt delivered what is of no use: $problem"
}

build() {
    say "cross-building (about half a minute)"
    local log=$tmp/build.log
    { cmake -G Ninja -S "$root/cmake/dependency-sources" -B "$tmp/build" \
        -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DSLUICE_SOURCES_DIR="$sources" \
        -DCMAKE_INSTALL_PREFIX="$tmp/prefix" &&
        cmake --build "$tmp/build"; } >"$log" 2>&1 || {
        cp "$log" "$cache/build.log"
        tail -n 40 "$log" >&2
        grep -nE '(^FAILED|error)' "$log" | head -n 10 >&2 || true
        die "the build failed; all it said is in $cache/build.log"
    }
    { compiler_version; cat "$sources/taken"; } >"$tmp/prefix/stamp"
    rm -rf "$prefix"
    mv "$tmp/prefix" "$prefix"
}

case ${1:-} in
'') ;;
--print-prefix) printf '%s\n' "$prefix"; exit ;;
--print-sources) printf '%s\n' "$sources"; exit ;;
--help | -h) usage; exit ;;
*) usage >&2; die "unknown option $1" ;;
esac

if is_complete; then
    say "ready in $prefix"
    exit
fi
for tool in cmake ninja flock sha256sum; do
    command -v $tool >/dev/null || die "$tool is missing. deploy/quickstart.sh installs everything."
done
[ -n "$(compiler_version || true)" ] ||
    die "no MinGW compiler: apt install gcc-mingw-w64-x86-64-win32, or run deploy/quickstart.sh"

mkdir -p "$cache" || die "cannot create $cache"
exec 9>"$cache/lock"
if ! flock -n 9; then
    say "another run is at work, waiting for it"
    flock -w 1800 9 || die "waited half an hour for it"
fi
if is_complete; then
    say "ready in $prefix"
    exit
fi
rm -rf "$cache"/tmp.* # of runs that were killed: nobody else holds the lock
tmp=$(mktemp -d "$cache/tmp.XXXXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP

if ! are_sources_right; then
    if [ ! -f "$sources/taken" ] && are_versions_right "$sources" >/dev/null; then
        say "taking the tarballs that somebody has put into $sources"
        record "$sources"
    else
        mkdir -p "$tmp/download" "$sources"
        download "$tmp/download"
        rm -f "$sources/taken" "$sources"/*.orig.tar.*
        while read -r package least; do
            mv -f "$(tarball_of "$tmp/download" "$package")" "$sources/"
        done < <(wanted)
        record "$sources"
    fi
    sed 's/^/windows-deps: taken: /' "$sources/taken"
    find_prefix
fi
if is_complete; then
    say "ready in $prefix"
    exit
fi
build
is_complete || die "the build ended well but something is missing in $prefix"
say "built $prefix"
