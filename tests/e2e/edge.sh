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
template_image edge || exit 0
template_image agents || exit 0
for i in edge agents; do docker tag disinto/$i "disinto/$i:$(disinto --version | grep -oE '[0-9.]+' | head -n 1)"; done
export DOCKER_HOST=unix://$SOCKET COMPOSE_PROJECT_NAME=site COMPOSE_HTTP_TIMEOUT=300
dc() { # ARGUMENT…
	(cd "$SITE" && docker-compose "$@" 2>>"$WORK/compose.log")
}
edge() { # COMMAND…: in the edge container
	docker exec site_edge_1 "$@"
}
front() { # [CURL-ARGUMENT…] PATH: from outside, through Caddy
	in_engine curl -sS --max-time 60 "${@:1:$#-1}" "http://127.0.0.1${*: -1}"
}
status_says() { # REGEX
	edge disinto status 2>&1 | grep -qiE -- "$1"
}
healthy() { # as Docker sees it
	[ "$(docker inspect -f '{{.State.Health.Status}}' site_edge_1)" = healthy ]
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
git config --global --add safe.directory '*'
printf 'DOCKER_SOCKET=%s\n' "$SOCKET" >"$SITE/.env"
cat >"$SITE/docker-compose.override.yml" <<-EOT
	version: "2.4"
	services:
	  edge:
	    environment: {DISINTO_OPS_REPO: "git://git/ops.git"}
	  git:
	    image: disinto/agents
	    user: "1000"
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
secret KEY 'a-secret-of-a-step'
action first leak '{"secrets": ["KEY"]}'
land

# --- the image
size() { stat -c %s "$("$LIB/runner-image.sh" build "$1")"; }
added=$((($(size edge) - $(size base)) / 1000000))
echo "# the edge image adds $added MB to its base"
check "the image adds at most 90 MB" [ $added -le 90 ]

# --- it starts before the git server does, says so, and goes on when that is there
check "docker-compose up" dc up -d edge
check "disinto status answers inside" wait_for edge disinto status
check "it says what it waits for" wait_for status_says 'git'
is "it is not healthy meanwhile" "$(edge /usr/lib/disinto/health >/dev/null && echo healthy)" ''
dc up -d git
finished first
is "an action with a secret succeeds" "$(field first '[.outcome, .logs] | @json')" '["succeeded","key [redacted:KEY]\n"]'
check "now it is healthy" wait_for healthy
