#!/bin/bash
# Checks the given C files (clang-format, clang-tidy) and every shell script of the tree. Prints findings; silent when clean.
# clang-tidy is slow: it looks only at files that changed since they were last clean (build/lint holds the marks).
set -euo pipefail
marks=build/lint

if [ "$1" = --tidy ]; then # one file: how this script calls itself
	mark=$marks/${2//\//_}
	if clang-tidy --quiet -p . "$2" 2>"$mark.err"; then
		touch "$mark"
		exit 0
	fi
	grep -v 'warnings generated' "$mark.err" >&2
	exit 1
fi

code=0
clang-format --dry-run -Werror "$@" || code=1

find . \( -path ./build -o -path ./.git \) -prune -o -type f -exec grep -lZE -m 1 '^#!/(usr/)?bin/(env )?(ba)?sh' {} + |
	xargs -0 shellcheck || code=1

mkdir -p "$marks"
newest=$(stat -c '%Y %n' .clang-tidy ./*/*.h ./*/*/*.h 2>/dev/null | sort -n | tail -n 1 | cut -d' ' -f2-)
for file in "$@"; do
	mark=$marks/${file//\//_}
	if [[ $file == *.c && ! ($mark -nt $file && $mark -nt $newest) ]]; then
		printf '%s\0' "$file"
	fi
done | xargs -0 -r -P "$(nproc)" -n 1 "$0" --tidy || code=1
exit $code
