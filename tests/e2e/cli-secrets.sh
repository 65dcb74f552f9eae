#!/bin/bash
# secrets: where values come from, what is refused, who can read the files, and that a race loses nothing. Needs neither dispatcher nor engine.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
rm -rf "$WORK/site"
disinto init "$WORK/site" >/dev/null || bail "init"
cd "$WORK/site" || exit 1
SERVER=$WORK/site/ops.git
CANARY=canary-$RANDOM-$RANDOM-value

tip() { git -C "$SERVER" rev-parse main; }
opened() { git -C "$SERVER" show "main:vault/secrets/$1.age" | age -d -i identity.age; } # NAME: by the reference program

# The value
printf '%s' "$CANARY" | disinto secrets add TOKEN 2>"$WORK/errors"
is "add: exit code" $? 0
like "add: says that it landed" "$(cat "$WORK/errors")" '^disinto: secrets: TOKEN added, landed on main'
is "add: age opens it" "$(opened TOKEN)" "$CANARY"
is "show: the bytes, and nothing else" "$(disinto secrets show TOKEN | od -c)" "$(printf '%s' "$CANARY" | od -c)"
is "the commit's author" "$(git -C "$SERVER" log -1 --format=%ae main)" person@example
is "the commit's message" "$(git -C "$SERVER" log -1 --format=%s main)" 'vault: add secret TOKEN'
refute "the value is nowhere on disk" grep -rqF "$CANARY" "$WORK/site" "$HOME"
head -c 65536 /dev/urandom >"$WORK/large"
check "add: 64 KiB of any bytes" disinto secrets add LARGE <"$WORK/large" 2>/dev/null
is "show: the same bytes" "$(disinto secrets show LARGE | sha256sum)" "$(sha256sum <"$WORK/large")"
is "show --json: what is no text" "$(disinto secrets show --json LARGE | jq -r '[.name, has("value")] | @tsv') $(disinto secrets show --json LARGE | jq -r .base64 | base64 -d | sha256sum)" \
	$'LARGE\tfalse '"$(sha256sum <"$WORK/large")"
printf 'with a newline\n' | disinto secrets add LINES 2>"$WORK/errors"
like "add: says that a newline is kept" "$(cat "$WORK/errors")" 'newline'
is "add: verbatim" "$(disinto secrets show LINES | od -c)" "$(printf 'with a newline\n' | od -c)"

# Refusals change nothing.
before=$(tip)
refused() { # WHAT REGEX NAME [OPTION…]: value on standard input
	local what=$1 regex=$2
	shift 2
	disinto secrets add "$@" >/dev/null 2>"$WORK/errors"
	is "add: $what is refused" $? "${code:-1}"
	like "add: $what: why" "$(cat "$WORK/errors")" "^disinto: secrets add: .*$regex"
}
refused 'an empty value' 'empty' EMPTY </dev/null
printf 'seven77' | refused 'a value of 7 bytes' '7 bytes.*8' SHORT
head -c 65537 /dev/zero | refused 'a value over 64 KiB' '65536' HUGE
printf 'another value' | refused 'replacing without -f' 'secrets add -f TOKEN' TOKEN
code=2
printf 'a good value' | refused 'a bad name' 'A-Z' lower-case
printf 'a good value' | refused 'a path for a name' 'A-Z' ../TOKEN
code=1
is "refusals changed nothing" "$(tip)" "$before"
printf 'another value' | disinto secrets add -f TOKEN 2>/dev/null
is "add -f replaces" "$(opened TOKEN)" 'another value'

# A terminal: hidden prompt, question before replacing.
terminal 'not shown' 'typed ab\x7f value\r' -- disinto secrets add TYPED
is "prompt: exit code" "$code" 0
is "prompt: what was typed, with the correction" "$(opened TYPED)" 'typed a value'
refute "prompt: nothing of it is shown" grep -q 'typed' "$WORK/screen"
terminal 'Replace it?' 'n\r' -- disinto secrets add TYPED
is "prompt: n keeps the secret" "$code $(opened TYPED)" '1 typed a value'
terminal 'Replace it?' 'y\r' 'not shown' 'a newer value\r' -- disinto secrets add TYPED
is "prompt: y replaces it" "$code $(opened TYPED)" '0 a newer value'
terminal 'not shown' 'first line\rsecond line\r' -- disinto secrets add PASTED
is "prompt: several lines are refused" "$code" 1
like "prompt: with the way to do it" "$(cat "$WORK/screen")" 'several lines.*standard input'
terminal 'not shown' '\x03' -- disinto secrets add STOPPED
is "prompt: Ctrl-C changes nothing" "$code" 1
refute "prompt: no secret came of it" git -C "$SERVER" cat-file -e main:vault/secrets/STOPPED.age 2>/dev/null
terminal 'not shown' 'visible again\r' -- "disinto secrets add ECHO && stty -a"
like "prompt: the terminal echoes again" "$(cat "$WORK/screen")" '[[:space:]]icanon[[:space:]].*[[:space:]]echo[[:space:]]'
printf 'evil \033]0;title\007 value' | disinto secrets add EVIL 2>/dev/null
terminal -- disinto secrets show EVIL
refute "show: a terminal gets no control characters" grep -q $'\033' "$WORK/screen"
terminal -- disinto secrets show --json EVIL
refute "show --json: nor so" grep -q $'\033' "$WORK/screen"
printf '"\\ \n\t\302\205 \360\237\230\200 \363\240\200\201 evil' | disinto secrets add -f EVIL 2>/dev/null
is "show --json: the same text" "$(disinto secrets show --json EVIL | jq -j '.name, .value' | od -c)" "$(printf 'EVIL"\\ \n\t\302\205 \360\237\230\200 \363\240\200\201 evil' | od -c)"
printf 'evil \033]0;title\007 value' | disinto secrets add -f EVIL 2>/dev/null
is "show: a file gets the bytes" "$(disinto secrets show EVIL | od -c)" "$(printf 'evil \033]0;title\007 value' | od -c)"

# Recipients
age-keygen -o "$WORK/second.age" 2>/dev/null
git clone -q "$SERVER" "$WORK/clone"
age-keygen -y "$WORK/second.age" >>"$WORK/clone/vault/recipients.txt"
git -C "$WORK/clone" commit -qam more && git -C "$WORK/clone" push -q origin HEAD:main
printf 'for the two of us' | disinto secrets add SHARED 2>/dev/null
is "every recipient can read a new secret" "$(git -C "$SERVER" show main:vault/secrets/SHARED.age | age -d -i "$WORK/second.age")" 'for the two of us'
is "list: recipients are counted" "$(disinto secrets list --json | jq -c '[.[] | select(.name == "SHARED" or .name == "TOKEN") | .recipients]')" '[2,1]'
is "list: the last change" "$(disinto secrets list --json | jq -r '.[] | select(.name == "TOKEN") | .changed')" \
	"$(TZ=UTC git -C "$SERVER" log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd main -- vault/secrets/TOKEN.age)"
like "list: a table" "$(disinto secrets list)" '^SHARED +[0-9]+ +2 +.*Test Person$'
DISINTO_IDENTITY_FILE=$WORK/second.age disinto secrets show TOKEN >/dev/null 2>"$WORK/errors"
is "show: with another identity" $? 1
like "show: why" "$(cat "$WORK/errors")" 'vault/secrets/TOKEN\.age'
git -C "$WORK/clone" pull -q
printf 'age1not-a-recipient\n' >"$WORK/clone/vault/recipients.txt"
git -C "$WORK/clone" commit -qam broken && git -C "$WORK/clone" push -q origin HEAD:main
printf 'a good value' | disinto secrets add NOBODY >/dev/null 2>"$WORK/errors"
is "add: broken recipients" $? 1
like "add: file and line are named" "$(cat "$WORK/errors")" 'recipients\.txt.*line 1'
git -C "$WORK/clone" revert --no-edit HEAD >/dev/null && git -C "$WORK/clone" push -q origin HEAD:main

# Many at once: each lands, none undoes another.
adders=()
for i in 1 2 3 4 5 6; do
	printf 'value number %s' "$i" | disinto secrets add "RACE_$i" 2>/dev/null &
	adders+=($!)
done
failed=0
for child in "${adders[@]}"; do wait "$child" || failed=$((failed + 1)); done
is "race: nobody fails" $failed 0
for i in 1 2 3 4 5 6; do is "race: RACE_$i" "$(opened "RACE_$i")" "value number $i"; done

# remove
is "remove --json" "$(disinto secrets remove --json TOKEN | jq -r '[.name, .status] | @tsv')" $'TOKEN\tremoved'
refute "remove: it is gone" git -C "$SERVER" cat-file -e main:vault/secrets/TOKEN.age 2>/dev/null
disinto secrets remove TOKEN 2>/dev/null
is "remove: an absent one is 1" $? 1

# keygen
recipient=$(disinto secrets keygen "$WORK/new.age" 2>/dev/null)
is "keygen: prints the recipient alone" "$recipient" "$(age-keygen -y "$WORK/new.age")"
is "keygen: 0400" "$(stat -c %a "$WORK/new.age")" 400
before=$(cat "$WORK/new.age")
refute "keygen: never overwrites" disinto secrets keygen "$WORK/new.age" 2>/dev/null
is "keygen: the old one is untouched" "$(cat "$WORK/new.age")" "$before"
ln -s "$WORK/elsewhere" "$WORK/link"
refute "keygen: follows no link" disinto secrets keygen "$WORK/link" 2>/dev/null
refute "keygen: made nothing behind it" [ -e "$WORK/elsewhere" ]

# Git does not know who commits.
git config --global --unset user.email
printf 'a good value' | disinto secrets add UNSIGNED >/dev/null 2>"$WORK/errors"
is "no author: it is done" $? 0
like "no author: what to do" "$(cat "$WORK/errors")" 'git config --global user\.email'
is "no author: what git knows stays" "$(git -C "$SERVER" log -1 --format='%an %ae' main)" "Test Person $(id -un)@$(hostname)"
printf 'a good value' | GIT_AUTHOR_NAME=Env GIT_AUTHOR_EMAIL=env@example disinto secrets add BY_ENV 2>/dev/null
is "the author of the environment" "$(git -C "$SERVER" log -1 --format=%ae main)" env@example
