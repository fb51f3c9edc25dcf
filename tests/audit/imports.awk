# imports.awk - judges the imports of our objects by rules.txt. Called by imports.sh.
#
# Input: the rules file, then lines "object SOURCE", "symbol TYPE NAME", "literal TEXT",
# "instruction TEXT", "opaque WHY". Output: one line a finding, then a summary. Exit code 1 when
# there was a finding.

function trim(text) {
    gsub(/^[ \t]+|[ \t]+$/, "", text)
    return text
}

function as_regex(glob) {
    gsub(/[.+()^$|\[\]{}\\]/, "\\\\&", glob)
    gsub(/\*/, ".*", glob)
    gsub(/\?/, ".", glob)
    return "^" glob "$"
}

function finding(source, class, text) {
    printf "%s: [%s] %s\n", source, class, text
    findings++
}

function bad_rule(text) {
    printf "rules.txt:%d: [rules] %s\n", rule_line, text
    findings++
}

function add_rule(line,    part, count, names, i) {
    count = split(line, part, /\|/)
    for (i = 1; i <= count; i++) {
        part[i] = trim(part[i])
    }
    if (count != 4 || part[1] == "" || part[2] == "" || length(part[4]) < 4) {
        bad_rule("want: symbols | files | verdict | reason")
        return
    }
    if (part[3] !~ /^(never|io|output|edge|plain)$/) {
        bad_rule("no verdict \"" part[3] "\"")
        return
    }
    if ((part[3] == "never") != (part[2] == "-")) {
        bad_rule("the files of a forbidden symbol are -, and of no other")
        return
    }
    count = split(part[1], names, /[ \t]+/)
    for (i = 1; i <= count; i++) {
        rules++
        pattern[rules] = as_regex(names[i])
        files[rules] = part[2]
        verdict[rules] = part[3]
        reason[rules] = part[4]
    }
}

# The name that a person would write in the table.
function normal(name) {
    sub(/@.*/, "", name)
    sub(/^__imp_/, "", name)
    if (name ~ /^__.*_chk$/) { # _FORTIFY_SOURCE
        sub(/^__/, "", name)
        sub(/_chk$/, "", name)
    }
    sub(/^__isoc(99|23)_/, "", name)
    if (name ~ /^(open|openat|fstat|lstat|stat|creat|fopen|mkstemp|sendfile|fcntl)64$/) {
        sub(/64$/, "", name)
    }
    return name
}

function allows(rule, source,    list, count, i) {
    count = split(files[rule], list, /[ \t]+/)
    for (i = 1; i <= count; i++) {
        if (source ~ as_regex(list[i])) {
            return 1
        }
    }
    return 0
}

function judge(source, name,    i, last, is_named) {
    imports++
    for (i = 1; i <= rules; i++) {
        if (name !~ pattern[i]) {
            continue
        }
        if (verdict[i] == "never") {
            # A later, narrower line may not soften it: what is forbidden is forbidden.
            finding(source, "never", name ": " reason[i])
            return
        }
        if (allows(i, source)) {
            used[verdict[i]]++
            return
        }
        is_named = 1
        last = i
    }
    if (is_named) {
        finding(source, verdict[last], name " belongs in " files[last] ": " reason[last])
    } else if (!(name in ours)) {
        finding(source, "unknown", name ": no line in rules.txt names this import")
    }
}

# A literal that spells a function may be meant for GetProcAddress. Everyday words ("read") count
# only where something is looked up.
function judge_literal(source, text,    i) {
    if (text !~ /^[A-Za-z_][A-Za-z0-9_]*$/ || (text ~ /^[a-z]+$/ && !(source in looks_up))) {
        return
    }
    for (i = 1; i <= rules; i++) {
        if (verdict[i] ~ /^(never|io|output)$/ && text ~ pattern[i]) {
            finding(source, "literal", "the string \"" text "\" spells a function of rules.txt")
            return
        }
    }
}

FNR == NR {
    if ($0 ~ /^[ \t]*(#|$)/) {
        next
    }
    if ($0 ~ /^[ \t]/) {
        rule = rule $0
        next
    }
    if (rule != "") {
        add_rule(rule)
    }
    rule = $0
    rule_line = FNR
    next
}

rule != "" {
    add_rule(rule)
    rule = ""
}

$1 == "object" {
    source = $2
    objects++
    sources[objects] = source
    next
}

$1 == "symbol" {
    seen[source]++
    name = normal($3)
    if ($2 ~ /^[UwvI]$/) {
        if (!((source, name) in known)) {
            known[source, name] = 1
            total++
            import_source[total] = source
            import_name[total] = name
        }
        if (name ~ /^(GetProcAddress.*|LdrGetProcedureAddress|dlsym|dlvsym|uv_dlsym)$/) {
            looks_up[source] = 1
        }
    } else if ($2 ~ /^[A-Z]$/) {
        ours[name] = 1
    }
    next
}

$1 == "literal" {
    literals++
    literal_source[literals] = source
    literal_text[literals] = substr($0, 9)
    next
}

$1 == "opaque" {
    seen[source]++
    finding(source, "object", "cannot be judged: " substr($0, 8))
    next
}

$1 == "instruction" {
    finding(source, "instruction", "a system call without a name: " substr($0, 13))
    next
}

END {
    if (rules == 0 || objects == 0) {
        print "imports: nothing to check: " rules + 0 " rules, " objects + 0 " objects"
        exit 2
    }
    for (i = 1; i <= objects; i++) {
        if (!(sources[i] in seen)) {
            finding(sources[i], "object", "cannot be judged: no symbols")
        }
    }
    for (i = 1; i <= total; i++) {
        judge(import_source[i], import_name[i])
    }
    for (i = 1; i <= literals; i++) {
        judge_literal(literal_source[i], literal_text[i])
    }
    printf "imports: %d objects, %d imports (%d io, %d output, %d edge, %d plain), " \
        "%d literals: %d findings\n", objects, imports, used["io"], used["output"], used["edge"], \
        used["plain"], literals, findings
    exit findings > 0 ? 1 : 0
}
