/* The table of messages, as code. */
#include "dispatcher/dispatcher.h"
#include "lib/buf.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	enum role from, to;
	int fds;
} table[N_MSG_KINDS] = {
#define MSG(constant, kind, from, to, fds) [MSG_##constant] = {kind, from, to, fds},
    MESSAGES(MSG)
#undef MSG
};

static const char *const role_names[N_ROLES] = {"parent", "core", "git", "keyring", "engine", "web"};

const char *role_name(enum role r)
{
	return (unsigned)r < N_ROLES ? role_names[r] : "unknown";
}

int role_parse(const char *name, enum role *ret)
{
	for (int i = 0; name && i < N_ROLES; i++)
		if (strcmp(name, role_names[i]) == 0) {
			*ret = (enum role)i;
			return 0;
		}
	return -1;
}

static bool is_side(enum role side, enum role r)
{
	return side == r || (side == ROLE_ANY && r != ROLE_PARENT && r != ROLE_CORE && r < N_ROLES);
}

int msg_check(const struct msg *m, enum role from, enum role to, enum msg_kind *ret, struct err *err)
{
	for (int i = 0; i < N_MSG_KINDS; i++) {
		if (strcmp(m->kind, table[i].name) != 0)
			continue;
		if (!is_side(table[i].from, from) || !is_side(table[i].to, to))
			return err_set(err, ERR_INVALID, "%s may not send '%s' to %s", role_name(from), m->kind, role_name(to));
		if ((m->fd >= 0) != (table[i].fds == 1))
			return err_set(err, ERR_INVALID, "'%s' from %s: wrong number of descriptors", m->kind, role_name(from));
		*ret = (enum msg_kind)i;
		return 0;
	}
	return err_set(err, ERR_INVALID, "%s sent a message of an unknown kind", role_name(from));
}

json_t *msg_new(enum msg_kind kind, const char *pack_format, ...)
{
	json_t *body;

	if (pack_format) {
		va_list ap;
		va_start(ap, pack_format);
		body = json_vpack_ex(NULL, 0, pack_format, ap);
		va_end(ap);
	} else {
		body = json_object();
	}
	if (!body || json_object_set_new(body, "kind", json_string(table[kind].name)) < 0) {
		fprintf(stderr, "disinto-dispatcher: message '%s' can't be built\n", table[kind].name);
		abort();
	}
	return body;
}
