#!/bin/bash
# A landed action becomes a run with its secret and its input, and a committed result, whatever the ops repo is reached by.
. "$(dirname "$0")/lib.sh"

engine_start

for transport in path daemon http ssh; do
	site "$transport"
	formula use <<-'EOT'
		steps:
		  - id: first
		    run: |
		      test "$(cat /run/secrets/API_TOKEN)" = "$API_TOKEN"
		      printf %s "$API_TOKEN" | sha256sum
		  - id: second
		    run: echo "version $INPUT_VERSION"; echo "to stderr" >&2
	EOT
	secret API_TOKEN "value-for-$transport"
	action "over-$transport" use '{"secrets": ["API_TOKEN"], "inputs": {"version": "0.3.0; echo $HOME"}}'
	land
	dispatcher_start
	finished "over-$transport"
	is "$transport: succeeded" "$(field "over-$transport" '[.outcome, .exit_code, .reason, .attempt] | @json')" '["succeeded",0,null,1]'
	is "$transport: names itself" "$(field "over-$transport" .id)" "over-$transport"
	is "$transport: each step is told" "$(field "over-$transport" '[.steps[] | .id, .exit_code] | @json')" '["first",0,"second",0]'
	logs=$(field "over-$transport" .logs)
	sum=$(printf %s "value-for-$transport" | sha256sum)
	like "$transport: the step had the secret" "$logs" "^${sum%% *}"
	like "$transport: an input is data" "$logs" '^version 0\.3\.0; echo \$HOME$'
	like "$transport: standard error is in the log" "$logs" '^to stderr$'
	is "$transport: names the commit that landed it" "$(field "over-$transport" .commit)" "$(git -C "$OPS" rev-parse HEAD)"
	is "$transport: names the bytes that ran" "$(field "over-$transport" '[.action, .formula.blob, .secrets.API_TOKEN] | join(" ")')" \
		"$(git -C "$OPS" rev-parse "HEAD:vault/actions/over-$transport.json" HEAD:vault/formulas/use.yaml HEAD:vault/secrets/API_TOKEN.age | tr '\n' ' ' | sed 's/ $//')"
	is "$transport: the commit's subject" "$(git -C "$SERVER" log -1 --format=%s main)" "vault: result for over-$transport"
	is "$transport: the commit changes nothing else" "$(git -C "$SERVER" diff --name-only main~1 main)" "vault/actions/over-$transport.result.json"
	is "$transport: the spool has the same result" "$(jq -S . "$SPOOL/runs/over-$transport/result.json")" "$(result "over-$transport" | jq -S .)"
	is "$transport: the log's digest" "$(sha256sum <"$SPOOL/runs/over-$transport/log" | cut -d' ' -f1)" "$(field "over-$transport" .log_sha256)"
	check "$transport: the container is removed" wait_for eval "[ -z \"\$(containers over-$transport)\" ]"
	is "$transport: it started once" "$(starts "over-$transport")" 1
	check "$transport: it ends when asked to" dispatcher_stop
done

# The same without any secret in a clone that lacks everything but the action: a second site must not see the first one's runs.
site path
action first hello '{"inputs": {"name": "world"}}'
land
dispatcher_start
finished first
is "a formula without secrets" "$(field first '[.outcome, .logs, .secrets] | @json')" '["succeeded","hello world\n",{}]'

# Failing is an outcome.
formula fail <<<$'steps:\n  - id: a\n    run: exit 42\n  - id: b\n    run: echo not reached'
action failing fail
land
finished failing
is "the first failing step ends the run with its code" "$(field failing '[.outcome, .exit_code, (.steps | length)] | @json')" '["failed",42,1]'
like "a failure has a reason" "$(field failing .reason)" 'a'
refute "no later step ran" grep -q 'not reached' "$SPOOL/runs/failing/log"
