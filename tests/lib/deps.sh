#!/bin/sh
# Installs those of the given Debian packages that are missing; says and does nothing when all are there.
# Services that some of them bring (docker, lighttpd, sshd) are not started.
set -eu

missing=
have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 'libclang-rt-*-dev' 2>/dev/null | sed -n 's/ installed$//p')
for package in "$@"; do
	case $package in
	npm) command -v npm >/dev/null && continue ;; # other sources of nodejs bring it along
	docker.io) command -v dockerd >/dev/null && continue ;; # Docker's own packages, which Debian's would drive out
	libclang-rt-*) pattern='^libclang-rt-.*-dev$' ;; # its name holds the version of the release's clang
	*) pattern="^$package\$" ;;
	esac
	printf '%s\n' "$have" | grep -q -- "$pattern" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps: not root, and no sudo; as root: apt-get install$missing" >&2
		exit 1
	}
	root=sudo
fi
echo "deps: installing$missing"
$root apt-get -qq update
case $missing in
*libclang-rt-*)
	version=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
	missing=$(printf '%s' "$missing" | sed "s/libclang-rt-[0-9]*-dev/libclang-rt-$version-dev/")
	;;
esac

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '$root rm -f "$policy"' EXIT
	trap 'exit 1' INT TERM
	printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
	$root chmod 0755 "$policy"
fi
log=$(mktemp)
# shellcheck disable=SC2086 # a list of words
if ! $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >"$log" 2>&1 </dev/null; then
	cat "$log" >&2
	rm -f "$log"
	echo "deps: apt-get install failed; its output stands above" >&2
	exit 1
fi
rm -f "$log"
