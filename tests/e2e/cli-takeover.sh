#!/bin/bash
# init --from-shell-dispatcher: what becomes of an old site, and that nothing of it runs by itself. Needs neither dispatcher nor engine.
. "$(dirname "$0")/lib.sh"
rm -rf "$WORK/site"
cd "$WORK" || exit 1
old=$WORK/old
mkdir -p "$old/secrets" "$old/vault/actions" "$old/vault/pending" "$old/formulas"

age-keygen -o "$WORK/old.key" 2>/dev/null
recipient=$(age-keygen -y "$WORK/old.key")
for name in CLAWHUB_TOKEN DEPLOY_KEY my-token; do
	printf 'value of %s' "$name" | age -r "$recipient" -o "$old/secrets/$name.enc"
done
cat >"$old/vault/actions/publish-skill.toml" <<'EOT'
# Publish it
id = "publish-skill"
formula = "clawhub-publish"
context = "SKILL.md bumped to 0.3.0"
secrets = ["CLAWHUB_TOKEN"]
tools = ["clawhub", "git"]
timeout_minutes = 30
dispatch_mode = "direct"
priority = 3
[vars]
version = "0.3.0"
count = 2
EOT
printf 'id = "was"\nformula = "clawhub-publish"\ncontext = "x"\n' >"$old/vault/actions/was.toml"
echo '{"id": "was", "exit_code": 0}' >"$old/vault/actions/was.result.json"
echo '{"id": "waits-1", "formula": "clawhub-publish", "context": "x", "secrets": []}' >"$old/vault/pending/waits-1.json"
printf 'id = "broken"\nformula = \n' >"$old/vault/actions/broken.toml"
printf 'id = "No Name"\nformula = "x"\ncontext = "y"\n' >"$old/vault/actions/No Name.toml"
cat >"$old/formulas/clawhub-publish.toml" <<'EOT'
name = "clawhub-publish"
description = "Publish the skill"
version = 2
model = "sonnet"
[context]
files = ["AGENTS.md"]
[[steps]]
id = "preflight"
title = "Look around"
description = """
Check that the token is there.
Stop if it is not.
"""
[[steps]]
id = "publish"
run = "clawhub publish --version \"$INPUT_VERSION\""
needs = ["preflight"]
EOT
echo 'rm -rf /' >"$old/formulas/deploy.sh"
before=$(find "$old" -type f -exec sha256sum {} + | sort)

output=$(disinto init new --from-shell-dispatcher "$old" --old-identity "$WORK/old.key" 2>"$WORK/errors")
is "init takes an old site over" $? 0
is "init --json says what was taken over" "$(disinto init --json as-json --from-shell-dispatcher "$old" --old-identity "$WORK/old.key" 2>/dev/null | jq -r '.dir, .taken_over[], .left[]')" \
	"as-json"$'\n'"$(sed -nE '/^Taken over|^Could not/,$ s/^  //p' <<<"$output")"
is "secrets are in the ops repo" "$(git -C new/ops.git ls-tree --name-only main vault/secrets/ | grep age | tr '\n' ' ')" \
	'vault/secrets/CLAWHUB_TOKEN.age vault/secrets/DEPLOY_KEY.age '
is "for the new identity" "$(disinto --config new/dispatcher.yaml secrets show DEPLOY_KEY)" 'value of DEPLOY_KEY'
refute "and not for the old one" eval "git -C new/ops.git show main:vault/secrets/DEPLOY_KEY.age | age -d -i '$WORK/old.key' >/dev/null 2>&1"
is "no action lands by itself" "$(disinto --config new/dispatcher.yaml list 2>&1)" 'disinto: list: there are no actions'
is "what is there to propose" "$(cd new/taken-over && find . -type f | sort | tr '\n' ' ')" './actions/publish-skill.json ./actions/waits-1.json ./formulas/clawhub-publish.yaml '
is "the action means the same" "$(jq -c '[.formula, .secrets, .tools, .timeout_minutes, .inputs]' new/taken-over/actions/publish-skill.json)" \
	'["clawhub-publish",["CLAWHUB_TOKEN"],["clawhub","git"],30,{"version":"0.3.0","count":"2"}]'
check "disinto takes both" disinto --config new/dispatcher.yaml validate new/taken-over/formulas/*.yaml
is "a step for an agent is a prompt" "$(sed -n '/prompt/,/- id/p' new/taken-over/formulas/clawhub-publish.yaml | head -n 5)" '  prompt: |
    Look around

    Check that the token is there.
    Stop if it is not.'
is "a command is run" "$(grep -A 1 'id: publish$' new/taken-over/formulas/clawhub-publish.yaml | tail -n 1)" \
	'  run: "clawhub publish --version \"$INPUT_VERSION\""'
left=${output#*Could not be taken over:}
for line in 'secrets/my-token.enc: no name of a secret' 'was.toml: has run; it is history' 'broken.toml: line 2: a value is missing' 'No Name.toml: .*is not an id' \
	'publish-skill.toml: dispatch_mode: whether a proposal lands by itself is' 'publish-skill.toml: priority: has no counterpart' \
	'clawhub-publish.toml: version: has no' 'clawhub-publish.toml: context: has no' 'clawhub-publish.toml: model: belongs into the action' \
	'clawhub-publish.toml: steps\[1\].needs: steps run in the order' 'formulas/deploy.sh: a script'; do
	like "left: $line" "$left" "$line"
done
is "and nothing else" "$(grep -c . <<<"$left")" 11
is "the old site is as it was" "$(find "$old" -type f -exec sha256sum {} + | sort)" "$before"

output=$(disinto init other --from-shell-dispatcher "$old" 2>"$WORK/errors")
like "without the identity the secrets are left" "$output" 'secrets/DEPLOY_KEY.enc: needs the age identity .*disinto secrets migrate -i'
disinto init third --from-shell-dispatcher "$WORK/gone" >/dev/null 2>&1
is "an old site that is not there is a usage error" $? 2
refute "and nothing is made" [ -e third ]
