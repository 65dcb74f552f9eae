#!/bin/bash
# What is wrong in the ops repo is refused, with a reason that names file and key, and disturbs nobody else.
. "$(dirname "$0")/lib.sh"

engine_start
site daemon
secret KEY 'the value of a secret'
good='{"id": "ID", "formula": "hello", "context": "c", "secrets": [], "inputs": {"name": "x"}}'

bad() { # ID REGEX SED-SCRIPT: an action that is good but for what the script does; the reason must match
	LC_ALL=C sed -e "$3" -e "s/\"ID\"/\"$1\"/" <<<"$good" >"$OPS/vault/actions/$1.json"
	expect "$1" "$2"
}
expect() { # ID REGEX
	ids+=("$1") wanted[$1]=$2
}
ids=()
declare -A wanted

# Each of these is one way in which an action can be wrong.
bad unknown-key 'colour' 's/}$/, "colour": 1}/'
bad repeated-key 'context' 's/}$/, "context": "again"}/'
bad repeated-by-escape 'conte' 's/}$/, "conte\\u0078t": "again"}/'
bad wrong-type 'context' 's/"c"/7/'
bad missing-key 'context' 's/"context": "c", //'
bad wrong-id 'id' 's/"ID"/"another"/'
bad empty-context 'context' 's/"c"/""/'
bad bad-secret-name 'secrets' 's/\[\]/["lower"]/'
bad repeated-secret 'secrets' 's/\[\]/["KEY", "KEY"]/'
bad timeout-zero 'timeout_minutes' 's/}$/, "timeout_minutes": 0}/'
bad timeout-real 'timeout_minutes: .*1\.5' 's/}$/, "timeout_minutes": 1.5}/'
bad timeout-text 'timeout_minutes' 's/}$/, "timeout_minutes": "30"}/'
bad older-key 'dispatch_mode' 's/}$/, "dispatch_mode": "direct"}/'
bad bad-tier 'blast_radius' 's/}$/, "blast_radius": "huge"}/'
bad bad-mount 'mounts' 's/}$/, "mounts": ["no\/pe"]}/'
bad bad-input 'inputs|Name' 's/"name"/"Name"/'
bad bad-formula-name 'formula' 's/"hello"/"..\/hello"/'
bad no-formula 'absent' 's/"hello"/"absent"/'
bad no-secret 'ABSENT' 's/\[\]/["ABSENT"]/'
bad truncated 'line|end|\}' 's/}$//'
bad trailing '' 's/$/ x/'
bad byte-order-mark '[Bb]yte order mark|BOM' 's/^/\xef\xbb\xbf/'
bad nul 'context: ' 's/"c"/"a\\u0000b"/'
bad bad-utf8 'context: unable to decode' 's/"c"/"a\xffb"/'
bad bidi '202[eE]|bidi|format' 's/"c"/"a\xe2\x80\xaeb"/'
bad deep 'inputs\.name(\[0\])+: nested more than 8 deep' 's/"x"/[[[[[[[[["x"]]]]]]]]]/'
bad too-large '64 KiB|65536|too large|bytes' "s/\"c\"/\"$(head -c 66000 /dev/zero | tr '\0' c)\"/"
bad empty '' d
bad no-object 'object' 's/.*/[]/'

# Ways in which the formula can be.
broken() { # NAME REGEX, the formula on standard input
	cat >"$OPS/vault/formulas/$1.yaml"
	bad "with-$1" "$2" "s/\"hello\"/\"$1\"/"
}
broken f-unknown 'colour' <<<$'name: f-unknown\ncolour: red\nsteps: [{id: a, run: "true"}]'
broken f-repeated 'name|repeated|twice|duplicate' <<<$'name: f-repeated\nname: f-repeated\nsteps: [{id: a, run: "true"}]'
broken f-name 'name' <<<$'name: another\nsteps: [{id: a, run: "true"}]'
broken f-root 'user' <<<$'name: f-root\nuser: 0\nsteps: [{id: a, run: "true"}]'
broken f-no-steps 'steps' <<<'name: f-no-steps'
broken f-both 'run|prompt' <<<$'name: f-both\nsteps: [{id: a, run: "true", prompt: p}]'
broken f-anchor 'anchor|alias' <<<$'name: &a f-anchor\nsteps: [{id: *a, run: "true"}]'
broken f-tag 'tag' <<<$'name: !!str f-tag\nsteps: [{id: a, run: "true"}]'
broken f-yaml 'line' <<<$'name: f-yaml\nsteps: [{id: a, run: "true"}'
broken f-memory 'memory' <<<$'name: f-memory\nresources: {memory: lots}\nsteps: [{id: a, run: "true"}]'
broken f-secret 'secrets|KEY' <<<$'name: f-secret\nsteps: [{id: a, run: "true", secrets: [KEY]}]'

# A secret's file that is none, one for another identity, one that is damaged; a symlink for an action.
echo 'not an age file' >"$OPS/vault/secrets/GARBAGE.age"
printf x | age -r "$(age-keygen 2>/dev/null | age-keygen -y)" -o "$OPS/vault/secrets/FOREIGN.age"
secret DAMAGED 'a value that is long enough'
size=$(stat -c %s "$OPS/vault/secrets/DAMAGED.age")
head -c $((size - 5)) "$OPS/vault/secrets/DAMAGED.age" >"$WORK/cut" && mv "$WORK/cut" "$OPS/vault/secrets/DAMAGED.age"
secret SHORT '1234567'
bad garbage-secret 'GARBAGE' 's/\[\]/["GARBAGE"]/'
bad damaged-secret 'DAMAGED' 's/\[\]/["DAMAGED"]/'
bad short-secret 'SHORT.*8|8.*SHORT' 's/\[\]/["SHORT"]/'
ln -s ../formulas/hello.yaml "$OPS/vault/actions/symlink.json" && expect symlink ''

# Misnamed files run nothing; the neighbours run.
echo "$good" >"$OPS/vault/actions/Upper-Case.json"
echo "$good" >"$OPS/vault/actions/note.txt"
action a-neighbour hello '{"inputs": {"name": "a"}}'
action z-neighbour hello '{"inputs": {"name": "z"}}'
land
dispatcher_start

for id in a-neighbour z-neighbour; do
	finished $id
	is "$id ran" "$(field $id '[.outcome, .logs] | @json')" "[\"succeeded\",\"hello ${id%%-*}\\n\"]"
done
for id in "${ids[@]}"; do
	finished "$id"
	is "$id: refused" "$(field "$id" '[.outcome, .exit_code, .id] | @json')" "[\"refused\",null,\"$id\"]"
	case $id in
	with-*) file=vault/formulas/${id#with-}.yaml ;;
	no-formula) file=vault/formulas/absent.yaml ;;
	no-secret) file=vault/secrets/ABSENT.age ;;
	*-secret) file= ;;
	*) file=vault/actions/$id.json ;;
	esac
	[ "$id" = bad-secret-name ] && file=vault/actions/$id.json
	[ -z "$file" ] || like "$id: names the file" "$(field "$id" .reason)" "${file//./\\.}"
	like "$id: says what is wrong" "$(field "$id" .reason)" "${wanted[$id]}"
	case $id in # nothing is decrypted before a runner is ready for it, so what only decrypting shows comes later
	garbage-secret | damaged-secret | short-secret) refute "$id: nothing ran" grep -q . "$SPOOL/runs/$id/log" 2>/dev/null ;;
	*) is "$id: nothing was started" "$(starts "$id")" 0 ;;
	esac
done
is "misnamed files stay listed" "$(api /status | jq -c '.misnamed | sort')" '["vault/actions/Upper-Case.json","vault/actions/note.txt"]'

# Nothing of this disturbs the dispatcher: what lands now runs.
action later hello '{"inputs": {"name": "later"}}'
land
finished later
recorded later
is "what landed afterwards ran" "$(field later .outcome)" succeeded
like "verify has no doubts about refusals" "$(disinto verify --config "$CONFIG" 2>/dev/null)" ' results, 0 findings$'
