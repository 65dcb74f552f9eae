#!/bin/bash
# Installs what drives the browser (tests/browser/package.json) into build/browser, once.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
modules=$root/build/browser
mkdir -p "$modules"
exec 9>"$modules/lock"
flock 9
if ! [ -e "$modules/installed" ] || ! cmp -s "$root/tests/browser/package.json" "$modules/package.json"; then
	cp "$root/tests/browser/package.json" "$modules/"
	cd "$modules"
	npm install --no-audit --no-fund --loglevel=error
	touch installed
fi
