#!/bin/bash
# What the end-to-end tests share: a fresh world in a temporary folder (home, git server, ops repo, engine, dispatcher), waiting, and
# TAP. Source it; when the script ends, however it ends, everything that it started is ended and removed.
#   KEEP=1 leaves the folder for a look
# shellcheck disable=SC2034 # several variables are for the scripts that source this

set -uo pipefail
shopt -s nullglob
unset "${!DISINTO_@}" DOCKER_HOST 2>/dev/null
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=$ROOT/bin
LIB=$ROOT/tests/lib

WORK=$(mktemp -d "${TMPDIR:-/tmp}/disinto-e2e.XXXXXX")
ENGINE=$WORK/engine
SOCKET=$ENGINE/docker.sock
SPOOL=$WORK/site/spool
CONFIG=$WORK/site/dispatcher.yaml
LOG=$WORK/dispatcher.log
SERVER=$WORK/repos/ops.git # the ops repo, as it is on the server
OPS=$WORK/ops              # somebody's clone of it
DISPATCHER=                # process id while it runs
DISPATCHER_AS=(env)        # what starts it
CHILDREN=()                # other processes to end
TAP=1 TESTS=0 FAILURES=0

export HOME=$WORK/home PATH=$BIN:$PATH GIT_CONFIG_NOSYSTEM=1 LC_ALL=C.UTF-8
unset MAKEFLAGS MFLAGS MAKELEVEL # a make that runs the tests must not speak to those that they run
unset "${!GIT_AUTHOR_@}" "${!GIT_COMMITTER_@}" XDG_CONFIG_HOME 2>/dev/null
mkdir -p "$HOME" "$WORK/repos" "$WORK/site"
: >"$WORK/marks" && : >"$WORK/events"
git config --global user.name 'Test Person'
git config --global user.email person@example
git config --global init.defaultBranch main
git config --global advice.detachedHead false

# --- TAP

ok() { # DESCRIPTION
	TESTS=$((TESTS + 1))
	echo "ok $TESTS - $1"
}

not_ok() { # DESCRIPTION
	TESTS=$((TESTS + 1)) FAILURES=$((FAILURES + 1))
	echo "not ok $TESTS - $1"
}

# Passes if the command succeeds.
check() { # DESCRIPTION COMMAND [ARGUMENT…]
	local what=$1
	shift
	if "$@"; then ok "$what"; else
		not_ok "$what"
		echo "# failed: $*"
	fi
}

refute() { # DESCRIPTION COMMAND…: passes if the command fails
	local what=$1
	shift
	if "$@"; then
		not_ok "$what"
		echo "# should have failed: $*"
	else ok "$what"; fi
}

is() { # DESCRIPTION ACTUAL EXPECTED
	if [ "$2" = "$3" ]; then ok "$1"; else
		not_ok "$1"
		printf '# got:      %s\n# expected: %s\n' "$2" "$3"
	fi
}

like() { # DESCRIPTION ACTUAL EXTENDED-REGEX
	if grep -qE -- "$3" <<<"$2"; then ok "$1"; else
		not_ok "$1"
		printf '# got:      %s\n# no match: %s\n' "$2" "$3"
	fi
}

# A command on a terminal, whose output is in $WORK/screen and whose exit code is in $code: types each answer when its prompt is there.
terminal() { # LINE-TO-WAIT-FOR ANSWER … -- COMMAND
	local answers=()
	while [ "$1" != -- ]; do answers+=("$1") && shift; done
	shift
	rm -f "$WORK/keys" && mkfifo "$WORK/keys"
	: >"$WORK/screen"
	script -qefc "$*" /dev/null <"$WORK/keys" >"$WORK/screen" 2>&1 &
	local child=$! i
	exec 9>"$WORK/keys"
	for ((i = 0; i < ${#answers[@]}; i += 2)); do
		wait_for grep -qF -- "${answers[i]}" "$WORK/screen"
		printf '%b' "${answers[i + 1]}" >&9
	done
	wait $child
	code=$?
	exec 9>&-
}

# What a script of tests/browser/ said, line by line.
browser_said() { # FILE
	local line
	while read -r line; do
		case $line in
		'ok - '*) ok "${line#ok - }" ;;
		'not ok - '*) not_ok "${line#not ok - }" ;;
		*) echo "# $line" ;;
		esac
	done <"$1"
}

bail() {
	not_ok "$*"
	exit 1
}

# Polls until the command succeeds. The bound only keeps a broken test from blocking for ever.
wait_for() { # COMMAND…
	local end=$((SECONDS + ${WAIT:-90}))
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			echo "# waited in vain for: $*"
			return 1
		fi
		sleep 0.1
	done
}

cleanup() {
	trap - EXIT
	local child
	if [ "$FAILURES" != 0 ] && [ -s "$LOG" ]; then
		echo "# the dispatcher's last words:"
		tail -n 40 "$LOG" | sed 's/^/#   /'
	fi
	[ -z "$DISPATCHER" ] || dispatcher_kill
	for child in "${CHILDREN[@]}"; do kill "$child" 2>/dev/null; done
	for child in "$WORK"/servers/*; do "$LIB/git-server.sh" stop "$child"; done
	[ ! -d "$ENGINE" ] || "$LIB/engine.sh" stop "$ENGINE"
	[ -n "${KEEP:-}" ] || rm -rf "$WORK"
	[ -z "$TAP" ] || echo "1..$TESTS"
	[ "$FAILURES" = 0 ] && [ "$TESTS" -gt 0 ]
	exit $?
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# --- the world

engine_start() {
	MEMORY=1 "$LIB/engine.sh" start "$ENGINE" || bail "no engine"
	record
}
engine_down() {
	"$LIB/engine.sh" down "$ENGINE"
}
engine_up() {
	"$LIB/engine.sh" up "$ENGINE" && record
}
# The engine keeps its last 256 events only: all of them are written down from its start, beside what containers sent to port 7000 of
# their bridge, which is how a step without any mount can leave a mark ($MARK).
record() {
	curl -sN --unix-socket "$SOCKET" http://docker/events >>"$WORK/events" 2>/dev/null &
	CHILDREN+=($!)
	nsenter --net="/proc/$(cat "$ENGINE/pid")/ns/net" busybox nc -ll -p 7000 -e sh -c "cat >>'$WORK/marks'" &
	CHILDREN+=($!)
}
marks() { # ID: how often its step said so
	grep -cxF -- "$1" "$WORK/marks"
}
engine() { # CURL-ARGUMENT… PATH
	local path=${*: -1}
	curl -sS --max-time 60 --unix-socket "$SOCKET" "${@:1:$#-1}" "http://docker$path"
}
docker() { # Debian's client on the private engine
	DOCKER_HOST=unix://$SOCKET /usr/bin/docker "$@"
}
# The names of the containers of an action that are there, and how many of them were ever started.
containers() { # ID
	engine '/containers/json?all=1' | jq -r '.[].Names[0]' | grep -E -- "-$1-[0-9]+\$"
}
starts() { # ID
	jq -r 'select(.Type == "container" and .Action == "start") | .Actor.Attributes.name' "$WORK/events" | grep -cE -- "-$1-[0-9]+\$"
}

# Commands on the engine's side of the network: what listens there on an address of host_address is reached by containers.
in_engine() { # COMMAND…
	nsenter --net="/proc/$(cat "$ENGINE/pid")/ns/net" "$@"
}
serve_engine() { # COMMAND…: in the background; ends with the script
	nsenter --net="/proc/$(cat "$ENGINE/pid")/ns/net" "$@" >>"$WORK/served" 2>&1 </dev/null & # no function: its process is the command
	CHILDREN+=($!)
}
host_address() { # IPV4
	in_engine ip address add "$1/32" dev lo
}
# Loads an image of templates/: disinto/runner-debian or -node, edge or agents (tests/lib/runner-image.sh). Where neither a registry nor a mirror can be reached,
# one test is reported as skipped and the function fails.
template_image() { # KIND
	"$LIB/runner-image.sh" load "$SOCKET" "$1" 2>"$WORK/image-error"
	case $? in
	0) return 0 ;;
	77) ok "$(basename "$0") # SKIP $(tail -n 1 "$WORK/image-error")" ;;
	*) bail "no image $1: $(tail -n 5 "$WORK/image-error")" ;;
	esac
	return 1
}
debian_image() { # [node]
	template_image "${1:-debian}"
}

server() { # path|daemon|http|ssh: serves $WORK/repos; sets URL and the lines that the configuration needs for it
	local dir=$WORK/servers/$1
	mkdir -p "$WORK/servers"
	URL_CONFIG=
	case $1 in
	path)
		URL=$SERVER
		return
		;;
	http)
		URL_CONFIG="git_token_file: $WORK/token"
		[ -e "$WORK/token" ] || (umask 077 && echo "token-$RANDOM$RANDOM" >"$WORK/token")
		URL=$("$LIB/git-server.sh" start http "$dir" "$WORK/repos" "$(cat "$WORK/token")")/ops.git
		;;
	daemon) URL=$("$LIB/git-server.sh" start daemon "$dir" "$WORK/repos")/ops.git ;;
	ssh)
		URL=$("$LIB/git-server.sh" start ssh "$dir" "$WORK/repos")/ops.git
		URL_CONFIG="known_hosts_file: $dir/known_hosts"$'\n'"ssh_key_file: $dir/id"
		;;
	esac || bail "no $1 server"
}

# A forge beside $SERVER (tests/servers/forge_server.c), after `site http`: sets FORGE to its address and FORGE_REPO, changes URL; users human, agent and bot have their tokens in
# $WORK/token.<login>. Its address is no git server: git goes where it went before.
forge() {
	local login url=$WORK/forge.url
	for login in human agent bot; do
		(umask 077 && echo "token-$login" >"$WORK/token.$login")
		echo "token-$login $login"
	done >"$WORK/forge.users"
	rm -f "$url"
	# A forge's repositories have owners.
	[ -e "$WORK/repos/org" ] || ln -s . "$WORK/repos/org"
	FORGE_REPO=org/ops
	URL=${URL%/ops.git}/org/ops.git
	sed -i "s|^ops_repo: .*|ops_repo: $URL|" "$CONFIG"
	"$ROOT/${SAN:-build/gcc/san}/forge_server" "$SERVER" "$FORGE_REPO" "$WORK/forge.users" "$url" "$WORK/forge.violation" &
	FORGE_PID=$!
	CHILDREN+=("$FORGE_PID")
	wait_for test -s "$url" || bail "no forge"
	FORGE=$(cat "$url")
}
forge_api() { # LOGIN METHOD PATH [BODY]: path below the repository
	curl -sS --fail-with-body -X "$2" -H "Authorization: token token-$1" -H 'Content-Type: application/json' ${4:+-d "$4"} "$FORGE/api/v1/repos/$FORGE_REPO$3"
}
# Ends it; whatever was asked of it was asked as its API wants it.
forge_stop() {
	kill "$FORGE_PID" && wait "$FORGE_PID"
	is "the forge was asked as its API is described" "$(cat "$WORK/forge.violation" 2>/dev/null)" ''
}

# A fresh ops repo, an identity and a configuration; further lines of it come on standard input when there are any.
site() { # [path|daemon|http|ssh]
	[ -z "$DISPATCHER" ] || dispatcher_stop
	rm -rf "$SERVER" "$OPS" "$WORK/site"
	mkdir -p "$WORK/site"
	: >"$LOG"
	git init -q --bare "$SERVER"
	git clone -q "$SERVER" "$OPS" 2>/dev/null
	age-keygen -o "$WORK/site/identity.age" 2>/dev/null
	chmod 0400 "$WORK/site/identity.age"
	mkdir -p "$OPS/vault/actions" "$OPS/vault/formulas" "$OPS/vault/secrets"
	touch "$OPS/vault/actions/.gitkeep" "$OPS/vault/secrets/.gitkeep"
	age-keygen -y "$WORK/site/identity.age" >"$OPS/vault/recipients.txt"
	formula hello <<<$'steps:\n  - id: hello\n    run: echo "hello $INPUT_NAME"'
	commit 'ops: begin'
	push
	server "${1:-path}"
	{
		cat <<-EOT
			ops_repo: $URL
			poll_seconds: 1
			spool: $SPOOL
			identity_file: identity.age
			docker_host: unix://$SOCKET
			runner_image: disinto/runner
			listen: "off"
			$URL_CONFIG
		EOT
		[ -t 0 ] || cat
	} >"$CONFIG"
	grep -q '^claims: local' "$CONFIG" || ledger_begins
}
# The ledger as `disinto init` makes it, so that nothing that lands before the first start is a backlog.
ledger_begins() {
	local tree
	tree=$(jq -n --arg tip "$(git -C "$SERVER" rev-parse main)" '{tip: $tip, accepted: true}' | git -C "$SERVER" hash-object -w --stdin)
	tree=$(printf '100644 blob %s\torigin.json\n' "$tree" | git -C "$SERVER" mktree)
	git -C "$SERVER" update-ref refs/heads/disinto-ledger "$(git -C "$SERVER" commit-tree -m 'ledger: begins' "$tree")"
}

# --- the ops repo

formula() { # NAME, the rest of the file on standard input
	{
		echo "name: $1"
		cat
	} >"$OPS/vault/formulas/$1.yaml"
}

action() { # ID FORMULA [JSON to merge]
	jq -n --arg id "$1" --arg formula "$2" --argjson more "${3:-{\}}" \
		'{id: $id, formula: $formula, context: "a test", secrets: []} + $more' >"$OPS/vault/actions/$1.json"
}

secret() { # NAME VALUE
	printf '%s' "$2" | age -R "$OPS/vault/recipients.txt" -o "$OPS/vault/secrets/$1.age"
}

commit() { # MESSAGE
	git -C "$OPS" add -A && git -C "$OPS" commit -qm "$1"
}

push() {
	git -C "$OPS" push -q origin HEAD:main
}

# What is new in the clone lands as a merge, the way a pull request does.
land() { # [MESSAGE]
	git -C "$OPS" checkout -q -B proposal &&
		commit "${1:-propose}" &&
		git -C "$OPS" fetch -q origin &&
		git -C "$OPS" checkout -q -B main origin/main &&
		git -C "$OPS" merge -q --no-ff -m 'merge: approved' proposal &&
		push
}

result() { # ID
	git -C "$SERVER" show "main:vault/actions/$1.result.json" 2>/dev/null
}
has_result() { # ID
	git -C "$SERVER" cat-file -e "main:vault/actions/$1.result.json" 2>/dev/null
}
field() { # ID JQ-FILTER
	result "$1" | jq -r "$2"
}
finished() { # ID
	wait_for has_result "$1" || echo "# $1 has no result"
}

recorded() { # ID: its result is on the server, and the ledger says so too, which may come half a second later
	wait_for grep -q "msg=\"result is on the server\" id=$1\$" "$LOG" || echo "# the result of $1 is not recorded"
}

# --- the dispatcher

dispatcher_start() { # [ARGUMENT…]
	"${DISPATCHER_AS[@]}" disinto-dispatcher --config "$CONFIG" "$@" >>"$LOG" 2>&1 </dev/null &
	DISPATCHER=$!
	wait_for answers || echo "# the dispatcher does not answer"
}
answers() {
	! kill -0 "$DISPATCHER" 2>/dev/null || api /health
}
gone() { # PID: a zombie is gone
	[ ! -r "/proc/$1/stat" ] || grep -q '^[0-9]* (.*) [ZX]' "/proc/$1/stat"
}
roles() { # process ids of the roles
	local p
	for p in $(grep -sl "^PPid:[[:space:]]$DISPATCHER\$" /proc/[0-9]*/status); do
		p=${p%/status} && echo "${p#/proc/}"
	done
}
role() { # NAME: its process id
	local p
	for p in $(roles); do
		[[ $(cat "/proc/$p/comm") =~ (^|[^a-z])$1$ ]] && echo "$p" && return
	done
	return 1
}
dispatcher_stop() { # ends it politely; its exit code is the function's
	kill -TERM "$DISPATCHER" 2>/dev/null
	wait_for gone "$DISPATCHER" || kill -9 "$DISPATCHER"
	wait "$DISPATCHER" 2>/dev/null
	local code=$?
	DISPATCHER=
	return $code
}
dispatcher_kill() { # all of its processes at once
	local all
	all="$DISPATCHER $(roles)"
	# shellcheck disable=SC2086 # a list
	kill -9 $all 2>/dev/null
	wait "$DISPATCHER" 2>/dev/null
	for p in $all; do wait_for gone "$p"; done
	DISPATCHER=
}
api() { # [CURL-ARGUMENT…] PATH
	local path=${*: -1}
	curl -sS --fail-with-body --max-time 60 --unix-socket "$SPOOL/api.sock" "${@:1:$#-1}" "http://disinto$path"
}
state() { # ID
	api "/actions/$1" | jq -r .state
}
is_state() { # ID STATE
	[ "$(state "$1")" = "$2" ]
}
reason() { # ID
	api "/actions/$1" | jq -r .reason
}
waits_with() { # ID REGEX: it is waiting, for such a reason
	is_state "$1" waiting && reason "$1" | grep -qE -- "$2"
}
run_log() { # ID: its log so far
	cat "$SPOOL/runs/$1/log"
}
log_has() { # ID REGEX
	run_log "$1" | grep -qE -- "$2"
}

# A line of shell for a step: see record().
MARK='echo "$DISINTO_ACTION_ID" | nc "$(ip route | sed -n "s/^default via \([0-9.]*\).*/\1/p")" 7000'

# A formula that stands still after its first line until `open_gate ID`, so that a test can look at a run in its middle.
gated_formula() { # NAME [SHELL LINE before the gate]
	formula "$1" <<-EOT
		steps:
		  - id: gated
		    run: |
		      echo begin \$(cat /proc/sys/kernel/random/uuid)
		      ${2:-:}
		      until [ -e /tmp/open ]; do sleep 0.1; done
		      echo end
	EOT
}
at_gate() { # ID
	wait_for log_has "$1" '^begin ' || echo "# $1 does not begin"
}
open_gate() { # ID
	docker exec "$(containers "$1" | tr -d /)" touch /tmp/open
}
