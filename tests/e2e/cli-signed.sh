#!/bin/bash
# What lands by the command line is signed as the user's git would sign it, and git itself takes the signatures. Needs neither dispatcher nor engine.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME SSH_AUTH_SOCK SSH_ASKPASS DISPLAY
disinto init "$WORK/site" >/dev/null || bail "init"
cd "$WORK/site" || exit 1
SERVER=$WORK/site/ops.git
KEYS=$WORK/keys
mkdir "$KEYS"
ssh-keygen -q -t ed25519 -N '' -C plain -f "$KEYS/plain"
ssh-keygen -q -t ed25519 -N 'a phrase' -C locked -f "$KEYS/locked"
ssh-keygen -q -t rsa -b 2048 -N '' -C rsa -f "$KEYS/rsa"
for key in plain locked rsa; do echo "person@example $(cat "$KEYS/$key.pub")"; done >"$KEYS/signers"
chmod 644 "$KEYS/signers"
git config --global gpg.ssh.allowedSignersFile "$KEYS/signers"
exec </dev/null

quietly() { "$@" >/dev/null 2>"$WORK/errors"; }
on_server() { git -C "$SERVER" "$@"; }
signed() { # whether the tip is, in git's own eyes
	on_server verify-commit main 2>/dev/null
}
by() { # KEY: whether the tip's signature is by that key
	on_server verify-commit main 2>&1 | grep -qF "$(ssh-keygen -lf "$KEYS/$1.pub" | cut -d' ' -f2)"
}
has_signature() { on_server cat-file commit main | grep -q ^gpgsig; }
n=0
propose() {
	n=$((n + 1))
	disinto propose --id "deploy-$n" --formula hello --context 'a test' >/dev/null
}
approves() { # WHAT [ARGUMENT…]
	local what=$1
	shift
	propose
	check "$what" quietly disinto approve "$@" "deploy-$n"
	is "$what: the line" "$(on_server log -1 --format=%B main | tail -n +3)" \
		"Disinto-Approve: deploy-$n $(on_server rev-parse "main:vault/actions/deploy-$n.json")"
}
refuses() { # WHAT REGEX [ARGUMENT…]
	local what=$1 regex=$2 tip
	shift 2
	propose
	tip=$(on_server rev-parse main)
	refute "$what" quietly disinto approve "$@" "deploy-$n"
	like "$what: message" "$(cat "$WORK/errors")" "^disinto: .*$regex"
	is "$what: nothing landed" "$(on_server rev-parse main)" "$tip"
}

# git is not set up to sign
approves "without any setting"
refute "without any setting: it is not signed" has_signature
refuses "-S without any setting" 'not set up to sign.*git config --global gpg\.format ssh' -S

# a key of our own
git config --global gpg.format ssh
git config --global user.signingkey "$KEYS/plain"
approves "a key that git does not use for every commit"
refute "a key that git does not use for every commit: it is not signed" has_signature
approves "-S" -S
check "-S: git verifies it" signed
check "-S: with the key" by plain
git config --global commit.gpgsign true
cp "$KEYS/plain" "$HOME/key"
cp "$KEYS/plain.pub" "$HOME/key.pub"
for key in "$KEYS/plain" "$KEYS/plain.pub" "~""/key.pub"; do
	git config --global user.signingkey "$key"
	approves "commit.gpgsign with $(basename "$key")"
	check "commit.gpgsign with $(basename "$key"): git verifies it" signed
done
git config --global user.signingkey "$KEYS/plain"

# Our own key needs no other program: this one would fail.
mkdir "$WORK/broken"
printf '#!/bin/sh\necho broken >&2\nexit 1\n' >"$WORK/broken/ssh-keygen"
chmod +x "$WORK/broken/ssh-keygen"
PATH=$WORK/broken:$PATH approves "without ssh-keygen"
check "without ssh-keygen: git verifies it" signed

# what lands besides
printf 'a secret value' | disinto secrets add TOKEN 2>/dev/null
check "secrets add: git verifies it" signed
is "secrets add: the line" "$(on_server log -1 --format=%B main)" "vault: add secret TOKEN

Disinto-Approve: vault/secrets/TOKEN.age $(on_server rev-parse main:vault/secrets/TOKEN.age)"
git clone -q "$SERVER" "$OPS"
age-keygen 2>/dev/null | age-keygen -y >>"$OPS/vault/recipients.txt"
commit 'one recipient more'
push
check "secrets rotate" quietly disinto secrets rotate
check "secrets rotate: git verifies it" signed
is "secrets rotate: the lines are one paragraph" "$(on_server log -1 --format=%B main | tail -n +3)" "Disinto-Rotated: TOKEN
Disinto-Approve: vault/secrets/TOKEN.age $(on_server rev-parse main:vault/secrets/TOKEN.age)"
disinto secrets remove TOKEN 2>/dev/null
check "secrets remove: git verifies it" signed
is "secrets remove: nothing to approve" "$(on_server log -1 --format=%B main)" 'vault: remove secret TOKEN'
disinto propose --land --id landed-1 --formula hello --context $'a test\n\nDisinto-Approve: landed-2 1234' >/dev/null
check "propose --land: git verifies it" signed
is "propose --land: the line stands alone at the end" "$(on_server log -1 --format=%B main | tail -n 4)" "Secrets: none

Disinto-Approve: landed-1 $(on_server rev-parse main:vault/actions/landed-1.json)"
check "init: in a new site" quietly disinto init "$WORK/second"
check "init: git verifies it" quietly git -C "$WORK/second/ops.git" verify-commit main
second() { git -C "$WORK/second/ops.git" "$@"; }
is "init: approves what it brings, and the recipients" "$(second log -1 --format=%B main | grep ^Disinto- | sort)" \
	"$(second ls-tree -r --name-only main vault | grep -v '/\.gitkeep$' | while read -r file; do echo "Disinto-Approve: $file $(second rev-parse "main:$file")"; done | sort)"

# a key that needs ssh-keygen: a passphrase, an agent, the key itself as the setting
git config --global user.signingkey "$KEYS/locked"
refuses "a passphrase that nobody types" 'ssh-keygen: .*(passphrase|No private key)'
printf '#!/bin/sh\necho "a phrase"\n' >"$WORK/askpass"
chmod +x "$WORK/askpass"
SSH_ASKPASS=$WORK/askpass SSH_ASKPASS_REQUIRE=force approves "a passphrase"
check "a passphrase: with the key" by locked
eval "$(ssh-agent -s)" >/dev/null
CHILDREN+=("$SSH_AGENT_PID")
SSH_ASKPASS=$WORK/askpass SSH_ASKPASS_REQUIRE=force ssh-add -q "$KEYS/locked" 2>/dev/null
approves "an agent"
check "an agent: with the key" by locked
for key in "$(cat "$KEYS/locked.pub")" "key::$(cat "$KEYS/locked.pub")"; do
	git config --global user.signingkey "$key"
	approves "the key itself: ${key:0:5}"
	check "the key itself: ${key:0:5}: with the key" by locked
done
unset SSH_AUTH_SOCK
refuses "an agent that is gone" 'ssh-keygen: '
git config --global user.signingkey "$KEYS/absent"
refuses "a key that is not there" 'ssh-keygen: .*absent'
git config --global user.signingkey "$KEYS/plain"
is "no file is left behind" "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'disinto-sign-*' -newer "$KEYS/plain" | wc -l)" 0

# another program
printf '#!/bin/sh\necho "$@" >>%s/arguments\nexec ssh-keygen "$@"\n' "$WORK" >"$WORK/signer"
chmod +x "$WORK/signer"
git config --global gpg.ssh.program "$WORK/signer"
approves "gpg.ssh.program"
check "gpg.ssh.program: git verifies it" signed
like "gpg.ssh.program: is called as git calls it" "$(cat "$WORK/arguments")" "^-Y sign -n git -f $KEYS/plain /"
git config --global gpg.ssh.program "$WORK/no-such-program"
refuses "a program that is not there" "$WORK/no-such-program: it can't be run"
git config --global --unset gpg.ssh.program

# settings that do not go together
git config --global --unset user.signingkey
refuses "no key" 'not set up to sign with an SSH key, though commit\.gpgsign'
git config --global gpg.format openpgp
propose
like "another format: a note" "$(disinto approve "deploy-$n" 2>&1)" 'git signs with openpgp here; only SSH signatures approve'
refute "another format: it is not signed" has_signature

# where approval counts by signature, it is signed whatever git's settings say, or not at all
git config --global gpg.format ssh
git config --global commit.gpgsign false
cp dispatcher.yaml before.yaml
echo 'approval: {minimum: signed, allowed_signers: list-of-another-machine}' >>dispatcher.yaml
refuses "signed: no key" 'not set up to sign with an SSH key, and approval counts by signature here'
git config --global user.signingkey "$KEYS/plain"
approves "signed"
check "signed: git verifies it" signed
printf 'another value' | disinto secrets add OTHER 2>/dev/null
check "signed: secrets add, too" signed
git config --global user.signingkey "$KEYS/rsa"
refuses "signed: a key of another kind" 'is a key of kind ssh-rsa; only ssh-ed25519'
git config --global user.signingkey "$KEYS/plain"

# with the list of signers at hand, what the dispatcher would refuse is not pushed
cp before.yaml dispatcher.yaml
printf 'approval: {minimum: signed, allowed_signers: %s}\n' "$KEYS/signers" >>dispatcher.yaml
refuses "signed: a formula that is not approved" 'vault/formulas/hello\.yaml: is not approved: commit [0-9a-f]{10}: is not signed'
cd "$WORK/second" || exit 1 # whose first commit was signed
SERVER=$WORK/second/ops.git
printf 'approval: {minimum: signed, allowed_signers: %s}\n' "$KEYS/signers" >>dispatcher.yaml
approves "signed: a key on the list"
rm -rf "$OPS" && git clone -q "$SERVER" "$OPS"
printf 'a secret value' >"$WORK/value"
age -R "$OPS/vault/recipients.txt" -o "$OPS/vault/secrets/TOKEN.age" "$WORK/value"
git config --global commit.gpgsign false
commit 'a secret by hand' && push
n=$((n + 1))
disinto propose --id "deploy-$n" --formula hello --context 'a test' --secret TOKEN >/dev/null
like "signed: a secret that is not approved" "$(disinto approve "deploy-$n" 2>&1)" \
	'disinto: .*vault/secrets/TOKEN\.age: is not approved: commit [0-9a-f]{10}: is not signed'
disinto secrets add -f TOKEN <"$WORK/value" 2>/dev/null
check "signed: the secret approved" quietly disinto approve "deploy-$n"

# whom new secrets are encrypted to, and so who reads them, takes an approval too
git -C "$OPS" fetch -q && git -C "$OPS" checkout -q -B main origin/main
age-keygen -o "$KEYS/mallory" 2>/dev/null
age-keygen -y "$KEYS/mallory" >>"$OPS/vault/recipients.txt"
commit 'one recipient more' && push
tip=$(on_server rev-parse main)
refute "signed: secrets add for a recipient whom nobody approved" quietly disinto secrets add -f TOKEN <"$WORK/value"
like "signed: secrets add for a recipient whom nobody approved: message" "$(cat "$WORK/errors")" \
	"^disinto: .*vault/recipients\.txt: is not approved: commit ${tip:0:10}: is not signed; nothing is encrypted to whom it names: look at who changed it in ${tip:0:10}"
refute "signed: rotate, neither" quietly disinto secrets rotate
echo 'MOVED=a moved value' >"$WORK/env"
refute "signed: migrate, neither" quietly disinto secrets migrate "$WORK/env"
is "signed: nothing landed" "$(on_server rev-parse main)" "$tip"
is "signed: verify finds it" "$(disinto verify --json 2>/dev/null | jq -r '.findings[] | select(.finding == "recipients") | .commit')" "$tip"
echo '# looked at' >>"$OPS/vault/recipients.txt"
git -C "$OPS" commit -q -S -am "recipients: as they are now

Disinto-Approve: vault/recipients.txt $(git hash-object "$OPS/vault/recipients.txt")" && push
check "signed: secrets add for approved recipients" quietly disinto secrets add -f TOKEN <"$WORK/value"
check "signed: the approved recipient reads it" eval 'on_server show main:vault/secrets/TOKEN.age | age -d -i "$KEYS/mallory" | cmp - "$WORK/value"'
mv "$KEYS/signers" "$KEYS/away"
refute "signed: without the list of signers nobody can tell" quietly disinto secrets add -f TOKEN <"$WORK/value"
like "signed: without the list of signers nobody can tell: message" "$(cat "$WORK/errors")" 'signers'
mv "$KEYS/away" "$KEYS/signers"

echo "person@example $(cat "$KEYS/locked.pub")" >"$KEYS/signers"
refuses "signed: a key that is not on the list" 'is not approved: .* is not in .*/signers'
echo "person@example valid-before=\"20200101Z\" $(cat "$KEYS/plain.pub")" >"$KEYS/signers"
refuses "signed: a key that has expired" 'expired at 2020-01-01'
