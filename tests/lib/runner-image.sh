#!/bin/bash
# The images of templates/, built once for all tests that need them and kept in build/images.
#
#   runner-image.sh load SOCKET [KIND]     builds it where it is not built yet, loads it into the engine
#   runner-image.sh build [KIND]           prints the path of the archive
#
# KIND: debian, the runner image without build arguments; node, the same with NODE=1, and then with AGENTS, a package whose program is stub-agent (in the
# engine: disinto/runner-KIND:latest); edge, with the programs of bin/, and
# agents, made from the runner image for its packages, both as `make images` makes and names them; base, what the others are made from: Debian's image where a registry answers, else
# what mmdebstrap makes of Debian's mirror (disinto/base-debian:latest). Exit code 77, with a sentence, where neither can be reached: then nothing can be said
# about the image. Needs root.
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

build_base() {
	base_from_registry || base_from_mirror || {
		echo "no registry has debian:bookworm-slim, and no mirror the packages to make one of" >&2
		exit 77
	}
}

# The site's images by the targets that README names; the programs are built already, by whatever compiler.
build_of_site() { # KIND
	DOCKER_HOST=unix://$socket make --no-print-directory -C "$root" -o all "image-$1" BASE="$(image_of "$(made_from "$1")")" \
		DOCKER_BUILD_FLAGS=--network=host >"$work/answer" 2>&1
}
build_with() { # KIND BASE [JSON member of build arguments…]
	local arguments
	arguments=$(printf ', %s' "\"BASE\": \"$2\"" "${@:3}")
	tar -C "$root/templates/runner" -c . |
		streamed -X POST -H 'Content-Type: application/x-tar' --data-binary @- --url-query "t=$(image_of "$1")" \
			--url-query networkmode=host --url-query "buildargs={${arguments#, }}" /build
}
# npm takes a package from a file as it does from a registry, and by the same argument. It lies in the base, so that no registry is needed.
with_package() { # BASE
	mkdir -p "$work/context/package"
	echo '{"name": "stub-agent", "version": "1.0.0", "bin": {"stub-agent": "agent.js"}}' >"$work/context/package/package.json"
	printf '%s\n' '#!/usr/bin/env node' 'console.log("told: " + process.argv[2])' >"$work/context/package/agent.js"
	tar -C "$work/context" -czf "$work/context/agent.tgz" package
	printf '%s\n' "FROM $1" 'COPY agent.tgz /agent.tgz' >"$work/context/Dockerfile"
	tar -C "$work/context" -c Dockerfile agent.tgz |
		streamed -X POST -H 'Content-Type: application/x-tar' --data-binary @- --url-query t=disinto/with-package:latest /build
}
build_runner() { # KIND
	local from
	from=$(image_of "$(made_from "$1")")
	if [ "$1" = node ]; then
		build_with node "$from" '"NODE": "1"' && with_package "$(image_of node)" &&
			build_with node disinto/with-package:latest '"AGENTS": "/agent.tgz"'
	else
		build_with "$1" "$from"
	fi
}
build_image() { # KIND
	local how=build_runner
	case $1 in edge | agents) how=build_of_site ;; esac
	$how "$1" || {
		tail -n 20 "$work/answer" >&2
		die "the image can't be built"
	}
}

build() { # KIND ARCHIVE FROM: the archive of the image that this one is made from, or nothing
	work=$(mktemp -d /tmp/disinto-image.XXXXXX)
	socket=$work/engine/docker.sock
	trap '"$here/engine.sh" stop "$work/engine"; rm -rf "$work"' EXIT
	MEMORY=1 NET=host "$here/engine.sh" start "$work/engine"
	if [ "$1" = base ]; then
		build_base
	else
		load "$3"
		build_image "$1"
	fi
	api -o "$2.new" "/images/$(image_of "$1")/get"
	mv "$2.new" "$2"
}

image_of() { # KIND
	case $1 in
	base) echo "$base" ;;
	edge | agents) echo "disinto/$1" ;; # with all its tags
	*) echo "disinto/runner-$1:latest" ;;
	esac
}

made_from() { # KIND
	case $1 in
	node | agents) echo debian ;;
	debian | edge) echo base ;;
	esac
}

# What makes a kind what it is: its templates, this file, and for the edge image the programs.
inputs() { # KIND
	case $1 in
	base) echo "$0" ;;
	edge) find "$root"/templates/edge "$root"/bin/disinto* -type f ;;
	agents) find "$root"/templates/agents "$root"/templates/runner -type f ;;
	*) find "$root"/templates/runner -type f ;;
	esac | sort | tr '\n' '\0' | xargs -0 cat "$0" | sha256sum | cut -c 1-16
}

archive() { # KIND: sets name
	local from='' base_kind
	base_kind=$(made_from "$1")
	[ -z "$base_kind" ] || { archive "$base_kind" && from=$name; }
	mkdir -p "$folder"
	name=$folder/$1-$(inputs "$1").tar
	exec 9>"$folder/$1.lock" # others may be built meanwhile
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
