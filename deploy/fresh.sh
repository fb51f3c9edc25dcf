#!/usr/bin/env bash
# Proves that deploy/quickstart.sh and deploy/test.sh serve a bare machine: makes a Debian of its
# own with debootstrap in a folder, with nothing installed but the base system, puts a clone of this
# tree's last commit into it, and runs the two commands there. See --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<END
Usage: deploy/fresh.sh 12|13 [--only COMMAND] [--dir DIR] [--keep] [--shell] [--help]
As root. Needs debootstrap, git, unshare, and this machine's own apt source (the release is taken
from the same place). Commits count, not the work tree.
  --only COMMAND  quickstart or test; default: both, in this order
  --dir DIR       where the system is made (default: build/fresh/12 or 13; some 5 GB)
  --keep          leave the folder as it is afterwards; the next run with it starts from there
  --shell         a shell there instead of the commands
Logs: build/logs/fresh-RELEASE-COMMAND.log. Exit code: 0 only if each command ended with 0.
END
}
say() { printf '%s\n' "fresh: $*"; }
die() { printf '%s\n' "fresh: error: $*" >&2; exit 1; }

release='' dir='' keep=0 shell=0 commands=(quickstart test)
while [ $# -gt 0 ]; do
    case $1 in
    12 | 13) release=$1; shift ;;
    --only)
        case ${2:-} in
        quickstart | test) commands=("$2") ;;
        *) die "--only quickstart or test" ;;
        esac
        shift 2 ;;
    --dir) [ $# -ge 2 ] || die "--dir needs a folder"; dir=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    --shell) shell=1; shift ;;
    --help | -h) usage; exit ;;
    *) usage >&2; die "unknown word $1" ;;
    esac
done
[ -n "$release" ] || { usage >&2; die "which Debian? 12 or 13"; }
[ "$(id -u)" = 0 ] || die "root is needed: it makes a system and mounts /proc in it"
for tool in debootstrap git unshare apt-get; do
    command -v $tool >/dev/null || die "$tool is missing (apt install $tool)"
done
case $release in 12) suite=bookworm ;; 13) suite=trixie ;; esac
dir=${dir:-$root/build/fresh/$release}
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
logs=$root/build/logs
mkdir -p "$logs" "$(dirname "$dir")"

# Where this machine gets Debian from.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
    grep -v security | head -n 1)
[ -n "$mirror" ] || die "this machine's apt has no Debian source (apt-get update first?)"

made=0
clean_up() {
    [ "$keep" = 1 ] || [ "$made" = 0 ] || rm -rf --one-file-system "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

if [ ! -f "$dir/made-by-fresh" ]; then
    [ ! -e "$dir" ] || die "$dir is there and was not made by this script"
    say "making a bare Debian $release in $dir"
    made=1
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$dir" "$mirror" \
        >"$logs/fresh-$release-debootstrap.log" 2>&1 || {
        tail -n 20 "$logs/fresh-$release-debootstrap.log" >&2
        die "debootstrap failed"
    }
    # An installed machine knows its own name; debootstrap leaves that to the installer.
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n' >"$dir/etc/hosts"
    : >"$dir/made-by-fresh"
fi
made=1
[ ! -f /etc/resolv.conf ] || cp -L /etc/resolv.conf "$dir/etc/resolv.conf"
rm -rf "$dir/srv/sluice"
git -c safe.directory='*' clone -q "$root" "$dir/srv/sluice"

# Mounts that go with the process: a mount name space and a process name space of its own.
inside() {
    unshare --mount --pid --fork --kill-child -- sh -eu -c '
        dir=$1; shift
        mount -t proc proc "$dir/proc"
        mount --rbind /dev "$dir/dev"
        mount --rbind /sys "$dir/sys"
        mount -t tmpfs tmpfs "$dir/run"
        exec chroot "$dir" /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
    ' sh "$dir" "$@"
}

if [ "$shell" = 1 ]; then
    keep=1
    inside sh -c 'cd /srv/sluice && exec bash'
    exit
fi
failed=()
for command in "${commands[@]}"; do
    log=$logs/fresh-$release-$command.log
    say "Debian $release: deploy/$command.sh (log: ${log#"$root"/})"
    begin=$SECONDS code=0
    inside "/srv/sluice/deploy/$command.sh" >"$log" 2>&1 </dev/null || code=$?
    say "Debian $release: deploy/$command.sh ended with $code after $((SECONDS - begin)) s"
    tail -n 25 "$log"
    [ $code = 0 ] || failed+=("$command")
    rm -rf "$logs/fresh-$release-$command"
    cp -r "$dir/srv/sluice/build/logs" "$logs/fresh-$release-$command" 2>/dev/null || true
done
[ ${#failed[@]} = 0 ] || die "Debian $release: failed: ${failed[*]}"
say "Debian $release: passed: ${commands[*]}"
