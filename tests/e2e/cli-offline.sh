#!/bin/bash
# What the command line does and says where no dispatcher runs, where the ops repo can't be reached, and where it is used wrongly.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
rm -rf "$WORK/site"
disinto init "$WORK/site" >/dev/null || bail "init"
SERVER=$WORK/site/ops.git
export DISINTO_CONFIG=$WORK/site/dispatcher.yaml

fails() { # EXPECTED-CODE WHAT REGEX COMMAND…
	local expected=$1 what=$2 regex=$3
	shift 3
	"$@" >"$WORK/out" 2>"$WORK/errors" </dev/null
	is "$what: exit code" $? "$expected"
	like "$what: message" "$(cat "$WORK/errors")" "$regex"
}

# Actions in all states that a repo can tell.
git clone -q "$SERVER" "$OPS"
action done-1 hello
cat >"$OPS/vault/actions/done-1.result.json" <<-'END'
	{"id": "done-1", "outcome": "failed", "exit_code": 3, "reason": "step a failed", "timestamp": "2026-03-31T10:00:04Z",
	 "started_at": "2026-03-31T10:00:01Z", "duration_ms": 2934, "attempt": 1, "logs": "one\ntwo\nthree\n"}
END
action waits-1 hello
echo 'no JSON' >"$OPS/vault/actions/odd-1.json"
echo '["no", "result"]' >"$OPS/vault/actions/odd-1.result.json"
commit states && push
disinto propose --id asked-1 --formula hello --context 'Please' >/dev/null

# list
is "list --json: states" "$(disinto list --json | jq -r '.[] | [.id, .state] | @tsv' | tr '\t\n' ': ')" \
	'waits-1:waiting asked-1:pending done-1:finished odd-1:finished '
like "list: a table" "$(disinto list)" '^done-1 +finished +failed +3 +hello +- +2026-03-31T10:00:04Z +step a failed$'
is "list --state" "$(disinto list --state waiting --json | jq -r '.[].id')" waits-1
fails 2 'list: a state that there is not' 'none of pending' disinto list --state asleep

# show
is "show --json: state and result" "$(disinto show --json done-1 | jq -c '[.state, .result.exit_code, .action.formula]')" '["finished",3,"hello"]'
like "show: for people" "$(disinto show done-1)" 'failed \(exit 3, 2\.9 s\): step a failed'
like "show: a proposal" "$(disinto show asked-1)" 'state +pending'
check "show: what is broken" disinto show odd-1 >/dev/null
fails 1 'show: nothing of that id' 'no action or proposal' disinto show nobody

# logs
is "logs: from the result" "$(disinto logs done-1 2>/dev/null)" $'one\ntwo\nthree'
is "logs -n" "$(disinto logs -n 2 done-1 2>/dev/null)" $'two\nthree'
mkdir -p "$WORK/site/spool/runs/done-1"
printf 'begin\n\033[31mred\033[0m\nend\n' >"$WORK/site/spool/runs/done-1/log"
is "logs: the spool's are whole and as they are" "$(disinto logs done-1 | sha256sum)" "$(sha256sum <"$WORK/site/spool/runs/done-1/log")"
script -qefc 'disinto logs done-1' /dev/null </dev/null >"$WORK/screen"
refute "logs: a terminal gets no control characters" grep -q $'\033' "$WORK/screen"
like "logs: they are shown" "$(cat "$WORK/screen")" '\\x1b\[31mred'
is "logs --json: an object for each line" "$(disinto logs --json done-1)" $'{"text":"begin"}\n{"text":"\\u001B[31mred\\u001B[0m"}\n{"text":"end"}'
printf 'one\n\nno end \xff \xe2\x80\xae"' >"$WORK/site/spool/runs/done-1/log"
is "logs --json: whatever is in it" "$(disinto logs --json -n 2 done-1)" $'{"text":""}\n{"text":"no end \\\\xff \\\\u202e\\""}'
fails 2 'logs --json: of an action only' 'name one' disinto logs --json
fails 1 'logs: has not run' 'has not run yet' disinto logs waits-1
fails 1 'logs: nothing of that id' 'no such landed action' disinto logs nobody
fails 2 'logs: a bad number' 'whole number' disinto logs -n 0 done-1

# What needs a dispatcher
fails 1 'status' 'no dispatcher listens on .*/spool/api\.sock; start one with: disinto-dispatcher --config' disinto status
like "status: where a site's container would be asked" "$(cat "$WORK/errors")" 'docker compose exec edge disinto status$'
fails 1 'cancel' 'no dispatcher listens' disinto cancel waits-1
python=$(command -v python3 || true)
if [ -n "$python" ]; then # a socket that nobody listens on is none
	"$python" -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$WORK/site/spool/api.sock"
	fails 1 'status: a dead socket' 'no dispatcher listens' disinto status
	rm "$WORK/site/spool/api.sock"
fi

# run
fails 127 'run: nothing of that id' 'no such landed action' disinto run nobody
fails 127 'run: only proposed' 'no such landed action' disinto run asked-1
fails 128 'run: has a result' 'already ran' disinto run done-1
is "run: its result is printed" "$(jq -r .exit_code "$WORK/out")" 3
fails 128 'run --dry-run: has a result' 'already ran' disinto run --dry-run done-1
like "run --dry-run" "$(disinto run --dry-run waits-1)" 'formula +hello'
is "run --dry-run --json" "$(disinto run --dry-run --json waits-1 | jq -r .tier)" high
action refused-1 nowhere && commit refused && push
fails 126 'run --dry-run: would be refused' 'would be refused: .*nowhere' disinto run --dry-run refused-1
fails 125 'run: no operand' 'ID is missing' disinto run
fails 125 'run: no id' 'no id' disinto run Not.An.Id

# The ops repo can't be reached, the configuration is wrong.
mv "$SERVER" "$SERVER.away"
fails 1 'list: no ops repo' 'ops repo: .*ops\.git' disinto list
fails 125 'run: no ops repo' 'ops repo: .*ops\.git' disinto run waits-1
mv "$SERVER.away" "$SERVER"
fails 1 'no configuration' 'absent\.yaml: No such file' disinto list --config "$WORK/absent.yaml"
(cd "$HOME" && unset DISINTO_CONFIG && fails 1 'no configuration anywhere' 'disinto init' disinto list) | sed 's/^ok [0-9]*/ok 0/' >"$WORK/sub"
check 'no configuration anywhere says how to make one' test "$(grep -c '^ok' "$WORK/sub")" = 2
echo 'colour: red' >"$WORK/bad.yaml"
fails 1 'a bad configuration' 'bad\.yaml.*colour' disinto list --config "$WORK/bad.yaml"
fails 1 'no home for the cache' 'XDG_CACHE_HOME' env -u HOME disinto list
XDG_CACHE_HOME=$WORK/cache disinto list >/dev/null
is "the cache is where XDG says, and private" "$(stat -c %a "$WORK/cache/disinto")" 700
rm -rf "$WORK/cache" && XDG_CACHE_HOME=$WORK/cache disinto list >/dev/null
check "a cache that was deleted is made again" [ -d "$WORK/cache/disinto" ]

# A terminal of 60 columns: cut, and one line for each.
disinto propose --id "an-id-that-is-as-long-as-ids-of-agents-tend-to-be" --formula hello --context "$(printf 'wide 中中中 %.0s' 1 2 3 4 5 6 7 8 9)" >/dev/null
script -qefc 'stty cols 60; disinto list; disinto pending' /dev/null </dev/null | sed 's/\x1b\[[0-9]*m//g; s/\r$//' >"$WORK/screen"
check "a table fits its terminal" [ "$(wc -L <"$WORK/screen")" -le 60 ]
is "a table has a line for each" "$(grep -c . "$WORK/screen")" "$(($(disinto list | grep -c .) + $(disinto pending | grep -c .)))"
refute "elsewhere nothing is cut" grep -q '…' <(disinto list)

# A dispatcher in trouble, whose part somebody else plays: however much is wrong, status stays short.
jq -n '{status: "running", ledger: {frozen: "main was rewritten", backlog: 3, overdue: [range(30) | {id: "late-\(.)", dispatcher: "d2", deadline: 1}]},
	misnamed: [range(30) | "vault/a\(.)"], notes: [range(30) | "note \(.)"]}' >"$WORK/status.json"
node -e 'const s = require("http").createServer((q, a) => a.end(require("fs").readFileSync(process.argv[1]))).listen(0, "127.0.0.1", () => console.log(s.address().port))' \
	"$WORK/status.json" >"$WORK/port" &
CHILDREN+=($!)
wait_for test -s "$WORK/port"
status=$(DISINTO_URL=http://127.0.0.1:$(cat "$WORK/port") disinto status)
like "status: the first of many overdue claims, with what to do" "$status" '^  overdue +late-0, claimed by d2, .*disinto settle late-0 lost.*\(and 29 more; --json has them\)'
check "status: a line for each thing that is wrong" [ "$(wc -l <<<"$status")" -le 14 ]

# Usage
fails 2 'the name that run once had' '`disinto run ID` now' disinto vault-run x
disinto >/dev/null 2>&1
is "no command is 2" $? 2
fails 2 'an unknown command' '^disinto: no-such: there is no such command; disinto help' disinto no-such
fails 2 'half a command' 'secrets add' disinto secrets
fails 2 'an unknown option' 'there is no option --colour' disinto list --colour
fails 2 'a missing value' '--state needs a value' disinto list --state
fails 2 'an operand too many' "'more' is one operand too many" disinto status more
fails 2 'a missing operand' 'ID is missing' disinto show
like "help: lists" "$(disinto help)" '^ +approve ID'
like "help of a command" "$(disinto help secrets add)" 'example: disinto secrets add'
like "--help beats wrong operands" "$(disinto show --help)" 'example: disinto show'
for first in '' '--config nowhere.yaml ' '--config=nowhere.yaml '; do
	# shellcheck disable=SC2086 # words
	like "${first}--help: lists" "$(disinto $first--help 2>&1)" '^ +approve ID'
	# shellcheck disable=SC2086
	is "${first}--version" "$(disinto $first--version 2>&1)" "$(disinto version)"
done
for option in --help -h; do
	output=$(disinto secrets $option 2>/dev/null)
	is "secrets $option: exit code" $? 0
	like "secrets $option: lists its commands" "$output" '^ +secrets add SECRET'
done
fails 2 'help: of nothing' "no command 'nothing'" disinto help nothing
is "version" "$(disinto version)" "$(disinto --version)"
is "version --json" "disinto $(disinto version --json | jq -r .version)" "$(disinto version)"
disinto help >/dev/full 2>/dev/null
is "output that can't be written is 1" $? 1
script -qefc 'disinto list' /dev/null </dev/null >"$WORK/screen"
check "a terminal has colours" grep -q $'\033\\[2m' "$WORK/screen"
script -qefc 'NO_COLOR=1 disinto list' /dev/null </dev/null >"$WORK/screen"
refute "NO_COLOR has none" grep -q $'\033' "$WORK/screen"
