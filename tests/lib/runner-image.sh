#!/bin/bash
# The runner image as templates/runner/Dockerfile makes it, built once for all tests that need it and kept in build/images.
#
#   runner-image.sh load SOCKET     builds it where it is not built yet, loads it into the engine as disinto/runner-debian:latest
#   runner-image.sh build           prints the path of the archive
#
# Its base is Debian's image where a registry answers, else what mmdebstrap makes of Debian's mirror. Exit code 77, with a sentence, where
# neither can be reached: then nothing can be said about the image. Needs root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=$root/build/images
image=disinto/runner-debian:latest
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

build() { # ARCHIVE
	work=$(mktemp -d /tmp/disinto-image.XXXXXX)
	socket=$work/engine/docker.sock
	trap '"$here/engine.sh" stop "$work/engine"; rm -rf "$work"' EXIT
	NET=host "$here/engine.sh" start "$work/engine"
	base_from_registry || base_from_mirror || {
		echo "no registry has debian:bookworm-slim, and no mirror the packages to make one of" >&2
		exit 77
	}
	tar -C "$root/templates/runner" -c . |
		streamed -X POST -H 'Content-Type: application/x-tar' --data-binary @- --url-query "t=$image" --url-query networkmode=host \
			--url-query "buildargs={\"BASE\":\"$base\"}" /build || {
		tail -n 20 "$work/answer" >&2
		die "the image can't be built"
	}
	api -o "$1.new" "/images/$image/get"
	mv "$1.new" "$1"
}

archive() {
	mkdir -p "$folder"
	name=$folder/runner-$(cat "$root"/templates/runner/* "$0" | sha256sum | cut -c 1-16).tar
	exec 9>"$folder/lock"
	flock 9
	if [ ! -s "$name" ]; then
		rm -f "$folder"/runner-*.tar
		(build "$name") >&2 9>&- || exit $?
	fi
	exec 9>&-
	echo "$name"
}

case ${1:-} in
build) archive ;;
load)
	name=$(archive) || exit $?
	socket=$2 work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	streamed -X POST -H 'Content-Type: application/x-tar' -T "$name" /images/load
	;;
*) die "load SOCKET, or build" ;;
esac
