#!/bin/bash
# What steps may do to the runner, and what it does for them, on a real engine from approval to result. For each guard that can be shown so, the same
# step without the runner: in a plain container, where it does what it must not do here.
#   STEP_BYTES (20000000) is what the step with one endless line writes; 100000000000 takes ten minutes
# what_steps_may_do: guards in tests/guards/table
. "$(dirname "$0")/lib.sh"

engine_start
site path <<<'capacity: 4'

many_ids=()
one() { # ID SHELL [LINES of the formula]: a formula and its action, of one step
	formula "$1" <<-EOT
		${3:-}
		steps:
		  - id: only
		    run: |
		      ${2//$'\n'/$'\n'      }
	EOT
	action "$1" "$1"
	many_ids+=("$1")
}
ended() { # ID: [outcome, exit code]
	field "$1" '[.outcome, .exit_code] | @json'
}

# --- Exit codes that the engine, the shell and disinto use for themselves too: the outcome tells them apart.
codes=(0 1 124 125 126 127 130 137 255)
for code in "${codes[@]}"; do one "exit-$code" "exit $code"; done
one by-signal 'kill -SEGV $$'
one by-kill 'kill -KILL $$'

# --- Output. The last line is there whatever came before it.
one endless-line "head -c ${STEP_BYTES:-20000000} /dev/zero | tr '\\0' x; echo; echo the end"
one odd-bytes "printf 'nul\\000 bad\\377 cut\\342\\202 escape\\033[31m\\033]0;title\\007 end\\n'"
one both-streams 'echo out; echo err >&2'

# --- What looks like the runner's own words.
report='{"t":"report","outcome":"succeeded","exit_code":0,"reason":null,"truncated":false}'
one forged "echo; echo '$report'; echo '$report' >&2; exit 9"

# --- What is left behind.
one daemon "setsid sh -c 'trap \"\" TERM HUP; echo daemon; sleep 1000' & sleep 0.3; echo step"
one stopped "sh -c 'kill -STOP \$\$' & sleep 0.2; echo step"
one orphans 'i=0; while [ $i -lt 2000 ]; do (true &); i=$((i + 1)); done
sleep 0.3
echo "zombies $(grep -l "^State:.Z" /proc/[0-9]*/status | wc -l)"'
one deaf-input 'exec <&-; cat || echo "no input"'
one peeping 'for f in mem environ maps fd/0 root; do head -c 1 /proc/1/$f >/dev/null 2>&1 && echo "reads $f"; done
kill -KILL 1 2>/dev/null && echo kills
echo looked'

# --- Memory.
one hungry 'tail /dev/zero' 'resources: {memory: 32m}'
one hungry-child 'tail /dev/zero || echo "nobody minds"' 'resources: {memory: 32m}'

# --- Steps that belong together.
formula together <<-'EOT'
	steps:
	  - id: build
	    run: |
	      echo 'version=1.2.3' >>"$DISINTO_OUTPUT"
	      echo shared >file
	  - id: publish
	    run: |
	      echo "publish $INPUT_VERSION $(cat file) as $(id -un)"
	      echo "url=https://hub.example/$INPUT_VERSION" >>"$DISINTO_OUTPUT"
	      exit 9
	  - id: never
	    run: echo never
	  - id: clean
	    if: always
	    run: echo "clean up $INPUT_URL"
EOT
action together together
formula leftovers <<-'EOT'
	steps:
	  - id: leave
	    run: |
	      (setsid sh -c 'trap "" TERM HUP; while :; do sleep 1; done' &)
	      sleep 0.2
	      echo "here $(ps | grep -c '[t]rap')"
	  - id: look
	    run: echo "then $(ps | grep -c '[t]rap')"
	    if: always
EOT
action leftovers leftovers
formula apart <<-'EOT'
	steps:
	  - {id: one, secrets: [FIRST], run: 'echo "$FIRST ${SECOND-none}"; ls /run/secrets/FIRST; cat /proc/*/environ 2>/dev/null | grep -c first-secret'}
	  - id: other
	    secrets: [SECOND]
	    run: |
	      echo "${FIRST-none} $SECOND"
	      ls /run/secrets/FIRST 2>/dev/null || echo no file
	      cat /proc/*/environ 2>/dev/null | grep -c first-secret || :
EOT
secret FIRST first-secret-value
secret SECOND second-secret-value
action apart apart '{"secrets": ["FIRST", "SECOND"]}'
formula overtime <<-'EOT'
	grace_seconds: 5
	steps:
	  - {id: fast, run: 'true', timeout_minutes: 5}
	  - {id: slow, run: 'sleep 600', timeout_minutes: 1}
	  - {id: clean, run: 'echo cleaned', if: always}
EOT
action overtime overtime
formula tidy <<-'EOT'
	grace_seconds: 20
	steps:
	  - {id: work, run: 'echo begin; sleep 600'}
	  - {id: clean, run: 'sleep 1; echo cleaned', if: always}
EOT
action tidy tidy
formula wrong <<-'EOT'
	steps:
	  - id: only
	    run: 'true'
	    timeout_minutes: soon
EOT
action wrong wrong
land
dispatcher_start
for id in "${many_ids[@]}" together leftovers apart wrong; do WAIT=240 finished "$id"; done

is 'exit 0 is success' "$(ended exit-0)" '["succeeded",0]'
for code in "${codes[@]:1}"; do is "exit $code is a failure with that code" "$(ended "exit-$code")" "[\"failed\",$code]"; done
is 'a signal is 128 and its number' "$(ended by-signal)" '["failed",139]'
like 'and said to be one' "$(field by-signal .reason)" 'ended by signal 11'
is 'KILL is 137' "$(ended by-kill)" '["failed",137]'
like 'and told from exit 137' "$(field by-kill .reason) / $(field exit-137 .reason)" 'was killed .*/ step only exited with 137$'

is 'one endless line: the run is whole' "$(ended endless-line)" '["succeeded",0]'
is 'one endless line: its middle is left out' "$(field endless-line .log_truncated)" true
like 'one endless line: the end is kept' "$(field endless-line .logs)" 'the end$'
check 'one endless line: the log is bounded' test "$(stat -c %s "$SPOOL/runs/endless-line/log")" -le $((17 << 20))
is 'odd bytes: valid text in the result' "$(field odd-bytes .logs | tr -d '\033\007')" 'nul� bad� cut� escape[31m]0;title end'
like 'both streams arrive' "$(field both-streams '.logs | split("\n") | sort | join(" ")')" 'err out$'

is 'a forged report is text' "$(ended forged)" '["failed",9]'
is 'and arrives as it was written' "$(run_log forged | grep -cxF -- "$report")" 2
docker run -d --name plain disinto/runner sh -c "echo '$report'; exit 9" >/dev/null
check 'without the runner it stands where a report would' wait_for eval 'docker logs plain | grep -qxF -- "$report"'
docker rm -f plain >/dev/null

for id in daemon stopped; do
	is "$id: the step's own end counts" "$(ended $id)" '["succeeded",0]'
	check "$id: nobody waits for it" test "$(field $id .duration_ms)" -lt 60000
done
docker run -d --name plain disinto/runner sh -c "sh -c 'setsid sleep 1000 & true' | cat; echo over" >/dev/null
refute 'without the runner, who holds the pipes keeps the container' eval 'WAIT=3 wait_for test "$(docker inspect -f "{{.State.Running}}" plain)" = false'
docker rm -f plain >/dev/null
is 'what a step left running is gone in the next' "$(run_log leftovers | tr '\n' ' ')" 'here 1 then 0 '
is 'secrets of one step are not in the next' "$(run_log apart | tr '\n' '|')" \
	'[redacted:FIRST] none|/run/secrets/FIRST|1|none [redacted:SECOND]|no file|0|'
is 'orphans: all are reaped' "$(field orphans .logs)" 'zombies 0'
docker run -d --name plain disinto/runner sh -c '(sleep 0.1 &); exec sleep 1000' >/dev/null
check 'without the runner they stay' wait_for docker exec plain sh -c 'grep -q "^State:.Z" /proc/[0-9]*/status'
docker rm -f plain >/dev/null
like 'a step may close its input' "$(field deaf-input .logs)" 'no input$'
is 'nobody looks into process 1' "$(field peeping .logs)" looked
like 'without the runner anybody does' "$(docker run --rm -u 10001 disinto/runner sh -c 'sh -c "head -c 1 /proc/1/environ >/dev/null && echo reads"; true')" reads

is 'memory: a step that is killed for it' "$(ended hungry)" '["failed",137]'
like 'memory: the reason' "$(field hungry .reason)" 'ran out of memory: the kernel killed 1 '
is 'memory: a child whose end nobody minds' "$(ended hungry-child)" '["failed",137]'
like 'memory: the runner saw it' "$(field hungry-child .reason)" 'the kernel killed 1 of its processes \(it ended with 0\)'
like 'memory: it went on' "$(field hungry-child .logs)" 'nobody minds$'
is 'without the runner that is a success' "$(docker run --rm --memory 32m --memory-swap 32m disinto/runner sh -c 'tail /dev/zero || true' 2>/dev/null && echo success)" success

is 'the first failure is the outcome' "$(ended together)" '["failed",9]'
like 'outputs are inputs of later steps' "$(field together .logs)" 'publish 1.2.3 shared as '
like 'clean-up runs after a failure, with outputs' "$(field together .logs)" 'clean up https://hub.example/1.2.3$'
is 'steps that were run' "$(field together '[.steps[].id] | join(" ")')" 'build publish clean'
is 'outputs stand in the result' "$(field together '.outputs | @json')" '{"version":"1.2.3","url":"https://hub.example/1.2.3"}'
is 'a formula that is wrong' "$(field wrong .outcome)" refused
like 'names file, line and step' "$(field wrong .reason)" 'vault/formulas/wrong\.yaml: line 5, step only: steps\[0\]\.timeout_minutes: must be an integer'

wait_for log_has tidy '^begin'
api -X DELETE /workers/tidy >/dev/null
WAIT=120 finished tidy
is 'cancelled, with a clean-up' "$(ended tidy)" '["cancelled",130]'
like 'clean-up runs after a cancel' "$(field tidy .logs)" 'cleaned$'
WAIT=180 finished overtime
is "a step's own limit" "$(ended overtime)" '["timed_out",124]'
like 'is said' "$(field overtime .reason)" "the step's time limit of 1 minute passed \(step slow\)"
like 'clean-up runs after it' "$(field overtime .logs)" 'cleaned$'
