/*
 * propose: a repository without a forge keeps proposals as branches vault/<id>, and a human's merge lands them (approve.c).
 */
#include "cli/api.h"
#include "cli/cli.h"
#include "cli/judge.h"
#include "cli/repo.h"
#include "cli/sign.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reading a proposal: from a file, or from flags. */

struct proposal {
	char *id;
	char *path; /* vault/actions/<id>.json */
	char *ref;  /* refs/heads/vault/<id> */
	struct buf text;
	git_oid blob;
};

static void proposal_free(struct proposal *p)
{
	free(p->id);
	free(p->path);
	free(p->ref);
	buf_free(&p->text);
}
#define cleanup_proposal __attribute__((cleanup(proposal_free)))

/* What jansson would not take, and leave out without a word. */
static int check_texts(const struct args *args, struct err *err)
{
	for (size_t i = 0; i < args->n_given; i++) {
		const char *value = args->given[i].value;

		if (!value || strcmp(args->given[i].option->name, "config") == 0 || text_check(value, strlen(value), err) == 0)
			continue;
		err_wrap(err, "--%s", args->given[i].option->name);
		return CLI_USAGE;
	}
	return 0;
}

static json_t *strings(const struct args *args, const char *option)
{
	json_t *list = json_array();
	const char *value;

	for (size_t i = 0; (value = args_nth(args, option, i)); i++)
		json_array_append_new(list, json_string(value));
	return list;
}

static int add_inputs(const struct args *args, json_t *action, struct err *err)
{
	cleanup_json json_t *inputs = json_object();
	const char *value;

	for (size_t i = 0; (value = args_nth(args, "input", i)); i++) {
		const char *sign = strchr(value, '=');
		cleanup_free char *key = xasprintf("%.*s", (int)strcspn(value, "="), value);

		if (!sign || json_object_get(inputs, key)) {
			err_set(err, ERR_INVALID, sign ? "--input %s: is given twice" : "--input %s: write KEY=VALUE", key);
			return CLI_USAGE;
		}
		json_object_set_new(inputs, key, json_string(sign + 1));
	}
	if (json_object_size(inputs) > 0)
		json_object_set(action, "inputs", inputs);
	return 0;
}

/* The flags as an action; whether it is a good one is for action_parse to say. */
static int text_of_flags(const struct args *args, struct buf *ret, struct err *err)
{
	static const char *const needed[] = {"id", "formula", "context", NULL};
	static const char *const lists[][2] = {{"tool", "tools"}, {"mount", "mounts"}};
	cleanup_json json_t *action = json_object();
	cleanup_free char *text = NULL;
	int timeout, code = check_texts(args, err);

	if (code < 0)
		return code;
	for (size_t i = 0; needed[i]; i++) {
		if (!args_has(args, needed[i])) {
			err_set(err, ERR_INVALID, "--%s is missing; name a FILE, or give --id, --formula and --context", needed[i]);
			return CLI_USAGE;
		}
		json_object_set_new(action, needed[i], json_string(args_value(args, needed[i])));
	}
	json_object_set_new(action, "secrets", strings(args, "secret"));
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (args_has(args, lists[i][0]))
			json_object_set_new(action, lists[i][1], strings(args, lists[i][0]));
	if (add_inputs(args, action, err) < 0 || args_int(args, "timeout", 1, 1440, 0, &timeout, err) < 0)
		return CLI_USAGE;
	if (args_has(args, "model"))
		json_object_set_new(action, "model", json_string(args_value(args, "model")));
	if (timeout > 0)
		json_object_set_new(action, "timeout_minutes", json_integer(timeout));
	if (args_has(args, "blast-radius"))
		json_object_set_new(action, "blast_radius", json_string(args_value(args, "blast-radius")));
	text = json_pretty(action);
	buf_adds(ret, text);
	return 0;
}

static int text_of_file(const struct args *args, struct buf *ret, struct err *err)
{
	const char *file = args_operand(args, 0);

	for (size_t i = 0; i < args->n_given; i++) {
		const char *name = args->given[i].option->name;

		if (strcmp(name, "config") != 0 && strcmp(name, "json") != 0 && strcmp(name, "land") != 0) {
			err_set(err, ERR_INVALID, "--%s can't be given beside a FILE; write it into %s", name, file);
			return CLI_USAGE;
		}
	}
	if (strcmp(file, "-") == 0)
		return fd_read_all(STDIN_FILENO, ACTION_MAX_BYTES, ret, err);
	return file_read(file, ACTION_MAX_BYTES, ret, err);
}

static int read_proposal(const struct args *args, struct proposal *ret, struct err *err)
{
	static const struct json_limits limits = {ACTION_MAX_BYTES, 8};
	cleanup_json json_t *json = NULL;
	const char *file = args_operand(args, 0);
	const char *id;
	int code = file ? text_of_file(args, &ret->text, err) : text_of_flags(args, &ret->text, err);

	if (code < 0)
		return code;
	if (json_parse_strict(ret->text.data, ret->text.len, &limits, &json, err) < 0)
		return err_wrap(err, "%s", file ? file : "the action");
	id = json_string_value(json_object_get(json, "id"));
	if (!id || !vault_is_id(id))
		return err_set(err, ERR_INVALID, "%s: id: must be a string of %s", file ? file : "the action", VAULT_ID_RULE);
	ret->id = xstrdup(id);
	ret->path = vault_action_path(id);
	ret->ref = xasprintf(PROPOSAL_REFS "%s", id);
	if (git_odb_hash(&ret->blob, ret->text.data, ret->text.len, GIT_OBJECT_BLOB) < 0)
		return git_err(err, -1, "%s", ret->path);
	return 0;
}

/* 1: the branch is there and holds the same bytes; 0: there is none. */
static int find_same(const struct repo *r, const struct proposal *p, struct err *err)
{
	const git_oid *head = git_refs_find(&r->refs, p->ref);

	if (!head)
		return 0;
	return proposal_check_same(r->git, head, p->id, &p->blob, err) < 0 ? -1 : 1;
}

/* A commit on the tip that adds the action, judged as the dispatcher would judge it; ret_judged must be fresh. */
static int make_judged(const struct repo *r, const struct proposal *p, git_oid *ret, struct judged *ret_judged, struct err *err)
{
	cleanup_git(git_signature) git_signature *author = NULL;
	cleanup_action struct action action = ACTION_INIT;
	cleanup_free char *message = NULL;
	struct git_change change = {p->path, p->text.data, p->text.len};

	if (action_parse(p->id, p->text.data, p->text.len, &action, err) < 0 || repo_author(&author, err) < 0)
		return -1;
	message = proposal_message(&action);
	if (git_repo_commit(r->git, &r->tip, 1, &change, 1, author, message, ret, err) < 0 || judge(r, ret, p->id, ret_judged, err) < 0)
		return -1;
	return ret_judged->problem ? err_set(err, ERR_INVALID, "%s", ret_judged->problem) : 0;
}

/* The commit that lands it at once, which says that it is approved. */
static int make_landing(struct repo *r, void *arg, git_oid *ret, struct err *err)
{
	const struct proposal *p = arg;
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_git(git_signature) git_signature *author = NULL;
	cleanup_free char *message = NULL;
	struct git_change change = {p->path, p->text.data, p->text.len};

	if (proposal_check_free(r->git, &r->tip, p->id, err) < 0 || make_judged(r, p, ret, &judged, err) < 0 ||
	    repo_author(&author, err) < 0)
		return -1;
	message = proposal_message(&judged.action);
	const struct landing_commit commit = {&r->tip, 1, &change, 1, author, message, judged.verdict.approval == APPROVAL_SIGNED};
	return commit_landing(r->git, &commit, ret, err);
}

/* What came of it. */
struct proposed {
	const char *status; /* proposed, exists, landed */
	git_oid commit;
	struct forge_pull pull; /* .number 0: there is no forge */
};

static json_t *risk_of(const struct repo *r, const struct judged *j)
{
	cleanup_err struct err why = ERR_INIT;
	json_t *risk = j->action.json && j->formula.json ? risk_json(j, r->config) : NULL;

	if (risk && risk_add_last_run(risk, r->git, &r->tip, j, &why) < 0)
		note("propose: %s", err_msg(&why));
	return risk;
}

static void report_json(const struct proposal *p, const struct proposed *done, const json_t *risk, const char *hex)
{
	cleanup_json json_t *pull =
	    done->pull.number ? json_pack("{s:I, s:s}", "number", (json_int_t)done->pull.number, "url", done->pull.url) : NULL;
	cleanup_json json_t *all = json_pack("{s:s, s:s, s:s, s:s, s:O*, s:O?}", "id", p->id, "status", done->status, "branch",
	                                     p->ref + strlen("refs/heads/"), "commit", hex, "pull", pull, "risk", risk);

	print_json(all);
}

static void report_proposal(const struct args *args, const struct repo *r, const struct proposal *p, const json_t *risk,
                            const struct proposed *done)
{
	bool exists = strcmp(done->status, "exists") == 0;
	char hex[OID_TEXT];

	oid_text(&done->commit, hex);
	if (args_has(args, "json")) {
		report_json(p, done, risk, hex);
		return;
	}
	if (risk)
		risk_print(risk, stdout);
	if (strcmp(done->status, "landed") == 0) {
		printf("%s is landed on %s as %.10s: a dispatcher may run it now\n", p->id, r->config->branch, hex);
	} else if (done->pull.number) {
		cleanup_free char *url = safe_line(done->pull.url);

		printf("%s %s pull request %lld, %s: merging it approves it\n", p->id,
		       exists ? "is proposed already, same content, in" : "is proposed in", (long long)done->pull.number, url);
	} else {
		printf("%s %s branch vault/%s (%.10s); a human approves it with: disinto approve %s\n", p->id,
		       exists ? "is proposed already, same content, on" : "is proposed on", p->id, hex, p->id);
	}
}

/* Pushes the branch; somebody else's push of the same bytes in the same moment is as good. */
static int push_proposal(struct repo *r, const struct proposal *p, const git_oid *commit, const char **ret_status, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	int same;

	*ret_status = "proposed";
	if (repo_push_branch(r, commit, p->ref, &why) == 0)
		return 0;
	if (why.code != ERR_EXISTS) {
		err_move(err, &why);
		return -1;
	}
	same = find_same(r, p, err);
	*ret_status = "exists";
	return same < 0 ? -1 : 0;
}

/* The branch's pull request, where there is a forge. */
static int request(const struct repo *r, const struct proposal *p, const json_t *risk, struct proposed *done, struct err *err)
{
	cleanup_forge struct forge *forge = NULL;
	bool made;

	if (cli_forge(r->config, &forge, err) < 0)
		return -1;
	return forge ? forge_request_proposal(forge, r, p->id, risk, &done->pull, &made, err) : 0;
}

/* Lands it, or brings its branch and request about. */
static int carry_out(const struct args *args, struct repo *r, struct proposal *p, const json_t *risk, struct proposed *done,
                     struct err *err)
{
	int same = 0;

	if (args_has(args, "land")) {
		done->status = "landed";
		return repo_land(r, make_landing, p, &done->commit, err);
	}
	done->status = "exists";
	same = find_same(r, p, err);
	if (same < 0 || (same == 0 && push_proposal(r, p, &done->commit, &done->status, err) < 0))
		return -1;
	if (strcmp(done->status, "exists") == 0)
		done->commit = *git_refs_find(&r->refs, p->ref);
	return request(r, p, risk, done, err);
}

static int propose(const struct args *args, struct repo *r, struct proposal *p, struct err *err)
{
	cleanup_judged struct judged judged = JUDGED_INIT;
	cleanup_json json_t *risk = NULL;
	struct proposed done = {.status = NULL};

	if (proposal_check_free(r->git, &r->tip, p->id, err) < 0 || make_judged(r, p, &done.commit, &judged, err) < 0)
		return -1;
	risk = risk_of(r, &judged);
	int code = carry_out(args, r, p, risk, &done, err);
	if (code == 0)
		report_proposal(args, r, p, risk, &done);
	forge_pull_free(&done.pull);
	return code;
}

/* Through a dispatcher elsewhere, which judges it and pushes it. */
static int propose_there(const struct args *args, const struct config *config, const struct proposal *p, struct err *err)
{
	cleanup_api struct api api = API_INIT;
	cleanup_json json_t *action = json_loadb(p->text.data, p->text.len, JSON_REJECT_DUPLICATES, NULL);
	cleanup_json json_t *body = NULL;
	long status = 0;

	if (api_open(config, &api, err) < 0 || api_post(&api, "/dispatch", action, &status, &body, err) < 0)
		return -1;
	if (status != 202)
		return err_set(err, ERR_FAIL, "%s: %s", p->id, api_error(status, body));
	if (args_has(args, "json")) {
		print_json(body);
		return 0;
	}
	bool landed = text_of(body, "status") && strcmp(text_of(body, "status"), "dispatched") == 0;
	cleanup_free char *url = safe_line(text_of(body, "url"));
	printf("%s is %s%s%s\n", p->id, landed ? "landed: policy lets the dispatcher land it itself" : "proposed: a human approves it",
	       *url ? " in " : "", url);
	return 0;
}

int cmd_propose(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_proposal struct proposal proposal = {.text = BUF_INIT};
	int code = read_proposal(args, &proposal, err);

	if (code < 0)
		return code;
	if (cli_site(args, &config, err) < 0)
		return CLI_FAILED;
	if (!cli_has_repo(&config) && args_has(args, "land")) {
		err_set(err, ERR_INVALID,
		        "--land: a dispatcher elsewhere lands nothing for anybody; it takes a configuration that names the ops repo");
		return CLI_USAGE;
	}
	if (!cli_has_repo(&config))
		return propose_there(args, &config, &proposal, err) < 0 ? CLI_FAILED : CLI_DONE;
	if (repo_ready(&config, &repo, err) < 0 || propose(args, &repo, &proposal, err) < 0)
		return CLI_FAILED;
	return CLI_DONE;
}
