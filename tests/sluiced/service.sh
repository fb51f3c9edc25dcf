#!/bin/sh
# The life of the service under Wine, with a load: service.sh EMULATOR SLUICED SLUICE INTEGRATION
set -eu
name=sluice-test-$$
work=$(mktemp -d)
emulator=$1 program=$2 tool=$3 client=$4
pid=''
folder="%ProgramData%\\Sluice\\$name" # of its log

in_cmd() {
    timeout 60 "$emulator" cmd.exe /c "$1" </dev/null
}

clean() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    "$emulator" "$program" service uninstall --name "$name" >/dev/null 2>&1 || true
    in_cmd "rd /s /q $folder" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean EXIT

. "$(dirname "$0")/service_step.sh"
cd "$work" # what a failed run leaves is gone with it

step 8 "no such service" status
step 4 "cannot read none.conf" install --allow S-1-1-0 --config none.conf
step 2 "there is no user or group" install --allow "nobody of this name"
step 2 "no value belongs to --from-here" install --allow S-1-1-0 --from-here=yes
# Somebody was there first: what a link leads to is not ours to write to.
in_cmd "md $folder" || true
in_cmd "echo precious> $folder\\other"
in_cmd "mklink /H $folder\\$name.log $folder\\other"
step 8 "$name.log: has a second name (a hard link) somewhere else: somebody else was there first" \
    install --allow S-1-1-0
step 8 "no such service" status # nor is a half-made one left
in_cmd "del $folder\\other"
in_cmd "del $folder\\$name.log"
in_cmd "md $folder\\$name.log"
step 8 "$name.log: is a folder" install --allow S-1-1-0
in_cmd "rd $folder\\$name.log"
step 0 "installed" install --allow S-1-1-0 --endpoint "$name" --workers 2 --limit drain_grace=1s
step 8 "installed already" install --allow S-1-1-0
# A second broker of this machine: neither name is the first one's, the one that is shown included.
first=$name
name=$first-second
step 0 "installed" install --allow S-1-1-0 --endpoint "$name" --limit drain_grace=1s
step 0 "stopped" status
step 0 "uninstalled" uninstall
name=$first
step 0 "stopped" status
step 0 "running" start
step 8 "running already" start
step 0 "running" status

timeout 120 "$emulator" "$tool" hangtest --endpoint "$name" --workers 4 --iterations 50 </dev/null

# A client with 1,000 pending reads while the service is stopped: each ends, none is lost silently.
mkfifo "$work/said"
timeout 120 "$emulator" "$client" role pending "$name" 1000 >"$work/said" 2>&1 </dev/null &
pid=$!
exec 3<"$work/said"
ready=''
while [ -z "$ready" ] && IFS= read -r line <&3; do
    echo "client: $line"
    case $line in ready*) ready=yes ;; esac
done
[ -n "$ready" ] || { echo "the client never was ready"; exit 1; }
step 0 "stopped" stop
cat <&3
got=0
wait "$pid" || got=$?
pid=''
[ "$got" -eq 0 ] || { echo "the client's operations: exit code $got"; exit 1; }

step 0 "stopped, process 0, last exit code 0" status
# The log went where install said: NAME.log in its folder in ProgramData, told by its lines.
in_cmd "type $folder\\$name.log" >"$work/log" 2>&1 || true
grep -q "listening" "$work/log" && grep -q "stopped" "$work/log" || {
    echo "the service's log:"
    cat "$work/log"
    exit 1
}
step 0 "running" start # the name is free again
step 0 "uninstalled" uninstall # stops it
step 8 "no such service" status
# A log where somebody else may have been first is refused, and nothing is left of the service.
step 8 "none" install --allow S-1-1-0 --endpoint "$name" --log-file none/log
step 8 "no such service" status
mkdir own
echo victim >victim
ln victim own/log
step 8 "has a second name" install --allow S-1-1-0 --endpoint "$name" --log-file own/log
rm own/log
# A log file that cannot be opened: the start says so by its exit code.
step 0 "installed" install --allow S-1-1-0 --endpoint "$name" --log-file own/log
ln victim own/log
step 8 "did not start (exit code 9)" start
[ "$(cat victim)" = victim ] || { echo "the service wrote to a file of others"; exit 1; }
rm -r own victim
step 8 "did not start (exit code 9)" start
step 0 "uninstalled" uninstall
