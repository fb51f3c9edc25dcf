#!/usr/bin/env bash
# Tests the kit for a real Windows, under Wine: kit_test.sh CASE RUNNER SOURCES BUILD WORK
#   verdicts  kit.exe says of programs that pass, fail, hang, crash ... what they did
#   pack      deploy/windows-kit.sh makes the zip, and what is in it needs nothing else
#   run       unpacked, run.cmd --quick: everything is there, nothing is left, nothing is certified
set -euo pipefail
case_name=$1 runner=$2 sources=$3 build=$4 work=$5
zip=$work/kit.zip
tab=$'\t'

fail() {
    echo "kit.$case_name: $*" >&2
    exit 1
}
as_windows() { printf 'Z:%s' "$1" | tr / '\\'; }

# kit EXIT-CODE PROGRAM WORD...: runs it; what it said is in $said.
kit() {
    local wanted=$1 code=0
    shift
    said=$("$runner" "$@" </dev/null 2>&1 | tr -d '\r'; exit "${PIPESTATUS[0]}") || code=$?
    [ "$code" = "$wanted" ] || fail "exit code $code, not $wanted: $* -- $said"
}
says() { grep -qF -- "$1" <<<"$said" || fail "not said: $1 -- $said"; }
# has LINE: the report has it, with tabs for the character |
has() { grep -qx -- "${1//|/$tab}" "$report" || fail "no line $1 in $(cat "$report")"; }
has_no() { ! grep -q -- "${1//|/$tab}" "$report" || fail "a line $1 in $(cat "$report")"; }

in_wine_folder() { # where Windows programs put what is temporary
    local temporary
    temporary=$("$runner" cmd /c 'echo %TEMP%' </dev/null 2>/dev/null | tr -d '\r')
    "$runner" winepath -u "$temporary" </dev/null 2>/dev/null | tr -d '\r'
}

verdicts() {
    local folder="$work/verdicts with blanks"
    rm -rf "$folder"
    mkdir -p "$folder/bin"
    cp "$build/tests/kit/kit.exe" "$folder"
    cp "$build/tests/kit/kit_subject.exe" "$folder/bin"
    cp "$build/tests/kit/kit_subject.exe" "$folder/bin/sluiced.exe"
    tr '|' '\t' >"$folder/kit.list" <<'END'
packed|the test's
check|good|qsf|60|77|bin/kit_subject.exe|pass
check|bad|s|60|77|bin/kit_subject.exe|fail|{}\bin
check|serves|s|60|77|bin/kit_subject.exe|fail|{service}
check|skips|s|60|77|bin/kit_subject.exe|skip
check|unsure|s|60|77|bin/kit_subject.exe|uncertain
check|crashes|s|60|77|bin/kit_subject.exe|crash
check|hangs|s|2|77|bin/kit_subject.exe|hang
check|litters|s|60|77|bin/kit_subject.exe|litter
check|orphan|s|60|77|bin/kit_subject.exe|orphan
check|absent|s|60|77|bin/nothing.exe
check|slow|f|60|77|bin/kit_subject.exe|hang
END
    report=$folder/r.txt
    local begin=$SECONDS
    kit 1 "$folder/kit.exe" --report "$(as_windows "$report")"
    says "0 passed, 5 FAILED, 1 skipped, 4 not certified (this is Wine), 0 not run"
    [ $((SECONDS - begin)) -lt 100 ] || fail "a child that goes on was waited for"
    tr -d '\r' <"$report" >"$report.lines"
    report=$report.lines
    has "fact|kit|the test's"
    has "fact|certifies|nothing: this is Wine"
    has "fact|checks|10"
    has "fact|system|Wine .*, [0-9]*\.[0-9.]*"
    has "fact|processors|[1-9][0-9]*"
    has "fact|user|..*\\\\..*"
    has "fact|elevated|[yn][eo]s*"
    has "check|good|not certified|[0-9.]*|this is Wine"
    has "note|good|one of them was skipped: because"
    has "check|bad|FAILED|[0-9.]*|it ended with 5"
    has "said|bad|line 99"
    has "said|bad|fail Z:.*verdicts with blanks\\\\bin"
    has "said|serves|fail C:.Program Files.sluice-kit-[0-9]*.sluiced.exe" # a copy
    has_no "said|bad|line 1$" # the last ones only
    has "check|skips|skipped|[0-9.]*|not here"
    has "check|unsure|not certified|[0-9.]*|it   not certified   by nobody"
    has "check|crashes|FAILED|[0-9.]*|it ended with .*"
    has "check|hangs|FAILED|[2-9][0-9.]*|it had not ended after 2 s"
    has "note|litters|left 2 files in the temporary folder (removed)"
    has "check|absent|FAILED|[0-9.]*|it could not be started: Windows error [23]"
    has "sum|FAILED|5"
    has "end|1"
    [ "$(tail -n 1 "$report")" = "end${tab}1" ] || fail "the report's last line"
    ! ls "$(in_wine_folder)" | grep sluice-kit- || fail "that is left"
    kit 4 "$folder/kit.exe" --only 'go*' --report "$(as_windows "$folder/r2.txt")"
    says "1 not certified"
    # What is wrong is said.
    kit 2 "$folder/kit.exe" --report "$(as_windows "$folder/r2.txt")"
    says "r2.txt (Windows error 80)"
    kit 2 "$folder/kit.exe" --only nothing
    says "no check nothing"
    kit 2 "$folder/kit.exe" --quick --full
    echo "check${tab}x${tab}s${tab}many${tab}77${tab}y" >"$folder/kit.list"
    kit 2 "$folder/kit.exe"
    says "kit.list: line 1: the limit (seconds)"
    rm "$folder/kit.list"
    kit 2 "$folder/kit.exe"
    says "has all of the kit been unpacked?"
    [ "$(ls "$folder" | wc -l)" = 5 ] || fail "files: $(ls "$folder")"
}

pack() {
    rm -f "$zip"
    "$sources/deploy/windows-kit.sh" --no-build --output "$zip"
    local folder="$work/unpacked" program dll
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && cmake -E tar xf "$zip")
    [ "$(ls "$folder")" = sluice-windows-kit ] || fail "in the zip: $(ls "$folder")"
    folder=$folder/sluice-windows-kit
    for program in run.cmd README.txt; do
        [ "$(grep -c '' "$folder/$program")" = "$(grep -c $'\r$' "$folder/$program")" ] ||
            fail "$program: a line that does not end as on Windows"
    done
    # No program or DLL needs a runtime that Windows does not have.
    find "$folder" -name '*.exe' -o -name '*.dll' | while read -r program; do
        own=none
        [ ! -f "${program%/*}/sluice.dll" ] || own=sluice.dll
        "$sources/tests/deps/check_imports.sh" "$program" $own >/dev/null || exit 1
    done || fail "an import"
    # Nothing of this machine's is in it but what programs were told when they were compiled.
    ! grep -rlF "$sources" "$folder" --include='*.list' --include='*.txt' --include='*.cmd' ||
        fail "a path of this machine"
}

run() {
    local folder="$work/unpacked here, with blanks (1)" name before
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && cmake -E tar xf "$zip")
    folder=$folder/sluice-windows-kit
    (cd "$folder" && find . | sort) >"$work/before"
    before=$(ls "$(in_wine_folder)")
    cd / # from anywhere
    kit 4 "$(as_windows "$folder/run.cmd")" --quick
    says "Report: "
    says "0 passed, 0 FAILED, "
    [ "$(cd "$folder" && find . | sort | diff "$work/before" - | grep -c '^[<>]')" = 1 ] ||
        fail "more than a report is left: $(cd "$folder" && find . | sort | diff "$work/before" -)"
    [ "$(ls "$(in_wine_folder)")" = "$before" ] || fail "left: $(ls "$(in_wine_folder)")"
    ! ls "$("$runner" winepath -u 'C:\Program Files' 2>/dev/null | tr -d '\r')" |
        grep sluice-kit || fail "a copy for services is left"
    report=$work/report.txt
    tr -d '\r' <"$folder"/report-*.txt >"$report"
    cat "$report"
    has "end|4" # nothing failed; nothing is certified
    has_no "^check|[^|]*|passed"
    has_no "^check|[^|]*|not run"
    has "sum|passed|0"
    # What was skipped was so for want of something that Wine lacks: all that it takes is there.
    has_no "^check|.*|skipped|.*beside this program"
    # All checks of selftest's, each once, but for the long loads.
    kit 0 "$folder/bin/sluice.exe" selftest --list
    for name in $(awk '{print $1}' <<<"$said"); do
        case $name in
        *-races | *-close | apc-hang | client-killed) has_no "^check|selftest.$name|" ;;
        *) [ "$(grep -c "^check${tab}selftest.$name$tab" "$report")" = 1 ] || fail "no $name" ;;
        esac
        # ... which the other modes have
        grep -q "^check${tab}selftest.$name${tab}[qfe]*s" "$folder/kit.list" || fail "$name: never"
        grep -q "^check${tab}selftest.$name${tab}[qse]*f" "$folder/kit.list" || fail "$name: never"
    done
    for name in engine_iocp_smoke broker_killed client_calls chaos failpoint.start; do
        grep -q "^check$tab.*$name${tab}not certified" "$report" || fail "$name"
    done
}

case $case_name in
verdicts | pack | run) "$case_name" ;;
*) fail "no such case" ;;
esac
