#!/bin/bash
# docs/formulas.md, by the letter: blocks marked `yaml PATH` are put there, blocks marked `sh` are run, in order, in one shell; every line of
# the `text` blocks must have been said by then. Steps 1 to 3 of docs/first-use.md, which it asks for, are done before.
. "$(dirname "$0")/lib.sh"

doc=$ROOT/docs/formulas.md
awk '/^```(sh|yaml|text)/ { n++; file = sprintf("'"$WORK"'/block-%02d.%s", n, substr($1, 4)); if ($2) print $2 >(file ".path"); next }
	/^```/ { file = "" } file { print >file }' "$doc"
blocks=("$WORK"/block-??.*)
check "it has blocks" [ ${#blocks[@]} -ge 20 ]
engine_start
export DISINTO_DOCKER_HOST=unix://$SOCKET
disinto init ~/site >/dev/null || bail "no site"
{
	echo 'set -e'
	for block in "$WORK"/block-??.*; do
		case $block in
		*.sh)
			echo "echo '# ${block##*/}'"
			cat "$block"
			;;
		*.yaml) echo "cp '$block' \"$(cat "$block.path")\"" ;;
		*.text) echo "echo '# ${block##*/}'" ;;
		esac
	done
} >"$WORK/all.sh"
timeout 600 bash "$WORK/all.sh" >"$WORK/output" 2>&1 </dev/null
code=$?
is "every command of it works" $code 0
[ $code = 0 ] || sed 's/^/# /' "$WORK/output"
for block in "$WORK"/block-??.text; do
	before=$(sed "/^# ${block##*/}\$/q" "$WORK/output")
	while IFS= read -r line; do
		check "it says: $line" grep -qF -- "$line" <<<"$before"
	done <"$block"
done
refute "the secret is not shown" grep -qF 'a-token-nobody-should-see' "$WORK/output"
for template in "$ROOT"/templates/formulas/*.yaml; do
	check "the page names the example $(basename "$template" .yaml)" grep -q "^| \`$(basename "$template" .yaml)\` |" "$doc"
done
