/* OpenSSH's list of who may sign. See allowed_signers.h. */
#include "vault/ssh/allowed_signers.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/ssh/allowed_signers_line.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct allowed_signers {
	char *where;
	struct signer_line *lines;
	size_t n;
	char **notes;
	size_t n_notes;
};

void allowed_signers_free(struct allowed_signers *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		signer_line_free(&s->lines[i]);
	for (size_t i = 0; i < s->n_notes; i++)
		free(s->notes[i]);
	free(s->lines);
	free(s->notes);
	free(s->where);
	free(s);
}

/* The next line without its end (LF or CRLF) and the blanks before it; NULL at the end. Caller frees. */
static char *next_line(const char **at, size_t *left)
{
	if (*left == 0)
		return NULL;
	const char *line = *at, *end = memchr(line, '\n', *left);
	size_t len = end ? (size_t)(end - line) : *left, whole = len + (end ? 1 : 0);

	*at += whole;
	*left -= whole;
	if (len > 0 && line[len - 1] == '\r')
		len--;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	char *copy = xmalloc(len + 1);
	memcpy(copy, line, len);
	copy[len] = '\0';
	return copy;
}

static int add_line(struct allowed_signers *s, const char *text, size_t number, struct err *err)
{
	__attribute__((cleanup(signer_line_free))) struct signer_line line = {.number = number};

	if (signer_line_parse(text, &line, err) < 0)
		return -1;
	if (line.unusable) {
		s->notes = xrealloc(s->notes, (s->n_notes + 1) * sizeof(*s->notes));
		s->notes[s->n_notes++] = xasprintf("%s: line %zu is left out: %s", s->where, number, line.unusable);
		return 0;
	}
	s->lines = xrealloc(s->lines, (s->n + 1) * sizeof(*s->lines));
	s->lines[s->n++] = line;
	line = (struct signer_line){.number = 0};
	return 0;
}

int allowed_signers_parse(const char *text, size_t len, const char *where, struct allowed_signers **ret, struct err *err)
{
	cleanup_allowed_signers struct allowed_signers *s = xcalloc(1, sizeof(*s));
	const char *at = text;

	if (len > ALLOWED_SIGNERS_MAX)
		return err_set(err, ERR_INVALID, "%s: has %zu bytes; at most %d are allowed", where, len, ALLOWED_SIGNERS_MAX);
	if (memchr(text, '\0', len))
		return err_set(err, ERR_INVALID, "%s: has a NUL byte; it must be text", where);
	s->where = xstrdup(where);
	for (size_t number = 1, left = len; left > 0; number++) {
		cleanup_free char *line = next_line(&at, &left);
		if (text_check(line, strlen(line), err) < 0 || (*line && *line != '#' && add_line(s, line, number, err) < 0))
			return err_wrap(err, "%s: line %zu", where, number);
	}
	*ret = steal_ptr(&s);
	return 0;
}

int allowed_signers_load(const char *path, struct allowed_signers **ret, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	cleanup_buf struct buf text = BUF_INIT;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s: is not a regular file", path);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022))
		return err_set(
		    err, ERR_INVALID,
		    "%s: others may change it (it belongs to user id %u, its mode is %04o), and who does could approve anything; run: "
		    "chown root %s && chmod 0644 %s",
		    path, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777), path, path);
	if (fd_read_all(fd, ALLOWED_SIGNERS_MAX, &text, err) < 0)
		return err_wrap(err, "%s", path);
	return allowed_signers_parse(text.data, text.len, path, ret, err);
}

size_t allowed_signers_count(const struct allowed_signers *s)
{
	return s->n;
}

const char *allowed_signers_note(const struct allowed_signers *s, size_t i)
{
	return i < s->n_notes ? s->notes[i] : NULL;
}

/* Names that were found, joined by commas. */
static bool has_name(const struct buf *names, const char *name, size_t len)
{
	for (const char *p = names->data; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == len && memcmp(p, name, len) == 0)
			return true;
	return false;
}

static void add_name(struct buf *names, const char *name, size_t len)
{
	if (has_name(names, name, len))
		return;
	if (names->len > 0)
		buf_addc(names, ',');
	buf_add(names, name, len);
}

/* Whether what a signer calls himself can stand in a list of names, and be shown. */
static bool is_name(const char *name)
{
	return *name && !name[strcspn(name, ", \t\n\"!*?")] && text_check(name, strlen(name), NULL) == 0;
}

static void add_names(const struct signer_line *l, const char *claimed, struct buf *names)
{
	for (const char *p = l->principals; *p; p += *p == ',') {
		size_t len = strcspn(p, ",");
		cleanup_free char *name = strndup(p, len);

		/* A pattern is no name, and one that another pattern of the line excludes is none either. */
		if (!name[strcspn(name, "!*?")] && signer_list_matches(l->principals, name))
			add_name(names, name, len);
		p += len;
	}
	if (claimed && is_name(claimed) && signer_list_matches(l->principals, claimed))
		add_name(names, claimed, strlen(claimed));
}

const char *signing_time_text(int64_t seconds, char buf[static 21])
{
	static const int64_t most = INT64_MAX / 1000;
	return time_format((seconds < 0 ? 0 : seconds > most ? most : seconds) * 1000, buf);
}

/* Whether the line, which has the key, allows the signing. */
static int check_line(const struct signer_line *l, const struct signing *signing, struct err *err)
{
	int64_t latest = signing->time > signing->earliest ? signing->time : signing->earliest;
	char time[21], limit[21];

	if (l->namespaces && !signer_list_matches(l->namespaces, signing->namespace))
		return err_set(err, ERR_INVALID, "may not sign in the namespace %s", signing->namespace);
	if (l->has_after && signing->time < l->after)
		return err_set(err, ERR_INVALID, "is valid from %s only, and this was signed at %s", signing_time_text(l->after, limit),
		               signing_time_text(signing->time, time));
	if (l->has_before && latest > l->before)
		return err_set(err, ERR_INVALID, "expired at %s, and this was signed at %s%s", signing_time_text(l->before, limit),
		               signing_time_text(latest, time), latest > signing->time ? " or later, though it is dated back" : "");
	return 0;
}

bool allowed_signers_ended(const struct allowed_signers *s, const struct ssh_public_key *key, int64_t now)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->lines[i].has_before && s->lines[i].before < now && ssh_public_key_equal(&s->lines[i].key, key))
			return true;
	return false;
}

int allowed_signers_find(const struct allowed_signers *s, const struct signing *signing, char **ret_principals, struct err *err)
{
	cleanup_buf struct buf names = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;
	char fingerprint[SSH_FINGERPRINT_ROOM];
	size_t number = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct signer_line *l = &s->lines[i];

		if (!ssh_public_key_equal(&l->key, signing->key))
			continue;
		number = l->number;
		if (check_line(l, signing, &why) < 0)
			continue;
		add_names(l, signing->name, &names);
		if (names.len == 0)
			err_set(&why, ERR_INVALID, "may sign for '%s' only, and the signer calls himself otherwise", l->principals);
	}
	ssh_fingerprint(signing->key, fingerprint);
	if (number == 0)
		return err_set(err, ERR_INVALID, "the key %s is not in %s", fingerprint, s->where);
	if (names.len == 0)
		return err_set(err, ERR_INVALID, "the key %s %s (%s, line %zu)", fingerprint, err_msg(&why), s->where, number);
	*ret_principals = buf_steal(&names);
	return 0;
}
