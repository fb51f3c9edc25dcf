#!/bin/sh
# A bench that is killed leaves nothing behind.  bench_killed.sh PATH-OF-SLUICE PATH-OF-SLUICED
set -eu
home=$(mktemp -d)
trap 'kill -9 "$bench" 2>/dev/null || true; rm -rf "$home"' EXIT
chmod 700 "$home"
XDG_RUNTIME_DIR=$home "$1" bench --broker "$2" --topology any --case control --rounds 40 \
    --round 10s >/dev/null &
bench=$!

# Until that holds; the test's time limit ends it.
until_that() {
    until "$@"; do
        sleep 0.05
    done
}
is_listening() { [ -S "$(echo "$home"/sluice-bench-*/0)" ]; }
is_gone() { [ -z "$(find "$home" -name 'sluice-bench-*')" ]; }

until_that is_listening
kill -9 "$bench"
until_that is_gone
echo ok
