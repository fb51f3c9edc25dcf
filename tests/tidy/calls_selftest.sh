#!/bin/sh
# Shows that calls.sh catches what it must: calls_selftest.sh COMPILER [FLAG...]
# Compiles small files that call each other, in three layers, and compares the findings.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 count=0

# What is right: each calls below it, and c2 within its layer.
fresh() {
    rm -f "$work"/*.c "$work"/*.o
    put a 'void b(void); void a(void) { b(); }'
    put b 'void c(void); void c2(void); void b(void) { c(); c2(); }'
    put c 'void c(void) {}'
    put c2 'void c(void); void c2(void) { c(); }'
    printf '# a comment\n\ntop | a\nmiddle | b\nlow | c*\n' >"$work/layers"
}

# put NAME CODE: makes that file, and its object.
put() {
    printf '%s\n' "$2" >"$work/$1.c"
    $compiler -O1 -w -c -o "$work/$1.o" "$work/$1.c"
}

run() {
    for object in "$work"/*.o; do
        [ ! -f "$object" ] || echo "$object"
    done >"$work/list"
    "$here/calls.sh" "$work/layers" "$work/list" >"$work/out" 2>&1 && code=0 || code=$?
    count=$((count + 1))
}

wrong() {
    echo "WRONG $1: exit code $code, found:"
    cat "$work/out"
    failed=$((failed + 1))
}

# right WHAT
right() {
    run
    if [ "$code" = 0 ]; then echo "fine:   $1"; else wrong "$1"; fi
    fresh
}

# caught WHAT FINDING...: these findings and no others.
caught() {
    what=$1
    shift
    run
    is_good=1
    [ "$code" = 1 ] && [ "$(grep -c '^calls: \[' "$work/out")" = $# ] || is_good=0
    for finding in "$@"; do
        grep -qxF "calls: $finding" "$work/out" || is_good=0
    done
    if [ "$is_good" = 1 ]; then echo "caught: $what: $1"; else wrong "$what"; fi
    fresh
}

compiler="$*"
fresh
right "calls down, and within a layer"

put c 'void b(void); void c(void) { b(); }'
caught "an upward call" "[up] c (low) -> b (middle): b"
put c 'void a(void); void b(void); void c(void) { a(); b(); }'
caught "two upward calls" "[up] c (low) -> a (top): a" "[up] c (low) -> b (middle): b"
put c 'void b(void); void (*c_table[])(void) = {b}; void c(void) {}'
caught "a function's address taken from above" "[up] c (low) -> b (middle): b"
put b 'void c(void); int b_state; void b(void) { c(); }'
put c 'extern int b_state; void c(void) { b_state++; }'
caught "a variable of a higher layer" "[up] c (low) -> b (middle): b_state"

put c 'void c2(void); void c(void) { c2(); }'
caught "two files that call each other" "[cycle] c -> c2 (c2), c2 -> c (c)"
put c 'void c3(void); void c(void) { c3(); }'
put c3 'void c2(void); void c3(void) { c2(); }'
caught "three files in a circle" "[cycle] c -> c3 (c3), c3 -> c2 (c2), c2 -> c (c)"
put c 'void c2(void); void c(void) { c2(); }'
put c3 'void c4(void); void c3(void) { c4(); }'
put c4 'void c3(void); void c4(void) { c3(); }'
caught "two circles" "[cycle] c -> c2 (c2), c2 -> c (c)" "[cycle] c3 -> c4 (c4), c4 -> c3 (c3)"
put c 'void c2(void); static void d(void) { c2(); } void c(void) { d(); }'
put c2 'static void d(void) {} void c2(void) { d(); }'
right "statics of one name are two functions"
put c 'int puts(const char *); void c(void) { puts("x"); }'
right "what no file has is not ours"

put d 'void d(void) {}'
caught "a file without a layer" "[layers] d has no layer"
echo 'low | c b' >>"$work/layers"
caught "a file with two layers" "[layers] b has more than one layer: middle low"
echo 'low | gone' >>"$work/layers"
caught "a file that there is not" "[layers] there is no file gone"
echo 'low | gone_win gone_posix' >>"$work/layers"
right "a file of another platform"
echo 'low c' >>"$work/layers"
caught "a line that is none" "[layers] want LAYER | FILE ...: low c"
echo 'top | c2' >>"$work/layers"
caught "a layer in two places" "[layers] a layer in two places: top" \
    "[up] b (middle) -> c2 (top): c2"

rm -f "$work"/*.o
run
[ "$code" != 0 ] || wrong "nothing to judge is no success"
fresh
run
echo "$work/none.o" >>"$work/list"
"$here/calls.sh" "$work/layers" "$work/list" >"$work/out" 2>&1 && code=0 || code=$?
[ "$code" = 2 ] || wrong "an object that is missing is no success"

echo "calls_selftest: $count cases, $failed wrong"
[ "$failed" = 0 ]
