/*
 * init --from-shell-dispatcher: what an old site holds, into the new one. Secrets go where they belong, since they run nothing. Actions and formulas become files beside the
 * site: what runs is for a person to propose, one by one.
 */
#include "cli/cli.h"
#include "cli/site.h"
#include "cli/take_over.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/toml.h"
#include "vault/action.h"
#include "vault/name.h"
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1024 * 1024)
#define RESULT ".result.json"
#define MAX_SECRETS 256

struct takeover {
	const char *old, *to;
	json_t *done, *left; /* lines for people */
};

static void takeover_free(struct takeover *t)
{
	json_decref(t->done);
	json_decref(t->left);
}

static void add_line(json_t *lines, const char *where, const char *what)
{
	json_array_append_new(lines, json_sprintf("%s: %s", where, what));
}

static bool ends_with(const char *s, const char *suffix)
{
	return strlen(s) > strlen(suffix) && strcmp(s + strlen(s) - strlen(suffix), suffix) == 0;
}

/* The names in a folder that end so, sorted. None where there is no such folder. Caller owns. */
static json_t *names_in(const char *folder, const char *suffix)
{
	json_t *names = json_array();
	struct dirent **entries = NULL;
	int n = scandir(folder, &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (ends_with(entries[i]->d_name, suffix))
			json_array_append_new(names, json_string(entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
	return names;
}

/* secrets/NAME.enc */

static int migrate(const struct takeover *t, const char *folder, const char *identity, const json_t *files, struct err *err)
{
	cleanup_free char *config = path_join(t->to, "dispatcher.yaml");
	const char *argv[MAX_SECRETS + 8] = {folder, "--config", config, "--identity", identity, "--land"};
	cleanup_json json_t *names = json_array();
	static const char *const words[] = {"secrets", "migrate"};
	cleanup_args struct args args = ARGS_INIT;
	const json_t *file;
	size_t i, argc = 6, ignored;

	json_array_foreach (files, i, file) {
		json_array_append_new(names, json_sprintf("%.*s", (int)json_string_length(file) - 4, json_string_value(file)));
		if (argc < MAX_SECRETS + 6)
			argv[argc++] = json_string_value(json_array_get(names, i));
	}
	if (args_parse(command_find(2, words, &ignored), argc, (char *const *)argv, &args, err) < 0)
		return -1;
	return cmd_secrets_migrate(&args, err) == CLI_DONE ? 0 : -1;
}

/* Those whose names can be secrets' here; the others are left. Caller owns. */
static json_t *usable_secrets(struct takeover *t, const json_t *files)
{
	json_t *usable = json_array(), *file;
	size_t i;

	json_array_foreach (files, i, file) {
		cleanup_free char *name = xasprintf("%.*s", (int)json_string_length(file) - 4, json_string_value(file));
		cleanup_free char *where = xasprintf("secrets/%s", json_string_value(file));

		if (!vault_is_secret(name))
			add_line(t->left, where, "no name of a secret: " VAULT_SECRET_RULE);
		else if (json_array_size(usable) == MAX_SECRETS)
			add_line(t->left, where, "so many are not taken at once; `disinto secrets migrate` takes the rest");
		else
			json_array_append(usable, file);
	}
	return usable;
}

static void take_secrets(struct takeover *t, const char *identity)
{
	cleanup_free char *folder = path_join(t->old, "secrets");
	cleanup_json json_t *files = names_in(folder, ".enc");
	cleanup_json json_t *usable = usable_secrets(t, files);
	cleanup_err struct err why = ERR_INIT;
	const json_t *file;
	size_t i;
	bool done;

	if (json_array_size(usable) == 0)
		return;
	if (!identity)
		err_set(&why, ERR_FAIL, "needs the age identity that opens it: disinto secrets migrate -i IDENTITY %s", folder);
	done = identity && migrate(t, folder, identity, usable, &why) == 0;
	json_array_foreach (usable, i, file) {
		cleanup_free char *where = xasprintf("secrets/%s", json_string_value(file));

		add_line(done ? t->done : t->left, where, done ? "in the ops repo, encrypted to the new recipients" : err_msg(&why));
	}
}

/* Actions and formulas */

struct kind {
	const char *to; /* folder below taken-over/ */
	const char *suffix;
	int (*convert)(const char *name, json_t *old, struct buf *ret, json_t *left, struct err *err);
};
static const struct kind an_action = {"actions", ".json", take_over_action}, a_formula = {"formulas", ".yaml", take_over_formula};

static int read_old(const char *path, json_t **ret, struct err *err)
{
	static const struct json_limits limits = {FILE_MAX, 16};
	cleanup_buf struct buf text = BUF_INIT;

	if (file_read(path, FILE_MAX, &text, err) < 0)
		return -1;
	if (ends_with(path, ".json"))
		return json_parse_strict(text.data, text.len, &limits, ret, err);
	return toml_parse(text.data, text.len, &limits, ret, err);
}

static int convert(const struct takeover *t, const struct kind *kind, const char *name, const char *path, json_t *left, struct err *err)
{
	cleanup_json json_t *old = NULL;
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *folder = xasprintf("%s/taken-over/%s", t->to, kind->to);
	cleanup_free char *to = xasprintf("%s/%s%s", folder, name, kind->suffix);

	if (read_old(path, &old, err) < 0)
		return -1;
	if (!json_is_object(old))
		return err_set(err, ERR_INVALID, "is no object");
	if (kind->convert(name, old, &text, left, err) < 0 || dir_make(folder, 0755, err) < 0)
		return -1;
	return file_write(to, text.data, text.len, 0644, err);
}

static void take_file(struct takeover *t, const struct kind *kind, const char *folder, const char *file)
{
	cleanup_free char *where = xasprintf("%s/%s", folder, file);
	cleanup_free char *path = path_join(t->old, where);
	cleanup_free char *name = xasprintf("%.*s", (int)(strrchr(file, '.') - file), file);
	cleanup_free char *result = xasprintf("%s/%s/%s" RESULT, t->old, folder, name);
	cleanup_free char *made = xasprintf("taken-over/%s/%s%s", kind->to, name, kind->suffix);
	cleanup_json json_t *left = json_array();
	cleanup_err struct err why = ERR_INIT;
	const json_t *line;
	struct stat st;
	size_t i;

	if (kind == &an_action && stat(result, &st) == 0) {
		add_line(t->left, where, "has run; it is history");
		return;
	}
	if (convert(t, kind, name, path, left, &why) < 0) {
		add_line(t->left, where, err_msg(&why));
		return;
	}
	add_line(t->done, where, made);
	json_array_foreach (left, i, line)
		add_line(t->left, where, json_string_value(line));
}

static void take_folder(struct takeover *t, const struct kind *kind, const char *folder, const char *suffix)
{
	cleanup_free char *path = path_join(t->old, folder);
	cleanup_json json_t *files = names_in(path, suffix);
	const json_t *file;
	size_t i;

	json_array_foreach (files, i, file) {
		const char *name = json_string_value(file);

		if (!ends_with(name, RESULT))
			take_file(t, kind, folder, name);
	}
}

/* What a shell ran: a person knows which of it belongs into a step. */
static void list_scripts(struct takeover *t, const char *folder)
{
	cleanup_free char *path = path_join(t->old, folder);
	cleanup_json json_t *files = names_in(path, ".sh");
	const json_t *file;
	size_t i;

	json_array_foreach (files, i, file) {
		cleanup_free char *where = xasprintf("%s/%s", folder, json_string_value(file));

		add_line(t->left, where, "a script; put what it does into the `run` of a formula's step");
	}
}

static void print_lines(const char *title, const json_t *lines)
{
	const json_t *line;
	size_t i;

	if (json_array_size(lines) > 0)
		printf("\n%s\n", title);
	json_array_foreach (lines, i, line) {
		cleanup_free char *safe = safe_line(json_string_value(line));

		printf("  %s\n", safe);
	}
}

int site_take_over(const struct site *s, const char *old, const char *identity, json_t *ret, struct err *err)
{
	__attribute__((cleanup(takeover_free))) struct takeover t = {.old = old, .to = s->dir, .done = json_array(), .left = json_array()};
	static const char *const actions[] = {"vault/actions", "vault/pending", "vault/approved"}, *const formulas[] = {"formulas",
	                                                                                                                "vault/formulas"};
	struct stat st;

	if (stat(old, &st) < 0)
		return err_errno(err, errno, "%s", old);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: is no folder", old);
	take_secrets(&t, identity);
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		take_folder(&t, &an_action, actions[i], ".toml");
		take_folder(&t, &an_action, actions[i], ".json");
	}
	for (size_t i = 0; i < sizeof(formulas) / sizeof(formulas[0]); i++) {
		take_folder(&t, &a_formula, formulas[i], ".toml");
		list_scripts(&t, formulas[i]);
	}
	if (ret) {
		json_object_set(ret, "taken_over", t.done);
		json_object_set(ret, "left", t.left);
		return 0;
	}
	print_lines("Taken over (read what is in taken-over/, then add formulas to the ops repo and `disinto propose` the actions):",
	            t.done);
	print_lines("Could not be taken over:", t.left);
	if (json_array_size(t.done) + json_array_size(t.left) == 0)
		printf("\n%s holds nothing to take over\n", old);
	return 0;
}
