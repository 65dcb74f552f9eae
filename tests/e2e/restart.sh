#!/bin/bash
# Whatever ends the dispatcher: one run, one result, the whole log.
. "$(dirname "$0")/lib.sh"

engine_start
site daemon
gated_formula gated "$MARK"'; i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo "line $i"; done'

whole_log() { # ID: the log has begun once, and holds each line once
	[ "$(grep -c '^begin ' "$SPOOL/runs/$1/log")" = 1 ] && [ "$(grep -c '^end$' "$SPOOL/runs/$1/log")" = 1 ] &&
		[ "$(grep '^line ' "$SPOOL/runs/$1/log" | sha256sum)" = "$(seq 500 | sed 's/^/line /' | sha256sum)" ]
}
one_result_commit() { # ID
	[ "$(git -C "$SERVER" log --format=%H main -- "vault/actions/$1.result.json" | wc -l)" = 1 ]
}
proves() { # ID
	is "$1: succeeded" "$(field "$1" '[.outcome, .exit_code, .attempt] | @json')" '["succeeded",0,1]'
	is "$1: ran once" "$(starts "$1") $(marks "$1")" '1 1'
	check "$1: the log is whole" whole_log "$1"
	check "$1: one commit made the result" one_result_commit "$1"
	check "$1: the container is removed" wait_for eval "[ -z \"\$(containers $1)\" ]"
}

# Killed in the middle of a run.
action killed gated
land
dispatcher_start
at_gate killed
before=$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$(containers killed | tr -d /)")
dispatcher_kill
is "kill -9 does not touch the container" "$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$(containers killed | tr -d /)")" "$before"
dispatcher_start
check "it is followed again" wait_for is_state killed running
open_gate killed
finished killed
proves killed

# Only the parent is killed: its roles end by themselves, and the spool is free again.
action orphaned gated
land
at_gate orphaned
family=$(roles)
kill -9 "$DISPATCHER"
for p in $family; do check "role ${p/#*/}without a parent ends" wait_for gone "$p"; done
wait "$DISPATCHER" 2>/dev/null
DISPATCHER=
dispatcher_start
open_gate orphaned
finished orphaned
proves orphaned

# It was cancelled, and the dispatcher ended before the container heard of it.
action unwanted gated
land
at_gate unwanted
kill -STOP "$(role engine)"
check "it can be cancelled" disinto cancel unwanted --config "$CONFIG"
dispatcher_kill
dispatcher_start
finished unwanted
is "the next life keeps to a cancellation" "$(field unwanted '[.outcome, .reason] | @json') $(marks unwanted)" '["cancelled","cancelled by an operator"] 1'

# The run ends while no dispatcher lives.
action alone gated
land
at_gate alone
container=$(containers alone | tr -d /)
dispatcher_kill
docker exec "$container" touch /tmp/open
is "the run ends by itself" "$(docker wait "$container")" 0
dispatcher_start
finished alone
proves alone

# TERM leaves the container running, and the next start adopts it.
action drained gated
land
at_gate drained
check "TERM ends it with exit code 0" dispatcher_stop
is "the container still runs" "$(docker inspect -f '{{.State.Running}}' "$(containers drained | tr -d /)")" true
dispatcher_start
open_gate drained
finished drained
proves drained

# Killed again and again, at any moment of some runs' lives.
formula quick <<-EOT
	steps:
	  - id: quick
	    run: |
	      $MARK
	      for i in 1 2 3; do echo "line \$i"; done
EOT
for i in 1 2 3 4 5 6 7 8; do action "quick-$i" quick; done
land
for pause in 0.05 0.15 0.3 0.1 0.5 0.2 0.7; do
	sleep $pause
	dispatcher_kill
	dispatcher_start
done
for i in 1 2 3 4 5 6 7 8; do
	finished "quick-$i"
	is "quick-$i: succeeded once, whole" "$(field "quick-$i" '[.outcome, .logs] | @json')" '["succeeded","line 1\nline 2\nline 3\n"]'
	is "quick-$i: ran once" "$(marks "quick-$i")" 1
	check "quick-$i: one commit made the result" one_result_commit "quick-$i"
done

# A result that was taken away, an action that was added again: an id is taken for ever.
git -C "$OPS" pull -q origin main
git -C "$OPS" rm -q vault/actions/quick-1.result.json vault/actions/quick-2.json vault/actions/quick-2.result.json
commit 'take results away' && push
action quick-2 quick
land
action after quick
land
finished after
recorded after
is "what landed after that ran" "$(field after .outcome)" succeeded
dispatcher_kill
rm -rf "$SPOOL" # even without the spool's memory
action later quick
land
dispatcher_start
finished later
recorded later
is "a deleted result does not run again" "$(marks quick-1) $(marks quick-2)" '1 1'
refute "nor does it get another result" has_result quick-1

is "verify tells what was done to them, and nothing of the rest" \
	"$(disinto verify --config "$CONFIG" --json 2>/dev/null | jq -r '.findings[] | .finding + " " + .id')" \
	$'result-changed quick-1\nresult-changed quick-2\naction-changed quick-2\naction-changed quick-2'

# One dispatcher for each spool.
output=$(timeout 60 disinto-dispatcher --config "$CONFIG" 2>&1)
code=$?
is "a second dispatcher exits" "$code" 1
like "and says why" "$output" "$SPOOL"
check "the first one lives on" api /health
