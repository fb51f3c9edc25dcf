#!/usr/bin/env bash
# Real programs through a forwarder: redis-benchmark, wrk and 1 GiB by curl, each directly, through
# haproxy, through socat and through Sluice's example (client/examples/forward.c), in turn in every
# round. Prints for each the rate, its ratio to the direct one (median and lower quartile of the
# rounds) and the processor time that the forwarder took (Sluice: program and broker).
#
#     tests/bench/forward.sh [--rounds N] [--quick] BUILD        (about 4 minutes; --quick: seconds)
#
# What is not installed is left out, and said; exit code 77 if nothing is left. Uses free ports of
# 127.0.0.1.
set -u

rounds=5 requests=100000 seconds=2 megabytes=1024
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=${2:-}; shift ;;
    --quick) rounds=1 requests=2000 seconds=1 megabytes=16 ;;
    --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "forward.sh: no such option: $1 (see --help)" >&2; exit 2 ;;
    *) break ;;
    esac
    shift
done
case $rounds in
'' | *[!0-9]* | 0) echo "forward.sh: --rounds wants a number from 1" >&2; exit 2 ;;
esac
build=${1:-}
forward=$build/bin/forward sluiced=$build/bin/sluiced
if [ -z "$build" ] || [ ! -x "$forward" ] || [ ! -x "$sluiced" ]; then
    echo "forward.sh: no $forward and $sluiced: name the folder of a build" >&2
    exit 2
fi
sluiced=$(cd "$(dirname "$sluiced")" && pwd)/sluiced

# ---- what there is ----
missing=
has() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 && return 0
    case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
    return 1
}
ways="direct"
has haproxy haproxy && ways="$ways haproxy"
has socat socat && ways="$ways socat"
ways="$ways sluice"
loads=
if has redis-server redis-server && has redis-benchmark redis-tools; then loads="redis"; fi
if has nginx nginx-light; then
    has wrk wrk && loads="$loads wrk"
    has curl curl && loads="$loads curl"
fi
[ -z "$missing" ] || echo "left out, needs: apt-get install$missing"
[ -n "$loads" ] || { echo "forward.sh: nothing to measure with"; exit 77; }

# ---- servers and forwarders ----
work=$(mktemp -d)
pids=
clean_up() {
    # shellcheck disable=SC2086 # one word a process
    [ -z "$pids" ] || kill $pids 2>/dev/null
    wait 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

answers() { # PORT: until somebody listens there, 10 s at most
    for _ in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        read -rt 0.05 <>"$work/never"
    done
    echo "forward.sh: nobody listens on port $1:" >&2
    cat "$work"/*.log >&2
    exit 1
}
mkfifo "$work/never"

first_port=$((20000 + $$ % 1500 * 8)) # below those that the system gives to connections
port() { # WAY SERVER: where that way to that server is reached
    local at=$first_port
    case $1 in
    haproxy) at=$((at + 2)) ;;
    socat) at=$((at + 4)) ;;
    sluice) at=$((at + 6)) ;;
    esac
    case $2 in redis) echo "$at" ;; *) echo $((at + 1)) ;; esac
}

declare -A owners # of a way and a server: the processes whose time counts
start() { # KEY COMMAND...: in the background
    local key=$1
    shift
    "$@" >"$work/$key.log" 2>&1 &
    pids="$pids $!"
    owners[$key]="${owners[$key]:-} $!"
}
servers=
case $loads in *redis*)
    servers="redis"
    start server-redis redis-server --port "$(port direct redis)" --bind 127.0.0.1 --save '' \
        --dir "$work"
esac
case $loads in *wrk* | *curl*)
    servers="$servers http"
    mkdir -p "$work/www"
    head -c 1024 /dev/zero >"$work/www/small"
    head -c "$((megabytes << 20))" /dev/zero >"$work/www/large"
    cat >"$work/nginx.conf" <<END
daemon off; pid $work/nginx.pid; worker_processes 1; error_log $work/nginx.error;
events { worker_connections 1024; }
http {
    access_log off; sendfile on; keepalive_requests 100000000;
    client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
    uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
    server { listen 127.0.0.1:$(port direct http); root $work/www; }
}
END
    chmod 755 "$work"
    start server-http nginx -c "$work/nginx.conf"
esac
for server in $servers; do
    to=127.0.0.1:$(port direct "$server")
    answers "$(port direct "$server")"
    for way in $ways; do
        at=$(port "$way" "$server")
        case $way in
        haproxy)
            cat >"$work/haproxy-$server.cfg" <<END
global
    nbthread 1
    maxconn 1000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen all
    bind 127.0.0.1:$at
    server one $to
END
            start "haproxy-$server" haproxy -db -f "$work/haproxy-$server.cfg" ;;
        socat)
            start "socat-$server" socat \
                "TCP-LISTEN:$at,bind=127.0.0.1,reuseaddr,fork,backlog=128" "TCP:$to" ;;
        sluice)
            start "sluice-$server" sh -c "exec \"\$@\" <\"$work/never\" 3>\"$work/never\"" sh \
                "$forward" "tcp:127.0.0.1:$at" "tcp:$to" "$sluiced" ;;
        esac
        answers "$at"
        if [ "$way" = sluice ]; then # "... (broker PID)"
            broker=$(sed -n 's/.*(broker \([0-9]*\)).*/\1/p' "$work/sluice-$server.log")
            owners[sluice-$server]+=" $broker"
        fi
    done
done

# ---- rounds ----
ticks=$(getconf CLK_TCK)
cpu_ticks() { # PID...: their time and their children's, also of those that have ended
    local sum=0 pid child fields
    for pid in "$@"; do
        for child in "$pid" $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
            fields=$(sed 's/.*) //' "/proc/$child/stat" 2>/dev/null) || continue
            # shellcheck disable=SC2086 # one word a field
            set -- $fields
            sum=$((sum + ${12} + ${13} + ${14} + ${15}))
        done
    done
    echo "$sum"
}
measure() { # LOAD PORT: what it did in a second: requests, or MiB
    case $1 in
    redis) redis-benchmark -h 127.0.0.1 -p "$2" -t get -n "$requests" -c 50 --csv 2>/dev/null |
        awk -F'"' '/GET/ { print $4 }' ;;
    wrk) wrk -t 1 -c 50 -d "$seconds" "http://127.0.0.1:$2/small" |
        awk '/Requests\/sec/ { rate = $2 } /Socket errors|Non-2xx/ { bad = 1 }
             END { print bad ? 0 : rate }' ;;
    curl) curl -s -o /dev/null -w '%{size_download} %{time_total}\n' "http://127.0.0.1:$2/large" |
        awk -v wanted=$((megabytes << 20)) '{ print $1 == wanted ? $1 / 1048576 / $2 : 0 }' ;;
    esac
}
server_of() {
    case $1 in redis) echo redis ;; *) echo http ;; esac
}
sluice_version=$("$sluiced" --version 2>/dev/null | head -n 1)
echo "forward.sh: $rounds rounds, $(nproc) processors, $(uname -sr), $sluice_version," \
    "load $(cut -d' ' -f1 /proc/loadavg) before"
for round in $(seq "$rounds"); do
    for load in $loads; do
        for way in $ways; do
            [ ! -t 2 ] ||
                printf '\rround %s of %s: %s, %s      ' "$round" "$rounds" "$load" "$way" >&2
            server=$(server_of "$load")
            # shellcheck disable=SC2086 # one word a process
            before=$(cpu_ticks ${owners[$way-$server]:-})
            rate=$(measure "$load" "$(port "$way" "$server")")
            # shellcheck disable=SC2086
            after=$(cpu_ticks ${owners[$way-$server]:-})
            echo "$round $load $way ${rate:-0} $((after - before))" >>"$work/rounds"
        done
    done
done
[ ! -t 2 ] || printf '\r%50s\r' '' >&2

# ---- the table ----
awk -v ticks="$ticks" -v requests="$requests" -v seconds="$seconds" -v mib="$megabytes" '
    function sort(list, count,   i, j, value) {
        for (i = 2; i <= count; i++) {
            value = list[i]
            for (j = i; j > 1 && list[j - 1] > value; j--) list[j] = list[j - 1]
            list[j] = value
        }
    }
    function quantile(list, count, share,   at, low) {
        at = 1 + share * (count - 1); low = int(at)
        return low >= count ? list[count] : list[low] + (at - low) * (list[low + 1] - list[low])
    }
    { rate[$2, $3, $1] = $4; cpu[$2, $3, $1] = $5 / ticks; rounds = $1
      if (!($2 in loads)) { loads[$2]; load[++load_count] = $2 }
      if (!($3 in ways)) { ways[$3]; way[++way_count] = $3 } }
    END {
        unit["redis"] = "GET/s"; unit["wrk"] = "requests/s"; unit["curl"] = "MiB/s"
        per["redis"] = "us of CPU a GET"; per["wrk"] = "us a request"; per["curl"] = "us a MiB"
        printf "%-6s %-8s %12s %-11s %-28s %s\n", "load", "way", "rate", "",
               "of direct (lower quartile)", "its processors"
        for (l = 1; l <= load_count; l++) for (w = 1; w <= way_count; w++) {
            for (r = 1; r <= rounds; r++) {
                value = rate[load[l], way[w], r]; direct = rate[load[l], "direct", r]
                rates[r] = value; ratios[r] = direct > 0 ? value / direct : 0
                work = load[l] == "redis" ? requests : load[l] == "wrk" ? value * seconds : mib
                costs[r] = work > 0 ? cpu[load[l], way[w], r] * 1e6 / work : 0
                if (value == 0) failed = 1
            }
            sort(rates, rounds); sort(ratios, rounds); sort(costs, rounds)
            ratio = sprintf("%.2f (%.2f)", quantile(ratios, rounds, 0.5),
                            quantile(ratios, rounds, 0.25))
            cost = sprintf("%.1f %s", quantile(costs, rounds, 0.5), per[load[l]])
            printf "%-6s %-8s %12.0f %-11s %-28s %s\n", load[l], way[w],
                   quantile(rates, rounds, 0.5), unit[load[l]], ratio,
                   (way[w] == "direct" ? "-" : cost)
        }
        if (failed) print "A rate of 0: that load failed in some round."
        exit failed
    }' "$work/rounds"
