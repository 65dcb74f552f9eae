#!/bin/bash
# A wrong configuration stops the start with a message that names file, key, value and what is allowed.
# what_a_person_must_mend: guards in tests/guards/table
. "$(dirname "$0")/lib.sh"

site path

refuses() { # DESCRIPTION LINE-THAT-REPLACES-OR-ADDS REGEX…: the start ends with 78 and a message that matches them all
	local what=$1 line=$2 key=${2%%:*} output code pattern
	shift 2
	{
		grep -v "^$key:" "$CONFIG"
		[ -z "$line" ] || printf '%s\n' "$line"
	} >"$WORK/site/wrong.yaml"
	output=$(timeout 20 disinto-dispatcher --config "$WORK/site/wrong.yaml" 2>&1)
	code=$?
	is "$what: exit code" "$code" 78
	for pattern in 'wrong\.yaml' "$@"; do
		like "$what: says $pattern" "$output" "$pattern"
	done
}

check "the right one is accepted" disinto-dispatcher --config "$CONFIG" --check >/dev/null
refuses "unknown key" 'colour: red' 'colour'
refuses "capacity too small" 'capacity: 0' 'capacity' '0' '1\.\.1024|1 (to|and|through) 1024|between 1 and 1024'
refuses "capacity too large" 'capacity: 1025' 'capacity' '1025' '1\.\.1024|1 (to|and|through) 1024|between 1 and 1024'
refuses "capacity no number" 'capacity: many' 'capacity' 'many'
refuses "poll_seconds" 'poll_seconds: 0' 'poll_seconds' '1\.\.3600|3600'
refuses "separation" 'separation: maybe' 'separation' 'maybe' 'required' 'best_effort'
refuses "claims" 'claims: none' 'claims' 'none' 'local'
refuses "log level" 'log: {level: loud}' 'level' 'loud' 'info'
refuses "approval" 'approval: {minimum: none}' 'minimum' 'none' 'landed'
refuses "listen" 'listen: everywhere' 'listen' 'everywhere'
refuses "a transport that is none" 'ops_repo: ftp://example/ops.git' 'ops_repo' 'ftp'
refuses "a branch that is none" 'branch: a..b' 'branch'
refuses "a mount without a target" 'mounts: {ssh: {source: /tmp}}' 'mounts' 'target'
refuses "a broken file" 'log: {' 'line [0-9]+'
refuses "no ops_repo" 'ops_repo:' 'ops_repo'

grep -v '^ops_repo' "$CONFIG" >"$WORK/site/wrong.yaml"
output=$(disinto-dispatcher --config "$WORK/site/wrong.yaml" 2>&1)
is "ops_repo missing: exit code" $? 78
like "ops_repo missing: says so" "$output" 'ops_repo'

output=$(DISINTO_CAPACITY=none disinto-dispatcher --config "$CONFIG" 2>&1)
is "variable: exit code" $? 78
like "variable: it is named" "$output" 'DISINTO_CAPACITY.*none'

output=$(disinto-dispatcher --config "$WORK/absent.yaml" 2>&1)
is "no such file: exit code" $? 78
like "no such file: it is named" "$output" 'absent\.yaml'
# guard: fail in dispatcher/main.c
like "what stops a start is a line of the log, with its time and what to do" "$output" \
	'^time=20[0-9-]+T[0-9:.]+Z level=error role=parent msg="the dispatcher ends before it has begun" why=".*absent\.yaml.*" next="mend what it names'
output=$(script -qefc "exec disinto-dispatcher --config '$WORK/absent.yaml'" /dev/null 2>&1 </dev/null)
like "on a terminal the message stands alone" "$output" '^disinto-dispatcher: .*absent\.yaml'

output=$(disinto-dispatcher --no-such-option 2>&1)
is "usage: exit code" $? 2

output=$(disinto list --config "$WORK/site/wrong.yaml" 2>&1)
refute "the command line refuses it too" [ $? = 0 ]
like "with the same words" "$output" 'wrong\.yaml.*ops_repo'
