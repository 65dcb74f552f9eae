#!/bin/bash
# Every command of the command line, as people use it: one story from `init` to `secrets remove`.
. "$(dirname "$0")/lib.sh"

engine_start
rm -rf "$WORK/site"

# init
output=$(disinto init "$WORK/site" 2>&1)
is "init: exit code" $? 0
like "init: says what to do next" "$output" 'disinto-dispatcher'
for part in ops.git dispatcher.yaml identity.age spool; do check "init: makes $part" [ -e "$WORK/site/$part" ]; done
is "init: the identity is its owner's alone" "$(stat -c %a "$WORK/site/identity.age")" 400
SERVER=$WORK/site/ops.git
is "init: the skeleton" "$(git -C "$SERVER" ls-tree -r --name-only main | sort | tr '\n' ' ')" \
	"vault/actions/.gitkeep $(cd "$ROOT/templates" && printf 'vault/%s ' formulas/*)vault/policy.yaml vault/recipients.txt vault/secrets/.gitkeep "
output=$(disinto init "$WORK/site" 2>&1)
is "init: twice is an error" $? 1
like "init: and says why" "$output" "^disinto: .*is there already"
echo "docker_host: unix://$SOCKET" >>"$CONFIG"
echo "poll_seconds: 1" >>"$CONFIG"
check "init: the configuration is right" disinto-dispatcher --config "$CONFIG" --check
cd "$WORK/site" || exit 1 # ./dispatcher.yaml is found

# init --ops-repo
git init -q --bare "$WORK/repos/existing.git"
git clone -q "$WORK/repos/existing.git" "$WORK/existing" 2>/dev/null
echo mine >"$WORK/existing/README" && git -C "$WORK/existing" add -A && git -C "$WORK/existing" commit -qm mine && git -C "$WORK/existing" push -q origin HEAD:main
check "init --ops-repo" disinto init "$WORK/second" --ops-repo "$WORK/repos/existing.git"
is "init --ops-repo: adds what is missing, keeps the rest" "$(git -C "$WORK/repos/existing.git" ls-tree -r --name-only main | sort | head -n 2 | tr '\n' ' ')" \
	'README vault/actions/.gitkeep '
refute "init --ops-repo: makes no ops.git" [ -e "$WORK/second/ops.git" ]

# secrets
printf 'the first value' | disinto secrets add --land FIRST >/dev/null
is "secrets add: from standard input" $? 0
is "secrets show" "$(disinto secrets show FIRST)" 'the first value'
is "secrets add: one age file" "$(git -C "$SERVER" show main:vault/secrets/FIRST.age | age -d -i identity.age)" 'the first value'
printf 'another value' | disinto secrets add --land FIRST >/dev/null 2>&1 </dev/null
refute "secrets add: does not replace without -f" [ $? = 0 ]
printf 'another value' | disinto secrets add --land -f FIRST >/dev/null
is "secrets add -f: replaces" "$(disinto secrets show FIRST)" 'another value'
printf '' | disinto secrets add --land EMPTY >/dev/null 2>"$WORK/errors"
is "secrets add: an empty value is refused" $? 1
like "secrets add: and named" "$(cat "$WORK/errors")" '^disinto: .*empty'
printf 'long enough' | disinto secrets add --land lower >/dev/null 2>"$WORK/errors"
refute "secrets add: a bad name is refused" [ $? = 0 ]
like "secrets add: with what is allowed" "$(cat "$WORK/errors")" 'A-Z'
output=$(printf 'without a forge' | disinto secrets add DIRECT 2>&1)
like "secrets add: where no forge could review it, it lands, and says so" "$output" 'DIRECT.*landed on main'
check "secrets add: it did" git -C "$SERVER" cat-file -e main:vault/secrets/DIRECT.age
disinto secrets remove DIRECT 2>/dev/null
like "secrets list" "$(disinto secrets list)" '^FIRST '
is "secrets list --json" "$(disinto secrets list --json | jq -r '.. | .name? // empty')" FIRST
refute "secrets list: shows no value" grep -q 'another value' <(disinto secrets list --json)
output=$(disinto secrets keygen "$WORK/another.age" 2>&1)
is "secrets keygen: its recipient is printed" "$(grep -o 'age1[a-z0-9]*' <<<"$output")" "$(age-keygen -y "$WORK/another.age")"
is "secrets keygen: mode" "$(stat -c %a "$WORK/another.age")" 400
is "secrets keygen --json" "$(cd "$WORK" && disinto secrets keygen --json third.age | jq -r '[.file, .recipient] | @tsv')" \
	"third.age	$(age-keygen -y "$WORK/third.age")"
refute "secrets keygen: does not overwrite" disinto secrets keygen "$WORK/another.age" 2>/dev/null
disinto secrets show ABSENT >/dev/null 2>"$WORK/errors"
is "secrets show: an unknown one" $? 1
like "secrets show: it is named" "$(cat "$WORK/errors")" '^disinto: .*ABSENT'

# propose
output=$(disinto propose --id cli-1 --formula hello --context 'A first run' --secret FIRST --input name=you 2>&1)
is "propose: exit code" $? 0
like "propose: prints the risk" "$output" 'FIRST'
check "propose: makes its branch" git -C "$SERVER" cat-file -e vault/cli-1:vault/actions/cli-1.json
refute "propose: nothing lands" git -C "$SERVER" cat-file -e main:vault/actions/cli-1.json 2>/dev/null
before=$(git -C "$SERVER" rev-parse vault/cli-1)
check "propose: again is nothing new" disinto propose --id cli-1 --formula hello --context 'A first run' --secret FIRST --input name=you >/dev/null
is "propose: the same branch" "$(git -C "$SERVER" rev-parse vault/cli-1)" "$before"
disinto propose --id bad-1 --formula hello --context '' >/dev/null 2>"$WORK/errors"
refute "propose: a bad action is refused" [ $? = 0 ]
like "propose: the key is named" "$(cat "$WORK/errors")" 'context'
echo '{"id": "cli-2", "formula": "hello", "context": "from a file", "secrets": []}' >"$WORK/cli-2.json"
check "propose: from a file" disinto propose "$WORK/cli-2.json" >/dev/null

# pending, validate
is "pending" "$(disinto pending --json | jq -r '.. | .id? // empty' | sort | tr '\n' ' ')" 'cli-1 cli-2 '
like "pending: for people" "$(disinto pending)" 'cli-1.*hello'
check "validate: a good one" disinto validate "$WORK/cli-2.json" >/dev/null
echo '{"id": "cli-3", "formula": "hello", "context": "c", "secrets": [], "extra": 1}' >"$WORK/cli-3.json"
output=$(disinto validate "$WORK/cli-2.json" "$WORK/cli-3.json" 2>&1)
is "validate: a finding is 1" $? 1
like "validate: file and key" "$output" 'cli-3\.json.*extra'

# approve
check "approve" disinto approve cli-1 >/dev/null
is "approve: a merge commit" "$(git -C "$SERVER" rev-list --parents -n 1 main | wc -w)" 3
is "approve: of that branch" "$(git -C "$SERVER" rev-parse main^2)" "$before"
is "approve: by me" "$(git -C "$SERVER" log -1 --format=%ae main)" person@example
is "pending: it is not any more" "$(disinto pending --json | jq -r '.. | .id? // empty')" cli-2
refute "approve: an unknown one" disinto approve nobody 2>/dev/null

# What works without a dispatcher, and what says that there is none.
like "list: without a dispatcher" "$(disinto list)" 'cli-1'
output=$(disinto status 2>&1)
refute "status: without a dispatcher" [ $? = 0 ]
like "status: says that there is none" "$output" 'dispatcher'

# status, list, show, logs with a dispatcher
dispatcher_start
finished cli-1
like "status" "$(disinto status)" '[Ee]ngine'
is "status --json" "$(disinto status --json | jq -r '.engine.ok')" true
is "list --json" "$(disinto list --json | jq -c '[.. | objects | select(.id? == "cli-1") | .state, .outcome]')" '["finished","succeeded"]'
like "list" "$(disinto list)" 'cli-1 +finished.*succeeded'
is "list --state" "$(disinto list --state running --json | jq -r '.. | .id? // empty')" ''
like "show" "$(disinto show cli-1)" 'succeeded'
is "show --json: the whole result" "$(disinto show --json cli-1 | jq -r '.result.commit')" "$(field cli-1 .commit)"
is "logs" "$(disinto logs cli-1 | sha256sum)" "$(sha256sum <spool/runs/cli-1/log)"
is "logs -n" "$(disinto logs -n 1 cli-1)" "$(tail -n 1 spool/runs/cli-1/log)"
refute "logs: an unknown action" disinto logs nobody 2>/dev/null
refute "show: an unknown action" disinto show nobody 2>/dev/null
refute "no secret in any of it" grep -q 'another value' <(disinto logs cli-1 && disinto show cli-1 && disinto status && disinto list)

# logs -f follows from the first byte until the end.
git clone -q "$SERVER" "$OPS"
gated_formula gated
action followed gated
land
at_gate followed
disinto logs -f followed >"$WORK/followed" &
CHILDREN+=($!)
follower=$!
wait_for grep -q '^begin' "$WORK/followed"
open_gate followed
wait $follower
is "logs -f: ends with the run" $? 0
is "logs -f: the whole log" "$(sha256sum <"$WORK/followed")" "$(sha256sum <spool/runs/followed/log)"

# cancel
action to-cancel gated
land
at_gate to-cancel
is "cancel --json" "$(disinto cancel --json to-cancel | jq -r '[.status, .task_id] | @tsv')" "cancelling	to-cancel"
finished to-cancel
is "cancel: the outcome" "$(field to-cancel '[.outcome, .exit_code] | @json')" '["cancelled",130]'
refute "cancel: a finished one" disinto cancel to-cancel 2>/dev/null
dispatcher_stop
is "verify: all of it holds" "$(disinto verify 2>/dev/null)" '3 actions, 3 results, 0 findings'
like "logs: kept without a dispatcher" "$(disinto logs cli-1)" '^Hello, you\.$'

# logs -f waits for a dispatcher that is not up yet, and for one that has not seen yet what has landed. guard: watch_find in cli/watch.c
action early hello '{"inputs": {"name": "early"}}'
land
disinto logs -f early >"$WORK/early" 2>"$WORK/errors" &
CHILDREN+=($!)
follower=$!
check "logs -f: says that no dispatcher answers" wait_for grep -q 'early: the dispatcher does not answer; waiting' "$WORK/errors"
dispatcher_start
wait $follower
is "logs -f: goes on when one does" "$? $(head -n 1 "$WORK/early")" '0 Hello, early.'
action soon hello '{"inputs": {"name": "soon"}}'
land
is "logs -f: of what has landed this moment" "$(disinto logs -f soon 2>/dev/null | head -n 1)" 'Hello, soon.'
refute "logs -f: not of what is not there" disinto logs -f nobody 2>"$WORK/errors"
like "logs -f: which is said" "$(cat "$WORK/errors")" 'no such landed action'
mkdir "$WORK/nowhere" # a home without git's settings. guard: guess in cli/author.c
output=$(HOME=$WORK/nowhere disinto propose --id asked --formula hello --context 'Please' 2>&1)
is "propose: by whom git does not know" $? 0
like "propose: which is said" "$output" "git does not know who you are: the author is .* <$(id -un)@$(hostname)>; say it once with: git config"
is "propose: and so it is" "$(git -C "$SERVER" log -1 --format=%ae vault/asked)" "$(id -un)@$(hostname)"
refute "logs -f: not of what is only proposed" disinto logs -f asked >/dev/null 2>&1
dispatcher_stop

# remove
check "secrets remove" disinto secrets remove --land FIRST >/dev/null
refute "secrets remove: it is gone" git -C "$SERVER" cat-file -e main:vault/secrets/FIRST.age 2>/dev/null

# Every command helps itself.
disinto help >"$WORK/help"
is "help: exit code" $? 0
for command in init 'secrets add' 'secrets show' 'secrets list' 'secrets remove' 'secrets keygen' propose pending approve validate verify run list show logs cancel status; do
	# shellcheck disable=SC2086 # a command of two words
	output=$(disinto $command --help 2>&1)
	is "$command --help: exit code" $? 0
	like "$command --help: an example" "$output" "disinto $command"
	like "help: lists $command" "$(cat "$WORK/help")" "^ +($command|${command#secrets })"
done
disinto no-such-command >/dev/null 2>"$WORK/errors"
is "an unknown command is 2" $? 2
like "an unknown command is named" "$(cat "$WORK/errors")" '^disinto: .*no-such-command'
disinto list --no-such-option >/dev/null 2>&1
is "an unknown option is 2" $? 2
