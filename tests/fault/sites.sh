#!/bin/sh
# The list of the places in a program that call the system: sites.sh OBJDUMP PROGRAM TREE/ OUTPUT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
"$1" -dl --no-show-raw-insn "$2" | awk -v prefix="$3" -f "$here/sites.awk" >"$4"
