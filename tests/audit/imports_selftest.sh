#!/bin/sh
# Shows that imports.sh catches what it must: imports_selftest.sh linux|windows COMPILER [FLAG...]
# Compiles small wrong (and some right) objects, each under the name of a source file, and
# compares the finding. A rule class that catches nothing would be found here, not in a review.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
system=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 count=0

# Judges the object of $1 (source file, as engine/x.c); $2 = the expected finding, "" for none.
judge() {
    "$here/imports.sh" "$here/rules.txt" "$work/list" "$work" >"$work/out" 2>&1 && code=0 || code=$?
    count=$((count + 1))
    if [ -z "$2" ] && [ "$code" = 0 ]; then
        echo "ok    $1: allowed"
    elif [ -n "$2" ] && [ "$code" = 1 ] && [ "$(grep -c '^[^ ]*: \[' "$work/out")" = 1 ] &&
        grep -qF "$1: $2" "$work/out"; then
        echo "ok    $1: $2"
    else
        echo "WRONG $1: expected \"$2\", exit code $code, found:"
        cat "$work/out"
        failed=$((failed + 1))
    fi
}

# expect SOURCE FINDING: the code comes on standard input; FLAGS: extra compiler flags.
expect() {
    object=$work/$(dirname "$1")/CMakeFiles/x.dir/$(basename "$1").o
    mkdir -p "$(dirname "$object")"
    cat >"$work/code.c"
    # shellcheck disable=SC2086 # words on purpose
    "$compiler" $flags ${FLAGS:-} -O1 -w -fno-builtin -c -o "$object" "$work/code.c"
    echo "$object" >"$work/list"
    judge "$1" "$2"
}
compiler=$1
shift
flags="$*"
import='__declspec(dllimport)'
[ "$system" = windows ] || import=

if [ "$system" = windows ]; then
    # io: in its file, elsewhere
    expect engine/iocp_x.c "" <<END
$import int ReadFile(); int f(void) { return ReadFile(); }
END
    expect engine/engine.c "[io] ReadFile belongs in engine/iocp*.c" <<END
$import int ReadFile(); int f(void) { return ReadFile(); }
END
    # ... also where it was declared without dllimport
    expect broker/session.c "[io] CreateFileW belongs in engine/opener_win.c" <<END
int CreateFileW(); int f(void) { return CreateFileW(); }
END
    expect engine/iocp.c "[io] CreateFileW belongs in engine/opener_win.c" <<END
$import int CreateFileW(); int f(void) { return CreateFileW(); }
END
    expect engine/opener_win.c "[io] CancelIoEx belongs in engine/iocp*.c" <<END
$import int CancelIoEx(); int f(void) { return CancelIoEx(); }
END
    # output: WriteFile is the sink's and the engine's, GetStdHandle the sink's alone
    expect base/sink_win.c "" <<END
$import int WriteFile(); $import int GetStdHandle();
int f(void) { return WriteFile() + GetStdHandle(); }
END
    expect base/log.c "[output] GetStdHandle belongs in base/sink_win.c" <<END
$import int GetStdHandle(); int f(void) { return GetStdHandle(); }
END
    # never, in the most privileged files
    expect engine/iocp.c "[never] PeekNamedPipe:" <<END
$import int PeekNamedPipe(); int f(void) { return PeekNamedPipe(); }
END
    expect engine/iocp.c "[never] NtQueryInformationFile:" <<END
$import int NtQueryInformationFile(); int f(void) { return NtQueryInformationFile(); }
END
    expect base/sink_win.c "[never] _write:" <<END
$import int _write(); int f(void) { return _write(); }
END
    # edge
    expect broker/session.c "[edge] GetProcAddress belongs in" <<END
$import int GetProcAddress(); int f(void) { return GetProcAddress(); }
END
    # default deny: I/O that no line names
    expect engine/iocp.c "[unknown] LockFileEx:" <<END
$import int LockFileEx(); int f(void) { return LockFileEx(); }
END
    # literals
    expect engine/iocp.c "[literal] the string \"NtQueryInformationFile\"" <<END
const char *f(void) { return "NtQueryInformationFile"; }
END
    expect engine/iocp.c "[literal] the string \"recv\"" <<END
$import int GetProcAddress(); int f(void *m) { return GetProcAddress(m, "recv"); }
END
    # runtime output as MinGW's headers make it of fprintf
    expect engine/iocp.c "[never] __mingw_vfprintf:" <<END
int __mingw_vfprintf(); int f(void) { return __mingw_vfprintf(); }
END
    expect engine/iocp.c "" <<END
int __mingw_vsnprintf(); int f(void) { return __mingw_vsnprintf(); }
END
else
    expect engine/epoll_x.c "" <<END
int read(); int f(void) { return read(); }
END
    expect engine/engine.c "[io] read belongs in engine/epoll*.c" <<END
int read(); int f(void) { return read(); }
END
    expect engine/epoll.c "[io] getaddrinfo belongs in engine/opener_posix.c" <<END
int getaddrinfo(); int f(void) { return getaddrinfo(); }
END
    expect base/log.c "[output] write belongs in base/sink_posix.c" <<END
int write(); int f(void) { return write(); }
END
    expect base/sink_posix.c "" <<END
int write(); int f(void) { return write(); }
END
    expect engine/epoll.c "[never] usleep:" <<END
int usleep(); int f(void) { return usleep(1); }
END
    expect engine/epoll.c "[never] accept:" <<END
int accept(); int f(void) { return accept(); }
END
    expect broker/session.c "[edge] malloc belongs in base/alloc.c" <<END
void *malloc(unsigned long); void *f(void) { return malloc(1); }
END
    expect engine/epoll.c "[unknown] splice:" <<END
int splice(); int f(void) { return splice(); }
END
    expect engine/epoll.c "[literal] the string \"epoll_wait\"" <<END
const char *f(void) { return "epoll_wait"; }
END
    # a hardened build must not hide a call
    expect engine/engine.c "[io] read belongs in engine/epoll*.c" <<END
int __read_chk(); int f(void) { return __read_chk(); }
END
fi

# both: the runtime's output
expect engine/engine.c "[never] puts:" <<END
int puts(const char *s); int f(void) { return puts("x"); }
END
expect base/log.c "[never] fprintf:" <<END
int fprintf(); int f(void *s) { return fprintf(s, "x"); }
END
expect base/log.c "" <<END
int snprintf(); int f(char *s) { return snprintf(s, 2, "x"); }
END
# a system call without a name
expect engine/engine.c "[instruction] a system call without a name" <<END
void f(void) { __asm__ volatile("syscall"); }
END
# an everyday word is no call ...
expect engine/engine.c "" <<END
const char *f(void) { return "read"; }
END
# an object that hides its symbols
FLAGS=-flto expect engine/engine.c "[object] cannot be judged" <<END
int f(void) { return 0; }
END
# nothing to check is no success
: >"$work/list"
if "$here/imports.sh" "$here/rules.txt" "$work/list" "$work" >/dev/null 2>&1; then
    echo "WRONG an empty list passes"
    failed=$((failed + 1))
fi
# a table that cannot be read is no success either
printf 'puts | * | sometimes | why not\nread | engine/x.c\n' >"$work/rules"
echo "$object" >"$work/list"
"$here/imports.sh" "$work/rules" "$work/list" "$work" >"$work/out" 2>&1 || true
if [ "$(grep -c '\[rules\]' "$work/out")" != 2 ]; then
    echo "WRONG a broken table passes"
    failed=$((failed + 1))
fi
echo "imports_selftest: $count objects, $failed wrong"
[ "$failed" = 0 ]
