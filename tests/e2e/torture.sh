#!/bin/bash
# The short form of the fault harness (make torture has the long one): some lives that are spoilt, each a different way, on a real engine and a real
# git server. threat_42_killed_anywhere threat_43_failing_calls threat_38_applied_but_unanswered threat_36_half_an_answer
# guard: the journal is written before the effect that it announces (dispatcher/core), and read before anything is begun (dispatcher/core_role/core_role.c)
. "$(dirname "$0")/lib.sh"
TORTURE=$(realpath "${TORTURE:-$ROOT/build/gcc/torture}")
. "$ROOT/tests/torture/lib.sh"

engine_start
cases_begin
background=$(jobs -rp | wc -l)
cases=(
	''
	core.journaled.starting:1:all
	core.journaled.going:1:all
	'engine.stdin.gone:1:all core.queue.follow:1:all'
	'core.file.state.json.written:5:all core.journaled.going:1:all'
	'git.pushed.refs/heads/main:1:all git.pushed.refs/heads/main:1:all'
	keyring.decrypted:1:role
	engine.frame.going:1:role
	fail:core:fsync:3:EIO:once
	fail:engine:alloc:2000:ENOMEM:once
	git:0:1:lose:-:/git-receive-pack_
	engine:0:1:cut-answer:150:/logs
	runner:fork:1:EAGAIN:once
)
for i in "${!cases[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge $((background + 2)) ]; do wait -n; done
	read -ra phases <<<"${cases[i]}"
	run_case "s$i" "${phases[@]}" >"$WORK/verdict$i" 2>/dev/null </dev/null &
done
while [ "$(jobs -rp | wc -l)" -gt "$background" ]; do wait -n; done
for i in "${!cases[@]}"; do
	like "${cases[i]:-undisturbed}" "$(cat "$WORK/verdict$i")" $'^ok succeeded 1\t'
	[ -z "${cases[i]}" ] || like "${cases[i]}: came to pass" "$(cut -f 3 "$WORK/verdict$i")" '^[12]$'
done
