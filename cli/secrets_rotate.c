/*
 * secrets rotate: all secrets encrypted to the present recipients, in one commit.
 */
#include "cli/secrets.h"
#include "cli/through_forge.h"
#include "lib/cleanup.h"
#include "vault/ops/ops_names.h"
#include <stdlib.h>
#include <string.h>

struct rotation {
	const struct age_identities *ids;
	struct age_recipients to; /* of the tip that was looked at last, like all that follows */
	char digest[AGE_DIGEST_ROOM];
	struct sealed files;
	json_t *rotated;   /* [{name, was, recipients, why}] */
	json_t *unchanged; /* [name] */
	json_t *left;      /* [file]: no secret's */
};

static void rotation_free(struct rotation *t)
{
	age_recipients_free(&t->to);
	sealed_free(&t->files);
	json_decref(t->rotated);
	json_decref(t->unchanged);
	json_decref(t->left);
}

static void begin(struct rotation *t)
{
	const struct age_identities *ids = t->ids;

	rotation_free(t);
	*t = (struct rotation){.ids = ids, .rotated = json_array(), .unchanged = json_array(), .left = json_array()};
}

/* What the file says of itself, now that it was opened and so is proven. NULL: it is as `secrets add` would make it today. */
static const char *why_anew(const struct rotation *t, const struct age_facts *facts)
{
	if (!facts->name[0])
		return "did not say its name";
	if (!facts->digest[0])
		return "did not say whom it is for";
	return strcmp(facts->digest, t->digest) == 0 ? NULL : "was for others";
}

static int rotate_one(const struct repo *r, struct rotation *t, struct ops_names *names, const char *name, struct err *err)
{
	cleanup_free char *path = vault_secret_path(name);
	cleanup_guarded unsigned char *value = NULL;
	cleanup_buf struct buf file = BUF_INIT;
	struct age_facts facts;
	size_t len = 0;

	if (repo_file(r, &r->tip, path, OPS_SECRET_MAX_BYTES, &file, err) < 0 ||
	    ops_names_secret(names, &r->tip, name, file.data, file.len, err) < 0)
		return -1;
	if (age_decrypt(t->ids, name, file.data, file.len, SECRET_MAX_BYTES, &value, &len, err) < 0 ||
	    age_examine(file.data, file.len, &facts, err) < 0)
		return err_wrap(err, "%s", path);
	const char *why = why_anew(t, &facts);
	if (!why) {
		json_array_append_new(t->unchanged, json_string(name));
		return 0;
	}
	json_array_append_new(t->rotated, json_pack("{s:s, s:I, s:I, s:s}", "name", name, "was", (json_int_t)facts.n_recipients,
	                                            "recipients", (json_int_t)t->to.n, "why", why));
	return sealed_add(&t->files, &t->to, name, value, len, err);
}

/* All secrets of the tip; the first that can't be opened ends it. */
static int collect(const struct repo *r, struct rotation *t, struct err *err)
{
	cleanup_git(git_tree) git_tree *tree = NULL;
	cleanup_ops_names struct ops_names *names = ops_names_new(r->git);

	begin(t);
	if (secrets_recipients(r, &r->tip, &t->to, err) < 0 || secrets_tree(r, &r->tip, &tree, err) < 0)
		return -1;
	age_recipients_digest(&t->to, t->digest);
	for (size_t i = 0; tree && i < git_tree_entrycount(tree); i++) {
		const char *file = git_tree_entry_name(git_tree_entry_byindex(tree, i));
		cleanup_free char *name = secrets_name_of(file);

		if (!name && strcmp(file, ".gitkeep") != 0)
			json_array_append_new(t->left, json_string(file));
		if (name && rotate_one(r, t, names, name, err) < 0)
			return -1;
	}
	return 0;
}

/* The lines let `secrets exposure` see that the values stayed what they were. */
static char *message(const struct rotation *t)
{
	struct buf text = BUF_INIT;
	const json_t *row;
	size_t i, n = json_array_size(t->rotated);

	buf_addf(&text, "vault: encrypt %zu secret%s to the present recipients\n\n", n, n == 1 ? "" : "s");
	json_array_foreach (t->rotated, i, row) {
		buf_addf(&text, SECRETS_ROTATED "%s\n", text_of(row, "name"));
	}
	return buf_steal(&text);
}

/* Each value is opened once more from the old commit and from the new one: two at a time are in memory. */
static int verify(const struct repo *r, const struct rotation *t, const git_oid *commit, struct err *err)
{
	const json_t *row;
	size_t i;

	json_array_foreach (t->rotated, i, row) {
		const char *name = text_of(row, "name");
		cleanup_guarded unsigned char *value = NULL;
		size_t len = 0;

		if (secrets_open(r, &r->tip, t->ids, name, &value, &len, err) < 0 ||
		    secrets_verify(r, commit, t->ids, name, value, len, err) < 0)
			return -1;
	}
	return 0;
}

static int make_rotation(struct repo *r, void *arg, git_oid *ret, struct err *err)
{
	struct rotation *t = arg;

	if (collect(r, t, err) < 0)
		return -1;
	if (t->files.n == 0)
		return err_set(err, ERR_EXISTS, "somebody else did the same at the same moment: nothing is left to do");
	cleanup_free char *text = message(t);
	return sealed_commit(&t->files, r, text, ret, err) < 0 || verify(r, t, ret, err) < 0 ? -1 : 0;
}

static void tell(const struct rotation *t)
{
	const json_t *row;
	size_t i;

	json_array_foreach (t->rotated, i, row) {
		note("secrets rotate: %s %s: encrypted to %lld (was: %lld)", text_of(row, "name"), text_of(row, "why"),
		     (long long)json_integer_value(json_object_get(row, "recipients")),
		     (long long)json_integer_value(json_object_get(row, "was")));
	}
	json_array_foreach (t->left, i, row) {
		cleanup_free char *file = safe_line(json_string_value(row));

		note("secrets rotate: " VAULT_SECRETS "/%s was left alone: it is no secret's file", file);
	}
}

/* landed NULL: nothing had to be done. */
static int report(const struct args *args, const struct repo *r, const struct rotation *t, const struct landed_change *landed)
{
	size_t unchanged = json_array_size(t->unchanged), rotated = json_array_size(t->rotated);
	char hex[OID_TEXT] = "";

	if (landed)
		oid_text(&landed->commit, hex);
	if (args_has(args, "json")) {
		cleanup_json json_t *all = json_pack("{s:s?, s:O, s:O, s:O}", "commit", landed ? hex : NULL, "rotated", t->rotated,
		                                     "unchanged", t->unchanged, "misnamed", t->left);

		return print_json(all);
	}
	tell(t);
	if (landed) {
		cleanup_free char *where = landed_text(r, landed);
		note("secrets rotate: %zu encrypted anew, %zu were up to date; %s. Who had the old files keeps what they held: change "
		     "values at "
		     "their source where somebody left",
		     rotated, unchanged, where);
	} else if (unchanged > 0)
		note("secrets rotate: nothing to do: %s encrypted to the present %zu of " VAULT_RECIPIENTS,
		     unchanged == 1 ? "the one secret is" : "all secrets are", t->to.n);
	else
		note("secrets rotate: nothing to do: there are no secrets");
	return CLI_DONE;
}

int cmd_secrets_rotate(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_identities struct age_identities *ids = NULL;
	__attribute__((cleanup(rotation_free))) struct rotation t = {.ids = NULL};
	struct landed_change landed = {.pull = {0}};

	if (cli_config(args, &config, err) < 0 || secrets_identities(&config, NULL, &ids, err) < 0 || repo_ready(&config, &repo, err) < 0)
		return CLI_FAILED;
	t.ids = ids;
	if (collect(&repo, &t, err) < 0)
		return CLI_FAILED;
	if (t.files.n == 0)
		return report(args, &repo, &t, NULL);
	if (land_or_request(args, &repo, make_rotation, &t, "vault: rotate secrets", &landed, err) < 0)
		return CLI_FAILED;
	int code = report(args, &repo, &t, &landed);
	forge_pull_free(&landed.pull);
	return code;
}
