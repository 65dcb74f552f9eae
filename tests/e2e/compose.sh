#!/bin/bash
# The files of a whole site: rendered, kept where somebody changed them, read by the real tools, and checked. Needs no engine and no images.
. "$(dirname "$0")/lib.sh"
unset DOMAIN SITE_URL DOCKER_SOCKET COMPOSE_PROFILES COMPOSE_FILE
site=$WORK/site
rm -rf "$site"
cd "$WORK" || exit 1

disinto init "$site" >/dev/null
is "a site is made" $? 0
cd "$site" || exit 1
render() {
	disinto compose render "$@" 2>&1
}
rm -f docker-compose.yml Caddyfile .env.example
like "render makes what is missing" "$(render)" 'docker-compose.yml: made'
is "and is done" $? 0
first=$(sha256sum docker-compose.yml Caddyfile .env.example)
is "a second time it says nothing" "$(render)" ''
is "and changes nothing" "$(sha256sum docker-compose.yml Caddyfile .env.example)" "$first"
is "secrets/ is for its owner only" "$(stat -c %a secrets)" 700
is "Woodpecker's two halves share a secret" "$(wc -c <secrets/woodpecker-agent-secret)" 64
shared=$(cat secrets/woodpecker-agent-secret)

# The documents' picture has all of it; but front, the network of the published ports, is edge's alone.
names=$(python3 -c 'import yaml; model = yaml.safe_load(open("docker-compose.yml")); print(*model["services"], *(model["networks"].keys() - {"front"}), sep="\n")')
picture=$(sed -n '/^## The picture/,/^Lines are networks/p' "$ROOT/docs/site.md")
for name in $names; do
	check "the picture of the site has $name" grep -qw -- "$name" <<<"$picture"
done

# With the short form of a mount the engine would make a folder of a socket that is not there.
is "the socket is mounted in the long form" "$(python3 -c 'import yaml; services = yaml.safe_load(open("docker-compose.yml"))["services"]
print(*(name for name, s in services.items() for v in s.get("volumes", []) if isinstance(v, dict) and v["target"] == "/var/run/docker.sock"))')" \
	'edge woodpecker-agent'

# The tools that read it.
check "docker-compose reads it" docker-compose config -q
is "parity_E5 it has the services of the design" "$(docker-compose --profile forge --profile ci --profile agents --profile llama --profile staging \
	--profile manual config --services | sort | tr '\n' ' ')" 'agents agents-llama edge forgejo runner staging woodpecker woodpecker-agent '
validate() { # ADDRESS
	SITE_ADDRESS=$1 caddy validate --adapter caddyfile --config Caddyfile >"$WORK/caddy.log" 2>&1
}
check "Caddy takes the Caddyfile on plain :80" validate :80
check "and with a domain" validate disinto.example.org
sed -i 's/^\t# \(@people\|forward_auth\|\turi\|\tcopy_headers\|}\)/\t\1/' Caddyfile
check "and with single sign-on" validate :80
refute "but not just anything" validate '{'
rm Caddyfile && render >/dev/null

# The front door with stand-ins behind it, which say what they were asked and try what they can. All of it listens on sockets in a folder.
cat >"$WORK/Caddyfile.behind" <<-EOT
	{
		admin off
	}
	http:// {
		bind unix/$WORK/behind.sock
		header Set-Cookie "i_like_gitea=mine; Path=/"
		header Clear-Site-Data "\"cookies\""
		header Content-Security-Policy "img-src 'self'"
		respond "uri={uri} host={host} cookie={header.Cookie} authorization={header.Authorization}"
	}
EOT
sed "s|admin off|&\n\tdefault_bind unix/$WORK/front.sock|; s|staging:8080|unix/$WORK/behind.sock|; s|forgejo:3000|unix/$WORK/behind.sock|
	s|woodpecker:8000|unix/$WORK/behind.sock|; s|127.0.0.1:8080|unix/$WORK/behind.sock|" Caddyfile >"$WORK/Caddyfile.front"
for i in behind front; do
	SITE_ADDRESS=:80 caddy run --adapter caddyfile --config "$WORK/Caddyfile.$i" >"$WORK/caddy-$i.log" 2>&1 &
	CHILDREN+=($!)
	wait_for [ -S "$WORK/$i.sock" ]
done
front() { # PATH: status, headers and body, as a browser that is logged in
	curl -si --max-time 60 --unix-socket "$WORK/front.sock" -H 'Cookie: i_like_gitea=yours' -H 'Authorization: Bearer yours' "http://site.example$1"
}
# guard: the last `handle` in templates/Caddyfile
threat_50_what_agents_publish_has_an_origin_of_its_own() { # a page below / has no cookies, storage or tokens of the forge and the dashboard
	local page
	page=$(front /index.html)
	like "staging is sandboxed" "$page" '^Content-Security-Policy: sandbox allow-scripts allow-forms.$'
	like "on top of what it asks for itself" "$page" "^Content-Security-Policy: img-src 'self'.$"
	is "it sets and clears no cookie" "$(grep -ciE '^(set-cookie|clear-site-data):' <<<"$page")" 0
	like "and is shown none" "$page" 'cookie= authorization=$'
	page=$(front /forge/)
	like "negative control: the forge is" "$page" 'cookie=i_like_gitea=yours authorization=Bearer yours$'
	is "and has its own" "$(grep -ciE '^(set-cookie|clear-site-data):' <<<"$page")" 2
	is "without a sandbox" "$(grep -c sandbox <<<"$page")" 0
}
threat_50_what_agents_publish_has_an_origin_of_its_own
asked() { # PATH: what the stand-in was asked for
	front "$1" | sed -n 's/.*uri=\([^ ]*\) host=\([^ ]*\).*/\1 \2/p'
}
is "parity_E7 /disinto/ is the dispatcher, by the name that was asked" "$(asked '/disinto/actions/a?b=1')" '/actions/a?b=1 site.example'
is "parity_E7 /forge/ is the forge" "$(asked /forge/org/ops)" '/org/ops site.example'
is "parity_E7 /ci/ is Woodpecker, which knows its path" "$(asked /ci/repos)" '/ci/repos site.example'
page=$(front /disinto)
like "/disinto leads to /disinto/" "$page" '^Location: /disinto/'
for header in 'X-Content-Type-Options: nosniff' 'Strict-Transport-Security: max-age=' 'X-Frame-Options: ' 'Referrer-Policy: '; do
	like "a header: $header" "$page" "^$header"
done
refute "and none that names the program" grep -qi '^server:' <<<"$page"
runner() { # PATH
	curl -si --max-time 60 --unix-socket "$WORK/front.sock" "http://edge$1"
}
like "runner's own door leads to the dispatcher" "$(runner /disinto/status)" 'uri=/status '
like "and nowhere else" "$(runner /forge/)" '^HTTP/1.1 404'
wait_for grep -q '"host":"edge"' "$WORK/caddy-front.log"
is "the log is JSON" "$(jq -c 'select(.logger // "" | startswith("http.log.access")) | .request.host' "$WORK/caddy-front.log" | sort -u | tr '\n' ' ')" \
	'"edge" "site.example" '
refute "and has no token" grep -q 'Bearer yours' "$WORK/caddy-front.log"
kill "${CHILDREN[-2]}" && wait "${CHILDREN[-2]}" 2>/dev/null
like "what is down is said" "$(front /)" '^502 Bad Gateway: nothing answers here'

# guard: DISINTO_ALLOWED_HOSTS in templates/compose.yaml
allowed() { docker-compose config | sed -n 's/^ *DISINTO_ALLOWED_HOSTS: //p' | tr -d "'\""; }
is "without DOMAIN it has no name" "$(allowed)" '[]'
is "DOMAIN is its name" "$(DOMAIN=site.example allowed)" '[site.example]'

# What belongs to the user.
echo '# mine' >>Caddyfile
output=$(render)
is "parity_E7 an existing Caddyfile is no failure" $? 0
like "what would be different is said" "$output" '^-# mine'
is "parity_E7 and it is kept" "$(tail -n 1 Caddyfile)" '# mine'
printf 'services:\n  edge:\n    mem_limit: 1g\n' >docker-compose.override.yml
render >/dev/null
like "an override is kept" "$(cat docker-compose.override.yml)" 'mem_limit: 1g'
sed -i 's/pids_limit: 1024/pids_limit: 99/' docker-compose.yml
output=$(render)
is "a compose file that somebody changed is a finding" $? 1
like "with the difference" "$output" '^-    pids_limit: 99'
like "and kept" "$(cat docker-compose.yml)" 'pids_limit: 99'
render --force >/dev/null
is "--force replaces it" $? 0
is "by what it was" "$(sha256sum docker-compose.yml | cut -c1-64)" "${first:0:64}"
echo 'docker_host: unix:///run/docker.sock' >>dispatcher.yaml
echo 'ca_file: ca.pem' >>dispatcher.yaml
output=$(render --dry-run)
is "--dry-run has a finding" $? 1
like "which is the difference" "$output" '^\+  *file: ./ca.pem'
is "and writes nothing" "$(sha256sum docker-compose.yml | cut -c1-64)" "${first:0:64}"
render >/dev/null
like "the configuration's files come along" "$(docker-compose config | grep DISINTO_)" 'DISINTO_CA_FILE: /run/secrets/ca_file'
is "a secret is made once" "$(cat secrets/woodpecker-agent-secret)" "$shared"

# The check.
is "parity_E6 nothing is wrong with it" "$(disinto compose check 2>&1)" ''
is "as JSON" "$(disinto compose check --json)" '[]'
printf 'services:\n  forgejo:\n    volumes: ["/run:/run"]\n' >docker-compose.override.yml
output=$(disinto compose check)
is "parity_E6 what an override gives away is a finding" $? 1
is "at its place" "$output" \
	'docker-compose.override.yml:3: socket: forgejo: reaches Docker'"'"'s socket through /run: that is root on this machine'
is "as JSON, too" "$(disinto compose check --json docker-compose.yml | jq -c '[.[] | .kind, .service]')" '["socket","forgejo"]'
rm docker-compose.override.yml
like "a file that is none" "$(disinto compose check dispatcher.yaml 2>&1)" '^disinto: compose check: dispatcher.yaml: names no services'
cd "$WORK" || exit 1
like "no file at all" "$(disinto compose check 2>&1)" 'there is no compose file; '
faults=0
for file in "$ROOT"/tests/data/compose/*/docker-compose.yml; do
	disinto compose check "$file" >/dev/null 2>&1
	[ $? = 1 ] && faults=$((faults + 1))
done
is "parity_E6 planted faults are found" "$faults" "$(($(echo "$ROOT"/tests/data/compose/*/docker-compose.yml | wc -w) - 1))"
check "parity_E6 of which there are twenty and more" [ "$faults" -ge 20 ]

# up, down, logs and shell: the tool that is there gets exactly these words, in the site's folder.
mkdir "$WORK/fake"
cat >"$WORK/fake/docker" <<EOT
#!/bin/sh
[ ! -e "$WORK/no-\${0##*/}" ] || exit 1
case "\$*" in version | 'compose version') exit 0 ;; *'ps -q') test ! -e "$WORK/no-engine"; exit ;; esac
printf '%s|' "\${0##*/}" "\$@"
pwd
exit 7
EOT
chmod +x "$WORK/fake/docker" && cp "$WORK/fake/docker" "$WORK/fake/docker-compose"
tool() { # COMMAND…: from elsewhere, with the stand-ins
	env PATH="$WORK/fake:$PATH" DOCKER_HOST="unix://$WORK/none.sock" DISINTO_CONFIG="$site/dispatcher.yaml" disinto "$@" 2>&1
}
is "parity_E5 up" "$(tool up)" "docker|compose|up|-d|$site"
is "up with services" "$(tool up edge 'a b')" "docker|compose|up|-d|edge|a b|$site"
is "parity_E5 down" "$(tool down)" "docker|compose|down|$site"
tool down >/dev/null
is "the exit code is the tool's" $? 7
is "parity_E5 shell" "$(tool shell)" "docker|compose|exec|edge|/bin/sh|$site"
is "shell of a service" "$(tool shell agents)" "docker|compose|exec|agents|/bin/sh|$site"
is "parity_E5 logs" "$(tool logs)" "docker|compose|logs|--tail=all|$site"
is "logs of services" "$(tool compose logs -f -n 5 edge)" "docker|compose|logs|--tail=5|--follow|edge|$site"
like "an option is no service" "$(tool up -- --volumes)" "^disinto: up: '--volumes' is no service"
touch "$WORK/no-engine"
is "without an engine it says so" "$(tool up edge)" \
	"disinto: up: connect to $WORK/none.sock: No such file or directory; is Docker running, and may this user open its socket?"
rm "$WORK/no-engine"
touch "$WORK/no-docker"
is "without the plugin, docker-compose" "$(tool down)" "docker-compose|down|$site"
touch "$WORK/no-docker-compose"
like "without both it says what to install" "$(tool down)" '^disinto: down: neither .*; install'

# Everything answered beforehand: an ops repo over ssh, a forge, a domain.
mkdir -p "$WORK/servers" "$WORK/repos"
git init -q --bare "$WORK/repos/ops.git"
url=$("$LIB/git-server.sh" start ssh "$WORK/servers/ssh" "$WORK/repos")/ops.git || bail "no ssh server"
eval "$(ssh-agent -s)" >/dev/null && CHILDREN+=("$SSH_AGENT_PID")
ssh-add -q "$WORK/servers/ssh/id" 2>/dev/null
port=${url#*://*:} port=${port%%/*}
hosts=$WORK/servers/ssh/known_hosts
key=$(cut -d' ' -f2,3 "$hosts" | grep ^ssh-ed25519 | head -n 1)
echo forge-token >"$WORK/forge-token"
whole() {
	disinto init "$WORK/whole" --ops-repo "$url" "$@" --domain disinto.example.org --forge-url https://forge.example \
		--forge-token-file "$WORK/forge-token" --approver human </dev/null 2>&1
}
like "parity_C14 a host key that nobody gave is not taken from the server" "$(whole)" 'host key of .* must be known beforehand; give --known-hosts'
ln -s "$hosts" "$WORK/link"
like "parity_C14 nor from a link" "$(whole --known-hosts "$WORK/link")" 'link: is a link; name the file itself'
ssh-keygen -q -t ed25519 -N '' -f "$WORK/stranger"
output=$(whole --host-key "$(cut -d' ' -f1,2 "$WORK/stranger.pub")")
is "parity_C14 a server with another key is refused" $? 1
like "by name" "$output" '[Hh]ost key'
refute "and nothing is left behind" [ -e "$WORK/whole" ]
output=$(whole --host-key "$key")
is "with the right one the site is made" $? 0
is "parity_C14 it is pinned" "$(cat "$WORK/whole/known_hosts")" "[127.0.0.1]:$port $key"
like "the dispatcher accepts no other" "$(grep -v '^#' "$WORK/whole/dispatcher.yaml")" '^known_hosts_file: "known_hosts"'
like "the bot's key is to be registered" "$output" "^Give that public key the right to push to $url"
like "the domain is in .env" "$(cat "$WORK/whole/.env")" '^SITE_URL=https://disinto.example.org$'
is "high wants a review" "$(git -C "$WORK/repos/ops.git" show main:vault/policy.yaml | grep '^  high:')" '  high: {approval: forge}'
is "docker-compose reads it" "$(cd "$WORK/whole" && docker-compose config -q 2>&1)" ''
is "and it gives nothing away" "$(cd "$WORK/whole" && disinto compose check 2>&1)" ''
# Somebody types it, once he is asked. guard: ask_key in cli/site_ssh.c
prompt='The host key of 127.0.0.1, as its operator publishes it'
terminal "$prompt" "$key\r" -- disinto init "$WORK/typed" --ops-repo "$url"
is "parity_C14 on a terminal it asks for the host key" "$code" 0
is "parity_C14 what was typed is pinned" "$(cat "$WORK/typed/known_hosts")" "[127.0.0.1]:$port $key"
terminal "$prompt" "$(cut -d' ' -f1,2 "$WORK/stranger.pub")\r" -- disinto init "$WORK/strange" --ops-repo "$url"
is "parity_C14 another key that was typed is refused" "$code" 1
like "parity_C14 by name" "$(cat "$WORK/screen")" '[Hh]ost key verification'
refute "and nothing is left behind of that one" [ -e "$WORK/strange" ]
mkdir "$WORK/again" && echo '# mine' >"$WORK/again/Caddyfile"
output=$(DISINTO_OPS_REPO=$url DISINTO_KNOWN_HOSTS_FILE=$hosts disinto init "$WORK/again" </dev/null 2>&1)
is "the environment answers as well" $? 0
is "an existing Caddyfile is kept" "$(cat "$WORK/again/Caddyfile")" '# mine'
like "which is said" "$output" 'Caddyfile: was there before, and stays'
