/* See askpass.h. */
#include "runner/askpass.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "runner/runner.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST_MAX 260 /* 253 characters and a port */

/* ---- the question ---- */

/* The URL between the quotes of "Username for 'https://forge.example': ". */
static enum askpass_wants read_question(const char *question, const char **ret_url, size_t *ret_len)
{
	static const struct {
		const char *words;
		enum askpass_wants wants;
	} kinds[] = {{"Username for '", ASKPASS_USERNAME}, {"Password for '", ASKPASS_PASSWORD}};
	static const char end[] = "': ";
	size_t len = strlen(question);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t head = strlen(kinds[i].words);
		if (len <= head + strlen(end) || strncmp(question, kinds[i].words, head) != 0 ||
		    strcmp(question + len - strlen(end), end) != 0)
			continue;
		*ret_url = question + head;
		*ret_len = len - head - strlen(end);
		return kinds[i].wants;
	}
	return ASKPASS_NOTHING;
}

/* Takes the scheme off; the port that goes without saying, or NULL for a scheme whose questions are not answered. */
static const char *take_scheme(const char **url, size_t *len)
{
	static const struct {
		const char *scheme, *port;
	} schemes[] = {{"https://", ":443"}, {"http://", ":80"}};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t n = strlen(schemes[i].scheme);
		if (*len > n && strncmp(*url, schemes[i].scheme, n) == 0) {
			*url += n;
			*len -= n;
			return schemes[i].port;
		}
	}
	return NULL;
}

/* [user@]host[:port][/path], where an @ may stand before the host only, and only once. */
static bool host_of(const char *url, size_t len, char ret[static HOST_MAX])
{
	const char *port = take_scheme(&url, &len);
	const char *slash = memchr(url, '/', len);
	size_t authority = slash ? (size_t)(slash - url) : len;
	const char *at = memchr(url, '@', len);

	if (!port || (at && (at >= url + authority || memchr(at + 1, '@', len - (size_t)(at + 1 - url)))))
		return false;
	const char *host = at ? at + 1 : url;
	size_t n = authority - (size_t)(host - url);
	if (n == 0 || n >= HOST_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		ret[i] = (char)tolower((unsigned char)host[i]);
	ret[n] = '\0';
	size_t usual = strlen(port);
	if (n > usual && strcmp(ret + n - usual, port) == 0)
		ret[n - usual] = '\0';
	return strspn(ret, CHARS_LOWER CHARS_DIGIT ".-:") == strlen(ret);
}

/* The entry of "host=NAME host=NAME". */
static bool find_host(const char *map, const char *host, char ret_secret[static VAULT_SECRET_MAX + 1])
{
	size_t len = strlen(host);

	for (const char *at = map; *at; at += strcspn(at, " "), at += *at == ' ') {
		size_t n = strcspn(at, " ");
		if (n <= len + 1 || n - len - 1 > VAULT_SECRET_MAX || strncmp(at, host, len) != 0 || at[len] != '=')
			continue;
		memcpy(ret_secret, at + len + 1, n - len - 1);
		ret_secret[n - len - 1] = '\0';
		return vault_is_secret(ret_secret);
	}
	return false;
}

enum askpass_wants askpass_parse(const char *question, const char *map, char ret_secret[static VAULT_SECRET_MAX + 1])
{
	char host[HOST_MAX];
	const char *url = NULL;
	size_t len = 0;
	enum askpass_wants wants = read_question(question, &url, &len);

	if (wants == ASKPASS_NOTHING || !host_of(url, len, host) || !find_host(map, host, ret_secret))
		return ASKPASS_NOTHING;
	return wants;
}

/* ---- the helper ---- */

/* A secret as the step has it: its file, else its variable. */
static int read_value(const char *name, struct buf *ret)
{
	char *path cleanup_free = xasprintf("%s/%s", SECRETS_DIR, name);
	const char *variable = getenv(name);

	if (file_read(path, SECRET_MAX_BYTES, ret, NULL) == 0)
		return 0;
	if (!variable)
		return -1;
	buf_adds(ret, variable);
	return 0;
}

/* Git reads one line. */
static bool answer(const char *value, size_t len)
{
	size_t n = strcspn(value, "\r\n");
	return fwrite(value, 1, n < len ? n : len, stdout) > 0 && putchar('\n') == '\n' && fflush(stdout) == 0;
}

int askpass_main(const char *question)
{
	const char *map = getenv(ASKPASS_MAP);
	char name[VAULT_SECRET_MAX + 1];
	struct buf value cleanup_buf = BUF_INIT;
	enum askpass_wants wants = askpass_parse(question, map ? map : "", name);

	if (wants == ASKPASS_USERNAME)
		return answer(ASKPASS_USER, strlen(ASKPASS_USER)) ? 0 : 1;
	if (wants == ASKPASS_PASSWORD && read_value(name, &value) == 0)
		return answer(value.data, value.len) ? 0 : 1;
	fprintf(stderr, "disinto: no credential for git: %s git_auth of the formula, in a step that has the secret, names the hosts\n",
	        question);
	return 1;
}

/* ---- in PID 1 ---- */

/* The secrets of git_auth that the step has, as the helper is told of them. Caller frees; "" when there is none. */
char *askpass_map(const struct runner *r, const struct formula_step *step)
{
	json_t *hosts = (json_t *)r->formula.git_auth; /* only read; jansson's iterators want it so */
	struct buf map = BUF_INIT;
	const char *host;
	json_t *secret;

	json_object_foreach (hosts, host, secret) {
		if (secrets_granted(step, json_string_value(secret)))
			buf_addf(&map, "%s%s=%s", map.len ? " " : "", host, json_string_value(secret));
	}
	return map.len ? buf_steal(&map) : xstrdup("");
}

static int make_dir(struct err *err)
{
	struct stat st;

	if (mkdir(ASKPASS_DIR, 0711) < 0 && errno != EEXIST)
		return err_errno(err, errno, "make %s", ASKPASS_DIR);
	/* In a /tmp that is not sticky a step could have put its own there. */
	if (lstat(ASKPASS_DIR, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0)
		return err_set(err, ERR_DENIED, "%s is not root's folder", ASKPASS_DIR);
	return chmod(ASKPASS_DIR, 0711) < 0 ? err_errno(err, errno, "set the mode of %s", ASKPASS_DIR) : 0;
}

/* Made anew for every step, as secrets are: its owner could have changed the last one. */
int askpass_place(const struct runner *r, struct err *err)
{
	char self[PATH_MAX];
	uint32_t uid = r->formula.user;

	if (json_object_size(r->formula.git_auth) == 0)
		return 0;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return err_errno(err, errno, "find this program");
	char *text cleanup_free = xasprintf("#!%.*s %s\n", (int)n, self, ASKPASS_WORD);
	if (make_dir(err) < 0)
		return -1;
	if (unlink(ASKPASS_PATH) < 0 && errno != ENOENT)
		return err_errno(err, errno, "remove %s", ASKPASS_PATH);
	int fd cleanup_fd = open(ASKPASS_PATH, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0500);
	if (fd < 0)
		return err_errno(err, errno, "make %s", ASKPASS_PATH);
	if (fd_write_all(fd, text, strlen(text), err) < 0 ||
	    (fchown(fd, uid, uid) < 0 && err_errno(err, errno, "give it to user %u", uid) < 0))
		return err_wrap(err, "write %s", ASKPASS_PATH);
	return 0;
}
