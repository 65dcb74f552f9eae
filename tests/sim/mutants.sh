#!/bin/sh
# Whether the simulator finds bugs: each patch in tests/sim/mutants puts one in, and some story must show it.
#   mutants.sh BUILD [NAME…]    BUILD: folder of the programs' objects (make BUILD/sim); SEEDS (100000) stories for each
# CC, CFLAGS and LINK are make's. The patches are applied to a copy.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1
shift
seeds=${SEEDS:-100000}
copy=$(mktemp -d /tmp/disinto-mutants.XXXXXX)
trap 'rm -rf "$copy"' EXIT
trap 'exit 1' INT TERM

found=0 all=0
for patch in tests/sim/mutants/*.patch; do
	name=$(basename "$patch" .patch)
	case " $* " in "  " | *" $name "*) ;; *) continue ;; esac
	all=$((all + 1))
	file=$(sed -n 's,^+++ b/,,p' "$patch" | cut -f1)
	mkdir -p "$copy/$(dirname "$file")"
	cp "$file" "$copy/$file"
	if ! patch -s -d "$copy" -p1 <"$patch"; then
		echo "not ok - $name: its patch does not fit any more; make it anew"
		continue
	fi
	# shellcheck disable=SC2086 # words of flags
	if ! $CC $CFLAGS -w -c -o "$copy/mutant.o" "$copy/$file"; then
		echo "not ok - $name: does not build"
		continue
	fi
	objects=$(find "$build/tests/sim" "$build/dispatcher" -name '*.o' ! -path "$build/${file%.c}.o" ! -path "$build/dispatcher/main.o")
	# shellcheck disable=SC2086
	$CC $LINK -o "$copy/sim" "$copy/mutant.o" $objects "$build/libdisinto.a" $LIBS || exit 1
	if "$copy/sim" --seeds "$seeds" --brief >"$copy/out"; then
		echo "not ok - $name: not found in $seeds seeds"
	else
		found=$((found + 1))
		echo "ok - $name: $(sed -n 's/^not ok - \(seed [0-9]*: .*\);.*/\1/p' "$copy/out")"
	fi
done
echo "$found of $all found"
[ "$found" -eq "$all" ]
