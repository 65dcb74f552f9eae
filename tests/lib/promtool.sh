#!/bin/bash
# Prints the path of a promtool: the system's, else one taken out of Debian's package `prometheus` into build/, since installing that would start a server.
set -eu
if command -v promtool; then exit 0; fi
dir=$(cd "$(dirname "$0")/../.." && pwd)/build/promtool
if ! [ -x "$dir/promtool" ]; then
	tmp=$(mktemp -d /tmp/disinto-promtool.XXXXXX)
	trap 'rm -rf "$tmp"' EXIT
	cd "$tmp"
	chmod 0755 "$tmp"
	apt-get download -qq prometheus >&2 2>/dev/null
	mkdir -p "$dir"
	dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool
	chmod 0755 promtool
	mv promtool "$dir/promtool"
fi
echo "$dir/promtool"
