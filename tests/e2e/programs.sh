#!/bin/bash
# The programs as they are built: hardened, the runner small and static; `make install`, and `make deps` where nothing is missing.
. "$(dirname "$0")/lib.sh"

header() { # PROGRAM READELF-OPTION REGEX
	readelf -W "$2" "$BIN/$1" 2>/dev/null | grep -qE -- "$3"
}
symbols() { # PROGRAM: names that it imports
	readelf -W --dyn-syms "$BIN/$1" | awk '$7 == "UND" { print $8 }'
}

for program in disinto disinto-dispatcher; do
	check "$program: position independent" header $program -h 'Type: +DYN'
	check "$program: RELRO" header $program -l GNU_RELRO
	check "$program: binds at start" header $program -d 'BIND_NOW|FLAGS_1.*NOW'
	check "$program: no executable stack" header $program -l 'GNU_STACK .* RW '
	check "$program: stack protector" grep -q '^__stack_chk_fail' <(symbols $program)
	check "$program: fortified" grep -qE '^__(memcpy|snprintf|vsnprintf|fprintf|printf|read|memset)_chk' <(symbols $program)
	refute "$program: no search path of its own" header $program -d 'RPATH|RUNPATH'
	for unsafe in strcpy strcat sprintf system popen gets mktemp tmpnam; do
		refute "$program: no $unsafe" grep -qE "^$unsafe(@|\$)" <(symbols $program)
	done
done

check "runner: position independent" header disinto-runner -h 'Type: +DYN'
check "runner: RELRO" header disinto-runner -l GNU_RELRO
check "runner: no executable stack" header disinto-runner -l 'GNU_STACK .* RW '
refute "runner: static, no interpreter" header disinto-runner -l INTERP
refute "runner: static, no library" header disinto-runner -d '\(NEEDED\)'
size=$(stat -c %s "$BIN/disinto-runner")
check "runner: at most 1.5 MB ($size bytes)" [ "$size" -le 1500000 ]

check "make install" make -s -C "$ROOT" install DESTDIR="$WORK/root" PREFIX=/opt/x
for program in disinto disinto-dispatcher disinto-runner; do
	check "$program is installed" cmp -s "$BIN/$program" "$WORK/root/opt/x/bin/$program"
done
check "documents are installed" [ -s "$WORK/root/opt/x/share/doc/disinto/README.md" ]
is "an installed program runs" "$("$WORK/root/opt/x/bin/disinto" version 2>&1 | head -n 1 | cut -d' ' -f1)" disinto

# Nothing is missing: nothing is said, and neither apt nor sudo is asked.
mkdir "$WORK/fake"
for command in apt-get sudo apt-cache; do
	printf '#!/bin/sh\necho "%s was called" >&2\nexit 1\n' $command >"$WORK/fake/$command" && chmod 0755 "$WORK/fake/$command"
done
is "make deps does nothing when all is there" "$(PATH=$WORK/fake:$PATH make -s -C "$ROOT" deps 2>&1)" ''
output=$(PATH=$WORK/fake:$PATH "$LIB/deps.sh" coreutils no-such-package-at-all 2>&1)
refute "a failure of apt is one of make deps" [ $? = 0 ]
like "it names what is missing, and only that" "$output" 'installing no-such-package-at-all$'
