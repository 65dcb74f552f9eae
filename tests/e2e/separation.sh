#!/bin/bash
# separation: required gives each role a user of its own, and everything works that way: secrets, signed results, a restart. Needs root.
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ]; then
	echo "ok 1 - # SKIP only root can give roles users of their own"
	exit 0
fi
engine_start
ssh-keygen -q -t ed25519 -N '' -f "$WORK/signkey"
site http <<<$'separation: required\nsigning_key_file: ../signkey'
chmod 0711 "$WORK" "$WORK/site"
git_user=60708 # what the git role opens by itself it must be able to read
chown "$git_user" "$WORK/token" && chmod 0400 "$WORK/token"
formula leak <<<$'steps:\n  - id: say\n    run: echo "key $KEY"'
secret KEY 'a-secret-of-a-step'
action first leak '{"secrets": ["KEY"]}'
land
dispatcher_start

status_of() { # ROLE FIELD: its line in /proc/PID/status, without tabs at the ends
	awk -v field="$2:" '$1 == field { $1 = ""; sub(/^ /, ""); print }' "/proc/$(role "$1")/status"
}
users=()
for name in core git keyring engine web; do
	uids=$(status_of "$name" Uid)
	users+=("${uids%% *}")
	refute "$name: is not root" grep -qw 0 <<<"$uids"
	is "$name: may not gain privileges" "$(status_of "$name" NoNewPrivs)" 1
	is "$name: has no capabilities" "$(status_of "$name" CapEff)" 0000000000000000
	[ "$name" = engine ] || is "$name: has no groups" "$(status_of "$name" Groups)" ''
done
is "each is a user of its own" "$(printf '%s\n' "${users[@]}" | sort -u | wc -l)" 5
is "the engine role has the socket's group" "$(status_of engine Groups)" "$(stat -c %g "$SOCKET")"
is "the keyring's calls are filtered" "$(status_of keyring Seccomp)" 2
identity=$(stat -Lc %i "$WORK/site/identity.age")
for name in core git engine web; do
	refute "$name: has not the identity open" grep -qx "$identity" <(stat -Lc %i /proc/"$(role "$name")"/fd/* 2>/dev/null)
	refute "$name: can't read the identity" setpriv --reuid "$(status_of "$name" Uid | cut -d' ' -f1)" --clear-groups cat "$WORK/site/identity.age" 2>/dev/null
done

finished first
is "a secret is used" "$(field first '[.outcome, .logs] | @json')" '["succeeded","key [redacted:KEY]\n"]'
git -C "$OPS" fetch -q
like "the result is signed" "$(git -C "$OPS" cat-file commit origin/main)" '^gpgsig -----BEGIN SSH SIGNATURE-----'
is "nothing is said to be lacking" "$(api /status | jq -c .separation)" '[]'
for name in git keyring engine; do kill -9 "$(role "$name")"; done
action second leak '{"secrets": ["KEY"]}'
land
finished second
is "roles that were replaced work" "$(field second .outcome)" succeeded
dispatcher_stop
dispatcher_start
action third leak '{"secrets": ["KEY"]}'
land
finished third
is "so does a second start" "$(field third .outcome)" succeeded
