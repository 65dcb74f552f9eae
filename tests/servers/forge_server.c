/*
 * A forge for the end-to-end tests: what tests/forge.h checks and does not remember, this remembers, beside a real bare repository on which it
 * merges. Pull requests, reviews, comments, labels, statuses, branch protection.
 *
 *   forge_server REPO OWNER/NAME USERS URL-FILE VIOLATIONS      until it is ended
 * USERS: lines "TOKEN LOGIN". URL-FILE gets the address once it serves; VIOLATIONS the first call that the API's description does not allow.
 */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/git_repo.h"
#include "tests/forge.h"

#include <git2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct server {
	git_repository *git;
	const char *repo;    /* "owner/name" */
	char *prefix;        /* "/repos/owner/name" */
	json_t *users;       /* token -> login */
	json_t *pulls;       /* [{…, reviews, comments}] as the API shows them */
	json_t *labels;      /* [{id, name}] */
	json_t *statuses;    /* commit -> [newest first] */
	json_t *protections; /* branch -> rule */
	const char *login;   /* of the present call */
};

static json_t *fail(unsigned *ret_status, unsigned status, const char *message)
{
	*ret_status = status;
	return json_pack("{s:s}", "message", message);
}

static bool branch_oid(const struct server *s, const char *branch, git_oid *ret)
{
	cleanup_free char *ref = xasprintf("refs/heads/%s", branch);

	return git_reference_name_to_id(ret, s->git, ref) == 0;
}

static const char *text(const json_t *o, const char *key)
{
	const char *v = json_string_value(json_object_get(o, key));
	return v ? v : "";
}

/* A request that is open has the head that its branch has now; reviews of another one are stale. */
static void refresh(const struct server *s, json_t *pull)
{
	json_t *head = json_object_get(pull, "head"), *review;
	char hex[GIT_OID_HEXSZ + 1];
	git_oid oid;
	size_t i;

	if (strcmp(text(pull, "state"), "open") != 0 || !branch_oid(s, text(head, "ref"), &oid))
		return;
	git_oid_tostr(hex, sizeof(hex), &oid);
	json_object_set_new(head, "sha", json_string(hex));
	json_array_foreach (json_object_get(pull, "reviews"), i, review)
		json_object_set_new(review, "stale", json_boolean(strcmp(text(review, "commit_id"), hex) != 0));
	cleanup_free char *ref = xasprintf("refs/pull/%d/head", (int)json_integer_value(json_object_get(pull, "number")));
	git_reference *made = NULL;
	git_reference_create(&made, s->git, ref, &oid, 1, NULL);
	git_reference_free(made);
}

static json_t *pull_open(struct server *s, const json_t *body, unsigned *ret_status)
{
	int number = (int)json_array_size(s->pulls) + 1;
	git_oid oid;
	json_t *other;
	size_t i;

	if (!branch_oid(s, text(body, "head"), &oid) || !branch_oid(s, text(body, "base"), &oid))
		return fail(ret_status, 404, "branch does not exist");
	json_array_foreach (s->pulls, i, other)
		if (strcmp(text(other, "state"), "open") == 0 &&
		    strcmp(text(json_object_get(other, "head"), "ref"), text(body, "head")) == 0)
			return fail(ret_status, 409, "pull request already exists for these targets");
	cleanup_free char *url = xasprintf("https://forge.example/%s/pulls/%d", s->repo, number);
	json_t *pull =
	    json_pack("{s:i, s:s, s:s, s:s, s:s, s:{s:s}, s:{s:s, s:s, s:i}, s:{s:s, s:i}, s:b, s:n, s:[], s:[], s:O?}", "number", number,
	              "html_url", url, "state", "open", "title", text(body, "title"), "body", text(body, "body"), "user", "login", s->login,
	              "head", "ref", text(body, "head"), "sha", "", "repo_id", 1, "base", "ref", text(body, "base"), "repo_id", 1, "merged",
	              0, "merge_commit_sha", "reviews", "comments", "label_ids", json_object_get(body, "labels"));
	json_array_append_new(s->pulls, pull);
	refresh(s, pull);
	*ret_status = 201;
	return json_incref(pull);
}

static json_t *review(struct server *s, json_t *pull, const json_t *body, unsigned *ret_status)
{
	const char *author = text(json_object_get(pull, "user"), "login");

	if (strcmp(author, s->login) == 0)
		return fail(ret_status, 422, "approve your own pull is not allowed");
	json_t *made = json_pack("{s:{s:s}, s:s, s:s, s:b, s:b, s:b}", "user", "login", s->login, "state", text(body, "event"), "commit_id",
	                         text(body, "commit_id"), "official", 1, "stale", 0, "dismissed", 0);
	json_array_append(json_object_get(pull, "reviews"), made);
	*ret_status = 200;
	return made;
}

/* 0, and the branch has the merge. */
static int merge_now(const struct server *s, const git_oid *base, const git_oid *head, const char *branch, const char *message,
                     git_oid *ret)
{
	cleanup_git(git_commit) git_commit *ours = NULL;
	cleanup_git(git_commit) git_commit *theirs = NULL;
	cleanup_git(git_tree) git_tree *tree = NULL;
	cleanup_git(git_signature) git_signature *who = NULL;
	cleanup_free char *ref = xasprintf("refs/heads/%s", branch);
	git_index *index = NULL;
	git_oid tree_oid;
	int code = -1;

	if (git_commit_lookup(&ours, s->git, base) == 0 && git_commit_lookup(&theirs, s->git, head) == 0 &&
	    git_merge_commits(&index, s->git, ours, theirs, NULL) == 0 && !git_index_has_conflicts(index) &&
	    git_index_write_tree_to(&tree_oid, index, s->git) == 0 && git_tree_lookup(&tree, s->git, &tree_oid) == 0 &&
	    git_signature_now(&who, s->login, "noreply@forge.example") == 0) {
		const git_commit *parents[] = {ours, theirs};
		code = git_commit_create(ret, s->git, ref, who, who, NULL, message, tree, 2, parents);
	}
	git_index_free(index);
	return code;
}

static void drop_branch(const struct server *s, const char *branch)
{
	cleanup_free char *ref = xasprintf("refs/heads/%s", branch);
	git_reference *r = NULL;

	if (git_reference_lookup(&r, s->git, ref) == 0)
		git_reference_delete(r);
	git_reference_free(r);
}

static json_t *merge(struct server *s, json_t *pull, const json_t *body, unsigned *ret_status)
{
	const json_t *head = json_object_get(pull, "head");
	const char *base = text(json_object_get(pull, "base"), "ref");
	cleanup_free char *message = xasprintf("%s\n\n%s\n", text(body, "MergeTitleField"), text(body, "MergeMessageField"));
	git_oid base_oid, head_oid, merged;
	char hex[GIT_OID_HEXSZ + 1];

	if (strcmp(text(pull, "state"), "open") != 0)
		return fail(ret_status, 405, "the pull request is closed");
	if (*text(body, "head_commit_id") && strcmp(text(body, "head_commit_id"), text(head, "sha")) != 0)
		return fail(ret_status, 409, "head out of date");
	if (!branch_oid(s, base, &base_oid) || git_oid_fromstr(&head_oid, text(head, "sha")) < 0 ||
	    merge_now(s, &base_oid, &head_oid, base, message, &merged) < 0)
		return fail(ret_status, 409, "merge conflict");
	git_oid_tostr(hex, sizeof(hex), &merged);
	json_object_set_new(pull, "state", json_string("closed"));
	json_object_set_new(pull, "merged", json_true());
	json_object_set_new(pull, "merge_commit_sha", json_string(hex));
	if (json_is_true(json_object_get(body, "delete_branch_after_merge")))
		drop_branch(s, text(head, "ref"));
	*ret_status = 200;
	return json_object();
}

static json_t *open_pulls(const struct server *s)
{
	json_t *list = json_array(), *pull;
	size_t i;

	json_array_foreach (s->pulls, i, pull)
		if (strcmp(text(pull, "state"), "open") == 0)
			json_array_append(list, pull);
	return list;
}

static json_t *merged_as(const struct server *s, const char *commit)
{
	json_t *pull;
	size_t i;

	json_array_foreach (s->pulls, i, pull)
		if (strcmp(text(pull, "merge_commit_sha"), commit) == 0)
			return json_incref(pull);
	return NULL;
}

static json_t *on_pull(struct server *s, const struct fake_forge_call *c, long number, const char *rest, unsigned *ret_status)
{
	bool post = strcmp(c->method, "POST") == 0;
	json_t *pull = number > 0 ? json_array_get(s->pulls, (size_t)number - 1) : NULL;

	if (!pull)
		return fail(ret_status, 404, "no such pull request");
	refresh(s, pull);
	if (strcmp(rest, "/reviews") == 0)
		return post ? review(s, pull, c->body, ret_status) : json_incref(json_object_get(pull, "reviews"));
	if (strcmp(rest, "/merge") == 0 && post)
		return merge(s, pull, c->body, ret_status);
	if (!*rest && strcmp(c->method, "PATCH") == 0)
		json_object_update_existing(pull, (json_t *)(uintptr_t)c->body);
	if (strcmp(rest, "/comments") == 0 && post) {
		json_array_append_new(json_object_get(pull, "comments"),
		                      json_pack("{s:s, s:{s:s}}", "body", text(c->body, "body"), "user", "login", s->login));
		*ret_status = 201;
	}
	return json_incref(strcmp(rest, "/comments") == 0 ? json_object_get(pull, "comments") : pull);
}

/* An element of a named list that is made by a POST: labels and statuses. */
static json_t *on_list(json_t *list, const struct fake_forge_call *c, unsigned *ret_status)
{
	if (strcmp(c->method, "POST") != 0)
		return json_incref(list);
	json_t *made = json_deep_copy(c->body);
	json_object_set_new(made, "id", json_integer((json_int_t)json_array_size(list) + 1));
	json_object_set(made, "status", json_object_get(made, "state"));
	json_array_insert(list, 0, made);
	*ret_status = 201;
	return made;
}

static json_t *on_protection(struct server *s, const struct fake_forge_call *c, const char *name, unsigned *ret_status)
{
	const char *branch = *name ? name + 1 : text(c->body, "rule_name");
	json_t *rule = json_object_get(s->protections, branch);

	if (strcmp(c->method, "POST") == 0) {
		json_object_set_new(s->protections, branch, json_deep_copy(c->body));
		*ret_status = 201;
		return json_deep_copy(c->body);
	}
	if (rule && strcmp(c->method, "PATCH") == 0)
		json_object_update(rule, (json_t *)(uintptr_t)c->body);
	return rule ? json_incref(rule) : fail(ret_status, 404, "no such protection");
}

static json_t *on_repo(struct server *s, const struct fake_forge_call *c, const char *path, unsigned *ret_status)
{
	char *rest = NULL;
	json_t *found;

	if (strncmp(path, "/pulls/", 7) == 0 || strncmp(path, "/issues/", 8) == 0) {
		long number = strtol(strchr(path + 1, '/') + 1, &rest, 10);
		return on_pull(s, c, number, rest, ret_status);
	}
	if (strcmp(path, "/pulls") == 0) {
		json_t *pull;
		size_t i;
		json_array_foreach (s->pulls, i, pull)
			refresh(s, pull);
		return strcmp(c->method, "POST") == 0 ? pull_open(s, c->body, ret_status) : open_pulls(s);
	}
	if (strcmp(path, "/labels") == 0)
		return on_list(s->labels, c, ret_status);
	if (strncmp(path, "/statuses/", 10) == 0) {
		if (!json_object_get(s->statuses, path + 10))
			json_object_set_new(s->statuses, path + 10, json_array());
		return on_list(json_object_get(s->statuses, path + 10), c, ret_status);
	}
	if (strncmp(path, "/commits/", 9) == 0) {
		cleanup_free char *commit = xasprintf("%.40s", path + 9);
		found = merged_as(s, commit);
		return found ? found : fail(ret_status, 404, "no pull request");
	}
	if (strncmp(path, "/branch_protections", 19) == 0)
		return on_protection(s, c, path + 19, ret_status);
	return *path ? NULL : json_pack("{s:s}", "full_name", s->repo);
}

static json_t *on_call(void *arg, const struct fake_forge_call *c, unsigned *ret_status)
{
	struct server *s = arg;

	s->login = text(s->users, c->token);
	*ret_status = 200;
	if (!*s->login)
		return fail(ret_status, 401, "token is required");
	if (strcmp(c->path, "/user") == 0)
		return json_pack("{s:s}", "login", s->login);
	if (strncmp(c->path, s->prefix, strlen(s->prefix)) == 0)
		return on_repo(s, c, c->path + strlen(s->prefix), ret_status);
	return NULL;
}

static int read_users(const char *file, json_t *users)
{
	cleanup_file FILE *f = fopen(file, "re");
	char token[128], login[128];

	while (f && fscanf(f, "%127s %127s", token, login) == 2)
		json_object_set_new(users, token, json_string(login));
	return json_object_size(users) > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct server s = {
	    .users = json_object(), .pulls = json_array(), .labels = json_array(), .statuses = json_object(), .protections = json_object()};
	struct fake_forge *f = fake_forge_start(NULL);
	cleanup_free char *address = NULL;
	sigset_t end;
	int sig;

	git_libgit2_init();
	if (argc != 6 || !f || read_users(argv[3], s.users) < 0 || git_repository_open_bare(&s.git, argv[1]) < 0) {
		fprintf(stderr, "usage: forge_server REPO OWNER/NAME USERS URL-FILE VIOLATIONS\n");
		return 2;
	}
	s.repo = argv[2];
	s.prefix = xasprintf("/repos/%s", argv[2]);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigprocmask(SIG_BLOCK, &end, NULL);
	fake_forge_on(f, on_call, &s);
	address = xasprintf("%s\n", fake_forge_url(f));
	if (file_write(argv[4], address, strlen(address), 0644, NULL) < 0)
		return 1;
	sigwait(&end, &sig);
	const char *violation = fake_forge_violation(f);
	if (violation)
		file_write(argv[5], violation, strlen(violation), 0644, NULL);
	fake_forge_stop(f);
	git_repository_free(s.git);
	free(s.prefix);
	json_decref(s.users);
	json_decref(s.pulls);
	json_decref(s.labels);
	json_decref(s.statuses);
	json_decref(s.protections);
	return 0;
}
