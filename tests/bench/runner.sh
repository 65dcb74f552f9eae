#!/bin/bash
# Rows of `make bench` for the runner, tab-separated as tests/bench/run wants them: runner.sh BUILD   (BUILD: the folder with the built frames, clock
# and disinto-runner-uncapped). Each figure has its baseline on the same engine, in a container of the same limits. MEMORY_MB (1000) and MB (256) are what a
# step writes, STARTS (20) how often a start is timed, ORPHANS (10000) how many there are.
. "$(dirname "$0")/../e2e/lib.sh"

TAP=
build=$(realpath "$1")
mb=${MB:-256} memory_mb=${MEMORY_MB:-1000} starts=${STARTS:-20} orphans=${ORPHANS:-10000}
flags=(--rm --network none --read-only --cap-drop ALL --cap-add CHOWN --cap-add KILL --cap-add SETGID --cap-add SETUID
	--security-opt no-new-privileges:true --memory 512m --memory-swap 512m --pids-limit 256 --log-opt max-size=256m --log-opt max-file=1
	--tmpfs "/run/secrets:noexec,nosuid,nodev,mode=0711,size=4m" --tmpfs "/var/run/nscd:noexec,nosuid,nodev,mode=0755,size=64k"
	--tmpfs "/tmp:mode=1777,size=64m" --tmpfs "/task:mode=0755,size=64m")

row() { printf '%s\t%s\t%s\t%s\t%s\n' "$@"; }
calc() { awk "BEGIN { $1 }"; }
holds() { awk "BEGIN { exit !($1) }" && echo yes || echo NO; }
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
seconds() { # COMMAND…: wall clock
	local TIMEFORMAT=%3R
	{ time "$@" >/dev/null 2>&3; } 3>&2 2>&1
}
alone() { # SCRIPT: a container that is nothing but the step
	docker run "${flags[@]}" bench sh -c "$1"
}
through() { # RUNNER SCRIPT SECRETS: the same with a runner as its process 1
	"$build/frames" "$2" "$3" >"$WORK/frames"
	docker run -i "${flags[@]}" --entrypoint "/bin/$1" bench <"$WORK/frames"
}
outcome() { tail -n 1 "$1" | jq -r 'select(.t == "report") | .outcome'; }

engine_start
"$LIB/engine.sh" image "$SOCKET" bench:latest "$build/clock" "$build/disinto-runner-uncapped" "$BIN/disinto-runner" || bail "no image"

# --- From the start of the container's first program to the first instruction of the first step; the frames are there before.
"$build/frames" 'exec clock' 0 >"$WORK/frames"
for _ in $(seq "$starts"); do
	docker run -i "${flags[@]}" --entrypoint /bin/clock bench /bin/disinto-runner <"$WORK/frames" >"$WORK/out" 2>"$WORK/began"
	began=$(cat "$WORK/began") first=$(jq -r 'select(.t == "out") | .d' "$WORK/out")
	calc "printf \"%.2f\\n\", ($first - $began) / 1e6" >>"$WORK/starts"
	docker run "${flags[@]}" --entrypoint /bin/clock bench /bin/sh -c 'exec clock' >"$WORK/out" 2>"$WORK/began"
	calc "printf \"%.2f\\n\", ($(cat "$WORK/out") - $(cat "$WORK/began")) / 1e6" >>"$WORK/shells"
done
m=$(median <"$WORK/starts")
row "container's start to the step's first instruction" "$m ms" "15 ms" "$(holds "$m <= 15")" \
	"sh alone: $(median <"$WORK/shells") ms; medians of $starts"

# --- The runner's memory while a step writes: its peak, as the kernel has it.
lines_of() { # MB
	echo "line='2026-03-31T10:00:01Z info pushed image layer sha256:5a1c0f3e77bd10ae to registry.example (72%)'; yes \"\$line\" | head -c ${1}000000"
}
"$build/frames" "$(lines_of "$memory_mb"); sleep 600" 8 >"$WORK/frames"
docker run -i "${flags[@]}" --name writes --entrypoint /bin/disinto-runner bench <"$WORK/frames" >"$WORK/out" 2>/dev/null &
CHILDREN+=($!)
WAIT=300 wait_for eval 'docker top writes -eo pid,args | grep -q " sleep 600$"'
kb=$(awk '/^VmHWM:/ { print $2 }' "/proc/$(docker inspect -f '{{.State.Pid}}' writes)/status")
docker kill writes >/dev/null
docker run -d "${flags[@]}" --name init --init bench sleep 600 >/dev/null
init_kb=$(awk '/^VmHWM:/ { print $2 }' "/proc/$(docker inspect -f '{{.State.Pid}}' init)/status")
docker kill init >/dev/null
row "runner's memory at its peak, $memory_mb MB of output" "$(calc "printf \"%.1f\", $kb / 1024") MB" "4 MB" "$(holds "$kb <= 4096")" \
	"docker's own init: $(calc "printf \"%.1f\", $init_kb / 1024") MB"

# --- Throughput without the cap, in lines and as one endless line.
throughput() { # FIGURE SCRIPT
	local a t
	rm -f "$WORK/alone" "$WORK/through"
	for _ in 1 2 3; do # in turns, and the best of each, since the engine's own speed varies most
		seconds alone "$2" >>"$WORK/alone"
		seconds through disinto-runner-uncapped "$2" 8 >>"$WORK/through"
	done
	a=$(sort -n "$WORK/alone" | head -n 1) t=$(sort -n "$WORK/through" | head -n 1)
	row "$1" "$(calc "printf \"%d\", $mb / $t") MB/s ($(calc "printf \"%.2f\", $a / $t") of it)" "0.5 of it" "$(holds "$a / $t >= 0.5")" \
		"docker run alone: $(calc "printf \"%d\", $mb / $a") MB/s"
}
throughput "output through the runner, cap off, 8 secrets" "$(lines_of "$mb")"
throughput "the same as one line" "head -c ${mb}000000 /dev/zero | tr '\\0' x"

# --- Orphans. Each one is a process whose parent is gone; none may be left as a zombie while the step still looks.
many="i=0; while [ \$i -lt $orphans ]; do (true &); i=\$((i + 1)); done
while [ \"\$(ls -d /proc/[0-9]* | wc -l)\" -gt 5 ] && [ \$((i = i - 1)) -gt 0 ]; do :; done
echo zombies \$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l)"
many_through() { through disinto-runner "$many" 0 >"$WORK/out"; }
many_alone() { docker run --init "${flags[@]}" bench sh -c "$many" >"$WORK/init"; }
t=$(seconds many_through)
zombies=$(jq -r 'select(.t == "out") | .d' "$WORK/out" | awk '/^zombies/ { print $2 }')
b=$(seconds many_alone)
row "$orphans orphans in one run" "$zombies zombies, $(outcome "$WORK/out"), $t s" "0, succeeded" \
	"$([ "$zombies" = 0 ] && [ "$(outcome "$WORK/out")" = succeeded ] && echo yes || echo NO)" "docker's own init: $(awk '{ print $2 }' "$WORK/init") zombies, $b s"
TESTS=1
