#!/bin/bash
# Clocks that jump: the wall clock by ten years, there and back, and the time since the machine's start by an hour, as after a sleep. What runs
# goes on, what is new starts, and nobody is taken for hung.
. "$(dirname "$0")/lib.sh"

${CC:-gcc} -O1 -fPIC -shared -o "$WORK/clock.so" "$LIB/clock.c" || bail "no compiler"
little_endian() { # NUMBER: as 8 bytes
	local i n=$1
	for ((i = 0; i < 8; i++)); do
		# shellcheck disable=SC2059 # the format is the byte
		printf "\\x$(printf %02x $((n & 255)))"
		n=$((n >> 8))
	done
}
clocks() { # SECONDS added to the wall clock, and to the time since the start; in place, since it is mapped
	{ little_endian "$1" && little_endian "$2"; } | dd of="$WORK/clocks" conv=notrunc status=none
}
clocks 0 0
export CLOCK_FILE=$WORK/clocks

engine_start
site daemon
gated_formula gated
formula mark <<-EOT
	steps:
	  - id: mark
	    run: |
	      $MARK
EOT
secret KEY 'a-secret-of-a-step'
LD_PRELOAD=$WORK/clock.so dispatcher_start
action long gated '{"secrets": ["KEY"], "timeout_minutes": 1440}'
land
at_gate long
before=$(roles)

fresh() { # /healthz itself is red: ten years on, the claim of what runs is overdue
	[ "$(curl -s --unix-socket "$SPOOL/api.sock" http://d/healthz | jq '.last_poll_age_ms >= 0 and .last_poll_age_ms < 60000')" = true ]
}
jump() { # NAME WALL BOOT: and an action that lands after it
	clocks "$2" "$3"
	action "$1" mark '{"secrets": ["KEY"]}'
	land
	finished "$1"
	is "$1: what lands afterwards runs, once" "$(field "$1" .outcome) $(marks "$1")" 'succeeded 1'
	check "$1: its duration is no nonsense" [ "$(field "$1" '.duration_ms >= 0 and .duration_ms < 600000')" = true ]
	check "$1: the poll counts as fresh again" wait_for fresh
	is "$1: what ran goes on" "$(state long)" running
	is "threat_44_jump $1: nobody was replaced" "$(roles)" "$before"
}
years=$((10 * 365 * 86400))
jump forward "$years" 0
jump back "-$years" 0
jump slept 0 3600
open_gate long
finished long
is "it ended well, once" "$(field long '[.outcome, .attempt] | @json') $(starts long)" '["succeeded",1] 1'
check "and took no negative time" [ "$(field long '.duration_ms >= 0')" = true ]

# Ten years on at a start.
action again gated '{"timeout_minutes": 1440}'
land
at_gate again
dispatcher_kill
clocks "$years" 3600
LD_PRELOAD=$WORK/clock.so dispatcher_start
check "a run is adopted ten years on" wait_for is_state again running
open_gate again
finished again
is "and ends well, once" "$(field again '[.outcome, .attempt] | @json') $(starts again)" '["succeeded",1] 1'
