/* Secrets: from frames into guarded memory, and from there into files on a tmpfs, for one step at a time. */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/check.h"
#include "vault/name.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

static bool have(const struct secrets *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->items[i].name, name) == 0)
			return true;
	return false;
}

static int begin_value(struct secrets *s, const json_t *wanted, const char *name, struct err *err)
{
	if (!vault_is_secret(name) || !check_list_has(wanted, name))
		return err_set(err, ERR_INVALID, "the dispatcher sent a secret that the action does not name");
	if (have(s, name))
		return err_set(err, ERR_INVALID, "the dispatcher sent the secret %s twice", name);
	/* In locked memory where the limit allows, and without a copy to swap to where it does not: the container has no swap. */
	s->partial = sodium_malloc(SECRET_MAX_BYTES);
	if (!s->partial)
		return err_set(err, ERR_FAIL, "no memory for the secret %s", name);
	s->partial_name = xstrdup(name);
	s->partial_len = 0;
	return 0;
}

static int add_piece(struct secrets *s, const json_t *d, struct err *err)
{
	size_t n = 0;
	const char *end = NULL;
	const char *base64 = json_string_value(d);
	size_t len = json_string_length(d);
	size_t padding = len > 1 ? (size_t)(base64[len - 1] == '=') + (size_t)(base64[len - 2] == '=') : 0;

	/* Looked at first, since sodium has one errno for this and for missing padding. */
	if (len / 4 * 3 > SECRET_MAX_BYTES - s->partial_len + padding)
		return err_set(err, ERR_INVALID, "the secret %s is longer than %d bytes", s->partial_name, SECRET_MAX_BYTES);
	if (sodium_base642bin(s->partial + s->partial_len, SECRET_MAX_BYTES - s->partial_len, base64, len, NULL, &n, &end,
	                      sodium_base64_VARIANT_ORIGINAL) < 0 ||
	    end != base64 + len)
		return err_set(err, ERR_INVALID, "the secret %s did not come as base64", s->partial_name);
	s->partial_len += n;
	return 0;
}

static int finish_value(struct secrets *s, struct err *err)
{
	struct secret *item = &s->items[s->n];

	if (s->partial_len < SECRET_MIN_BYTES)
		return err_set(err, ERR_INVALID,
		               "the secret %s is shorter than %d bytes, too short to be kept out of logs; use a longer one",
		               s->partial_name, SECRET_MIN_BYTES);
	item->value = sodium_malloc(s->partial_len);
	if (!item->value)
		return err_set(err, ERR_FAIL, "no memory for the secret %s", s->partial_name);
	memcpy(item->value, s->partial, s->partial_len);
	item->len = s->partial_len;
	item->name = steal_ptr(&s->partial_name);
	s->n++;
	sodium_free(s->partial);
	s->partial = NULL;
	return 0;
}

int secrets_add(struct secrets *s, const json_t *wanted, const json_t *frame, struct err *err)
{
	const char *name = json_string_value(json_object_get(frame, "name"));
	const json_t *d = json_object_get(frame, "d");
	const json_t *more = json_object_get(frame, "more");

	if (!name || !json_is_string(d) || !json_is_boolean(more))
		return err_set(err, ERR_INVALID, "the dispatcher sent a secret without name, d or more");
	if (!s->partial && begin_value(s, wanted, name, err) < 0)
		return -1;
	if (strcmp(name, s->partial_name) != 0)
		return err_set(err, ERR_INVALID, "the dispatcher began another secret before the end of %s", s->partial_name);
	if (add_piece(s, d, err) < 0)
		return -1;
	return json_is_true(more) ? 0 : finish_value(s, err);
}

/* What can't be a variable of the environment. */
static int check_as_variable(const struct secret *item, struct err *err)
{
	if (memchr(item->value, 0, item->len))
		return err_set(err, ERR_INVALID, "the secret %s holds a NUL byte, which no environment can; use secrets_as: file",
		               item->name);
	return 0;
}

int secrets_end(const struct secrets *s, const json_t *wanted, const json_t *frame, enum formula_secrets_as as, struct err *err)
{
	size_t i;
	const json_t *name;

	if (s->partial)
		return err_set(err, ERR_INVALID, "the secret %s did not come whole", s->partial_name);
	json_array_foreach (wanted, i, name) {
		if (!have(s, json_string_value(name)))
			return err_set(err, ERR_INVALID, "the dispatcher did not send the secret %s", json_string_value(name));
	}
	const json_t *count = json_object_get(frame, "count");
	if (!json_is_integer(count) || json_integer_value(count) != (json_int_t)s->n)
		return err_set(err, ERR_INVALID, "the dispatcher counts other secrets than the %zu that came", s->n);
	for (i = 0; i < s->n && as != SECRETS_AS_FILE; i++)
		if (check_as_variable(&s->items[i], err) < 0)
			return -1;
	return 0;
}

bool secrets_granted(const struct formula_step *step, const char *name)
{
	return step->secrets ? check_list_has(step->secrets, name) : step->run != NULL;
}

static int place_one(const struct secret *item, int dir_fd, uint32_t uid, struct err *err)
{
	int fd cleanup_fd = openat(dir_fd, item->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return err_errno(err, errno, "make %s/%s", SECRETS_DIR, item->name);
	if (fd_write_all(fd, item->value, item->len, err) < 0)
		return err_wrap(err, "write %s/%s", SECRETS_DIR, item->name);
	if (fchown(fd, uid, uid) < 0)
		return err_errno(err, errno, "give %s/%s to user %u", SECRETS_DIR, item->name, uid);
	return 0;
}

/* Every file is made anew for every step: its owner could have changed the last one. */
int secrets_place(const struct secrets *s, int dir_fd, const struct formula_step *step, uint32_t uid, enum formula_secrets_as as,
                  struct err *err)
{
	for (size_t i = 0; i < s->n; i++)
		if (unlinkat(dir_fd, s->items[i].name, 0) < 0 && errno != ENOENT)
			return err_errno(err, errno, "remove %s/%s", SECRETS_DIR, s->items[i].name);
	for (size_t i = 0; step && as != SECRETS_AS_ENV && i < s->n; i++)
		if (secrets_granted(step, s->items[i].name) && place_one(&s->items[i], dir_fd, uid, err) < 0)
			return -1;
	return 0;
}

void secrets_free(struct secrets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->items[i].name);
		sodium_free(s->items[i].value);
	}
	free(s->partial_name);
	sodium_free(s->partial);
	*s = (struct secrets){.n = 0};
}
