#!/bin/bash
# Completion in a real bash: what a person gets for a line that ends in a tab. Needs no engine and no dispatcher.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
rm -rf "$WORK/site"
disinto init "$WORK/site" >/dev/null || bail "init"
SERVER=$WORK/site/ops.git
export DISINTO_CONFIG=$WORK/site/dispatcher.yaml
printf 'a long value' | disinto secrets add DEPLOY_TOKEN >/dev/null 2>&1
printf 'a long value' | disinto secrets add DEPLOY_KEY >/dev/null 2>&1
git clone -q "$SERVER" "$OPS"
action done-1 hello
echo '{"id": "done-1", "outcome": "failed", "exit_code": 3, "timestamp": "2026-03-31T10:00:04Z", "logs": ""}' >"$OPS/vault/actions/done-1.result.json"
action waits-1 hello
commit states && push
disinto propose --id asked-1 --formula hello --context 'Please' >/dev/null
disinto pending >/dev/null

# What bash does at a tab: it splits the line as it does (at = too), calls the function that is registered, and takes COMPREPLY.
cat >"$WORK/tab.sh" <<'EOT'
. "$1"
line=$2
complete -p "${line%% *}" >/dev/null || exit 1
[[ $(complete -p "${line%% *}") =~ -F\ ([a-z_]+) ]]
function=${BASH_REMATCH[1]}
read -ra COMP_WORDS <<<"${line//=/ = }"
[[ $line != *[\ =] ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line}
$function "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[@]}"
EOT
tab() { # LINE EXPECTED
	is "'$1'" "$(bash --norc "$WORK/tab.sh" "$ROOT/cli/completion.bash" "$1" 2>&1 | tr ' ' '\n' | sort | xargs)" "$2"
}
tab 'disinto pro' propose
tab 'disinto se' 'secrets settle'
tab 'disinto secrets ' 'add exposure keygen list migrate remove rotate show'
tab 'disinto secrets r' 'remove rotate'
tab 'disinto secrets show ' 'DEPLOY_KEY DEPLOY_TOKEN'
tab 'disinto secrets show DEPLOY_T' DEPLOY_TOKEN
tab 'disinto secrets show DEPLOY_TOKEN ' ''
tab 'disinto list --s' --state
tab 'disinto list --' '--config --help --json --state'
tab 'disinto list --state ' 'finished pending queued recording running starting waiting'
tab 'disinto list --state f' finished
tab 'disinto list --state=f' finished
tab 'disinto list --state=' 'finished pending queued recording running starting waiting'
tab 'disinto show ' 'asked-1 done-1 waits-1'
tab 'disinto show --json d' done-1
tab 'disinto logs -n 5 ' 'asked-1 done-1 waits-1'
tab 'disinto run ' waits-1
tab 'disinto approve ' asked-1
tab 'disinto settle waits-1 ' 'lost rerun'
tab 'disinto settle waits-1 r' rerun
tab 'disinto token add x --scope ' 'operate propose read'
tab 'disinto propose --secret D' 'DEPLOY_KEY DEPLOY_TOKEN'
tab 'disinto propose --formula h' hello
tab 'disinto propose --blast-radius ' 'high low medium'
tab 'disinto init --ops-repo ' ''
tab 'disinto help l' 'list logs'
tab 'disinto help secrets l' list
tab "disinto --config $DISINTO_CONFIG show d" done-1
tab 'disinto no-such ' ''
tab 'disinto-dispatcher --' '--check --config --only --version'
check "files are the shell's" grep -q -- '-o default' <(bash --norc -c '. "$1" && complete -p disinto' - "$ROOT/cli/completion.bash")

# Without a site nothing is said, and without its server it is as quick as ever.
is "without a site" "$(cd "$HOME" && DISINTO_CONFIG='' disinto complete show '' 2>&1)" ''
mv "$SERVER" "$SERVER.away"
tab 'disinto show d' done-1
mv "$SERVER.away" "$SERVER"
rm -rf "$HOME/.cache/disinto"
is "before anything was fetched" "$(disinto complete show '' 2>&1)" ''
