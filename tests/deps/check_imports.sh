#!/bin/sh
# A Windows program of ours may import system DLLs only: not libgcc_*.dll, not libwinpthread-1.dll.
# check_imports.sh PROGRAM [DLL]    DLL: one of ours that lies beside it
set -eu
own=${2:-none}
dlls=$(x86_64-w64-mingw32-objdump -p "$1" | sed -n 's/^[[:space:]]*DLL Name: //p')
[ -n "$dlls" ] || { echo "no imports found in $1" >&2; exit 1; }
echo "imports of ${1##*/}:" $dlls
for dll in $dlls; do
    case $(printf '%s' "$dll" | tr '[:upper:]' '[:lower:]') in
    "$own") ;;
    kernel32.dll | msvcrt.dll | ucrtbase.dll | api-ms-win-*.dll) ;;
    ws2_32.dll | advapi32.dll | user32.dll | bcrypt.dll) ;;
    iphlpapi.dll | psapi.dll | userenv.dll | ntdll.dll | ole32.dll | shell32.dll | dbghelp.dll) ;;
    *) echo "$dll is not a DLL of the system's" >&2; exit 1 ;;
    esac
done
