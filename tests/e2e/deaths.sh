#!/bin/bash
# Whatever dies, with the ledger: the engine and all in it, the git server, the whole machine; the spool is intact, gone, copied, restored from
# yesterday, or torn. No attempt runs twice, no result is lost, and what nobody can know is for people to settle.
# threat_42_deaths_with_the_ledger threat_44_a_torn_journal guard: claims and incarnations (dispatcher/git/claim.c, incarnate.c); a state that can't be read keeps its id taken
. "$(dirname "$0")/lib.sh"

engine_start
site http <<-EOT
	claims: ledger
	dispatcher_id: edge
EOT
gated_formula gated "$MARK"
formula again <<-EOT
	retry: safe
	steps:
	  - id: gated
	    run: |
	      echo begin
	      $MARK
	      until [ -e /tmp/open ]; do sleep 0.1; done
EOT
land formulas
ledger_is_there() { git -C "$SERVER" show-ref -q --verify refs/heads/disinto-ledger; }
dispatcher_start
check "the first start makes the ledger" wait_for ledger_is_there

results() { # ID: commits that made its result
	git -C "$SERVER" log --format=%H main -- "vault/actions/$1.result.json" | wc -l
}
claim() { # ID JQ-FILTER: of its claim in the ledger
	local xx
	xx=$(printf %s "$1" | sha256sum)
	git -C "$SERVER" show "disinto-ledger:claims/${xx:0:2}/$1.json" 2>/dev/null | jq -r "$2"
}
begin() { # ID [FORMULA]: lands it, and waits until its step is at the gate
	action "$1" "${2:-gated}"
	land
	wait_for log_has "$1" '^begin' || echo "# $1 does not begin"
	wait_for eval "[ \$(marks $1) = 1 ]"
}
# Power is cut: nothing of the engine, its containers, the git server and the dispatcher lives for another moment.
machine_dies() {
	local pids port container
	pids=$(for container in $(docker ps -q); do docker inspect -f '{{.State.Pid}}' "$container"; done)
	port=$(sed -n 's/^server\.port = //p' "$WORK/servers/http/conf")
	dispatcher_kill
	# shellcheck disable=SC2086 # a list
	kill -9 "$(cat "$ENGINE/pid")" $pids
	"$LIB/engine.sh" down "$ENGINE"
	"$LIB/git-server.sh" stop "$WORK/servers/http"
	PORT_WAS=$port
}
machine_starts() {
	PORT=$PORT_WAS "$LIB/git-server.sh" start http "$WORK/servers/http" "$WORK/repos" "$(cat "$WORK/token")" >/dev/null || bail "no server"
	engine_up
	dispatcher_start
}

# --- the machine, its disk intact
begin cut-off
begin cut-off-safe again
machine_dies
machine_starts
finished cut-off
is "a run that was cut off is lost, with all that is known" "$(field cut-off '[.outcome, .attempt] | @json') $(marks cut-off) $(results cut-off)" '["lost",1] 1 1'
like "and says so" "$(field cut-off .reason)" 'may have run'
check "one that may be tried again is" wait_for log_has cut-off-safe '^begin'
wait_for eval '[ "$(marks cut-off-safe)" = 2 ]'
docker exec disinto-edge-cut-off-safe-2 touch /tmp/open
finished cut-off-safe
is "as a second attempt, which the ledger knows of" "$(field cut-off-safe '[.outcome, .attempt] | @json') $(marks cut-off-safe) $(results cut-off-safe) $(claim cut-off-safe .attempt)" \
	'["succeeded",2] 2 1 2'
check "no container of either attempt stays" wait_for eval '[ -z "$(containers cut-off-safe)" ]'
like "boot.log tells" "$(cat "$SPOOL/boot.log")" '"id":"cut-off",'

# --- the dispatcher and the git server; the run ends meanwhile
begin over
"$LIB/git-server.sh" stop "$WORK/servers/http"
container=$(containers over | tr -d /)
dispatcher_kill
docker exec "$container" touch /tmp/open
docker wait "$container" >/dev/null
dispatcher_start
check "its end is read although the server is away" wait_for is_state over recording
# And the disk can't give the result for a while, just when it could be recorded.
mv "$SPOOL/runs/over/result.json" "$WORK/result.json"
PORT=$PORT_WAS "$LIB/git-server.sh" start http "$WORK/servers/http" "$WORK/repos" "$(cat "$WORK/token")" >/dev/null
check "a result that can't be read is said" wait_for grep -q "result can't be read from the spool; trying again" "$LOG"
mv "$WORK/result.json" "$SPOOL/runs/over/result.json"
finished over
is "and is recorded when it is back" "$(field over .outcome) $(marks over) $(results over)" 'succeeded 1 1'

# --- the spool is gone in mid-run
begin gone
begin gone-again
dispatcher_kill
mv "$SPOOL" "$WORK/lost-spool"
dispatcher_start
action after-loss hello '{"inputs": {"name": "n"}}'
land
finished after-loss
is "what is new runs" "$(field after-loss .outcome)" succeeded
refute "what an earlier spool had claimed gets no result by itself" has_result gone
is "and does not run again" "$(marks gone) $(marks gone-again)" '1 1'
for id in gone gone-again; do docker rm -f "$(containers $id | tr -d /)" >/dev/null; done
check "a human says: lost" disinto settle gone lost --config "$CONFIG"
finished gone
is "which becomes its result" "$(field gone .outcome) $(marks gone) $(results gone)" 'lost 1 1'
check "a human says: again" disinto settle gone-again rerun --config "$CONFIG"
check "it runs, as a further attempt" wait_for log_has gone-again '^begin'
open_gate gone-again
finished gone-again
is "and has its result" "$(field gone-again '[.outcome, .attempt] | @json') $(results gone-again)" '["succeeded",2] 1'

# --- the spool is restored from yesterday
dispatcher_stop
cp -a "$SPOOL" "$WORK/yesterday"
dispatcher_start
action today hello '{"inputs": {"name": "t"}}'
land
finished today
dispatcher_stop
dispatcher_start # the ledger holds a life by now that yesterday's spool never heard of
action today-too hello '{"inputs": {"name": "t"}}'
land
finished today-too
dispatcher_kill
mv "$SPOOL" "$WORK/today"
cp -a "$WORK/yesterday" "$SPOOL"
output=$(timeout 60 disinto-dispatcher --config "$CONFIG" 2>&1)
is "a start on it is refused" "$([ $? = 124 ] && echo runs || echo ended)" ended
like "and it says why" "$output" 'this spool is a copy, or an old one'
rm -rf "$SPOOL" && mv "$WORK/today" "$SPOOL"
dispatcher_start

# --- the spool is copied to a second machine
dispatcher_stop
cp -a "$SPOOL" "$WORK/copy"
sed "s|^spool:.*|spool: $WORK/copy|" "$CONFIG" >"$WORK/site/copy.yaml"
dispatcher_start
disinto-dispatcher --config "$WORK/site/copy.yaml" >"$WORK/copy.log" 2>&1 </dev/null &
copy=$!
CHILDREN+=("$copy")
for i in 1 2 3; do
	formula count <<<$'steps:\n  - id: c\n    run: |\n      '"$MARK"
	action "copied-$i" count
done
land
for i in 1 2 3; do
	finished "copied-$i"
	is "copied-$i: one run, one result" "$(marks "copied-$i") $(results "copied-$i")" '1 1'
done
one_left() { gone "$copy" || gone "$DISPATCHER"; }
check "one of the two ends" wait_for one_left
like "and says why" "$(cat "$LOG" "$WORK/copy.log")" 'this spool is a copy, or an old one, or the name is used twice'
refute "the other one lives" eval 'gone "$copy" && gone "$DISPATCHER"'
if gone "$DISPATCHER"; then winner=$WORK/copy; else winner=$SPOOL; fi # the other one is a stranger now
kill -9 "$copy" 2>/dev/null
dispatcher_kill
[ "$winner" = "$SPOOL" ] || { rm -rf "$SPOOL" && cp -a "$winner" "$SPOOL"; }
dispatcher_start

# --- a torn journal
begin torn
dispatcher_kill
truncate -s 60 "$SPOOL/runs/torn/state.json"
dispatcher_start
action beside hello '{"inputs": {"name": "b"}}'
land
finished beside
is "its neighbours run" "$(field beside .outcome)" succeeded
refute "a state that can't be read: no result is made up" has_result torn
is "nor does it run again" "$(marks torn)" 1
like "and boot.log says so" "$(cat "$SPOOL/boot.log")" 'torn'
