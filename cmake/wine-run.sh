#!/bin/sh
# Runs a Windows program under Wine: CMAKE_CROSSCOMPILING_EMULATOR of the MinGW presets.
#   wine-run.sh PROGRAM.exe [ARGUMENT...]   the program's exit code (its low 8 bits) is ours
#   wine-run.sh --init                      creates the Wine prefix, if that has not been done
#   wine-run.sh --stop                      ends what still runs in this prefix, and only there
# The prefix: build/wine-prefix of this source tree, or $SLUICE_WINEPREFIX; never ~/.wine.
set -eu

# wine64 itself first: Debian's `wine` script complains of a missing 32-bit Wine at every start.
wine=
for candidate in "${SLUICE_WINE:-}" /usr/lib/wine/wine64 wine64 wine; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1; then
        wine=$(command -v "$candidate")
        break
    fi
done
if [ -z "$wine" ]; then
    echo "wine-run: no Wine found. On Debian: apt install wine64 (deploy/quickstart.sh does it)" >&2
    exit 127
fi
wineserver=
for candidate in "${WINESERVER:-}" /usr/lib/wine/wineserver64 "${wine%/*}/wineserver" wineserver; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1; then
        wineserver=$(command -v "$candidate")
        break
    fi
done

top=$(cd "$(dirname "$0")/.." && pwd)
WINEPREFIX=${SLUICE_WINEPREFIX:-$top/build/wine-prefix}
WINEDEBUG=${WINEDEBUG:--all}
WINEARCH=win64
# No menus, no .NET, no browser: nothing is written outside the prefix, no dialog waits. No debugger
# either: behind winedbg a program that crashed ends with 0 (Wine 8), and a test would have passed.
WINEDLLOVERRIDES="winemenubuilder.exe,winedbg.exe,mscoree,mshtml=d"
export WINEPREFIX WINEDEBUG WINEARCH WINEDLLOVERRIDES
unset DISPLAY || true
ready=$WINEPREFIX/sluice-ready

init() {
    mkdir -p "$(dirname "$WINEPREFIX")"
    (
        flock 9 # several tests may start at once; the first one creates the prefix
        [ -f "$ready" ] && exit 0
        rm -rf "$WINEPREFIX"
        # 9>&-: the Wine server outlives wineboot and would keep the lock.
        if ! "$wine" wineboot --init >"$WINEPREFIX.log" 2>&1 </dev/null 9>&-; then
            cat "$WINEPREFIX.log" >&2
            rm -rf "$WINEPREFIX"
            echo "wine-run: wineboot could not create $WINEPREFIX" >&2
            exit 1
        fi
        [ -z "$wineserver" ] || "$wineserver" -w 9>&- # until it has been written to disk
        : >"$ready"
    ) 9>"$WINEPREFIX.lock"
}

# The first program in a prefix starts the Wine server and Wine's own services, which outlive it.
# Started by a test they would inherit its standard output, and ctest would wait for them after the
# test has ended. So they are started here, inheriting nothing; they go a minute after the last
# program. Where they run already this takes 2 ms.
warm_up() {
    [ -n "$wineserver" ] || return 0
    (
        flock 9
        if "$wineserver" -p60 </dev/null >/dev/null 2>&1 8>&- 9>&-; then
            "$wine" cmd /c rem </dev/null >/dev/null 2>&1 8>&- 9>&- || true
        fi
    ) 9>"$WINEPREFIX.lock"
}

case ${1:-} in
--init)
    init
    ;;
--stop)
    if [ -d "$WINEPREFIX" ] && [ -n "$wineserver" ]; then
        "$wineserver" -k >/dev/null 2>&1 || true
        "$wineserver" -w >/dev/null 2>&1 || true
    fi
    ;;
'' | --help)
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    ;;
*)
    if [ ! -e "$1" ]; then
        case $1 in
        */*)
            echo "wine-run: there is no program at $1" >&2
            exit 127
            ;;
        esac
    fi
    [ -f "$ready" ] || init
    warm_up
    exec "$wine" "$@"
    ;;
esac
