#!/bin/bash
# What clients of an older task server and of an older runner supervisor expect of the HTTP API, line by line: paths, codes, shapes, lessons. Proposals by POST /dispatch have a script of their own.
# shellcheck disable=SC2030,SC2031 # subshells have a token of their own
. "$(dirname "$0")/lib.sh"

TOKEN=
tcp_open() { # finds the address of the dispatcher that runs
	TCP=http://127.0.0.1:$(ss -ltnpH | grep -F "pid=$(role web)," | sed -nE 's/.*127\.0\.0\.1:([0-9]+) .*/\1/p' | head -n 1)
}
tcp() { # [CURL-ARGUMENT…] PATH: prints the code; the body is in $WORK/body, the headers in $WORK/headers
	curl -s -o "$WORK/body" -D "$WORK/headers" -w '%{http_code}' --max-time 60 ${TOKEN:+-H "Authorization: Bearer $TOKEN"} "${@:1:$#-1}" "$TCP${*: -1}"
}
body() { # JQ-FILTER
	jq -c "$1" "$WORK/body"
}
header() { # NAME
	grep -i "^$1:" "$WORK/headers" | tr -d '\r' | sed 's/^[^:]*: //'
}

engine_start
site http <<<'capacity: 3'
sed -i 's/^listen: .*/listen: 127.0.0.1:0/' "$CONFIG"
export DISINTO_CONFIG=$CONFIG
formula wrong <<<$'steps:\n  - {id: count, run: "seq 1000; printf \\"no newline at the end\\"; exit 7"}'
formula deaf <<-'EOT'
	grace_seconds: 1
	steps:
	  - id: deaf
	    run: |
	      trap '' TERM
	      echo begin deaf
	      while :; do sleep 1; done
EOT
gated_formula gated

# The first start, on a terminal
script -qefc "exec disinto-dispatcher --config '$CONFIG'" "$WORK/terminal" >/dev/null 2>&1 </dev/null &
CHILDREN+=($!)
first=$!
wait_for api /health
TOKEN=$(sed -nE "s/^API token 'first'.*: ([A-Za-z0-9_-]{43}).*/\1/p" "$WORK/terminal" | tr -d '\r')
is "parity_C11 the first start on a terminal prints a token of 32 bytes" "${#TOKEN}" 43
DISPATCHER=$(pgrep -P "$first")
tcp_open
is "parity_C11 which opens everything" "$(tcp /actions) $(tcp -X POST /drain)" '200 202'
wait_for gone "$DISPATCHER"
refute "parity_C11 it is kept as a hash only" grep -rqF -e "$TOKEN" "$SPOOL"
dispatcher_start
tcp_open
is "parity_C11 the token outlives a restart" "$(tcp /actions)" 200
refute "parity_C11 and is not printed again" grep -q "API token" "$LOG"
is "parity_C11 nor made again" "$(jq '.tokens | length' "$SPOOL/tokens.json")" 1
dispatcher_stop
rm "$SPOOL/tokens.json"
dispatcher_start
tcp_open
refute "parity_C11 without a terminal none is written into a log" grep -q "API token '" "$LOG"

# C1, C2: keys
is "parity_C2 no token configured: nothing opens" "$(tcp /actions) $(TOKEN='' tcp /actions) $(TOKEN='' tcp -H 'Authorization: Bearer' /workers)" '401 401 401'
TOKEN=$(disinto token add tests --scope operate 2>/dev/null)
is "parity_C2 a token counts without a restart" "$(tcp /actions)" 200
for bearer in Bearer bearer BEARER bEaReR; do
	is "parity_C2 $bearer" "$(t=$TOKEN TOKEN='' && tcp -H "Authorization: $bearer $t" /workers)" 200
done
wait_for eval '[ "$(tcp /healthz)" = 200 ]'
is "parity_C1 open paths" "$(TOKEN='' && for path in /health /healthz /status / /metrics; do tcp $path; done)" 200200200200200
is "parity_C1 401 first, for unknown paths and methods too" \
	"$(TOKEN='' && for path in /nothing /workers /workers/x/logs /healthzz; do tcp $path; done && tcp -X PUT /health && tcp -X DELETE /workers/x)" 401401401401401401
strange() { # PATH: codes of what has something else wrong with it
	tcp -H 'Host: evil.example' "$1" && echo -n ' ' && tcp -H 'Sec-Fetch-Site: cross-site' "$1" && echo -n ' ' && tcp -H 'Authorization: Bearer a' -H 'Authorization: Bearer b' "$1"
}
is "parity_C1 401 first, whatever else is wrong" "$(TOKEN='' && strange /workers && strange /nothing)" '401 401 401401 401 401'
is "parity_C1 and then the rest" "$(strange /workers)" '421 403 400'
is "parity_C1 open paths have no 401" "$(TOKEN='' && strange /health)" '421 200 400'
is "parity_C1 as JSON" "$(TOKEN='' && tcp /nothing >/dev/null && body .)" '{"error":"unauthorized"}'
is "parity_C1 then 404" "$(tcp /nothing) $(body .)" '404 {"error":"not found"}'
is "parity_C1 /health" "$(tcp /health) $(body .)" '200 {"status":"ok"}'

# C9, B7: how it is
tcp /status >/dev/null
is "parity_C9 /status has its fields" \
	"$(body '[.status, (.version | type), (.uptime_seconds | type), .workers, (.memory | .total_mb > .available_mb and .available_mb > 0), .pulse, .manager]')" \
	'["running","string","number",{"active":0,"max":3,"available":3},true,{"enabled":true,"interval_seconds":1},"docker"]'
is "without a forge there is no place where commits are looked at" "$(body .commit_url)" null
tcp /healthz >/dev/null
is "parity_B7 /healthz has its fields" \
	"$(body '[.status, .runner_id, .active_sessions, .capacity, .queued, .draining, .locked, (.last_poll_age_ms >= 0), (.roles | keys)]')" \
	"[\"ok\",\"$(jq -r .id "$SPOOL/dispatcher.json")\",0,3,0,false,false,true,[\"core\",\"engine\",\"git\",\"keyring\",\"web\"]]"

# C6, C7, C8: runs
action count-1 wrong
action follow-1 gated
action deaf-1 deaf
land
at_gate follow-1
wait_for log_has deaf-1 '^begin'
finished count-1
tcp /workers >/dev/null
is "parity_C6 /workers lists what runs" \
	"$(body '[.workers | sort_by(.task_id)[] | [.task_id, .status, .formula, .elapsed_minutes < 60, (.start_time | fromdate > 0), has("repo")]]')" \
	'[["deaf-1","running","deaf",true,true,true],["follow-1","running","gated",true,true,true]]'
tcp /status >/dev/null
is "parity_C9 /status counts them" "$(body .workers)" '{"active":2,"max":3,"available":1}'
tcp /healthz >/dev/null
is "parity_B7 locked, once something has run" "$(body '[.locked, .active_sessions]')" '[true,2]'
is "parity_C8 a log is text" "$(tcp /workers/count-1/logs) $(header content-type) $(header x-content-type-options)" '200 text/plain; charset=utf-8 nosniff'
is "parity_C8 its last 500 lines, then the footer" "$(wc -l <"$WORK/body") $(head -n 1 "$WORK/body") $(tail -n 2 "$WORK/body" | head -n 1)" \
	'501 502 no newline at the end'
like "parity_C8 the footer has the exit code and the time" "$(tail -n 1 "$WORK/body")" '^\[EXIT:7\] 20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$'
tcp '/workers/count-1/logs?lines=0&footer=0' >/dev/null
is "parity_C8 the log alone is what the result has the digest of" "$(sha256sum <"$WORK/body" | cut -d' ' -f1)" "$(field count-1 .log_sha256)"
tcp /workers/follow-1/logs >/dev/null
refute "parity_C8 no footer while it runs" grep -q EXIT "$WORK/body"
curl -sN --max-time 60 -H "Authorization: Bearer $TOKEN" "$TCP/workers/follow-1/logs?follow=1" >"$WORK/followed" &
CHILDREN+=($!)
follower=$!
open_gate follow-1
wait $follower
like "parity_C8 who follows gets the footer at the end" "$(tail -n 2 "$WORK/followed" | tr '\n' ' ')" '^end \[EXIT:0\] 20'
is "parity_C7 DELETE" "$(tcp -X DELETE /workers/deaf-1) $(body .)" '202 {"status":"cancelling","task_id":"deaf-1"}'
finished deaf-1
is "parity_C7 TERM, then KILL after the grace" "$(field deaf-1 '[.outcome, .exit_code] | @json')" '["cancelled",130]'
is "parity_C7 404 for an unknown one" "$(tcp -X DELETE /workers/nobody) $(body .)" '404 {"error":"not found"}'
is "parity_C5 409 for one that has ended" "$(tcp -X DELETE /workers/deaf-1) $(body .)" '409 {"error":"already finished"}'
is "parity_C5 403 says what is missing" "$(TOKEN=$(disinto token add narrow --scope propose 2>/dev/null) && tcp /workers) $(body .)" \
	"403 {\"error\":\"the token's scope is propose; this needs read\"}"
is "parity_C5 404 for the log of what never ran" "$(tcp /workers/nobody/logs) $(body .error)" '404 "no log: it has not run here"'

# Metrics: what Prometheus' own tool makes of them, and that each is what /status says
promtool=$("$LIB/promtool.sh") || bail "no promtool"
tcp /metrics >/dev/null
is "metrics pass promtool check metrics" "$("$promtool" check metrics <"$WORK/body" 2>&1)" ''
metric() { # NAME[{LABELS}]
	awk -v name="$1" '$1 == name { print $2 }' "$WORK/body"
}
is "metrics are set: slots, health, roles, the engine" \
	"$(metric disinto_capacity) $(metric disinto_active) $(metric disinto_healthy) $(metric 'disinto_role_up{role="git"}') $(metric disinto_engine_up)" '3 0 1 1 1'
is "metrics are set: outcomes" \
	"$(for o in succeeded failed cancelled timed_out refused lost; do metric "disinto_actions_ended{outcome=\"$o\"}"; done | tr '\n' ' ')" '1 1 1 0 0 0 '
check "metrics are set: the age of the last poll" awk "BEGIN { age = $(metric disinto_last_poll_age_seconds); exit !(age >= 0 && age < 600) }"
refute "no metric is declared and not set" grep -vxFf <(grep -v '^#' "$WORK/body" | sed 's/[{ ].*//' | sort -u) <(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$WORK/body")

# C5: the 413 that its client sees, however it sends the body
head -c 3000000 /dev/zero >"$WORK/large"
for how in 'Expect: 100-continue' 'Expect:' 'Transfer-Encoding: chunked'; do
	is "parity_C5 413 is seen ($how)" "$(tcp -X POST -H "$how" --data-binary "@$WORK/large" /drain) $(body .)" '413 {"error":"the body is over 1 MiB"}'
	is "parity_C5 401 before 413 ($how)" "$(TOKEN='' && tcp -X POST -H "$how" --data-binary "@$WORK/large" /drain)" 401
done

# C10: the page knows no other place
tcp / >/dev/null
refute "parity_C10 the page loads nothing from elsewhere" grep -qE '(src|href)="?(https?:)?//' "$WORK/body"

# Every line of what is replaced has a test that bears its name, here or elsewhere.
for line in B7 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 C12 C13 C14 C15 E8 E9; do
	check "parity: $line has a test" grep -rqE "parity_${line}(_|\b)" "$ROOT/tests/unit" "$ROOT/tests/e2e" "$ROOT/tests/browser"
done

# C15, C8: lessons
for program in disinto disinto-dispatcher; do
	refute "parity_C15 $program has no call that goes through a shell" \
		grep -qwE 'system|popen|wordexp|execlp|execl' <<<"$(nm -D --undefined-only "$BIN/$program" | awk '{ sub("@.*", "", $2); print $2 }')"
done
dispatcher_stop
dispatcher_start
tcp_open
is "parity_C8 logs are kept over restarts" "$(tcp /workers/count-1/logs) $(tail -n 1 "$WORK/body" | cut -c1-8)" '200 [EXIT:7]'
