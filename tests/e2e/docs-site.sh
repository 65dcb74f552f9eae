#!/bin/bash
# docs/site.md, "A forge of the site's own", by the letter: its blocks in their order, in one shell. Caddy is the real one with the site's Caddyfile, and so is git; for Forgejo
# stands forge_server, whose API lacks the making of repositories, and for the containers what they would do.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME

engine_start
awk '/^## / { on = $0 == "## A forge of the site'"'"'s own" } !on { next } /^```/ { mark = in_block ? "" : $0; in_block = !in_block; if (mark == "```yaml") print "configure <<END"; else if (!in_block && yaml) print "END"
	yaml = mark == "```yaml"; next } in_block' "$ROOT/docs/site.md" >"$WORK/section.sh"
check "it has its commands" [ "$(wc -l <"$WORK/section.sh")" -ge 35 ]
for command in init 'compose render' branch-protect 'branch-protect --check' propose pending approve 'logs -f' verify; do
	check "it shows disinto $command" grep -q "disinto $command" "$WORK/section.sh"
done

# Behind the front door: the API, and git for whoever brings a credential.
mkdir -p "$WORK/forge/you"
git init -q --bare "$WORK/forge/you/ops.git"
printf 'token-of-%s %s\n' you you bot bot >"$WORK/users"
serve_engine "$ROOT/${SAN:-build/gcc/san}/forge_server" "$WORK/forge/you/ops.git" you/ops "$WORK/users" "$WORK/forge.url" "$WORK/violation"
forge=$!
wait_for test -s "$WORK/forge.url" || bail "no forge"
in_engine env PORT=3001 "$LIB/git-server.sh" start http "$WORK/servers/http" "$WORK/forge" >/dev/null || bail "no git server"
cat >"$WORK/behind" <<EOT
	http://:3000 {
		@anonymous {
			not path /api/*
			not header Authorization "Basic *"
		}
		header @anonymous WWW-Authenticate \`Basic realm="forge"\`
		respond @anonymous 401
		reverse_proxy /api/* $(sed 's/^http:..//' "$WORK/forge.url")
		reverse_proxy 127.0.0.1:3001
	}
EOT

# What is called from there. COMMAND…
mkdir "$WORK/stubs"
cat >"$WORK/stubs/docker" <<'EOT'
#!/bin/bash
case "$*" in
"compose up -d") # edge with the first configuration, and the forge
	{ sed 's/forgejo:3000/127.0.0.1:3000/' Caddyfile && cat "$WORK/behind"; } >"$WORK/Caddyfile"
	SITE_ADDRESS=:80 XDG_DATA_HOME=$WORK XDG_CONFIG_HOME=$WORK caddy run --adapter caddyfile --config "$WORK/Caddyfile" >"$WORK/caddy.log" 2>&1 &
	echo $! >"$WORK/caddy.pid"
	for ((i = 0; i < 300; i++)); do curl -s -o /dev/null http://localhost/ && break || sleep 0.1; done
	;;
"compose up -d edge") disinto-dispatcher >"$WORK/dispatcher.log" 2>&1 & echo $! >"$WORK/dispatcher.pid" ;;
"compose exec -T forgejo forgejo admin user create --"*) ;;
"compose exec -T forgejo forgejo admin user generate-access-token --raw --username "*) echo "token-of-${11}" ;;
"compose exec -T edge disinto "*) shift 4 && exec "$@" ;;
*) echo "docker: no stand-in for: $*" >&2 && exit 1 ;;
esac
EOT
cat >"$WORK/stubs/curl" <<'EOT'
#!/bin/bash
case "$*" in
*' http://localhost/forge/api/v1/user/repos '*'"ops"'* | *' http://localhost/forge/api/v1/repos/you/ops/collaborators/bot -X PUT '*) exit 0 ;;
esac
exec /usr/bin/curl "$@"
EOT
printf '#!/bin/sh\ncat ~/site/you-token\n' >"$WORK/stubs/askpass"
chmod +x "$WORK"/stubs/*
{
	cat <<-'EOT'
		configure() { # what stands there takes the place of what the file says
			sed -i '/^ops_repo:/d' dispatcher.yaml && cat >>dispatcher.yaml
			sed -i 's/^#poll_seconds:.*/poll_seconds: 1/' dispatcher.yaml
		}
		set -ex
	EOT
	cat "$WORK/section.sh"
} >"$WORK/all.sh"
export WORK
DISINTO_DOCKER_HOST=unix://$SOCKET GIT_ASKPASS=$WORK/stubs/askpass PATH=$WORK/stubs:$PATH in_engine timeout 200 bash "$WORK/all.sh" >"$WORK/output" 2>&1 </dev/null
code=$?
is "every command of it works" $code 0
[ $code = 0 ] || sed 's/^/# /' "$WORK/output"
like "the first result is printed" "$(cat "$WORK/output")" '^Hello, World'
SERVER=$WORK/forge/you/ops.git
finished hello-1
is "by a review of yours" "$(field hello-1 '[.outcome, .approval.mode, .approval.by] | @tsv')" 'succeeded	forge	you'
like "the branches are protected" "$(cat "$WORK/output")" '^main and disinto-ledger are protected: only bot pushes'
is "tokens are their owner's alone" "$(stat -c %a "$HOME"/site/*-token | sort -u)" 600
kill "$forge" && wait "$forge"
is "the forge was asked as its API is described" "$(cat "$WORK/violation" 2>/dev/null)" ''
for child in "$WORK"/*.pid; do
	kill "$(cat "$child")"
	wait_for gone "$(cat "$child")"
done
