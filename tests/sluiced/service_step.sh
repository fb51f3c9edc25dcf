# One command of `sluiced service`, for the tests of the service: to be read by a shell that has set
# emulator, program, name and work.

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
