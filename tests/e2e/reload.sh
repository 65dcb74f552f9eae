#!/bin/bash
# SIGHUP: the configuration and the keys are read again, and what runs does not notice.
. "$(dirname "$0")/lib.sh"

engine_start
site daemon <<<'capacity: 1'
gated_formula gated 'i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo "line $i"; done'
secret KEY 'a-secret-of-a-step'
dispatcher_start

reloads() {
	grep -c 'the configuration was read again' "$LOG"
}
refusals() {
	grep -c 'the configuration was not read again' "$LOG"
}
hup() { # and all roles are new
	local before n
	before=$(roles) n=$(reloads)
	kill -HUP "$DISPATCHER"
	wait_for eval "[ \$(reloads) = $((n + 1)) ]" && wait_for api /health
	refute "no role of before is left" grep -qxF "$before" <<<"$(roles)"
}

action one gated '{"secrets": ["KEY"]}'
action two gated '{"secrets": ["KEY"]}'
land
at_gate one
is "one at once, as it was configured" "$(state two)" queued
before=$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$(containers one | tr -d /)")

# A configuration that is no good, or that changes what can't change.
cp "$CONFIG" "$WORK/good.yaml"
same=$(roles)
sed -i 's/^capacity: .*/capacity: many/' "$CONFIG"
kill -HUP "$DISPATCHER"
check "a bad one is refused" wait_for eval '[ "$(refusals)" = 1 ]'
like "and it says why" "$(cat "$LOG")" 'capacity: .*many.* is not a whole number'
sed -e 's/^capacity: .*/capacity: 2/' -e 's|^spool: .*|spool: elsewhere|' "$WORK/good.yaml" >"$CONFIG"
kill -HUP "$DISPATCHER"
check "another spool is refused" wait_for eval '[ "$(refusals)" = 2 ]'
like "and it says what to do" "$(cat "$LOG")" "spool: can't change while the dispatcher runs"
sed -e 's/^identity_file: .*/identity_file: nowhere/' "$WORK/good.yaml" >"$CONFIG"
kill -HUP "$DISPATCHER"
check "a key that can't be opened is refused" wait_for eval '[ "$(refusals)" = 3 ]'
is "all roles are still the same" "$(roles)" "$same"
check "and answer" api /health

# A good one, with a new key and an address.
age-keygen -o "$WORK/site/second.age" 2>/dev/null
chmod 0400 "$WORK/site/second.age"
sed -e 's/^capacity: .*/capacity: 2/' -e 's/^identity_file: .*/identity_file: second.age/' "$WORK/good.yaml" >"$CONFIG"
age-keygen -y "$WORK/site/second.age" >"$OPS/vault/recipients.txt"
secret KEY 'a-secret-of-a-step'
land 'a new key'
hup
check "the run is followed again" wait_for is_state one running
is "its container did not notice" "$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' "$(containers one | tr -d /)")" "$before"
at_gate two
ok "the new capacity and the new key count"
open_gate one
open_gate two
for id in one two; do
	finished $id
	is "$id: succeeded" "$(field $id '[.outcome, .exit_code, .attempt] | @json')" '["succeeded",0,1]'
	is "$id: ran once" "$(starts $id)" 1
	is "$id: its log is whole" "$(grep -v '^begin' "$SPOOL/runs/$id/log" | sha256sum)" "$({ seq 500 | sed 's/^/line /' && echo end; } | sha256sum)"
done

# Again and again, in the middle of whatever is going on; TERM in the midst of it counts.
formula quick <<-EOT
	steps:
	  - id: quick
	    run: |
	      $MARK
EOT
for i in 1 2 3 4 5 6; do action "quick-$i" quick; done
land
for pause in 0.1 0.4 0.2 0.7 0.3; do
	sleep $pause
	kill -HUP "$DISPATCHER"
done
for i in 1 2 3 4 5 6; do
	finished "quick-$i"
	is "quick-$i: ran once" "$(field "quick-$i" .outcome) $(marks "quick-$i")" 'succeeded 1'
done
kill -HUP "$DISPATCHER"
check "it still ends politely" dispatcher_stop
