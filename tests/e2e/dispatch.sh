#!/bin/bash
# Proposals over HTTP: POST /dispatch in both shapes, the order of its checks, the request on the forge, what lands at once, and what becomes of a request when the
# git role hangs, dies, or nobody waits any more. Needs no engine: what landed waits.
. "$(dirname "$0")/lib.sh"
site http <<EOT
capacity: 1
max_pending: 6
allowed_repos: [org/app]
EOT
sed -i 's/^listen: .*/listen: 127.0.0.1:0/' "$CONFIG"
forge
cat >>"$CONFIG" <<EOT
approval:
  allow_direct: true
  forge_url: $FORGE
  forge_token_file: $WORK/token.bot
EOT
export DISINTO_CONFIG=$CONFIG
formula full-loop <<'EOT'
git_auth: {forge.example: FORGE_TOKEN}
steps:
  - id: work
    prompt: do it
    secrets: [MODEL_KEY]
EOT
formula errand <<<$'steps:\n  - id: it\n    run: "true"'
secret MODEL_KEY 'a key of a model'
secret FORGE_TOKEN 'a token of a forge'
cat >"$OPS/vault/policy.yaml" <<'EOT'
formulas: {errand: low, hello: medium}
tiers:
  low: {approval: landed, direct: true}
  medium: {approval: landed}
  high: {approval: landed}
EOT
commit 'ops: formulas' && push
on_server() { git -C "$SERVER" "$@"; }
proposals() { on_server for-each-ref --format='%(refname)' refs/heads/vault | wc -l; }
start() {
	dispatcher_start
	TCP=http://127.0.0.1:$(ss -ltnpH | grep -F "pid=$(role web)," | sed -nE 's/.*127\.0\.0\.1:([0-9]+) .*/\1/p' | head -n 1)
	wait_for eval '[ "$(api /status | jq .poll.ok)" = true ]'
}
restart() { # SED-COMMAND for the configuration
	dispatcher_stop
	sed -i "$1" "$CONFIG"
	start
}
notes_say() { # REGEX
	api /status | jq -r '.notes[]' | grep -qE -- "$1"
}
start
check "the start looks whether the forge protects the ledger, and says what is wrong" wait_for notes_say '^disinto-ledger: is not protected: .*; disinto branch-protect sets it right$'
check "so does the log" grep -q 'msg="the ledger is not protected"' "$LOG"
agent=$(disinto token add agent --scope propose 2>/dev/null)
ask() { # JSON [CURL-ARGUMENT…]: the code; the answer is in $WORK/answer
	curl -s -o "$WORK/answer" -w '%{http_code}' --max-time 120 -H "Authorization: Bearer $agent" -d "$1" "${@:2}" "$TCP/dispatch"
}
answer() { jq -r "$1" "$WORK/answer"; }
small='{"formula": "hello", "context": "to greet", "secrets": []}'
task() { # TASK-ID [JSON to merge]
	jq -n --arg id "$1" --argjson more "${2:-{\}}" '{task_id: $id, repo: "org/app", prompt: "Mend it."} + $more'
}

# 401, 413, 400, 429, 409, 403: of two reasons the first. guard: propose in dispatcher/git/propose.c, answer in dispatcher/core_role/propose.c
is "parity_C5 without a token: 401" "$(curl -s -o /dev/null -w '%{http_code}' -d "$small" "$TCP/dispatch")" 401
head -c 1100000 /dev/zero | tr '\0' x >"$WORK/large"
is "parity_C5 a body over 1 MiB: 413" "$(ask @"$WORK/large") $(answer .error)" '413 the body is over 1 MiB'
while IFS='|' read -r what body regex; do
	is "parity_C3 $what: 400" "$(ask "$body")" 400
	like "$what: says so" "$(answer .error)" "$regex"
done <<'EOT'
no JSON|{|^the body: 
no object|[]|^the body: must be an object
task_id|{"task_id": "a b", "repo": "o/r", "prompt": "p"}|^task_id: must be letters
no repo|{"prompt": "p"}|^repo: is required
repo|{"repo": "o/r/x", "prompt": "p"}|^repo: must be owner/name
branch|{"repo": "o/r", "prompt": "p", "branch": "a..b"}|^branch: must be a branch
model|{"repo": "o/r", "prompt": "p", "model": "-x"}|^model: 
an unknown field|{"repo": "o/r", "prompt": "p", "promt": "p"}|^promt: unknown key
no context|{"formula": "hello", "secrets": []}|^context: is required
an id that is none|{"id": "A.b", "formula": "hello", "context": "c", "secrets": []}|^id: must be a-z
an unknown formula|{"formula": "none", "context": "c", "secrets": []}|vault/formulas/none\.yaml
an unknown secret|{"formula": "hello", "context": "c", "secrets": ["NONE"]}|vault/secrets/NONE\.age
EOT
is "parity_C5 400 comes before 403" "$(ask '{"formula": "none", "context": "c", "secrets": [], "inputs": {"repo": "org/other"}}') $(answer '[.error | test("none.yaml")] | @csv')" '400 true'
is "parity_C12 a repository that is not allowed: 403" "$(ask "$(task t '{"repo": "org/other"}')") $(answer .repo)" '403 org/other'
is "nothing was proposed by any of these" "$(proposals)" 0

# A task
is "parity_C4 a task is proposed" "$(ask "$(task 'Mend.It 1' | jq '.task_id = "Mend.It_1"')") $(answer '[.task_id, .status, .repo, .url] | @tsv')" \
	$'202 Mend.It_1\tproposed\torg/app\thttps://forge.example/org/ops/pulls/1'
id=$(answer .id)
like "the action's id is made of the task's" "$id" '^mend-it_1-[0-9a-f]{8}$'
action=$(on_server show "vault/$id:vault/actions/$id.json")
is "the action is a full-loop" "$(jq -c '[.formula, .inputs.repo, .inputs.prompt, .inputs.task_id]' <<<"$action")" '["full-loop","org/app","Mend it.","Mend.It_1"]'
is "with the secrets that the formula names" "$(jq -c .secrets <<<"$action")" '["MODEL_KEY","FORGE_TOKEN"]'
pull=$(forge_api human GET /pulls/1)
is "parity_E8 its request" "$(jq -r '[.title, .user.login, .head.ref, .base.ref] | @tsv' <<<"$pull")" "vault: $id	bot	vault/$id	main"
like "tells the risk" "$(jq -r .body <<<"$pull")" 'tier +high'
is "has labels" "$(forge_api human GET /labels | jq -r '[.[].name] | sort | join(",")')" 'tier: high,vault'
is "parity_E8 the same again is the same request" "$(ask "$(task Mend.It_1)") $(answer '[.status, .url] | @tsv')" $'202 proposed\thttps://forge.example/org/ops/pulls/1'
is "parity_C5 the same id with another content: 409" "$(ask "$(task Mend.It_1 '{"prompt": "Break it."}')") $(answer .task_id)" '409 Mend.It_1'
is "parity_C5 409 comes before 403" "$(ask "$(task Mend.It_1 '{"repo": "org/other"}')") $(answer .task_id)" '409 Mend.It_1'
is "parity_C5 400 comes before 409" "$(ask "$(jq --arg id "$id" '.id = $id | .formula = "none"' <<<"$small")")" 400
is "a task without a name gets one" "$(ask "$(task x | jq 'del(.task_id)')")" 202
like "parity_C4 of dispatch- and 8 hex digits" "$(answer .task_id)" '^dispatch-[0-9a-f]{8}$'

# An action, by many at once
ask_many() { # N: the codes, of N requests at once with the bodies that `body N` gives
	local i children=()
	rm -f "$WORK"/many.* "$WORK"/code.*
	for ((i = 1; i <= $1; i++)); do
		curl -s -o "$WORK/many.$i" -w '%{http_code}\n' --max-time 120 -H "Authorization: Bearer $agent" -d "$(body "$i")" "$TCP/dispatch" >"$WORK/code.$i" &
		children+=($!)
	done
	wait "${children[@]}"
	cat "$WORK"/code.* | sort | uniq -c | sed 's/^ *//'
}
body() { jq '.id = "greet"' <<<"$small"; }
codes=$(ask_many 5)
refute "equal requests at once: each is proposed, found, or told of the other" grep -qvE ' (202|409)$' <<<"$codes"
is "equal requests at once: one proposal" "$(on_server for-each-ref refs/heads/vault/greet | wc -l) $(forge_api human GET '/pulls?state=open' | jq '[.[] | select(.head.ref == "vault/greet")] | length')" '1 1'
is "its url is everybody's" "$(jq -r 'select(.url) | .url' "$WORK"/many.* | sort -u)" 'https://forge.example/org/ops/pulls/3'

# What policy lets land at once, as long as there is a slot
body() { jq --arg id "errand-$1" '.id = $id | .formula = "errand"' <<<"$small"; }
is "one slot: of three at once one lands" "$(ask_many 3)" $'1 202\n2 429'
is "it is dispatched, without a request" "$(jq -r 'select(.status) | [.status, .url] | @tsv' "$WORK"/many.*)" $'dispatched\t'
is "parity_C5 429 says how many" "$(jq -c 'select(.max) | [.active, .max]' "$WORK"/many.* | sort -u)" '[1,1]'
landed=$(jq -r 'select(.status == "dispatched") | .task_id' "$WORK"/many.*)
check "it is on the protected branch" on_server cat-file -e "main:vault/actions/$landed.json"
wait_for eval 'api /actions/$landed'
like "and waits for an engine" "$(api "/actions/$landed" | jq -r .state)" '^(waiting|queued)$'
errand() { # ID [JQ-FILTER]
	jq --arg id "$1" ".id = \$id | .formula = \"errand\" | ${2:-.}" <<<"$small"
}
objects() { # in the dispatcher's clone
	git -C "$SPOOL/ops.git" count-objects -v | awk '/^(count|in-pack):/ { n += $2 } END { print n }'
}
before=$(objects)
is "parity_C5 429 comes before 409" "$(ask "$(errand "$landed")") $(answer '[.active, .max] | @tsv')" $'429 1\t1'
is "parity_C5 429 comes before 403" "$(ask "$(errand other '.inputs.repo = "org/other"')") $(answer .max)" '429 1'
is "parity_C5 400 comes before 429" "$(ask "$(errand other '.secrets = ["NONE"]')")" 400
is "parity_C5 400 comes before 409 of what has landed" "$(ask "$(errand "$landed" '.secrets = ["NONE"]')")" 400
is "what has landed is taken" "$(ask "$(jq --arg id "$landed" '.id = $id' <<<"$small")") $(answer .task_id)" "409 $landed"
is "what is refused leaves no objects" "$(objects)" "$before"
is "the rest was not proposed either" "$(proposals)" 3

is "status says where commits are looked at" "$(api /status | jq -r .commit_url)" "$FORGE/org/ops/commit/"

# What waits for approval
pending() { # ID JQ-FILTER
	api /pending | jq -r --arg id "$1" ".pending[] | select(.id == \$id) | $2"
}
is "pending: those that were proposed" "$(api /pending | jq -r '[.total, (.pending | length)] | @tsv')" $'3\t3'
is "pending: with tier and secrets" "$(pending "$id" '[.tier, .formula, (.secrets | join(","))] | @tsv')" $'high\tfull-loop\tMODEL_KEY,FORGE_TOKEN'
is "pending: with a link" "$(pending "$id" '[.pull.number, .pull.url, .pull.author] | @tsv')" $'1\thttps://forge.example/org/ops/pulls/1\tbot'
is "pending: who may only propose does not read it" "$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $agent" "$TCP/pending")" 403
git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B by-hand origin/main
action by-hand hello
sed -i 's/hello/goodbye/' "$OPS/vault/formulas/hello.yaml"
commit 'by hand' && git -C "$OPS" push -q origin HEAD:vault/by-hand
wait_for eval '[ -n "$(pending by-hand .id)" ]'
like "pending: what can't be approved says why" "$(pending by-hand .problem)" 'changes vault/formulas/hello\.yaml too'
git -C "$OPS" checkout -q -B by-weight origin/main
action by-weight hello && head -c 10000000 /dev/urandom >"$OPS/weight"
commit 'by weight' && git -C "$OPS" push -q origin HEAD:vault/by-weight
wait_for eval '[ -n "$(pending by-weight .id)" ]'
like "pending: what is too large is not fetched" "$(pending by-weight .problem)" 'more than 8388608 bytes'
tree=$(printf 'x' | on_server hash-object -w --stdin)
tree=$(for i in {0..9}; do printf '100644 blob %s\tf%s\n' "$tree" "$i"; done | on_server mktree)
for _ in {1..12}; do tree=$(for i in {0..9}; do printf '040000 tree %s\td%s\n' "$tree" "$i"; done | on_server mktree); done
tree=$({ on_server ls-tree main; printf '040000 tree %s\tzz\n' "$tree"; } | on_server mktree)
on_server update-ref refs/heads/vault/bomb "$(on_server commit-tree -p main -m bomb "$tree")"
check "pending: a tree that no walk comes to the end of" wait_for eval '[ -n "$(pending bomb .id)" ]'
like "pending: a tree that no walk comes to the end of says why" "$(pending bomb .problem)" 'the branch changes zz too'
on_server update-ref -d refs/heads/vault/bomb
wait_for eval '[ -z "$(pending bomb .id)" ]'
is "pending: the others are looked at all the same" "$(pending greet .problem)" null
body() { jq --arg id "more-$1" '.id = $id' <<<"$small"; }
is "max_pending: one more may wait" "$(ask_many 4)" $'1 202\n3 429'
is "max_pending: 429 says how many" "$(jq -c 'select(.max) | .max' "$WORK"/many.* | sort -u)" 6
like "max_pending: what waits already is found" "$(ask "$(task Mend.It_1)")" 202
is "parity_C5 400 comes before 429 of max_pending" "$(ask "$(jq '.formula = "none"' <<<"$small")")" 400
is "parity_C5 429 of max_pending comes before 409" "$(ask "$(jq --arg id "$landed" '.id = $id' <<<"$small")") $(answer '[.active, .max] | @tsv')" $'429 6\t6'
is "parity_C5 429 of max_pending comes before 403" "$(ask "$(task new '{"repo": "org/other"}')")" 429
is "what waits already has its 409" "$(ask "$(task Mend.It_1 '{"prompt": "Break it."}')")" 409
restart 's/^capacity: .*/capacity: 2/'
wait_for eval '[ "$(api /pending | jq .total)" = 6 ]'
is "max_pending: what lands at once needs no room there" "$(ask "$(errand errand-9)") $(answer .status)" '202 dispatched'
wait_for eval 'api /actions/errand-9'
restart 's/^capacity: .*/capacity: 1/'
wait_for eval '[ "$(api /pending | jq .total)" = 6 ]'

# Taken back
is "withdraw: by the task's name" "$(api -X DELETE /workers/Mend.It_1 | jq -r '[.status, .task_id] | @tsv')" $'withdrawn\tMend.It_1'
refute "withdraw: its branch is gone" on_server show-ref -q --verify "refs/heads/vault/$id"
is "withdraw: its request is closed, and not merged" "$(forge_api human GET /pulls/1 | jq -r '[.state, .merged] | @tsv')" $'closed\tfalse'
is "withdraw: it waits no more" "$(pending "$id" .id)" ''
for branch in by-hand by-weight; do on_server update-ref -d "refs/heads/vault/$branch"; done
wait_for eval '[ "$(api /pending | jq .total)" = 3 ]'
number=$(pending greet .pull.number)
forge_api human POST "/pulls/$number/merge" '{"Do": "merge"}' >/dev/null
check "what has landed waits no more" wait_for eval '[ -z "$(pending greet .id)" ]'

# What the ledger has is taken, though nothing of it stands on the branch
xx=$(printf taken | sha256sum | cut -c1-2)
git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B ledger origin/disinto-ledger && mkdir -p "$OPS/claims/$xx"
jq -n --arg action "$(on_server rev-parse main:vault/policy.yaml)" --argjson now "$(date +%s)" \
	'{dispatcher: "d2", incarnation: "life", nonce: "nonce", action: $action, attempt: 1, time: $now, deadline: ($now + 3600)}' >"$OPS/claims/$xx/taken.json"
commit 'ledger: another dispatcher' && git -C "$OPS" push -q origin HEAD:disinto-ledger
git -C "$OPS" checkout -q -B main origin/main
action later hello && commit later && push
wait_for eval 'api /actions/later'
is "an id that the ledger has" "$(ask "$(jq '.id = "taken"' <<<"$small")")" 409
like "an id that the ledger has: says so" "$(answer .error)" 'ledger'

# A git role that hangs, and dies
kill -STOP "$(role git)"
reserved() { # ID: a request that may not pass takes no place, and hears whether there is one
	[ "$(ask "$(jq --arg id "$1" '.id = $id | .inputs.repo = "org/other"' <<<"$small")" -o "$WORK/reserved")" = 409 ]
}
ask "$(jq '.id = "late"' <<<"$small")" >/dev/null &
gone=$!
wait_for reserved late
pkill -P "$gone" curl && wait "$gone" 2>/dev/null
check "a client that has gone: its place is kept until git answers" reserved late
ask "$(jq '.id = "late-2"' <<<"$small")" >"$WORK/code" &
waiting=$!
wait_for reserved late-2
kill -KILL "$(role git)"
wait "$waiting"
is "the git role dies: whoever waited hears of it" "$(cat "$WORK/code")" 502
wait_for eval '[ "$(api /status | jq -r .roles.git)" = up ]'
wait_for eval '[ "$(ask "$(jq ".id = \"late\"" <<<"$small")")" = 202 ]'
is "whoever went away finds the place free" "$(answer .status)" proposed
is "its request has a link" "$(pending late .pull.url)" "$(answer .url)"
is "a client that has gone: its proposal is made all the same, once" "$(on_server for-each-ref refs/heads/vault/late | wc -l)" 1

# A forge that is down
restart "s|forge_url: .*|forge_url: http://127.0.0.1:9|"
is "the forge is down: 502" "$(ask "$(jq '.id = "greet-2"' <<<"$small")") $(answer .task_id)" '502 greet-2'
like "the forge is down: what to do" "$(answer .error)" 'propose the same again'
check "the forge is down: the branch is there" on_server show-ref -q --verify refs/heads/vault/greet-2

# A git server that does not answer in time, as a dispatcher sees it that waits 300 ms instead of a minute
PATH=$(cd "$ROOT" && realpath "${SAN:-build/gcc/san}")/bin:$PATH DISINTO_TEST_ASKING_MS=300 ASAN_OPTIONS=detect_leaks=0 restart ''
kill -STOP "$(role git)"
is "the git role does not answer: 504" "$(ask "$(task slow)") $(answer .task_id)" '504 slow'
kill -CONT "$(role git)"
check "the git role answers too late: its proposal stands all the same" wait_for eval '[ "$(api /pending | jq -r ".pending[].id" | grep -c "^slow-")" = 1 ]'

# Results are told on the forge, once it is there, and once each
wrong() { # ID: lands an action that is refused, by a request; sets $number and $merge
	git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B "wrong" origin/main
	action "$1" hello '{"timeout_minutes": "many"}'
	commit "$1" && git -C "$OPS" push -qf origin "HEAD:wrong-$1"
	number=$(forge_api agent POST /pulls "{\"head\": \"wrong-$1\", \"base\": \"main\", \"title\": \"$1\", \"body\": \"\"}" | jq .number)
	forge_api human POST "/pulls/$number/merge" '{"Do": "merge"}' >/dev/null
	merge=$(forge_api human GET "/pulls/$number" | jq -r .merge_commit_sha)
	finished "$1"
}
comments() { # NUMBER
	forge_api human GET "/issues/$1/comments" | jq length
}
wrong wrong-1
check "the forge is down: status says that a result waits to be told" wait_for eval '[ "$(api /status | jq -c "[.reports.ok, .reports.waiting]")" = "[false,1]" ]'
wait_for is_state wrong-1 finished
restart "s|forge_url: .*|forge_url: $FORGE|"
check "the forge is back after a restart: the result is told" wait_for eval '[ "$(comments $number)" = 1 ]'
comment=$(forge_api human GET "/issues/$number/comments" | jq -r '.[0] | [.user.login, .body] | @tsv')
like "by the dispatcher's account, with outcome and reason" "$comment" '^bot.*refused.*timeout_minutes'
check "and is the status of the merge" wait_for eval '[ "$(forge_api human GET /statuses/$merge | jq length)" = 1 ]'
is "with its name and state" "$(forge_api human GET "/statuses/$merge" | jq -r '.[0] | [.context, .state] | @tsv')" $'disinto/wrong-1\terror'
like "and why" "$(forge_api human GET "/statuses/$merge" | jq -r '.[0].description')" '^refused: .*timeout_minutes'
first=$number
restart '$a report_results: false'
wrong wrong-2
silent=$number
restart 's/^report_results: .*//'
wrong wrong-3
wait_for eval '[ "$(forge_api human GET /statuses/$merge | jq length)" = 1 ]'
is "report_results: false tells nothing, and nothing is told twice" "$(comments "$silent") $(comments "$first") $(comments "$number")" '0 1 1'
forge_stop
