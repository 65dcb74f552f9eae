#!/bin/bash
# Several dispatchers share one ops repo: each action runs once, whoever gets it; what one loses, a human settles.
. "$(dirname "$0")/lib.sh"

# Further dispatchers beside that of site(): each its own name, spool and configuration, the same repository and engine.
other_start() { # NAME
	sed -e "s|^spool: .*|spool: $WORK/$1|" -e "s|^dispatcher_id: .*|dispatcher_id: $1|" "$CONFIG" >"$WORK/site/$1.yaml"
	disinto-dispatcher --config "$WORK/site/$1.yaml" >>"$WORK/$1.log" 2>&1 </dev/null &
	CHILDREN+=($!)
	wait_for curl -sf --unix-socket "$WORK/$1/api.sock" http://disinto/health || echo "# $1 does not answer"
}
other() { # NAME PATH
	curl -sS --max-time 60 --unix-socket "$WORK/$1/api.sock" "http://disinto$2"
}
ledger() { # PATH: a file of it
	git -C "$SERVER" show "disinto-ledger:$1" 2>/dev/null
}
entry() { # claims|done ID
	ledger "$1/$(printf %s "$2" | sha256sum | cut -c1-2)/$2.json"
}

engine_start
site http <<<$'claims: ledger\ndispatcher_id: edge1\ncapacity: 4'
formula counted <<-EOT
	steps:
	  - id: count
	    run: |
	      $MARK
	      echo "number \$INPUT_N"
	      sleep 0.3
EOT
land formulas
dispatcher_start
other_start edge2
other_start edge3
for n in $(seq 30); do action "many-$n" counted "{\"inputs\": {\"n\": \"$n\"}}"; done
land
all_finished() {
	[ "$(git -C "$SERVER" ls-tree --name-only main vault/actions/ | grep -c '/many-.*\.result\.json$')" = 30 ]
}
WAIT=300 wait_for all_finished
good=0 done=0 equal=0
for n in $(seq 30); do
	[ "$(field "many-$n" '[.outcome, .logs] | @json')" = "[\"succeeded\",\"number $n\\n\"]" ] && [ "$(marks "many-$n")" = 1 ] && good=$((good + 1))
	wait_for entry 'done' "many-$n"
	[ "$(entry 'done' "many-$n" | jq -r .digest)" = "$(result "many-$n" | sha256sum | cut -d' ' -f1)" ] && done=$((done + 1))
	[ "$(entry claims "many-$n" | jq -r '.nonce + .dispatcher')" = "$(field "many-$n" '.claim + .dispatcher')" ] && equal=$((equal + 1))
done
is "each of 30 actions succeeded and ran once" "$good" 30
is "each has a done entry with its result's digest" "$done" 30
is "and was run by the one that has claimed it" "$equal" 30
is "30 containers were started" "$(jq -r 'select(.Type == "container" and .Action == "start") | .Actor.Attributes.name' "$WORK/events" | grep -c -- -many-)" 30
check "more than one dispatcher had a share" [ "$(for n in $(seq 30); do field "many-$n" .dispatcher; done | sort -u | wc -l)" -gt 1 ]
# A claim, another before GO and a done entry for each of the 30: what is ready at the same time is committed together.
check "several entries make one commit" [ "$(git -C "$SERVER" rev-list --count disinto-ledger)" -lt 90 ]
check "nobody's outbox is in trouble" [ "$(api /status | jq -r '.outbox.ok // true')" = true ]

# The spool is copied to another machine: one of the two ends.
dispatcher_stop
cp -a "$SPOOL" "$WORK/copy"
dispatcher_start
sed -e "s|^spool: .*|spool: $WORK/copy|" "$CONFIG" >"$WORK/site/copy.yaml"
disinto-dispatcher --config "$WORK/site/copy.yaml" >"$WORK/copy.log" 2>&1 </dev/null &
copy=$!
CHILDREN+=("$copy")
action later counted '{"inputs": {"n": "later"}}'
land
finished later
one_is_gone() { gone "$copy" || gone "$DISPATCHER"; }
wait_for one_is_gone
check "one of two that share a copied spool ends" grep -q 'another dispatcher works under the name edge1' "$WORK/copy.log" "$LOG"
is "and what landed meanwhile ran once" "$(marks later)" 1
kill "$copy" 2>/dev/null
