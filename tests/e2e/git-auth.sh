#!/bin/bash
# git_auth: steps clone from and push to servers that want a token, and no other host ever sees one.
# who_gets_a_token: guards in tests/guards/table
. "$(dirname "$0")/lib.sh"

engine_start
debian_image || exit 0
site path
FORGE=10.99.0.1 OTHER=10.99.0.2:8081 # as containers see them: addresses of the engine's own network namespace
TOKEN=forge-token-$RANDOM$RANDOM$RANDOM
host_address $FORGE
host_address ${OTHER%:*}

# The forge: a smart-HTTP server that wants the token.
mkdir "$WORK/forge"
git init -q --bare "$WORK/forge/app.git"
git clone -q "$WORK/forge/app.git" "$WORK/app" 2>/dev/null
echo one >"$WORK/app/file"
git -C "$WORK/app" add file
git -C "$WORK/app" commit -qm one
git -C "$WORK/app" push -q origin HEAD:main 2>/dev/null
n=0
for url in http://$OTHER/lib.git "http://$FORGE%2Fx@$OTHER/lib.git" "http://$FORGE@$OTHER/lib.git"; do
	name=sub$((n = n + 1))
	git -C "$WORK/app" checkout -q -b $name main
	printf '[submodule "lib"]\n\tpath = lib\n\turl = %s\n' "$url" >"$WORK/app/.gitmodules"
	git -C "$WORK/app" update-index --add --cacheinfo "160000,$(git -C "$WORK/app" rev-parse main),lib"
	git -C "$WORK/app" add .gitmodules
	git -C "$WORK/app" commit -qm "with a submodule at $url"
	git -C "$WORK/app" push -q origin $name
	git -C "$WORK/app" checkout -q -f main
	rm -rf "$WORK/app/lib" "$WORK/app/.gitmodules"
done
mkdir -p "$WORK/servers"
in_engine env BIND=$FORGE PORT=80 "$LIB/git-server.sh" start http "$WORK/servers/forge" "$WORK/forge" "$TOKEN" >/dev/null || bail "no git server"

# Others: what they are asked is written down; they want a password, or send to the one that does.
cat >"$WORK/ask" <<-'EOT'
	while IFS= read -r line && line=${line%?} && [ -n "$line" ]; do echo "$line"; done >>"$1"
	printf 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="other"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
EOT
cat >"$WORK/send" <<-'EOT'
	while IFS= read -r line && line=${line%?} && [ -n "$line" ]; do :; done
	printf 'HTTP/1.1 302 Found\r\nLocation: %s/info/refs?service=git-upload-pack\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1"
EOT
: >"$WORK/asked"
serve_engine busybox nc -ll -p 8081 -e sh "$WORK/ask" "$WORK/asked"
serve_engine busybox nc -ll -p 8080 -e sh "$WORK/send" "http://$OTHER/lib.git"

asked() { # whether the other host was asked, and what credentials it got
	grep -q '^GET ' "$WORK/asked" || echo 'was not asked'
	sed -n 's/^[Aa]uthorization: Basic \([A-Za-z0-9+/=]*\).*/\1/p' "$WORK/asked" | sort -u | while read -r line; do
		base64 -d <<<"$line" && echo
	done
}

secret GIT_TOKEN "$TOKEN"
formula work <<-EOT
	image: disinto/runner-debian
	git_auth: {$FORGE: GIT_TOKEN}
	steps:
	  - id: clone
	    run: git clone -q http://$FORGE/app.git
	  - id: push
	    run: |
	      cd app
	      git config user.name Agent && git config user.email agent@example
	      echo two >>file
	      git commit -qam two
	      git push -q origin HEAD:refs/heads/from-run
	      git remote get-url origin
	      stat -c '%a %u' "\$GIT_ASKPASS"
	      cat .git/config "\$GIT_ASKPASS"
EOT
# The example of docs/formulas.md, by the letter but for the host.
{
	echo 'image: disinto/runner-debian'
	awk '/^```/ { fence = !fence } /^## / { on = $0 == "## Git" } on && !fence && sub("^    ", "")' "$ROOT/docs/formulas.md" |
		sed "s#https://forge.example/org/project.git#http://$FORGE/app.git#; s#forge.example#$FORGE#; s#FORGE_TOKEN#GIT_TOKEN#"
} | formula documented
# Settings of git that an earlier step, without the secret, has left in HOME.
for what in url.http://$OTHER/.insteadOf=http://$FORGE/ credential.helper=store; do
	formula "after-${what%%.*}" <<-EOT
		image: disinto/runner-debian
		git_auth: {$FORGE: GIT_TOKEN}
		steps:
		  - id: plant
		    secrets: []
		    run: git config --global ${what%=*} ${what##*=}
		  - id: clone
		    secrets: [GIT_TOKEN]
		    run: git clone -q "\$INPUT_URL"
		  - id: look
		    if: always
		    secrets: []
		    run: cat ~/.git-credentials
	EOT
done
formula without <<-EOT
	image: disinto/runner-debian
	git_auth: {$FORGE: GIT_TOKEN}
	steps:
	  - id: clone
	    run: git clone -q http://$FORGE/app.git
	    secrets: []
EOT
n=0
for hosts in "$FORGE: GIT_TOKEN" "$FORGE: GIT_TOKEN, \"$OTHER\": GIT_TOKEN" "\"$FORGE:8080\": GIT_TOKEN"; do
	name=module$((n = n + 1))
	formula $name <<-EOT
		image: disinto/runner-debian
		git_auth: {$hosts}
		steps:
		  - id: clone
		    run: git clone -q -b "\$INPUT_BRANCH" --recurse-submodules "\$INPUT_URL"
	EOT
done
with_token() { # ID FORMULA [JSON]
	action "$1" "$2" "$(jq -n --argjson more "${3:-{\}}" '{secrets: ["GIT_TOKEN"]} + $more')"
}
with_token work work
with_token documented documented
with_token stored after-credential "{\"inputs\": {\"url\": \"http://$FORGE/app.git\"}}"
with_token without without
land
dispatcher_start

finished work
is "a run clones from and pushes to a server that wants a token" "$(field work .outcome)" succeeded
is "what it pushed is there" "$(git -C "$WORK/forge/app.git" show from-run:file | tr '\n' ' ')" 'one two '
like "no URL holds the token" "$(run_log work)" "^http://$FORGE/app.git\$"
like "the helper is 0500" "$(run_log work)" '^500 10001$'
refute "nothing that the run shows holds it" grep -qF -- "$TOKEN" "$SPOOL/runs/work/log"
refute "nor its result" grep -qF -- "$TOKEN" <<<"$(result work)"
refute "nothing was redacted either: it is not there" grep -qF -- 'redacted' "$SPOOL/runs/work/log"
finished documented
is "so does the example of the documentation" "$(field documented '[.outcome, .reason] | @json')" '["succeeded",null]'
is "and pushes" "$(git -C "$WORK/forge/app.git" show from-documented:file)" one
finished stored
is "a helper in HOME is told nothing" "$(field stored '[.steps[] | .exit_code] | @json')" '[0,0,1]'
refute "and keeps no token" grep -q redacted "$SPOOL/runs/stored/log"
finished without
is "a step without the secret gets no answer" "$(field without .outcome)" failed

tries=0
try() { # WHAT FORMULA JSON EXPECTED: clones; what the other host was given
	tries=$((tries + 1))
	: >"$WORK/asked"
	with_token "try-$tries" "$2" "$3" && land
	finished "try-$tries"
	like "$1" "$(asked)" "$4"
	is "  and no other credential" "$(asked | wc -l)" "$([ "$4" = '^$' ] && echo 0 || echo 1)"
}
inputs() { # URL BRANCH
	jq -n --arg url "$1" --arg branch "$2" '{inputs: {url: $url, branch: $branch}}'
}
try "a submodule on another host gets nothing" module1 "$(inputs http://$FORGE/app.git sub1)" '^$'
# What stands in the URL itself is sent, with an empty password.
try "nor one whose URL looks like the host, with a path" module1 "$(inputs http://$FORGE/app.git sub2)" "^$FORGE/x:\$"
try "nor one whose URL looks like the host, with a user" module1 "$(inputs http://$FORGE/app.git sub3)" "^$FORGE:\$"
try "nor a host that a redirect leads to" module3 "$(inputs http://$FORGE:8080/app.git main)" '^$'
try "nor a host that stands in for the one that is named" after-url "$(inputs http://$FORGE/app.git main)" '^$'
try "the control: a host that is named gets it" module2 "$(inputs http://$FORGE/app.git sub1)" "^x-access-token:$TOKEN\$"

# ssh: a key is a secret, and hosts are known from the dispatcher's configuration or not at all.
dispatcher_stop
in_engine env BIND=$FORGE "$LIB/git-server.sh" start ssh "$WORK/servers/ssh" "$WORK/forge" >"$WORK/ssh-url" || bail "no ssh server"
ssh=$(cat "$WORK/ssh-url")
echo "known_hosts_file: $WORK/known_hosts" >>"$CONFIG"
cp "$WORK/servers/ssh/known_hosts" "$WORK/known_hosts"
age -R "$OPS/vault/recipients.txt" -o "$OPS/vault/secrets/DEPLOY_KEY.age" "$WORK/servers/ssh/id"
formula ssh <<-EOT
	image: disinto/runner-debian
	secrets_as: file
	steps:
	  - id: clone
	    run: |
	      export GIT_SSH_COMMAND="\$GIT_SSH_COMMAND -i /run/secrets/DEPLOY_KEY"
	      git clone -q $ssh/app.git
	      cat app/file
	      echo x 2>/dev/null >>/run/secrets/.known_hosts || echo "known hosts stay"
EOT
ssh_run() { # ID
	action "$1" ssh '{"secrets": ["DEPLOY_KEY"]}' && land
	dispatcher_start
	finished "$1"
	dispatcher_stop
}
ssh_run known
is "ssh works with a key that is a secret, and a known host" "$(field known .outcome)" succeeded
is "and no step can make another host known" "$(run_log known)" $'one\nknown hosts stay'
sed -i 's/ .*/ ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl/' "$WORK/known_hosts"
ssh_run changed
is "a host with another key is refused" "$(field changed .outcome)" failed
like "and ssh says so" "$(run_log changed)" 'Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED'
