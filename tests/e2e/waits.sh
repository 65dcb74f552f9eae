#!/bin/bash
# What this dispatcher lacks is waited for, visibly, and the action runs as soon as it is there.
. "$(dirname "$0")/lib.sh"

engine_start

lines() { # REGEX: how many lines of the log match
	grep -cE -- "$1" "$LOG"
}

# An image that no engine here has and no registry can give.
site path
formula imaged <<<$'image: localhost:1/not/there:1\nsteps: [{id: a, run: "echo ran"}]'
action needs-image imaged
action neighbour hello '{"inputs": {"name": "n"}}'
land
dispatcher_start
check "a missing image is waited for by name" wait_for waits_with needs-image 'localhost:1/not/there:1'
finished neighbour
is "a neighbour runs meanwhile" "$(field neighbour .outcome)" succeeded
refute "no result yet" has_result needs-image
"$LIB/engine.sh" image "$SOCKET" localhost:1/not/there:1
finished needs-image
is "the image is there: it runs" "$(field needs-image '[.outcome, .logs] | @json')" '["succeeded","ran\n"]'

# An engine that is down.
engine_down
action needs-engine hello '{"inputs": {"name": "e"}}'
land
check "an engine that is down is waited for, by its socket" wait_for waits_with needs-engine 'docker.sock|engine'
is "status says so" "$(api /status | jq -c .engine.ok)" false
engine_up
finished needs-engine
is "the engine is back: it runs" "$(field needs-engine .outcome)" succeeded

# An identity that is not there, or not the right one: only actions with secrets wait.
mv "$WORK/site/identity.age" "$WORK/identity"
dispatcher_stop
secret TOKEN 'some secret value'
formula using <<<$'steps: [{id: a, run: "test -n \\"$TOKEN\\""}]'
action needs-identity using '{"secrets": ["TOKEN"]}'
action needs-none hello '{"inputs": {"name": "i"}}'
land
dispatcher_start
finished needs-none
is "no secrets, no identity needed" "$(field needs-none .outcome)" succeeded
check "a missing identity is waited for, by its file" wait_for waits_with needs-identity 'identity'
cp "$WORK/identity" "$WORK/site/identity.age" && chmod 0400 "$WORK/site/identity.age"
dispatcher_stop
dispatcher_start
finished needs-identity
is "the identity is there: it runs" "$(field needs-identity .outcome)" succeeded

# An identity that others may read is not used.
dispatcher_stop
chmod 0444 "$WORK/site/identity.age"
action needs-mode using '{"secrets": ["TOKEN"]}'
land
output=$(timeout 5 disinto-dispatcher --config "$CONFIG" 2>&1)
like "a readable identity is named, with its mode" "$output" 'identity\.age.*(0400|0444|mode)'
refute "it was not used" has_result needs-mode
chmod 0400 "$WORK/site/identity.age"
dispatcher_start
finished needs-mode
is "the mode is mended: it runs" "$(field needs-mode .outcome)" succeeded

# A mount alias that the configuration does not have.
action needs-mount hello '{"inputs": {"name": "m"}, "mounts": ["keys"]}'
land
check "a missing mount is waited for by name" wait_for waits_with needs-mount 'keys'
mkdir "$WORK/keys" && chmod 0755 "$WORK" "$WORK/keys"
dispatcher_stop
echo "mounts: {keys: {source: $WORK/keys, target: /keys}}" >>"$CONFIG"
dispatcher_start
finished needs-mount
is "the mount is configured: it runs" "$(field needs-mount .outcome)" succeeded

# A git server that is down: one line when it goes, one when it comes back, and a result that was ready meanwhile is recorded.
site http
gated_formula gated
action over gated
land
dispatcher_start
at_gate over
"$LIB/git-server.sh" stop "$WORK/servers/http"
check "status says that the server does not answer" wait_for eval '[ "$(api /status | jq .poll.ok)" = false ]'
down=$(lines 'role=git.*(unreachable|refused|connect|answer)')
open_gate over
check "the result waits in the spool" wait_for is_state over recording
sleep 6 # some polls; an attempt must not make a line
is "one log line, not one for each attempt" "$(lines 'role=git.*(unreachable|refused|connect|answer)')" "$((down > 0 ? down : 1))"
check "at most two lines about it: polling and recording" [ "$(lines 'role=git.*(unreachable|refused|connect|answer)')" -le 2 ]
port=$(sed -n 's/^server\.port = //p' "$WORK/servers/http/conf")
lighttpd -D -f "$WORK/servers/http/conf" >>"$WORK/servers/http/out" 2>&1 </dev/null &
echo $! >"$WORK/servers/http/pid"
finished over
is "the server is back: the result is there" "$(field over .outcome)" succeeded
is "it ran once" "$(starts over)" 1
like "the server was on its old port" "$port" '^[0-9]+$'

# A token that the server does not take any more: said, waited for, and read anew.
cp "$WORK/token" "$WORK/right-token"
echo wrong >"$WORK/token"
action denied hello '{"inputs": {"name": "d"}}'
land
check "a wrong token is said" wait_for eval 'api /status | jq -e ".poll.ok == false and (.poll.reason | test(\"401|token|credential|denied\"))"'
cat "$WORK/right-token" >"$WORK/token"
finished denied
is "the token is mended: it runs" "$(field denied .outcome)" succeeded
refute "no token in the log" grep -qF "$(cat "$WORK/right-token")" "$LOG"
refute "nor in the spool" grep -rqF "$(cat "$WORK/right-token")" "$SPOOL"
