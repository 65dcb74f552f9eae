#!/bin/bash
# The runner image as templates/runner/Dockerfile makes it, built once for all tests that need it and kept in build/images.
#
#   runner-image.sh load SOCKET [KIND]     builds it where it is not built yet, loads it into the engine as disinto/runner-KIND:latest
#   runner-image.sh build [KIND]           prints the path of the archive
#
# KIND: debian, the image without build arguments; or node, the same with NODE=1. Its base is Debian's image where a registry answers, else what
# mmdebstrap makes of Debian's mirror. Exit code 77, with a sentence, where neither can be reached: then nothing can be said about the
# image. Needs root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=$root/build/images
base=disinto/base-debian:latest

die() {
	echo "runner-image.sh: $*" >&2
	exit 1
}

api() { # CURL-ARGUMENT… PATH
	curl -sS --fail --unix-socket "$socket" "${@:1:$#-1}" "http://docker${*: -1}"
}

# Docker answers 200 and puts what goes wrong into the stream.
streamed() { # CURL-ARGUMENT… PATH
	api "$@" >"$work/answer" || return 1
	! grep -F '"error"' "$work/answer" >&2
}

base_from_registry() {
	timeout 60 curl -sS --fail --unix-socket "$socket" -X POST \
		'http://docker/images/create?fromImage=docker.io/library/debian&tag=bookworm-slim' >"$work/pull" 2>/dev/null || return 1
	! grep -qF '"error"' "$work/pull" || return 1
	api -X POST "/images/debian:bookworm-slim/tag?repo=${base%:*}&tag=${base##*:}"
}

base_from_mirror() {
	mmdebstrap --quiet --variant=minbase bookworm "$work/base.tar" >"$work/mmdebstrap" 2>&1 || return 1
	streamed -X POST -H 'Content-Type: application/x-tar' -T "$work/base.tar" --url-query fromSrc=- --url-query "repo=${base%:*}" \
		--url-query "tag=${base##*:}" /images/create
}

load() { # ARCHIVE
	streamed -X POST -H 'Content-Type: application/x-tar' -T "$1" /images/load
}

build() { # KIND ARCHIVE FROM: the archive of the image that this one is made from, or nothing
	work=$(mktemp -d /tmp/disinto-image.XXXXXX)
	socket=$work/engine/docker.sock
	trap '"$here/engine.sh" stop "$work/engine"; rm -rf "$work"' EXIT
	NET=host "$here/engine.sh" start "$work/engine"
	if [ -n "$3" ]; then
		arguments='{"BASE": "disinto/runner-debian:latest", "NODE": "1"}'
		load "$3"
	else
		arguments="{\"BASE\": \"$base\"}"
		base_from_registry || base_from_mirror || {
			echo "no registry has debian:bookworm-slim, and no mirror the packages to make one of" >&2
			exit 77
		}
	fi
	tar -C "$root/templates/runner" -c . |
		streamed -X POST -H 'Content-Type: application/x-tar' --data-binary @- --url-query "t=disinto/runner-$1:latest" \
			--url-query networkmode=host --url-query "buildargs=$arguments" /build || {
		tail -n 20 "$work/answer" >&2
		die "the image can't be built"
	}
	api -o "$2.new" "/images/disinto/runner-$1:latest/get"
	mv "$2.new" "$2"
}

archive() { # KIND: sets name
	local from=
	[ "$1" != node ] || { archive debian && from=$name; }
	mkdir -p "$folder"
	name=$folder/$1-$(cat "$root"/templates/runner/* "$0" | sha256sum | cut -c 1-16).tar
	exec 9>"$folder/lock"
	flock 9
	if [ ! -s "$name" ]; then
		rm -f "$folder/$1"-*.tar
		(build "$1" "$name" "$from") >&2 9>&- || exit $?
	fi
	exec 9>&-
}

case ${1:-} in
build)
	archive "${2:-debian}"
	echo "$name"
	;;
load)
	archive "${3:-debian}"
	socket=$2 work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	load "$name"
	;;
*) die "load SOCKET [KIND], or build [KIND]" ;;
esac
