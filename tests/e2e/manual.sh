#!/bin/bash
# The manual pages and the programs' --help say the same: every command and option of one is in the other. Needs no engine.
. "$(dirname "$0")/lib.sh"
"$ROOT/docs/man/make.sh" "$WORK/man" "$BIN/disinto" || bail "the pages can't be made"
text() { # PAGE
	mandoc -T ascii -O width=1000 "$WORK/man/$1" | sed 's/.\x08//g'
}
is "the pages" "$(cd "$WORK/man" && echo *)" 'disinto-dispatcher.1 disinto-runner.1 disinto.1 dispatcher.yaml.5'
is "mandoc has no warning" "$(mandoc -T lint -W warning "$WORK"/man/* 2>&1)" ''
text disinto.1 >"$WORK/page"
options() { # of a --help, or of a section of the page
	grep -oE '^ +(-[a-zA-Z], |    )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u
}
# The commands, out of the usage that --help prints for each word.
for word in $(disinto complete ''); do
	if [[ $(disinto "$word" --help) == "usage: disinto $word COMMAND"* ]]; then
		disinto complete "$word" '' | sed "s/^/$word /"
	else
		echo "$word"
	fi
done >"$WORK/commands"
sed -n '/^COMMANDS/,/^EXIT STATUS/p' "$WORK/page" >"$WORK/sections"
check "there are commands" [ "$(wc -l <"$WORK/commands")" -ge 30 ]
is "help lists as many" "$(disinto help | grep -c '^  [a-z]')" "$(wc -l <"$WORK/commands")"
is "the page has as many" "$(grep -c '^   [a-z]' "$WORK/sections")" "$(wc -l <"$WORK/commands")"
problems=
common=$(sed '/^   init/q' "$WORK/sections" | options)
is "what all know stands there once" "$common" $'--config\n--help'
while read -r name; do
	# shellcheck disable=SC2086 # a command of two words
	help=$(disinto $name --help | options | grep -vxF -- "$common")
	page=$(awk -v name="   $name" '/^   [a-z]/ { on = $0 == name || index($0, name " ") == 1; if (on) print "found" } on' "$WORK/sections" >"$WORK/section" &&
		grep -c '^found$' "$WORK/section" && options <"$WORK/section")
	[ "$page" = "1${help:+$'\n'}$help" ] || problems+="$name: [$help] [$page]"$'\n'
done <"$WORK/commands"
is "each command has the same options there as in its --help" "$problems" ''
is "disinto-dispatcher: the same options" "$(text disinto-dispatcher.1 | sed -n '/^OPTIONS/,/^SIGNALS/p' | options)" \
	"$({ disinto-dispatcher --help && echo '  --help'; } | options)"
like "disinto-runner: its two" "$(text disinto-runner.1)" '--version, --help'
text dispatcher.yaml.5 >"$WORK/keys"
missing=
for key in $(grep -oE '^\| `[a-z_.]+`' "$ROOT/docs/configuration.md" | tr -d '|` '); do
	grep -qE "^ +${key//./\\.}( |\$)" "$WORK/keys" || missing+="$key "
done
is "dispatcher.yaml(5) has every key" "$missing" ''

# make install puts them, and the completion, where they are looked for.
mkdir "$WORK/tree" && cp -r "$ROOT/docs" "$ROOT/cli" "$ROOT/README.md" "$ROOT/LICENSE" "$ROOT/Makefile" "$ROOT/bin" "$WORK/tree/"
make -C "$WORK/tree" -o all PROGRAMS="bin/disinto bin/disinto-dispatcher bin/disinto-runner" -o bin/disinto -o bin/disinto-dispatcher -o bin/disinto-runner \
	DESTDIR="$WORK/installed" PREFIX=/usr install >"$WORK/make.log" 2>&1
is "make install" "$(cd "$WORK/installed/usr" && find . -type f -o -type l | grep -v share/doc | sort | tr '\n' ' ')" \
	"./bin/disinto ./bin/disinto-dispatcher ./bin/disinto-runner ./share/bash-completion/completions/disinto ./share/bash-completion/completions/disinto-dispatcher ./share/man/man1/disinto-dispatcher.1 ./share/man/man1/disinto-runner.1 ./share/man/man1/disinto.1 ./share/man/man5/dispatcher.yaml.5 "

# And the documents name every command: README.md in its table, docs/ with an example.
while read -r word second; do
	row=$(grep -E "^\| .*\`(disinto )?$word\b" "$ROOT/README.md")
	[[ $row =~ (^|[^a-z-])"${second:-$word}"([^a-z-]|$) ]] || echo "README.md: $word $second"
	grep -qE "disinto $word${second:+ $second}\b" "$ROOT"/docs/*.md || echo "docs: $word $second"
done <"$WORK/commands" >"$WORK/undocumented"
is "README.md and docs name every command" "$(cat "$WORK/undocumented")" ''
