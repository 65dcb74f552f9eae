#!/bin/bash
# disinto verify: over what `disinto` itself proposes and approves, and what a dispatcher would commit, nothing is found; each fault that somebody
# plants is found once, in the table and in JSON.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
rm -rf "$WORK/site"
disinto init "$WORK/site" >/dev/null || bail "init"
SERVER=$WORK/site/ops.git
git -C "$SERVER" update-ref -d refs/heads/disinto-ledger # these results are made by hand; verify.sh has a ledger
export DISINTO_CONFIG=$WORK/site/dispatcher.yaml
git clone -q "$SERVER" "$OPS"

fresh() { # brings the clone up to date
	git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B main origin/main
}
blob() { # PATH at main
	git -C "$OPS" rev-parse "main:$1"
}
landing() { # PATH: the commit that brought it
	git -C "$OPS" log --first-parent -m -1 --format=%H -- "$1"
}
# What a dispatcher says of an action; a jq filter may change it.
result_of() { # ID [JQ-FILTER]
	jq -n --arg id "$1" --arg commit "$(landing "vault/actions/$1.json")" --arg action "$(blob "vault/actions/$1.json")" \
		--arg formula "$(blob vault/formulas/hello.yaml)" --arg policy "$(blob vault/policy.yaml)" '{id: $id, outcome: "succeeded", exit_code: 0, reason: null,
		timestamp: "2026-03-31T10:00:04Z", started_at: "2026-03-31T10:00:01Z", duration_ms: 2934, attempt: 1, tier: "high",
		approval: {mode: "landed", by: null, commit: $commit}, commit: $commit, action: $action, policy: $policy,
		formula: {name: "hello", blob: $formula}, image: "sha256:00", dispatcher: "edge-1", engine: "docker", container: "c0ffee",
		claim: "8d2a", secrets: {}, steps: [], logs: "\u001b[31mhello\n", log_bytes: 6, log_sha256: null, log_truncated: false}'" | ${2:-.}" \
		>"$OPS/vault/actions/$1.result.json"
}
record() { # GIT-OPTION…: commits what is new as a dispatcher does
	git -C "$OPS" add -A && git -C "$OPS" -c user.name=disinto-dispatcher -c user.email=edge-1@disinto "$@" commit -qm 'vault: results' && push
}
ran() { # ID [JQ-FILTER]: lands an action and records its result
	fresh
	action "$1" hello && land >/dev/null
	result_of "$@" && record
}
findings() { # what verify says, "finding id" for each
	disinto verify --json "$@" 2>/dev/null | jq -r '.findings[] | [.finding, .id // "-"] | @tsv' | tr '\t\n' ' ,'
}

# Nothing is found where all is right.
disinto propose --id asked-1 --formula hello --context 'Please' >/dev/null || bail "propose"
disinto approve asked-1 >/dev/null || bail "approve"
fresh
result_of asked-1 && record
ran good-1
fresh
action pending-1 hello && land >/dev/null
disinto verify >"$WORK/out" 2>"$WORK/errors"
is "a clean repository: exit code" $? 0
is "a clean repository: the summary" "$(cat "$WORK/out")" '3 actions, 2 results, 0 findings'
like "it says what it did not look at" "$(cat "$WORK/errors")" 'signatures of results were not checked.*--signers'
is "a clean repository: JSON" "$(disinto verify --json 2>/dev/null | jq -c '[.actions, .results, .findings, .tip]')" \
	"[3,2,[],\"$(git -C "$SERVER" rev-parse main)\"]"

# One fault of each kind.
fresh
before=$(git -C "$OPS" rev-parse main)
ran other-1 '.action = "0123456789012345678901234567890123456789"'
ran file-1 '.formula.blob = "0123456789012345678901234567890123456789"'
ran approval-1 '.approval.commit = "'"$before"'"'
ran weaker-1 '.tier = "low"'
ran malformed-1 '.outcome = "fine"'
fresh
action foreign-1 hello && land >/dev/null
result_of foreign-1 && commit 'by hand' && push
result_of foreign-1 && sed 's/foreign-1/nothing-1/' "$OPS/vault/actions/foreign-1.result.json" >"$OPS/vault/actions/nothing-1.result.json" && record
ran edited-1 && echo >>"$OPS/vault/actions/edited-1.result.json" && commit edited && push
ran removed-1 && rm "$OPS/vault/actions/removed-1.json" && commit removed && push
disinto verify >"$WORK/out" 2>/dev/null
is "faults: exit code" $? 1
like "faults: the summary" "$(tail -n 1 "$WORK/out")" '^11 actions, 11 results, 9 findings$'
is "each fault is found once" "$(findings)" \
	'other-action other-1,other-file file-1,approval approval-1,weaker-than-policy weaker-1,malformed-result malformed-1,foreign-result foreign-1,result-without-action nothing-1,result-changed edited-1,action-changed removed-1,'
like "the table" "$(cat "$WORK/out")" '^foreign-result +foreign-1 +[0-9a-f]{10} +its commit is by Test Person <person@example>, not by a dispatcher +find out who'
is "JSON has what, where and what to do" "$(disinto verify --json 2>/dev/null | jq -r '.findings[] | select(.id == "removed-1") | [.commit, .what] | @tsv')" \
	"$(git -C "$SERVER" rev-parse main)"$'\t''vault/actions/removed-1.json was removed after it was taken'
is "JSON advises" "$(disinto verify --json 2>/dev/null | jq 'all(.findings[]; .do | length > 10)')" true

# --since
fresh
is "--since: what is known is not told again" "$(disinto verify --since "$(git -C "$OPS" rev-parse main)" 2>/dev/null)" '11 actions, 11 results, 0 findings'
is "--since: what came after is" "$(findings --since "$(git -C "$OPS" rev-parse --short main~1)")" 'action-changed removed-1,'
disinto verify --since 0123456789 >/dev/null 2>"$WORK/errors"
is "--since: no such commit" $? 1
like "--since: no such commit: message" "$(cat "$WORK/errors")" '^disinto: verify: --since 0123456789: '

# Signed results
known=$(git -C "$OPS" rev-parse main)
ssh-keygen -q -t ed25519 -N '' -C dispatcher -f "$WORK/key" && ssh-keygen -q -t ed25519 -N '' -C else -f "$WORK/else"
echo "edge-1 $(cut -d' ' -f1,2 "$WORK/key.pub")" >"$WORK/signers"
signed=(-c gpg.format=ssh -c commit.gpgsign=true)
fresh
action signed-1 hello && land >/dev/null
result_of signed-1 && record "${signed[@]}" -c user.signingkey="$WORK/key"
is "a signed result" "$(findings --since "$known" --signers "$WORK/signers")" ''
ran bare-1
fresh
action else-1 hello && land >/dev/null
result_of else-1 && record "${signed[@]}" -c user.signingkey="$WORK/else"
is "unsigned, and signed by somebody else" "$(findings --since "$known" --signers "$WORK/signers")" 'unsigned-result bare-1,unsigned-result else-1,'
chmod 0400 "$WORK/key"
echo "signing_key_file: $WORK/key" >>"$DISINTO_CONFIG"
is "the dispatcher's own key, by its .pub" "$(findings --since "$known")" 'unsigned-result bare-1,unsigned-result else-1,'
rm "$WORK/key.pub"
is "the dispatcher's own key, by itself" "$(findings --since "$known")" 'unsigned-result bare-1,unsigned-result else-1,'

# Signed approvals, by somebody without a configuration, in a repository on his own disk.
echo "person@example $(cut -d' ' -f1,2 "$WORK/else.pub")" >"$WORK/approvers"
fresh
action mine-1 hello
id=$(git -C "$OPS" hash-object "$OPS/vault/actions/mine-1.json")
formula=$(blob vault/formulas/hello.yaml)
cp "$OPS/vault/formulas/hello.yaml" "$WORK/hello.yaml"
echo '# changed' >>"$OPS/vault/formulas/hello.yaml" && git -C "$OPS" add vault/formulas && git -C "$OPS" commit -qm 'another formula'
cp "$WORK/hello.yaml" "$OPS/vault/formulas/hello.yaml"
git -C "$OPS" add -A
git -C "$OPS" "${signed[@]}" -c user.signingkey="$WORK/else" commit -qm "approved

Disinto-Approve: mine-1 $id
Disinto-Approve: vault/formulas/hello.yaml $formula"
result_of mine-1 '.approval |= (.mode = "signed" | .by = "person@example")' && record
unset DISINTO_CONFIG
git clone -q "$SERVER" "$WORK/mine"
is "a repository on this disk" "$(cd "$HOME" && findings --since "$known" --approvers "$WORK/approvers" "$WORK/mine")" ''
is "approvers that nobody named" "$(cd "$HOME" && findings --since "$known" "$WORK/mine")" 'approval mine-1,'
(cd "$HOME" && disinto verify) >/dev/null 2>"$WORK/errors"
like "no configuration" "$(cat "$WORK/errors")" 'disinto init'
(cd "$HOME" && disinto verify "$WORK/nothing") >/dev/null 2>"$WORK/errors"
is "no repository: exit code" $? 1
like "no repository: message" "$(cat "$WORK/errors")" '^disinto: verify: .*/nothing'
refute "and none is made" [ -e "$WORK/nothing" ]
