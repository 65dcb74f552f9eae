#!/bin/sh
# Runs one libFuzzer target: fuzz.sh PROGRAM SECONDS. Inputs that it learns stay beside the program; a crashing one is named.
set -eu
program=$1 seconds=$2
name=$(basename "$program")
name=${name#fuzz_}
seeds=$(dirname "$0")/../fuzz/seeds/$name
corpus=$program.corpus
mkdir -p "$corpus"
set -- "$corpus"
[ ! -d "$seeds" ] || set -- "$corpus" "$seeds"
log=$program.log
if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$program." "$@" >"$log" 2>&1; then
	echo "fuzz $name: $(grep -o 'Done [0-9]* runs' "$log" | tail -n 1 || echo finished) in $seconds s"
else
	tail -n 60 "$log" >&2
	echo "fuzz $name: failed; the whole log is $log" >&2
	exit 1
fi
