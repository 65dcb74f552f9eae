#!/bin/bash
# backup and restore, and the next version with a run in flight. A restored spool goes through the ledger's check like any other copy.
. "$(dirname "$0")/lib.sh"
engine_start
site path <<<'drain_seconds: 0'
gated_formula gated
formula leak <<<$'steps:\n  - id: say\n    run: echo "key $KEY"'
secret KEY 'a-secret-of-a-step'
action old leak '{"secrets": ["KEY"]}'
action flight gated
land
dispatcher_start
finished old
at_gate flight

# --- the next version takes over what runs. Its runner is another one, in a volume of its own.
mkdir "$WORK/next"
cp "$BIN"/disinto* "$WORK/next/"
echo >>"$WORK/next/disinto-runner"
volumes() { docker volume ls -q | grep -c '^disinto-runner-'; }
is "one runner so far" "$(volumes)" 1
dispatcher_stop
PATH=$WORK/next:$PATH
dispatcher_start
check "the run in flight is adopted" wait_for is_state flight running
action new leak '{"secrets": ["KEY"]}'
land
finished new
is "a new one runs meanwhile" "$(field new .outcome)" succeeded
is "with the new runner" "$(volumes)" 2
open_gate flight
finished flight
is "the one in flight succeeds" "$(field flight '[.outcome, .attempt] | @json')" '["succeeded",1]'
is "it was started once" "$(starts flight)" 1

# --- backup, of a dispatcher that runs
export DISINTO_CONFIG=$CONFIG
is "a backup" "$(disinto backup --json "$WORK/plain.tar" 2>/dev/null | jq -r '[.file, .dispatcher_id, (.time | fromdate > 0), .sealed] | @json')" \
	"[\"$WORK/plain.tar\",\"$(jq -r .id "$SPOOL/dispatcher.json")\",true,{}]"
refute "no JSON in the middle of an archive" disinto backup --json - 2>/dev/null
is "nobody else may read it" "$(stat -c %a "$WORK/plain.tar")" 600
list=$(tar -tf "$WORK/plain.tar")
like "it has the runs" "$list" '^spool/runs/old/log$'
is "who it belongs to comes last" "$(tail -n 1 <<<"$list")" spool/dispatcher.json
refute "neither clone nor lock" grep -qE 'ops.git|lock|sock' <<<"$list"
refute "nothing secret is in it" grep -qaE 'AGE-SECRET|a-secret-of-a-step' "$WORK/plain.tar"
refute "an older backup is not replaced" disinto backup "$WORK/plain.tar" 2>/dev/null
age-keygen -o "$WORK/vault.key" 2>/dev/null
chmod 0400 "$WORK/vault.key"
like "not sealed to what is sealed" "$(disinto backup --seal-to "$(age-keygen -y "$WORK/site/identity.age")" "$WORK/x.tar" 2>&1)" 'could be opened with itself only'
check "with the identity, sealed" disinto backup --seal-to "$(age-keygen -y "$WORK/vault.key")" - >"$WORK/full.tar" 2>/dev/null
refute "sealed it is" grep -qa AGE-SECRET "$WORK/full.tar"
check "age opens it" cmp -s <(tar -xOf "$WORK/full.tar" sealed/identity_file.age | age -d -i "$WORK/vault.key") "$WORK/site/identity.age"
is "a site without what is sealed" "$(disinto restore --json --site "$WORK/half" "$WORK/full.tar" 2>"$WORK/said" | jq -r '[.site, .closed] | @tsv')" "$WORK/half"$'\t1'
like "without the key it stays sealed" "$(cat "$WORK/said")" '1 sealed files are left'
check "with it there is a site" disinto restore --site "$WORK/again" -i "$WORK/vault.key" - <"$WORK/full.tar" 2>/dev/null
is "with its configuration and identity" "$(cmp "$CONFIG" "$WORK/again/dispatcher.yaml" && cmp "$WORK/site/identity.age" "$WORK/again/identity.age" &&
	stat -c %a "$WORK/again/identity.age")" 400

# --- restore
like "not below a dispatcher that runs" "$(disinto restore "$WORK/plain.tar" 2>&1)" 'a dispatcher is running on it'
dispatcher_stop
like "not over a spool that is there" "$(disinto restore "$WORK/plain.tar" 2>&1)" 'is not empty'
mv "$SPOOL" "$WORK/lost"
head -c 20000 "$WORK/plain.tar" >"$WORK/cut.tar"
like "half an archive is refused" "$(disinto restore "$WORK/cut.tar" 2>&1)" 'cut off'
is "and leaves nothing" "$(ls -A "$SPOOL")" lock
is "a whole one is restored" "$(disinto restore --json "$WORK/plain.tar" 2>/dev/null | jq -r '[.spool, .dispatcher_id] | @tsv')" "$SPOOL"$'\t'"$(jq -r .id "$WORK/lost/dispatcher.json")"
is "it is what was lost" "$(diff -r -x ops.git -x lock -x api.sock -x boot.log -x git.json "$SPOOL" "$WORK/lost")" ''
dispatcher_start
action after leak '{"secrets": ["KEY"]}'
land
finished after
is "it goes on as the same one" "$(field after .dispatcher)" "$(field old .dispatcher)"
is "and runs nothing again" "$(starts old) $(starts flight)" '1 1'
dispatcher_stop

# One that is older than the last start is a copy. guard: life_check in dispatcher/git/incarnate.c
rm -rf "$SPOOL"
disinto restore "$WORK/plain.tar" 2>/dev/null
dispatcher_start
wait_for gone "$DISPATCHER"
like "an older backup must not be used: the ledger has seen a newer start" "$(cat "$LOG")" 'this spool must not be used'
DISPATCHER=

# What is newer than the program, or was not finished. guard: read_self in dispatcher/core_role/identity.c, spool_open in dispatcher/core_role/spool.c, read_manifest in cli/restore.c
refused() { # REGEX
	dispatcher_start
	wait_for gone "$DISPATCHER"
	DISPATCHER=
	tail -n 1 "$LOG" | grep -qE -- "$1"
}
jq '.version = 99' "$SPOOL/dispatcher.json" >"$WORK/newer" && cp "$WORK/newer" "$SPOOL/dispatcher.json"
check "a newer spool is refused" refused 'was written by a newer version of disinto; use that version'
mkdir "$SPOOL/.restore"
check "so is one that was not restored to its end" refused 'did not come to its end'
mkdir "$WORK/made"
tar -C "$WORK/made" -xf "$WORK/plain.tar"
jq '.spool_version = 99 | .version = "9.9"' "$WORK/made/manifest.json" >"$WORK/newer" && cp "$WORK/newer" "$WORK/made/manifest.json"
tar -C "$WORK/made" -cf "$WORK/newer.tar" manifest.json site spool
rm -rf "$SPOOL"
like "a newer backup too, by name" "$(disinto restore "$WORK/newer.tar" 2>&1)" 'written by disinto 9.9, which is newer'
