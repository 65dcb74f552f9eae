#!/bin/bash
# Many actions at once: each runs once, never more than there are slots, and results that are ready together make one commit.
. "$(dirname "$0")/lib.sh"

engine_start
site http <<<'capacity: 4'
formula counted <<-EOT
	steps:
	  - id: count
	    run: |
	      $MARK
	      echo "number \$INPUT_N"
	      sleep 0.3
EOT

action one counted '{"inputs": {"n": "1"}}'
action two counted '{"inputs": {"n": "2"}}'
land
dispatcher_start
finished one && finished two
is "two actions in one merge" "$(field one .logs) $(field two .logs)" 'number 1 number 2'
is "both landed by the same commit" "$(field one .commit)" "$(field two .commit)"

for n in $(seq 30); do action "many-$n" counted "{\"inputs\": {\"n\": \"$n\"}}"; done
before=$(git -C "$SERVER" rev-list --count main)
land
most=0
all_finished() {
	local running
	running=$(api /actions | jq '[.actions[] | select(.state == "starting" or .state == "running")] | length')
	[ "$running" -le "$most" ] || most=$running
	[ "$(git -C "$SERVER" ls-tree --name-only main vault/actions/ | grep -c '/many-.*\.result\.json$')" = 30 ]
}
WAIT=300 wait_for all_finished
good=0
for n in $(seq 30); do
	[ "$(field "many-$n" '[.outcome, .logs] | @json')" = "[\"succeeded\",\"number $n\\n\"]" ] && [ "$(marks "many-$n")" = 1 ] && good=$((good + 1))
done
is "each of 30 succeeded and ran once" "$good" 30
# How many ran at the same time, from the engine's own events.
peak=$(jq -s '[.[] | select(.Type == "container" and (.Action == "start" or .Action == "die"))
	| {at: .timeNano, by: (if .Action == "start" then 1 else -1 end)}] | sort_by(.at)
	| reduce .[] as $e ({now: 0, most: 0}; .now += $e.by | .most = ([.most, .now] | max)) | .most' "$WORK/events")
is "never more than the capacity, and all of it" "$peak" 4
check "nor in what the API says" [ "$most" -le 4 ]
check "nobody else's commits were lost" [ "$(git -C "$SERVER" rev-list --count main)" -ge $((before + 2)) ]

# A server that slows results down gets several at once.
: >"$SERVER/hooks/pre-receive"
printf '#!/bin/sh\nsleep 2\n' >"$SERVER/hooks/pre-receive" && chmod 0755 "$SERVER/hooks/pre-receive"
for n in 1 2 3 4 5 6 7 8; do action "group-$n" counted "{\"inputs\": {\"n\": \"$n\"}}"; done
land
for n in 1 2 3 4 5 6 7 8; do finished "group-$n"; done
like "several results make one commit" "$(git -C "$SERVER" log --format=%s main)" '^vault: [2-8] results$'

# Somebody else pushes all the time; results get through, and so do his commits.
rm "$SERVER/hooks/pre-receive"
action contested counted '{"inputs": {"n": "9"}}'
land
for n in $(seq 20); do
	git -C "$OPS" fetch -q origin && git -C "$OPS" reset -q --hard origin/main
	echo "$n" >"$OPS/note.txt"
	commit "note $n" && push 2>/dev/null
	sleep 0.1
done
finished contested
is "a result gets through" "$(field contested .outcome)" succeeded
