#!/bin/bash
# init: what it makes, what it refuses, and that a failed one leaves nothing behind. Needs neither dispatcher nor engine.
. "$(dirname "$0")/lib.sh"
unset XDG_CACHE_HOME
rm -rf "$WORK/site"
cd "$WORK" || exit 1

listing() { # FOLDER: its entries on one line
	find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort | tr '\n' ' '
}

output=$(disinto init deep/er/site 2>&1)
is "parity_E5 init makes missing folders: exit code" $? 0
in_containers=(.env .env.example Caddyfile docker-compose.yml secrets staging)
all() { # NAME…: what a site consists of, on one line
	printf '%s\n' "${in_containers[@]}" dispatcher.yaml id_ed25519 id_ed25519.pub identity.age spool "$@" | sort | tr '\n' ' '
}
is "parity_E5 exactly these things, nothing else hidden" "$(listing deep/er/site)" "$(all ops.git)"
is "the bot's key is 0400" "$(stat -c %a deep/er/site/id_ed25519)" 400
is "ssh-keygen reads it" "$(ssh-keygen -yf deep/er/site/id_ed25519)" "$(cat deep/er/site/id_ed25519.pub)"
like "the public half is printed" "$output" "$(cut -d' ' -f2 deep/er/site/id_ed25519.pub | sed 's/[+]/./g')"
is ".env and secrets/ are the owner's" "$(stat -c %a deep/er/site/.env deep/er/site/secrets | tr '\n' ' ')" '600 700 '
is "the identity is 0400" "$(stat -c %a deep/er/site/identity.age)" 400
is "the spool is 0700" "$(stat -c %a deep/er/site/spool)" 700
like "the recipient is printed" "$output" "$(age-keygen -y deep/er/site/identity.age)"
git=(git -C deep/er/site/ops.git)
is "the repo is bare" "$("${git[@]}" config core.bare)" true
is "its branch is main" "$("${git[@]}" symbolic-ref HEAD)" refs/heads/main
is "no deleting" "$("${git[@]}" config receive.denyDeletes)" true
is "no rewriting" "$("${git[@]}" config receive.denyNonFastForwards)" true
check "it is a sound repo" "${git[@]}" fsck --strict --no-dangling --no-progress
is "recipients.txt names the identity" "$("${git[@]}" show main:vault/recipients.txt | grep -v '^#')" "$(age-keygen -y deep/er/site/identity.age)"
refute "a deletion is refused" git -C deep/er/site/ops.git push -q . :refs/heads/main 2>/dev/null
check "the site is found from its folder" env -C deep/er/site disinto list 2>/dev/null

before=$(find deep -type f -exec sha256sum {} +)
output=$(disinto init deep/er/site 2>&1)
is "a second init is 1" $? 1
like "it says why and what to do" "$output" '^disinto: init: .*ops\.git: is there already; '
is "and changes nothing" "$(find deep -type f -exec sha256sum {} +)" "$before"

for part in dispatcher.yaml identity.age spool id_ed25519; do
	mkdir -p "part/$part"
	refute "init beside a foreign $part is refused" disinto init part 2>/dev/null
	is "and adds nothing to it" "$(listing part)" "$part "
	rm -rf part
done
mkdir other && echo mine >other/README
disinto init --json other >"$WORK/made"
is "init beside other files is fine" $? 0
is "init --json: an object" "$(jq -r '[.dir, .config, .ops_repo, .recipient, .bot_key, .to_be_merged] | @tsv' "$WORK/made")" \
	"other	other/dispatcher.yaml	other/ops.git	$(age-keygen -y other/identity.age)	$(cat other/id_ed25519.pub)	false"
is "and keeps them" "$(cat other/README)" mine

# A disk that is full: no file can be written.
(ulimit -f 0 && disinto init broken/site) >/dev/null 2>&1
is "init that can't write is 1" $? 1
refute "and leaves no folder" [ -e broken ]
mkdir kept
(ulimit -f 0 && disinto init kept) >/dev/null 2>&1
is "nor anything in a folder that was there" "$(listing kept)" ''

output=$(disinto init broken/site --ops-repo "$WORK/absent.git" 2>&1)
is "init with a repo that is not there is 1" $? 1
like "it is named" "$output" 'absent\.git'
refute "and leaves no folder" [ -e broken ]

# An existing repository.
git init -q --bare used.git
check "an empty repo gets the skeleton" disinto init first --ops-repo used.git >/dev/null
is "and no ops.git is made" "$(listing first)" "$(all)"
is "the relative path became absolute" "$(disinto list --config first/dispatcher.yaml 2>&1)" 'disinto: list: there are no actions'
before=$(git -C used.git show main:vault/recipients.txt)
tip=$(git -C used.git rev-parse main)
check "a second site shares it" disinto init second --ops-repo used.git >/dev/null
is "its recipient joins the first" "$(git -C used.git show main:vault/recipients.txt)" "$before"$'\n'"$(age-keygen -y second/identity.age)"
is "in one commit that changes nothing else" "$(git -C used.git diff --name-only "$tip" main)" vault/recipients.txt
is "on top of what was there" "$(git -C used.git rev-parse main^)" "$tip"
check "another branch" disinto init third --ops-repo used.git --branch trunk >/dev/null
like "is in the configuration" "$(cat third/dispatcher.yaml)" '^branch: "trunk"$'
check "and in the repo" git -C used.git cat-file -e trunk:vault/recipients.txt

# A server that takes no direct push: the skeleton goes to a branch.
git clone -q --bare used.git guarded.git
printf '#!/bin/sh\nwhile read -r _ _ ref; do [ "$ref" != refs/heads/main ] || exit 1; done\n' >guarded.git/hooks/pre-receive
chmod +x guarded.git/hooks/pre-receive
output=$(disinto init guarded --ops-repo guarded.git 2>&1)
is "init with a protected branch works" $? 0
like "and says what to merge" "$output" "merge 'vault-setup'"
is "the branch holds the recipient" "$(git -C guarded.git show vault-setup:vault/recipients.txt | tail -n 1)" "$(age-keygen -y guarded/identity.age)"
is "main is as it was" "$(git -C guarded.git rev-parse main)" "$(git -C used.git rev-parse main)"

disinto init one two >/dev/null 2>&1
is "two folders are a usage error" $? 2
disinto init site --branch '' >/dev/null 2>&1
is "an empty branch is a usage error" $? 2

# What stands in vault/ besides: the example formulas, and a policy that fits the site.
tree() { git -C "$1/ops.git" ls-tree -r --name-only main; }
is "init brings the example formulas" "$(tree deep/er/site | sed -n 's#^vault/formulas/##p' | tr '\n' ' ')" \
	"$(cd "$ROOT/templates/formulas" && echo * | sed 's/$/ /')"
git clone -q deep/er/site/ops.git clone
check "all of them, and the policy, are valid" disinto --config deep/er/site/dispatcher.yaml validate clone/vault/formulas/*.yaml clone/vault/policy.yaml
is "without a forge, what lands is approved" "$(grep -c '^  high: {approval: landed}$' clone/vault/policy.yaml)" 1
echo token >forge-token
check "init with a forge" disinto init reviewed --forge-url https://forge.example --forge-token-file forge-token --approver human >/dev/null
is "with a forge, high wants a review" "$(git -C reviewed/ops.git show main:vault/policy.yaml | grep '^  high:')" '  high: {approval: forge}'
check "and the dispatcher is told of it" disinto --config reviewed/dispatcher.yaml list 2>/dev/null
like "with its address and approver" "$(grep ^approval: reviewed/dispatcher.yaml)" '"https://forge\.example".*"human"'
disinto init half --forge-url https://forge.example >/dev/null 2>&1
is "a forge without an approver is a usage error" $? 2
