#!/bin/bash
# `make demo`: the whole way once, with nothing simulated. Makes a site in a fresh folder, stores a secret, proposes an action that uses
# it, approves it, and lets a dispatcher find it, run it in a container and commit its result. Exit 0 only if that succeeded.
#
# The engine is the one at DOCKER_HOST or /var/run/docker.sock; if none answers, a private one is started and ended again.
set -euo pipefail
unset "${!DISINTO_@}"
lib=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$lib/../../bin" && pwd)
export PATH=$bin:$PATH
site=$(mktemp -d /tmp/disinto-demo.XXXXXX)
image=disinto/demo:latest
engine='' dispatcher='' loaded=''

bold='' dim='' plain=''
if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[m'); fi
step=0
say() {
	step=$((step + 1))
	echo "${bold}[$step/7]$plain $*"
}
run() { # shows the command, then what it says
	echo "${dim}      \$ $*$plain"
	"$@" 2>&1 | sed 's/^/      /'
}

finish() {
	code=$?
	trap - EXIT
	if [ -n "$dispatcher" ]; then
		kill "$dispatcher" 2>/dev/null || :
		wait "$dispatcher" 2>/dev/null || :
	fi
	[ -z "$loaded" ] || curl -s -o /dev/null -X DELETE --unix-socket "$socket" "http://docker/images/$image?force=1" || :
	[ -z "$engine" ] || "$lib/engine.sh" stop "$engine"
	[ "$code" = 0 ] || echo "The demo failed; what there is to see is in $site" >&2
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

answers() { # SOCKET
	curl -s -o /dev/null --max-time 3 --unix-socket "$1" http://docker/_ping
}

case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
unix://*) socket=${DOCKER_HOST:-unix:///var/run/docker.sock} && socket=${socket#unix://} ;;
*) socket=/var/run/docker.sock ;;
esac
if answers "$socket"; then
	say "Docker Engine: the one at $socket"
else
	engine=$site.engine
	say "Docker Engine: none answers at $socket; starting a private one"
	"$lib/engine.sh" start "$engine"
	socket=$engine/docker.sock
fi
"$lib/engine.sh" image "$socket" "$image"
loaded=1

say "A site: ops repo, identity, configuration, spool"
run disinto init "$site/site" --runner-image "$image" | head -n 6
cd "$site/site"
echo "docker_host: unix://$socket" >>dispatcher.yaml
# People have a name in git; a bare machine may have none.
git config user.email >/dev/null 2>&1 || export GIT_AUTHOR_NAME=Demo GIT_AUTHOR_EMAIL=demo@localhost

say "A secret, encrypted into the ops repo: nobody who can read the repo can read it"
printf 'a-token-nobody-should-see' | run disinto secrets add --land GREETING

say "An agent proposes an action: a branch of the ops repo, which runs nothing"
run disinto propose --id hello-1 --formula hello --context 'Show the whole way once' --secret GREETING --input name=World

say "A human approves it: a merge into the protected branch"
run disinto approve hello-1

say "The dispatcher finds it, decrypts its secret, and runs it in a container"
disinto-dispatcher --config dispatcher.yaml >dispatcher.log 2>&1 &
dispatcher=$!
tries=0
until [ -S spool/api.sock ] || ! kill -0 "$dispatcher" 2>/dev/null; do sleep 0.05; done
until git -C ops.git cat-file -e main:vault/actions/hello-1.result.json 2>/dev/null; do
	tries=$((tries + 1))
	if [ "$tries" -gt 600 ] || ! kill -0 "$dispatcher" 2>/dev/null; then
		tail -n 20 dispatcher.log >&2
		echo "demo: no result after a minute; the dispatcher's log stands above" >&2
		exit 1
	fi
	sleep 0.1
done
run disinto logs hello-1

say "Its result, committed to the ops repo"
git -C ops.git show main:vault/actions/hello-1.result.json | jq . | sed 's/^/      /'
echo "${dim}      \$ git log --graph$plain"
git -C ops.git --no-pager log --graph --format='%h %s  (%an)' main | sed 's/^/      /'

outcome=$(git -C ops.git show main:vault/actions/hello-1.result.json | jq -r .outcome)
[ "$outcome" = succeeded ] || {
	echo "demo: the outcome is $outcome" >&2
	exit 1
}
cat <<-EOT

	${bold}It succeeded.$plain The dispatcher is stopped now; its site stays in $site/site. To go on:
	  cd $site/site && PATH=$bin:\$PATH
	  disinto list
	  disinto show hello-1
	  disinto secrets show GREETING
	docs/first-use.md does all of this by hand, with an engine and a site that stay. To clean up: rm -rf $site
EOT
