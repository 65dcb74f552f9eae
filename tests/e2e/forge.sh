#!/bin/bash
# A site with a forge: proposals are pull requests, a reviewed merge is the approval, and who merges without a review approves nothing.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
engine_start
site http <<<''
forge
cat >>"$CONFIG" <<EOT
approval:
  minimum: forge
  approvers: [human]
  forge_url: $FORGE
  forge_token_file: $WORK/token.bot
EOT
export DISINTO_CONFIG=$CONFIG
as() { # LOGIN COMMAND…: with his own token
	local login=$1
	shift
	DISINTO_APPROVAL_FORGE_TOKEN_FILE=$WORK/token.$login "$@"
}
fails() { # WHAT REGEX COMMAND…
	local what=$1 regex=$2
	shift 2
	"$@" >/dev/null 2>"$WORK/errors" </dev/null
	is "$what: exit code" $? 1
	like "$what: message" "$(cat "$WORK/errors")" "^disinto: .*$regex"
}
quietly() { "$@" >/dev/null; }
on_server() { git -C "$SERVER" "$@"; }

# The formula landed before there were reviews; one that is approved has to come by a request of its own.
git -C "$OPS" checkout -q -b change && sed -i 's/hello \$INPUT_NAME/hello, $INPUT_NAME/' "$OPS/vault/formulas/hello.yaml" && commit 'formula: greet'
git -C "$OPS" push -q origin change
forge_api agent POST /pulls '{"head": "change", "base": "main", "title": "formula", "body": ""}' >/dev/null
forge_api human POST /pulls/1/reviews "{\"event\": \"APPROVED\", \"commit_id\": \"$(on_server rev-parse change)\"}" >/dev/null
check "the formula is merged by request 1" quietly forge_api human POST /pulls/1/merge '{"Do": "merge"}'

# propose
output=$(as agent disinto propose --id greet-1 --formula hello --context $'to greet\n```\n# not a title' --input name=you)
like "propose: names the request" "$output" 'greet-1 is proposed in pull request 2, https://forge\.example/.*/pulls/2'
pull=$(forge_api human GET /pulls/2)
is "parity_E8 propose: its title, author and branch" "$(jq -r '[.title, .user.login, .head.ref, .base.ref] | @tsv' <<<"$pull")" 'vault: greet-1	agent	vault/greet-1	main'
like "propose: its text has the risk" "$(jq -r .body <<<"$pull")" 'tier +high'
like "propose: its text has the author's words as data" "$(jq -r .body <<<"$pull")" '^ +# not a title'
is "propose: nothing ends the block early" "$(jq -r .body <<<"$pull" | grep -c '^````$')" 2
is "propose: labels" "$(forge_api human GET /labels | jq -r '[.[].name] | sort | join(",")')" 'tier: high,vault'
is "parity_E8 propose: the same again returns the same request" \
	"$(as agent disinto propose --json --id greet-1 --formula hello --context $'to greet\n```\n# not a title' --input name=you | jq -r '[.status, .pull.number] | @tsv')" 'exists	2'
is "propose: there is one request of it" "$(forge_api human GET '/pulls?state=open' | jq length)" 1
like "pending: has the link" "$(disinto pending)" 'greet-1 .*https://forge\.example/.*/pulls/2'
is "pending --json: number and author" "$(disinto pending --json | jq -r '.[0].pull | [.number, .author] | @tsv')" '2	agent'

# approve
fails "approve: not one's own" 'approve your own pull is not allowed' as agent disinto approve greet-1
is "approve: nothing was merged" "$(forge_api human GET /pulls/2 | jq .merged)" false
fails "approve: a token that the forge does not know" 'forge_token_file' env DISINTO_APPROVAL_FORGE_TOKEN_FILE="$WORK/token" disinto approve greet-1
dispatcher_start
like "approve: says what landed" "$(as human disinto approve greet-1)" 'greet-1 is approved: [0-9a-f]{10} on main'
is "approve: the review is of the head that was merged" "$(forge_api human GET /pulls/2 | jq '.reviews[0].commit_id == .head.sha and .merged')" true
is "approve: the branch is gone" "$(on_server branch --list 'vault/greet-1')" ''
like "approve: the merge names the blob" "$(on_server log -1 --format=%B "$(forge_api human GET /pulls/2 | jq -r .merge_commit_sha)")" 'Disinto-Approve: greet-1 [0-9a-f]{40}'
finished greet-1
is "it runs, by the reviewer's word" "$(field greet-1 '[.outcome, .approval.mode, .approval.by] | @tsv')" 'succeeded	forge	human'

# A merge that nobody reviewed is no approval.
as agent disinto propose --id greet-2 --formula hello --context 'to greet' >/dev/null
forge_api human POST /pulls/3/merge '{"Do": "merge"}' >/dev/null
finished greet-2
is "merged without a review: refused" "$(field greet-2 .outcome)" refused
like "merged without a review: says so" "$(field greet-2 .reason)" 'no approving review'

# What was pushed after the review is not covered by it.
as agent disinto propose --id greet-3 --formula hello --context 'to greet' >/dev/null
forge_api human POST /pulls/4/reviews "{\"event\": \"APPROVED\", \"commit_id\": \"$(on_server rev-parse vault/greet-3)\"}" >/dev/null
git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B late origin/vault/greet-3
jq '.inputs = {name: "mallory"}' "$OPS/vault/actions/greet-3.json" >"$WORK/late" && cp "$WORK/late" "$OPS/vault/actions/greet-3.json"
commit late && git -C "$OPS" push -q origin HEAD:vault/greet-3
forge_api human POST /pulls/4/merge '{"Do": "merge"}' >/dev/null
finished greet-3
is "pushed after the review: refused" "$(field greet-3 .outcome)" refused
dispatcher_stop

# Secrets are reviewed too.
like "secrets add: names the request" "$(printf 'a secret value' | as agent disinto secrets add TOKEN 2>&1)" 'TOKEN added, proposed in pull request 5, https://'
refute "secrets add: has not landed" on_server cat-file -e main:vault/secrets/TOKEN.age 2>/dev/null
is "secrets add: the request has that file and nothing else" \
	"$(on_server diff --name-only main "$(forge_api human GET /pulls/5 | jq -r .head.sha)")" vault/secrets/TOKEN.age
check "secrets add --land: lands" eval 'printf "another value" | disinto secrets add --land OTHER 2>/dev/null'
check "secrets add --land: it is there" on_server cat-file -e main:vault/secrets/OTHER.age
echo 'MOVED=a moved value' >"$WORK/env"
fails "secrets migrate --delete: not before it has landed" 'nothing is deleted before' disinto secrets migrate --delete "$WORK/env"
like "secrets migrate: names the request" "$(disinto secrets migrate "$WORK/env" 2>&1)" 'proposed in pull request 6'

# Whom secrets are encrypted to is reviewed as well.
git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B more origin/main
age-keygen 2>/dev/null | age-keygen -y >>"$OPS/vault/recipients.txt"
commit 'one recipient more' && git -C "$OPS" push -q origin HEAD:more
more=$(forge_api agent POST /pulls '{"head": "more", "base": "main", "title": "recipients", "body": ""}' | jq .number)
forge_api human POST "/pulls/$more/merge" '{"Do": "merge"}' >/dev/null
tip=$(on_server rev-parse main)
printf 'a third value' >"$WORK/value"
fails "secrets add: recipients whom nobody reviewed" "vault/recipients\.txt: is not approved: pull request $more has no approving review" \
	eval 'disinto secrets add --land THIRD <"$WORK/value"'
is "secrets add: recipients whom nobody reviewed: nothing landed" "$(on_server rev-parse main)" "$tip"
git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B reviewed origin/main && echo '# looked at' >>"$OPS/vault/recipients.txt"
commit 'recipients' && git -C "$OPS" push -q origin HEAD:reviewed
more=$(forge_api agent POST /pulls '{"head": "reviewed", "base": "main", "title": "recipients", "body": ""}' | jq .number)
forge_api human POST "/pulls/$more/reviews" "{\"event\": \"APPROVED\", \"commit_id\": \"$(on_server rev-parse reviewed)\"}" >/dev/null
forge_api human POST "/pulls/$more/merge" '{"Do": "merge"}' >/dev/null
check "secrets add: reviewed recipients" eval 'disinto secrets add --land THIRD <"$WORK/value" 2>/dev/null'

# branch-protect
fails "parity_E9 branch-protect --check: nothing is protected" 'branch-protect' disinto branch-protect --check
like "parity_E9 branch-protect --check: says of which branch" "$(disinto branch-protect --check 2>/dev/null)" '^disinto-ledger: is not protected'
like "parity_E9 branch-protect: sets it up" "$(as human disinto branch-protect --pusher bot)" '^main and disinto-ledger are protected: only bot pushes'
like "parity_E9 branch-protect --check: is content" "$(disinto branch-protect --check)" '^main and disinto-ledger are protected: only bot pushes'
forge_api human PATCH /branch_protections/main '{"required_approvals": 0}' >/dev/null
is "parity_E9 branch-protect --check --json: finds what was weakened" "$(disinto branch-protect --check --json | jq -r '.ok, .findings[]')" \
	'false
main: required_approvals is 0 and must be 1: how many reviews a merge needs'

# A forge that is down takes nothing away, and the next try finishes what is missing.
sed -i "s|forge_url: .*|forge_url: http://127.0.0.1:9|" "$CONFIG"
fails "propose: the forge is down" 'propose the same again' as agent disinto propose --id greet-4 --formula hello --context 'to greet'
check "propose: its branch is pushed" quietly on_server rev-parse -q --verify vault/greet-4
like "pending: lists it all the same" "$(disinto pending 2>"$WORK/errors")" '^greet-4 '
like "pending: says what is missing" "$(cat "$WORK/errors")" 'without the links'
sed -i "s|forge_url: .*|forge_url: $FORGE|" "$CONFIG"
is "propose: again, with the forge back" "$(as agent disinto propose --json --id greet-4 --formula hello --context 'to greet' | jq -r .pull.number)" 9
forge_stop
