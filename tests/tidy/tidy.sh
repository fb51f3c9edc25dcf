#!/bin/sh
# Checks the source tree for what a compiler does not see. Usage: tidy.sh [TREE [ALLOW-LIST]]
#   include-direction  base <- engine <- proto <- {broker, client}; tests may include all
#   os-header          no OS header outside engine backends, *_win.[ch] and *_posix.[ch]
#   platform-if        no #ifdef _WIN32 and the like outside those files
#   dead-file          a .c that no CMakeLists.txt names, a .h that nobody includes
#   file-length        more than 600 lines          function-length  more than 70 lines
#   line-length        more than 100 columns        whitespace       tabs, blanks at the end of a
#                      line
#   sleep              sleep() and its relatives: wait for the event itself
# The allow list (tests/tidy/allow.txt) names exceptions, each with its reason; one that is not
# needed any more is a finding, too. POSIX sh and awk only: nothing needs to be installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=${1:-$here/../..}
allow=${2:-$tree/tests/tidy/allow.txt}
cd "$tree"
[ -f "$allow" ] || allow=/dev/null

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

find . \( -name .git -o -name build -o -name vcpkg_installed -o -name .cache \) -prune -o -type f \
    \( -name '*.[ch]' -o -name CMakeLists.txt -o -name '*.cmake' -o -name '*.sh' -o -name '*.awk' \
    -o -name '*.md' -o -name '*.json' -o -name '*.proto' -o -name '*.txt' -o -path './.ci/*' \) \
    -size +0 -print | LC_ALL=C sort >"$work/files"
if ! grep -q '\.[ch]$' "$work/files"; then
    echo "tidy: no C file under $tree: nothing was checked" >&2
    exit 2
fi
# No name with a blank may appear in a source tree; xargs would take it for two.
if grep -q '[[:space:]]' "$work/files"; then
    grep '[[:space:]]' "$work/files" >&2
    echo "tidy: a file name with a blank in it" >&2
    exit 2
fi
# shellcheck disable=SC2046 # one word a file, see above
awk -f "$here/tidy.awk" $(cat "$work/files") >"$work/findings"

# Takes away what the allow list allows, and prints the rest.
awk -v list="$allow" '
    function as_pattern(glob) {
        gsub(/[.+?()^$|]/, "\\\\&", glob)
        gsub(/\*/, "[^/]*", glob)
        return "^" glob "$"
    }
    BEGIN {
        FS = "\t"
        while ((getline line < list) > 0) {
            number++
            if (line ~ /^[ ]*(#|$)/) {
                continue
            }
            if (split(line, part, / *\| */) != 3 || part[3] !~ /[A-Za-z]+ +[^ ]/) {
                printf "allow.txt:%d: [allow-list] want: rule | path[:function] | reason\n", number
                bad++
                continue
            }
            rule[++count] = part[1]
            pattern[count] = as_pattern(part[2])
            text[count] = line
            at[count] = number
        }
    }
    {
        for (i = 1; i <= count; i++) {
            if (rule[i] == $1 && ($2 ~ pattern[i] || ($4 != "" && ($2 ":" $4) ~ pattern[i]))) {
                used[i] = 1
                allowed++
                next
            }
        }
        printf "%s:%d: [%s] %s\n", $2, $3, $1, $5
        bad++
    }
    END {
        for (i = 1; i <= count; i++) {
            if (!(i in used)) {
                printf "allow.txt:%d: [allow-list] allows nothing any more: %s\n", at[i], text[i]
                bad++
            }
        }
        printf "tidy: %d findings, %d allowed\n", bad, allowed
        exit bad > 0
    }' "$work/findings"
