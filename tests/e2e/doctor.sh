#!/bin/bash
# disinto doctor: a sound site has no finding; each fault that is planted is found, with how to mend it.
. "$(dirname "$0")/lib.sh"
${CC:-gcc} -O1 -fPIC -shared -o "$WORK/clock.so" "$LIB/clock.c" || bail "no clock"
engine_start
rm -rf "$WORK/site"
disinto init "$WORK/site" >/dev/null || bail "init"
export DISINTO_CONFIG=$CONFIG DISINTO_DOCKER_HOST=unix://$SOCKET
SERVER=$WORK/site/ops.git
canary=canary-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf %s "$canary" | disinto secrets add --land CANARY >/dev/null 2>&1

sound() { # WHAT
	output=$(disinto doctor 2>&1)
	is "$1" "$?:$(grep -E '^finding' <<<"$output")" '0:'
}
finds() { # WHAT REGEX [COMMAND…]: the finding, and that what to do follows it
	local what=$1 regex=$2
	shift 2
	output=$("${@:-disinto}" doctor 2>&1)
	is "$what: exit code" $? 1
	like "$what" "$(grep -A 1 '^finding' <<<"$output")" "$regex"
	like "$what: what to do" "$(grep -A 1 '^finding' <<<"$output")" '^ +-> '
	refute "$what: no secret is shown" grep -qF "$canary" <<<"$output"
}

# Without a dispatcher
sound 'a fresh site'
like 'a fresh site: what was looked at' "$(cut -c1-20 <<<"$output" | grep '^ok' | tr -s ' ' | cut -d' ' -f2 | sort | tr '\n' ' ')" \
	'clock compose engine files git identity image inspect protection spool tokens'
like 'a fresh site: no dispatcher is no fault' "$output" '^note +dispatcher +none runs'

# With one
dispatcher_start
wait_for eval '[ "$(api /status | jq -c "[.poll.ok, .engine.ok, .keyring.ok]")" = "[true,true,true]" ]'
sound 'with a dispatcher'
like 'with a dispatcher: it says that it is well' "$output" '^ok +dispatcher +.* answers, version'
is '--json' "$(disinto doctor --json | jq -c '[.findings, (.checks | map(select(.check == "dispatcher")) | .[0].state), (.checks[0] | keys)]')" \
	'[0,"ok",["check","do","state","what"]]'
is 'it changes nothing' "$(git -C "$SERVER" for-each-ref --format='%(refname)' | tr '\n' ' ')" 'refs/heads/disinto-ledger refs/heads/main '

# What is wrong
chmod 0644 "$WORK/site/identity.age"
finds "others may read the identity" 'identity_file: .*0644.*'
chmod 0400 "$WORK/site/identity.age"
mv "$WORK/site/identity.age" "$WORK/identity" && disinto secrets keygen "$WORK/site/identity.age" >/dev/null 2>&1
finds "another identity" 'no key of identity_file stands in vault/recipients.txt'
like "another identity: the secrets that it does not open" "$output" '^finding +identity +vault/secrets/CANARY\.age'
mv -f "$WORK/identity" "$WORK/site/identity.age"

docker create --name leaky -e "TOKEN=$(printf 'x%s' "$canary" | base64 -w0)" disinto/runner >/dev/null
finds "a secret in docker inspect" 'the value of CANARY stands in docker inspect of leaky'
docker rm leaky >/dev/null
docker create --name posing --label disinto.dispatcher=x -e ANY=thing disinto/runner >/dev/null
finds "an environment that no dispatcher makes" 'posing has ANY in its environment'
docker rm posing >/dev/null

mkdir "$WORK/small" && mount -t tmpfs -o size=8m,mode=0700 none "$WORK/small"
finds "no room for the spool" 'spool +.*small has [0-9]+ MiB free; 4 runs' env DISINTO_SPOOL="$WORK/small" disinto
umount "$WORK/small"
chmod 0755 "$SPOOL"
finds "others may look into the spool" 'spool: its mode 0755'
chmod 0700 "$SPOOL"
echo 'no JSON' >"$WORK/tokens" && mv "$SPOOL/tokens.json" "$WORK/tokens.good" 2>/dev/null
mv "$WORK/tokens" "$SPOOL/tokens.json"
finds "tokens that can't be read" '^finding +tokens +.*tokens\.json'
rm "$SPOOL/tokens.json"
[ ! -e "$WORK/tokens.good" ] || mv "$WORK/tokens.good" "$SPOOL/tokens.json"

git -C "$SERVER" config receive.denyDeletes false
finds "the server lets branches be deleted" 'receive\.denyDeletes is not set'
git -C "$SERVER" config receive.denyDeletes true
printf 'token' >"$WORK/token.open" && chmod 0644 "$WORK/token.open"
finds "others may read a token" 'git_token_file: .*0644' env DISINTO_GIT_TOKEN_FILE="$WORK/token.open" disinto
mv "$WORK/site/docker-compose.yml" "$WORK/compose.good"
cat >"$WORK/site/docker-compose.yml" <<'EOT'
services:
  agents:
    image: example/agents:1
    restart: unless-stopped
    volumes: ["/var/run/docker.sock:/sock"]
EOT
finds "a service that reaches the engine's socket" '^finding +compose +.*docker-compose\.yml:[0-9]+: .*agents'
mv "$WORK/compose.good" "$WORK/site/docker-compose.yml"
finds "a token that is not there" 'git_token_file: .*absent: No such file' env DISINTO_GIT_TOKEN_FILE="$WORK/absent" disinto
finds "no engine" '^finding +engine +connect to .*absent' env DISINTO_DOCKER_HOST="unix://$WORK/absent" disinto

perl -e 'print pack("qq", 3600, 0)' >"$WORK/clock"
finds "a clock that is wrong" 'this machine is 3[56][0-9][0-9] s ahead of the engine' env CLOCK_FILE="$WORK/clock" LD_PRELOAD="$WORK/clock.so" disinto
mv "$SERVER" "$SERVER.away"
wait_for eval '[ "$(api /status | jq .poll.ok)" = false ]'
finds "no ops repo" '^finding +git +ops repo'
like "no ops repo: what the dispatcher says of it" "$output" '^finding +dispatcher +poll: '
mv "$SERVER.away" "$SERVER"
dispatcher_stop
sound 'all is mended'

# A git server tells the time, and may let an account read and not push.
SERVER=$WORK/repos/ops.git
site http
unset DISINTO_DOCKER_HOST
sound 'a site on http'
like 'the clock is held against the git server' "$output" '^ok +clock +within 30 s of the git server'
like 'its protection is not known' "$output" "^note +protection +how the server protects"
perl -e 'print pack("qq", -3600, 0)' >"$WORK/clock"
finds "a clock that is late" 'this machine is 3[56][0-9][0-9] s behind the git server' env CLOCK_FILE="$WORK/clock" LD_PRELOAD="$WORK/clock.so" disinto
over_http=$URL
server daemon
git -C "$SERVER" config daemon.receivepack false
finds "an account that may not push" '^finding +git +it can be read and not pushed to' env DISINTO_OPS_REPO="$URL" disinto
URL=$over_http

# A forge that protects nothing
forge
cat >>"$CONFIG" <<EOT
approval: {forge_url: $FORGE, forge_token_file: $WORK/token.bot, approvers: [human]}
EOT
finds "a forge that protects nothing" '^finding +protection +'
like "a forge that protects nothing: the ledger too" "$output" '^finding +protection +.*disinto-ledger'
check "it is mended as it says" disinto branch-protect >/dev/null
sound 'a protected forge'
forge_stop

# From elsewhere: only what the dispatcher there says.
unset DISINTO_CONFIG
cd "$HOME" || exit 1
output=$(DISINTO_URL=http://127.0.0.1:1 disinto doctor 2>&1)
is 'nobody at DISINTO_URL' "$?:$(grep -c '^finding +dispatcher' -E <<<"$output")" '1:1'
