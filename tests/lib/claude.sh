#!/bin/bash
# The real Claude CLI of this machine's kind from the npm registry, one version, installed once and kept in build/npm. Prints the path of
# the program. Exit code 77, with a sentence, where the registry can't be reached or has nothing for this machine.
set -euo pipefail
version=2.1.329
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$root/build/npm
case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*) echo "there is no Claude CLI for $(uname -m)" >&2 && exit 77 ;;
esac
program=$folder/claude-$version/node_modules/@anthropic-ai/claude-code-linux-$arch/claude

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ ! -x "$program" ]; then
	rm -rf "$folder"/claude-*
	# The settings of whoever runs the tests say where the registry is; tests have a home of their own.
	HOME=$(getent passwd "$(id -u)" | cut -d: -f6) timeout 500 npm install --prefix "$folder/new" --ignore-scripts --no-audit --no-fund \
		--fetch-retries=1 --fetch-timeout=120000 "@anthropic-ai/claude-code@$version" >"$folder/log" 2>&1 9>&- || {
		echo "the npm registry gives no Claude CLI: $(grep -m 1 'npm ERR!\|npm error' "$folder/log" || tail -n 1 "$folder/log")" >&2
		exit 77
	}
	mv "$folder/new" "$folder/claude-$version"
fi
[ -x "$program" ] || { echo "the package of Claude $version holds no program for linux-$arch" >&2 && exit 1; }
echo "$program"
