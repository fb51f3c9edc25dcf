#!/bin/sh
# Judges what our objects import: imports.sh RULES OBJECT-LIST BUILD-DIRECTORY
# OBJECT-LIST: one object file a line. Tools: $NM, $OBJDUMP and $STRINGS (default: the machine's
# own). Rules and findings: rules.txt, docs/audit.md. Exit code 0 = no finding, 1 = findings, 2 =
# cannot tell.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
rules=$1 list=$2 build=$3
nm=${NM:-nm} objdump=${OBJDUMP:-objdump} strings=${STRINGS:-strings}

facts=$(mktemp)
trap 'rm -f "$facts"' EXIT

# engine/CMakeFiles/sluice_engine.dir/iocp.c.obj -> engine/iocp.c
source_of() {
    printf '%s\n' "${1#"$build"/}" |
        sed 's,CMakeFiles/[^/]*\.dir/,,; s,/\./,/,g; s,^\./,,; s,\.obj$,,; s,\.o$,,'
}

while IFS= read -r object; do
    [ -n "$object" ] || continue
    if [ ! -f "$object" ]; then
        echo "imports: no object $object: build first" >&2
        exit 2
    fi
    echo "object $(source_of "$object")"
    # Nothing can be said of an object that holds no machine code yet.
    if ! headers=$("$objdump" -h "$object" 2>/dev/null); then
        echo "opaque the tools cannot read it"
        continue
    fi
    case $headers in *.gnu.lto_*) echo "opaque link-time optimisation" ;; esac
    "$nm" "$object" 2>/dev/null |
        awk 'NF == 2 { print "symbol", $1, $2 } NF == 3 { print "symbol", $2, $3 }'
    "$strings" -d -n 4 "$object" | sed 's/^/literal /'
    "$objdump" -d --no-show-raw-insn "$object" |
        awk -F '\t' '$2 ~ /^(syscall|sysenter|int +\$0x(80|2e))/ { print "instruction", $2 }'
done <"$list" >"$facts"

awk -f "$here/imports.awk" "$rules" "$facts"
