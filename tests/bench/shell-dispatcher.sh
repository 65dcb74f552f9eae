#!/bin/bash
# The baseline of `make bench`: the dispatcher's main job as a shell script with git, jq, age and the docker command line, written the way
# its users would write it, and with care: it polls, runs what landed and has no result (several at a time), commits and pushes
# each result, tries again when somebody else pushed first.
#
#   shell-dispatcher.sh CLONE CAPACITY POLL_SECONDS IMAGE [IDENTITY]      DOCKER_HOST as usual
# Formulas are read as JSON (which YAML contains), one step each.
set -u
clone=$1 capacity=$2 poll=$3 image=$4 identity=${5:-}
cd "$clone" || exit 1
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 0' INT TERM
mkdir "$work/taken"

record() { # ID CODE LOG
	(
		flock 9
		jq -n --arg id "$1" --argjson code "$2" --rawfile logs "$3" \
			'{id: $id, exit_code: $code, timestamp: (now | todate), logs: $logs[-4096:]}' >"vault/actions/$1.result.json"
		git add "vault/actions/$1.result.json"
		git commit -qm "vault: result for $1"
		until git push -q origin HEAD:main 2>/dev/null; do
			git pull -q --rebase origin main
		done
	) 9>"$work/lock"
}

run_action() { # ID
	local action=vault/actions/$1.json formula code name env=()
	formula=vault/formulas/$(jq -r .formula "$action").yaml
	while read -r name; do
		printf -v "$name" %s "$(age -d -i "$identity" "vault/secrets/$name.age")"
		export "${name?}"
		env+=(-e "$name")
	done < <(jq -r '.secrets[]' "$action")
	docker run --rm --name "task-$1" --network bridge --read-only --user 10001 --cap-drop ALL --security-opt no-new-privileges \
		--memory 512m --memory-swap 512m --cpus 1 --pids-limit 256 --tmpfs /tmp --tmpfs /task -w /task ${env[@]+"${env[@]}"} \
		"$image" /bin/sh -euc "$(jq -r '.steps[0].run' "$formula")" >"$work/$1.log" 2>&1
	code=$?
	record "$1" "$code" "$work/$1.log"
}

while :; do
	(
		flock 9
		git fetch -q origin && git merge -q --ff-only origin/main
	) 9>"$work/lock"
	for action in vault/actions/*.json; do
		id=${action##*/} && id=${id%.json}
		case $id in *.result | *.cancel | '*') continue ;; esac
		if [ -e "vault/actions/$id.result.json" ] || ! mkdir "$work/taken/$id" 2>/dev/null; then continue; fi
		while [ "$(jobs -rp | wc -l)" -ge "$capacity" ]; do wait -n; done
		run_action "$id" &
	done
	sleep "$poll"
done
