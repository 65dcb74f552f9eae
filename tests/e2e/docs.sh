#!/bin/bash
# docs/first-use.md, by the letter: every block marked `sh` is run, in order, in one shell; those marked `sh background` go to the background, as
# a second terminal would have it. A command that fails ends it.
. "$(dirname "$0")/lib.sh"

doc=$ROOT/docs/first-use.md
awk '/^```sh/ { n++; file = sprintf("'"$WORK"'/block-%02d.%s", n, $2 == "background" ? "bg" : "fg"); next } /^```/ { file = "" } file { print >file }' "$doc"
blocks=("$WORK"/block-*)
check "it has blocks" [ ${#blocks[@]} -ge 8 ]
for command in init 'secrets add' propose pending approve validate run list show logs cancel status; do
	check "it shows disinto $command" grep -q "disinto $command" "${blocks[@]}"
done

{
	echo 'set -e; cd "$ROOT"'
	for block in "${blocks[@]}"; do
		echo "echo '# ${block##*/}'"
		case $block in
		*.bg) printf '( exec %s ) & echo $! >>"$WORK/background"\n' "$(cat "$block")" ;;
		*) cat "$block" ;;
		esac
	done
} >"$WORK/all.sh"
export ROOT WORK
timeout 300 bash "$WORK/all.sh" >"$WORK/output" 2>&1 </dev/null
code=$?
is "every command of it works" $code 0
[ $code = 0 ] || sed 's/^/# /' "$WORK/output"
like "the result is as it says" "$(cat "$WORK/output")" 'succeeded'
refute "the secret is not shown" grep -qF 'a-token-nobody-should-see' "$WORK/output"

# docs/operations.md: its blocks in their order, in a site with a dispatcher.
engine_start
site daemon
dispatcher_start
action first hello '{"inputs": {"name": "World"}}'
land
finished first
awk '/^```sh/ { on = 1; next } /^```/ { on = 0 } on' "$ROOT/docs/operations.md" >"$WORK/operations.sh"
check "operations.md has commands" [ "$(wc -l <"$WORK/operations.sh")" -ge 6 ]
DISINTO_CONFIG=$CONFIG SPOOL=$SPOOL DISPATCHER=$DISPATCHER timeout 300 bash -e "$WORK/operations.sh" >"$WORK/output" 2>&1 </dev/null
code=$?
is "every command of it works" $code 0
[ $code = 0 ] || sed 's/^/# /' "$WORK/output"
check "and its last one ends the dispatcher" wait_for gone "$DISPATCHER"
DISPATCHER=
for command in settle accept-backlog accept-history drain 'cancel'; do
	check "it speaks of disinto $command" grep -q "disinto $command" "$ROOT/docs/operations.md"
done

# And every line of the log that may worry somebody.
grep -rhoE 'log_(warn|error)\("[^"]+"' "$ROOT/dispatcher" | sed 's/^[^"]*"//; s/"$//' | sort -u >"$WORK/lines"
check "there are such lines" [ "$(wc -l <"$WORK/lines")" -ge 40 ]
while read -r line; do
	check "it explains: $line" grep -qF "\`$line" "$ROOT/docs/operations.md"
done <"$WORK/lines"

for child in $(cat "$WORK/background" 2>/dev/null); do
	kill "$child" 2>/dev/null
	wait_for gone "$child"
done
for path in "$HOME"/*engine*; do "$LIB/engine.sh" stop "$path"; done
