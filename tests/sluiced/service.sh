#!/bin/sh
# The life of the service under Wine: service.sh EMULATOR SLUICED
set -eu
name=sluice-test-$$
work=$(mktemp -d)
emulator=$1 program=$2

clean() {
    "$emulator" "$program" service uninstall --name "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean EXIT

# step CODE WHAT ARGUMENT...
step() {
    code=$1 what=$2
    shift 2
    got=0
    timeout 60 "$emulator" "$program" service "$@" --name "$name" >"$work/out" 2>&1 </dev/null ||
        got=$?
    cat "$work/out"
    if [ "$got" -ne "$code" ] || ! grep -qF -- "$what" "$work/out"; then
        echo "service $*: exit code $got (wanted $code), wanted: $what"
        exit 1
    fi
}

step 8 "no such service" status
step 4 "cannot read none.conf" install --allow S-1-1-0 --config none.conf
step 2 "there is no user or group" install --allow "nobody of this name"
step 0 "installed" install --allow S-1-1-0 --endpoint "$name" --workers 2
step 8 "installed already" install --allow S-1-1-0
step 0 "stopped" status
step 0 "running" start
step 8 "running already" start
step 0 "running" status
step 0 "stopped" stop
step 0 "stopped, process 0, last exit code 0" status
step 0 "running" start # the name is free again
step 0 "uninstalled" uninstall # stops it
step 8 "no such service" status
