#!/bin/sh
# The points of the Windows service, under Wine: service.sh EMULATOR SLUICED
# SLUICED is the test build; a copy of it has PROGRAM.failpoints beside it, since a service has the
# service manager's environment. Each point is met once, and says so in the service's log.
set -eu
name=sluice-failpoint-$$
emulator=$1
work=$(mktemp -d)
program=$work/sluiced.exe
cp "$2" "$program"

clean() {
    "$emulator" "$program" service uninstall --name "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean EXIT

. "$(dirname "$0")/../sluiced/service_step.sh"

# set_point TEXT: what the service starts with from now on
set_point() {
    printf '%s\n' "$1" >"$program.failpoints"
}

# met POINT ACTION
met() {
    if ! grep -qF "failpoint $1: $2" "$work/log"; then
        cat "$work/log"
        echo "$1 was not met"
        exit 1
    fi
    echo "$1: $2"
    : >"$work/log"
}

set_point ''
: >"$work/log"
# The log says nothing but what points say: of two threads that append at a time, Wine keeps one.
step 0 "installed" install --allow S-1-1-0 --endpoint "$name" --workers 1 \
    --limit drain_grace=200ms --log-file "Z:$work/log" --log-level error

# The start fails, in the service manager's words; the next one does not.
set_point 'service.start=return(ENOMEM)'
step 8 "did not start (exit code 1)" start
step 0 "stopped" status

# It is slow to say that it runs, and dies when it is asked to stop. (A service that dies while it
# starts is noticed by Wine's manager after half a minute only.)
set_point 'service.running=delay(500);service.stop=kill'
step 0 "running" start
grep -qF "failpoint service.running: delay" "$work/log" || { echo "nothing was delayed"; exit 1; }
step 8 "" stop
met service.stop kill

# The stop is held: the manager waits, as long as it hears from us.
set_point 'service.stop=delay(1500);service.stopped=delay(1500)'
step 0 "running" start
step 0 "stopped" stop
grep -qF "failpoint service.stop: delay" "$work/log" || { echo "the stop was not held"; exit 1; }
met service.stopped delay

# And one that nothing happens to.
set_point ''
step 0 "running" start
step 0 "stopped" stop
step 0 "stopped, process 0, last exit code 0" status
