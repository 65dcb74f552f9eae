#!/bin/bash
# The command line as a client over TCP, from a machine that has no configuration, no ops repo and no socket: DISINTO_URL and a token.
. "$(dirname "$0")/lib.sh"
engine_start
site path <<<'drain_seconds: 0'
sed -i 's/^listen: .*/listen: 127.0.0.1:0/' "$CONFIG"
formula exits <<'EOT'
steps:
  - id: prepare
    run: echo prepared
  - id: act
    run: |
      echo line
      mkdir -p artifacts && printf 'a file' >artifacts/note.txt
      exit $INPUT_CODE
EOT
gated_formula gated
dispatcher_start
port=$(ss -ltnpH | grep -F "pid=$(role web)," | sed -nE 's/.*127\.0\.0\.1:([0-9]+) .*/\1/p' | head -n 1)
DISINTO_CONFIG=$CONFIG disinto token add remote --scope operate >"$WORK/token.remote" 2>/dev/null
reader=$(DISINTO_CONFIG=$CONFIG disinto token add reader 2>/dev/null)
cd "$HOME" || exit 1
[ ! -e /etc/disinto/dispatcher.yaml ] || bail "this machine has a site of its own"
export DISINTO_URL=http://127.0.0.1:$port/ DISINTO_TOKEN_FILE=$WORK/token.remote

says() { # CODE WHAT REGEX COMMAND…: of standard output and error together
	local code=$1 what=$2 regex=$3
	shift 3
	output=$("$@" 2>&1 </dev/null)
	is "$what: exit code" $? "$code"
	like "$what" "$output" "$regex"
}

action seven exits '{"inputs": {"code": "7"}}' && land
output=$(disinto run seven 2>"$WORK/errors")
is "run: the action's own exit code" $? 7
is "run: its log" "$output" $'prepared\nline'
like "run: a summary" "$(cat "$WORK/errors")" '^disinto: run: seven failed \(exit 7, .*\): '
like "run: the steps" "$(cat "$WORK/errors")" 'steps +prepare \(exit 0, [0-9.]+ m?s\), act \(exit 7, '
like "run: the commit" "$(cat "$WORK/errors")" "commit +$(field seven .commit)"
says 128 'run: twice' 'already ran' disinto run seven
like 'run: its result is printed' "$output" '"exit_code": 7'
says 127 'run: nothing of that id' 'no such landed action' disinto run nobody
action nowhere no-such && land
says 126 'run: refused' 'no-such' disinto run nowhere
like 'list' "$(disinto list)" '^seven +finished +failed +7'
is 'list --json' "$(disinto list --json | jq -r '.[].id' | sort | tr '\n' ' ')" 'nowhere seven '
like 'show' "$(disinto show seven)" 'failed \(exit 7'
is 'logs' "$(disinto logs seven)" $'prepared\nline'
is 'logs -n' "$(disinto logs -n 1 seven)" line
is 'logs --json' "$(disinto logs --json seven)" $'{"text":"prepared"}\n{"text":"line"}'
is 'logs -f --json' "$(disinto logs -f --json seven 2>/dev/null)" $'{"text":"prepared"}\n{"text":"line"}'
is 'logs -f -n --json' "$(disinto logs -f -n 1 --json seven 2>/dev/null)" '{"text":"line"}'
check 'artifacts -o' disinto artifacts -o "$WORK/out" seven >/dev/null
is 'artifacts: as it was left' "$(cat "$WORK/out/note.txt")" 'a file'
like 'status' "$(disinto status)" 'engine'
says 0 'doctor' '^ok +dispatcher' disinto doctor
check 'status: ten lines at most' [ "$(disinto status | wc -l)" -le 10 ]

# Proposals go through the dispatcher; landing is somebody else's.
says 0 'propose' 'asked-1 is proposed' disinto propose --id asked-1 --formula hello --context 'Please' --input name=x
check 'propose: its branch' git -C "$SERVER" cat-file -e vault/asked-1:vault/actions/asked-1.json
is 'propose --json: the same again' "$(disinto propose --json --id asked-1 --formula hello --context 'Please' --input name=x | jq -r .status)" proposed
says 1 'propose: what would be refused' 'no-such' disinto propose --id asked-2 --formula no-such --context 'Please'
says 2 'propose --land' 'takes a configuration' disinto propose --land --id asked-2 --formula hello --context 'Please'
wait_for eval 'disinto pending --json | jq -e "any(.id == \"asked-1\")"'
like 'pending' "$(disinto pending)" '^asked-1 +hello'
is 'list: pending too' "$(disinto list --state pending --json | jq -r '.[].id')" asked-1
says 1 'pending: another token' 'DISINTO_TOKEN' env DISINTO_TOKEN=wrong disinto pending
says 1 'propose: another token' 'DISINTO_TOKEN' env DISINTO_TOKEN=wrong disinto propose --id x --formula hello --context x

# On a terminal the steps are shown as they go.
formula two <<'EOT'
steps:
  - {id: first, run: "true"}
  - {id: second, run: "until [ -e /tmp/open ]; do sleep 0.1; done"}
EOT
action steps two && land
script -qefc 'disinto run steps' "$WORK/screen" >/dev/null </dev/null &
terminal=$!
CHILDREN+=("$terminal")
wait_for grep -qE 'run: steps: \[[0-9.]+ m?s\] step second begins' "$WORK/screen"
open_gate steps
wait $terminal
like 'run: on a terminal the steps as they go' "$(cat "$WORK/screen")" 'run: steps: \[[0-9.]+ m?s\] step first: exit 0, [0-9.]+ m?s'
like 'run: and which one runs' "$(cat "$WORK/screen")" 'step second begins'

# logs -f goes over a restart of the dispatcher, and ends with the outcome.
sed -i "s/^listen: .*/listen: 127.0.0.1:$port/" "$CONFIG"
action followed gated && land
at_gate followed
disinto logs -f followed >"$WORK/followed" 2>"$WORK/errors" &
follower=$!
CHILDREN+=("$follower")
wait_for grep -q '^begin' "$WORK/followed"
dispatcher_stop
DISINTO_CONFIG=$CONFIG dispatcher_start
open_gate followed
wait $follower
is 'logs -f: over a restart' $? 0
is 'logs -f: every line once' "$(cut -d' ' -f1 "$WORK/followed")" $'begin\nend'
like 'logs -f: the outcome' "$(cat "$WORK/errors")" '^disinto: logs: followed succeeded \(exit 0, '

# cancel
action endless gated && land
at_gate endless
check 'cancel' disinto cancel endless >/dev/null
says 130 'run: of a cancelled one' 'endless cancelled' disinto run endless

# A token that is taken back in the middle of it: the log that was asked for comes whole, and then it ends.
DISINTO_URL='' DISINTO_CONFIG=$CONFIG disinto token add passing >"$WORK/token.passing" 2>/dev/null
action revoked gated && land
at_gate revoked
DISINTO_TOKEN_FILE=$WORK/token.passing timeout 120 disinto logs -f revoked >"$WORK/followed" 2>"$WORK/errors" &
follower=$!
CHILDREN+=("$follower")
wait_for grep -q '^begin' "$WORK/followed"
DISINTO_URL='' DISINTO_CONFIG=$CONFIG disinto token revoke passing 2>/dev/null
open_gate revoked
wait $follower
is 'logs -f: a token that is taken back ends it' $? 1
like 'logs -f: and it says so' "$(cat "$WORK/errors")" 'DISINTO_TOKEN'

# What is wrong is said.
says 1 'list: another token' 'DISINTO_TOKEN' env DISINTO_TOKEN=wrong disinto list
says 1 'show: another token' 'DISINTO_TOKEN' env DISINTO_TOKEN=wrong disinto show seven
says 1 'logs: another token' 'DISINTO_TOKEN' env DISINTO_TOKEN=wrong disinto logs seven
says 1 'logs -f: another token' 'DISINTO_TOKEN' env DISINTO_TOKEN=wrong disinto logs -f seven
says 125 'run: a token that may only read' 'this needs operate' env DISINTO_TOKEN="$reader" disinto run seven
says 1 'a token of two words' 'is no token' env DISINTO_TOKEN='two words' disinto list
says 1 'no token file' 'DISINTO_TOKEN_FILE: .*absent' env DISINTO_TOKEN_FILE="$WORK/absent" disinto list
says 1 'no URL' 'does not begin with http' env DISINTO_URL=edge:8080 disinto list
says 1 'nobody there' 'DISINTO_URL' env DISINTO_URL=http://127.0.0.1:1 disinto status
says 1 'show: nothing of that id' 'knows no action nobody' disinto show nobody
says 1 'logs: nothing of that id' 'no log of it' disinto logs nobody
says 1 'what needs the ops repo says so' 'no configuration' disinto verify
says 1 'a configuration that is named must be there' 'absent.yaml' disinto list --config "$WORK/absent.yaml"
DISINTO_CONFIG=$WORK/absent.yaml disinto run seven >/dev/null 2>&1
is 'run: the same' $? 125
says 125 'run: nobody there, and nothing is started' 'DISINTO_URL' env DISINTO_URL=http://127.0.0.1:1 DISINTO_CONFIG="$CONFIG" disinto run seven

# drain ends it.
says 0 'drain' 'drained' disinto drain
check 'drain: it has ended' wait_for gone "$DISPATCHER"
wait "$DISPATCHER"
DISPATCHER=
