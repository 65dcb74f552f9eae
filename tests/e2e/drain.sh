#!/bin/bash
# How a dispatcher leaves: TERM waits a while for what runs, TERM again does not; drain waits for the last result, and calls on_drained once.
. "$(dirname "$0")/lib.sh"

# Something on loopback that gives the answer in $WORK/answer to each request, and writes the request to $WORK/requests.
cat >"$WORK/hook.cgi" <<'EOT'
#!/bin/sh
{
	printf '%s %s\ntoken: %s\ntype: %s\nbody: ' "$REQUEST_METHOD" "$REQUEST_URI" "$HTTP_CODER_SESSION_TOKEN" "$CONTENT_TYPE"
	cat && echo
} >>"$WORK/requests"
cat "$WORK/answer"
EOT
chmod +x "$WORK/hook.cgi"
answer() { # STATUS BODY
	printf 'Status: %s\r\nContent-Type: text/plain\r\n\r\n%s' "$1" "$2" >"$WORK/answer"
	: >"$WORK/requests"
}
hook_up() {
	local try
	answer '200 OK' ''
	for try in 1 2 3 4 5 6 7 8 9; do
		PORT=$((20000 + RANDOM % 10000 + try))
		cat >"$WORK/hook.conf" <<-EOT
			server.modules = ("mod_setenv", "mod_cgi", "mod_alias")
			server.bind = "127.0.0.1"
			server.port = $PORT
			server.document-root = "$WORK"
			alias.url = ("/" => "$WORK/hook.cgi/")
			cgi.assign = ("" => "")
			setenv.set-environment = ("WORK" => "$WORK", "PATH" => "$PATH")
		EOT
		lighttpd -D -f "$WORK/hook.conf" >>"$WORK/hook.log" 2>&1 </dev/null &
		CHILDREN+=($!)
		WAIT=5 wait_for eval "curl -s --max-time 5 http://127.0.0.1:$PORT/; grep -q ^GET $WORK/requests" && return
	done
	bail "no server for on_drained: $(cat "$WORK/hook.log")"
}
calls() {
	grep -c '^body:' "$WORK/requests"
}
one_result() { # ID
	is "$1: one result, whole" "$(field "$1" '[.outcome, .attempt, (.logs | sub("begin .*"; "begin"))] | @json')" '["succeeded",1,"begin\nend\n"]'
	is "$1: it ran once" "$(starts "$1")" 1
}

engine_start
hook_up
answer '201 Created' 'queued'
site daemon <<-EOT
	drain_seconds: 60
	on_drained: {url: "http://127.0.0.1:$PORT/builds?x=1", headers_file: headers, body: {transition: delete}}
EOT
(umask 077 && printf 'Coder-Session-Token: a-token-for-this-alone\n' >"$WORK/site/headers")
gated_formula gated
dispatcher_start

# TERM waits for what runs, starts nothing new, and then ends.
action first gated
land
at_gate first
kill -TERM "$DISPATCHER"
check "status says that it stops" wait_for eval 'disinto --config "$CONFIG" status | grep -q "stopping: nothing new starts; waits for 1 runs"'
action second gated
land
open_gate first
finished first
one_result first
wait_for gone "$DISPATCHER"
wait "$DISPATCHER"
is "threat_45_term: TERM drains and exits with 0" $? 0
DISPATCHER=
is "what came after TERM did not start" "$(starts second)" 0
is "TERM calls nobody" "$(calls)" 0

# TERM again leaves at once; the run is adopted by the next start.
dispatcher_start
at_gate second
kill -TERM "$DISPATCHER"
wait_for eval 'disinto --config "$CONFIG" status | grep -q stopping:'
kill -TERM "$DISPATCHER"
check "threat_45_term_twice: TERM again leaves at once" wait_for gone "$DISPATCHER"
wait "$DISPATCHER"
is "with exit code 0" $? 0
DISPATCHER=
is "the container still runs" "$(docker inspect -f '{{.State.Running}}' "$(containers second | tr -d /)")" true

# Drain waits for the last result, over the death of core; then it calls, once, and ends.
dispatcher_start
check "the run is adopted" wait_for is_state second running
api -X POST /drain >/dev/null
check "status says that it drains" wait_for eval 'disinto --config "$CONFIG" status | grep -q draining:'
is "and so does /healthz" "$(curl -s --unix-socket "$SPOOL/api.sock" http://d/healthz | jq .draining)" true
pid=$(role core)
kill -9 "$pid"
check "core is replaced" wait_for eval "p=\$(role core) && [ \$p != $pid ]"
check "and goes on draining" wait_for eval 'disinto --config "$CONFIG" status | grep -q draining:'
check "the run is followed again" wait_for is_state second running
disinto --config "$CONFIG" drain --json >"$WORK/drain.out" 2>"$WORK/drain.err" &
drainer=$!
wait_for grep -q 'waits for 1 runs' "$WORK/drain.err"
open_gate second
finished second
one_result second
wait "$drainer"
is "disinto drain exits with 0" $? 0
is "and says so" "$(jq -c '[.status, .on_drained_ok, .on_drained]' "$WORK/drain.out")" '["drained",true,"answered 201"]'
check "the dispatcher ends" wait_for gone "$DISPATCHER"
wait "$DISPATCHER"
is "with exit code 0" $? 0
DISPATCHER=
is "on_drained was called once" "$(calls)" 1
like "with its method and path" "$(cat "$WORK/requests")" '^POST /builds\?x=1$'
like "with its headers" "$(cat "$WORK/requests")" '^token: a-token-for-this-alone$'
like "and the type of its body" "$(cat "$WORK/requests")" '^type: application/json$'
like "with its body" "$(cat "$WORK/requests")" '^body: \{"transition":"delete"\}$'
refute "the token is not in the log" grep -q a-token-for-this-alone "$LOG"
check "no container is left" wait_for eval '[ "$(engine "/containers/json?all=1" | jq length)" = 0 ]'

# Another answer is logged, with 300 bytes of it at most, and is no reason to stay.
answer '409 Conflict' "no: $(printf '%0400d' 0)"
dispatcher_start
check "with nothing to wait for it drains at once" disinto --config "$CONFIG" drain
check "and ends" wait_for gone "$DISPATCHER"
wait "$DISPATCHER"
is "with exit code 0, whatever the answer" $? 0
DISPATCHER=
is "called once, not again" "$(calls)" 1
like "the answer is logged" "$(grep on_drained "$LOG")" 'answered 409: no: 0{296}"?$'

# No headers, no call.
rm "$WORK/site/headers"
: >"$WORK/requests"
dispatcher_start
is "POST /drain answers at once" "$(api -X POST /drain | jq -c .)" '{"status":"draining"}'
check "it ends" wait_for gone "$DISPATCHER"
DISPATCHER=
is "without its headers file nobody is called" "$(calls)" 0
like "and that is said" "$(grep on_drained "$LOG" | tail -1)" 'skipped: headers_file: .*/headers'

# Nobody says that a container was removed, since the engine role that should have said so has died: the next list shows that it is gone.
dispatcher_start
action unsaid gated
land
at_gate unsaid
printf '#!/bin/sh\nexit 1\n' >"$SERVER/hooks/pre-receive" && chmod +x "$SERVER/hooks/pre-receive"
open_gate unsaid
wait_for is_state unsaid recording
pid=$(role engine)
kill -STOP "$pid"
rm "$SERVER/hooks/pre-receive"
recorded unsaid
docker rm -f "$(containers unsaid | tr -d /)" >/dev/null
kill -9 "$pid"
check "a removal that nobody told of does not hold up a drain" disinto --config "$CONFIG" drain
check "the dispatcher ends" wait_for gone "$DISPATCHER"
DISPATCHER=
one_result unsaid

# The limit: a run that goes on is left to the next start.
sed -i 's/^drain_seconds: .*/drain_seconds: 1/' "$CONFIG"
dispatcher_start
action third gated
land
at_gate third
check "after drain_seconds it leaves" dispatcher_stop
is "and the container runs on" "$(docker inspect -f '{{.State.Running}}' "$(containers third | tr -d /)")" true
dispatcher_start
open_gate third
finished third
one_result third

# Two daemons on one spool.
output=$(timeout 60 disinto-dispatcher --config "$CONFIG" 2>&1)
is "threat_45_two: a second dispatcher on the spool exits" $? 1
like "and says why" "$output" 'another dispatcher is running on it; stop that one'
check "the first one lives on" api /health
