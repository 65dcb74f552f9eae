#!/bin/bash
# An action can be cancelled before it runs and while it does, by file and by command; a run that takes too long is ended.
. "$(dirname "$0")/lib.sh"

engine_start
site daemon <<<'capacity: 2'
gated_formula gated
formula stubborn <<-'EOT'
	grace_seconds: 1
	steps:
	  - id: deaf
	    run: |
	      trap '' TERM
	      echo begin deaf
	      while :; do sleep 1; done
EOT
formula slow <<<$'grace_seconds: 1\nsteps: [{id: wait, run: "echo begin; sleep 600"}]'

cancel() { # ID REASON: lands its cancel file
	jq -n --arg reason "$2" '{reason: $reason}' >"$OPS/vault/actions/$1.cancel.json"
	land "cancel $1"
}

# Before the dispatcher saw it.
action early gated
cancel early 'changed our minds'
dispatcher_start
finished early
is "cancelled before it ran" "$(field early '[.outcome, .exit_code] | @json')" '["cancelled",130]'
like "the reason is kept" "$(field early .reason)" 'changed our minds'
is "it never started" "$(starts early)" 0

# While it runs, by file; another fills the second slot, a third waits for one.
action by-file gated
action by-command stubborn
action queued gated
land
at_gate by-file
wait_for log_has by-command '^begin'
is "the third waits for a slot" "$(state queued)" queued
cancel by-file 'no more'
finished by-file
is "cancelled while it ran" "$(field by-file '[.outcome, .exit_code] | @json')" '["cancelled",130]'
like "its reason is kept" "$(field by-file .reason)" 'no more'
like "its log is kept" "$(field by-file .logs)" '^begin '

# By command, a step that does not listen.
is "DELETE answers" "$(api -X DELETE /workers/by-command | jq -c .)" '{"status":"cancelling","task_id":"by-command"}'
finished by-command
is "it is killed after the grace" "$(field by-command '[.outcome, .exit_code] | @json')" '["cancelled",130]'
is "a finished one can't be cancelled" "$(api -X DELETE /workers/by-command 2>/dev/null | jq -r .error)" 'already finished'
is "nor one that is unknown" "$(api -X DELETE /workers/nobody 2>/dev/null | jq -r .error)" 'not found'
at_gate queued
check "disinto cancel" disinto cancel queued --config "$CONFIG"
finished queued
is "disinto cancel: the outcome" "$(field queued .outcome)" cancelled

# The timeout of one minute is the shortest there is.
action late slow '{"timeout_minutes": 1}'
land
WAIT=180 finished late
is "it is ended at its time" "$(field late '[.outcome, .exit_code] | @json')" '["timed_out",124]'
like "it took its minute" "$(field late .duration_ms)" '^(59|6[0-9])[0-9]{3}$'
check "a container is left of none" wait_for eval '[ "$(engine "/containers/json?all=1" | jq length)" = 0 ]'
