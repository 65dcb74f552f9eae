#!/bin/bash
# What the fault harness knows of one case: an action of its own in a repo of its own, a dispatcher of its own, all on one engine and one git
# server. Sourced after tests/e2e/lib.sh. A case is a line of phases, separated by blanks; each is how one life of the dispatcher is spoilt:
#
#   POINT:N:all     SIGKILL for all of its processes at the Nth pass of that point (lib/crash.h)
#   POINT:N:role    … for the one process that passes it; the dispatcher goes on
#   fail:ROLE:CALL:N:ERROR:HOW               calls of the C library fail (tests/torture/shim.c)
#   runner:CALL:N:ERROR:HOW                  calls of the runner fail (tests/torture/runner_fail.c)
#   git:SKIP:TIMES:FAULT:ARGUMENT:PATTERN    requests to the git server meet a fault (tests/torture/faulty.c); blanks are written as _
#   engine:SKIP:TIMES:FAULT:ARGUMENT:PATTERN … to the engine
#
# After them comes a life that nothing spoils. Whatever happened: one run, one result, no secret on a disk.
# shellcheck disable=SC2154 # WORK, ENGINE, SOCKET, MARK and ROOT are of tests/e2e/lib.sh

CASES=$WORK/cases
STUCK=${STUCK:-240} # seconds that no life of a dispatcher takes
HOPELESS=5         # seconds that one is given in which every call fails

# The repo that each case's is a copy of, with its ledger, and the identity of all. CLAIMS (ledger) is what all of them are configured with.
cases_begin() {
	site http <<<"claims: ${CLAIMS:-ledger}"
	formula count <<-EOT
		steps:
		  - id: count
		    run: |
		      $MARK
		      echo "it is \$CANARY"
	EOT
	commit 'ops: formula' && push
	if [ "${CLAIMS:-ledger}" = ledger ]; then
		dispatcher_start
		wait_for git -C "$SERVER" show-ref -q --verify refs/heads/disinto-ledger || bail "no ledger"
		dispatcher_stop
	fi
	git -C "$SERVER" gc -q --prune=now
	rm -rf "$SERVER/hooks"
	mkdir -p "$CASES"
}

# Sets up case NAME: its folder, ops repo, spool and configuration.
case_begin() { # NAME
	name=$1
	dir=$CASES/$name repo=$WORK/repos/$name.git spool=$CASES/$name/spool log=$CASES/$name/log
	canary=canary$name$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	mkdir -p "$dir"
	cp -r "$SERVER" "$repo"
	printf '%s\n' "$canary" >"$dir/canary"
	printf %s "$canary" | age -R "$OPS/vault/recipients.txt" -o "$dir/age"
	{
		printf 'commit refs/heads/main\ncommitter Test Person <person@example> %s +0000\ndata 5\nland\nfrom refs/heads/main^0\n' "$(date +%s)"
		printf 'M 100644 inline vault/actions/%s.json\ndata <<END\n{"id": "%s", "formula": "count", "context": "a test", "secrets": ["CANARY"]}\nEND\n' "$name" "$name"
		printf 'M 100644 inline vault/secrets/CANARY.age\ndata %s\n' "$(stat -c %s "$dir/age")"
		cat "$dir/age"
		printf '\n'
	} | git -C "$repo" fast-import --quiet
	sed -e "s|^ops_repo:.*|ops_repo: ${URL%/*}/$name.git|" -e "s|^spool:.*|spool: $spool|" -e "s|^identity_file:.*|identity_file: $WORK/site/identity.age|" \
		-e "\$a dispatcher_id: t$name" "$CONFIG" >"$dir/dispatcher.yaml"
	: >"$log"
}

ended() { # PID: no process, or one that only waits to be reaped
	local state=
	{ read -r _ _ state _ <"/proc/$1/stat"; } 2>/dev/null || return 0
	[ "$state" = Z ]
}

spool_says() { # STATE: the case's journal
	local text=
	{ text=$(<"$spool/runs/$name/state.json"); } 2>/dev/null && [[ $text == *"\"state\": \"$1\""* ]]
}
case_has_result() {
	git -C "$repo" cat-file -e "main:vault/actions/$name.result.json" 2>/dev/null
}
case_containers() {
	curl -s --max-time 60 --unix-socket "$SOCKET" -g "http://docker/containers/json?all=1&filters={\"label\":[\"disinto.dispatcher=t$name\"]}" | jq -r '.[].Names[0]'
}
# The ledger holds its claim and its end, with the digest of the result that stands there.
case_ledger_agrees() {
	local xx digest
	xx=$(printf %s "$name" | sha256sum) && xx=${xx:0:2}
	digest=$(git -C "$repo" show "main:vault/actions/$name.result.json" | sha256sum)
	git -C "$repo" show "disinto-ledger:claims/$xx/$name.json" >/dev/null 2>&1 &&
		[ "$(git -C "$repo" show "disinto-ledger:done/$xx/$name.json" 2>/dev/null | jq -r .digest)" = "${digest%% *}" ]
}
# Journal, server and engine agree that nothing is left to do.
case_is_over() {
	spool_says recorded && case_has_result && [ -z "$(case_containers)" ]
}

# One life of the dispatcher, with the environment that spoils it; it is ended after `limit` seconds where that is set. 0: it ended, or came to the
# end of the action; 1: neither.
life() { # [NAME=VALUE…]
	local pid tries=0
	until flock -n "$spool/lock" true 2>/dev/null || [ ! -e "$spool/lock" ]; do sleep 0.02; done
	env "$@" "${program:-$TORTURE/disinto-dispatcher}" --config "$dir/dispatcher.yaml" >>"$log" 2>&1 </dev/null &
	pid=$!
	died=yes
	until ended $pid; do
		if case_is_over; then
			died=
			break
		fi
		tries=$((tries + 1))
		if [ $tries -gt $((${limit:-$STUCK} * 20)) ]; then
			kill -9 $pid
			wait $pid 2>/dev/null
			[ -n "${limit:-}" ]
			return
		fi
		sleep 0.05
	done
	[ -n "$died" ] || kill -9 $pid
	wait $pid 2>/dev/null
	return 0
}

# Spoils one life as a phase says. `fired` tells whether what was planned came to pass.
phase() { # PHASE
	local words limit='' pid code
	IFS=: read -ra words <<<"$1"
	fired=
	case ${words[0]} in
	fail)
		[ "${words[5]}" != always ] || limit=$HOPELESS
		life "LD_PRELOAD=$TORTURE/shim.so" "SHIM=${words[*]:1}" "SHIM_COUNTS=$dir/counts" || return 1
		[ "$(od -An -td4 -j 1536 -N 4 "$dir/counts")" -lt "${words[3]}" ] || fired=yes
		;;
	runner)
		runner_life
		return
		;;
	git | engine)
		printf '%s %s %s %s %s\n' "${words[@]:1:4}" "${words[5]//_/ }" >"$dir/rules"
		: >"$dir/rules.log"
		proxy_start "${words[0]}"
		life
		code=$?
		kill "$pid"
		wait "$pid" 2>/dev/null
		cp "$dir/direct.yaml" "$dir/dispatcher.yaml"
		[ ! -s "$dir/rules.log" ] || fired=yes
		return $code
		;;
	*)
		life "CRASH_AT=${words[*]}" || return 1
		fired=$died
		if [ "${words[2]}" = role ] && grep -q 'killed by signal 9' "$log"; then fired=yes; fi
		;;
	esac
}

# A life with a runner, and an image that tells it what to fail at. Before GO that lasts as long as the image does.
runner_life() {
	local code limit=$HOPELESS
	printf '%s\n' "${words[*]:1}" >"$dir/fail-plan"
	"$LIB/engine.sh" image "$SOCKET" "fail/$name" "$dir/fail-plan" || return 1
	cp "$dir/dispatcher.yaml" "$dir/direct.yaml"
	sed -i "s|^runner_image:.*|runner_image: fail/$name|" "$dir/dispatcher.yaml"
	program=$TORTURE/failing/disinto-dispatcher life
	code=$?
	cp "$dir/direct.yaml" "$dir/dispatcher.yaml"
	curl -s --unix-socket "$SOCKET" -X DELETE "http://docker/images/fail/$name?force=1" >/dev/null
	fired=yes
	return $code
}

# Puts the proxy between the dispatcher and one of its servers; sets pid.
proxy_start() { # git|engine
	local at
	cp "$dir/dispatcher.yaml" "$dir/direct.yaml"
	if [ "$1" = engine ]; then
		"$TORTURE/faulty" "$dir/docker.sock" "$SOCKET" "$dir/rules" >"$dir/proxy" 2>&1 </dev/null &
	else
		at=${URL#*://*:}
		"$TORTURE/faulty" 0 "${at%%/*}" "$dir/rules" >"$dir/proxy" 2>&1 </dev/null &
	fi
	pid=$!
	until [ -s "$dir/proxy" ]; do sleep 0.02; done
	if [ "$1" = engine ]; then
		sed -i "s|^docker_host:.*|docker_host: unix://$dir/docker.sock|" "$dir/dispatcher.yaml"
	else
		sed -i "s|^\(ops_repo: .*://[^:]*:\)[0-9]*/|\1$(cat "$dir/proxy")/|" "$dir/dispatcher.yaml"
	fi
}

secrets_lie_about() { # prints where the canary is on a disk
	local ids
	grep -rlaF -f "$dir/canary" -- "$spool" "$log" 2>/dev/null
	ids=$(curl -s --unix-socket "$SOCKET" -g "http://docker/containers/json?all=1&filters={\"label\":[\"disinto.dispatcher=t$name\"]}" | jq -r '.[].Id')
	for id in $ids; do grep -rlaF -f "$dir/canary" -- "$ENGINE/data/containers/$id" 2>/dev/null; done
	for objects in "$spool/ops.git" "$repo"; do
		git -C "$objects" cat-file --batch-all-objects --batch --buffer 2>/dev/null | grep -qaF -f "$dir/canary" && echo "$objects"
	done
}

# What became of it: prints "ok OUTCOME RUNS" or "FAIL reason". may_end: an outcome that is right beside succeeded and lost.
case_verdict() {
	local runs outcome commits found
	runs=$(grep -cxF -- "$name" "$WORK/marks")
	if ! case_has_result; then
		echo "FAIL no result (runs: $runs)"
		return
	fi
	outcome=$(git -C "$repo" show "main:vault/actions/$name.result.json" | jq -r .outcome)
	commits=$(git -C "$repo" log --format=%H main -- "vault/actions/$name.result.json" | wc -l)
	found=$(secrets_lie_about)
	if [ "$runs" -gt 1 ]; then
		echo "FAIL ran $runs times"
	elif [ "${CLAIMS:-ledger}" = ledger ] && ! case_ledger_agrees; then
		echo "FAIL the ledger does not tell of it"
	elif [ "$commits" != 1 ]; then
		echo "FAIL $commits commits of its result"
	elif [ -n "$found" ]; then
		echo "FAIL secret on disk: ${found//$'\n'/ }"
	elif [ "$outcome" = succeeded ] && [ "$runs" != 1 ]; then
		echo "FAIL succeeded without a run"
	elif [ "$outcome" != succeeded ] && [ "$outcome" != lost ] && [ "$outcome" != "${may_end:-}" ]; then
		echo "FAIL outcome $outcome"
	else
		echo "ok $outcome $runs"
	fi
}

case_end() { # frees what the case took
	local c
	for c in $(case_containers); do
		curl -s --unix-socket "$SOCKET" -X DELETE "http://docker/containers/${c#/}?force=1&v=1" >/dev/null
	done
	rm -rf "$dir" "$repo"
}

# Runs one case and prints its line: verdict, milliseconds, how many of the phases did what they say, the phases. TRACE and COUNTS name
# files for what the last life passed and called.
run_case() { # NAME PHASE…
	local name dir repo spool log canary died=yes met=0 fired verdict may_end begun phase found program=''
	begun=$(date +%s%N)
	case_begin "$1"
	shift
	verdict='' may_end=''
	for phase; do
		[[ $phase != runner:* ]] || may_end=failed
		if ! phase "$phase"; then
			verdict="FAIL stuck in $phase"
			break
		fi
		[ -z "$fired" ] || met=$((met + 1))
		found=$(secrets_lie_about)
		if [ -n "$found" ]; then
			verdict="FAIL secret on disk after $phase: ${found//$'\n'/ }"
			break
		fi
	done
	if [ -z "$verdict" ]; then
		if life ${TRACE:+"CRASH_TRACE=$TRACE"} ${COUNTS:+LD_PRELOAD=$TORTURE/shim.so} ${COUNTS:+"SHIM_COUNTS=$COUNTS"} && [ -z "$died" ]; then
			verdict=$(case_verdict)
		else
			verdict="FAIL the last life does not come to an end"
		fi
	fi
	[ -z "${TRACE:-}" ] || [ ! -e "$TRACE" ] || { tr -d '\0' <"$TRACE" >"$TRACE.text" && mv "$TRACE.text" "$TRACE"; }
	if [[ $verdict == FAIL* ]] && [ -n "${KEPT:-}" ]; then
		mkdir -p "$KEPT/$name"
		cp -r "$log" "$spool" "$KEPT/$name" 2>/dev/null
		printf '%s\n' "$verdict" "$@" >"$KEPT/$name/story"
	fi
	printf '%s\t%d\t%d\t%s\n' "$verdict" $((($(date +%s%N) - begun) / 1000000)) "$met" "$*"
	case_end
}
