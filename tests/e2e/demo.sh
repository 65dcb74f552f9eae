#!/bin/bash
# The demo, as a user starts it: with an engine that answers, and with none.
. "$(dirname "$0")/lib.sh"

leftovers() { # processes of the demo's folder
	local p
	for p in /proc/[0-9]*; do
		[[ $(tr '\0' ' ' 2>/dev/null <"$p/cmdline") != *$1* ]] || cat "$p/comm"
	done 2>/dev/null
}

run_demo() { # WHAT ENGINE-SOCKET
	local begin=$SECONDS output code folder
	output=$(DOCKER_HOST=unix://$2 "$LIB/demo.sh" 2>&1)
	code=$?
	is "$1: exit code" $code 0
	[ $code = 0 ] || echo "${output//$'\n'/$'\n# '}"
	like "$1: the result is shown" "$output" '"outcome": "succeeded"'
	like "$1: the git log is shown" "$output" 'vault: result for hello-1'
	like "$1: the secret is redacted" "$output" 'it reads: '
	refute "$1: and not shown" grep -qF a-token-nobody-should-see <<<"$output"
	folder=$(grep -o '/tmp/disinto-demo\.[A-Za-z0-9]*' <<<"$output" | tail -n 1)
	check "$1: the site stays" [ -s "$folder/site/dispatcher.yaml" ]
	is "$1: no process stays" "$(leftovers "$folder")" ''
	refute "$1: no engine's folder stays" [ -e "$folder.engine" ]
	echo "# took $((SECONDS - begin)) s"
	rm -rf "$folder"
}

# Debian's package conflicts with Docker's own: apt would take away the engine that is there. guard: docker.io in tests/lib/deps.sh
mkdir "$WORK/stubs"
printf '#!/bin/sh\ntrue\n' | tee "$WORK/stubs/dpkg-query" >"$WORK/stubs/dockerd"
printf '#!/bin/sh\necho "$0 $*"\nexit 1\n' | tee "$WORK/stubs/sudo" | tee "$WORK/stubs/id" >"$WORK/stubs/apt-get"
chmod +x "$WORK/stubs/"*
is "an engine of other packages is not replaced" "$(PATH=$WORK/stubs:$PATH "$LIB/deps.sh" docker.io 2>&1)" ''
rm "$WORK/stubs/dockerd"
like "negative control: where there is none it is installed" "$(PATH=$WORK/stubs:/usr/bin:/bin "$LIB/deps.sh" docker.io 2>&1)" 'installing docker\.io'

run_demo 'without an engine' "$WORK/nothing.sock"
engine_start
run_demo 'with an engine' "$SOCKET"
is "nothing is left on the engine: containers" "$(engine '/containers/json?all=1' | jq length)" 0
is "nothing is left on the engine: its image" "$(engine /images/json | jq -r '.[].RepoTags[]')" disinto/runner:latest
