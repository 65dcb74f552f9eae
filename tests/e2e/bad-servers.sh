#!/bin/bash
# A git server and a Docker Engine at their worst, by a proxy in front of the real ones: the dispatcher says what is wrong, waits, and goes on as
# soon as it can. One run, one result. threat_38_the_answer_of_a_push_is_lost threat_39_a_hook_rejects_a_result threat_40_errors_redirects_a_revoked_token
# threat_36_half_answers guard: outcomes of pushes that nobody told are looked up (settle in dispatcher/git/record.c); judge in lib/git_push.c believes
# the server's word for the ref only; CURLOPT_FOLLOWLOCATION off in lib/git_http.c; log_read in dispatcher/engine/log.c reads again what broke off
. "$(dirname "$0")/lib.sh"
TORTURE=$(realpath "${TORTURE:-$ROOT/build/gcc/torture}")

proxy() { # NAME LISTEN TARGET: starts it and prints where it listens
	: >"$WORK/$1.rules"
	"$TORTURE/faulty" "$2" "$3" "$WORK/$1.rules" >"$WORK/$1.at" 2>&1 </dev/null &
	CHILDREN+=($!)
	wait_for test -s "$WORK/$1.at"
}
rules() { # NAME RULE…: what meets requests from now on; takes effect at once, as a file that is replaced
	printf '%s\n' "${@:2}" >"$WORK/$1.rules.new"
	rm -f "$WORK/$1.rules.log"
	mv "$WORK/$1.rules.new" "$WORK/$1.rules"
}
met() { # NAME: how many requests met a fault since the rules were made
	grep -sc . "$WORK/$1.rules.log"
}
git_says() { # REGEX: what status says of the last poll
	api /status | jq -r .poll.reason | grep -qE -- "$1"
}
outbox_says() { # REGEX
	api /status | jq -r .outbox.reason | grep -qE -- "$1"
}
once() { # ID OUTCOME
	finished "$1"
	is "$1: its outcome, its runs, and the commits of its result" \
		"$(field "$1" .outcome) $(marks "$1") $(git -C "$SERVER" log --format=%H main -- "vault/actions/$1.result.json" | wc -l)" "$2 1 1"
}

engine_start
site http
real=${URL#*://*:} real=${real%%/*}
proxy git 0 "$real"
proxy engine "$WORK/faulty.sock" "$SOCKET"
sed -i -e "s|:$real/|:$(cat "$WORK/git.at")/|" -e "s|^docker_host:.*|docker_host: unix://$WORK/faulty.sock|" "$CONFIG"
formula count <<-EOT
	steps:
	  - id: count
	    run: |
	      $MARK
	      echo done
EOT
land formulas
dispatcher_start
finish_poll() { api /status | jq -e '.poll.ok' >/dev/null; }
check "polls work through the proxy" wait_for finish_poll

# --- threat 40
for status in 500 503 429; do
	rules git "0 2 status $status *"
	check "$status: status says so" wait_for git_says "answered $status"
	action "after-$status" count && land
	once "after-$status" succeeded
done
rules git '0 3 status 401 *'
check "a revoked token: says what to look at" wait_for git_says 'git_token_file'
check "and goes on when it is accepted again" wait_for finish_poll

other=$((20000 + RANDOM % 20000))
busybox nc -ll -p $other -e sh -c "cat >>'$WORK/stolen'" &
CHILDREN+=($!)
rules git "0 3 status 302@http://127.0.0.1:$other/ops.git/info/refs *"
check "a redirect: is not followed, and said" wait_for git_says 'redirect'
check "polls go on where they were" wait_for finish_poll
wait_for eval "echo probe | busybox nc 127.0.0.1 $other"
check "the other host listens" wait_for grep -q probe "$WORK/stolen"
is "and was neither asked nor given the credential" "$(sort -u "$WORK/stolen")" probe

# --- threat 38
rules git '0 1 lose - /git-receive-pack '
action lost-answer count && land
once lost-answer succeeded
rules git '0 2 cut-answer 10 /git-receive-pack '
action half-answer count && land
once half-answer succeeded
rules git '0 1 twice - /git-receive-pack '
action pushed-twice count && land
once pushed-twice succeeded
rules git '0 4 slow 5 *'
action in-pieces count && land
once in-pieces succeeded

# --- threat 39
cat >"$SERVER/hooks/pre-receive" <<-'EOT'
	#!/bin/sh
	while read -r old new ref; do
		git diff --name-only "$old" "$new" 2>/dev/null | grep -q result && echo "results are not welcome on $ref" >&2 && exit 1
	done
	exit 0
EOT
chmod +x "$SERVER/hooks/pre-receive"
action declined count && land
check "the server's words are shown" wait_for outbox_says 'results are not welcome on refs/heads/main'
is "it ran all the same, once" "$(marks declined)" 1
rm "$SERVER/hooks/pre-receive"
once declined succeeded

# --- threat 36
n=0
for rule in '0 2 status 500 /create?' '0 1 lose - /create?' '0 1 lose - /start' '0 1 twice - /start' '0 1 cut-answer 150 /logs' '0 1 flip 180 /logs' \
	'0 1 close - DELETE' '0 2 cut-answer 60 /json'; do
	rules engine "$rule"
	n=$((n + 1))
	action "engine-$n" count && land
	once "engine-$n" succeeded
	check "engine-$n met: $rule" wait_for eval '[ "$(met engine)" -gt 0 ]' # its container is removed a while after its result is there
done
check "the dispatcher lives on" eval "api /health >/dev/null"

# --- an engine that removes nothing, and a dispatcher that is to leave
rules engine '0 1000000 status 500 DELETE'
action stays count && land
once stays succeeded
check "disinto drain does not wait for ever for a container to be removed" disinto --config "$CONFIG" drain
check "and the dispatcher ends" wait_for gone "$DISPATCHER"
DISPATCHER=
rules engine '0 1 close - never-asked'
dispatcher_start
check "the next start removes it" wait_for eval '[ -z "$(containers stays)" ]'
