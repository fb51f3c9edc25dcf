#!/usr/bin/env bash
# Runs by name what shows that Sluice does not hang, lose, leak or starve, and prints one table. See
# --help; the pass marks are explained in docs/testing.md.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/deploy/lib.sh"

# row NAME FULL_S LEAST_S WHAT PASS_MARK: about how long it takes, and at the least (--minutes);
# what is done at full size. NAME, WHAT and PASS_MARK are those of docs/testing.md, which
# tests/reliability holds together.
names=()
declare -A whats=() marks=() full_times=() least_times=()
row() {
    names+=("$1")
    full_times[$1]=$2 least_times[$1]=$3 whats[$1]=$4 marks[$1]=$5
}
row hangtest 300 5 \
    "10 workers x 100,000 pipes, closed while one thread reads and one writes" \
    "0 calls over 30 s, 0 completions doubled or missing, 0 left in the broker"
row accept-close 40 10 \
    "20,000 listeners closed with an accept pending, in the engine and through a broker" \
    "0 hangs, each accept ends once"
row client-killed 6 6 \
    "15 rounds: a client with 1,000 pending reads is killed" \
    "its handles gone within 1 s, another's p99 at most 2 times"
row broker-killed 90 10 \
    "50 rounds: the broker is killed under 1,000 calls of 16 threads" \
    "each call the right status within its deadline and the grace"
row broker-halted 110 12 \
    "50 rounds: the broker is halted under 1,000 calls of 16 threads" \
    "each call the right status within its deadline and the grace"
row lives 60 5 \
    "100,000 simulated lives of a broker, its clients and their peers" \
    "0 faults, at least 10 million operations a CPU-minute"
row planted-bugs 10 10 \
    "each bug planted alone into the core, 1,000 lives each" \
    "all found"
row deadlines 25 25 \
    "100,000 reads with a deadline of 30 ms, 20,000 a second" \
    "none early, none over 1 s late, p99 at most 2 times that of 2,000 a second"
row allocations 20 20 \
    "each allocation fails once, and from then on" \
    "each place reached, 0 crashes, leaks, hangs"
row os-calls 40 40 \
    "each call to the system fails once with each plausible error" \
    "each site reached, 0 crashes, leaks, hangs"
row fuzz 1500 30 \
    "600 s each of five targets" \
    "0 crashes, hangs, leaks"
row slow-reader 40 10 \
    "a client that reads slowly is offered 10 GiB" \
    "the broker holds 16 MiB and a constant, another's p99 at most 2 times"
row flood 40 20 \
    "15 rounds: a client keeps all its credits busy" \
    "another's p99 at most 2 times"
row guesses 10 10 \
    "1,000,000 guesses of other sessions' handles" \
    "0 hits, one answer for all"
row chaos 1900 20 \
    "1,800 s: brokers and clients killed and halted at random, a faulty proxy between them" \
    "0 hangs, wrong outcomes, leaks or crashes; memory has no slope; at least 50 % of the \
throughput of the clean parts between"

usage() {
    local full_minutes=$(($(total full) / 60))
    cat <<END
Usage: deploy/reliability.sh [--minutes N] [--only NAME]... [--list] [--json] [--wine]
                             [--build DIR] [--help]
Runs the reliability tests by name, says how far they are, and prints one table: what was done, the
figure, the pass mark, passed or failed, the time. All of it takes some $full_minutes minutes.
Builds the preset linux-release first (deploy/test.sh --only packages installs what that needs).
  --minutes N   about so long: smaller sizes, and p99s are judged at 4 times instead of 2. The table
                says the size that was run, and that the pass mark is for the full size
  --only NAME   this one only (may be repeated); --list names them with their pass marks
  --json        the table as JSON on standard output, the progress on standard error
  --wine        the Windows build (preset mingw-release) under Wine, as far as each is there
  --build DIR   the programs of this build, as they are: nothing is built
"not measurable here" is said, with the reason, where a program says that it cannot run, and where
a figure of time was missed on a machine that did other things (it is looked at before each). For
figures of time let the machine do nothing else.
Output of each: build/logs/reliability/NAME.log; the table as Markdown: table.md there.
Exit code: 0 all that could be measured passed; 1 one failed, or nothing could be measured; 2 wrong
usage.
Example: deploy/reliability.sh --minutes 5 --only hangtest --only chaos
END
}

list_rows() {
    local name
    for name in "${names[@]}"; do
        printf '%-14s %s\n%-14s   pass mark: %s\n' "$name" "${whats[$name]}" '' "${marks[$name]}"
    done
}

# total full|least [NAME]...: seconds of all, or of these.
total() {
    local -n times=$1_times # full_times or least_times
    local name sum=0
    shift
    [ $# -gt 0 ] || set -- "${names[@]}"
    for name in "$@"; do sum=$((sum + times[$name])); done
    printf '%d' "$sum"
}

refuse() { say "error: $*" >&2; exit 2; }

chosen=() minutes='' is_json='' is_wine='' build=''
while [ $# -gt 0 ]; do
    case $1 in
    --minutes)
        [[ ${2:-} =~ ^[1-9][0-9]{0,4}$ ]] || refuse "--minutes needs a number from 1 on"
        minutes=$2
        shift 2
        ;;
    --only)
        [ $# -ge 2 ] || refuse "--only needs a name; --list tells them"
        [ -n "${marks[$2]:-}" ] || refuse "there is no \"$2\"; there are: ${names[*]}"
        chosen+=("$2")
        shift 2
        ;;
    --build)
        [ -d "${2:-}" ] || refuse "--build needs the folder of a build"
        build=$(cd "$2" && pwd)
        shift 2
        ;;
    --list) list_rows; exit ;;
    --json) is_json=1; shift ;;
    --wine) is_wine=1; shift ;;
    --help | -h) usage; exit ;;
    *) usage >&2; refuse "unknown option $1" ;;
    esac
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${names[@]}")

# ---- sizes ----

# With --minutes: what time there is beyond the least goes to all in proportion.
share=100 # per cent of the full sizes
if [ -n "$minutes" ]; then
    full_s=$(total full "${chosen[@]}") least_s=$(total least "${chosen[@]}")
    over_s=$((minutes * 60 - least_s))
    [ $over_s -gt 0 ] || over_s=0
    if [ $((minutes * 60)) -lt "$full_s" ]; then
        share=$((over_s * 100 / (full_s - least_s)))
    fi
fi
is_full() { [ "$share" = 100 ]; }
# scaled FULL LEAST
scaled() {
    local size=$(($1 * share / 100))
    [ $size -ge "$2" ] || size=$2
    printf '%d' "$size"
}
# 1234567 -> 1,234,567
number() { printf '%s' "$1" | sed -e ':a' -e 's/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/;ta'; }

# ---- where the programs are ----

preset=linux-release suffix='' drive='' emulator=()
if [ -n "$is_wine" ]; then
    preset=mingw-release suffix=.exe drive=Z: emulator=("$root/cmake/wine-run.sh")
    export SLUICE_WINEPREFIX=$root/build/wine-prefix
fi
is_built_here=
if [ -z "$build" ]; then
    is_built_here=1
    build=$root/build/$preset
    work=$root/build/logs
    lock=$root/build/test.lock
else
    work=$build/logs
    lock=$build/reliability.lock
fi
logs=$work
mkdir -p "$logs/reliability" || die "cannot write to $logs"
exec 8>"$lock"
flock -n 8 || die "another deploy/reliability.sh, test.sh or quickstart.sh is at work there"
exec 3>&1
[ -z "$is_json" ] || exec 1>&2

leave() {
    if [ -n "$stage_pid" ]; then
        kill -TERM -- "-$stage_pid" 2>/dev/null
        wait "$stage_pid" 2>/dev/null
        stage_pid=
    fi
    [ -z "$is_wine" ] || "$root/cmake/wine-run.sh" --stop >/dev/null 2>&1
}
trap leave EXIT
trap 'say "interrupted"; print_results; exit 130' INT
trap 'say "terminated"; exit 143' TERM HUP

# ---- one row ----

declare -A did=() figures=() results=() reasons=() unjudged=() short=() busy=()
name= # of the row at work
SLUICE_LOG_TAIL=${SLUICE_LOG_TAIL:-15}

# The log of the row at work.
row_log() { printf '%s' "$logs/$stage.log"; }
# run PROGRAM WORD...: of the build.
run() {
    local program=$build/$1$suffix
    shift
    run_step run "${emulator[@]}" "$program" "$@"
}
# integration CASE: with its full size where that was asked for.
integration() {
    local words=("$1" "$drive$build/bin/sluiced$suffix")
    if is_full; then words+=(--long); else short[$name]=1; fi
    run tests/integration/integration "${words[@]}"
}
# The values of a key in the row's JSON, in order.
json_values() {
    grep -o "\"$1\": *[^,}]*" "$(row_log)" | sed -e 's/^[^:]*: *//' -e 's/[[:space:]]*$//'
}
json_value() { json_values "$1" | head -n 1; }
# What a program calls its figures: "figure: ..." lines, joined.
said_figures() {
    sed -n 's/^figure: //p' "$(row_log)" | tr -d '\r' | sed -e ':a' -e 'N;$!ba' -e 's/\n/; /g'
}
# note_size SIZE FULL: a smaller one than the pass mark is for?
note_size() { if [ "$1" -lt "$2" ]; then short[$name]=1; fi; }
not_measurable() { reasons[$name]=$*; }
not_judged() { unjudged[$name]=$*; }

row_hangtest() {
    local count code=0
    count=$(scaled 100000 200)
    note_size "$count" 100000
    run bin/sluice hangtest --private --workers 10 --iterations "$count" --json || code=$?
    did[$name]="10 x $(number "$count") pipes"
    figures[$name]="$(number "$(json_value operations)") operations: over 30 s \
$(json_value over_30s), doubled $(json_value doubled), missing $(json_value missing), left \
$(json_value handles) handles, $(json_values operations | sed -n 2p) operations, \
$(json_value zombies) zombies"
    return $code
}
row_accept-close() {
    local code=0 backend=epoll
    [ -z "$is_wine" ] || backend=iocp
    run tests/engine/engine_conformance --backend $backend --test accept_close_pipe || code=$?
    integration listeners || code=$?
    figures[$name]="engine: $(grep -o '[0-9]* closes cancelled [0-9]* accepts' "$(row_log)" |
        head -n 1); broker: $(said_figures)"
    did[$name]="20,000 in the engine, $(number "$(sed -n \
        's/^figure: \([0-9]*\) listeners.*/\1/p' "$(row_log)")") through a broker"
    return $code
}
row_client-killed() {
    local code=0
    integration client_killed || code=$?
    did[$name]="1,000 pending reads, $(grep -c '^round' "$(row_log)") rounds"
    figures[$name]=$(said_figures)
    return $code
}
# lose CASE: the broker goes in the middle of calls.
lose() {
    local code=0 most
    integration "$1" || code=$?
    most=$(sed -n 's/.*latest \([0-9.]*\) ms behind.*/\1/p' "$(row_log)" | sort -g | tail -n 1)
    did[$name]="$(grep -c 'found no broker; latest' "$(row_log)") rounds of 1,000 calls"
    figures[$name]="the latest call ${most:-?} ms behind its deadline (grace: 1,000)"
    return $code
}
row_broker-killed() { lose broker_killed; }
row_broker-halted() { lose broker_stopped; }
row_lives() {
    local count code=0
    count=$(scaled 100000 8000)
    note_size "$count" 100000
    run tests/world/world_test --seeds "$count" --json || code=$?
    did[$name]="$(number "$count") lives"
    [ $code = 0 ] || return $code
    local rate
    rate=$(awk -v calls="$(json_value operations)" -v seconds="$(json_value cpu_seconds)" \
        'BEGIN { printf "%.1f", calls * 60 / seconds / 1e6 }')
    figures[$name]="$(number "$(json_value operations)") operations, $rate million a CPU-minute"
    if [ -n "$is_wine" ]; then # which builds the lives with their slow memory
        not_judged speed
        return 0
    fi
    awk -v rate="$rate" 'BEGIN { exit !(rate >= 10) }' || {
        say "SPEED MISSED: $rate million operations a CPU-minute" | tee -a "$(row_log)"
        return 1
    }
}
row_planted-bugs() {
    local code=0
    if [ ! -x "$build/tests/world/world_bugs$suffix" ]; then
        not_measurable "they are not planted in this build"
        return 0
    fi
    run tests/world/world_bugs --bugs || code=$?
    did[$name]="each bug alone, 1,000 lives"
    figures[$name]=$(grep -o '[0-9]* of [0-9]* bugs found' "$(row_log)" | tail -n 1)
    return $code
}
row_deadlines() {
    local code=0
    integration deadlines || code=$?
    did[$name]="$(number "$(sed -n 's/^figure: \([0-9]*\) reads.*/\1/p' "$(row_log)")") reads"
    figures[$name]=$(said_figures)
    return $code
}
row_allocations() {
    local code=0 words=()
    if [ -n "$is_wine" ]; then
        words=(--brief)
        short[$name]=1
    fi
    run tests/fault/fault_memory "$drive$build/tests/fault/memory_sites.txt" "${words[@]}" ||
        code=$?
    did[$name]=$(sed -n 's/^allocations failed: //p' "$(row_log)" | tr -d '\r')
    figures[$name]=$(grep -o '[0-9]* of [0-9]* places' "$(row_log)" | tail -n 1)
    return $code
}
row_os-calls() {
    local code=0 level words
    for level in engine client program; do
        words=()
        if [ -n "$is_wine" ]; then
            words=(--claims)
            [ $level != engine ] || words=(--hits 1)
            short[$name]=1
        fi
        run tests/fault/fault_calls "$drive$build/tests/fault/sites.txt" $level "${words[@]}" ||
            code=$?
    done
    did[$name]="the engine, the library and sluiced"
    figures[$name]=$(awk '/call sites reached/ {
            printf "%s%s %s of %s (%s cannot be)", rest, $1, $2, $4, substr($8, 2)
            rest = "; "
        }' "$(row_log)")
    return $code
}
row_fuzz() {
    local code=0 each_s count failed
    if [ -n "$is_wine" ] || ! command -v clang >/dev/null; then
        not_measurable "it needs clang's libFuzzer, on Linux"
        return 0
    fi
    each_s=$(scaled 600 10)
    note_size "$each_s" 600
    run_step run "$root/deploy/fuzz.sh" --seconds "$each_s" --jobs "$(nproc)" --seed 2026 ||
        code=$?
    read -r count failed < <(awk '
        / (found nothing|FAILED)$/ { sum += $2; failed += $NF == "FAILED" }
        END { print sum + 0, failed + 0 }' "$(row_log)")
    did[$name]="$(number "$each_s") s each of five targets"
    figures[$name]="$(number "$count") executions, $failed targets failed"
    return $code
}
row_slow-reader() {
    local code=0
    integration slow_reader || code=$?
    did[$name]="$(sed -n 's/^figure: offered \([0-9]*\) MiB.*/\1/p' "$(row_log)") MiB offered"
    figures[$name]=$(said_figures)
    return $code
}
row_flood() {
    local code=0
    integration flood || code=$?
    did[$name]="$(grep -c '^round' "$(row_log)") rounds"
    figures[$name]="$(said_figures); $(grep '^by that alone' "$(row_log)" | tr -d '\r')"
    return $code
}
row_guesses() {
    local code=0
    run tests/broker/broker_sessions_test 100 1000000 || code=$?
    if [ $code = 0 ]; then # the program checks each answer, and says how many there were
        did[$name]="$(number "$(sed -n 's/.*, \([0-9]*\) guesses.*/\1/p' "$(row_log)")") guesses"
        figures[$name]="0 hits"
    fi
    return $code
}
row_chaos() {
    local code=0 length_s words=() part
    length_s=$(scaled 1800 15)
    note_size "$length_s" 1800
    # In a short run a broker has to be killed, too.
    [ "$length_s" -ge 300 ] ||
        words=(--broker-kill-every 5s --broker-halt-every 4s --broker-stop-every 8s)
    run tests/chaos/chaos --seconds "$length_s" --seed 1 --json \
        --sluiced "$drive$build/bin/sluiced$suffix" "${words[@]}" || code=$?
    # As tests/chaos/report.c has it: 5 cycles of 25 s.
    if [ "$length_s" -lt 125 ] || [ -n "$is_wine" ]; then not_judged throughput; fi
    did[$name]="$(number "$length_s") s, $(json_value KILL_CLIENT) clients and \
$(json_value KILL_BROKER) brokers killed"
    part=$(json_values growth_bytes_per_minute | tail -n 1)
    part=${part:+"$part bytes a minute"}
    figures[$name]="hangs $(json_value hangs), wrong $(json_value wrong), leaks \
$(json_value leaks), crashes $(json_value crashes); calls $(json_value calls_ratio), bytes \
$(json_value bytes_ratio) of the clean parts; memory's slope: ${part:-too short a run to tell}"
    return $code
}

BUSY_MAX=10 # a machine that does nothing else does not do more

# What others do on this machine, in per cent of all processors, within a second.
busy_percent() {
    local first
    first=$(head -n 1 /proc/stat)
    sleep 1
    printf '%s\n%s\n' "$first" "$(head -n 1 /proc/stat)" | awk '
        { all = 0; for (i = 2; i <= 9; i++) all += $i; idle = $5 + $6
          if (NR == 2) printf "%d", (all - all1 - idle + idle1) * 100 / (all - all1)
          all1 = all; idle1 = idle }'
}

# Why a figure of time that was missed says nothing; or nothing.
excuse() {
    grep -qE 'P99 MISSED|SPEED MISSED' "$(row_log)" || return 1
    if [ "${busy[$name]}" -gt $BUSY_MAX ]; then
        printf 'the machine was %d %% busy with other things' "${busy[$name]}"
    elif [ "$(nproc)" -lt 2 ]; then
        printf 'it has one processor'
    else
        return 1
    fi
}

run_row() {
    local code=0 why
    name=$1
    stage=reliability/$name
    : >"$(row_log)"
    busy[$name]=$(busy_percent)
    seconds[$stage]=0
    figures[$name]=- did[$name]=-
    "row_$name" || code=$?
    if [ $code = 77 ]; then
        reasons[$name]=$(sed -n 's/^skipped: //p' "$(row_log)" | tail -n 1 | tr -d '\r')
    elif [ $code != 0 ] && why=$(excuse); then
        reasons[$name]=$why
    fi
    if grep -q 'not judged (Wine' "$(row_log)"; then not_judged p99; fi
    if [ -n "${reasons[$name]:-}" ]; then
        results[$name]="not measurable here: ${reasons[$name]}"
    elif [ $code = 0 ]; then
        results[$name]=passed
    else
        results[$name]=FAILED
    fi
}

# ---- the table ----

result_cell() {
    local notes=()
    [ -z "${short[$1]:-}" ] || notes+=("short run")
    [ -z "${unjudged[$1]:-}" ] || notes+=("${unjudged[$1]} not judged")
    if [ "${results[$1]}" = FAILED ] && [ "${busy[$1]}" -gt $BUSY_MAX ]; then
        notes+=("the machine was ${busy[$1]} % busy")
    fi
    printf '%s' "${results[$1]}"
    [ ${#notes[@]} = 0 ] || printf ' (%s' "${notes[0]}"
    [ ${#notes[@]} -le 1 ] || printf ', %s' "${notes[@]:1}"
    [ ${#notes[@]} = 0 ] || printf ')'
}
cells() {
    local row
    for row in "${chosen[@]}"; do
        [ -n "${results[$row]:-}" ] || continue
        printf '%s|%s|%s|%s|%s|%s\n' "$row" "${did[$row]}" "${figures[$row]}" \
            "${marks[$row]}" "$(result_cell "$row")" \
            "$(as_minutes "${seconds[reliability/$row]}")"
    done
}
print_results() {
    local heading='name|what was done|figure|pass mark|result|time'
    # Cells are wrapped at blanks, to columns of fixed width.
    { printf '%s\n' "$heading"; cells; } | awk -F'|' '
        function wrap(text, width, into, field,   words, count, i, line, n) {
            n = 0; line = ""
            count = split(text, words, " ")
            for (i = 1; i <= count; i++) {
                if (line != "" && length(line) + 1 + length(words[i]) > width) {
                    into[field, ++n] = line
                    line = words[i]
                } else {
                    line = line == "" ? words[i] : line " " words[i]
                }
            }
            into[field, ++n] = line
            return n
        }
        BEGIN { split("14 24 40 40 20 6", widths, " ") }
        {
            most = 0
            split("", text)
            for (i = 1; i <= 6; i++) {
                n = wrap($i, widths[i], text, i)
                if (n > most) most = n
            }
            for (line = 1; line <= most; line++) {
                row = ""
                for (i = 1; i <= 6; i++) row = row sprintf("%-" widths[i] "s  ", text[i, line])
                sub(/ +$/, "", row)
                print row
            }
            print ""
        }'
    {
        printf '| %s |\n| --- | --- | --- | --- | --- | --- |\n' "${heading//|/ | }"
        cells | sed -e 's/|/ | /g' -e 's/^/| /' -e 's/$/ |/'
    } >"$logs/reliability/table.md"
    [ ${#short[@]} = 0 ] || say "short run: the pass mark is for the full size (p99s: judged at 4)"
    say "$(machine)"
}
machine() {
    local most=0 row commit memory
    for row in "${!busy[@]}"; do [ "${busy[$row]}" -le "$most" ] || most=${busy[$row]}; done
    commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || printf unknown)
    memory=$(awk '/^MemTotal/ { printf "%d", $2 / 1048576 + 0.5 }' /proc/meminfo)
    printf '%s, commit %s, %s, %d processors, %d GiB, Linux %s; others kept it up to %d %% busy' \
        "$(date -u +%Y-%m-%d)" "$commit" "$preset" "$(nproc)" "$memory" \
        "$(uname -r | cut -d. -f1-2)" "$most"
}
quoted() { printf '"%s"' "$(printf '%s' "$1" | sed -e 's/[\\"]/\\&/g' | tr -d '\000-\037')"; }
print_json() {
    local row is_full comma=''
    printf '{\n  "machine": %s,\n  "rows": [' "$(quoted "$(machine)")"
    for row in "${chosen[@]}"; do
        [ -n "${results[$row]:-}" ] || continue
        printf '%s\n    {"name": %s, "done": %s, "figure": %s, "pass_mark": %s, ' "$comma" \
            "$(quoted "$row")" "$(quoted "${did[$row]}")" "$(quoted "${figures[$row]}")" \
            "$(quoted "${marks[$row]}")"
        is_full=true
        [ -z "${short[$row]:-}" ] || is_full=false
        printf '"result": %s, "is_full_size": %s, "not_judged": %s, ' \
            "$(quoted "${results[$row]}")" $is_full "$(quoted "${unjudged[$row]:-}")"
        printf '"busy_percent": %d, "seconds": %d}' "${busy[$row]}" \
            "${seconds[reliability/$row]}"
        comma=,
    done
    printf '\n  ]\n}\n'
}

# ---- all of it ----

targets=(sluice sluiced integration chaos engine_conformance world_test broker_sessions_test
    fault_calls fault_memory)
make_programs() {
    [ -f "$build/CMakeCache.txt" ] || configure_preset "$preset" || return 1
    cmake --build "$build" --parallel "$(nproc)" --target "${targets[@]}"
}
if [ -n "$is_built_here" ]; then
    [ -n "$is_wine" ] || targets+=(world_bugs)
    stage=reliability/build
    : >"$(row_log)"
    run_step build make_programs ||
        die "the programs do not build (deploy/test.sh --only packages?)"
    [ -z "$is_wine" ] || run_step wine "$root/cmake/wine-run.sh" --init || die "no Wine"
fi
for name in "${chosen[@]}"; do run_row "$name"; done
say
print_results
[ -z "$is_json" ] || print_json >&3
is_passed=
for name in "${chosen[@]}"; do
    case ${results[$name]} in
    FAILED) exit 1 ;;
    passed) is_passed=1 ;;
    esac
done
[ -n "$is_passed" ]
