#!/bin/bash
# Many runs that print their secrets in every way that is masked, and end well, badly, by a signal or cancelled: afterwards no trace of them is anywhere.
# threat_24_many_runs; guard: wiped buffers in dispatcher/keyring and dispatcher/engine, no core files (dispatcher/confine.c), redaction in runner/output.c
#   CANARY_RUNS (16) of them; `make torture` makes 1000
. "$(dirname "$0")/lib.sh"

runs=${CANARY_RUNS:-16}
engine_start
site http <<<'capacity: 8'
: >"$WORK/canaries"
for name in ONE TWO THREE FOUR; do
	value=canary$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
	secret "$name" "$value"
	# As it is, in hexadecimal, and in base64, less the ends that depend on what stands beside it.
	{ echo "$value" && printf %s "$value" | od -An -v -tx1 | tr -d ' \n' && echo && printf %s "$value" | base64 -w 0 | cut -c 1-60; } >>"$WORK/canaries"
done
print='for s in "$ONE" "$TWO" "$THREE" "$FOUR"; do echo "out $s"; echo "err $s" >&2; printf %s "$s" | base64; printf %s "$s" | od -An -v -tx1 | tr -d " \n"; done'
for ending in true false 'kill -9 $$' 'sleep 600'; do
	formula "end-${ending%%[ -]*}" <<<"steps: [{id: a, run: $(jq -n --arg run "$print; $ending" '$run')}]"
done
endings=(true false kill true false kill true sleep)
for i in $(seq "$runs"); do
	action "run-$i" "end-${endings[i % 8]}" '{"secrets": ["ONE", "TWO", "THREE", "FOUR"]}'
done
land
ulimit -c unlimited 2>/dev/null
dispatcher_start

# Those that would go on for ever are cancelled as they come up.
results() {
	git -C "$SERVER" ls-tree --name-only main vault/actions/ | grep -c '\.result\.json$'
}
end=$((SECONDS + 180 + runs * 3))
until [ "$(results)" = "$runs" ] || [ $SECONDS -ge $end ]; do
	for id in $(api /workers | jq -r '.workers[].task_id'); do
		[ $((${id#run-} % 8)) != 7 ] || ! log_has "$id" '^out ' 2>/dev/null || api -X DELETE "/workers/$id" >/dev/null 2>&1
	done
	sleep 0.3
done
is "all have a result" "$(results)" "$runs"
outcomes() {
	for i in $(seq "$runs"); do field "run-$i" .outcome; done | sort | uniq -c | awk '{ print $2 }' | tr '\n' ' '
}
is "they ended in each way" "$(outcomes)" 'cancelled failed succeeded '
like "each printed its secrets" "$(run_log run-1 | tr '\n' ' ')" '^out \[redacted:ONE\] (err \[redacted:ONE\] )?'

# One more stands still with its secrets while everything is looked at.
gated_formula still "$print"
action holder still '{"secrets": ["ONE", "TWO", "THREE", "FOUR"]}'
land
at_gate holder
wait_for eval '[ "$(engine "/containers/json?all=1" | jq length)" = 1 ]'

files() { # prints the files below the given folders that hold one of the secrets
	grep -rlaF -f "$WORK/canaries" -- "$@" 2>/dev/null
}
objects() { # of a repository
	git -C "$1" cat-file --batch-all-objects --batch --buffer | grep -caF -f "$WORK/canaries"
}
memory() { # PID: "found" when what it can write to holds one. Wants to be root.
	perl -e 'open F, shift or die; chomp(@c = <F>); $pid = shift; open M, "<", "/proc/$pid/maps" or die; open X, "<:raw", "/proc/$pid/mem" or die;
		while (<M>) { next unless /^([0-9a-f]+)-([0-9a-f]+) rw/; ($a, $b) = (hex $1, hex $2); sysseek X, $a, 0; next unless sysread X, $d, $b - $a;
			for (@c) { print "found" and exit if index($d, $_) >= 0 } }' "$WORK/canaries" "$1"
}
check "the runner has them: the search of memory finds what is there" \
	eval '[ "$(memory "$(docker inspect -f "{{.State.Pid}}" "$(containers holder | tr -d /)")")" = found ]'
for role in core git keyring engine web; do
	is "not in the memory of $role" "$(memory "$(role $role)")" ''
done
is "not in the memory of parent" "$(memory "$DISPATCHER")" ''
is "not in the spool" "$(files "$SPOOL")" ''
is "not in the objects of the clone" "$(objects "$SPOOL/ops.git")" 0
is "not in the objects of the server" "$(objects "$SERVER")" 0
is "not on the engine's disk" "$(files "$ENGINE/data")" ''
is "not in the engine's log" "$(files "$ENGINE/dockerd.log")" ''
is "not in the dispatcher's log" "$(files "$LOG")" ''
is "not in any process's arguments" "$(cat /proc/[0-9]*/cmdline 2>/dev/null | grep -caF -f "$WORK/canaries")" 0
is "not in inspect" "$(engine "/containers$(containers holder)/json" | grep -cF -f "$WORK/canaries")" 0
for part in $(awk 'NR > 1 && $2 == "partition" { print $1 }' /proc/swaps) $(awk 'NR > 1 && $2 == "file" { print $1 }' /proc/swaps); do
	refute "not in the swap on $part" grep -qaF -f "$WORK/canaries" "$part"
done

# A role that crashes leaves no core, where any other process would.
mkdir "$WORK/cores"
(
	cd "$WORK/cores" || exit
	sleep 600 &
	sleep 0.2
	kill -SEGV $!
	wait
) 2>/dev/null
if [ -n "$(find "$WORK/cores" -type f)" ]; then
	for role in keyring engine core git web; do
		pid=$(role "$role")
		where=$(readlink "/proc/$pid/cwd")
		find "$where" -maxdepth 1 -name 'core*' | sort >"$WORK/before"
		kill -SEGV "$pid"
		wait_for gone "$pid"
		mapfile -t left < <(find "$where" -maxdepth 1 -name 'core*' | sort | comm -13 "$WORK/before" -)
		is "$role that crashed left no core" "${left[*]}" ''
		rm -f -- "${left[@]}"
		wait_for role "$role"
	done
fi
# Process 1 of a container takes no signal but KILL from outside, so what would become of its core is read off.
like "nor could the runner leave one" "$(cat "/proc/$(docker inspect -f '{{.State.Pid}}' "$(containers holder | tr -d /)")/limits")" '^Max core file size +1 +1 +bytes'
