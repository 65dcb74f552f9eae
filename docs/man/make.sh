#!/bin/sh
# Makes the manual pages: docs/man/make.sh DIR [DISINTO]. The commands of disinto(1) come from the program itself, the keys of dispatcher.yaml(5) from
# docs/configuration.md.
set -eu
here=$(dirname "$0")
to=$1
disinto=${2:-$here/../../bin/disinto}
mkdir -p "$to"

# Tables of Markdown, | `key` | allowed | default | meaning |, as scdoc's list of terms.
keys() {
	awk -F ' *[|] *' '
	function plain(s) {
		while (match(s, /\[[^]]*\]\([^)]*\)/)) {
			link = substr(s, RSTART, RLENGTH)
			sub(/\]\(.*/, "", link)
			s = substr(s, 1, RSTART - 1) substr(link, 2) substr(s, RSTART + RLENGTH)
		}
		gsub(/`/, "", s)
		gsub(/[_*<>#+\\]/, "\\\\&", s)
		return s
	}
	/^### / { print "## " substr($0, 5) "\n" }
	/^\| `/ {
		printf "*%s*", plain($2)
		if ($3 != "") printf " (%s)", plain($3)
		printf "\n\t%s.", plain($5)
		print ($4 == "" ? "" : $4 == "required" ? " Required." : " Default: " plain($4) ".") "\n"
	}' "$here/../configuration.md"
}

# scdoc begins paragraphs that have no text, which mandoc -T lint minds.
tidy() {
	awk '/^\.P$/ { paragraph = 1; next }
	     /^\.(SH|SS|RE|TH)/ { paragraph = 0 }
	     paragraph { if (!after) print ".P"; paragraph = 0 }
	     { print; after = /^\.(SH|SS)/ }'
}

"$disinto" help --manual >"$to/commands.scd"
keys >"$to/keys.scd"
for page in "$here"/*.scd; do
	name=$(basename "$page" .scd)
	sed -e "/^@COMMANDS@\$/{
r $to/commands.scd
d
}" -e "/^@KEYS@\$/{
r $to/keys.scd
d
}" "$page" >"$to/page.scd"
	SOURCE_DATE_EPOCH=$(date -r "$page" +%s) scdoc <"$to/page.scd" >"$to/page"
	tidy <"$to/page" >"$to/$name"
done
rm "$to/commands.scd" "$to/keys.scd" "$to/page.scd" "$to/page"
