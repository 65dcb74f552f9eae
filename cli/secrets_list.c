/*
 * secrets list: what can be said of the secrets without opening one.
 */
#include "cli/secrets.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include <stdlib.h>
#include <string.h>

struct secret {
	char *name; /* of the secret; of the file where that is none */
	bool misnamed;
	git_oid blob;
	size_t size;        /* of the age file */
	int recipients;     /* -1: not known */
	int64_t changed_ms; /* 0: not found yet */
	char *by;
};

struct secrets {
	struct secret *v;
	size_t n;
};

static void secrets_free(struct secrets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].name);
		free(s->v[i].by);
	}
	free(s->v);
}

static void add_secret(const struct repo *r, const git_tree_entry *entry, struct secrets *ret)
{
	cleanup_buf struct buf file = BUF_INIT;
	const git_oid *blob = git_tree_entry_id(entry);
	struct age_facts facts;
	struct secret *s;

	if (strcmp(git_tree_entry_name(entry), ".gitkeep") == 0)
		return;
	ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(*ret->v));
	s = &ret->v[ret->n++];
	*s = (struct secret){.blob = *blob, .recipients = -1};
	s->name = secrets_name_of(git_tree_entry_name(entry));
	s->misnamed = !s->name;
	if (s->misnamed)
		s->name = xstrdup(git_tree_entry_name(entry));
	if (git_repo_blob(r->git, blob, OPS_SECRET_MAX_BYTES, &file, NULL) == 0) {
		s->size = file.len;
		s->recipients = age_examine(file.data, file.len, &facts, NULL) == 0 ? (int)facts.n_recipients : -1;
	}
}

/* Marks what this commit brought: what its first parent's folder (or NULL) does not hold likewise. */
static size_t mark_changed(struct secrets *s, const git_commit *commit, const git_tree *before)
{
	size_t open = 0;

	for (size_t i = 0; i < s->n; i++) {
		cleanup_free char *file = xasprintf("%s%s", s->v[i].name, s->v[i].misnamed ? "" : ".age");
		const git_tree_entry *entry = before ? git_tree_entry_byname(before, file) : NULL;

		if (s->v[i].changed_ms)
			continue;
		if (entry && git_oid_equal(git_tree_entry_id(entry), &s->v[i].blob)) {
			open++;
			continue;
		}
		s->v[i].changed_ms = (int64_t)git_commit_time(commit) * 1000;
		s->v[i].by = xstrdup(git_commit_author(commit)->name);
	}
	return open;
}

/* Walks back along first parents until the last change of every secret is found. */
static int find_changes(const struct repo *r, struct secrets *s, struct err *err)
{
	cleanup_git(git_commit) git_commit *commit = NULL;
	size_t open = s->n;

	if (git_commit_lookup(&commit, r->git, &r->tip) < 0)
		return git_err(err, -1, "history");
	while (open > 0) {
		cleanup_git(git_commit) git_commit *parent = NULL;
		cleanup_git(git_tree) git_tree *before = NULL;
		git_commit *child = commit;

		if (git_commit_parentcount(commit) > 0) {
			if (git_commit_parent(&parent, commit, 0) < 0)
				return git_err(err, -1, "history");
			if (secrets_tree(r, git_commit_id(parent), &before, err) < 0)
				return -1;
		}
		open = mark_changed(s, commit, before);
		commit = steal_ptr(&parent);
		git_commit_free(child);
		if (!commit)
			break;
	}
	return 0;
}

static int collect(const struct repo *r, struct secrets *ret, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;

	if (secrets_tree(r, &r->tip, &tree, err) < 0)
		return -1;
	for (size_t i = 0; tree && i < git_tree_entrycount(tree); i++)
		add_secret(r, git_tree_entry_byindex(tree, i), ret);
	return ret->n > 0 ? find_changes(r, ret, err) : 0;
}

static json_t *to_json(const struct secrets *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++) {
		const struct secret *one = &s->v[i];
		char time[21];
		char hex[OID_TEXT];
		json_t *row = json_pack("{s:s, s:s, s:I, s:s, s:s?}", "name", one->name, "blob", oid_text(&one->blob, hex), "bytes",
		                        (json_int_t)one->size, "changed", time_format(one->changed_ms, time), "by", one->by);

		if (!row) /* a name that is no UTF-8 */
			continue;
		json_object_set_new(row, "recipients", one->recipients < 0 ? json_null() : json_integer(one->recipients));
		json_object_set_new(row, "misnamed", json_boolean(one->misnamed));
		json_array_append_new(list, row);
	}
	return list;
}

static void print_table(const struct secrets *s)
{
	static const char *const headers[] = {"NAME", "BYTES", "RECIPIENTS", "CHANGED", "BY", NULL};
	cleanup_table struct table table;
	int64_t now = now_wall_ms();

	table_init(&table, headers);
	for (size_t i = 0; i < s->n; i++) {
		const struct secret *one = &s->v[i];
		cleanup_free char *size = xasprintf("%zu", one->size);
		cleanup_free char *recipients = one->recipients < 0 ? NULL : xasprintf("%d", one->recipients);
		cleanup_free char *name = xasprintf("%s%s", one->name, one->misnamed ? " (misnamed: nothing can use it)" : "");
		char when[32];

		table_add(&table, (const char *const[]){name, size, recipients, ago(one->changed_ms, now, when), one->by});
	}
	table_print(&table, stdout);
}

int cmd_secrets_list(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	__attribute__((cleanup(secrets_free))) struct secrets secrets = {NULL, 0};

	if (cli_config(args, &config, err) < 0 || repo_ready(&config, &repo, err) < 0 || collect(&repo, &secrets, err) < 0)
		return CLI_FAILED;
	if (args_has(args, "json")) {
		cleanup_json json_t *list = to_json(&secrets);

		return print_json(list);
	}
	if (secrets.n == 0)
		note("secrets list: there are none; add one with: disinto secrets add NAME");
	else
		print_table(&secrets);
	return CLI_DONE;
}
