#!/bin/bash
# The HTTP API over TCP: tokens with scopes, the command line with one of them, and the webhook. Needs no engine.
. "$(dirname "$0")/lib.sh"
site http <<EOT
poll_seconds: 3600
webhook_secret_file: $WORK/hook
EOT
sed -i '/^poll_seconds: 1$/d' "$CONFIG"
sed -i 's/^listen: .*/listen: 127.0.0.1:0/' "$CONFIG"
export DISINTO_CONFIG=$CONFIG
(umask 077 && printf '%s\n' 'a secret of the forge' >"$WORK/hook")
tcp() { # CODE of a call: [CURL-ARGUMENT…] PATH
	curl -s -o "$WORK/body" -w '%{http_code}' --max-time 60 "${@:1:$#-1}" "$TCP${*: -1}"
}
dispatcher_start
port=$(ss -ltnpH | grep -F "pid=$(role web)," | sed -nE 's/.*127\.0\.0\.1:([0-9]+) .*/\1/p' | head -n 1)
TCP=http://127.0.0.1:$port
wait_for eval '[ "$(api /status | jq .poll.ok)" = true ]'

# Tokens
is "/health is open" "$(tcp /health)" 200
is "without a token everything else is closed" "$(tcp /actions) $(tcp /nothing) $(tcp -X POST /drain)" '401 401 401'
like "token list: there are none" "$(disinto token list 2>&1)" 'there are none'
reader=$(disinto token add dashboard 2>/dev/null)
agent=$(disinto token add agent --scope propose 2>/dev/null)
operator=$(disinto token add ops --scope operate 2>/dev/null)
is "a token is 32 bytes as text" "${#reader}" 43
is "a reader reads" "$(tcp -H "Authorization: Bearer $reader" /actions)" 200
is "a reader does nothing" "$(tcp -X POST -H "Authorization: Bearer $reader" /drain)" 403
is "one who may propose does not read" "$(tcp -H "Authorization: Bearer $agent" /actions)" 403
like "token list: names and scopes" "$(disinto token list)" '^dashboard +read '
is "token list --json" "$(disinto token list --json | jq -c '[.[] | [.name, .scope]] | sort')" '[["agent","propose"],["dashboard","read"],["ops","operate"]]'
is "token add --json" "$(disinto token add --json extra | jq -r '[.name, .scope, (.token | length)] | @tsv')" "extra	read	43"
disinto token revoke extra 2>/dev/null
refute "no token stands in the spool" grep -rqF -e "$reader" -e "$agent" -e "$operator" "$SPOOL"
refute "a name is taken once" disinto token add dashboard 2>/dev/null
dispatcher_stop
dispatcher_start
port=$(ss -ltnpH | grep -F "pid=$(role web)," | sed -nE 's/.*127\.0\.0\.1:([0-9]+) .*/\1/p' | head -n 1)
TCP=http://127.0.0.1:$port
is "tokens outlive a restart" "$(tcp -H "Authorization: Bearer $reader" /actions)" 200
is "token revoke" "$(disinto token revoke --json dashboard | jq -c .)" '{"name":"dashboard"}'
is "a token that was taken back opens nothing, at once" "$(tcp -H "Authorization: Bearer $reader" /actions)" 401

# The command line by TCP
like "status over DISINTO_URL" "$(DISINTO_URL=$TCP disinto status)" 'dispatcher'
like "cancel over DISINTO_URL needs the scope" "$(DISINTO_URL=$TCP DISINTO_TOKEN=$agent disinto cancel nobody 2>&1)" 'this needs operate'
like "cancel over DISINTO_URL" "$(DISINTO_URL=$TCP/ DISINTO_TOKEN=$operator disinto cancel nobody 2>&1)" 'nobody: not found'
like "what is local stays local" "$(DISINTO_URL=$TCP DISINTO_TOKEN=$operator disinto token list 2>&1)" "dispatcher's own machine"

# The webhook
body='{"ref":"refs/heads/main"}'
mac=$(printf %s "$body" | openssl dgst -sha256 -hmac 'a secret of the forge' | sed 's/.* //')
wait_for eval '[ "$(api /status | jq .poll.ok)" = true ]'
tip() { api /status | jq -r .poll.tip; }
action later hello
git -C "$OPS" checkout -q -B proposal && commit later && push
before=$(tip)
is "an unsigned webhook is closed" "$(tcp -X POST -d "$body" /hook)" 401
is "a webhook signed with another secret is closed" "$(tcp -X POST -H "X-Gitea-Signature: ${mac//[0-9]/0}" -d "$body" /hook)" 401
is "nobody looked" "$(tip)" "$before"
is "a signed webhook is taken" "$(tcp -X POST -H "X-Forgejo-Signature: $mac" -H "X-Hub-Signature-256: sha256=$mac" -d "$body" /hook)" 202
check "and the dispatcher looks at once" wait_for eval '[ "$(tip)" = "$(git -C "$SERVER" rev-parse main)" ]'
printf 'short' >"$WORK/hook"
dispatcher_stop
timeout 60 disinto-dispatcher --config "$CONFIG" 2>"$WORK/errors"
is "a short secret stops the start" $? 78
like "and is named" "$(cat "$WORK/errors")" 'webhook_secret_file: must hold 16 to 1024 bytes'
