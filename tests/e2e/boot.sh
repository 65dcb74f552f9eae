#!/bin/bash
# boot.log: a line for each thing that a start found, and what it did about it.
. "$(dirname "$0")/lib.sh"

engine_start
site daemon <<<'capacity: 20'
gated_formula gated
formula absent <<<$'image: example.invalid/not/here:1\nsteps: [{id: a, run: "true"}]'
dispatcher_start

booted() { # ID: what the last start found and did
	jq -rs --arg id "$1" 'map(select(.id == $id)) | last | .found + " / " + .did' "$SPOOL/boot.log"
}
forget() { # the lines of before
	: >"$SPOOL/boot.log"
}

for id in runs ended removed pushed; do action "$id" gated; done
action never absent
action damaged absent
action newer absent
land
for id in runs ended removed pushed; do at_gate "$id"; done
for id in never damaged newer; do check "$id waits" wait_for is_state "$id" waiting; done
# A result that can't be pushed.
"$LIB/git-server.sh" stop "$WORK/servers/daemon"
open_gate pushed
wait_for is_state pushed recording
dispatcher_kill
name=$(containers ended | tr -d /)
docker exec "$name" touch /tmp/open
docker wait "$name" >/dev/null
docker rm -f "$(containers removed | tr -d /)" >/dev/null
docker create --name "${name%-ended-1}-stranger-1" --label "disinto.dispatcher=$(jq -r .id "$SPOOL/dispatcher.json")" disinto/runner true >/dev/null
echo '{"version": 1, "id"' >"$SPOOL/runs/damaged/state.json"
sed -i 's/"version": *[0-9]*/"version": 99/' "$SPOOL/runs/newer/state.json"
forget
port=${URL##*:}
PORT=${port%%/*} "$LIB/git-server.sh" start daemon "$WORK/servers/daemon" "$WORK/repos" >/dev/null
dispatcher_start
open_gate runs
for id in runs ended removed pushed; do finished "$id"; done

is "parity_D1 one that runs" "$(booted runs)" 'a container that runs / adopted: followed again from its first byte'
is "parity_D1 one that ended meanwhile, with its exit code" "$(booted ended)" 'a container that ended meanwhile, with exit code 0 / read to its end; its outcome is succeeded'
like "parity_D1 one that somebody removed" "$(booted removed)" '^no container, though it may have run.* / its outcome is lost$'
is "parity_D1 one whose result was not pushed" "$(booted pushed)" 'a result that may not be on the server / taken there again'
like "parity_D1 one that never got GO" "$(booted never)" 'never got GO / begun anew; nothing had run$'
like "parity_D1 one whose state is damaged" "$(booted damaged)" '^runs/damaged/state.json: line 2: .* / left alone; its id stays taken$'
like "parity_D1 one of a newer version" "$(booted newer)" 'was written by a newer version of disinto / left alone; its id stays taken$'
like "parity_D1 a container that nobody knows" "$(cat "$SPOOL/boot.log")" 'a container of our name that the spool knows nothing of: .*-stranger-1","did":"left alone"'
like "the start itself" "$(cat "$SPOOL/boot.log")" '"found":"a spool with [0-9]+ runs","did":"started, version '
is "parity_D2 each once" "$(jq -r .id "$SPOOL/boot.log" | grep -v null | sort | uniq -d)" ''
is "parity_D2 each with its time" "$(jq -r .time "$SPOOL/boot.log" | grep -vcE '^20[0-9-]*T[0-9:]*Z$')" 0
is "their outcomes" "$(for id in runs ended removed pushed; do field $id .outcome; done | xargs)" 'succeeded succeeded lost succeeded'

like "what had been read of a container that is gone is kept" "$(field removed '[.logs, .log_truncated] | @json')" '^\["begin [^"]*",true\]$'

# What is done is not told again.
dispatcher_stop
forget
dispatcher_start
is "nothing is told of what is finished" "$(jq -r 'select(.id == ("runs", "ended", "removed", "pushed")) | .id' "$SPOOL/boot.log")" ''

# It does not grow for ever.
dispatcher_stop
yes '{"time":"2026-01-01T00:00:00Z","found":"x","did":"y"}' | head -c 262200 >"$SPOOL/boot.log"
dispatcher_start
check "parity_D2 over 256 KiB it is set aside" [ "$(stat -c %s "$SPOOL/boot.log.1")" = 262200 ]
check "parity_D2 and begun anew" [ "$(stat -c %s "$SPOOL/boot.log")" -lt 4096 ]
dispatcher_stop

# A spool that a newer version wrote is not touched.
sed -i 's/"version": *[0-9]*/"version": 99/' "$SPOOL/dispatcher.json"
output=$(timeout 60 disinto-dispatcher --config "$CONFIG" 2>&1)
is "a newer spool stops the start" $? 78
like "it says what to do" "$output" 'was written by a newer version of disinto; use that version, or another spool'
like "and boot.log has it" "$(tail -1 "$SPOOL/boot.log")" 'newer version of disinto.*"did":"not started"'
