#!/bin/bash
# What policy does to propose, pending, approve and validate, and what is told of the last run. Needs neither dispatcher nor engine.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
rm -rf "$WORK/site"
disinto init "$WORK/site" >/dev/null || bail "init"
cd "$WORK/site" || exit 1
SERVER=$WORK/site/ops.git
OPS=$WORK/ops
# A repo that never had a policy: one that is taken away again would stay in force.
export GIT_INDEX_FILE=$WORK/index GIT_WORK_TREE=$HOME
git -C "$SERVER" read-tree main
git -C "$SERVER" update-index --force-remove vault/policy.yaml
git -C "$SERVER" update-ref refs/heads/main "$(git -C "$SERVER" commit-tree -m begin "$(git -C "$SERVER" write-tree)")"
unset GIT_INDEX_FILE GIT_WORK_TREE
printf 'a secret value' | disinto secrets add TOKEN 2>/dev/null
printf 'another secret' | disinto secrets add OTHER 2>/dev/null
git clone -q "$SERVER" "$OPS"

propose() { # ID FORMULA [ARGUMENT…]
	local id=$1 formula=$2
	shift 2
	disinto propose --id "$id" --formula "$formula" --context c "$@" 2>&1
}
push() { # what approve and secrets add pushed comes first
	git -C "$OPS" pull -q --rebase && git -C "$OPS" push -q origin HEAD:main
}
policy() { # on standard input; lands it
	cat >"$OPS/vault/policy.yaml"
	commit policy && push
}
blob() { git -C "$OPS" rev-parse "HEAD:$1"; }

formula build <<<$'image: debian:12\nnetwork: none\nsteps: [{id: s, run: "true"}]'
formula other <<<$'steps: [{id: s, run: "true"}]'
commit formulas && push

# Without a policy
output=$(propose none-1 build --secret TOKEN)
like "no policy: every tier is high" "$output" 'tier +high: there is no vault/policy\.yaml, so every tier is high'
like "no policy: the configuration's minimum" "$output" 'approval +landed$'
like "no policy: nothing is said of secrets" "$output" 'secrets +TOKEN$'
like "no policy: no run of the formula yet" "$output" 'last run +none of this formula yet'

# With one
policy <<'END'
default_tier: medium
formulas: {build: low, absent: high}
tiers: {low: {approval: landed}, medium: {approval: signed}, high: {approval: forge}}
secrets: {TOKEN: {formulas: [build]}, MISSING: {formulas: []}}
images: {allow: ["docker.io/library/debian:*"]}
END
output=$(propose with-1 build --secret TOKEN --secret OTHER)
like "the tier of the formula" "$output" 'tier +low: vault/policy\.yaml gives build the tier low'
like "the approval of the tier" "$output" 'approval +landed$'
like "a secret that is listed" "$output" 'secrets +TOKEN \(listed by policy for this formula\)'
like "a secret that is not" "$output" '^ +OTHER \(not listed by policy'
like "a raised tier" "$(propose with-2 build --blast-radius high)" 'tier +high: .*blast_radius raises it to high'
output=$(propose with-3 other)
like "the default tier" "$output" 'tier +medium: vault/policy\.yaml does not name other, and its default_tier is medium'
like "what that wants" "$output" 'approval +signed$'
like "the dispatcher's own image is not on the list: it would wait" "$output" 'waits for +runner_image of .*disinto/runner.* is not covered'
like "a secret for another formula is refused" "$(propose with-4 other --secret TOKEN)" 'secrets\[0\]: other may not have TOKEN; vault/policy\.yaml gives it to build'
is "nothing of it was pushed" "$(git -C "$SERVER" branch --list vault/with-4)" ""
is "propose --json" "$(disinto propose --json --id with-5 --formula build --context c --secret TOKEN |
	jq -c '.risk | [.tier, .approval, .direct, .secret_rules.TOKEN, .image_reference, .last_run]')" \
	'["low","landed",false,"allowed","docker.io/library/debian:12",null]'
is "pending --json has the tier" "$(disinto pending --json | jq -r '.[] | select(.id == "with-2") | .tier')" high
like "approve tells it too" "$(disinto approve with-1)" 'tier +low: '

# An image by another spelling, and a tighter list
formula alias <<<$'image: index.docker.io/alpine\nsteps: [{id: s, run: "true"}]'
commit alias && push
like "an image is refused under any spelling" "$(propose image-1 alias)" 'formulas/alias\.yaml: image: index\.docker\.io/alpine, which is docker\.io/library/alpine:latest, is not covered'
sed -i 's/images: .*/images: {require_digest: true}/' "$OPS/vault/policy.yaml" && commit digest && push
like "a digest is wanted" "$(propose image-2 build)" 'image: debian:12 has no digest'
disinto pending >"$WORK/pending"
like "pending: what a new policy refuses" "$(cat "$WORK/pending")" 'with-2.*INVALID: .*no digest'
like "approve: refuses it as well" "$(disinto approve with-2 2>&1)" 'no digest'

# Broken, gone, frozen
git -C "$OPS" revert --no-edit HEAD >/dev/null && push
printf 'tiers: {hihg: {}}\n' | policy
output=$(propose broken-1 build)
like "a broken policy: the last good one" "$output" 'tier +low: '
like "a broken policy: is told" "$output" 'policy +vault/policy\.yaml: tiers\.hihg: unknown key.*the last good one, of [0-9a-f]{10}, is in force'
git -C "$OPS" rm -q vault/policy.yaml && commit 'no policy' && push
like "a missing policy: the last good one" "$(propose broken-2 build)" 'the last good one, of [0-9a-f]{10}, is in force'
output=$(disinto validate)
is "validate: a missing policy is a finding" $? 1
like "validate: and says which is in force" "$output" '^bad +vault/policy\.yaml: .*the last good one'
git -C "$OPS" revert --no-edit HEAD~1..HEAD >/dev/null && git -C "$OPS" revert --no-edit HEAD~2 >/dev/null && push
sed -i '1i freeze: true' "$OPS/vault/policy.yaml" && commit freeze && push
like "frozen: would wait" "$(propose frozen-1 build)" 'waits for +vault/policy\.yaml says freeze: true'
sed -i 1d "$OPS/vault/policy.yaml" && commit thaw && push

# What changed against the last run
action run-1 build '{"secrets": ["TOKEN"], "inputs": {"version": "1"}, "mounts": ["ssh"]}'
action run-0 build
commit runs
result_of() { # ID TIME SECRETS
	jq -n --arg id "$1" --arg time "$2" --arg action "$(blob "vault/actions/$1.json")" --arg formula "$(blob vault/formulas/build.yaml)" --argjson secrets "$3" \
		'{id: $id, outcome: "succeeded", exit_code: 0, timestamp: $time, started_at: $time, action: $action, formula: {name: "build", blob: $formula}, secrets: $secrets}' \
		>"$OPS/vault/actions/$1.result.json"
}
result_of run-1 2026-03-31T10:00:04Z "{\"TOKEN\": \"$(blob vault/secrets/TOKEN.age)\"}"
result_of run-0 2026-03-30T10:00:04Z '{}'
commit results && push
output=$(propose last-1 build --secret TOKEN --input version=2 --mount ssh)
like "last run: which" "$output" 'last run +run-1, succeeded, 2026-03-31T10:00:04Z'
like "last run: nothing changed" "$output" '^ +since then: nothing changed'
printf 'a new secret value' | disinto secrets add -f TOKEN 2>/dev/null
formula build <<<$'image: docker.io/library/debian:13\nsteps: [{id: s, run: "false"}]'
commit 'another build' && push
output=$(propose last-2 build --secret TOKEN --secret OTHER --input name=x)
for part in "the formula's file changed" 'the image is docker\.io/library/debian:13, and was debian:12' 'the network is default, and was none' \
	'secret TOKEN is another file' 'secret OTHER is new' 'mount ssh is no longer there' 'input name is new' 'input version is no longer there'; do
	like "last run: $part" "$output" "since then: $part"
done
is "last run: each once, and nothing else" "$(grep -c 'since then:' <<<"$output")" 8
like "last run: a secret less" "$(propose last-3 build --input version=1 --mount ssh)" 'since then: secret TOKEN is no longer asked for'

# validate
output=$(disinto validate)
like "validate: the policy" "$output" '^ok +vault/policy\.yaml: names what is not there: formula absent, secret MISSING'
like "validate: what an action wants" "$output" '^ok +vault/actions/with-1\.json: tier low, approval landed'
cd "$OPS" && git pull -q --rebase || exit 1
output=$(disinto validate vault/policy.yaml)
like "validate: a policy file" "$output" '^ok +vault/policy\.yaml: names what is not there: formula absent, secret MISSING'
action check-1 build '{"secrets": ["TOKEN"], "inputs": {"version": "1"}}'
output=$(disinto validate vault/actions/check-1.json)
for part in 'ok +vault/actions/check-1\.json' 'tier +low: vault/policy\.yaml gives build' 'approval +landed, or what the dispatcher.s configuration wants beyond' \
	'secrets +TOKEN \(listed' 'image +docker\.io/library/debian:13' 'network +default' 'last run +run-1' 'since then: mount ssh is no longer there'; do
	like "validate: an action of a checkout: $part" "$output" "$part"
done
action check-2 other '{"secrets": ["TOKEN"]}'
output=$(disinto validate vault/actions/check-2.json)
is "validate: what policy refuses is a finding" $? 1
like "validate: and says why" "$output" '^bad +vault/actions/check-2\.json: secrets\[0\]: other may not have TOKEN'
sed -i 's/forge/fogre/' vault/policy.yaml
output=$(disinto validate vault/policy.yaml)
is "validate: a broken policy is a finding" $? 1
is "validate: its key" "$output" 'bad  vault/policy.yaml: tiers.high.approval: must be one of landed, signed, forge, not "fogre"'
like "validate: an action beside a broken policy" "$(disinto validate vault/actions/check-1.json)" 'policy +vault/policy\.yaml: tiers\.high\.approval'
printf 'name: policy\nsteps: [{id: s, run: x}]\n' >vault/formulas/policy.yaml
is "validate: a formula may be called policy" "$(disinto validate vault/formulas/policy.yaml)" 'ok   vault/formulas/policy.yaml'
printf 'approval: {minimum: signed}\nops_repo: x\n' >"$WORK/signed.yaml"
git checkout -q vault/policy.yaml
output=$(disinto validate --config "$WORK/signed.yaml" vault/actions/check-1.json 2>&1)
like "validate: the configuration is a floor" "$output" 'approval +signed$|approval\.minimum'
refute "validate: a configuration that is asked for must be there" disinto validate --config "$WORK/absent.yaml" vault/actions/check-1.json >/dev/null 2>&1
