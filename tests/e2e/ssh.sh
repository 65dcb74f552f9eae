#!/bin/bash
# A step's user has no line in the image's /etc/passwd, and ssh and git work for it all the same.
. "$(dirname "$0")/lib.sh"

engine_start
debian_image || exit 0
site path
HOST=10.99.0.1 # as containers see it: an address of the engine's own network namespace
host_address $HOST
mkdir -p "$WORK/forge" "$WORK/servers"
git init -q --bare "$WORK/forge/app.git"
git clone -q "$WORK/forge/app.git" "$WORK/app" 2>/dev/null
echo one >"$WORK/app/file"
git -C "$WORK/app" add file
git -C "$WORK/app" commit -qm one
git -C "$WORK/app" push -q origin HEAD:main 2>/dev/null
url=$(in_engine env BIND=$HOST "$LIB/git-server.sh" start ssh "$WORK/servers/ssh" "$WORK/forge") || bail "no ssh server"
secret SSH_KEY "$(cat "$WORK/servers/ssh/id")"$'\n'

formula over-ssh <<-EOT
	image: disinto/runner-debian
	steps:
	  - id: who
	    secrets: []
	    run: |
	      grep -c disinto /etc/passwd || true
	      echo "\$(id -un) \$(id -gn) \$(whoami) \$(getent passwd 10001)"
	  - id: clone
	    run: |
	      export GIT_SSH_COMMAND="ssh -i /run/secrets/SSH_KEY -o IdentitiesOnly=yes -o UserKnownHostsFile=/task/known_hosts"
	      printf '%s\n' '$(cat "$WORK/servers/ssh/known_hosts")' >known_hosts
	      git clone -q $url/app.git
	      cd app
	      git config user.name Agent && git config user.email agent@example
	      echo two >>file
	      git commit -qam two
	      git push -q origin HEAD:refs/heads/from-run
EOT
action clone over-ssh '{"secrets": ["SSH_KEY"], "tools": ["git", "ssh"]}'
land
dispatcher_start
finished clone
is 'the run succeeded' "$(field clone '[.outcome, .reason] | @json')" '["succeeded",null]'
is 'the user has a name, though not in /etc/passwd' "$(field clone .logs | head -n 2 | tr '\n' ' ')" \
	'0 disinto disinto disinto disinto:x:10001:10001:disinto:/task:/bin/sh '
is 'what it pushed is there' "$(git -C "$WORK/forge/app.git" show from-run:file | tr '\n' ' ')" 'one two '
like 'without the runner ssh refuses such a user' "$(docker run --rm --network none -u 10001 disinto/runner-debian ssh -G host 2>&1)" 'No user exists for uid 10001'
