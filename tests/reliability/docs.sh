#!/bin/sh
# The table "Reliability" of docs/testing.md says what deploy/reliability.sh says of itself, row by
# row: docs.sh SCRIPT PAGE.
set -eu
script=$1
page=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Both as NAME|WHAT|PASS MARK.
"$script" --list | awk '
    /^ / { sub(/^ *pass mark: /, ""); print row "|" $0; next }
    { name = $1; sub(/^[^ ]+ +/, ""); row = name "|" $0 }' >"$work/script"
awk '
    /^## / { is_here = $0 == "## Reliability" }
    is_here && /^\| `/ {
        gsub(/^\| `|`| \|$/, "")
        gsub(/ \| /, "|")
        print
    }' "$page" >"$work/page"
[ -s "$work/script" ] || { echo "the script lists nothing"; exit 1; }
diff "$work/script" "$work/page" || {
    echo "< deploy/reliability.sh --list; > the table \"Reliability\" of docs/testing.md"
    exit 1
}
echo "$(wc -l <"$work/script") rows, the same in both"
