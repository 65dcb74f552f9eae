/* Secrets in clear: by the names of variables and options, and by what well-known credentials look like. Only what stands in the file itself counts. */
#include "compose/load.h"
#include "compose/variables.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include <ctype.h>
#include <string.h>

struct scan {
	struct compose_loaded *l;
	const char *file;
	const struct compose_document *document;
	const char *service; /* or NULL */
	const char *path;    /* whose line is known */
};

static void found(const struct scan *s, const char *what)
{
	const json_t *line = json_object_get(s->document->lines, s->path);
	cleanup_free char *where = xasprintf("%s:%d", s->file, (int)json_integer_value(line));
	cleanup_free char *message =
	    xasprintf("%s stands in the file in clear; put it into a file of its own and name that under secrets", what);

	compose_found_at(s->l, "clear-secret", s->service, where, message);
}

static bool ends_with(const char *s, const char *suffix)
{
	return strlen(s) >= strlen(suffix) && strcmp(s + strlen(s) - strlen(suffix), suffix) == 0;
}

/* "db-Password" -> "DB_PASSWORD". Caller frees. */
static char *as_variable(const char *name)
{
	char *upper = xstrdup(name);

	for (char *p = upper; *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
	return upper;
}

/* Does a variable of this name hold a secret itself, and not where one is? */
static bool is_secret_name(const char *name)
{
	static const char *const words[] = {"PASSWORD", "PASSWD",      "PASSPHRASE", "SECRET",     "TOKEN",       "APIKEY",
	                                    "API_KEY",  "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIAL", "SIGNING_KEY", "ENCRYPTION_KEY"};
	static const char *const others[] = {"_FILE", "_PATH",   "_DIR",  "_URL",  "_NAME",    "_TTL",   "_LIFETIME",
	                                     "_ID",   "_EXPIRY", "_MODE", "_TYPE", "_ENABLED", "_LENGTH"};
	cleanup_free char *upper = as_variable(name);

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (ends_with(upper, others[i]))
			return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(upper, words[i]))
			return true;
	return ends_with(upper, "PASS") || ends_with(upper, "_PWD");
}

static bool is_secret_value(const char *value)
{
	const char *word = value + strspn(value, " ");

	return *word && strcasecmp(word, "true") != 0 && strcasecmp(word, "false") != 0 && strncmp(word, "/run/secrets/", 13) != 0;
}

/* scheme://user:password@host */
static bool has_url_password(const char *text)
{
	for (const char *at = strstr(text, "://"); at; at = strstr(at + 3, "://")) {
		size_t len = strcspn(at + 3, "/ \t\n\"'?#");
		const char *colon = memchr(at + 3, ':', len), *end = memchr(at + 3, '@', len);

		if (colon && end && colon < end - 1)
			return true;
	}
	return false;
}

static const char *known_credential(const char *text)
{
	static const char *const marks[] = {"AGE-SECRET-KEY-1",
	                                    "PRIVATE KEY-----",
	                                    "ghp_",
	                                    "gho_",
	                                    "github_pat_",
	                                    "glpat-",
	                                    "sk-ant-",
	                                    "xoxb-",
	                                    "xoxp-",
	                                    "AKIA",
	                                    "npm_",
	                                    "dckr_pat_",
	                                    "sk_live_",
	                                    "sk-proj-",
	                                    "eyJhbGciOi"};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const char *at = strstr(text, marks[i]);
		size_t n = at ? strspn(at + strlen(marks[i]), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") : 0;

		if (at && (n >= 12 || strstr(marks[i], "-----")))
			return marks[i];
	}
	return NULL;
}

/* "--password=x" and "--password x" in a command. */
static bool has_secret_option(const char *text)
{
	for (const char *at = strstr(text, "--"); at; at = strstr(at + 2, "--")) {
		size_t n = strcspn(at + 2, "= \t\n\"'");
		cleanup_free char *name = xasprintf("%.*s", (int)n, at + 2);
		const char *value = at + 2 + n;

		if (*value && value[1] && !strchr("-/ ", value[1]) && is_secret_name(name))
			return true;
	}
	return false;
}

static void scan_text(const struct scan *s, const char *text)
{
	const char *mark = known_credential(text);
	cleanup_free char *what = mark ? xasprintf("a credential (%s…)", mark) : NULL;

	if (mark)
		found(s, what);
	else if (has_url_password(text))
		found(s, "a URL's password");
	else if (has_secret_option(text))
		found(s, "an option's secret");
}

/* NAME and the value that it has without any environment. */
static void scan_named(const struct scan *s, const char *name, const char *value)
{
	cleanup_free char *literal = compose_literal(value);
	cleanup_free char *what = xasprintf("the value of %s", name);

	if (is_secret_name(name) && is_secret_value(literal))
		found(s, what);
	else
		scan_text(s, literal);
}

static void scan_tree(const struct scan *s, const char *name, const json_t *value);

/* A list's items may be NAME=value. */
static void scan_item(const struct scan *s, const char *name, const json_t *item)
{
	const char *text = json_string_value(item), *eq = text ? strchr(text, '=') : NULL;
	cleanup_free char *inner = eq ? xasprintf("%.*s", (int)(eq - text), text) : NULL;

	if (inner && !strpbrk(inner, " -/:"))
		scan_named(s, inner, eq + 1);
	else
		scan_tree(s, name, item);
}

/* Commands are looked at as one line, since an option and its value are two items. */
static void scan_words(const struct scan *s, const json_t *array)
{
	cleanup_buf struct buf line = BUF_INIT;
	const json_t *item;
	size_t i;

	json_array_foreach (array, i, item) {
		cleanup_free char *literal = json_is_string(item) ? compose_literal(json_string_value(item)) : NULL;

		buf_addf(&line, "%s ", literal ? literal : "");
	}
	if (has_secret_option(line.data))
		found(s, "an option's secret");
}

static void scan_tree(const struct scan *s, const char *name, const json_t *value)
{
	const json_t *item;
	json_t *member;
	const char *key;
	size_t i;

	if (json_is_string(value)) {
		scan_named(s, name, json_string_value(value));
	} else if (json_is_array(value)) {
		scan_words(s, value);
		json_array_foreach (value, i, item)
			scan_item(s, "", item);
	} else {
		json_object_foreach ((json_t *)value, key, member)
			scan_tree(s, key, member);
	}
}

/* Keys of compose itself are no variables: `secrets` names secrets. */
static void scan_service(struct scan *s, const json_t *service)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)service, key, value) {
		cleanup_free char *path = xasprintf("services.%s.%s", s->service, key);
		cleanup_free char *top = xasprintf("services.%s", s->service);

		s->path = json_object_get(s->document->lines, path) ? path : top;
		if (strcmp(key, "secrets") != 0)
			scan_tree(s, "", value);
	}
}

/* A secret whose content stands there, too. */
static void scan_contents(struct scan *s, const char *kind)
{
	const char *name;
	json_t *value;

	json_object_foreach (json_object_get(s->document->tree, kind), name, value) {
		const char *content = json_string_value(json_object_get(value, "content"));
		cleanup_free char *literal = content ? compose_literal(content) : NULL;
		cleanup_free char *path = xasprintf("%s.%s", kind, name);

		s->path = path;
		if (literal && *literal && (strcmp(kind, "secrets") == 0 || known_credential(literal)))
			found(s, "a secret's content");
	}
}

void compose_check_clear(struct compose_loaded *l, const char *file, const struct compose_document *document)
{
	struct scan s = {.l = l, .file = file, .document = document};
	const char *name;
	json_t *service;

	json_object_foreach (json_object_get(document->tree, "services"), name, service) {
		s.service = name;
		scan_service(&s, service);
	}
	s.service = NULL;
	scan_contents(&s, "secrets");
	scan_contents(&s, "configs");
}
