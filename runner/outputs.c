/*
 * Outputs of steps: lines name=value in the file that $DISINTO_OUTPUT names.
 *
 * The file belongs to the steps' user, but stands in a folder where only we make and remove names, so that what we read is what we made.
 * It is read once all processes of the step are gone.
 */
#include "runner/runner.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "vault/name.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((size_t)512 << 10) /* more than OUTPUTS_MAX of the longest lines */

int outputs_open(struct runner *r, struct err *err)
{
	uint32_t uid = r->formula.user;
	int fd cleanup_fd = openat(r->secrets_fd, OUTPUT_NAME, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(err, errno, "make %s", OUTPUT_FILE);
	if (fchown(fd, uid, uid) < 0)
		return err_errno(err, errno, "give %s to user %u", OUTPUT_FILE, uid);
	r->output_fd = steal_fd(&fd);
	r->outputs = json_object();
	return 0;
}

static bool holds_secret(const struct runner *r, const char *name)
{
	json_t *clean cleanup_json = output_text(&r->out, name, VAULT_INPUT_MAX);
	return strcmp(json_string_value(clean), name) != 0;
}

static int take(struct runner *r, const char *step, const char *name, const char *value, struct err *err)
{
	if (!vault_is_input(name))
		return err_set(err, ERR_INVALID, "begins with no name: " VAULT_INPUT_RULE ", then =");
	if (holds_secret(r, name))
		return err_set(err, ERR_INVALID, "has a secret in its name");
	if (json_object_get(r->action.inputs, name))
		return err_set(err, ERR_INVALID, "%s is an input of the action; name the output otherwise", name);
	if (strlen(value) > OUTPUT_VALUE_MAX)
		return err_set(err, ERR_INVALID, "the value of %s is longer than %zu bytes", name, OUTPUT_VALUE_MAX);
	if (!json_object_get(r->outputs, name) && json_object_size(r->outputs) >= OUTPUTS_MAX)
		return err_set(err, ERR_INVALID, "is one more than the %d outputs that a run may have", OUTPUTS_MAX);
	if (text_check(value, strlen(value), err) < 0)
		return err_wrap(err, "the value of %s", name);
	json_t *clean = output_text(&r->out, value, OUTPUT_VALUE_MAX);
	json_object_set_new(r->outputs, name, clean);
	output_frame(&r->out,
	             json_pack("{s:s, s:o, s:s, s:O}", "t", "output", "step", output_string(&r->out, step), "name", name, "value", clean));
	return 0;
}

/* A line without its end; NUL ends it early, and is no text. */
static int take_line(struct runner *r, const char *step, char *line, size_t len, struct err *err)
{
	char *equals = memchr(line, '=', len);

	if (len == 0)
		return 0;
	if (strlen(line) != len)
		return err_set(err, ERR_INVALID, "holds a NUL");
	if (!equals)
		return err_set(err, ERR_INVALID, "is no name=value");
	*equals = '\0';
	return take(r, step, line, equals + 1, err);
}

static int take_all(struct runner *r, const char *step, struct buf *text, struct err *err)
{
	size_t number = 1;

	for (size_t at = 0; at < text->len; number++) {
		char *end = memchr(text->data + at, '\n', text->len - at);
		size_t len = end ? (size_t)(end - text->data) - at : text->len - at;

		text->data[at + len] = '\0'; /* a buffer has a NUL behind its last byte anyway */
		if (take_line(r, step, text->data + at, len, err) < 0)
			return err_wrap(err, "$DISINTO_OUTPUT: line %zu", number);
		at += len + 1;
	}
	return 0;
}

int outputs_take(struct runner *r, const struct formula_step *step, struct err *err)
{
	struct buf text cleanup_buf = BUF_INIT;

	if (lseek(r->output_fd, 0, SEEK_SET) < 0 || fd_read_all(r->output_fd, FILE_MAX, &text, NULL) < 0) {
		if (ftruncate(r->output_fd, 0) < 0)
			return err_errno(err, errno, "$DISINTO_OUTPUT: can't be emptied");
		return err_set(err, ERR_INVALID, "$DISINTO_OUTPUT: is larger than %zu bytes", FILE_MAX);
	}
	if (ftruncate(r->output_fd, 0) < 0)
		return err_errno(err, errno, "$DISINTO_OUTPUT: can't be emptied");
	return take_all(r, step->id, &text, err);
}
