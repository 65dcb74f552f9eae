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
check "an engine that is down: the action is in the queue" wait_for is_state needs-engine queued
is "status says so" "$(api /status | jq -c .engine.ok)" false
like "and what nothing starts for" "$(api /status | jq -r .hold)" 'docker\.sock'
engine_up
finished needs-engine
is "the engine is back: it runs" "$(field needs-engine .outcome)" succeeded

# No identity: only actions with secrets wait.
dispatcher_stop
sed -i '/^identity_file:/d' "$CONFIG"
secret TOKEN 'some secret value'
formula using <<<$'steps: [{id: a, run: "test -n \\"$TOKEN\\""}]'
action needs-identity using '{"secrets": ["TOKEN"]}'
action needs-none hello '{"inputs": {"name": "i"}}'
land
dispatcher_start
finished needs-none
is "no secrets, no identity needed" "$(field needs-none .outcome)" succeeded
check "a missing identity is waited for, by its key" wait_for waits_with needs-identity 'identity_file'
dispatcher_stop
echo "identity_file: identity.age" >>"$CONFIG"
dispatcher_start
finished needs-identity
is "the identity is there: it runs" "$(field needs-identity .outcome)" succeeded

# One that is configured must be there, and its owner's alone.
dispatcher_stop
chmod 0444 "$WORK/site/identity.age"
output=$(timeout 5 disinto-dispatcher --config "$CONFIG" 2>&1)
is "a readable identity stops the start" $? 78
like "it is named, with its mode" "$output" 'identity\.age.*(0400|0444|mode)'
mv "$WORK/site/identity.age" "$WORK/identity"
output=$(timeout 5 disinto-dispatcher --config "$CONFIG" 2>&1)
is "an identity that is not there stops the start" $? 78
like "it is named" "$output" 'identity\.age'
mv "$WORK/identity" "$WORK/site/identity.age" && chmod 0400 "$WORK/site/identity.age"
dispatcher_start

# A network that the configuration does not have; there is one line about it, however often it is tried.
formula networked <<<$'network: staging\nsteps: [{id: a, run: "true"}]'
action needs-network networked
land
check "a missing network is waited for by name" wait_for waits_with needs-network 'staging'
check "and by the place that names it" waits_with needs-network 'vault/formulas/networked\.yaml: line [0-9]+: network: .*add it under `networks` in .*dispatcher\.yaml'

# Nor an agent. guard: lacks in dispatcher/core_role/effects.c
formula asks <<<$'steps:\n  - id: a\n    run: "true"\n  - id: b\n    prompt: Say it.\n    agent: nobody'
action needs-agent asks
land
check "a missing agent is waited for, with file, line and step" wait_for waits_with needs-agent 'vault/formulas/asks\.yaml: line [0-9]+, step b: steps\[1\]\.agent: .*nobody.*add it under `agents` in .*dispatcher\.yaml'
sleep 8 # it is tried again after 2 and 4 seconds

# A mount alias that the configuration does not have.
action needs-mount hello '{"inputs": {"name": "m"}, "mounts": ["keys"]}'
land
check "a missing mount is waited for by name" wait_for waits_with needs-mount 'keys'
mkdir "$WORK/keys" && chmod 0755 "$WORK" "$WORK/keys"
dispatcher_stop
echo "mounts: {keys: {source: $WORK/keys, target: /keys}}" >>"$CONFIG"
dispatcher_start
finished needs-mount
is "one line, not one for each attempt" "$(lines 'waits: .*staging')" 2 # and one of the second start
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
open_gate over
check "the result waits in the spool" wait_for is_state over recording
sleep 6 # some polls; an attempt must not make a line
is "one line that it can't be polled" "$(lines "can't be polled")" 1
is "one line that results can't be recorded" "$(lines "can't be recorded")" 1
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
