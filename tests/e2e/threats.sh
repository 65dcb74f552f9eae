#!/bin/bash
# docs/threats.md is true: each number has a row, each test that a row names is there, and each number has a test with its name.
. "$(dirname "$0")/lib.sh"

doc=$ROOT/docs/threats.md
for n in $(seq -w 1 50); do
	check "threat $n has a row" grep -q "^| $((10#$n)) |" "$doc"
	check "threat $n has a test" grep -rqE "threat_$n(_|\b)" "$ROOT/tests/unit" "$ROOT/tests/e2e" "$ROOT/tests/browser"
done
# The file before the colon, the name behind it.
while IFS=: read -r file name; do
	check "$file holds $name" grep -q "\b$name\b" "$ROOT/tests/$file"
done < <(grep -oE '`(unit|e2e)/[a-z_.0-9-]+:[a-z_0-9]+`' "$doc" | tr -d '`' | sort -u)
# And each test that bears a number is in the table.
for name in $(grep -rhoE 'static void [a-z_]*threat_[0-9]{2}[a-z_0-9]*' "$ROOT/tests/unit" | awk '{ print $3 }' | sort -u); do
	check "the table names $name" grep -qE ":$name\`" "$doc"
done
# The guards that tests/guards/run takes out are there, and so are the tests that must miss them.
changes() { # FILE SED-SCRIPT
	! sed "$2" "$ROOT/$1" | cmp -s - "$ROOT/$1"
}
while IFS=$'\t' read -r test source script; do
	[[ $test == [ue]* ]] || continue
	check "$test: its guard in $source looks as tests/guards/table has it" changes "$source" "$script"
	check "tests/guards/table: $test is there" grep -q "\b${test#*:}\b" "$ROOT/tests/${test%:*}"
done <"$ROOT/tests/guards/table"
for n in $(seq -w 1 31) {46..50}; do
	check "a guard of threat $n can be taken out" grep -qE "threat_$n(_|\b)" "$ROOT/tests/guards/table"
done
