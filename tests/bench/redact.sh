#!/bin/bash
# Rows of `make bench` for redaction, tab-separated as tests/bench/run wants them: redact.sh REDACT   (REDACT: the built tests/bench/redact.c)
# CPU time of one process, the best of REDACT_ROUNDS (3), so that it says the same on a machine that does other things besides. grep looks for the same
# forms in the same log, in the C locale, and only counts lines. MB (256) sets the size of the log.
set -euo pipefail
redact=$(realpath "$1")
rounds=${REDACT_ROUNDS:-3} mb=${MB:-256}
work=$(mktemp -d "${TMPDIR:-/tmp}/disinto-bench-redact.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

best() { sort -n | head -n 1; }
rate() { awk "BEGIN { printf \"%d\", $mb * 1000 / ($1 > 0 ? $1 : 1) }"; }
holds() { if [ "$1" -ge "$2" ]; then echo yes; else echo NO; fi; }
row() { printf '%s\t%s\t%s\t%s\t%s\n' "$@"; }

grep_ms() { # CPU time; exit 1 is "no line"
	local TIMEFORMAT='%3U %3S' times
	times=$({ time LC_ALL=C grep -F -c -f "$work/patterns" "$work/log" >"$work/lines" || [ $? = 1 ]; } 2>&1)
	awk '{ printf "%d\n", ($1 + $2) * 1000 }' <<<"$times"
}

measure() { # KIND PER-10000 WANTED FIGURE
	local ms kb masks lines mine theirs verdict
	"$redact" log "$1" "$2" "$mb" >"$work/log"
	"$redact" patterns "$1" >"$work/patterns"
	rm -f "$work/mine" "$work/theirs"
	for _ in $(seq "$rounds"); do
		read -r ms kb masks < <("$redact" run "$1" <"$work/log")
		echo "$ms" >>"$work/mine"
		echo "$kb" >>"$work/kb"
		grep_ms >>"$work/theirs"
	done
	mine=$(rate "$(best <"$work/mine")") theirs=$(rate "$(best <"$work/theirs")")
	lines=$(cat "$work/lines") verdict=$(holds "$mine" "$3")
	[ "$masks" -ge "$lines" ] || verdict="NO: $masks masks" # a line that grep found and redaction did not
	row "$4" "$mine MB/s" "$3 MB/s" "$verdict" "grep -F -c, $(wc -l <"$work/patterns") patterns: $theirs MB/s; $lines lines"
}

measure tokens 0 400 "redactor, 8 secrets, $mb MB log without a hit"
measure tokens 100 250 "redactor, 8 secrets, 1% of lines hit"
rm "$work/kb"
measure large 0 200 "redactor, 32 secrets of 1 KiB, no hit"
measure large 100 200 "redactor, 32 secrets of 1 KiB, 1% of lines hit"
kb=$(sort -n "$work/kb" | tail -n 1)
row "memory of that process at its peak" "$(awk "BEGIN { printf \"%.1f\", $kb / 1024 }") MB" "16 MB" "$(holds $((16 * 1024)) "$kb")" \
	"the log: $mb MB"
