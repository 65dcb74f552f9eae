#!/bin/bash
# Each role may die in the middle of a run: it is replaced, and nothing runs twice or is lost.
. "$(dirname "$0")/lib.sh"

engine_start
site http
gated_formula gated
secret KEY 'a-secret-of-a-step'
dispatcher_start
# One user for all, as long as nothing else is asked for. guard: separation_note in dispatcher/confine.c
like "what is not separated is said at the start" "$(cat "$LOG")" 'separation: best_effort: all roles run as one user'
like "and in the status" "$(api /status | jq -r '.separation[]')" 'separation: best_effort: all roles run as one user'

# What every process of it has given up: dispatcher/confine.c, and parent_confine in dispatcher/parent.c
for name in parent core git keyring engine web; do
	pid=$DISPATCHER
	[ $name = parent ] || pid=$(role $name)
	is "$name: may not gain privileges" "$(awk '$1 == "NoNewPrivs:" { print $2 }' "/proc/$pid/status")" 1
	like "$name: leaves no core" "$(grep '^Max core file size' "/proc/$pid/limits")" ' 0 +0 '
done
for name in git keyring engine web core; do
	action "without-$name" gated '{"secrets": ["KEY"]}'
	land
	at_gate "without-$name"
	pid=$(role "$name") || bail "no process of role $name"
	kill -9 "$pid"
	check "$name: is replaced" wait_for eval "p=\$(role $name) && [ \$p != $pid ]"
	check "$name: the dispatcher answers" wait_for api /health
	open_gate "without-$name"
	finished "without-$name"
	is "$name: the run ended well" "$(field "without-$name" '[.outcome, .exit_code] | @json')" '["succeeded",0]'
	is "$name: it ran once" "$(starts "without-$name")" 1
	is "$name: its log is whole" "$(field "without-$name" .logs | sed 's/begin .*/begin/')" $'begin\nend'
done

# And once more before anything runs: a role that was replaced works.
for name in git keyring engine web core; do kill -9 "$(role "$name")"; done
action after gated '{"secrets": ["KEY"]}'
land
at_gate after
open_gate after
finished after
is "all replaced: a new action runs" "$(field after .outcome)" succeeded
check "it still ends politely" dispatcher_stop
