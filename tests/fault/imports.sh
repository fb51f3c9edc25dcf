#!/bin/sh
# Can a call of ours escape the test? imports.sh OBJECT-LIST CALLS EXEMPT CALLER...
#   OBJECT-LIST  the objects of the product, one a line
#   CALLS        the table of what is made to fail: lines "X(NAME, ..."
#   EXEMPT       what is not, with a reason: "NAME NAME ... | reason"
#   CALLER       the source files that are compiled into the test once more
# Findings: an import that is in neither list; a row of CALLS that nothing imports; an object that
# imports one and is no CALLER. Tool: $NM.
set -eu
objects=$1 calls=$2 exempt=$3
shift 3
nm=${NM:-nm}
facts=$(mktemp)
trap 'rm -f "$facts" "$facts.names"' EXIT
if ! xargs "$nm" -A <"$objects" >"$facts.names"; then
    echo "imports: an object is missing: build first" >&2
    exit 2
fi
sed 's/^\(.*\):\([^:]*\)$/\1 \2/' "$facts.names" | awk '
    NF == 3 { print "needs", $3, $1 }
    NF == 4 { print "has", $4, $1 }' >"$facts"
awk -v callers="$*" '
    function as_regex(glob) {
        gsub(/[.+()^$|\[\]{}\\]/, "\\\\&", glob)
        gsub(/\*/, ".*", glob)
        return "^" glob "$"
    }
    function add_rule(text,    part, name, n, i) {
        n = split(text, part, "|")
        if (n != 2 || length(part[2]) < 8) {
            print "exempt: want NAME ... | reason: " text
            bad++
        }
        n = split(part[1], name, " ")
        for (i = 1; i <= n; i++) {
            pattern[++patterns] = as_regex(name[i])
        }
    }
    function is_exempt(name,    i) {
        for (i = 1; i <= patterns; i++) {
            if (name ~ pattern[i]) {
                return 1
            }
        }
        return 0
    }
    FILENAME == ARGV[1] {
        if (/^    X\(/ && match($0, /X\([A-Za-z0-9_]+,/)) {
            call[substr($0, RSTART + 2, RLENGTH - 3)] = 1
            calls++
        }
        next
    }
    FILENAME == ARGV[2] {
        if ($0 ~ /^#/ || $0 ~ /^ *$/) {
            next
        }
        if ($0 !~ /^ /) {
            if (rule != "") {
                add_rule(rule)
            }
            rule = ""
        }
        rule = rule $0
        next
    }
    rule != "" { add_rule(rule); rule = "" }
    { sub(/^__imp_/, "", $2); sub(/@.*/, "", $2) }
    { sub(/^__isoc[0-9]+_/, "", $2) } # the C library of Debian 13 (glibc 2.38)
    $1 == "has" { ours[$2] = 1; next }
    { needed[$2] = needed[$2] " " $3 }
    END {
        for (name in needed) {
            if (name in ours) {
                continue
            }
            imports++
            if (name in call) {
                n = split(needed[name], object, " ")
                for (i = 1; i <= n; i++) {
                    source = object[i]
                    sub(/.*\//, "", source)
                    sub(/\.(o|obj)$/, "", source)
                    if ((" " callers " ") !~ ("/" source " ")) {
                        print source " calls " name " and is not compiled into the test"
                        bad++
                    }
                }
            } else if (!is_exempt(name)) {
                print name " is in neither list:" needed[name]
                bad++
            }
        }
        for (name in call) {
            if (!(name in needed)) {
                print name " is made to fail, and nothing calls it"
                bad++
            }
        }
        printf "imports: %d names, %d of them made to fail: %d findings\n", imports, calls, bad
        exit bad > 0 || imports == 0
    }' "$calls" "$exempt" "$facts"
