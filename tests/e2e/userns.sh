#!/bin/bash
# An engine with user namespaces (userns-remap): runs work there as everywhere, and root in a container is nobody on the machine.
. "$(dirname "$0")/lib.sh"

export USERNS=1
chmod 0711 "$WORK" # the ids of containers have no right of their own above the engine's folder
engine_start
site path
secret TOKEN 'some secret value'
formula mapped <<-'EOT'
	network: default
	steps:
	  - id: first
	    run: |
	      cut -c1- /proc/self/uid_map | tr -s ' '
	      id -u
	      test "$(cat /run/secrets/TOKEN)" = "$TOKEN"
	      stat -f -c %T /run/secrets /task /tmp | xargs
	      mkdir -p /task/artifacts && echo kept >/task/artifacts/kept
	  - id: second
	    run: until [ -e /tmp/open ]; do sleep 0.1; done
EOT
action mapped mapped '{"secrets": ["TOKEN"]}'
land
dispatcher_start
check "the run reaches its second step" wait_for log_has mapped '^tmpfs tmpfs tmpfs$'
container=$(containers mapped | tr -d /)
pid=$(docker inspect -f '{{.State.Pid}}' "$container")
is "process 1 is nobody on the machine" "$(awk '/^Uid:/ { print $2 }' "/proc/$pid/status")" 2000000
is "its steps are nobody either" "$(awk '/^Uid:/ { print $2 }' /proc/"$(pgrep -P "$pid" | head -n 1)"/status)" 2010001
docker exec "$container" touch /tmp/open
finished mapped
is "it succeeds" "$(field mapped .outcome)" succeeded
is "as its user, in the map" "$(run_log mapped | xargs)" '0 2000000 65536 10001 tmpfs tmpfs tmpfs'
is "what it leaves comes out" "$(field mapped '.artifacts[].name')" kept
