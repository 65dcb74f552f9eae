#!/bin/bash
# The site as it really runs: the image of templates/edge under docker-compose, with the file that `disinto compose render` writes; a git server in a container
# beside it, Caddy in front, agents who must reach nothing. Needs root and a mirror for the images.
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ]; then
	echo "ok 1 - # SKIP only root can run an engine of its own with any group"
	exit 0
fi
socket_group=4711 # no other number stands for it anywhere
SUDO_GID=$socket_group engine_start
SITE=$WORK/site
OPS_SITE=$WORK/site/ops.git
"$LIB/runner-image.sh" load "$SOCKET" agents 2>"$WORK/agents-error" & # meanwhile
loading=$!
CHILDREN+=("$loading")
template_image edge || exit 0
export DOCKER_HOST=unix://$SOCKET COMPOSE_PROJECT_NAME=site COMPOSE_HTTP_TIMEOUT=300
dc() { # ARGUMENT…
	(cd "$SITE" && docker-compose "$@" 2>>"$WORK/compose.log")
}
edge() { # COMMAND…: in the edge container
	docker exec site_edge_1 "$@"
}
door=http://127.0.0.1
front() { # [CURL-ARGUMENT…] PATH: from outside, through Caddy
	in_engine curl -sSk --max-time 60 "${@:1:$#-1}" "$door${*: -1}"
}
status_says() { # REGEX
	edge disinto status 2>&1 | grep -qiE -- "$1"
}
healthy() { # as Docker sees it
	[ "$(docker inspect -f '{{.State.Health.Status}}' site_edge_1)" = healthy ]
}
api() { # [CURL-ARGUMENT…] PATH: with an operator's token, through Caddy
	front --fail-with-body -H "Authorization: Bearer $token" "${@:1:$#-1}" "/disinto${*: -1}"
}
run_log() { # ID
	api "/workers/$1/logs"
}
as() { # USER COMMAND…: in the edge container, without groups
	edge setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"
}
boot_log() { # ID: what the starts did about it
	as 60707 cat /var/lib/disinto/boot.log | jq -r --arg id "$1" 'select(.id == $id) | .did'
}
said() { # REGEX: on the container's output
	docker logs site_edge_1 >"$WORK/said" 2>&1
	grep -qE -- "$1" "$WORK/said"
}
trouble() { # what the container said, if something went wrong
	[ "$FAILURES" = 0 ] || { docker logs site_edge_1 2>&1 && tail -n 20 "$WORK/compose.log"; } | tail -n 60 | sed 's/^/# /'
}
trap 'trouble; cleanup' EXIT

# --- a site of somebody who is not root
rm -rf "$SITE"
mkdir -p "$SITE"
chmod 0711 "$WORK"
disinto init "$SITE" >"$WORK/init.out" || bail "no site"
CONFIG=$SITE/dispatcher.yaml
export DISINTO_CONFIG=$CONFIG
[ -e "$SITE/docker-compose.yml" ] || disinto compose render 2>/dev/null || bail "no compose file"
sed -i 's/^#\?poll_seconds:.*/poll_seconds: 1/' "$CONFIG"
chown -R 1000 "$SITE"
echo 'drain_seconds: 1' >>"$CONFIG"
git config --global --add safe.directory '*'
printf 'DOCKER_SOCKET=%s\n' "$SOCKET" >"$SITE/.env"
cat >"$SITE/docker-compose.override.yml" <<-EOT
	version: "2.4"
	services:
	  edge:
	    dns_opt: ["timeout:1", "attempts:1"] # nobody answers for names from elsewhere, and a resolver asks twice, for 5 s each
	    healthcheck: {interval: 1s}
	    stop_grace_period: 3s # of an engine that ends, too
	    environment: {DISINTO_OPS_REPO: "git://git/ops.git", DISINTO_ALLOWED_HOSTS: "[site.example]"}
	  git:
	    image: disinto/agents
	    restart: unless-stopped
	    user: "1000:60708"
	    command: [git, -c, safe.directory=*, daemon, --export-all, --enable=receive-pack, --base-path=/srv, /srv]
	    volumes: ["./ops.git:/srv/ops.git"]
	    networks: [forge]
EOT
grep -q '^version' "$SITE/docker-compose.yml" || sed -i '/^version/d' "$SITE/docker-compose.override.yml"
SERVER=$OPS_SITE
OPS=$WORK/clone
git clone -q "$OPS_SITE" "$OPS"
gated_formula gated
formula leak <<<$'steps:\n  - id: say\n    run: echo "key $KEY"'
formula three <<<$'steps:\n  - id: wait\n    run: until [ -e /tmp/open ]; do sleep 0.1; done; exit 3'
secret KEY 'a-secret-of-a-step'
action first leak '{"secrets": ["KEY"]}'
land

# --- the image
size() { stat -c %s "$("$LIB/runner-image.sh" build "$1")"; }
added=$((($(size edge) - $(size base)) / 1000000))
echo "# the edge image adds $added MB to its base"
check "the image adds at most 90 MB" [ $added -le 90 ]
mkdir "$WORK/context"
sed -n 's/^!//p' "$ROOT/.dockerignore" | tar -C "$ROOT" -c -T - | tar -C "$WORK/context" -x
check "what it is built from is all that compiling needs" eval 'make -n -s -C "$WORK/context" all >/dev/null'
# guard: `again` in the Makefile
like "what deps has installed is looked for by another make" "$(make -n -C "$WORK/context" images)" '^[^ ]*make .*image-edge image-agents image-runner$'

# --- it starts before the git server does, says so, and goes on when that is there
check "docker-compose up" dc up -d edge
check "disinto status answers inside" wait_for edge disinto status
check "it says what it waits for" wait_for status_says 'poll +not ok .*git'
is "it is not healthy meanwhile" "$(edge /usr/lib/disinto/health >/dev/null && echo healthy)" ''
wait "$loading" || bail "no image agents: $(tail -n 5 "$WORK/agents-error")"
dc up -d git
finished first
is "an action with a secret succeeds" "$(field first '[.outcome, .logs] | @json')" '["succeeded","key [redacted:KEY]\n"]'
check "now it is healthy" wait_for healthy

# --- its front door
token=$(edge disinto token add operator --scope operate 2>/dev/null)
like "the dashboard through Caddy" "$(front /disinto/)" '<title>[^<]*disinto'
"$LIB/browser.sh" >"$WORK/npm.log" 2>&1 || bail "npm can't install the browser driver: $(tail -n 3 "$WORK/npm.log")"
in_engine node "$ROOT/tests/browser/front.mjs" "$ROOT/build/browser" http://127.0.0.1/disinto/ "$token" >"$WORK/browser.out" 2>&1
code=$?
browser_said "$WORK/browser.out"
is "the browser's tests came to their end" $code 0
is "healthz through Caddy" "$(front -o /dev/null -w '%{http_code}' /disinto/healthz)" 200
is "but by no name that a stranger may have pointed here" "$(front -H 'Host: stranger.example' -o /dev/null -w '%{http_code}' /disinto/healthz)" 421
is "negative control: by one of its own" "$(front -H 'Host: site.example' -o /dev/null -w '%{http_code}' /disinto/healthz)" 200
is "without a token no API" "$(front -o /dev/null -w '%{http_code}' /disinto/actions)" 401
is "with one there is" "$(state first)" finished
check "the container's output has the dispatcher's words" said ' role=core '
check "and Caddy's" said '"logger":"http\.log\.access'

# --- separation, from inside. guard: become in dispatcher/confine.c
is "root there has four capabilities" "$(edge grep CapBnd /proc/1/status | tr -d '[:space:]')" CapBnd:00000000000000e1
is "no role lacks separation" "$(edge disinto status --json | jq -c .separation)" '[]'
roles_inside=$(edge sh -c 'cat /proc/[0-9]*/status' | awk '$1 == "Name:" { name = $2 } $1 == "Uid:" { uid = $2 } $1 == "Groups:" { $1 = ""; print name uid $0 }' |
	grep -E '^(disinto-|caddy)' | sort | tr '\n' ';')
is "parity_B8 each has its user, engine alone the socket's group" "$roles_inside" \
	"caddy60712 60712;disinto-core60707;disinto-dispatc0 0;disinto-engine60710 $socket_group;disinto-git60708;disinto-keyring60709;disinto-web60711;"
knock='use IO::Socket::UNIX; exit !IO::Socket::UNIX->new($ARGV[0])'
for user in 60707 60708 60709 60711 60712; do
	refute "parity_B8 user $user can't open the socket" as $user perl -e "$knock" /var/run/docker.sock
done
check "parity_B8 negative control: who has its group can" edge setpriv --reuid 60710 --regid 60710 --groups $socket_group perl -e "$knock" /var/run/docker.sock
for user in 60707 60708 60710 60711 60712; do
	refute "user $user can't read the identity" as $user cat /run/secrets/identity_file 2>/dev/null
done
like "negative control: its owner can" "$(as 1000 cat /run/secrets/identity_file)" AGE-SECRET-KEY

# --- what dies begins again, and what runs is not touched. guard: templates/edge/ended, run
action mid gated
land
at_gate mid
docker exec -d site_edge_1 setpriv --reuid 60707 --regid 60707 --clear-groups flock /var/lib/disinto/lock sh -c 'until [ -e /tmp/free ]; do sleep 0.2; done'
edge s6-svc -k /run/service/dispatcher
check "parity_B9 s6 says how the dispatcher ended" wait_for said 'service=dispatcher how="killed by signal 9".* next="begins again in 1 s"'
check "parity_B9 and with which code" wait_for said 'service=dispatcher how="exited with code 1".* next="begins again in 2 s"'
check "each time after a longer pause" wait_for said 'service=dispatcher how="exited with code 1".* next="begins again in 4 s"'
check "why it can't start stands before it" said '^time=.* why=".*another dispatcher is running on it'
edge touch /tmp/free
check "parity_B9 it comes back" wait_for is_state mid running
# What only a person can mend is not tried again.
echo 'colour: red' >>"$CONFIG" # in place, since the container has the file and not its folder
edge s6-svc -k /run/service/dispatcher
check "parity_D8 a wrong configuration: 78, and it stays down" wait_for said 'service=dispatcher how="exited with code 78" next="stays down: mend its configuration'
check "what is wrong stands before it" said '^time=.* why=".*dispatcher\.yaml.*colour.* next="mend what it names'
sleep 3
is "it was tried once" "$(docker logs site_edge_1 2>&1 | grep -c 'exited with code 78')" 1
refute "which is not healthy" edge /usr/lib/disinto/health >/dev/null
sed '/^colour:/d' "$CONFIG" >"$WORK/config" && cat "$WORK/config" >"$CONFIG"
edge s6-svc -u /run/service/dispatcher
check "mended and asked for, it begins again" wait_for is_state mid running
edge s6-svc -k /run/service/caddy
check "so does Caddy" wait_for said 'service=caddy how="killed by signal 9"'
check "parity_B9 both come back" wait_for is_state mid running
docker restart site_edge_1 >/dev/null
check "after a restart of the container it runs still" wait_for is_state mid running
is "parity_D1 boot.log has a line for each start" "$(boot_log mid | sort | uniq -c | tr -s ' ')" ' 3 adopted: followed again from its first byte'

is "parity_D9 each line of the container has its time" "$(docker logs site_edge_1 2>&1 | grep -vcE '^(time=20[0-9]{2}-[0-9:.T-]+Z|\{.*"ts":1[0-9]+\.)')" 0
is "parity_D9 and the last ten files of 1 MB are kept" "$(docker inspect -f '{{json .HostConfig.LogConfig}}' site_edge_1 | jq -cS .)" \
	'{"Config":{"max-file":"10","max-size":"1m"},"Type":"json-file"}'

# --- the next version, in the middle of that run: another image, whose runner is another one
printf 'FROM disinto/edge\nRUN echo >>/usr/bin/disinto-runner\n' | docker build -q -t disinto/edge:next - >/dev/null || bail "no next image"
echo 'EDGE_IMAGE=disinto/edge:next' >>"$SITE/.env"
dc up -d edge
is "the next version runs" "$(docker inspect -f '{{.Config.Image}}' site_edge_1)" disinto/edge:next
check "the run in flight is adopted by it" wait_for is_state mid running
is "which boot.log says" "$(boot_log mid | wc -l)" 4
action next leak '{"secrets": ["KEY"]}'
land
finished next
is "a new one runs with its runner" "$(field next .outcome) $(docker volume ls -q | grep -c '^disinto-runner-')" 'succeeded 2'
open_gate mid
finished mid
is "the one in flight succeeds" "$(field mid '[.outcome, .attempt] | @json')" '["succeeded",1]'
is "it was started once" "$(starts mid)" 1

# --- what ends well stays down until it is asked for
edge disinto drain 2>/dev/null
check "drained, it stays down" wait_for said 'service=dispatcher how="exited with code 0" next="stays down'
refute "which is not healthy" edge /usr/lib/disinto/health >/dev/null
edge s6-svc -u /run/service/dispatcher
check "asked for, it begins again" wait_for is_state mid finished

# --- the machine starts anew: the engine ends everything and comes back. guard: restart in templates/compose.yaml, house_boot_exited
action reboot gated
land
at_gate reboot
docker top site_edge_1 -eo pid | sed 1d | xargs kill -STOP # so that it does not see what ends
engine_down
socket_group=4713
SUDO_GID=$socket_group engine_up
check "edge comes back by itself" wait_for healthy
is "parity_B8 with the group that the socket has now" "$(edge sh -c 'cat /proc/[0-9]*/status' |
	awk '$1 == "Name:" { name = $2 } $1 == "Groups:" && name == "disinto-engine" { print $2 }')" $socket_group
finished reboot
like "what ran has a result" "$(field reboot '.outcome + " " + .reason')" '^(failed|lost|cancelled) .'
like "boot.log has one line for it" "$(boot_log reboot)" 'its outcome is (failed|lost|cancelled)$'
action after leak '{"secrets": ["KEY"]}'
land
finished after
is "and goes on" "$(field after .outcome)" succeeded

# --- agents: no socket, no control plane, no secret. guard: templates/compose.yaml
mkdir -p "$SITE/secrets"
echo token-of-the-forge >"$SITE/secrets/agents-forge-token"
(umask 022 && echo "$token" >"$SITE/secrets/runner-token")
chmod 0644 "$SITE/secrets/"*
addresses=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' site_edge_1)
# Every address of edge, and its name, at Caddy's ports and the API's; prints those where somebody answers.
reach='for at in $0; do for port in 80 443 8080; do
	curl -so /dev/null --connect-timeout 4 "http://$at:$port/" && echo "$at:$port" & done; done; wait'
check "agents start" dc --profile agents up -d agents
check "agents have git" docker exec site_agents_1 test -x /usr/bin/git
docker run --rm --network site_control disinto/agents sh -c "$reach" "edge $addresses" >"$WORK/reached" &
control=$!
is "they reach no port of edge" "$(docker exec site_agents_1 sh -c "$reach" "edge $addresses")" ''
wait "$control"
like "negative control: from the network of the command line one does" "$(cat "$WORK/reached")" '^edge:80$'
gateway=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}' site_agents_1)
like "the open front door, if they get there, asks them for a token" "$(docker exec site_agents_1 \
	curl -s -o /dev/null --connect-timeout 4 -w '%{http_code}' "http://$gateway:80/disinto/actions")" '^(401|000)$'
is "no socket of an engine is there" "$(docker exec site_agents_1 find / -xdev -name '*.sock' 2>/dev/null)" ''
refute "nor a way to Docker" docker exec site_agents_1 perl -e "$knock" /var/run/docker.sock
is "one credential, their own" "$(docker exec site_agents_1 ls /run/secrets)" forge_token
is "nothing of the dispatcher's in the environment" "$(docker exec site_agents_1 env | grep -ciE 'disinto|token=|age-secret')" 0
is "they have no capability" "$(docker exec site_agents_1 grep CapBnd /proc/1/status | tr -d '[:space:]')" CapBnd:0000000000000000
is "git asks the forge's token for the forge" "$(docker exec site_agents_1 sh -c \
	'printf "protocol=http\nhost=forgejo:3000\n\n" | git credential fill' | grep ^password)" password=token-of-the-forge
is "and gives it to nobody else" "$(docker exec -e GIT_TERMINAL_PROMPT=0 site_agents_1 sh -c \
	'printf "protocol=http\nhost=elsewhere:3000\n\n" | git credential fill' 2>/dev/null)" ''

# --- what agents publish. Caddy's own image has a program with a file capability, which does not start where the bounding set lacks that one.
mkdir "$WORK/staging"
cp "$(command -v busybox)" "$WORK/staging/wget"
cat >"$WORK/staging/Dockerfile" <<-'EOT'
	FROM disinto/edge
	COPY wget /usr/bin/
	RUN perl -MPOSIX -e 'my $call = {x86_64 => 188, aarch64 => 5}->{(POSIX::uname())[4]}; \
		my @set = ("/usr/bin/caddy", "security.capability", pack("V5", 0x02000001, 1 << 10, 0, 0, 0)); exit syscall($call, @set, 20, 0) != 0'
	ENTRYPOINT []
EOT
docker build -q -t disinto/staging:test "$WORK/staging" >/dev/null || bail "no image for staging"
refute "negative control: without any capability it does not start" docker run --rm --cap-drop ALL disinto/staging:test caddy version >/dev/null 2>&1
echo 'STAGING_IMAGE=disinto/staging:test' >>"$SITE/.env"
echo 'made by agents' >"$SITE/staging/index.html"
dc --profile staging up -d staging
check "staging is what / shows" wait_for eval '[ "$(front /)" = "made by agents" ]'
mapfile -t health < <(docker inspect -f '{{json .Config.Healthcheck.Test}}' site_staging_1 | jq -r '.[1:][]')
check "and well by its own health check" docker exec site_staging_1 "${health[@]}"
is "no user of it has a capability" "$(docker exec site_staging_1 grep CapPrm /proc/1/status | tr -d '[:space:]')" CapPrm:0000000000000000

# --- the command line in a container: docker-compose run --rm runner ID
action asked three
land
wait_for is_state asked running
dc run --rm runner asked >"$WORK/runner.out" &
runner=$!
CHILDREN+=("$runner")
wait_for eval '[ -n "$(docker ps -qf name=site_runner_run)" ]'
is "it holds its token and nothing else" "$(docker inspect -f '{{range .Mounts}}{{.Destination}} {{end}}' "$(docker ps -qf name=site_runner_run)")" '/run/secrets/token '
open_gate asked
wait "$runner"
is "it returns the action's exit code" $? 3

# --- a backup out of it, and a spool that comes back from one
age-keygen -o "$WORK/vault.key" 2>/dev/null
check "a backup of what is another user's" eval 'edge disinto backup --seal-to "$(age-keygen -y "$WORK/vault.key")" - >"$WORK/backup.tar"'
like "the identity is in it, sealed" "$(tar -tf "$WORK/backup.tar")" '^sealed/identity_file.age$'
dc stop edge git
dc rm -f edge >/dev/null
docker volume rm site_spool >/dev/null
check "restore into an empty volume" eval 'dc run --rm -T --no-deps --entrypoint disinto edge restore - <"$WORK/backup.tar"'
dc up -d git

# --- and with a domain, for which Caddy makes the certificate itself
echo 'DOMAIN=localhost' >>"$SITE/.env"
door=https://localhost
dc up -d edge
check "it goes on" wait_for is_state first finished
is "over HTTPS by itself" "$(front -o /dev/null -w '%{http_code} %{scheme}' /disinto/healthz)" '200 HTTPS'
is "where plain HTTP leads" "$(in_engine curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' http://localhost/disinto/)" '308 https://localhost/disinto/'
like "as the same dispatcher" "$(as 60707 cat /var/lib/disinto/dispatcher.json | jq -r .id)" "^$(field first .dispatcher)$"
dc down >/dev/null

# --- README, by the letter, by somebody who may use Docker and nothing else: with an ops repo that is a folder of this machine. guard: site_share_repo in cli/share.c
mkdir -p "$WORK/newcomer/bin"
cp "$BIN"/disinto* "$WORK/newcomer/bin/"
chown -R 4712:4712 "$WORK/newcomer"
cp /etc/passwd /etc/group "$WORK/"
echo "newcomer:x:4712:4712::$WORK/newcomer:/bin/sh" >>"$WORK/passwd"
echo 'newcomer:x:4712:' >>"$WORK/group"
newcomer() { # COMMAND…: as a user with a group of his own, and the socket's
	unshare -m sh -c 'mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group && cd "$0/newcomer" &&
		HOME=$0/newcomer PATH=$0/newcomer/bin:$PATH exec "$@"' "$WORK" setpriv --reuid 4712 --regid 4712 --groups $socket_group "$@"
}
awk '/^## / { on = $0 == "## Run it for real" } on && /^    / { sub("^    ", ""); print }' "$ROOT/README.md" |
	sed '/^make /d; /^\$EDITOR/d; s/docker compose exec/docker-compose exec -T/; s/docker compose/docker-compose/' >"$WORK/readme.sh"
check "it has its commands" [ "$(wc -l <"$WORK/readme.sh")" -ge 6 ]
unset DISINTO_CONFIG
chmod 0644 "$WORK/readme.sh"
DOCKER_SOCKET=$SOCKET COMPOSE_PROJECT_NAME=own newcomer timeout 200 bash -e "$WORK/readme.sh" >"$WORK/readme.out" 2>&1 </dev/null
is "README: every command works" $? 0
like "README: the first result" "$(cat "$WORK/readme.out")" 'Hello, World'
like "README: it is in the ops repo" "$(newcomer git -C site/ops.git show main:vault/actions/hello-1.result.json | jq -r .outcome)" succeeded
token=$(grep -oxE '[A-Za-z0-9_-]{43}' "$WORK/readme.out")
# Every command that asks or changes something works inside, though root there may not override modes and the repository's owner has no account. guard: XDG_CACHE_HOME in
# templates/compose.yaml, git_child_start
inside() { # COMMAND…
	docker exec -e GIT_AUTHOR_NAME='Some Body' -e GIT_AUTHOR_EMAIL=body@example.org own_edge_1 disinto "$@" 2>&1
}
printf 'a-secret-from-inside' | docker exec -i own_edge_1 disinto secrets add --land INSIDE 2>/dev/null
like "inside: secrets list" "$(inside secrets list)" '^INSIDE '
is "inside: secrets show" "$(inside secrets show INSIDE)" a-secret-from-inside
is "inside: propose, pending, approve" "$(inside propose --id hello-2 --formula hello --context Again --input name=You | tail -n 1 | cut -d' ' -f1-3
	inside pending | tail -n 1 | cut -d' ' -f1
	inside approve hello-2 | tail -n 1 | cut -d' ' -f1-3)" $'hello-2 is proposed\nhello-2\nhello-2 is approved:'
is "inside: by whom" "$(newcomer git -C site/ops.git log -1 --format=%an --merges main)" 'Some Body'
like "inside: run" "$(inside run hello-2)" '^Hello, You'
for command in validate verify list 'show hello-2' 'logs hello-2' 'artifacts hello-2' 'secrets exposure INSIDE' 'secrets rotate' 'secrets remove INSIDE' doctor 'token list' status; do
	# shellcheck disable=SC2086 # several words
	check "inside: $command" eval 'inside $command >"$WORK/inside" || { sed "s/^/# /" "$WORK/inside" && false; }'
done
refute "inside: doctor knows all that it looks at" eval 'inside doctor | grep "^note .*by this user"'
is "README: the token opens the dashboard" "$(door=http://127.0.0.1 && front -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" /disinto/actions)" 200
grep -q 'Hello, World' "$WORK/readme.out" || { cat "$WORK/readme.out" && docker logs own_edge_1 2>&1 | tail -n 20; } | sed 's/^/# /'
