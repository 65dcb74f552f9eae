#!/bin/bash
# What waits for an operator, how he sees it, and what his word does: backlog, claims that nobody ends, history that was rewritten; and a
# cancellation by git at each moment of an action's life.
. "$(dirname "$0")/lib.sh"

engine_start
site daemon <<<'capacity: 4'
gated_formula gated
formula mark <<-EOT
	steps:
	  - id: mark
	    run: |
	      $MARK
EOT

cli() { # COMMAND…
	disinto --config "$CONFIG" "$@"
}
status_says() { # REGEX
	cli status | grep -qE -- "$1"
}
listed() { # ID: state and reason
	cli list --json | jq -r --arg id "$1" '.[] | select(.id == $id) | .state + ": " + (.reason // "")'
}
lists() { # ID REGEX
	listed "$1" | grep -qE -- "$2"
}

# What had landed before there was a ledger.
git -C "$SERVER" update-ref -d refs/heads/disinto-ledger
action old mark
land
dispatcher_start
check "status counts the backlog, and says what to do" wait_for status_says '^  backlog +1 actions had landed .*disinto accept-backlog'
check "list says it of the action" lists old '^waiting: .*disinto accept-backlog'
is "/metrics has it" "$(api /metrics | grep '^disinto_backlog ')" 'disinto_backlog 1'
is "it did not run" "$(marks old)" 0
check "disinto accept-backlog" cli accept-backlog
finished old
is "then it runs" "$(field old .outcome) $(marks old)" 'succeeded 1'
refute "status has no backlog any more" status_says '^  backlog'
action new mark
land
finished new
is "what lands afterwards asks nobody" "$(field new .outcome)" succeeded

# Another dispatcher goes away for good in the middle of two runs.
action gone-1 gated
action gone-2 gated
land
at_gate gone-1
at_gate gone-2
like "who has it in hand can't settle it" "$(cli settle gone-1 lost 2>&1)" 'it is running here; cancel it first'
dispatcher_kill
for id in gone-1 gone-2; do docker rm -f "$(containers $id | tr -d /)" >/dev/null; done
mv "$SPOOL" "$WORK/lost-spool"
dispatcher_start
check "another dispatcher does not take them" wait_for lists gone-1 '^waiting: '
action next mark
land
finished next
is "and goes on with other work" "$(field next .outcome)" succeeded
is "they have no result" "$(has_result gone-1 || has_result gone-2 || echo none)" none
check "disinto settle lost" cli settle gone-1 lost
finished gone-1
is "it has a result that says so" "$(field gone-1 '[.outcome, .exit_code] | @json')" '["lost",null]'
is "disinto settle rerun" "$(cli settle --json gone-2 rerun | jq -r .status)" "done"
at_gate gone-2
open_gate gone-2
finished gone-2
is "it ran once more, as its second attempt" "$(field gone-2 '[.outcome, .attempt] | @json')" '["succeeded",2]'
like "what has a result can't be settled" "$(cli settle gone-2 lost 2>&1)" '^disinto: settle: '
like "nor what nobody claimed" "$(cli settle nobody rerun 2>&1)" '^disinto: settle: '

# The branch is rewritten.
git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B main origin/main
before=$(git -C "$OPS" rev-parse HEAD)
action later mark
land
finished later
git -C "$OPS" checkout -q -B main "$before"
action other mark
commit 'another history'
git -C "$OPS" push -q -f origin HEAD:main
check "status says that it is frozen" wait_for status_says '^  frozen .*accept-history'
is "/metrics has it" "$(api /metrics | grep '^disinto_frozen ')" 'disinto_frozen 1'
is "nothing new runs" "$(marks other)" 0
check "disinto accept-history" cli accept-history
finished other
is "then it goes on" "$(field other .outcome) $(marks other)" 'succeeded 1'
check "status is not frozen any more" wait_for eval '! status_says "^  frozen"'

# Cancelled by git before it lands, while it waits, while it runs, and after its end.
cancel() { # ID
	echo '{"reason": "changed our minds"}' >"$OPS/vault/actions/$1.cancel.json"
	git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B main origin/main && land "cancel $1"
}
formula absent <<<$'image: example.invalid/not/here:1\nsteps: [{id: a, run: "true"}]'
cancel early
action early mark
land
finished early
is "cancelled before it landed" "$(field early '[.outcome, .exit_code, .reason] | @json')" '["cancelled",130,"cancelled: changed our minds"]'
is "it did not run" "$(marks early)" 0
action waiting absent
land
check "one that waits" wait_for is_state waiting waiting
cancel waiting
finished waiting
is "is cancelled while it waits" "$(field waiting '[.outcome, .exit_code] | @json')" '["cancelled",130]'
action running gated
land
at_gate running
cancel running
finished running
is "cancelled while it runs" "$(field running '[.outcome, .exit_code] | @json')" '["cancelled",130]'
before=$(git -C "$SERVER" rev-parse main:vault/actions/new.result.json)
cancel new
action last mark
land
finished last
is "after its end a cancellation changes nothing" "$(git -C "$SERVER" rev-parse main:vault/actions/new.result.json)" "$before"
is "nor does it stand in the way of others" "$(field last .outcome)" succeeded

# Where several dispatchers work, who has claimed it cancels it, and the others have nothing to do with it.
sed -e "s|^spool: .*|spool: $WORK/site/second|" "$CONFIG" >"$WORK/site/second.yaml"
disinto-dispatcher --config "$WORK/site/second.yaml" >"$WORK/second.log" 2>&1 </dev/null &
second=$!
CHILDREN+=("$second")
second_rows() {
	curl -sS --max-time 60 --unix-socket "$WORK/site/second/api.sock" http://d/actions | jq -r '.actions[] | .id + " " + .state'
}
wait_for second_rows
action shared gated
land
check "one of the two runs it" wait_for eval '[ "$( (state shared; second_rows | sed -n "s/^shared //p") | grep -c running)" = 1 ]'
cancel shared
finished shared
is "it is cancelled" "$(field shared '[.outcome, .exit_code] | @json')" '["cancelled",130]'
is "it ran once" "$(starts shared)" 1
cancel pre
check "both know of a cancellation before its action" wait_for eval '[ "$( (state pre; second_rows | sed -n "s/^pre //p") | grep -c waiting)" = 2 ]'
action pre mark
land
finished pre
is "it is cancelled, by one of them" "$(field pre .outcome) $(marks pre)" 'cancelled 0'
for id in shared pre; do
	check "$id: the other one does not wait for it" wait_for eval '[ "$( (state $id; second_rows | sed -n "s/^$id //p") 2>/dev/null | grep -c -e waiting -e queued)" = 0 ]'
done
is "disinto list tells it as finished" "$(listed shared | cut -d: -f1)" finished
kill -TERM "$second"
wait_for gone "$second"

# Without a dispatcher there is nobody to decide.
dispatcher_stop
for command in 'settle old lost' accept-backlog accept-history drain; do
	# shellcheck disable=SC2086 # words
	like "disinto $command says what to do" "$(cli $command 2>&1)" "^disinto: ${command%% *}: no dispatcher listens on .*; start one with: disinto-dispatcher"
done
