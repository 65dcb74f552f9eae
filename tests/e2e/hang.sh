#!/bin/bash
# A role that hangs is replaced, and nothing that runs notices; a dispatcher that stood still as a whole replaces nobody. The dispatcher
# of this test counts in turns of 100 ms instead of 2 s.
. "$(dirname "$0")/lib.sh"

PATH=$(cd "$ROOT" && realpath "${SAN:-build/gcc/san}")/bin:$PATH
export DISINTO_TEST_TURN_MS=100 ASAN_OPTIONS=detect_leaks=0 # nobody may trace the roles, the leak sanitizer neither
command -v disinto-dispatcher | grep -q /san/ || bail "no dispatcher for tests: make programs-for-tests"

engine_start
site http
gated_formula gated 'i=0; while [ $i -lt 500 ]; do i=$((i+1)); echo "line $i"; done'
secret KEY 'a-secret-of-a-step'
dispatcher_start

replaced() { # NAME PID: another process has the role
	local now
	now=$(role "$1") && [ "$now" != "$2" ]
}
proves() { # ID
	is "$1: the run ended well" "$(field "$1" '[.outcome, .exit_code, .attempt] | @json')" '["succeeded",0,1]'
	is "$1: it ran once" "$(starts "$1")" 1
	is "$1: its log is whole" "$(grep -v '^begin' "$SPOOL/runs/$1/log" | sha256sum)" "$({ seq 500 | sed 's/^/line /' && echo end; } | sha256sum)"
	is "$1: one commit made the result" "$(git -C "$SERVER" log --format=%H main -- "vault/actions/$1.result.json" | wc -l)" 1
}

for name in web engine keyring git core; do
	action "hung-$name" gated '{"secrets": ["KEY"]}'
	land
	at_gate "hung-$name"
	pid=$(role "$name") || bail "no process of role $name"
	kill -STOP "$pid"
	check "threat_44_$name: a role that hangs is replaced" wait_for replaced "$name" "$pid"
	check "$name: the dispatcher answers" wait_for api /health
	open_gate "hung-$name"
	finished "hung-$name"
	proves "hung-$name"
done
is "each was noticed" "$(grep -c 'hangs' "$LOG")" 5

# All of it stands still for longer than any limit but git's: an hour of SIGSTOP, or a machine that was suspended.
action frozen gated '{"secrets": ["KEY"]}'
land
at_gate frozen
before=$(for name in core git keyring engine web; do role "$name"; done)
# shellcheck disable=SC2046 # a list
kill -STOP "$DISPATCHER" $(roles)
sleep 4
# Those who watch wake first.
for p in "$DISPATCHER" $before; do kill -CONT "$p"; done
open_gate frozen
finished frozen
proves frozen
is "threat_44_frozen: nobody was replaced" "$(for name in core git keyring engine web; do role "$name"; done)" "$before"
is "threat_44_frozen: nobody was taken for hung" "$(grep -c 'hangs' "$LOG")" 5

# Core hangs, and TERM comes twice: it is not waited for.
kill -STOP "$(role core)"
kill -TERM "$DISPATCHER"
kill -TERM "$DISPATCHER"
check "threat_45_hung: TERM twice ends a dispatcher whose core hangs" wait_for gone "$DISPATCHER"

# Core can't even begin, however often it is replaced: TERM once is enough.
echo '{' >"$SPOOL/git.json"
sed -i '$ a drain_seconds: 1' "$CONFIG"
disinto-dispatcher --config "$CONFIG" >>"$LOG" 2>&1 </dev/null &
DISPATCHER=$!
wait_for grep -q "can't read the spool" "$LOG"
kill -TERM "$DISPATCHER"
check "threat_45_broken: TERM ends a dispatcher whose core can't begin" wait_for gone "$DISPATCHER"
