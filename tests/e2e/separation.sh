#!/bin/bash
# separation: required gives each role a user of its own, and everything works that way: secrets, signed results, a restart; started as root with four
# capabilities, as in a container, where root has no right to override modes. Needs root.
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ]; then
	echo "ok 1 - # SKIP only root can give roles users of their own"
	exit 0
fi
engine_start
ssh-keygen -q -t ed25519 -N '' -f "$WORK/signkey"
site http <<<$'separation: required\nsigning_key_file: ../signkey'
chmod 0711 "$WORK" "$WORK/site"
# The site is somebody's, who is neither root nor a role: what roles open by themselves is lent to them. guard: lend_all in dispatcher/lend.c
chown 1000 "$CONFIG" "$WORK/site/identity.age" "$WORK/token" "$WORK/signkey"
chmod 0400 "$WORK/token" "$WORK/signkey"
lent() { # the folder with the copies, while it is there
	local d
	for d in {/run,/dev/shm}/disinto-"$(jq -r .id "$SPOOL/dispatcher.json")"; do [ ! -d "$d" ] || echo "$d"; done
}
few() { # CAPABILITY…: what starts root with these alone
	DISPATCHER_AS=(setpriv --bounding-set "-all$(printf ',+%s' "$@")" --inh-caps -all)
}
few setuid setgid chown
dispatcher_start
wait_for gone "$DISPATCHER"
like "without the right to end them: not started" "$(tail -n 1 "$LOG")" 'separation: required: the capability KILL is missing'
DISPATCHER=
few setuid setgid chown kill
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

is "the credential lent to git is its own" "$(stat -c '%u %a' "$(lent)/git_token_file")" '60708 400'
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
is "lent again at a reload: the new one" "$(umask 077 && echo another >"$WORK/token2" && chown 1000 "$WORK/token2" &&
	sed -i "s|^git_token_file: .*|git_token_file: $WORK/token2|" "$CONFIG" && kill -HUP "$DISPATCHER" &&
	wait_for grep -qx another "$(lent)/git_token_file" && echo yes)" yes
sed -i "s|^git_token_file: .*|git_token_file: $WORK/token|" "$CONFIG"
kill -HUP "$DISPATCHER"
wait_for cmp -s "$WORK/token" "$(lent)/git_token_file"
dispatcher_stop
is "nothing lent is left" "$(lent)" ''
dispatcher_start
action third leak '{"secrets": ["KEY"]}'
land
finished third
is "so does a second start" "$(field third .outcome)" succeeded
dispatcher_stop
