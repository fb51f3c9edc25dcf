#!/bin/sh
# The places in a program that call the system (calls), or that ask for memory (memory):
# sites.sh OBJDUMP PROGRAM TREE/ calls|memory OUTPUT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
acquires=$(cd "$3" && grep -n -e '->acquire(' base/*.c engine/*.c proto/*.c client/*.c broker/*.c |
    grep -v '^base/alloc\.c' | cut -d: -f1,2 | tr '\n' ' ')
"$1" -dl --no-show-raw-insn "$2" |
    awk -v prefix="$3" -v kind="$4" -v acquires="$acquires" -f "$here/sites.awk" >"$5"
