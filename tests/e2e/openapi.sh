#!/bin/bash
# docs/openapi.yaml describes the API that a running dispatcher has: every route, every answer, every body (tests/lib/openapi.py compares).
. "$(dirname "$0")/lib.sh"

call() { # TEMPLATE METHOD PATH [CURL-ARGUMENT…]: over TCP, with $TOKEN
	write_down "$1" "$2" -H "Authorization: Bearer $TOKEN" "${@:4}" "$TCP$3"
}
call_local() { # TEMPLATE METHOD PATH [CURL-ARGUMENT…]: over the socket
	write_down "$1" "$2" --unix-socket "$SPOOL/api.sock" "${@:4}" "http://disinto$3"
}
write_down() { # TEMPLATE METHOD CURL-ARGUMENT…
	local code type body
	body=$(mktemp "$WORK/body.XXXXXX")
	read -r code type < <(curl -s -o "$body" -w '%{http_code} %{content_type}\n' --max-time 60 -X "$2" "${@:3}")
	jq -cn --arg method "$2" --arg template "$1" --argjson code "$code" --arg type "$type" --rawfile body <(tr -d '\0' <"$body") \
		'{method: $method, template: $template, code: $code, type: $type, body: $body}' >>"$WORK/calls"
}
web_open() {
	TCP=http://127.0.0.1:$(ss -ltnpH | grep -F "pid=$(role web)," | sed -nE 's/.*127\.0\.0\.1:([0-9]+) .*/\1/p' | head -n 1)
}

engine_start
(umask 077 && printf '%s\n' 'a secret of the forge' >"$WORK/hook")
site path <<EOT
claims: ledger
max_pending: 1
webhook_secret_file: $WORK/hook
EOT
sed -i 's/^listen: .*/listen: 127.0.0.1:0/' "$CONFIG"
export DISINTO_CONFIG=$CONFIG
formula leaves <<<$'steps:\n  - {id: make, run: "mkdir artifacts; echo one >artifacts/one.txt; echo two >\'artifacts/not good\'"}\n  - {id: fail, run: "exit 3"}'
gated_formula gated
action leaves-1 leaves
action gated-1 gated
action waiting-1 gated '{"secrets": ["NOBODY_HAS_IT"]}'
land
dispatcher_start
web_open
TOKEN=none
call / GET /
call_local /healthz GET /healthz
finished leaves-1
at_gate gated-1
wait_for eval '[ "$(api /status | jq .ledger.backlog)" = 0 ]'

# Without a key, and with one that is too narrow
sed -nE 's/^    \{"([A-Z]+)", "([^"]+)", SCOPE_([A-Z]+),.*/\1 \2 \3/p' "$ROOT/dispatcher/web/route.c" | tr '[:upper:]' '[:lower:]' |
	while read -r method path scope; do echo "${method^^} $path ${scope/none/open}"; done >"$WORK/routes"
check "the server's own table of routes was read" [ "$(wc -l <"$WORK/routes")" -gt 20 ]
narrow=$(disinto token add narrow --scope propose 2>/dev/null)
while read -r method path scope; do
	[ "$scope" != open ] || continue
	real=${path/\{id\}/leaves-1} real=${real/\{artifact\}/one.txt} real=${real/\{token\}/name}
	TOKEN=none call "$path" "$method" "$real"
	case $method-$scope in
	GET-read | *-propose) ;;
	*) TOKEN=$narrow call "$path" "$method" "$real" ;;
	esac
done <"$WORK/routes"
TOKEN=$narrow call /actions GET /actions

# Open
for path in / /style.css /day.js /log.js /app.js /health /status /metrics /openapi.yaml; do call $path GET $path; done
wait_for eval '[ "$(api /healthz | jq -r .status)" = ok ]'
call /healthz GET /healthz
body='{"ref":"refs/heads/main"}'
mac=$(printf %s "$body" | openssl dgst -sha256 -hmac 'a secret of the forge' | sed 's/.* //')
call /hook POST /hook -d "$body"
call /hook POST /hook -d "$body" -H "X-Forgejo-Signature: $mac"

# Reading
TOKEN=$(disinto token add all --scope operate 2>/dev/null)
for path in /actions /workers; do call $path GET $path; done
call /events GET /events --max-time 1
for id in leaves-1 gated-1 waiting-1 nobody; do
	call '/actions/{id}' GET /actions/$id
	call '/actions/{id}/artifacts' GET /actions/$id/artifacts
	call '/actions/{id}/artifacts/{artifact}' GET /actions/$id/artifacts/one.txt
	call '/workers/{id}/logs' GET /workers/$id/logs
done

# Proposing
propose() { # JSON
	TOKEN=$narrow call /dispatch POST /dispatch --data-binary "$1"
}
proposal='{"id": "greet", "formula": "hello", "context": "to greet", "secrets": []}'
propose '{}'
propose '{"formula": "leaves", "context": "c", "secrets": [], "inputs": {"repo": "org/app"}}'
propose "${proposal/greet/leaves-1}"
propose "$proposal"
propose "${proposal/greet/greet-2}"
call /pending GET /pending
TOKEN=$narrow call /pending GET /pending

# Doing
for id in gated-1 leaves-1 nobody; do
	call '/actions/{id}/run' POST /actions/$id/run
	call '/actions/{id}/lost' POST /actions/$id/lost
	call_local '/actions/{id}/lost' POST /actions/$id/lost
	call_local '/actions/{id}/rerun' POST /actions/$id/rerun
done
for path in backlog history; do call_local /accept-$path POST /accept-$path; done
call_local /tokens GET /tokens
call_local '/tokens/{token}' PUT '/tokens/new?scope=read'
call_local '/tokens/{token}' PUT '/tokens/new?scope=read'
call_local '/tokens/{token}' PUT '/tokens/other?scope=everything'
call_local '/tokens/{token}' DELETE /tokens/new
call_local '/tokens/{token}' DELETE /tokens/new
for id in leaves-1 nobody greet; do call '/workers/{id}' DELETE /workers/$id; done
head -c 2000000 /dev/zero >"$WORK/large"
propose "@$WORK/large"
call /drain POST /drain --data-binary "@$WORK/large"

# The git server is away
mv "$SERVER" "$SERVER.away"
wait_for eval '[ "$(api /status | jq .poll.ok)" = false ]'
call '/actions/{id}/run' POST /actions/nobody/run
propose "$proposal"
wait_for eval '[ "$(curl -s "$TCP/healthz" | jq -r .status)" = unwell ]'
call /healthz GET /healthz
mv "$SERVER.away" "$SERVER"
wait_for eval '[ "$(api /status | jq .poll.ok)" = true ]'

# The end, which waits for the run that is cancelled then
call /drain POST '/drain?wait=1' &
waiting=$!
CHILDREN+=("$waiting")
wait_for eval '[ "$(api /status | jq -r .status)" = draining ]'
call /drain POST /drain
propose "$proposal"
call '/workers/{id}' DELETE /workers/gated-1
wait $waiting

# A spool is lost, and with it two runs whose end nobody knows
wait_for gone "$DISPATCHER"
dispatcher_start
action gated-2 gated
action gated-3 gated
land
at_gate gated-2
at_gate gated-3
dispatcher_kill
docker rm -f "$(containers gated-2 | tr -d /)" "$(containers gated-3 | tr -d /)" >/dev/null
rm -rf "$SPOOL"
dispatcher_start
wait_for eval '[ "$(api /status | jq .poll.ok)" = true ]'
call_local '/actions/{id}/lost' POST /actions/gated-2/lost
call_local '/actions/{id}/rerun' POST /actions/gated-3/rerun

/usr/bin/python3 "$ROOT/tests/lib/openapi.py" "$WORK/routes" "$ROOT/docs/openapi.yaml" "$WORK/calls" >"$WORK/tap"
while read -r line; do
	case $line in
	'ok '*) ok "${line#* - }" ;;
	'not ok '*) not_ok "${line#* - }" ;;
	'#'*) echo "$line" ;;
	esac
done <"$WORK/tap"
is "the comparison came to its end" "$(grep -c '^1\.\.' "$WORK/tap")" 1
