#!/bin/bash
# A secret's file that was copied to another name gives the value to nobody (THREATS 22), with a real dispatcher. What is refused needs no engine,
# and there is none; what is not refused waits for it.
. "$(dirname "$0")/lib.sh"

site path
formula deploy <<<$'steps:\n  - id: s\n    run: "true"'
secret PROD 'value of prod'
commit 'ops: prod, made by age' && push
printf 'value of named' | disinto secrets add --config "$CONFIG" NAMED 2>/dev/null || bail "secrets add"
git -C "$OPS" pull -q

copied() { # ID SECRET-OF SECRET-AS
	git -C "$OPS" checkout -q main
	cp "$OPS/vault/secrets/$2.age" "$OPS/vault/secrets/$3.age"
	action "$1" deploy "{\"secrets\": [\"$3\"]}"
	land "propose $1"
}
copied binary PROD STAGING
age -a -R "$OPS/vault/recipients.txt" -o "$OPS/vault/secrets/ARMOURED.age" <<<'value in armour'
land 'ops: an armoured one'
copied armour ARMOURED REWRAPPED
sed -i 's/$/\r/' "$OPS/vault/secrets/REWRAPPED.age" # another wrapping of the same ciphertext
land 'ops: wrapped anew'
copied named NAMED STAGING_2
like "validate says it too" "$(disinto validate --config "$CONFIG" 2>&1)" 'STAGING\.age: holds the ciphertext that landed first as'
git -C "$OPS" mv vault/secrets/PROD.age vault/secrets/BACKUP.age
action renamed deploy '{"secrets": ["BACKUP"]}'
land 'propose renamed'
git -C "$OPS" mv vault/secrets/BACKUP.age vault/secrets/PROD.age
land 'ops: back again'
action good deploy '{"secrets": ["PROD", "NAMED", "ARMOURED"]}'
land 'propose good'

dispatcher_start
for id in binary armour named; do finished $id; done
is "a copy: outcome" "$(field binary .outcome)" refused
like "a copy: both files are named" "$(field binary .reason)" \
	'^vault/secrets/STAGING\.age: holds the ciphertext that landed first as vault/secrets/PROD\.age; .*secrets add -f STAGING'
is "another armour: outcome" "$(field armour .outcome)" refused
like "another armour: both files are named" "$(field armour .reason)" '^vault/secrets/REWRAPPED\.age: .*vault/secrets/ARMOURED\.age'
is "a copy that says its name: outcome" "$(field named .outcome)" refused
like "a copy that says its name: both names" "$(field named .reason)" '^vault/secrets/STAGING_2\.age: was encrypted as NAMED; '
like "under its own name it waits for an engine" "$(state good)" '^(waiting|queued)$'
refute "under its own name it is not refused" has_result good
finished renamed # its file is gone again: refused for that
like "the file of another name that is gone" "$(field renamed .reason)" '^vault/secrets/BACKUP\.age is not in the repo'
git -C "$OPS" pull -q
cp "$OPS/vault/secrets/PROD.age" "$WORK/prod.age"
git -C "$OPS" rm -q vault/secrets/PROD.age
land 'ops: prod is gone'
cp "$WORK/prod.age" "$OPS/vault/secrets/AFTERWARDS.age"
action afterwards deploy '{"secrets": ["AFTERWARDS"]}'
land 'propose afterwards'
finished afterwards
like "renamed after deletion" "$(field afterwards .reason)" '^vault/secrets/AFTERWARDS\.age: holds the ciphertext that landed first as vault/secrets/PROD\.age'
dispatcher_stop
