#!/bin/bash
# What a real dispatcher records under a policy, with signed approvals and a key of its own, is what `disinto verify` wants to see.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME SSH_AUTH_SOCK

engine_start
for key in human dispatcher; do ssh-keygen -q -t ed25519 -N '' -C $key -f "$WORK/$key"; done
chmod 0400 "$WORK/dispatcher"
echo "person@example $(cut -d' ' -f1,2 "$WORK/human.pub")" >"$WORK/approvers"
chmod 0644 "$WORK/approvers"
site <<-END
	signing_key_file: $WORK/dispatcher
	approval: {allowed_signers: $WORK/approvers}
END
git -C "$OPS" config gpg.format ssh
git -C "$OPS" config user.signingkey "$WORK/human"

approve() { # PATH…: what is new lands in one signed commit that approves these
	local path subject message=$'approved\n'
	git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B main origin/main
	for path in "$@"; do
		subject=$path
		[[ $path != vault/actions/* ]] || subject=$(basename "$path" .json)
		message+=$'\n'"Disinto-Approve: $subject $(git -C "$OPS" hash-object "$OPS/$path")"
	done
	git -C "$OPS" add -A && git -C "$OPS" commit -q -S -m "$message" && push
}
verify() { disinto verify --config "$CONFIG" 2>"$WORK/errors"; }

formula careful <<<'steps: [{id: a, run: "echo careful"}]'
secret TOKEN 'a-token-nobody-should-see'
cat >"$OPS/vault/policy.yaml" <<-'END'
	default_tier: low
	formulas: {careful: high}
	tiers: {high: {approval: signed}}
END
approve vault/formulas/careful.yaml vault/secrets/TOKEN.age
action first hello '{"inputs": {"name": "you"}}'
land
action second careful '{"secrets": ["TOKEN"]}'
approve vault/actions/second.json
action third careful
land
dispatcher_start
for id in first second third; do finished $id; done
is "by policy" "$(for id in first second third; do field $id '[.outcome, .tier, .approval.mode] | @csv'; done | tr -d '"' | tr '\n' ' ')" \
	'succeeded,low,landed succeeded,high,signed refused,high, '
is "nothing is found" "$(verify)" '3 actions, 3 results, 0 findings'
is "and signatures were checked" "$(cat "$WORK/errors")" ''

# A change of policy that nobody signed is not in force; one that is signed is.
echo 'default_tier: low' >"$OPS/vault/policy.yaml"
land
action fourth careful
land
finished fourth
is "a change of policy without approval" "$(field fourth .outcome)" refused
echo 'default_tier: medium' >"$OPS/vault/policy.yaml"
approve vault/policy.yaml
action between hello '{"inputs": {"name": "you"}}'
land
finished between # the policy was seen by then, and is not the same push
action fifth careful
land
finished fifth
is "a change of policy with it" "$(field fifth '[.outcome, .tier, .approval.mode] | @csv')" '"succeeded","medium","landed"'
is "nothing is found still" "$(verify)" '6 actions, 6 results, 0 findings'
dispatcher_stop

# What somebody does to it afterwards is.
git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B main origin/main
sed -i s/high/low/ "$OPS/vault/actions/second.result.json"
commit 'nothing to see' && push
action sixth hello
land
sed 's/first/sixth/' "$OPS/vault/actions/first.result.json" >"$OPS/vault/actions/sixth.result.json"
git -C "$OPS" add -A && git -C "$OPS" -c user.name=disinto-dispatcher -c user.email="$(field first .dispatcher)@disinto" commit -qm 'vault: result for sixth' && push
verify >"$WORK/out"
is "faults: exit code" $? 1
is "faults: each that was planted" "$(awk '/^[a-z]+-/ { print $1, $2 }' "$WORK/out")" $'result-changed second\nunsigned-result sixth\nother-action sixth\nnot-in-ledger sixth'
