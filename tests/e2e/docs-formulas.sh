#!/bin/bash
# docs/formulas.md, by the letter: blocks marked `yaml PATH` are put there, blocks marked `sh` are run, in order, in one shell; every line of
# the `text` blocks must have been said by then. Steps 1 to 3 of docs/first-use.md, which it asks for, are done before. The piece of a formula for Claude is
# run here too, by a stub; that for git in git-auth.sh, where there is a server for it, and the whole examples in formulas.sh.
. "$(dirname "$0")/lib.sh"

doc=$ROOT/docs/formulas.md
awk '/^```(sh|yaml|text)/ { n++; file = sprintf("'"$WORK"'/block-%02d.%s", n, substr($1, 4)); if ($2) print $2 >(file ".path"); next }
	/^```/ { file = "" } file { print >file }' "$doc"
blocks=("$WORK"/block-??.*)
check "it has blocks" [ ${#blocks[@]} -ge 20 ]
{
	echo 'name: write'
	awk '/^```/ { fence = !fence } /^## / { on = $0 == "## Agents" } on && !fence && sub("^    ", "")' "$doc"
} >"$WORK/write.yaml"
check "it has a piece for Claude" grep -q '^  - id: write$' "$WORK/write.yaml"
# shellcheck disable=SC2016 # for the stub's shell
agent='test "$1 $3 $4 $ANTHROPIC_API_KEY" = "-p --output-format stream-json a-key-nobody-should-see" || exit 9; case $2 in *"release note for the version"*"\"version\": \"1.2\""*) echo "Version 1.2 is out." | tee note.md ;; esac'
jq -cn --arg agent "$agent" '{claude: ["sh", "-c", $agent, "claude"]}' >"$WORK/agents"
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
	cat <<-EOT
		cp '$WORK/write.yaml' vault/formulas/
		printf a-key-nobody-should-see | disinto secrets add --land ANTHROPIC_API_KEY
		land write
		export DISINTO_AGENTS="\$(cat '$WORK/agents')"
		try write-1 write --input version=1.2 --secret ANTHROPIC_API_KEY
	EOT
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
check "Claude is asked as it says" grep -qxF 'Version 1.2 is out.' "$WORK/output"
refute "no secret is shown" grep -qE 'a-(token|key)-nobody-should-see' "$WORK/output"
for template in "$ROOT"/templates/formulas/*.yaml; do
	check "the page names the example $(basename "$template" .yaml)" grep -q "^| \`$(basename "$template" .yaml)\` |" "$doc"
done
