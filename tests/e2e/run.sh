#!/bin/bash
# `disinto run`: its exit codes, with a dispatcher on the spool and without one.
. "$(dirname "$0")/lib.sh"

engine_start
site path
export DISINTO_CONFIG=$CONFIG
gated_formula gated
formula exits <<<$'steps: [{id: a, run: "echo line; exit $INPUT_CODE"}]'
formula absent-image <<<$'image: localhost:1/absent:1\nsteps: [{id: a, run: "true"}]'

# A dispatcher that is asked looks at once; by itself it would look much later, and not be faster than the command.
export DISINTO_POLL_SECONDS=3600

new() { # ID FORMULA [JSON]: an action that has just landed
	action "$@" && land
}
runs() { # EXPECTED-CODE ID WHAT: run it; its output is left in $out and $errors
	local code
	out=$(timeout 120 disinto run "$2" 2>"$WORK/errors" </dev/null)
	code=$?
	errors=$(cat "$WORK/errors")
	is "$mode: $3" "$code" "$1"
}

both() { # MODE: everything that is the same with and without a dispatcher
	mode=$1
	new "zero-$mode" hello '{"inputs": {"name": "x"}}'
	runs 0 "zero-$mode" 'a run that succeeds is 0'
	is "$mode: its log is shown" "$out" 'hello x'
	is "$mode: its result is committed" "$(field "zero-$mode" .outcome)" succeeded
	new "seven-$mode" exits '{"inputs": {"code": "7"}}'
	runs 7 "seven-$mode" "the action's own code"
	new "high-$mode" exits '{"inputs": {"code": "200"}}'
	runs 123 "high-$mode" 'a code above 122 is 123'
	is "$mode: the result has the true one" "$(field "high-$mode" .exit_code)" 200
	new "refused-$mode" no-such-formula
	runs 126 "refused-$mode" 'refused is 126'
	like "$mode: the reason is said" "$out$errors" 'no-such-formula'
	runs 127 "nobody-$mode" 'no such action is 127'
	runs 128 "zero-$mode" 'already ran is 128'
	like "$mode: its result is printed" "$out$errors" 'succeeded'
	is "$mode: nothing ran twice" "$(starts "zero-$mode")" 1
	new "dry-$mode" hello '{"inputs": {"name": "x"}}'
	output=$(disinto run --dry-run "dry-$mode" 2>&1)
	is "$mode: --dry-run is 0" $? 0
	like "$mode: --dry-run says what would run" "$output" 'hello'
	is "$mode: --dry-run runs nothing" "$(starts "dry-$mode")" 0
	refute "$mode: --dry-run makes no result" has_result "dry-$mode"
	runs 0 "dry-$mode" 'afterwards it can be run'
	is "$mode: --json prints the result" "$(disinto run --json "dry-$mode" 2>/dev/null | jq -r .outcome)" succeeded
}

both alone

# Interrupted, it ends nothing; the next one takes it up.
mode=alone
new stopped gated
disinto run stopped >"$WORK/run.out" 2>&1 &
runner=$!
at_gate stopped
kill -TERM $runner
wait $runner
is "alone: interrupted is 125" $? 125
like "alone: it says what goes on" "$(cat "$WORK/run.out")" 'stopped goes on in its container'
check "alone: its dispatcher has ended" flock -n "$SPOOL/lock" true
is "alone: the container has not" "$(docker inspect -f '{{.State.Running}}' "$(containers stopped | tr -d /)")" true
disinto run stopped >"$WORK/run.out" 2>&1 &
runner=$!
wait_for grep -q '^begin' "$WORK/run.out"
open_gate stopped
wait $runner
is "alone: the next one takes it up" "$? $(starts stopped)" '0 1'
is "alone: from the first byte" "$(grep -c '^begin' "$WORK/run.out")" 1
is "alone: nothing stays" "$(containers stopped)" ''

# What disinto run began and did not see the end of is taken over by a dispatcher.
mode=alone
new left gated
setsid disinto run left >"$WORK/run.out" 2>&1 &
runner=$!
at_gate left
kill -9 -- -$runner
wait $runner 2>/dev/null
wait_for flock -n "$SPOOL/lock" true
dispatcher_start
open_gate left
finished left
is "a dispatcher adopts what disinto run left" "$(field left '[.outcome, .attempt] | @json') $(starts left)" '["succeeded",1] 1'

both daemon

# Follows a run that is under way already; cancelled is 130.
mode=daemon
new watched gated
disinto run watched >"$WORK/first.out" 2>&1 &
CHILDREN+=($!)
at_gate watched
disinto run watched >"$WORK/run.out" 2>&1 &
runner=$!
wait_for grep -q '^begin' "$WORK/run.out"
disinto cancel watched >/dev/null
wait $runner
is "daemon: cancelled is 130" $? 130

# An engine that is down: the action waits and the command says why; interrupted, it leaves it waiting.
dispatcher_stop
engine_down
new later hello '{"inputs": {"name": "x"}}'
timeout -s INT 8 disinto run later >"$WORK/run.out" 2>&1
code=$?
like "alone: no engine is 125 or an interrupted wait" "$code" '^(125|130|124)$'
like "alone: it says that the engine is down" "$(cat "$WORK/run.out")" 'engine|docker'
refute "alone: nothing was refused for it" has_result later
engine_up
mode=alone
runs 0 later 'with the engine back it runs'

DISINTO_CONFIG=$WORK/absent.yaml disinto run x >/dev/null 2>&1
is "no configuration is 125" $? 125
disinto run >/dev/null 2>&1
is "no operand is 125" $? 125
