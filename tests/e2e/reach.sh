#!/bin/bash
# What a run reaches of the networks that its formula may name and of the mounts that its action may ask for. Needs root, for a mount below another.
# networks_and_mounts: guards in tests/guards/table
. "$(dirname "$0")/lib.sh"

engine_start
site path <<-EOT
	networks: {between: open}
	mounts: {keys: {source: $WORK/keys, target: /keys}}
EOT
docker network create open >/dev/null || bail "no network"
listener() { # NETWORK: a run that answers whoever comes
	formula "listens-$1" <<-EOT
		network: $1
		steps:
		  - id: listen
		    run: |
		      nc -ll -p 7777 -e echo reached &
		      echo begin here
		      until [ -e /tmp/open ]; do sleep 0.1; done
	EOT
	action "listens-$1" "listens-$1"
}
caller() { # NETWORK ADDRESS: one that comes, and leaves its mark with the machine
	formula "calls-$1" <<-EOT
		network: $1
		steps:
		  - id: call
		    run: |
		      echo \$(ls /sys/class/net)
		      $MARK
		      nc -w 5 $2 7777 </dev/null 2>/dev/null || echo not reached
	EOT
	action "calls-$1" "calls-$1"
}
address() { # ID
	docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(containers "$1" | tr -d /)"
}

# --- Networks. guard: ICC_OPTION in dispatcher/engine/network.c; what another network lets through is its maker's choice
for network in default between; do listener $network; done
land
dispatcher_start
for network in default between; do
	at_gate listens-$network
	caller $network "$(address listens-$network)"
done
formula alone <<<$'network: none\nsteps: [{id: a, run: "echo $(ls /sys/class/net)"}]'
action alone alone
land
for id in calls-default calls-between alone; do finished $id; done
is "default: a network, and no other task on it" "$(run_log calls-default)" $'eth0 lo\nnot reached'
is "the control: it does reach the machine" "$(marks calls-default)" 1
is "the control: on the operator's own network another task answers" "$(run_log calls-between)" $'eth0 lo\nreached'
is "which is the one that the configuration names" \
	"$(docker inspect -f '{{.HostConfig.NetworkMode}}' "$(containers listens-between | tr -d /)")" "$(docker network inspect -f '{{.Id}}' open)"
is "none: no network at all" "$(run_log alone)" lo
for network in default between; do
	open_gate listens-$network
	finished listens-$network
done

# --- Mounts. guard: ReadOnly and NonRecursive in build_mounts, dispatcher/engine/spec.c
mkdir -p "$WORK/keys/below"
echo content >"$WORK/keys/file"
mount -t tmpfs -o mode=0777 none "$WORK/keys/below" || bail "no mount"
trap 'umount "$WORK/keys/below"; cleanup' EXIT
echo hidden >"$WORK/keys/below/hidden"
chmod 0777 "$WORK/keys"
formula mounted <<-'EOT'
	steps:
	  - id: look
	    run: |
	      cat /keys/file
	      ls /keys/below
	      touch /keys/new 2>/dev/null || echo "read-only"
	      touch /keys/below/new 2>/dev/null || echo "below it too"
EOT
action mounted mounted '{"mounts": ["keys"]}'
action unmounted mounted
land
finished mounted
finished unmounted
is "a mount: there, read-only, without what is mounted below it" "$(run_log mounted)" $'content\nread-only\nbelow it too'
is "nothing was written" "$(cd "$WORK/keys" && find . -name new)" ''
is "the control: nobody gets it without asking" "$(field unmounted .outcome)" failed
like "for it is not there" "$(run_log unmounted)" "can't open '/keys/file'"
docker run --rm -u 10001 -v "$WORK/keys:/keys" disinto/runner touch /keys/new /keys/below/new
is "the control: their own modes keep nobody from writing" "$(cd "$WORK/keys" && find . -name new | sort | xargs)" './below/new ./new'
