#!/bin/bash
# What a run leaves behind comes into the spool, the result, the API and the command line: whole, once, and without secrets.
. "$(dirname "$0")/lib.sh"

engine_start
site path
canary=canary$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
secret CANARY "$canary"
formula leaves <<-'EOT'
	steps:
	  - id: make
	    run: |
	      mkdir -p /task/artifacts && cd /task/artifacts
	      seq 1 60000 >numbers.txt
	      printf '<script>alert(1)</script>' >page.html
	      : >empty
	      echo "token: $CANARY" >leak.txt
	      ln -s /etc/passwd link
	      echo x >.hidden
	      echo "count=$(ls | wc -l)" >>"$DISINTO_OUTPUT"
EOT
gated_formula slow 'mkdir -p /task/artifacts; echo kept >/task/artifacts/kept.txt'
action left leaves '{"secrets": ["CANARY"]}'
land
dispatcher_start
finished left
is "the run succeeded" "$(field left .outcome)" succeeded
seq 1 60000 >"$WORK/numbers.txt"
sum=$(sha256sum "$WORK/numbers.txt" | cut -d' ' -f1)
is "the result lists them" "$(field left '[.artifacts[] | [.name, .bytes] | @json] | sort | join(" ")')" \
	'["empty",0] ["numbers.txt",348894] ["page.html",25]'
is "with their digests" "$(field left '.artifacts[] | select(.name == "numbers.txt") | .sha256')" "$sum"
like "and says what was left out, and why" "$(field left '.artifacts_left_out | map("\(.name): \(.reason)") | sort | join("; ")')" \
	'leak\.txt: .*secret.*link: '
is "outputs stand in the result" "$(field left .outputs.count)" 5
is "the secret came out in none of them" "$(grep -rlF "$canary" "$SPOOL")" ''
is "they are the dispatcher's alone" "$(stat -c '%a %a' "$SPOOL/runs/left/artifacts" "$SPOOL/runs/left/artifacts/page.html" | cut -d' ' -f1 | xargs)" '700 600'

# The API.
is "GET lists them" "$(api /actions/left/artifacts | jq -c '[(.artifacts | length), (.left_out | length > 0)]')" '[3,true]'
api /actions/left/artifacts/numbers.txt >"$WORK/got"
check "GET gives the bytes" cmp "$WORK/got" "$WORK/numbers.txt"
api -D "$WORK/headers" /actions/left/artifacts/page.html >"$WORK/got"
is "as they are" "$(cat "$WORK/got")" '<script>alert(1)</script>'
like "as an attachment" "$(cat "$WORK/headers")" '^Content-Disposition: attachment; filename="page\.html"'
like "that nobody sniffs" "$(cat "$WORK/headers")" '^X-Content-Type-Options: nosniff'
like "and no browser shows" "$(cat "$WORK/headers")" '^Content-Type: application/octet-stream'
for path in left/artifacts/leak.txt left/artifacts/.. left/artifacts/%2e%2e%2flog left/artifacts/link nothing/artifacts nothing/artifacts/a; do
	like "GET /actions/$path is 404" "$(api -o /dev/null -w '%{http_code}' --path-as-is "/actions/$path" 2>/dev/null)" 404
done
echo planted >"$SPOOL/runs/left/artifacts/planted"
like "what the result does not list is not handed out" "$(api -o /dev/null -w '%{http_code}' /actions/left/artifacts/planted 2>/dev/null)" 404

# The command line.
disinto_() { disinto "$@" --config "$CONFIG"; }
like "disinto artifacts lists them" "$(disinto_ artifacts left 2>"$WORK/said")" "numbers.txt +348894 +$sum"
like "and says what was left out" "$(cat "$WORK/said")" 'leak\.txt was left out: '
is "--json" "$(disinto_ artifacts left --json | jq -c '[.artifacts[].name] | sort')" '["empty","numbers.txt","page.html"]'
check "-o saves them" eval 'disinto_ artifacts left -o "$WORK/out" >/dev/null 2>&1'
check "with their bytes" cmp "$WORK/out/numbers.txt" "$WORK/numbers.txt"
is "all of them, and nothing more" "$(find "$WORK/out" -mindepth 1 -printf '%f\n' | sort | xargs)" 'empty numbers.txt page.html'
refute "and replaces nothing" eval 'disinto_ artifacts left -o "$WORK/out" >/dev/null 2>&1'
like "which it says" "$(disinto_ artifacts left -o "$WORK/out" 2>&1)" 'is there already; remove it'
refute "an action that is not there has none" disinto_ artifacts nothing

# While it runs there are none yet; a dispatcher that dies and comes back finds each of them once.
action slow slow
land
at_gate slow
is "409 while it runs" "$(api -o /dev/null -w '%{http_code}' /actions/slow/artifacts 2>/dev/null)" 409
refute "disinto artifacts says so" disinto_ artifacts slow
dispatcher_kill
open_gate slow
dispatcher_start
finished slow
is "adopted: each is there once" "$(field slow '[.outcome, (.artifacts | map(.name)), .artifacts_left_out] | @json')" '["succeeded",["kept.txt"],[]]'
is "with its bytes" "$(api /actions/slow/artifacts/kept.txt)" kept

# Without a dispatcher: the list from the ops repo, the bytes from the spool; damaged ones are not handed out.
dispatcher_stop
check "without a dispatcher they are saved from the spool" disinto_ artifacts slow -o "$WORK/out2"
is "as they were" "$(cat "$WORK/out2/kept.txt")" kept
echo other >"$SPOOL/runs/slow/artifacts/kept.txt"
refute "one that was changed is not saved" disinto_ artifacts slow -o "$WORK/out3"
like "and it is said" "$(disinto_ artifacts slow -o "$WORK/out3" 2>&1)" 'SHA-256 differs'
refute "nothing is left of it" test -e "$WORK/out3/kept.txt"
