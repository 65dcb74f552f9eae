#!/bin/sh
# A private Docker Engine for tests and the demo: this machine's dockerd with its socket, its data and its network namespace in or
# beside one folder, so that it disturbs neither the machine's own engine nor other private ones.
#
#   USERNS=1 (start and up)     with user namespaces: root in a container is nobody on the machine; who is above DIR must let others through
#   MEMORY=1 (start)            its data in memory, where there is plenty: images are thousands of files, and disks are slow to write and to forget them
#
#   engine.sh start DIR         folder, engine on DIR/docker.sock, runner image loaded
#   engine.sh down DIR          ends the engine, keeps its data        engine.sh up DIR   starts it again
#   engine.sh stop DIR          ends the engine and everything in it, removes DIR
#   engine.sh image SOCKET NAME [FILE…]  loads a small image (busybox and the given files in /bin) into any engine, without a registry
#
# NET=host leaves the engine in the machine's own network namespace, without bridges and iptables: for builds that need a mirror.
# Needs root; asks sudo otherwise (the socket then belongs to the caller's group).
set -eu

runner_image=disinto/runner:latest

die() {
	echo "engine.sh: $*" >&2
	exit 1
}

api() { # SOCKET, then curl's arguments with the path last
	api_socket=$1
	shift
	curl -sS --fail --max-time 60 --unix-socket "$api_socket" "$@"
}

alive() { # DIR
	[ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null
}

# A network namespace of its own (unshare, as `ip netns exec` would hide the cgroups): bridges and iptables rules of several
# engines can't meet, and vanish with the last process. Its own containerd namespace, should the system run a containerd.
up() { # DIR
	dir=$1
	! alive "$dir" || return 0
	rm -f "$dir/pid" "$dir/docker.sock"
	rm -rf "$dir/exec"
	group=${SUDO_GID:-0}
	name=disinto-$(printf '%s' "$dir" | cksum | cut -d' ' -f1)
	if [ "${NET:-}" = host ]; then
		namespace='' offline='--bridge=none --iptables=false --ip6tables=false --ip-forward=false'
	else
		namespace='unshare -n' offline=''
	fi
	# What the ids are mapped to stands in files of the machine, so the engine gets a view of its own of these two.
	before=:
	if [ "${USERNS:-}" = 1 ]; then
		echo "nobody:2000000:65536" >"$dir/subids"
		echo "nogroup:2000000:65536" >>"$dir/subids"
		namespace="$namespace unshare -m" offline="$offline --userns-remap=nobody:nogroup"
		before="mount --bind '$dir/subids' /etc/subuid && mount --bind '$dir/subids' /etc/subgid"
	fi
	# shellcheck disable=SC2086 # lists
	setsid $namespace sh -c "$before || exit 1;"' ip link set lo up; exec "$@"' sh \
		"$dockerd" -H "unix://$dir/docker.sock" -G "$group" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
		--containerd-namespace "$name" --containerd-plugins-namespace "$name-plugins" --config-file "$dir/daemon.json" \
		--shutdown-timeout 5 $offline >>"$dir/dockerd.log" 2>&1 </dev/null &
	starter=$!
	tries=0
	until api "$dir/docker.sock" -o /dev/null http://docker/_ping 2>/dev/null; do
		tries=$((tries + 1))
		if [ "$tries" -gt 600 ] || ! kill -0 "$starter" 2>/dev/null; then
			tail -n 20 "$dir/dockerd.log" >&2
			die "$dir: the engine does not start; its log stands above"
		fi
		sleep 0.1
	done
}

# Processes that belong to the engine: containerd and its shims name the exec-root or the socket in it.
members() { # DIR
	for p in /proc/[0-9]*; do
		if { tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null | grep -qF -- "$1/exec/"; then
			echo "${p#/proc/}"
		fi
	done
}

down() { # DIR
	dir=$1
	if alive "$dir"; then
		pid=$(cat "$dir/pid")
		kill "$pid" || :
		tries=0
		while kill -0 "$pid" 2>/dev/null; do
			tries=$((tries + 1))
			[ "$tries" -le 200 ] || kill -9 "$pid" 2>/dev/null || :
			sleep 0.1
		done
	fi
	for pid in $(members "$dir"); do
		kill -9 "$pid" 2>/dev/null || :
	done
	rm -f "$dir/pid" "$dir/docker.sock"
	unmount "$dir/exec" # what an engine that was killed leaves there
}

unmount() { # DIR: everything below it, the innermost first
	awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
		umount -l "$mount" 2>/dev/null || :
	done
}

stop() { # DIR
	dir=$1
	[ -d "$dir" ] || return 0
	if alive "$dir"; then # removing by force is faster than an engine that stops its containers politely
		for id in $(api "$dir/docker.sock" 'http://docker/containers/json?all=1' 2>/dev/null | jq -r '.[].Id'); do
			api "$dir/docker.sock" -o /dev/null -X DELETE "http://docker/containers/$id?force=1&v=1" 2>/dev/null || :
		done
	fi
	down "$dir"
	unmount "$dir"
	rm -rf "$dir"
}

image() { # SOCKET NAME [FILE…]
	socket=$1 name=$2
	shift 2
	case ${name##*/} in *:*) ;; *) name=$name:latest ;; esac
	root=$(mktemp -d)
	mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/root" "$root/dev" "$root/proc" "$root/sys" "$root/run"
	chmod 1777 "$root/tmp"
	cp /bin/busybox "$root/bin/busybox"
	for applet in $(/bin/busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
	done
	[ $# = 0 ] || cp "$@" "$root/bin/"
	printf 'root:x:0:0::/root:/bin/sh\nagent:x:10001:10001::/task:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nagent:x:10001:\n' >"$root/etc/group"
	tar -C "$root" --owner=0 --group=0 --numeric-owner -cf "$root.tar" .
	rm -rf "$root"
	code=0
	api "$socket" -o "$root.answer" -X POST -H 'Content-Type: application/x-tar' -T "$root.tar" --url-query fromSrc=- \
		--url-query "repo=${name%:*}" --url-query "tag=${name##*:}" --url-query 'changes=ENV PATH=/bin' --url-query 'changes=CMD ["/bin/sh"]' \
		http://docker/images/create || code=1
	if [ "$code" = 0 ] && grep -q '"error"' "$root.answer"; then
		cat "$root.answer" >&2
		code=1
	fi
	rm -f "$root.tar" "$root.answer"
	[ "$code" = 0 ] || die "$name: could not be loaded"
}

[ $# -ge 2 ] || die "usage: engine.sh start|up|down|stop DIR, engine.sh image SOCKET NAME [FILE…]"
[ "$(id -u)" = 0 ] || [ "$1" = image ] || exec sudo -- "$0" "$@"
dockerd=$(PATH=$PATH:/usr/sbin:/usr/local/bin && command -v dockerd) || [ "$1" = image ] || [ "$1" = stop ] || die "dockerd is missing; run 'make deps'"
command=$1
shift
case $command in
start)
	mkdir -p "$1"
	dir=$(realpath "$1")
	[ ${#dir} -le 60 ] || die "$dir: too long for unix sockets below it (60 bytes at most)"
	chmod 0755 "$dir"
	echo '{}' >"$dir/daemon.json"
	if [ "${MEMORY:-}" = 1 ] && [ "$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)" -gt 12000000 ]; then
		mkdir -p "$dir/data"
		mount -t tmpfs -o size=6g,mode=0711 disinto-engine "$dir/data" 2>/dev/null || : # not in a container
	fi
	up "$dir"
	image "$dir/docker.sock" "$runner_image"
	;;
up | down | stop) "$command" "$(realpath -m "$1")" ;;
image) image "$@" ;;
*) die "$command: no such command" ;;
esac
