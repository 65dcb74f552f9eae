#!/bin/bash
# Images from registries: with and without a credential, by tag and by digest, for another machine; and nothing is decrypted before one is there.
. "$(dirname "$0")/lib.sh"

engine_start
netns=/proc/$(cat "$ENGINE/pid")/ns/net
password=pull-$RANDOM$RANDOM

# Docker speaks plain HTTP to registries on its own loopback, and the engine's is that of its network namespace.
registry() { # PORT [auth]
	local dir=$WORK/registry-$1
	mkdir -p "$dir/data"
	{
		cat <<-EOT
			version: 0.1
			log: {level: error}
			storage: {filesystem: {rootdirectory: $dir/data}}
			http: {addr: "127.0.0.1:$1"}
		EOT
		[ -z "${2:-}" ] || echo "auth: {htpasswd: {realm: tests, path: $dir/htpasswd}}"
	} >"$dir/config.yml"
	perl -e 'print "puller:", crypt($ARGV[0], q($2y$05$abcdefghijklmnopqrstuu)), "\n"' "$password" >"$dir/htpasswd"
	nsenter --net="$netns" docker-registry serve "$dir/config.yml" >"$dir/log" 2>&1 </dev/null &
	CHILDREN+=($!)
	wait_for nsenter --net="$netns" curl -sS -o /dev/null "http://127.0.0.1:$1/v2/" || bail "no registry on port $1"
}
registry 5001
registry 5002 auth
open=127.0.0.1:5001/team/tool closed=127.0.0.1:5002/team/tool
export DOCKER_CONFIG=$WORK/docker
mkdir -p "$DOCKER_CONFIG"
auth=$(printf 'puller:%s' "$password" | base64 -w0)
printf '{"auths": {"127.0.0.1:5002": {"auth": "%s"}}}' "$auth" >"$DOCKER_CONFIG/config.json"
for name in $open $closed; do
	docker tag disinto/runner:latest "$name:1"
	docker push -q "$name:1" >/dev/null || bail "nothing can be pushed to $name"
done
digest=$(docker image inspect -f '{{index .RepoDigests 0}}' "$open:1" | cut -d@ -f2)
forget() { # the engine has none of them any more
	docker image rm -f $open:1 $closed:1 "$open@$digest" "$closed@$digest" other:arm >/dev/null 2>&1
}
forget

site path <<<'registry_auth_file: registry.json'
echo '{"auths": {}}' >"$WORK/site/registry.json"
chmod 0400 "$WORK/site/registry.json"
stranger=$(age-keygen 2>/dev/null | tee "$WORK/stranger" | sed -n 's/^# public key: //p')
secret TOKEN 'some secret value'
printf %s 'a secret for somebody else' | age -r "$stranger" -o "$OPS/vault/secrets/SEALED.age"
formula open <<<"image: $open:1
steps: [{id: a, run: 'echo open'}]"
formula by-digest <<<"image: $open@$digest
steps: [{id: a, run: 'echo digest'}]"
formula closed <<<"image: $closed:1
steps: [{id: a, run: 'test -n \"\$TOKEN\"; echo closed'}]"
formula sealed <<<"image: $closed:1
steps: [{id: a, run: 'echo never'}]"
action open open
action closed closed '{"secrets": ["TOKEN"]}'
action sealed sealed '{"secrets": ["SEALED"]}'
land
dispatcher_start
finished open
is "an open registry: pulled and run" "$(field open '[.outcome, .logs] | @json')" '["succeeded","open\n"]'
is "the result has the digest" "$(field open .image)" "$open@$digest"
check "a closed registry: waited for, in the registry's words" wait_for waits_with closed 'pulling it failed.*(no basic auth|unauthorized|denied)'
like "the image is named, and what to mend" "$(reason closed)" "image $closed:1 .*registry_auth_file"

# threat_37: the secret can't be decrypted here, and that would be the reason, had anybody tried. guard: core sends DECRYPT after READY only
check "threat_37: no image, nothing decrypted" wait_for waits_with sealed 'pulling it failed'
refute "threat_37: nor afterwards" waits_with sealed 'identity|recipient'

# A wrong password, then the right one: the file is read at each pull.
put_auth() { # BASE64
	printf '{"auths": {"127.0.0.1:5002": {"auth": "%s"}}}' "$1" >"$WORK/site/registry.new"
	chmod 0400 "$WORK/site/registry.new"
	mv "$WORK/site/registry.new" "$WORK/site/registry.json"
}
put_auth "$(printf 'puller:wrong' | base64)"
check "a wrong password is waited for too" wait_for waits_with closed 'unauthorized|denied|401'
put_auth "$auth"
finished closed
is "the right one: pulled and run" "$(field closed '[.outcome, .logs] | @json')" '["succeeded","closed\n"]'
is "with its digest" "$(field closed .image)" "$closed@$digest"
check "control: now the secret is tried" wait_for waits_with sealed 'identity|recipient'
refute "no log holds the password" grep -qF -e "$password" -e "$auth" "$LOG"
refute "and no answer" grep -qF -e "$password" -e "$auth" <<<"$(api /actions) $(api /status)"

forget
action digest by-digest
land
finished digest
is "by digest" "$(field digest '[.outcome, .image] | @json')" "[\"succeeded\",\"$open@$digest\"]"

# threat_37: an image for another machine. Loaded, and from a registry. guard: arch_suits in dispatcher/engine/image.c
other=$WORK/other
mkdir -p "$other"
docker tag disinto/runner:latest other:arm
docker save other:arm | tar -x -C "$other"
config=$(jq -r '.[0].Config' "$other/manifest.json")
sed -i 's/"architecture":"[a-z0-9]*"/"architecture":"s390x"/' "$other/$config"
tar -c -C "$other" . | docker load -q >/dev/null
docker tag other:arm 127.0.0.1:5001/team/other:1
docker push -q 127.0.0.1:5001/team/other:1 >/dev/null
docker image rm -f 127.0.0.1:5001/team/other:1 >/dev/null
formula foreign <<<$'image: other:arm\nsteps: [{id: a, run: "echo never"}]'
formula foreign-pulled <<<$'image: 127.0.0.1:5001/team/other:1\nsteps: [{id: a, run: "echo never"}]'
action foreign foreign '{"secrets": ["SEALED"]}'
action foreign-pulled foreign-pulled '{"secrets": ["SEALED"]}'
land
finished foreign
finished foreign-pulled
for id in foreign foreign-pulled; do
	is "threat_37: $id is refused" "$(field $id .outcome)" refused
	like "threat_37: $id says for which machine it is made" "$(field $id .reason)" 'made for linux/s390x'
done
