#!/bin/bash
# propose, pending, approve, validate: what is refused, what is told, what exactly lands. Needs neither dispatcher nor engine.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
rm -rf "$WORK/site"
disinto init "$WORK/site" >/dev/null || bail "init"
cd "$WORK/site" || exit 1
SERVER=$WORK/site/ops.git
OPS=$WORK/ops
git clone -q "$SERVER" "$OPS"
printf 'a secret value' | disinto secrets add TOKEN 2>/dev/null
printf 'another secret' | disinto secrets add OTHER 2>/dev/null

on_server() { git -C "$SERVER" "$@"; }
says() { # EXPECTED-CODE WHAT REGEX COMMAND…: of a command that fails, with its message
	local expected=$1 what=$2 regex=$3
	shift 3
	"$@" >/dev/null 2>"$WORK/errors" </dev/null
	is "$what: exit code" $? "$expected"
	like "$what: message" "$(cat "$WORK/errors")" "^disinto: .*$regex"
}

# propose
output=$(disinto propose --id deploy-1 --formula hello --context $'Line one\nline two' --secret TOKEN --input name=you --tool sh --timeout 7)
is "propose: exit code" $? 0
for part in 'action +deploy-1' 'context +Line one' '^ +line two' 'formula +hello' 'image +disinto/runner' 'tier +high' 'secrets +TOKEN .not listed by policy' \
	'inputs +name=you' 'tools +sh' 'mounts +none' 'network +none' '512 MiB memory.* 7 minutes' 'disinto approve deploy-1'; do
	like "propose: tells $part" "$output" "$part"
done
is "propose: the file" "$(on_server show vault/deploy-1:vault/actions/deploy-1.json | jq -cS .)" \
	'{"context":"Line one\nline two","formula":"hello","id":"deploy-1","inputs":{"name":"you"},"secrets":["TOKEN"],"timeout_minutes":7,"tools":["sh"]}'
is "propose: nothing else is on the branch" "$(on_server diff --name-only main vault/deploy-1)" vault/actions/deploy-1.json
is "propose: its title" "$(on_server log -1 --format=%s vault/deploy-1)" 'vault: deploy-1'
like "propose: its body" "$(on_server log -1 --format=%b vault/deploy-1)" 'Secrets: TOKEN'
is "propose: main is as it was" "$(on_server ls-tree main vault/actions/ | wc -l)" 1
head=$(on_server rev-parse vault/deploy-1)
on_server show vault/deploy-1:vault/actions/deploy-1.json >"$WORK/same.json"
check "propose: the same bytes again" disinto propose "$WORK/same.json" >/dev/null
is "propose --json: again is 'exists'" "$(disinto propose --json "$WORK/same.json" | jq -r '[.status, .commit] | @tsv')" "exists	$head"
is "propose: the branch is the same" "$(on_server rev-parse vault/deploy-1)" "$head"
jq '.context = "changed"' "$WORK/same.json" >"$WORK/other.json"
says 1 'propose: other bytes under that id' 'deploy-1 .*other content' disinto propose "$WORK/other.json"
is "propose: from standard input" "$(jq '.id = "piped-1"' "$WORK/same.json" | disinto propose --json - | jq -r .status)" proposed
says 1 'propose: no such formula' 'formulas/absent\.yaml' disinto propose --id x1 --formula absent --context c
says 1 'propose: no such secret' 'secrets/ABSENT\.age' disinto propose --id x1 --formula hello --context c -s ABSENT
says 1 'propose: an empty context' 'context' disinto propose --id x1 --formula hello --context ''
says 1 'propose: a bad id' 'id' disinto propose --id 'X 1' --formula hello --context c
says 1 'propose: a bad tier' 'blast_radius' disinto propose --id x1 --formula hello --context c --blast-radius huge
says 2 'propose: an input without =' 'KEY=VALUE' disinto propose --id x1 --formula hello --context c --input name
says 2 'propose: an input given twice' 'given twice' disinto propose --id x1 --formula hello --context c -i a=1 -i a=2
for option in --context --secret --input --tool; do
	says 2 "propose: $option that is no text" "$option: invalid UTF-8 at byte 2" \
		disinto propose --id x1 --formula hello --context c $option $'a=\xff'
done
says 2 'propose: no formula' '--formula' disinto propose --id x1 --context c
says 2 'propose: a bad timeout' '1 to 1440' disinto propose --id x1 --formula hello --context c --timeout 2000
says 2 'propose: flags beside a file' "--id can't be given beside" disinto propose "$WORK/same.json" --id x1
echo '{"id": "x1", "formula": "hello", "context": "c", "secrets": [], "colour": "red"}' >"$WORK/bad.json"
says 1 'propose: an unknown key' 'colour' disinto propose "$WORK/bad.json"
says 1 'propose: a file that is not there' 'nothing\.json' disinto propose "$WORK/nothing.json"
refute "propose: refusals pushed nothing" on_server rev-parse -q --verify vault/x1 >/dev/null
like "propose: says what the site lacks" "$(disinto propose --id mounted-1 --formula hello --context c --mount ssh)" 'waits for +mount ssh'

# An id can be pushed by many at once: one branch comes of it.
racers=()
for _ in 1 2 3 4; do
	disinto propose --id raced --formula hello --context 'at once' >/dev/null 2>&1 &
	racers+=($!)
done
failed=0
for child in "${racers[@]}"; do wait "$child" || failed=$((failed + 1)); done
is "propose: four at once all succeed" $failed 0

# pending
is "pending --json" "$(disinto pending --json | jq -r '.[].id' | sort | tr '\n' ' ')" 'deploy-1 mounted-1 piped-1 raced '
like "pending: a table" "$(disinto pending)" '^deploy-1 +hello +TOKEN +Test Person +[0-9a-f]{10} +Line one line two$'
is "list: shows them too" "$(disinto list --state pending --json | jq -r length)" 4

# approve
says 1 'approve: not the head that was looked at' 'holds' disinto approve --head 0123456789 deploy-1
says 1 'approve: an unknown one' 'no proposal' disinto approve nobody
says 2 'approve: not an id' 'no id' disinto approve ../x
output=$(disinto approve --head "${head:0:10}" deploy-1)
is "approve: exit code" $? 0
like "approve: shows what was approved" "$output" 'secrets +TOKEN'
is "approve: parents are the old tip and the branch" "$(on_server log -1 --format=%P main | cut -d' ' -f2)" "$head"
is "approve: the message" "$(on_server log -1 --format=%B main)" \
	"Approve deploy-1

Disinto-Approve: deploy-1 $(on_server rev-parse main:vault/actions/deploy-1.json)"
is "approve: the very bytes" "$(on_server rev-parse main:vault/actions/deploy-1.json)" "$(on_server rev-parse "$head:vault/actions/deploy-1.json")"
is "approve: changed one file" "$(on_server diff --name-only main^1 main)" vault/actions/deploy-1.json
says 1 'approve: twice' 'landed already' disinto approve deploy-1
says 1 'propose: after it landed' 'landed already' disinto propose "$WORK/same.json"
refute "pending: it is not any more" grep -q deploy-1 <(disinto pending)

# What no approval may cover. A branch is made by hand each time.
branch() { # ID, then lines of shell in the clone
	git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B "vault/$1" origin/main
	(cd "$OPS" && action "$1" hello && eval "$2")
	commit "evil" && git -C "$OPS" push -qf origin "vault/$1"
}
tip=$(on_server rev-parse main)
branch extra-formula 'echo "# more" >>vault/formulas/hello.yaml'
says 1 'approve: another file changes' 'vault/formulas/hello\.yaml' disinto approve extra-formula
branch extra-secret 'echo x >vault/secrets/NEW.age'
says 1 'approve: a secret comes along' 'vault/secrets/NEW\.age' disinto approve extra-secret
branch brings-result 'echo "{}" >vault/actions/brings-result.result.json'
says 1 'approve: it brings its own result' 'brings-result\.result\.json' disinto approve brings-result
branch two-actions 'action second hello'
says 1 'approve: two actions' 'vault/actions/second\.json' disinto approve two-actions
branch linked 'rm vault/actions/linked.json && ln -s deploy-1.json vault/actions/linked.json'
says 1 'approve: a symbolic link' 'plain file' disinto approve linked
branch executable 'chmod +x vault/actions/executable.json'
says 1 'approve: an executable' 'plain file' disinto approve executable
branch edits 'rm vault/actions/edits.json; echo " " >>vault/actions/deploy-1.json'
says 1 'approve: an edit of a landed action' 'deploy-1\.json' disinto approve edits
branch invalid 'echo "{\"id\": \"invalid\"}" >vault/actions/invalid.json'
says 1 'approve: an action that is wrong' 'invalid\.json.*formula' disinto approve invalid
branch misfiled 'sed s/misfiled/another/ -i vault/actions/misfiled.json'
says 1 'approve: an id that is not its name' 'misfiled\.json.*id' disinto approve misfiled
git -C "$OPS" checkout -q -B vault/empty origin/main && git -C "$OPS" commit -q --allow-empty -m nothing && git -C "$OPS" push -q origin vault/empty
says 1 'approve: a branch without an action' 'does not add' disinto approve empty
git -C "$OPS" checkout -q --orphan vault/stranger && git -C "$OPS" commit -qm stranger && git -C "$OPS" push -q origin vault/stranger
says 1 'approve: a foreign history' 'no history in common' disinto approve stranger
is "approve: refusals changed nothing" "$(on_server rev-parse main)" "$tip"
like "pending: tells what is wrong" "$(disinto pending)" '^linked .*INVALID: '

# A branch that is behind main, or was brought up to date by a merge, is fine.
git -C "$OPS" checkout -q -B vault/behind "$tip~1" && action behind hello && commit behind && git -C "$OPS" push -q origin vault/behind
is "approve --json" "$(disinto approve --json behind | jq -r '[.id, .status, .risk.formula, .commit, .action] | @tsv')" \
	"behind	landed	hello	$(on_server rev-parse main)	$(on_server rev-parse main:vault/actions/behind.json)"
is "approve: keeps what landed meanwhile" "$(on_server cat-file -t main:vault/actions/deploy-1.json)" blob
git -C "$OPS" checkout -q -B vault/merged "$tip" && action merged hello && commit merged && git -C "$OPS" fetch -q &&
	git -C "$OPS" merge -q --no-edit origin/main && git -C "$OPS" push -q origin vault/merged
check "approve: a branch that merged main" disinto approve merged >/dev/null

# An action that main removed again can't come back changed.
git -C "$OPS" checkout -q -B main origin/main && git -C "$OPS" pull -q && action recalled hello && commit recalled && push
git -C "$OPS" checkout -q -B vault/recalled && action recalled hello '{"context": "other"}' && commit changed && git -C "$OPS" push -q origin vault/recalled
git -C "$OPS" checkout -q main && git -C "$OPS" rm -q vault/actions/recalled.json && commit removed && push
says 1 'approve: an edit of what main removed' 'must be new' disinto approve recalled

# Text of an agent can't act on the terminal.
branch shiny 'jq ".context = \"a\\u001b]0;b\"" vault/actions/shiny.json >x; mv x vault/actions/shiny.json'
refute "pending: no control characters" grep -q $'\033' <(disinto pending)

# --land
says 1 'propose --land: checks all the same' 'absent' disinto propose --land --id landed-0 --formula absent --context c
check "propose --land" disinto propose --land --id landed-1 --formula hello --context c >/dev/null
check "propose --land: is on main" on_server cat-file -e main:vault/actions/landed-1.json
refute "propose --land: makes no branch" on_server rev-parse -q --verify vault/landed-1 >/dev/null

# An id whose result was there once stays taken.
git -C "$OPS" checkout -q -B main origin/main && git -C "$OPS" pull -q
action past hello && echo '{"id": "past", "outcome": "succeeded", "exit_code": 0}' >"$OPS/vault/actions/past.result.json"
commit past && push
says 1 'propose: a finished id' 'run already' disinto propose --id past --formula hello --context c
says 128 'run: a finished id' 'already ran' disinto run past
git -C "$OPS" rm -q vault/actions/past.json vault/actions/past.result.json && commit gone && push
says 1 'propose: a finished id whose result was removed' 'run already' disinto propose --id past --formula hello --context c

# validate
like "validate: the whole repo" "$(disinto validate)" 'ok +vault/actions/deploy-1\.json'
check "validate: nothing is wrong" disinto validate >/dev/null
git -C "$OPS" checkout -q -B main origin/main && git -C "$OPS" pull -q
echo '{"id": "wrong"}' >"$OPS/vault/actions/wrong.json"
printf 'name: bad\nsteps: no\n' >"$OPS/vault/formulas/bad.yaml"
echo x >"$OPS/vault/actions/Not.An.Id.json"
commit wrong && push
output=$(disinto validate)
is "validate: findings are 1" $? 1
like "validate: an action" "$output" '^bad +vault/actions/wrong\.json: '
like "validate: a formula" "$output" '^bad +vault/formulas/bad\.yaml: .*steps'
like "validate: a misnamed file" "$output" '^bad +vault/actions/Not\.An\.Id\.json: misnamed'
is "validate --json" "$(disinto validate --json | jq -c '[.[] | select(.ok | not) | .path] | sort')" \
	'["vault/actions/Not.An.Id.json","vault/actions/wrong.json","vault/formulas/bad.yaml"]'
# A branch of some kilobytes that unpacks to more than anybody needs: it alone is left out.
big=$(head -c 16777216 /dev/zero | on_server hash-object -w --stdin)
near=$(head -c 16777215 /dev/zero | on_server hash-object -w --stdin)
tree=$(printf '100644 blob %s\ta\n100644 blob %s\tb\n' "$big" "$near" | on_server mktree)
on_server update-ref refs/heads/vault/big-1 "$(on_server -c user.name=x -c user.email=x@x commit-tree -m big "$tree")"
on_server repack -qadf
action small-2 hello && commit small && git -C "$OPS" push -q origin HEAD:refs/heads/vault/small-2
is "pending: beside a branch that unpacks to much" "$(disinto pending --json 2>"$WORK/errors" | jq -r '.[] | select(.id == "small-2") | .id')" small-2
like "pending: that one is named" "$(cat "$WORK/errors")" 'vault/big-1 can.t be fetched: .*overly large object'

# A name that is no text does not take the whole proposal out of sight.
blob=$(echo '{}' | on_server hash-object -w --stdin)
on_server read-tree --index-output="$WORK/raw.index" main
GIT_INDEX_FILE=$WORK/raw.index on_server update-index --add --cacheinfo 100644 "$blob" $'vault/actions/x\377.json'
tree=$(GIT_INDEX_FILE=$WORK/raw.index on_server write-tree)
on_server update-ref refs/heads/vault/raw-3 "$(on_server -c user.name=x -c user.email=x@x commit-tree -p main -m raw "$tree")"
like "pending: what is no text" "$(disinto pending --json 2>/dev/null | jq -r '.[] | select(.id == "raw-3") | .problem')" 'it holds what is no text'

cd "$OPS" || exit 1
is "validate: files of a checkout" "$(disinto validate vault/actions/deploy-1.json vault/formulas/hello.yaml | grep -v '^  ')" \
	$'ok   vault/actions/deploy-1.json\nok   vault/formulas/hello.yaml'
action asks hello '{"secrets": ["NOT_THERE"]}'
like "validate: a secret that the checkout lacks" "$(disinto validate vault/actions/asks.json)" 'secrets: there is no vault/secrets/NOT_THERE\.age'
action lost nowhere
like "validate: a formula that it lacks" "$(disinto validate vault/actions/lost.json)" 'formula: there is no vault/formulas/nowhere\.yaml'
cp vault/actions/deploy-1.json "$WORK/renamed.json"
like "validate: an id that is not its name" "$(disinto validate "$WORK/renamed.json")" '^bad +.*/renamed\.json: id'
refute "validate: a file that is not there" disinto validate absent.json >/dev/null
refute "validate: needs no configuration for files" grep -q dispatcher.yaml <(disinto validate vault/formulas/hello.yaml 2>&1)
