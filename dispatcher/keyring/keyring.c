/*
 * The keyring role: holds the age identity and decrypts what core asks for. It opens no file: the identity comes as a descriptor, which other
 * lives of this role share (hence pread), and what it decrypts leaves only through the pipe that came with the request.
 */
#include "dispatcher/keyring/keyring.h"
#include "dispatcher/dispatcher.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/log.h"
#include "vault/age/age.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#define SEND_TIMEOUT_MS 10000
#define DELIVER_TIMEOUT_MS 10000

struct keyring {
	struct msg_conn conn;
	struct age_identities *ids; /* NULL: why_not says why */
	char *why_not;
};

/* The whole file, from its first byte, into guarded memory. */
static int read_identity(int fd, char **ret, size_t *ret_len, struct err *err)
{
	char *text = sodium_malloc(KEYRING_IDENTITY_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;
	if (!text)
		return err_set(err, ERR_FAIL, "no guarded memory for the identity");
	while (n > 0 && len <= KEYRING_IDENTITY_MAX) {
		n = pread(fd, text + len, KEYRING_IDENTITY_MAX + 1 - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	if (n < 0 || len > KEYRING_IDENTITY_MAX) {
		int errnum = errno;
		sodium_free(text);
		return n < 0 ? err_errno(err, errnum, "identity_file can't be read")
		             : err_set(err, ERR_INVALID, "identity_file is larger than %d bytes", KEYRING_IDENTITY_MAX);
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int load_identities(int fd, struct age_identities **ret, struct err *err)
{
	char *text = NULL;
	size_t len = 0;
	if (fd < 0)
		return err_set(
		    err, ERR_NOT_FOUND,
		    "this dispatcher has no identity; set identity_file in its configuration (`disinto secrets keygen` makes one)");
	if (read_identity(fd, &text, &len, err) < 0)
		return -1;
	int rc = age_identities_parse(text, len, "identity_file", ret, err);
	sodium_free(text); /* wipes */
	return rc;
}

static int answer(struct keyring *k, json_t *body, struct err *err)
{
	int rc = msg_send(&k->conn, body, -1, SEND_TIMEOUT_MS, err);
	json_decref(body);
	return rc;
}

static int say_state(struct keyring *k, struct err *err)
{
	json_t *recipients = json_array();
	for (size_t i = 0; k->ids && i < age_identities_count(k->ids); i++) {
		char *recipient cleanup_free = age_identity_recipient(k->ids, i);
		json_array_append_new(recipients, json_string(recipient));
	}
	return answer(
	    k, msg_new(MSG_KEYRING_STATE, "{s:b, s:s?, s:o}", "ok", k->ids != NULL, "reason", k->why_not, "recipients", recipients), err);
}

/* On failure the reader sees the end of the pipe and not one frame, or frames without the last one: either way nothing is run. */
static int decrypt_and_deliver(const struct keyring *k, struct msg *m, size_t *ret_count, struct err *err)
{
	struct keyring_frames frames = {.data = NULL};
	if (keyring_decrypt(k->ids, k->why_not, json_object_get(m->body, "secrets"), &frames, err) < 0)
		return -1;
	CRASH_POINT("decrypted");
	int rc = keyring_deliver(m->fd, &frames, DELIVER_TIMEOUT_MS, err);
	CRASH_POINT("delivered");
	*ret_count = frames.count;
	keyring_frames_free(&frames);
	return rc;
}

static int hear_decrypt(struct keyring *k, struct msg *m, struct err *err)
{
	struct err why cleanup_err = ERR_INIT;
	const char *id = json_string_value(json_object_get(m->body, "id"));
	json_int_t attempt = json_integer_value(json_object_get(m->body, "attempt"));
	size_t count = 0;
	if (!id || !json_is_object(json_object_get(m->body, "secrets")))
		return err_set(err, ERR_INVALID, "'decrypt' without id or secrets");
	int rc = decrypt_and_deliver(k, m, &count, &why);
	close(steal_fd(&m->fd)); /* before the answer: the reader's end of file is not to wait for core */
	if (rc == 0) {
		log_info("secrets decrypted", "id", id, NULL);
		return answer(k, msg_new(MSG_DECRYPTED, "{s:s, s:I, s:I}", "id", id, "attempt", attempt, "count", (json_int_t)count), err);
	}
	log_warn("secrets not decrypted", "id", id, "reason", err_msg(&why), NULL);
	return answer(k,
	              msg_new(MSG_NOT_DECRYPTED, "{s:s, s:I, s:b, s:s}", "id", id, "attempt", attempt, "refuse", why.code == ERR_INVALID,
	                      "reason", err_msg(&why)),
	              err);
}

/* One request. 1: go on; 0: core has closed the connection; -1: it is broken. */
static int hear(struct keyring *k, struct err *err)
{
	struct msg m cleanup_msg = MSG_INIT;
	enum msg_kind kind;
	if (msg_recv(&k->conn, -1, &m, err) <= 0)
		return err->code == ERR_UNREACHABLE ? 0 : -1;
	if (msg_check(&m, ROLE_CORE, ROLE_KEYRING, &kind, err) < 0)
		return -1;
	int rc =
	    kind == MSG_PING ? answer(k, msg_new(MSG_PONG, "{s:O}", "n", json_object_get(m.body, "n")), err) : hear_decrypt(k, &m, err);
	return rc < 0 ? -1 : 1;
}

static int serve(struct keyring *k, struct err *err)
{
	int rc = say_state(k, err);
	while (rc >= 0 && (rc = hear(k, err)) > 0)
		;
	return rc;
}

int keyring_role(const struct role_args *args)
{
	struct err err cleanup_err = ERR_INIT;
	struct keyring k = {.ids = NULL};
	msg_conn_init(&k.conn, args->sock);
	if (load_identities(args->identity_fd, &k.ids, &err) < 0) {
		log_warn("no usable identity: actions with secrets wait", "reason", err_msg(&err), NULL);
		k.why_not = xstrdup(err_msg(&err));
		err_clear(&err);
	}
	if (args->identity_fd >= 0)
		close(args->identity_fd);
	int rc = keyring_seal(&err);
	if (rc == 0)
		rc = serve(&k, &err);
	if (rc < 0)
		log_error("keyring ends", "reason", err_msg(&err), NULL);
	msg_conn_close(&k.conn);
	age_identities_free(k.ids);
	free(k.why_not);
	return rc < 0;
}
