#!/bin/bash
# secrets rotate, migrate, exposure. Needs neither dispatcher nor engine.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
rm -rf "$WORK/site"
disinto init "$WORK/site" >/dev/null || bail "init"
cd "$WORK/site" || exit 1
SERVER=$WORK/site/ops.git
git clone -q "$SERVER" "$OPS"

tip() { git -C "$SERVER" rev-parse main; }
blob() { git -C "$SERVER" rev-parse "main:vault/secrets/$1.age"; }                                    # NAME
opened() { git -C "$SERVER" show "main:vault/secrets/$1.age" | age -d -i "${2:-identity.age}" 2>&1; } # NAME [IDENTITY]
stanzas() { git -C "$SERVER" show "main:vault/secrets/$1.age" | grep -ac "^-> $2"; }                  # NAME TYPE
put() { # MESSAGE: what stands in the clone lands
	git -C "$OPS" add -A && git -C "$OPS" commit -qm "$1" && git -C "$OPS" pull -q --rebase && push
}
fails() { # WHAT REGEX COMMAND…: exit 1, with these words on standard error
	local what=$1 regex=$2 code
	shift 2
	"$@" >"$WORK/output" 2>"$WORK/errors"
	code=$?
	is "$what" $code 1
	like "$what: why" "$(cat "$WORK/errors")" "$regex"
}

# --- rotate
disinto secrets rotate 2>"$WORK/errors"
is "rotate: without secrets" $? 0
like "rotate: says that there are none" "$(cat "$WORK/errors")" 'nothing to do: there are no secrets'
printf 'value of alpha' | disinto secrets add ALPHA 2>/dev/null
printf 'value of beta' | disinto secrets add BETA 2>/dev/null
is "a file says its name" "$(git -C "$SERVER" show main:vault/secrets/ALPHA.age | grep -a '^-> disinto-name')" '-> disinto-name ALPHA'
is "age opens it all the same" "$(opened ALPHA)" 'value of alpha'
before=$(tip)
disinto secrets rotate 2>"$WORK/errors"
like "rotate: says that nothing is to do" "$(cat "$WORK/errors")" 'nothing to do: all secrets are encrypted to the present 1'
is "rotate: changes nothing then" "$(tip)" "$before"
is "rotate --json: likewise" "$(disinto secrets rotate --json | jq -c '[.commit, .rotated, .unchanged]')" '[null,[],["ALPHA","BETA"]]'

# Somebody joins; a file made by age stands there too, and one that is no secret's.
age-keygen -o "$WORK/second.age" 2>/dev/null
age-keygen -o "$WORK/third.age" 2>/dev/null
git -C "$OPS" pull -q
{
	age-keygen -y "$WORK/second.age"
	echo "# the third"
	age-keygen -y "$WORK/third.age"
} >>"$OPS/vault/recipients.txt"
secret BARE 'value of bare'
age -a -R "$OPS/vault/recipients.txt" -o "$OPS/vault/secrets/ARMOURED.age" <<<'value in armour'
echo 'a note' >"$OPS/vault/secrets/notes.txt"
put 'vault: two more recipients'
disinto secrets rotate >"$WORK/output" 2>"$WORK/errors"
is "rotate: exit code" $? 0
is "rotate: one commit" "$(git -C "$SERVER" rev-list --count "$(git -C "$OPS" rev-parse HEAD)..main")" 1
is "rotate: nothing else in it" "$(git -C "$SERVER" diff --name-only main^ main | tr '\n' ' ')" \
	'vault/secrets/ALPHA.age vault/secrets/ARMOURED.age vault/secrets/BARE.age vault/secrets/BETA.age '
like "rotate: says what changed" "$(cat "$WORK/errors")" 'ALPHA was for others: encrypted to 3 \(was: 1\)'
like "rotate: and why" "$(cat "$WORK/errors")" 'BARE did not say its name: encrypted to 3'
like "rotate: says what it left" "$(cat "$WORK/errors")" 'vault/secrets/notes.txt was left alone'
for name in ALPHA BETA BARE; do
	for identity in identity.age "$WORK/second.age" "$WORK/third.age"; do
		is "rotate: $name is for $(basename "$identity")" "$(opened $name "$identity")" "value of ${name,,}"
	done
	is "rotate: $name says its name" "$(stanzas $name "disinto-name $name\$")" 1
done
is "rotate: verbatim" "$(opened ARMOURED | od -c)" "$(od -c <<<'value in armour')"
is "list counts recipients, not labels" "$(disinto secrets list --json | jq -c '[.[] | select(.misnamed | not) | .recipients]')" '[3,3,3,3]'

# Somebody leaves.
git -C "$OPS" pull -q
sed -i "/$(age-keygen -y "$WORK/second.age")/d" "$OPS/vault/recipients.txt"
put 'vault: one recipient less'
is "rotate --json" "$(disinto secrets rotate --json | jq -c '[(.commit | length), (.rotated | length), .rotated[0].was, .rotated[0].recipients, .misnamed[0]]')" \
	'[40,4,3,2,"notes.txt"]'
like "rotate: who left can't open it" "$(opened ALPHA "$WORK/second.age")" 'no identity matched'
is "rotate: who stayed can" "$(opened ALPHA "$WORK/third.age")" 'value of alpha'

# What can't be opened, or would not be opened afterwards, changes nothing.
before=$(tip)
git -C "$OPS" pull -q
cp "$OPS/vault/recipients.txt" "$WORK/recipients"
age-keygen -y "$WORK/second.age" >"$OPS/vault/recipients.txt"
put 'vault: without this site'
before=$(tip)
fails "rotate: for others only" 'read back: identity_file would not open what is encrypted to vault/recipients.txt' disinto secrets rotate
is "rotate: that changed nothing" "$(tip)" "$before"
cp "$WORK/recipients" "$OPS/vault/recipients.txt"
printf 'a foreign value' | age -r "$(age-keygen -y "$WORK/second.age")" -o "$OPS/vault/secrets/FOREIGN.age"
put 'vault: back, with a foreign file'
before=$(tip)
fails "rotate: one can't be opened" 'vault/secrets/FOREIGN.age: age: none of 1 identities' disinto secrets rotate
is "rotate: that changed nothing either" "$(tip)" "$before"
git -C "$OPS" rm -q vault/secrets/FOREIGN.age
# A copied ciphertext must not get its new name from us.
secret ORIGINAL 'value of original'
put 'vault: original'
cp "$OPS/vault/secrets/ORIGINAL.age" "$OPS/vault/secrets/COPY.age"
put 'vault: copy'
before=$(tip)
fails "rotate: a copy" 'COPY.age: holds the ciphertext that landed first as vault/secrets/ORIGINAL.age' disinto secrets rotate
is "rotate: a copy changed nothing" "$(tip)" "$before"
cp "$OPS/vault/secrets/ALPHA.age" "$OPS/vault/secrets/COPY.age"
put 'vault: copy of a named one'
fails "rotate: a copy of a named file" 'COPY.age: was encrypted as ALPHA;' disinto secrets rotate
fails "show: a copy of a named file" 'COPY.age: was encrypted as ALPHA;' disinto secrets show COPY
git -C "$OPS" rm -q vault/secrets/COPY.age vault/secrets/notes.txt
put 'vault: tidy'
check "rotate: goes on" disinto secrets rotate 2>/dev/null

# Several at once: nobody undoes another's work.
git -C "$OPS" pull -q
echo '# touched' >>"$OPS/vault/recipients.txt"
age-keygen -y "$WORK/second.age" >>"$OPS/vault/recipients.txt"
put 'vault: race'
disinto secrets rotate 2>/dev/null &
child=$!
for _ in 1 2 3; do # add says so where the rotation was first
	printf 'a racing value' | disinto secrets add -f BETA 2>/dev/null && break
done
wait $child
is "race: rotate lands" $? 0
is "race: the new value stays" "$(opened BETA)" 'a racing value'
is "race: the others are rotated" "$(opened ALPHA "$WORK/second.age")" 'value of alpha'

# --- migrate
cat >"$WORK/dotenv" <<-'EOT'
	# a comment
	export API_TOKEN=plain-value-1   # with a comment
	SINGLE_QUOTED='single $HOME "quoted" # value'

	DOUBLE_QUOTED="two lines:\n\"second\" \$1"
	  SPACED = spaced value
	MULTI_LINE='-----BEGIN KEY-----
	middle
	-----END KEY-----'
EOT
printf 'CRLF_LINE=crlf-value\r\nNO_NEWLINE=last-value' >>"$WORK/dotenv"
cp "$WORK/dotenv" "$WORK/dotenv.orig"
before=$(tip)
disinto secrets migrate "$WORK/dotenv" >"$WORK/output" 2>"$WORK/errors"
is "migrate: exit code" $? 0
is "migrate: one commit" "$(git -C "$SERVER" rev-list --count "$before..main")" 1
like "migrate: says what it did" "$(cat "$WORK/errors")" 'added: API_TOKEN, SINGLE_QUOTED, DOUBLE_QUOTED, SPACED, MULTI_LINE, CRLF_LINE, NO_NEWLINE'
is "migrate: plain" "$(opened API_TOKEN)" 'plain-value-1'
is "migrate: single quotes" "$(opened SINGLE_QUOTED)" 'single $HOME "quoted" # value'
is "migrate: double quotes" "$(opened DOUBLE_QUOTED)" $'two lines:\n"second" $1'
is "migrate: blanks" "$(opened SPACED)" 'spaced value'
is "migrate: several lines" "$(opened MULTI_LINE)" $'-----BEGIN KEY-----\nmiddle\n-----END KEY-----'
is "migrate: CRLF" "$(opened CRLF_LINE | od -c)" "$(printf 'crlf-value' | od -c)"
is "migrate: no newline at the end" "$(opened NO_NEWLINE)" 'last-value'
is "migrate: each says its name" "$(stanzas API_TOKEN 'disinto-name API_TOKEN$')" 1
check "migrate: the source is kept" cmp -s "$WORK/dotenv" "$WORK/dotenv.orig"
refute "migrate: no value in what it says" grep -qE 'plain-value|spaced value|middle' "$WORK/errors" "$WORK/output"
before=$(tip)
disinto secrets migrate "$WORK/dotenv" 2>"$WORK/errors"
is "migrate: again is nothing" "$? $(tip)" "0 $before"
like "migrate: and said" "$(cat "$WORK/errors")" 'nothing to do'

# Another value is there: kept without -f, nothing else lands, nothing is deleted.
printf 'BRAND_NEW=brand-new-value\nAPI_TOKEN=another-value\n' >"$WORK/dotenv"
fails "migrate: another value" 'API_TOKEN: is there already with another value and was kept' disinto secrets migrate --delete "$WORK/dotenv"
is "migrate: nothing of it landed" "$(tip)" "$before"
check "migrate: the source is still there" [ -s "$WORK/dotenv" ]
is "migrate --json -f" "$(disinto secrets migrate -f --json "$WORK/dotenv" | jq -c '[.added, .replaced, .unchanged, .deleted]')" \
	'[["BRAND_NEW"],["API_TOKEN"],[],false]'
check "migrate --delete, with all of it there" disinto secrets migrate --delete "$WORK/dotenv" 2>/dev/null
refute "migrate --delete: it is gone" [ -e "$WORK/dotenv" ]
is "migrate --delete: the value is there" "$(opened API_TOKEN)" 'another-value'

# What programs read differently, and what no secret can be, is not guessed; all of it is told at once, and no value with it.
cat >"$WORK/dotenv" <<-'EOT'
	GOOD_ONE=a-good-value
	EXPANDS=$HOME/hidden-value
	SHORT=seven77
	EMPTY=
	lower_case=hidden-value
	MIXED=ab"hidden-value"
	PORT=8080
EOT
before=$(tip)
fails "migrate: faults" '6 of 7 can.t be migrated, so nothing was changed' disinto secrets migrate --delete "$WORK/dotenv"
for line in 'line 2: EXPANDS: has a \$' 'line 3: SHORT: the value has 7 bytes' 'line 4: EMPTY: the value has 0' 'line 5: lower_case: is no name' \
	'line 6: MIXED: has a backslash or a quote' 'line 7: PORT: the value has 4'; do
	like "migrate: $line" "$(cat "$WORK/errors")" "$line"
done
refute "migrate: faults show no value" grep -q 'hidden-value' "$WORK/errors"
is "migrate: faults change nothing" "$(tip)" "$before"
check "migrate: faults delete nothing" [ -s "$WORK/dotenv" ]
check "migrate: only some of it" disinto secrets migrate "$WORK/dotenv" GOOD_ONE 2>/dev/null
is "migrate: that one" "$(opened GOOD_ONE)" 'a-good-value'
fails "migrate --delete: only some of it" 'would lose what is not migrated \(6 names\)' disinto secrets migrate --delete "$WORK/dotenv" GOOD_ONE
fails "migrate: a name that is not there" 'does not hold ABSENT' disinto secrets migrate "$WORK/dotenv" ABSENT
printf 'not a dotenv file with hidden-value\n' >"$WORK/dotenv"
fails "migrate: another file" 'line 1: is neither NAME=value nor a comment' disinto secrets migrate "$WORK/dotenv"
refute "migrate: another file is not shown" grep -q 'hidden-value' "$WORK/errors"
fails "migrate: no file" 'No such file' disinto secrets migrate "$WORK/absent"

# A value that could not be read back is not pushed, and nothing is deleted.
git -C "$OPS" pull -q
cp "$OPS/vault/recipients.txt" "$WORK/recipients"
age-keygen -y "$WORK/third.age" >"$OPS/vault/recipients.txt"
put 'vault: without this site again'
before=$(tip)
printf 'UNREADABLE=unreadable-value\n' >"$WORK/dotenv"
fails "migrate: what can't be read back" 'read back' disinto secrets migrate --delete "$WORK/dotenv"
is "migrate: is not pushed" "$(tip)" "$before"
check "migrate: and nothing is deleted" [ -s "$WORK/dotenv" ]
cp "$WORK/recipients" "$OPS/vault/recipients.txt"
put 'vault: with this site again'

# A folder of NAME.enc
mkdir "$WORK/enc"
printf 'value of one' | age -r "$(age-keygen -y identity.age)" -o "$WORK/enc/ENC_ONE.enc"
printf 'value of two\n' | age -a -r "$(age-keygen -y identity.age)" -o "$WORK/enc/ENC_TWO.enc"
echo other >"$WORK/enc/README"
check "migrate: a folder" disinto secrets migrate --delete "$WORK/enc" 2>"$WORK/errors"
is "migrate: a folder: one" "$(opened ENC_ONE)" 'value of one'
is "migrate: a folder: two, verbatim" "$(opened ENC_TWO | od -c)" "$(od -c <<<'value of two')"
is "migrate: a folder: only its .enc files are deleted" "$(ls "$WORK/enc")" README
printf 'value of three' | age -r "$(age-keygen -y "$WORK/second.age")" -o "$WORK/enc/ENC_THREE.enc"
fails "migrate: a folder for another identity" 'ENC_THREE.enc: age: none of 1 identities' disinto secrets migrate "$WORK/enc"
check "migrate: with that identity" disinto secrets migrate -i "$WORK/second.age" "$WORK/enc" 2>/dev/null
is "migrate: a folder: three" "$(opened ENC_THREE)" 'value of three'
git -C "$SERVER" show main:vault/secrets/ALPHA.age >"$WORK/enc/STOLEN.enc"
fails "migrate: another secret's file" 'STOLEN.enc: was encrypted as ALPHA;' disinto secrets migrate "$WORK/enc" STOLEN

# --- exposure
done_with() { # ID SECRET=BLOB… : its result, as a dispatcher would have left it
	local id=$1 secrets='{}' pair
	shift
	for pair in "$@"; do secrets=$(jq -c --arg n "${pair%%=*}" --arg b "${pair#*=}" '. + {($n): $b}' <<<"$secrets"); done
	jq -n --arg id "$id" --argjson secrets "$secrets" --argjson more "${MORE:-{\}}" '{id: $id, outcome: "succeeded", attempt: 1,
		timestamp: "2026-03-31T10:00:04Z", started_at: "2026-03-31T10:00:01Z", formula: {name: "f", blob: "00"}, image: "img@sha256:0",
		dispatcher: "edge-1", container: "c0ffee", approval: {mode: "landed", by: "somebody@example", commit: "00"}, secrets: $secrets} + $more' \
		>"$OPS/vault/actions/$id.result.json"
}
runs() { disinto secrets exposure --json "$1" | jq -c '[.runs[].id] | sort'; } # NAME
git -C "$OPS" pull -q
is "exposure: nobody yet" "$(runs ALPHA)" '[]'
done_with first "ALPHA=$(blob ALPHA)" "BETA=$(blob BETA)"
done_with other "BETA=$(blob BETA)"
MORE='{"outcome": "refused"}' done_with refused "ALPHA=$(blob ALPHA)"
MORE='{"outcome": "cancelled", "container": null}' done_with cancelled "ALPHA=$(blob ALPHA)"
MORE='{"outcome": "lost", "container": null}' done_with lost "ALPHA=$(blob ALPHA)"
put 'vault: 5 results'
is "exposure: who held it" "$(runs ALPHA)" '["first","lost"]'
is "exposure: of another" "$(runs BETA)" '["first","other"]'
like "exposure: a table" "$(disinto secrets exposure ALPHA 2>/dev/null)" '^first +succeeded +2026-03-31T10:00:04Z +f +edge-1 +somebody@example +img'
like "exposure: a sentence" "$(disinto secrets exposure ALPHA 2>&1 >/dev/null)" 'ALPHA was last changed .* by Test Person.*; 2 runs held it since'
# A result that is taken away is listed all the same.
git -C "$OPS" rm -q vault/actions/first.result.json
put 'vault: hide it'
is "exposure: also where the result was taken away" "$(runs ALPHA)" '["first","lost"]'
# Encrypting anew changes the file and not the value.
git -C "$OPS" pull -q
age-keygen -o "$WORK/fourth.age" 2>/dev/null
age-keygen -y "$WORK/fourth.age" >>"$OPS/vault/recipients.txt"
put 'vault: a fourth'
disinto secrets rotate 2>/dev/null
git -C "$OPS" pull -q
done_with second "ALPHA=$(blob ALPHA)"
put 'vault: result'
is "exposure: over a rotation" "$(runs ALPHA)" '["first","lost","second"]'
is "exposure: every file that held it" "$(disinto secrets exposure --json ALPHA | jq '.blobs | length')" \
	"$(git -C "$SERVER" log --format= --raw main -- vault/secrets/ALPHA.age | wc -l)"
# A new value begins anew.
printf 'a new value of alpha' | disinto secrets add -f ALPHA 2>/dev/null
is "exposure: a new value" "$(runs ALPHA)" '[]'
is "exposure: since when" "$(disinto secrets exposure --json ALPHA | jq -r .commit)" "$(tip)"
is "exposure: the other is as before" "$(runs BETA)" '["first","other"]'
fails "exposure: no such secret" 'ABSENT.age is not there' disinto secrets exposure ABSENT
disinto secrets exposure bad-name 2>/dev/null
is "exposure: a bad name is wrong usage" $? 2

refute "no value was ever written to disk" grep -rqE 'value of (alpha|beta|bare|one|three)|plain-value-1|brand-new-value' "$WORK/site" "$HOME" "$OPS"
