# shellcheck shell=bash
# shellcheck disable=SC2154 # bare, rounds and the functions are of tests/bench/run
# The part `web` of tests/bench/run, which sources it: what the HTTP API takes, and what crowds of clients do to what runs. WEB_SECONDS (30) of load.
# Clients stand for other machines: they run at the lowest priority.
load=$(dirname "$bare")/load web_seconds=${WEB_SECONDS:-30}

bench_web_open() { # sets PORT
	PORT=$(ss -ltnpH | grep -F "pid=$(role web)," | sed -nE 's/.*127\.0\.0\.1:([0-9]+) .*/\1/p' | head -n 1)
}
bench_web_site() { # CONFIGURATION-LINE…
	bench_site "$@"
	sed -i 's/^listen: .*/listen: 127.0.0.1:0/' "$CONFIG"
}
starts_of() { # PREFIX ROUNDS: ms from the call that makes it poll to the start event, one line each
	local i id t0
	for i in $(seq "$2"); do
		id=$1-$i
		action "$id" quick
		git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B main origin/main
		commit "land $id" && push
		t0=$(now_ns)
		api -X POST "/actions/$id/run" >/dev/null
		calc "printf \"%.1f\\n\", ($(started_ns "disinto-.*-$id-1") - $t0) / 1e6"
		finished "$id" >&2
	done
}
web_peak() { # FILE: the web role's PSS in KB while the file is there, its worst
	local worst=0 now pid
	pid=$(role web)
	while [ -e "$1" ]; do
		now=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup")
		[ "${now:-0}" -le "$worst" ] || worst=$now
		sleep 0.1
	done
	echo "$worst"
}

# --- GET /health at a steady pace while eight actions run, and what that does to the start of others.
bench_web_site 'poll_seconds: 3600'
sed -i 's/^capacity: .*/capacity: 9/' "$CONFIG"
dispatcher_start
bench_web_open
for i in 1 2 3 4 5 6 7 8; do action "still-$i" still; done
land
api -X POST /actions/still-1/run >/dev/null
for i in 1 2 3 4 5 6 7 8; do wait_for is_state "still-$i" running; done
note "GET /health at 10000/s for $web_seconds s"
starts_of calm 15 >"$WORK/calm"
nice -n 19 "$load" rate "$PORT" /health 10000 "$web_seconds" >"$WORK/rate" &
CHILDREN+=($!)
rate_pid=$!
starts_of busy 15 >"$WORK/busy"
wait "$rate_pid"
read -r good bad per_second p50 p99 worst_us <"$WORK/rate"
row "GET /health at 10000/s for $web_seconds s while 8 run, errors" "$bad" "0" "$(holds "$bad == 0 && $good == 10000 * $web_seconds")" \
	"$per_second/s; median $(calc "printf \"%.1f\", $p50 / 1000") ms, 99 of 100 $(calc "printf \"%.1f\", $p99 / 1000") ms, worst $(calc "printf \"%.0f\", $worst_us / 1000") ms"
c=$(median <"$WORK/calm") b=$(median <"$WORK/busy")
row "an action's start under that load, median" "$b ms" "1.1 of it" "$(holds "$b <= 1.1 * $c")" "without load: $c ms"

# --- Headers that never end.
note "slow headers on 5000 connections"
nice -n 19 "$load" slow "$PORT" 5000 15 >"$WORK/slow" &
CHILDREN+=($!)
slow_pid=$!
sleep 2
for _ in $(seq 50); do curl -s -o /dev/null -w '%{time_total}\n' "http://127.0.0.1:$PORT/health"; done | awk '{ print $1 * 1000 }' >"$WORK/health"
starts_of slow 5 >"$WORK/slowly"
wait "$slow_pid"
read -r opened ended <"$WORK/slow"
w=$(worst <"$WORK/health")
row "/health beside 5000 slow connections, worst of 50" "$w ms" "1000 ms" "$(holds "$w <= 1000")" "$opened were opened, $ended sent away; start of an action: $(median <"$WORK/slowly") ms"
for i in 1 2 3 4 5 6 7 8; do api -X DELETE "/workers/still-$i" >/dev/null; done
for i in 1 2 3 4 5 6 7 8; do finished "still-$i" >&2; done

# --- Twenty read one log of 20 MB as it grows, five of them stall.
note "20 followers of one log of 20 MB"
gated_formula gated
action log-1 gated
land
api -X POST /actions/log-1/run >/dev/null
at_gate log-1
token=$(DISINTO_CONFIG=$CONFIG disinto token add bench 2>/dev/null)
: >"$WORK/peak.on"
web_peak "$WORK/peak.on" >"$WORK/peak" &
peak_pid=$!
"$load" follow "$PORT" '/workers/log-1/logs?follow=1&footer=0' "$token" 20 5 "$WORK/log" >"$WORK/follow" &
CHILDREN+=($!)
follow_pid=$!
seq -f 'a line of the log that is quite as long as lines of logs are, number %012.0f' 10000 >"$WORK/megabyte"
for _ in $(seq 25); do
	cat "$WORK/megabyte" >>"$SPOOL/runs/log-1/log"
	sleep 0.05
done
cp "$SPOOL/runs/log-1/log" "$WORK/log" # the dispatcher, which knows nothing of our lines, writes the run's last one where it believes the end to be
open_gate log-1
wait "$follow_pid"
rm "$WORK/peak.on"
wait "$peak_pid"
read -r whole took <"$WORK/follow"
peak=$(calc "printf \"%.1f\", $(cat "$WORK/peak") / 1024")
size=$(calc "printf \"%.1f\", $(stat -c %s "$SPOOL/runs/log-1/log") / 1e6")
row "followers of a log of $size MB that got every byte" "$whole" "15" "$(holds "$whole == 15")" "5 of 20 never read; $took s"
row "memory of the web role meanwhile (PSS, worst)" "$peak MB" "32 MB" "$(holds "$peak <= 32")" ""
dispatcher_stop

# --- From the merge push to the container's start, with the webhook.
note "push to start by webhook, $rounds times"
(umask 077 && openssl rand -hex 32 >"$WORK/hook")
bench_web_site 'poll_seconds: 3600' "webhook_secret_file: $WORK/hook"
dispatcher_start
bench_web_open
hook_body='{"ref":"refs/heads/main"}'
mac=$(printf %s "$hook_body" | openssl dgst -sha256 -hmac "$(cat "$WORK/hook")" | sed 's/.* //')
action shape-1 still
land
api -X POST /actions/shape-1/run >/dev/null
started_ns 'disinto-.*-shape-1-1' >/dev/null
engine "$(printf '/containers%s/json' "$(containers shape-1)")" |
	jq '.Config + {HostConfig: .HostConfig} | del(.Hostname, .Labels["com.docker.compose.project"])' >"$WORK/body"
api -X DELETE /workers/shape-1 >/dev/null
finished shape-1 >&2
for i in $(seq "$rounds"); do
	id=hook-$i
	action "$id" quick
	git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B main origin/main
	commit "land $id"
	t0=$(now_ns)
	push
	curl -s -o /dev/null -H "X-Forgejo-Signature: $mac" -d "$hook_body" "http://127.0.0.1:$PORT/hook"
	calc "printf \"%.1f\\n\", ($(started_ns "disinto-.*-$id-1") - $t0) / 1e6" >>"$WORK/hooked"
	finished "$id" >&2
	read -r name t0 < <("$bare" "$SOCKET" "$WORK/body" "hookbare$i" 1 0)
	calc "printf \"%.1f\\n\", ($(started_ns "$name") - $t0) / 1e6" >>"$WORK/hookbare"
done
dispatcher_stop
b=$(median <"$WORK/hookbare")
m=$(calc "printf \"%.1f\", $(median <"$WORK/hooked") - $b") w=$(calc "printf \"%.1f\", $(worst <"$WORK/hooked") - $b")
row "push to start by webhook beyond the engine's own, median" "$m ms" "350 ms" "$(holds "$m <= 350")" "the push counts; bare create+attach+start $b ms"
row "push to start by webhook beyond the engine's own, worst of $rounds" "$w ms" "800 ms" "$(holds "$w <= 800")" ""

# --- The dashboard with 10000 results.
note "the dashboard with 10000 results"
bench_web_site 'poll_seconds: 3600'
action seed-1 quick
land
dispatcher_start
finished seed-1 >&2
wait_for is_state seed-1 finished
token=$(DISINTO_CONFIG=$CONFIG disinto token add bench 2>/dev/null)
dispatcher_stop
for i in $(seq 2 10000); do
	mkdir "$SPOOL/runs/seed-$i"
	for file in state.json result.json; do
		[ ! -e "$SPOOL/runs/seed-1/$file" ] || printf '%s\n' "$SPOOL/runs/seed-1/$file $SPOOL/runs/seed-$i/$file $i"
	done
done | while read -r from to i; do
	seed=$(<"$from")
	printf '%s\n' "${seed//seed-1/seed-$i}" >"$to"
done
sed -i 's/^poll_seconds: .*/poll_seconds: 3600/' "$CONFIG"
dispatcher_start
bench_web_open
browser=$ROOT/build/browser
[ -e "$browser/installed" ] || "$ROOT/tests/lib/browser.sh" >&2
read -r paint list < <(node "$ROOT/tests/bench/paint.mjs" "$browser" "http://127.0.0.1:$PORT/" "$token")
rows=$(api /actions | jq '.actions | length')
dispatcher_stop
row "first paint of the dashboard with $rows results" "$paint ms" "1000 ms" "$(holds "$paint <= 1000 && $rows == 10000")" "the list is on the screen after $list ms"
weight=$(cat "$ROOT"/dispatcher/web/page/* | wc -c)
row "the dashboard's weight" "$(calc "printf \"%.1f\", $weight / 1000") KB" "100 KB" "$(holds "$weight <= 100000")" "not compressed"
