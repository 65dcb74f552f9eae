#!/bin/bash
# The value of a secret is in the step that needs it, and nowhere else: looked for while the step runs and after it has ended.
# threat_24_canary_search threat_31_api_answers; guard: secrets go by frames into a tmpfs, never by what the engine or git keeps, and the runner redacts
. "$(dirname "$0")/lib.sh"

engine_start
site http
canary=canary$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
other=other$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$canary" "$other" >"$WORK/both" # for grep -f: what it looks for must not be in its own arguments
secret CANARY "$canary"
secret OTHER "$other"
gated_formula leak 'echo "out $CANARY"; echo "err $CANARY" >&2; printf %s "$CANARY" >/tmp/copy; echo "leak=$CANARY" >>$DISINTO_OUTPUT; mkdir artifacts; echo "$CANARY" >artifacts/leak; echo fine >artifacts/fine; printf "half "; printf "${CANARY%????}"; sleep 0.2; echo "${CANARY#"${CANARY%????}"}"'
action holder leak '{"secrets": ["CANARY"]}'
land
dispatcher_start
at_gate holder

files() { # prints the files below the given folders that hold one of the secrets
	grep -rlaF -f "$WORK/both" -- "$@" 2>/dev/null
}
objects() { # prints "found" when an object of a repository holds one
	git -C "$1" cat-file --batch-all-objects --batch --buffer | grep -qaF -f "$WORK/both" && echo found
}
look() { # WHEN
	local name
	is "$1: not in the spool" "$(files "$SPOOL")" ''
	is "$1: not in the objects of the clone" "$(objects "$SPOOL/ops.git")" ''
	is "$1: not in the objects of the server" "$(objects "$SERVER")" ''
	is "$1: not on the engine's disk" "$(files "$ENGINE/data")" ''
	is "$1: not in the dispatcher's log" "$(files "$LOG")" ''
	is "$1: not in any process's arguments" "$(cat /proc/[0-9]*/cmdline 2>/dev/null | grep -caF -f "$WORK/both")" 0
	name=$(containers holder)
	[ -z "$name" ] || is "$1: not in inspect" "$(engine "/containers$name/json" | grep -cF -f "$WORK/both")" 0
	[ -z "$name" ] || is "$1: not in the engine's log of the container" \
		"$(engine "/containers$name/logs?stdout=1&stderr=1" | grep -caF -f "$WORK/both")" 0
}
holders() { # user ids of the processes whose environment holds it
	local p
	for p in /proc/[0-9]*; do
		grep -qsaF -f "$WORK/both" "$p/environ" && awk '/^Uid:/ { print $2 }' "$p/status"
	done | sort -u
}

# Without these two everything below would prove nothing.
is "the step has it" "$(docker exec -u 10001 "$(containers holder | tr -d /)" cat /run/secrets/CANARY /tmp/copy)" "$canary$canary"
is "only the step's user has it in an environment" "$(holders)" 10001

look "while it runs"
container=$(containers holder | tr -d /)
is "the file is the step's alone" "$(docker exec "$container" stat -c '%a %u' /run/secrets/CANARY)" '400 10001'
is "only the named secret is there" "$(docker exec "$container" ls /run/secrets)" CANARY
is "they are on a tmpfs" "$(docker exec "$container" stat -f -c %T /run/secrets)" tmpfs
refute "the image's environment is not the step's" grep -q . <(docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$container" | grep -v '^PATH=' | grep -v '^$')
api /workers/holder/logs >"$WORK/answers" && api /actions/holder >>"$WORK/answers" && api /actions >>"$WORK/answers" && api /metrics >>"$WORK/answers"
is "not in what the API says" "$(files "$WORK/answers")" ''

open_gate holder
finished holder
is "the run succeeded" "$(field holder .outcome)" succeeded
like "the log says where a secret was" "$(field holder .logs)" '^out \S+$'
is "an output is redacted" "$(field holder .outputs.leak)" '[redacted:CANARY]'
is "not in the result" "$(result holder | grep -cF "$canary")" 0
wait_for eval '[ -z "$(containers holder)" ]'
look "after it"
is "in no environment after it" "$(holders)" ''

# A secret that a step split over two writes is withheld as well: half of it is in neither log nor result.
refute "no half of it in the log" grep -qF "${canary%????}" "$SPOOL/runs/holder/log"
