/* From ciphertexts to the frames that carry their secrets. Plaintext is in guarded memory wherever it stands. */
#include "dispatcher/keyring/keyring.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/frame.h"
#include "vault/name.h"
#include "vault/redact/redact.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define LAST_FRAME_ROOM 64 /* secrets_end, and the NUL of a buffer */

struct plain {
	const char *name; /* borrowed */
	unsigned char *data;
	size_t len;
};

struct plains {
	struct plain v[KEYRING_SECRETS_MAX];
	size_t n;
};

static void plains_free(struct plains *p)
{
	for (size_t i = 0; i < p->n; i++)
		sodium_free(p->v[i].data);
	p->n = 0;
}

static int decrypt_base64(const struct age_identities *ids, const char *name, const char *base64, struct plain *ret, struct err *err)
{
	size_t max = strlen(base64) / 4 * 3 + 3, len = 0;
	unsigned char *file cleanup_free = xmalloc(max);
	if (sodium_base642bin(file, max, base64, strlen(base64), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
		return err_set(err, ERR_INVALID, "is not base64 in the message");
	if (age_decrypt(ids, name, file, len, SECRET_MAX_BYTES, &ret->data, &ret->len, err) < 0)
		return -1;
	if (ret->len >= SECRET_MIN_BYTES)
		return 0;
	sodium_free(ret->data);
	return err_set(err, ERR_INVALID, "the secret has %zu bytes, fewer than the %d that can be kept out of logs; store a longer one",
	               ret->len, SECRET_MIN_BYTES);
}

static int decrypt_one(const struct age_identities *ids, const char *no_identity, const char *name, const json_t *secret, struct plain *ret,
                       struct err *err)
{
	const char *base64 = json_string_value(json_object_get(secret, "age"));
	if (!vault_is_secret(name) || !base64)
		return err_set(err, ERR_INVALID, "a secret without a good name or without its file was asked for");
	ret->name = name;
	if (!ids)
		return err_set(err, ERR_NOT_FOUND, "vault/secrets/%s.age: %s", name, no_identity);
	if (decrypt_base64(ids, name, base64, ret, err) < 0)
		return err_wrap(err, "vault/secrets/%s.age", name);
	return 0;
}

static int decrypt_all(const struct age_identities *ids, const char *no_identity, const json_t *secrets, struct plains *ret,
                       struct err *err)
{
	const char *name;
	json_t *secret;
	if (json_object_size(secrets) > KEYRING_SECRETS_MAX)
		return err_set(err, ERR_INVALID, "%zu secrets were asked for; at most %d are allowed", json_object_size(secrets),
		               KEYRING_SECRETS_MAX);
	json_object_foreach ((json_t *)(uintptr_t)secrets, name, secret) {
		if (decrypt_one(ids, no_identity, name, secret, &ret->v[ret->n], err) < 0)
			return -1;
		ret->n++;
	}
	return 0;
}

int keyring_decrypt(const struct age_identities *ids, const char *no_identity, const json_t *secrets, struct keyring_frames *ret,
                    struct err *err)
{
	struct plains plains __attribute__((cleanup(plains_free))) = {.n = 0};
	if (decrypt_all(ids, no_identity, secrets, &plains, err) < 0)
		return -1;
	size_t room = LAST_FRAME_ROOM;
	for (size_t i = 0; i < plains.n; i++)
		room += frame_secret_room(plains.v[i].len);
	char *data = sodium_malloc(room);
	if (!data)
		return err_set(err, ERR_FAIL, "no guarded memory for %zu secrets", plains.n);
	data[0] = '\0';
	struct buf out = {data, 0, room}; /* large enough, so it never moves */
	for (size_t i = 0; i < plains.n; i++)
		frame_add_secret(&out, plains.v[i].name, plains.v[i].data, plains.v[i].len);
	buf_addf(&out, "{\"t\":\"secrets_end\",\"count\":%zu}\n", plains.n);
	*ret = (struct keyring_frames){.data = data, .len = out.len, .count = plains.n};
	return 0;
}

void keyring_frames_free(struct keyring_frames *f)
{
	sodium_free(f->data);
	*f = (struct keyring_frames){.data = NULL};
}

static int wait_writable(int fd, int64_t deadline, struct err *err)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		int64_t left = deadline - now_mono_ms();
		int rc = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (rc == 0)
			return err_set(err, ERR_TIMEOUT, "the engine role does not take the secrets");
		if (rc > 0)
			return 0;
		if (errno != EINTR)
			return err_errno(err, errno, "poll");
	}
}

int keyring_deliver(int fd, const struct keyring_frames *f, int timeout_ms, struct err *err)
{
	int64_t deadline = now_mono_ms() + timeout_ms;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_errno(err, errno, "pipe to the engine role");
	for (size_t at = 0; at < f->len;) {
		ssize_t n = write(fd, f->data + at, f->len - at);
		if (n >= 0)
			at += (size_t)n;
		else if (errno == EPIPE)
			return err_set(err, ERR_UNREACHABLE, "the engine role closed the pipe for the secrets");
		else if (errno != EAGAIN && errno != EINTR)
			return err_errno(err, errno, "pipe to the engine role");
		else if (errno == EAGAIN && wait_writable(fd, deadline, err) < 0)
			return -1;
	}
	return 0;
}
