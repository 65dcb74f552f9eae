/* Checks and conversions of single values. Each names what is allowed; the caller puts file and key before it. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/config/config_keys.h"
#include "vault/name.h"
#include <string.h>
#include <sys/un.h>

#define VALUE_MAX_BYTES 4096
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

char *config_shown(const json_t *value)
{
	if (json_is_string(value))
		return check_quote(json_string_value(value));
	if (json_is_array(value) || json_is_object(value))
		return xstrdup(json_is_array(value) ? "a list" : "a map");
	return json_compact(value);
}

static int refuse(const json_t *value, struct err *err, const char *why)
{
	cleanup_free char *shown = config_shown(value);

	return err_set(err, ERR_INVALID, "%s %s", shown, why);
}

int read_int(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	int64_t n = json_integer_value(value);
	cleanup_free char *shown = config_shown(value);

	(void)base;
	if (!json_is_integer(value))
		return err_set(err, ERR_INVALID, "%s is not a whole number; %d to %d", shown, key->min, key->max);
	if (n < key->min || n > key->max)
		return err_set(err, ERR_INVALID, "%s is out of range; %d to %d", shown, key->min, key->max);
	*(int *)ret = (int)n;
	return 0;
}

int read_flag(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	(void)key;
	(void)base;
	if (!json_is_boolean(value))
		return refuse(value, err, "is not allowed; true or false");
	*(bool *)ret = json_is_true(value);
	return 0;
}

/* The index of the value among the key's choices; -1 with the error set. */
static int find_choice(const struct config_key *key, const json_t *value, struct err *err)
{
	cleanup_free char *shown = config_shown(value);
	cleanup_buf struct buf list = BUF_INIT;

	for (int i = 0; key->choices[i]; i++) {
		if (json_is_string(value) && strcmp(json_string_value(value), key->choices[i]) == 0)
			return i;
		buf_addf(&list, "%s%s", i ? ", " : "", key->choices[i]);
	}
	return err_set(err, ERR_INVALID, "%s is not allowed; one of %s", shown, list.data);
}

int read_choice(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	int i = find_choice(key, value, err);

	(void)base;
	if (i < 0)
		return -1;
	memcpy(ret, &i, sizeof(i));
	return 0;
}

int read_second(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	int i = find_choice(key, value, err);

	(void)base;
	if (i < 0)
		return -1;
	*(bool *)ret = i == 1;
	return 0;
}

int read_word(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	int i = find_choice(key, value, err);

	(void)base;
	if (i < 0)
		return -1;
	*(char **)ret = xstrdup(key->choices[i]);
	return 0;
}

int read_name(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	cleanup_free char *shown = config_shown(value);

	(void)base;
	if (!json_is_string(value) || !key->kind->is(json_string_value(value)))
		return err_set(err, ERR_INVALID, "%s is not %s: %s", shown, key->kind->what, key->kind->rule);
	*(char **)ret = xstrdup(json_string_value(value));
	return 0;
}

int read_path(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	(void)key;
	if (!json_is_string(value) || json_string_length(value) == 0 || json_string_length(value) > VALUE_MAX_BYTES)
		return refuse(value, err, "is not a path; an absolute one, or one that begins at the configuration's folder");
	*(char **)ret = path_join(base, json_string_value(value));
	return 0;
}

int read_spool(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	size_t max = SOCKET_PATH_MAX - strlen("/api.sock");
	cleanup_free char *path = NULL;

	if (read_path(key, value, base, &path, err) != 0)
		return -1;
	if (strlen(path) > max)
		return err_set(err, ERR_INVALID, "%s has %zu bytes; at most %zu are allowed, because a socket lies in it", path,
		               strlen(path), max);
	*(char **)ret = steal_ptr(&path);
	return 0;
}

/* Whether the URL brings a credential: any user over http (tokens are often given as one), a password over the others. */
static bool has_credential(const char *url)
{
	const char *user = strstr(url, "://") + 3;
	const char *at = memchr(user, '@', strcspn(user, "/?#"));

	return at && (strncmp(url, "http", 4) == 0 || memchr(user, ':', (size_t)(at - user)));
}

static bool has_scheme(const char *s, const char *const *schemes)
{
	for (size_t i = 0; schemes[i]; i++)
		if (strncmp(s, schemes[i], strlen(schemes[i])) == 0)
			return true;
	return false;
}

/* user@host:path, which git takes for ssh: a colon before the first slash. */
static bool is_scp_like(const char *s)
{
	return s[strcspn(s, ":/")] == ':' && strcspn(s, ":/") > 0;
}

int read_repo(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	static const char *const schemes[] = {"https://", "http://", "ssh://", "git://", "file:///", NULL};
	const char *s = json_is_string(value) ? json_string_value(value) : "";

	/* Not shown: the message may end up in a log. */
	if (strstr(s, "://") && has_credential(s))
		return err_set(err, ERR_INVALID, "the URL holds a credential; put it alone into a file and name that as git_token_file");
	if (!*s || *s == '-' || strlen(s) > VALUE_MAX_BYTES || strpbrk(s, " \n\t") || (strstr(s, "://") && !has_scheme(s, schemes)))
		return refuse(value, err,
		              "is not a repository; https://…, http://…, ssh://…, git://…, file:///…, user@host:path or a path");
	if (!strstr(s, "://") && !is_scp_like(s))
		return read_path(key, value, base, ret, err);
	*(char **)ret = xstrdup(s);
	return 0;
}

int read_socket(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	const char *s = json_is_string(value) ? json_string_value(value) : "";

	(void)key;
	(void)base;
	if (strncmp(s, "unix:///", 8) != 0 || strlen(s + 7) > SOCKET_PATH_MAX || strlen(s + 7) < 2)
		return refuse(value, err,
		              "is not allowed; unix:// and the absolute path of Docker's socket, at most 107 bytes, as in "
		              "unix:///var/run/docker.sock");
	*(char **)ret = xstrdup(s + 7);
	return 0;
}

int read_body(const struct config_key *key, const json_t *value, const char *base, void *ret, struct err *err)
{
	(void)key;
	(void)base;
	if (!json_is_string(value) && !json_is_object(value))
		return refuse(value, err, "is neither text nor a map");
	*(char **)ret = json_is_string(value) ? xstrdup(json_string_value(value)) : json_compact(value);
	return 0;
}

static bool is_dispatcher_id(const char *s)
{
	return vault_is_id(s) && strlen(s) <= 32;
}

static bool is_port(const char *s)
{
	return vault_matches(s, CHARS_DIGIT, CHARS_DIGIT, 5) && strtol(s, NULL, 10) <= 65535;
}

/* host:port, [v6]:port or off. */
static bool is_listen(const char *s)
{
	const char *colon = strrchr(s, ':');
	size_t host = colon ? (size_t)(colon - s) : 0;

	if (strcmp(s, "off") == 0)
		return true;
	if (host == 0 || host > 255 || !is_port(colon + 1))
		return false;
	if (s[0] == '[')
		return host > 2 && s[host - 1] == ']' && strspn(s + 1, CHARS_DIGIT "abcdefABCDEF:.") == host - 2;
	return strspn(s, CHARS_ALNUM ".-") == host;
}

static bool is_url(const char *s)
{
	static const char *const schemes[] = {"https://", "http://", NULL};

	return has_scheme(s, schemes) && strlen(s) <= VALUE_MAX_BYTES && *(strstr(s, "://") + 3) && !strpbrk(s, " \n\t@?#");
}

/* A whole URL, without a user: what proves who asks stands in headers_file. */
static bool is_call(const char *s)
{
	size_t scheme = strncmp(s, "https://", 8) == 0 ? 8 : strncmp(s, "http://", 7) == 0 ? 7 : 0;
	size_t host = scheme ? strcspn(s + scheme, "/?") : 0;

	for (const char *c = s; *c; c++)
		if (*c <= ' ' || *c == 0x7f || *c == '#')
			return false;
	return host > 0 && strlen(s) <= VALUE_MAX_BYTES && !memchr(s + scheme, '@', host);
}

static bool is_approver(const char *s)
{
	return *s && strlen(s) <= 256 && !strpbrk(s, " \n\t");
}

static bool is_host_name(const char *s)
{
	return vault_matches(s, CHARS_ALNUM, CHARS_ALNUM ".-", 253);
}

const struct check_kind config_branch = {"a branch", vault_is_branch, VAULT_BRANCH_RULE};
const struct check_kind config_dispatcher_id = {"a dispatcher's id", is_dispatcher_id,
                                                "a-z, 0-9, _ and -, beginning with a letter or digit, at most 32 characters"};
const struct check_kind config_listen = {"an address", is_listen, "host:port with a port from 0 (any that is free) to 65535, or off"};
const struct check_kind config_url = {"a URL", is_url, "https://… or http://…, without user, query and fragment"};
const struct check_kind config_call = {"a URL to call", is_call, "https://… or http://…, without a user, spaces and fragment"};
const struct check_kind config_approver = {"an account's name", is_approver, "1 to 256 characters without spaces"};
const struct check_kind config_repo_name = {"a repository", vault_is_repo, VAULT_REPO_RULE};
const struct check_kind config_host_name = {"a host's name", is_host_name,
                                            "a name without port; those without a dot and addresses are allowed anyway"};
