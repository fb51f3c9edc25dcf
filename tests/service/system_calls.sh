#!/bin/sh
# The system calls of this machine as rows {"name", SYS_name}: system_calls.sh COMPILER FILE
set -eu
echo '#include <sys/syscall.h>' | "$1" -E -dM -x c - |
    sed -n 's/^#define SYS_\([a-z0-9_]*\) .*/    {"\1", SYS_\1},/p' | sort >"$2"
[ -s "$2" ]
