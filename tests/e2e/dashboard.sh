#!/bin/bash
# The dashboard in a real Chromium: tests/browser/states.mjs looks at what it makes of all that a dispatcher may say (threat_49), tests/browser/dashboard.mjs does what a person would with one
# that runs. PICTURES=DIR keeps the screenshots.
. "$(dirname "$0")/lib.sh"
MODULES=$ROOT/build/browser
PICTURES=${PICTURES:-$WORK/pictures}
mkdir -p "$PICTURES" "$WORK/control"
"$LIB/browser.sh" >"$WORK/npm.log" 2>&1 || bail "npm can't install the browser driver: $(tail -n 3 "$WORK/npm.log")"

node "$ROOT/tests/browser/states.mjs" "$MODULES" "$ROOT/dispatcher/web/page" "$PICTURES" >"$WORK/states.out" 2>&1
code=$?
browser_said "$WORK/states.out"
is "the states were looked at, to their end" $code 0

engine_start
site http <<<'capacity: 4'
sed -i 's/^listen: .*/listen: 127.0.0.1:0/; /^identity_file/d' "$CONFIG"
gated_formula follow 'echo before the gate'
formula hostile <<'EOT'
steps:
  - id: text
    run: |
      echo '<script>document.title = "taken"</script><img src=x onerror=alert(1)> "&lt;'
      printf '\033[2J\033]0;taken\007 \342\200\256 right to left\n'
EOT
formula wrong <<<$'steps:\n  - {id: no, run: "echo this fails; exit 3"}'
formula endless <<<$'steps:\n  - {id: on, run: "while true; do date; sleep 1; done"}'
action hello-1 hello '{"inputs": {"name": "you"}}'
action hostile-1 hostile
action wrong-1 wrong
action follow-1 follow
action endless-1 endless
action waiting-1 hello '{"secrets": ["TOKEN"]}'
secret TOKEN 'a secret value'
land
git -C "$OPS" checkout -q -b pending
action pending-1 hello '{"context": "<img src=x onerror=alert(1)> to greet", "secrets": ["TOKEN"]}'
commit 'vault: pending-1' && git -C "$OPS" push -q origin HEAD:vault/pending-1
git -C "$OPS" checkout -q main

# A fixed address, so that the page finds the dispatcher again after a restart.
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
sed -i "s/^listen: .*/listen: 127.0.0.1:$port/" "$CONFIG"
dispatcher_start
for id in hello-1 hostile-1 wrong-1; do finished $id; done
wait_for is_state follow-1 running
reader=$(DISINTO_CONFIG=$CONFIG disinto token add reader 2>/dev/null)
operator=$(DISINTO_CONFIG=$CONFIG disinto token add operator --scope operate 2>/dev/null)

node "$ROOT/tests/browser/dashboard.mjs" "$MODULES" "http://127.0.0.1:$port/" "$reader" "$operator" "$PICTURES" "$WORK/control" >"$WORK/browser.out" 2>&1 &
browser=$!
CHILDREN+=("$browser")
while kill -0 "$browser" 2>/dev/null; do
	case $(cat "$WORK/control/ask" 2>/dev/null) in
	restart)
		dispatcher_stop
		dispatcher_start
		rm "$WORK/control/ask"
		;;
	gate)
		open_gate follow-1
		rm "$WORK/control/ask"
		;;
	esac
	sleep 0.1
done
wait "$browser"
code=$?
browser_said "$WORK/browser.out"
is "the browser's tests came to their end" $code 0
weight=$(cat "$ROOT"/dispatcher/web/page/* | wc -c)
check "the page weighs under 100 KB ($weight bytes)" [ "$weight" -lt 100000 ]
