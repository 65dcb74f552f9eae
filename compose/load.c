/* Files, and what they bring in. */
#include "compose/load.h"
#include "compose/compose.h"
#include "compose/normal.h"
#include "compose/variables.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES 64
#define MAX_EXTENDS 16

void compose_found_at(struct compose_loaded *l, const char *kind, const char *service, const char *where, const char *message)
{
	cleanup_json json_t *finding =
	    json_pack("{s:s, s:s?, s:s, s:s}", "kind", kind, "service", service, "where", where, "message", message);
	const json_t *other;
	size_t i;

	json_array_foreach (l->findings, i, other)
		if (json_equal(finding, other))
			return;
	json_array_append(l->findings, finding);
}

void compose_found(struct compose_loaded *l, const char *kind, const char *service, const char *key, const char *fmt, ...)
{
	cleanup_free char *top = xasprintf("services.%s", service ? service : "");
	cleanup_free char *path = xasprintf("%s.%s", top, key ? key : "");
	const char *where = json_string_value(json_object_get(l->where, path));
	cleanup_buf struct buf message = BUF_INIT;
	va_list ap;

	if (!where)
		where = json_string_value(json_object_get(l->where, top));
	va_start(ap, fmt);
	buf_vaddf(&message, fmt, ap);
	va_end(ap);
	compose_found_at(l, kind, service, where ? where : "", message.data);
}

json_t *compose_listed(const json_t *value)
{
	json_t *list = json_array();

	if (json_is_array(value))
		json_array_extend(list, (json_t *)value);
	else if (value && !json_is_null(value))
		json_array_append(list, (json_t *)value);
	return list;
}

/* One file and its folder, while it is read. */
struct source {
	struct compose_loaded *l;
	const char *path;
	char *folder;
	struct compose_document document; /* variables replaced once opened */
};

static void source_free(struct source *s)
{
	free(s->folder);
	compose_document_free(&s->document);
}
#define cleanup_source __attribute__((cleanup(source_free)))

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? xasprintf("%.*s", (int)(slash - path) + (slash == path), path) : xstrdup(".");
}

static char *place(const struct source *s, const json_t *line)
{
	return xasprintf("%s:%d", s->path, (int)json_integer_value(line));
}

static void report_doubles(const struct source *s)
{
	const json_t *path;
	size_t i;

	json_array_foreach (s->document.doubles, i, path) {
		cleanup_free char *where = place(s, json_object_get(s->document.lines, json_string_value(path)));
		cleanup_free char *message =
		    xasprintf("'%s' stands there twice; some tools take the last one, some refuse the file", json_string_value(path));

		compose_found_at(s->l, "duplicate-name", NULL, where, message);
	}
}

static void note_lines(const struct source *s)
{
	const char *path;
	json_t *line;

	json_object_foreach (s->document.lines, path, line) {
		cleanup_free char *where = place(s, line);

		json_object_set_new(s->l->where, path, json_string(where));
	}
}

/* Reads the file, judges what only its own text shows, and replaces variables. `base`: where its relative paths begin; NULL: its own folder. */
static int source_open(struct compose_loaded *l, const char *path, const char *base, struct source *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;

	if (l->n_files++ >= MAX_FILES)
		return err_set(err, ERR_INVALID, "%s: more than %d files belong together", path, MAX_FILES);
	if (file_read(path, COMPOSE_READ_MAX, &text, err) < 0)
		return -1;
	if (compose_read(text.data, text.len, &ret->document, err) < 0)
		return err_wrap(err, "%s", path);
	ret->l = l;
	ret->path = path;
	ret->folder = base ? xstrdup(base) : folder_of(path);
	report_doubles(ret);
	compose_check_clear(l, path, &ret->document);
	return 0;
}

static void normalise(const struct source *s, const char *name, json_t *service)
{
	const struct compose_surroundings around = {.l = s->l, .folder = s->folder};

	compose_normalise(&around, name, service);
}

static json_t *service_of(const struct source *s, const char *name, int depth);

/* What `extends` names, in this file or in another. NULL: nothing, or it can't be read, which is a finding. */
static json_t *base_of(const struct source *s, const char *name, const json_t *extends, int depth)
{
	const char *file = json_string_value(json_object_get(extends, "file"));
	const char *of = json_is_string(extends) ? json_string_value(extends) : json_string_value(json_object_get(extends, "service"));
	cleanup_free char *shown = file ? compose_substitute(file, s->l->env, NULL) : NULL;
	cleanup_free char *path = shown ? path_join(s->folder, shown) : NULL;
	cleanup_source struct source other = {.document = COMPOSE_DOCUMENT_INIT};
	cleanup_err struct err why = ERR_INIT;
	json_t *base = NULL;

	if (!of)
		return NULL;
	if (depth < MAX_EXTENDS && (!path || source_open(s->l, path, NULL, &other, &why) == 0))
		base = service_of(path ? &other : s, of, depth + 1);
	if (!base)
		compose_found(s->l, "unresolved", name, "extends",
		              "extends '%s'%s%s, which can't be read%s%s: what it brings along can't be judged", of, path ? " of " : "",
		              path ? path : "", why.msg ? ": " : "", why.msg ? why.msg : "");
	return base;
}

/* A service of one file with what it extends under it. Caller owns; NULL: there is none of that name. */
static json_t *service_of(const struct source *s, const char *name, int depth)
{
	const json_t *raw = json_object_get(json_object_get(s->document.tree, "services"), name);
	cleanup_json json_t *service = json_is_object(raw) ? json_deep_copy(raw) : NULL;
	cleanup_json json_t *extends = NULL;
	json_t *base;

	if (!service)
		return NULL;
	extends = json_incref(json_object_get(service, "extends"));
	json_object_del(service, "extends");
	normalise(s, name, service);
	base = extends ? base_of(s, name, extends, depth) : NULL;
	if (!base)
		return steal_ptr(&service);
	compose_merge(base, service);
	return base;
}

static void add_services(const struct source *s)
{
	const char *name;
	json_t *raw;

	json_object_foreach (json_object_get(s->document.tree, "services"), name, raw) {
		cleanup_json json_t *service = service_of(s, name, 0);
		json_t *there = json_object_get(s->l->services, name);

		if (service && there)
			compose_merge(there, service);
		else if (service)
			json_object_set(s->l->services, name, service);
	}
}

/* Volumes, and the paths of secrets and configs. */
static void add_others(const struct source *s)
{
	static const char *const kinds[] = {"secrets", "configs"};
	json_t *volumes = json_object_get(s->document.tree, "volumes");
	const char *name;
	json_t *value;

	if (json_is_object(volumes)) {
		cleanup_json json_t *replaced = compose_replaced(volumes, s->l->env, NULL);

		compose_merge(s->l->volumes, replaced);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		json_object_foreach (json_object_get(s->document.tree, kinds[i]), name, value) {
			const char *file = json_string_value(json_object_get(value, "file"));
			cleanup_free char *shown = file ? compose_substitute(file, s->l->env, NULL) : NULL;
			cleanup_free char *path = shown ? path_join(s->folder, shown) : NULL;

			if (path)
				json_object_set_new(s->l->files, name, json_string(path));
		}
}

static int add_file(struct compose_loaded *l, const char *path, const char *base, struct err *err);

static void include_fails(const struct source *s, const char *what, const char *why)
{
	cleanup_free char *message = xasprintf("includes %s, which can't be judged: %s", what, why);

	compose_found_at(s->l, "unresolved", NULL, s->path, message);
}

/* A path that an include names, from the including file's folder. Caller frees. NULL: it is none. */
static char *include_path(const struct source *s, const json_t *value)
{
	cleanup_free char *shown = json_is_string(value) ? compose_substitute(json_string_value(value), s->l->env, NULL) : NULL;

	return shown ? path_join(s->folder, shown) : NULL;
}

/* The variables of an included project: its own, and over them those of the one that includes it. Caller owns. */
static json_t *include_env(const struct source *s, const json_t *entry, const char *folder)
{
	cleanup_free char *usual = xasprintf("%s/.env", folder);
	const json_t *named = json_object_get(entry, "env_file"), *file;
	cleanup_json json_t *list = compose_listed(named);
	json_t *env = json_object();
	size_t i;

	if (!named)
		json_array_append_new(list, json_string(usual));
	json_array_foreach (list, i, file) {
		cleanup_free char *path = named ? include_path(s, file) : xstrdup(usual);
		cleanup_err struct err why = ERR_INIT;

		if (!path ||
		    (strcmp(path, "/dev/null") != 0 && compose_read_env(path, env, &why) < 0 && (named || why.code != ERR_NOT_FOUND)))
			include_fails(s, path ? path : "an env_file", path ? err_msg(&why) : "it is no path");
	}
	json_object_update(env, s->l->env);
	return env;
}

/* The files of one entry, which belong together: their paths begin in project_directory, else in the first one's folder. */
static void include_files(const struct source *s, const json_t *entry, const json_t *files)
{
	cleanup_free char *first = include_path(s, json_array_get(files, 0));
	cleanup_free char *named = include_path(s, json_object_get(entry, "project_directory"));
	cleanup_free char *folder = named ? xstrdup(named) : folder_of(first ? first : "");
	cleanup_json json_t *env = include_env(s, entry, folder);
	json_t *outer = s->l->env;
	const json_t *file;
	size_t i;

	json_array_foreach (files, i, file) {
		cleanup_free char *path = include_path(s, file);
		cleanup_err struct err why = ERR_INIT;

		s->l->env = env;
		if (!path || add_file(s->l, path, folder, &why) < 0)
			include_fails(s, path ? path : "something", path ? err_msg(&why) : "it is no path");
		s->l->env = outer;
	}
}

static void add_included(const struct source *s)
{
	cleanup_json json_t *list = compose_listed(json_object_get(s->document.tree, "include"));
	const json_t *entry;
	const char *key;
	json_t *value;
	size_t i;

	json_array_foreach (list, i, entry) {
		cleanup_json json_t *files = compose_listed(json_is_object(entry) ? json_object_get(entry, "path") : entry);

		json_object_foreach ((json_t *)entry, key, value)
			if (strcmp(key, "path") != 0 && strcmp(key, "project_directory") != 0 && strcmp(key, "env_file") != 0)
				include_fails(s, "something with a key that is not known", key);
		include_files(s, entry, files);
	}
}

static int add_file(struct compose_loaded *l, const char *path, const char *base, struct err *err)
{
	cleanup_source struct source s = {.document = COMPOSE_DOCUMENT_INIT};

	if (source_open(l, path, base, &s, err) < 0)
		return -1;
	note_lines(&s);
	add_included(&s);
	add_services(&s);
	add_others(&s);
	return 0;
}

/* The override that compose takes along where no file is named. Caller frees; NULL: there is none. */
static char *override_of(const char *file)
{
	static const char *const names[] = {"docker-compose", "compose"}, *const suffixes[] = {"yml", "yaml"};
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	size_t stem = strcspn(name, ".");
	struct stat st;

	for (size_t i = 0; i < 4; i++) {
		const char *known = names[i / 2], *suffix = suffixes[i % 2];
		cleanup_free char *path = xasprintf("%.*s%s.override.%s", (int)(name - file), file, known, suffix);

		if (stem == strlen(known) && strncmp(name, known, stem) == 0 && !strstr(name, ".override.") && stat(path, &st) == 0)
			return steal_ptr(&path);
	}
	return NULL;
}

static const char *variable(const struct compose_loaded *l, const char *name)
{
	const char *value = getenv(name);

	return value ? value : json_string_value(json_object_get(l->env, name));
}

/* The files that COMPOSE_FILE names, beside the one that is there anyway: compose takes them where none is named, and so does `disinto up`. */
static void add_listed(struct compose_loaded *l, const char *folder, const char *first)
{
	const char *list = variable(l, "COMPOSE_FILE"), *separator = variable(l, "COMPOSE_PATH_SEPARATOR");
	const char *end;

	separator = separator && *separator ? separator : ":";
	for (; list && *list; list = *end ? end + strlen(separator) : end) {
		end = strstr(list, separator);
		end = end ? end : list + strlen(list);
		cleanup_free char *name = xasprintf("%.*s", (int)(end - list), list);
		cleanup_free char *path = path_join(folder, name);
		cleanup_free char *usual = path_join(folder, strrchr(first, '/') ? strrchr(first, '/') + 1 : first);
		cleanup_err struct err why = ERR_INIT;

		if (!*name || strcmp(path, usual) == 0 || add_file(l, path, folder, &why) == 0)
			continue;
		cleanup_free char *message = xasprintf("COMPOSE_FILE names %s, which can't be read: %s", path, err_msg(&why));
		compose_found_at(l, "unresolved", NULL, first, message);
	}
}

int compose_load(const char *const *files, size_t n, struct compose_loaded *ret, struct err *err)
{
	cleanup_free char *folder = folder_of(files[0]);
	cleanup_free char *env = xasprintf("%s/.env", folder);
	cleanup_free char *override = n == 1 ? override_of(files[0]) : NULL;
	cleanup_err struct err why = ERR_INIT;

	*ret = (struct compose_loaded){json_object(), json_object(), json_object(), json_object(), json_array(), json_object(), 0};
	if (compose_read_env(env, ret->env, &why) < 0 && why.code != ERR_NOT_FOUND)
		return err_set(err, (enum err_code)why.code, "%s", err_msg(&why));
	for (size_t i = 0; i < n; i++)
		if (add_file(ret, files[i], folder, err) < 0)
			return -1;
	if (override && add_file(ret, override, folder, err) < 0)
		return -1;
	if (n == 1)
		add_listed(ret, folder, files[0]);
	return 0;
}

void compose_loaded_free(struct compose_loaded *l)
{
	json_decref(l->services);
	json_decref(l->volumes);
	json_decref(l->files);
	json_decref(l->where);
	json_decref(l->findings);
	json_decref(l->env);
}
