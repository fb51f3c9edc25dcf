#!/bin/sh
# The broker behind the walls of its systemd unit: confined.sh UNIT CONFINE SLUICED SLUICE VISITOR
# Without systemd: its filter of system calls, taken from the unit and set by `confine`; no rights,
# a user of its own. Nothing else may be called, nor may the broker fail at anything.
set -eu
unit=$1 confine=$2 program=$3 cli=$4 visitor=$5
if ! command -v systemd-analyze >/dev/null; then
    echo "skipped: no systemd-analyze here, which knows what is in @system-service"
    exit 77
fi
if [ "$(id -u)" -ne 0 ] ||
    ! setpriv --reuid 4001 --regid 4001 --clear-groups test -x "$program"; then
    echo "skipped: only root can be another user, who must reach $program"
    exit 77
fi
work=$(mktemp -d)
pid=''
clean() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

fail() {
    echo "service.confined: $*"
    [ ! -f "$work/log" ] || cat "$work/log"
    exit 1
}

# expand WORD...: the calls of groups and names, one a line
expand() {
    for word in "$@"; do
        case $word in
        @*)
            # shellcheck disable=SC2046 # words
            expand $(systemd-analyze syscall-filter "$word" | sed '1d; s/#.*//')
            ;;
        *) echo "$word" ;;
        esac
    done
}

# The unit's lines in order: a list adds, one that begins with ~ takes away.
: >"$work/calls"
sed -n 's/^SystemCallFilter=//p' "$unit" >"$work/lines"
while read -r line; do
    # shellcheck disable=SC2086 # words
    expand ${line#\~} | sort -u >"$work/these"
    case $line in
    \~*) sort -u "$work/calls" | comm -23 - "$work/these" >"$work/next" ;;
    *) sort -u "$work/calls" "$work/these" >"$work/next" ;;
    esac
    mv "$work/next" "$work/calls"
done <"$work/lines"
# What starts it makes calls that are systemd's own before the filter is set; here it is execve.
echo "$(wc -l <"$work/calls") calls are allowed"
grep -qx pipe2 "$work/calls" || fail "the unit's filter is not understood"
! grep -qx -e ptrace -e setuid -e mount "$work/calls" || fail "the unit's filter is not understood"
chmod 0755 "$work"
chmod 0644 "$work/calls"
# The unit's folders, as systemd makes them: of its user, with the mode that is set for all.
mode=$(sed -n 's/^RuntimeDirectoryMode=//p' "$unit")
for folder in $(sed -n 's/^RuntimeDirectory=//p' "$unit"); do
    case $folder in
    sluice) folder=$work/run ;;
    sluice/*) folder=$work/run/${folder#sluice/} ;;
    *) fail "a folder of another name: $folder" ;;
    esac
    mkdir -m "$mode" "$folder"
    chown 4001:4001 "$folder"
done

# The walls hold: what is not allowed kills. All words here are single ones: no quotes.
# shellcheck disable=SC2086
as="setpriv --reuid 4001 --regid 4001 --clear-groups"
confined="$as --bounding-set=-all --inh-caps=-all $confine $work/calls"
got=0
$confined /bin/true || got=$?
[ "$got" -ne 77 ] || { echo "skipped: no filter can be set here"; exit 77; }
[ "$got" -eq 0 ] || fail "true: exit code $got"
got=0
$confined /bin/chown 4001 "$work/run" 2>/dev/null || got=$?
[ "$got" -eq 159 ] || fail "chown is not in the filter, and ended with $got" # 128 + SIGSYS

# What the unit has done before it starts.
sed -n 's/^ExecStartPre=//p' "$unit" | sed "s|/run/sluice|$work/run|g" >"$work/before"
while read -r words; do
    # shellcheck disable=SC2086 # words
    $confined $words || fail "before the start: $words: exit code $?"
done <"$work/before"

$confined "$program" run --endpoint "$work/run/broker" --allow root --allow "gid 4001" \
    --workers 2 2>"$work/log" &
pid=$!
until=$(($(date +%s) + 60))
until $as "$cli" status --endpoint "$work/run/broker" >"$work/out" 2>&1; do
    kill -0 "$pid" 2>/dev/null || fail "the broker has ended"
    [ "$(date +%s)" -lt "$until" ] || { cat "$work/out"; fail "it does not serve"; }
done
$as "$visitor" "$work/run/broker" "$work/run/x" || fail "a client's calls"
# A member of the group has a place for its listeners, and no other.
member="setpriv --reuid 4002 --regid 4002 --groups 4001"
$member "$visitor" "$work/run/broker" "$work/run/pipes/x" "uid 4001" || fail "a member's calls"
got=0
$member "$visitor" "$work/run/broker" "$work/run/x" "uid 4001" 2>"$work/out" || got=$?
[ "$got" -eq 1 ] && grep -q "run/x: EACCESS" "$work/out" || {
    cat "$work/out"
    fail "a member listens beside the broker's endpoint"
}
# Nor does one member remove what is another's.
$member touch "$work/run/pipes/mine" || fail "a member cannot write there"
! setpriv --reuid 4003 --regid 4003 --groups 4001 rm -f "$work/run/pipes/mine" 2>/dev/null ||
    fail "another member has removed it"
rm "$work/run/pipes/mine"
for scenario in close-race mixed; do
    "$cli" hangtest --endpoint "$work/run/broker" --broker-user "uid 4001" --scenario $scenario \
        --workers 4 --iterations 50 >"$work/out" || { cat "$work/out"; fail "hangtest $scenario"; }
done
kill -TERM "$pid"
got=0
wait "$pid" || got=$?
pid=''
[ "$got" -eq 0 ] || fail "exit code $got"
! grep -E " (error|warn) " "$work/log" || fail "it complained"
