#!/bin/sh
# Do calls in a folder go one way? calls.sh LAYERS OBJECT-LIST
#   LAYERS       the table of layers, from the top down: calls.txt
#   OBJECT-LIST  object files, one a line; each is known by the name of its source file
# A call is a symbol that one object needs and another one has: also a function whose address is
# taken, and a variable. What is inline in a header is no call. Findings:
#   [up]     a call of a higher layer
#   [cycle]  calls within a layer that lead back to where they begin
#   [layers] a file without a layer, or with two; a line that is none; a file that there is not
# Exit code 0 = no finding, 1 = findings, 2 = cannot tell. Tool: $NM.
set -eu
layers=$1 objects=$2
nm=${NM:-nm}
facts=$(mktemp)
trap 'rm -f "$facts"' EXIT
while IFS= read -r object; do
    [ -n "$object" ] || continue
    if ! symbols=$("$nm" "$object" 2>/dev/null); then
        echo "calls: cannot read $object: build first" >&2
        exit 2
    fi
    name=$(basename "$object" | sed 's,\.obj$,,; s,\.o$,,; s,\.c$,,')
    printf '%s\n' "$symbols" | awk -v name="$name" '
        BEGIN { print "object", name }
        $NF ~ /^\.refptr\./ { next } # a pointer that MinGW makes; what it points to follows
        { sub(/^__imp_/, "", $NF) }
        NF == 2 && $1 ~ /^[Uw]$/ { print "needs", name, $2 }
        NF == 3 && $2 ~ /^[ABCDGRSTVW]$/ { print "has", name, $3 }'
done <"$objects" >"$facts"

awk '
function finding(kind, text) {
    print "calls: [" kind "] " text
    findings++
}
function as_regex(glob) {
    gsub(/\*/, ".*", glob)
    return "^" glob "$"
}
function read_layers(text,    part, name, n, i) {
    n = split(text, part, /[ \t]*\|[ \t]*/)
    if (n != 2 || part[1] !~ /^[a-z_]+$/ || part[2] == "") {
        finding("layers", "want LAYER | FILE ...: " text)
        return
    }
    if (!(part[1] in rank)) {
        rank[part[1]] = ++ranks
    } else if (rank[part[1]] != ranks) {
        finding("layers", "a layer in two places: " part[1])
    }
    n = split(part[2], name, " ")
    for (i = 1; i <= n; i++) {
        pattern[++patterns] = name[i]
        layer_of_pattern[patterns] = part[1]
    }
}
function find_layer(file,    i, found) {
    for (i = 1; i <= patterns; i++) {
        if (file == pattern[i] || (pattern[i] ~ /\*/ && file ~ as_regex(pattern[i]))) {
            is_used[i] = 1
            found = found " " layer_of_pattern[i]
            if (pattern[i] !~ /\*/) { # its own name is said
                layer[file] = layer_of_pattern[i]
                named[file]++
            } else if (!(file in layer)) {
                layer[file] = layer_of_pattern[i]
            }
        }
    }
    if (found == "") {
        finding("layers", file " has no layer")
    } else if (named[file] > 1) {
        finding("layers", file " has more than one layer:" found)
    }
}
# Takes away, again and again, what no call leads to or from: what is left goes round.
function trim(    i, j, changed, has_in, has_out) {
    do {
        changed = 0
        for (i = 1; i <= files; i++) {
            if (!(file[i] in left)) {
                continue
            }
            has_in = has_out = 0
            for (j = 1; j <= files; j++) {
                has_out += file[j] in left && (file[i], file[j]) in level
                has_in += file[j] in left && (file[j], file[i]) in level
            }
            if (!has_in || !has_out) {
                delete left[file[i]]
                changed = 1
            }
        }
    } while (changed)
}
# From any of those that are left, onward until one is met again. Its last call is then forgotten,
# so that the next one is found.
function find_cycle(    i, j, at, step, path, seen, text) {
    at = ""
    for (i = 1; i <= files && at == ""; i++) {
        at = file[i] in left ? file[i] : ""
    }
    if (at == "") {
        return 0
    }
    for (step = 1; !(at in seen); step++) {
        seen[at] = step
        path[step] = at
        for (j = 1; j <= files; j++) {
            if (file[j] in left && (at, file[j]) in level) {
                at = file[j]
                break
            }
        }
    }
    path[step] = at
    text = ""
    for (i = seen[at]; i < step; i++) {
        text = text (text == "" ? "" : ", ") path[i] " -> " path[i + 1] " (" \
            symbols[path[i], path[i + 1]] ")"
    }
    finding("cycle", text)
    delete level[path[step - 1], path[step]]
    return 1
}
FILENAME == ARGV[1] {
    sub(/[ \t]*$/, "")
    if ($0 != "" && $0 !~ /^#/) {
        read_layers($0)
    }
    next
}
$1 == "object" && !($2 in known) { known[$2] = 1; file[++files] = $2; find_layer($2); next }
$1 == "has" { owner[$3] = $2; next }
$1 == "needs" { need[++needs] = $2 " " $3; next }
END {
    for (i = 1; i <= patterns; i++) { # of another platform, or of a test build: may be missing
        if (!is_used[i] && pattern[i] !~ /\*/ && pattern[i] !~ /_(win|posix)$/ &&
            pattern[i] !~ /^failpoint_/) {
            finding("layers", "there is no file " pattern[i])
        }
    }
    for (i = 1; i <= needs; i++) {
        split(need[i], part, " ")
        from = part[1]
        to = part[2] in owner ? owner[part[2]] : from
        if (to == from) {
            continue
        }
        if (!((from, to) in symbols)) {
            calls++
            edge[calls] = from SUBSEP to
            symbols[from, to] = part[2]
        } else if (index(" " symbols[from, to] ",", " " part[2] ",") == 0) {
            symbols[from, to] = symbols[from, to] ", " part[2]
        }
    }
    for (i = 1; i <= calls; i++) {
        split(edge[i], part, SUBSEP)
        from = part[1]
        to = part[2]
        if (!(from in layer) || !(to in layer)) {
            continue
        }
        if (rank[layer[to]] < rank[layer[from]]) {
            finding("up", from " (" layer[from] ") -> " to " (" layer[to] "): " symbols[from, to])
        } else if (layer[from] == layer[to]) {
            level[from, to] = 1
        }
    }
    do {
        split("", left)
        for (i = 1; i <= files; i++) {
            left[file[i]] = 1
        }
        trim()
    } while (find_cycle())
    printf "calls: %d files, %d pairs of caller and called: %d findings\n", files, calls, findings
    exit findings > 0 ? 1 : calls == 0 ? 2 : 0
}' "$layers" "$facts"
