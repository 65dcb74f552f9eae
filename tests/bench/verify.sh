#!/bin/bash
# What `disinto verify` costs, beside `git log --raw --first-parent` of the same repository: actions with results in one flat folder, one commit for
# each file. Prints one line for the table of tests/bench/run: figure, disinto, wanted, whether it holds, baseline; columns are divided by tabs.
#   tests/bench/verify.sh [ACTIONS]     10000 unless told; making their repository takes two minutes
set -euo pipefail
count=${1:-10000}
bin=$(cd "$(dirname "$0")/../../bin" && pwd)
work=$(mktemp -d /tmp/disinto-bench-verify.XXXXXX)
trap 'rm -rf "$work"' EXIT
export HOME=$work GIT_CONFIG_NOSYSTEM=1
unset "${!DISINTO_@}" "${!GIT_DIR@}" 2>/dev/null || true
cd "$work"

# --- The repository, by git fast-import, which tells the ids that results name.
blob() { # MARK TEXT
	printf 'blob\nmark :%s\ndata %d\n%s\n' "$1" ${#2} "$2" >&"$to"
}
id_of() { # MARK: sets REPLY
	printf 'get-mark :%s\n' "$1" >&"$to"
	read -r REPLY <&"$from"
}
commit() { # MARK WHO SECOND MESSAGE PATH BLOB-MARK
	printf 'commit refs/heads/main\nmark :%s\ncommitter %s %s +0000\ndata %d\n%s\nM 100644 :%s %s\n\n' "$1" "$2" "$3" ${#4} "$4" "$6" "$5" >&"$to"
}
result_of() { # ID COMMIT ACTION FORMULA
	cat <<-END
		{
		  "id": "$1", "outcome": "succeeded", "exit_code": 0, "reason": null,
		  "timestamp": "2026-03-31T10:00:04Z", "started_at": "2026-03-31T10:00:01Z", "duration_ms": 2934, "attempt": 1,
		  "tier": "high", "approval": {"mode": "landed", "by": null, "commit": "$2"},
		  "commit": "$2", "action": "$3", "policy": null,
		  "formula": {"name": "publish", "blob": "$4"}, "image": "debian@sha256:$2$3",
		  "dispatcher": "edge-1", "engine": "docker", "container": "$3", "claim": "$2", "secrets": {},
		  "steps": [{"id": "publish", "exit_code": 0, "duration_ms": 12}],
		  "logs": "published $1\n", "log_bytes": 20, "log_sha256": "$2$3", "log_truncated": false
		}
	END
}
git init -q --bare -b main ops.git
coproc importer { exec git -C ops.git fast-import --quiet --done; }
to=${importer[1]} from=${importer[0]} pid=$!
human='Somebody <somebody@example>' dispatcher='disinto-dispatcher <edge-1@disinto>' second=1700000000
blob 1 $'name: publish\nsteps: [{id: publish, run: "true"}]'
id_of 1 && formula=$REPLY
commit 2 "$human" $second begin vault/formulas/publish.yaml 1
for ((i = 0; i < count; i++)); do
	id=publish-$(printf %06d "$i") mark=$((4 * i + 10))
	blob $mark "{\"id\": \"$id\", \"formula\": \"publish\", \"context\": \"a release\", \"secrets\": []}"
	id_of $mark && action=$REPLY
	commit $((mark + 1)) "$human" $((second += 10)) "vault: $id" "vault/actions/$id.json" $mark
	id_of $((mark + 1)) && landing=$REPLY
	blob $((mark + 2)) "$(result_of "$id" "$landing" "$action" "$formula")"
	commit $((mark + 3)) "$dispatcher" $((second += 10)) "vault: result for $id" "vault/actions/$id.result.json" $((mark + 2))
done
echo 'done' >&"$to"
wait $pid

# --- Both in turn, three times; the median of each.
TIMEFORMAT=%R
for round in 1 2 3; do
	{ time git -C ops.git log --raw --first-parent main >history; } 2>>git-times
	{ time "$bin/disinto" verify ops.git >said 2>errors; } 2>>verify-times || { cat said errors >&2 && exit 1; }
	if [ $round = 1 ] && ! grep -q "^$count actions, $count results, 0 findings\$" said; then
		cat said >&2 && exit 1
	fi
done
median() { sort -n "$1" | sed -n 2p; }
awk -v n="$count" -v v="$(median verify-times)" -v g="$(median git-times)" 'BEGIN {
	printf "verify of %d actions\t%.1f s (%.2f times)\t2.0 times\t%s\tgit log --raw --first-parent: %.1f s\n", n, v, v / g, v <= 2 * g ? "yes" : "NO", g }'
