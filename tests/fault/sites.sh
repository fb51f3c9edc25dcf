#!/bin/sh
# The places in a program that call the system (calls), or that ask for memory (memory):
# sites.sh OBJDUMP PROGRAM TREE/ calls|memory OUTPUT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# Calls through a member of a structure, by the text of the source: "FILE:LINE:CALL".
known=$(cd "$3" && for pair in 'acquire ->acquire(' 'AcceptEx ->accept_ex(' \
    'ConnectEx ->connect_ex('; do
    grep -n -F -e "${pair#* }" base/*.c engine/*.c proto/*.c client/*.c broker/*.c |
        sed -n "s/^\\([^:]*:[0-9]*\\):.*/\\1:${pair%% *}/p"
done | grep -v '^base/alloc\.c' | tr '\n' ' ')
"$1" -dl --no-show-raw-insn "$2" |
    awk -v prefix="$3" -v kind="$4" -v known="$known" -f "$here/sites.awk" >"$5"
