#!/bin/sh
# Real git servers on loopback for tests and benchmarks; each has its own folder for configuration, keys and logs.
#
#   git-server.sh start http DIR ROOT [TOKEN]   lighttpd with git-http-backend; with TOKEN: basic auth, the token is the password
#   git-server.sh start daemon DIR ROOT         git daemon that accepts pushes
#   git-server.sh start ssh DIR ROOT            an sshd of its own; client key DIR/id, host key pinned in DIR/known_hosts
#   git-server.sh stop DIR                      ends it; the folder stays, with its logs
#
# `start` makes DIR, waits until the server answers and prints the base URL, under which every bare repository of ROOT is
# found by its folder's name. A server that runs from DIR already is ended first. The server runs as the caller. Environment:
#   PORT        this port, as for a server that comes back; else a free one, different each time
#   BIND        this IPv4 address instead of 127.0.0.1
#   WATCH_PID   the server ends when this process does (else only by stop)
#   GIT_V0=1    http: the server knows protocol v0 only
#   GIT_TRACE   http: the file in which git says what it runs
set -eu

die() {
	echo "git-server.sh: $*" >&2
	exit 1
}

free_port() {
	od -An -N2 -tu2 /dev/urandom | awk '{print 20000 + $1 % 40000}'
}

listening() { # PORT, by the kernel's own list: connecting would count as a client
	# shellcheck disable=SC2046,SC2183 # four numbers, written backwards
	address=$(printf '%02X%02X%02X%02X' $(echo "$bind" | awk -F. '{ print $4, $3, $2, $1 }'))
	grep -qi " $address:$(printf '%04X' "$1") 00000000:0000 0A " /proc/net/tcp
}

running() { # PID; a zombie that nobody reaps is gone all the same
	[ -r "/proc/$1/stat" ] && ! grep -q '^[0-9]* (.*) [ZX]' "/proc/$1/stat" 2>/dev/null
}

conf_http() { # DIR ROOT PORT TOKEN
	cat <<-EOT
		server.modules = ("mod_setenv", "mod_auth", "mod_authn_file", "mod_cgi", "mod_alias")
		server.bind = "$bind"
		server.port = $3
		server.document-root = "$1"
		server.errorlog = "$1/log"
		server.max-keep-alive-requests = 100000
		server.max-keep-alive-idle = 60
		alias.url = ("/" => "$exec_path/git-http-backend/")
		cgi.assign = ("" => "")
		setenv.set-environment = ("GIT_PROJECT_ROOT" => "$2", "GIT_HTTP_EXPORT_ALL" => "1", "PATH" => "$PATH",
			"GIT_CONFIG_COUNT" => "2", "GIT_CONFIG_KEY_0" => "http.receivepack", "GIT_CONFIG_VALUE_0" => "true",
			"GIT_CONFIG_KEY_1" => "safe.directory", "GIT_CONFIG_VALUE_1" => "*")
	EOT
	[ -z "${GIT_TRACE:-}" ] || echo "setenv.set-environment += (\"GIT_TRACE\" => \"$GIT_TRACE\")"
	[ -z "${GIT_V0:-}" ] || echo 'setenv.set-request-header = ("Git-Protocol" => "version=0")'
	[ -n "$4" ] || return 0
	for user in x-access-token git disinto; do
		echo "$user:$4"
	done >"$1/users"
	cat <<-EOT
		auth.backend = "plain"
		auth.backend.plain.userfile = "$1/users"
		auth.require = ("/" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))
	EOT
}

conf_ssh() { # DIR PORT
	cat <<-EOT
		ListenAddress $bind:$2
		HostKey $1/host
		PidFile none
		AuthorizedKeysFile $1/id.pub
		AuthenticationMethods publickey
		PermitRootLogin prohibit-password
		StrictModes no
		UsePAM no
		AcceptEnv GIT_PROTOCOL
		LogLevel VERBOSE
	EOT
}

# Starts the server on a port and leaves its process id in DIR/pid and the base URL in DIR/url.
launch() { # KIND DIR ROOT PORT TOKEN
	case $1 in
	http)
		conf_http "$2" "$3" "$4" "$5" >"$2/conf"
		url=http://$bind:$4
		set -- "$2" lighttpd -D -f "$2/conf"
		;;
	daemon)
		url=git://$bind:$4
		set -- "$2" env GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' "$exec_path/git-daemon" \
			--listen="$bind" --port="$4" --base-path="$3" --export-all --enable=receive-pack --reuseaddr
		;;
	ssh)
		[ -e "$2/host" ] || ssh-keygen -q -t ed25519 -N '' -f "$2/host"
		[ -e "$2/id" ] || ssh-keygen -q -t ed25519 -N '' -f "$2/id"
		[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
		conf_ssh "$2" "$4" >"$2/conf"
		echo "[$bind]:$4 $(cat "$2/host.pub")" >"$2/known_hosts"
		url=ssh://$(id -un)@$bind:$4$3
		set -- "$2" /usr/sbin/sshd -D -e -f "$2/conf"
		;;
	*) die "$1: must be http, daemon or ssh" ;;
	esac
	launch_dir=$1
	shift
	"$@" >>"$launch_dir/out" 2>&1 </dev/null &
	echo $! >"$launch_dir/pid"
	echo "$url" >"$launch_dir/url"
}

# A port that somebody else took in the meantime ends the server: try another one.
start() { # KIND DIR ROOT [TOKEN]
	[ $# -ge 3 ] || die "start KIND DIR ROOT [TOKEN]"
	mkdir -p "$2"
	dir=$(cd "$2" && pwd)
	root=$(cd "$3" && pwd)
	stop "$dir"
	for _ in 1 2 3 4 5; do
		port=${PORT:-$(free_port)}
		! listening "$port" || continue
		launch "$1" "$dir" "$root" "$port" "${4:-}"
		pid=$(cat "$dir/pid")
		while running "$pid"; do
			if listening "$port"; then
				watch "$dir" "$pid"
				cat "$dir/url"
				return 0
			fi
			sleep 0.02
		done
	done
	cat "$dir/out" >&2
	die "$1: the server does not start; its words stand above"
}

watch() { # DIR PID
	[ -n "${WATCH_PID:-}" ] || return 0
	(
		trap 'kill "$waiter"; exit 0' TERM
		tail --pid="$WATCH_PID" -f /dev/null &
		waiter=$!
		wait "$waiter"
		kill "$2"
	) >/dev/null 2>&1 </dev/null &
	echo $! >"$1/watcher"
}

stop() { # DIR
	for f in watcher pid; do
		[ -s "$1/$f" ] || continue
		kill "$(cat "$1/$f")" 2>/dev/null || true
		while running "$(cat "$1/$f")"; do
			sleep 0.02
		done
		rm -f "$1/$f"
	done
}

bind=${BIND:-127.0.0.1}
PATH=$PATH:/usr/sbin:/sbin
exec_path=$(git --exec-path)
command=${1:-}
[ $# -eq 0 ] || shift
case $command in
start) start "$@" ;;
stop) stop "$@" ;;
*) die "start http|daemon|ssh DIR ROOT [TOKEN], or stop DIR" ;;
esac
