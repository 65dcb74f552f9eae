#!/bin/bash
# The command line of root without the right to override modes, as in the edge container: it reads what is the site's owner's alone as that owner, and leaves no copy of it.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME

if [ "$(id -u)" != 0 ]; then
	echo "ok 1 - # SKIP only root can be root without a capability"
	exit 0
fi
owner=54321 # nobody has this account
chmod 0711 "$WORK"
in_edge() { # COMMAND…
	setpriv --bounding-set=-dac_override,-dac_read_search "$@"
}
quietly() { # COMMAND…
	in_edge "$@" >"$WORK/out" 2>&1
}
give() { # FILE…: to the owner alone
	chown -R $owner:$owner "$@"
	chmod -R go= "$@"
}
copies() {
	find /run /dev/shm -maxdepth 1 -name 'disinto-cli-*' | wc -l
}
before=$(copies)

# guard: owner_readable in cli/repo.c and cli/through_forge.c
site http <<<''
forge
cat >>"$CONFIG" <<EOT
approval: {approvers: [human], forge_url: "$FORGE", forge_token_file: "$WORK/token.bot"}
EOT
export DISINTO_CONFIG=$CONFIG
give "$WORK/token" "$WORK/token.bot" "$WORK/site/identity.age"
refute "negative control: root may not read it" in_edge cat "$WORK/token" 2>/dev/null
check "secrets add, with the owner's token" eval 'printf %s "a-value-of-it" | in_edge disinto secrets add --land KEY 2>/dev/null'
like "secrets list" "$(in_edge disinto secrets list)" '^KEY '
is "secrets show, with the owner's identity" "$(in_edge disinto secrets show KEY)" a-value-of-it
check "validate" quietly disinto validate
check "verify" quietly disinto verify
like "propose, with the owner's token of the forge" "$(in_edge disinto propose --id greet-1 --formula hello --context 'to greet')" 'greet-1 is proposed in pull request 1'
like "pending, with the link" "$(in_edge disinto pending 2>&1)" '^greet-1 .*/pulls/1'
refute "an identity that others may read is refused as ever" eval 'chmod 0404 "$WORK/site/identity.age" && in_edge disinto secrets show KEY 2>/dev/null'
forge_stop

site ssh <<<''
give "$WORK/servers/ssh/id" "$WORK/servers/ssh/known_hosts"
chmod 0711 "$WORK/servers" "$WORK/servers/ssh"
check "over ssh, with the owner's key and known hosts" quietly disinto validate

# A repository of somebody whom this machine does not know, as one that is mounted into a container. guard: git_child_start
site path <<<''
chown -R $owner:$((owner + 1)) "$SERVER"
check "a folder whose owner has no account" eval 'printf %s "a-value-of-it" | in_edge disinto secrets add --land KEY 2>/dev/null'
is "what is pushed there is his" "$(find "$SERVER" ! -uid $owner | wc -l)" 0
is "no copy is left" "$(copies)" "$before"
