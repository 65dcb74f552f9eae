#!/bin/bash
# What polls cost: with a moved tip beside 100000 archived actions, against an empty repository; and a day of polls with nothing new. Prints lines for the table of
# tests/bench/run, columns divided by tabs.
#   tests/bench/polls.sh PROGRAM growth|day      PROGRAM: the built tests/bench/polls.c
#   ARCHIVED (100000) actions, POLLS (200) with a moved tip, DAY (43200) with nothing new
set -euo pipefail
program=$(realpath "$1")
archived=${ARCHIVED:-100000} polls=${POLLS:-200} day=${DAY:-43200}
server=$(cd "$(dirname "$0")/../lib" && pwd)/git-server.sh
work=$(mktemp -d /tmp/disinto-bench-polls.XXXXXX)
trap '"$server" stop "$work/http"; rm -rf "$work"' EXIT
export HOME=$work GIT_CONFIG_NOSYSTEM=1
mkdir "$work/repos"

# An ops repo with so many finished actions in the archive, and their entries in the ledger. What the files hold does not matter to a poll; how many there are might.
repo() { # NAME COUNT
	git init -q --bare -b main "$work/repos/$1.git"
	awk -v count="$2" 'BEGIN {
		print "blob\nmark :1\ndata 2\n{}\nblob\nmark :2\ndata 7\nname: f"
		print "commit refs/heads/main\nmark :3\ncommitter a <a@b> 1700000000 +0000\ndata 5\nbegin"
		print "M 100644 :2 vault/formulas/f.yaml\nM 100644 :1 vault/actions/.gitkeep"
		for (i = 0; i < count; i++) {
			folder = sprintf("vault/archive/%d/%02d", 2020 + int(i / 12) % 6, i % 12 + 1)
			printf "M 100644 :1 %s/old-%06d.json\nM 100644 :1 %s/old-%06d.result.json\n", folder, i, folder, i
		}
		print "\ndone"
	}' | git -C "$work/repos/$1.git" fast-import --quiet --done
	tip=$(git -C "$work/repos/$1.git" rev-parse main)
	printf '{"tip": "%s", "accepted": true}' "$tip" >"$work/origin"
	{
		printf 'blob\nmark :1\ndata 2\n{}\nblob\nmark :2\ndata %d\n%s\n' "$(stat -c %s "$work/origin")" "$(cat "$work/origin")"
		printf 'commit refs/heads/disinto-ledger\nmark :3\ncommitter a <a@b> 1700000000 +0000\ndata 5\nbegin\nM 100644 :2 origin.json\n'
		awk -v count="$2" 'BEGIN {
			for (i = 0; i < count; i++)
				printf "M 100644 :1 claims/%02x/old-%06d.json\nM 100644 :1 done/%02x/old-%06d.json\n", i % 256, i, i % 256, i
		}'
		printf '\ndone\n'
	} | git -C "$work/repos/$1.git" fast-import --quiet --done
}

case $2 in
growth)
	repo empty 0
	repo full "$archived"
	url=$("$server" start http "$work/http" "$work/repos")
	few=$("$program" moved "$url/empty.git" "$work/repos/empty.git" "$polls")
	many=$("$program" moved "$url/full.git" "$work/repos/full.git" "$polls")
	ratio=$(awk "BEGIN { printf \"%.2f\", $many / $few }")
	printf 'poll with a moved tip, CPU, at %s archived\t%s times\t1.5 times\t%s\t%s\n' "$archived" "$ratio" \
		"$(awk "BEGIN { print ($many <= 1.5 * $few) ? \"yes\" : \"NO\" }")" "empty repository: $few us; archived: $many us"
	;;
day)
	repo empty 0
	url=$("$server" start http "$work/http" "$work/repos")
	read -r bytes kb < <("$program" idle "$url/empty.git" "$work/repos/empty.git" "$day")
	printf '%s polls with nothing new: written\t%s bytes\t0 bytes\t%s\t\n' "$day" "$bytes" "$([ "$bytes" = 0 ] && echo yes || echo NO)"
	printf '%s polls with nothing new: memory grew by\t%s KB\t64 KB\t%s\t\n' "$day" "$kb" "$([ "$kb" -le 64 ] && echo yes || echo NO)"
	;;
esac
