#!/bin/sh
# Shows that tidy.sh is able to fail: small trees, each wrong in one way, must give exactly the
# finding of the rule in question; the right tree, and the right variants next to each wrong one,
# none.
set -eu
tidy=$(cd "$(dirname "$0")" && pwd)/tidy.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
cases=0
failures=0

# A small tree in which nothing is wrong.
fresh_tree() {
    rm -rf "$tree"
    for folder in base engine proto broker client client/include/sluice tests tests/tidy; do
        mkdir -p "$tree/$folder"
    done
    echo 'int list(void);' >"$tree/base/list.h"
    printf '#include "base/list.h"\n\nint list(void) {\n    return 1;\n}\n' >"$tree/base/list.c"
    printf '#include <windows.h>\n#include "base/list.h"\n' >"$tree/base/clock_win.c"
    printf '#include <sys/epoll.h>\n#include <unistd.h>\n' >"$tree/engine/epoll.c"
    printf '#ifdef _WIN32\n#endif\n#include "base/list.h"\n' >"$tree/engine/iocp_pipe.c"
    printf '#include "engine/engine.h"\n' >"$tree/tests/engine_test.c"
    printf '#include "base/list.h"\n' >"$tree/engine/engine.h"
    printf '#include "engine/engine.h"\n' >"$tree/proto/frame.h"
    printf '#include "proto/frame.h"\n#include <stdint.h>\n' >"$tree/broker/main.c"
    printf '#include <stdint.h>\n' >"$tree/client/include/sluice/sluice.h"
    printf '#include "proto/frame.h"\n#include <sluice/sluice.h>\n' >"$tree/client/client.c"
    cat >"$tree/CMakeLists.txt" <<'END'
add_library(base base/list.c base/clock_win.c)
add_library(engine engine/epoll.c engine/iocp_pipe.c)
foreach(name main)
    add_executable(${name} broker/${name}.c)
endforeach()
add_library(client ${PROJECT_SOURCE_DIR}/client/client.c)
END
    echo 'add_executable(engine_test engine_test.c)' >"$tree/tests/CMakeLists.txt"
    echo '# none' >"$tree/tests/tidy/allow.txt"
}

# wrong RULE WHAT: the tree as it stands must give findings of this rule and of no other.
wrong() {
    cases=$((cases + 1))
    if "$tidy" "$tree" >"$work/out" 2>&1; then
        echo "NOT CAUGHT: $2 ($1)"
        failures=$((failures + 1))
    elif ! grep -q "\[$1\]" "$work/out" || grep '\[' "$work/out" | grep -qv "\[$1\]"; then
        echo "CAUGHT AS SOMETHING ELSE: $2 ($1)"
        cat "$work/out"
        failures=$((failures + 1))
    else
        echo "caught: $2: $(grep -m 1 "\[$1\]" "$work/out")"
    fi
    fresh_tree
}

# right WHAT: the tree as it stands is fine.
right() {
    cases=$((cases + 1))
    if "$tidy" "$tree" >"$work/out" 2>&1; then
        echo "fine:   $1"
    else
        echo "WRONGLY BLAMED: $1"
        cat "$work/out"
        failures=$((failures + 1))
    fi
    fresh_tree
}

# add FILE LINE...: appends lines.
add() {
    file=$tree/$1
    shift
    printf '%s\n' "$@" >>"$file"
}

fresh_tree
right "a tree in which nothing is wrong"

add base/list.c '#include "engine/engine.h"'
wrong include-direction "base includes engine"
add engine/engine.h '#include "proto/frame.h"'
wrong include-direction "engine includes proto"
add proto/frame.h '#include "broker/session.h"'
wrong include-direction "proto includes broker"
add broker/main.c '#include <sluice/sluice.h>'
wrong include-direction "broker includes the client's public header"
add client/client.c '#include "broker/session.h"'
wrong include-direction "client includes broker"
add engine/epoll.c '#include "tests/harness.h"'
wrong include-direction "engine includes a test's header"
add base/list.c '#include "list.h"'
wrong include-direction "an include that does not start at the top"
add client/include/sluice/sluice.h '#include "base/list.h"'
wrong include-direction "a public header includes an internal one"
add base/list.c '/* #include "engine/engine.h"' '#include "engine/engine.h" */'
right "an include inside a comment"

for header in windows.h winsock2.h unistd.h sys/socket.h pthread.h poll.h fcntl.h netinet/in.h; do
    add broker/main.c "#include <$header>"
    wrong os-header "<$header> in the broker"
done
add engine/engine.h '#  include <windows.h> /* why not */'
wrong os-header "<windows.h> in the engine's contract"
add client/client.c '#include <uv.h>'
wrong os-header "<uv.h> in the client"
add tests/engine_test.c '#include <uv.h>'
right "<uv.h> in a test"

add base/list.c '#ifdef _WIN32' '#endif'
wrong platform-if "#ifdef _WIN32 in base"
add broker/main.c '#if defined(__GNUC__) && \' '    !defined(__linux__)' '#endif'
wrong platform-if "__linux__ on the second line of an #if"
add base/list.h '#if defined(__GNUC__)' '#endif'
right "a compiler conditional"

add base/orphan.c 'int orphan;'
wrong dead-file "a .c that no CMakeLists.txt names"
add broker/orphan.c 'int orphan;'
wrong dead-file "a .c that only resembles a \${name}.c"
add base/orphan.h '#include "base/orphan.h"'
wrong dead-file "a .h that only itself includes"
add CMakeLists.txt '# base/orphan.c'
add base/orphan.c 'int orphan;'
wrong dead-file "a .c that is named in a comment only"

awk 'BEGIN { for (i = 0; i < 600; i++) print "int x" i ";" }' >>"$tree/base/list.c"
wrong file-length "a file of more than 600 lines"
{ printf 'static int f(int a) {\n'; awk 'BEGIN { for (i = 0; i < 68; i++) print "    a++;" }'
    printf '    return a;\n}\n'; } >>"$tree/base/list.c"
wrong function-length "a function of 71 lines"
{ printf 'static int f(int a) {\n'; awk 'BEGIN { for (i = 0; i < 67; i++) print "    a++;" }'
    printf '    return a;\n}\n'; } >>"$tree/base/list.c"
right "a function of 70 lines"
{ printf 'static const int t[] = {\n'; awk 'BEGIN { for (i = 0; i < 90; i++) print "    1," }'
    printf '};\n'; } >>"$tree/base/list.c"
right "a table of 90 lines"

add base/list.c "/* $(printf '%0100d' 0) */"
wrong line-length "a line of 106 columns"
add CMakeLists.txt "set(x $(printf '%0100d' 0))"
wrong line-length "a long line in CMakeLists.txt"
add base/list.c "$(printf '\tint x;')"
wrong whitespace "a tab"
add base/list.c 'int x; '
wrong whitespace "a blank at the end of a line"
add base/list.c "$(printf 'int x;\r')"
wrong whitespace "a carriage return"

for call in 'sleep(1)' 'usleep(10)' 'nanosleep(&t, 0)' 'Sleep (0)' 'SleepEx(1, 1)' \
    'thrd_sleep(&t, 0)'; do
    add tests/engine_test.c "void f(void) {" "    $call;" "}"
    wrong sleep "$call in a test"
done
add tests/engine_test.c '/* sleep(1) */ // Sleep(2)' 'const char *s = "sleep(1) \" usleep(2)";'
right "sleep() in comments and strings"
add tests/engine_test.c 'void f(void) {' '    SleepConditionVariableSRW(&c, &l, 1, 0);' '}'
right "a condition variable's wait"

add base/list.c '#ifdef _WIN32' '#endif'
add tests/tidy/allow.txt 'platform-if | base/list.c | shown to work by the self-test'
right "an allowed exception"
add broker/main.c '#ifdef _WIN32' '#endif'
add tests/tidy/allow.txt 'platform-if | base/list.c | another file, not this one'
echo '#ifdef _WIN32' >>"$tree/base/list.c"
wrong platform-if "an exception does not reach another file"
add tests/engine_test.c 'void f(void) {' '    Sleep(1);' '}' 'void g(void) {' '    sleep(1);' '}'
add tests/tidy/allow.txt 'sleep | tests/*.c:Sleep | only this one call'
wrong sleep "an exception for one symbol does not reach another"
add tests/tidy/allow.txt 'platform-if | base/list.c | nothing here needs it'
wrong allow-list "an exception that is not needed"
add tests/tidy/allow.txt 'platform-if | base/list.c |'
wrong allow-list "an exception without a reason"

rm -rf "$tree"
mkdir -p "$tree"
cases=$((cases + 1))
if "$tidy" "$tree" >/dev/null 2>&1; then
    echo "NOT CAUGHT: an empty tree passes"
    failures=$((failures + 1))
fi

echo "tidy_selftest: $cases cases, $failures failures"
[ "$failures" = 0 ]
