#include "dispatcher/web/hook.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define SECRET_MAX 1024
#define HEX (2 * crypto_auth_hmacsha256_BYTES)

void hook_secret_free(struct hook_secret *s)
{
	sodium_free(s->bytes);
	*s = (struct hook_secret){NULL, 0};
}

int hook_secret_read(int fd, struct hook_secret *ret, struct err *err)
{
	struct hook_secret s = {sodium_malloc(SECRET_MAX + 1), 0};

	if (!s.bytes)
		return err_set(err, ERR_FAIL, "the webhook's secret: no guarded memory");
	ssize_t n = pread(fd, s.bytes, SECRET_MAX + 1, 0);
	s.len = n > 0 ? (size_t)n : 0;
	while (s.len > 0 && (s.bytes[s.len - 1] == '\n' || s.bytes[s.len - 1] == '\r'))
		s.len--;
	if (n < 0 || n > SECRET_MAX || s.len < HOOK_SECRET_MIN) {
		hook_secret_free(&s);
		return err_set(err, ERR_INVALID, "must hold %d to %d bytes; make one with: openssl rand -hex 32", HOOK_SECRET_MIN,
		               SECRET_MAX);
	}
	*ret = s;
	return 0;
}

bool hook_is_signed(const struct hook_secret *s, const void *body, size_t len, hook_header_fn header, void *arg)
{
	static const struct {
		const char *name, *prefix;
	} headers[] = {
	    {"X-Forgejo-Signature", ""}, {"X-Gitea-Signature", ""}, {"X-Gogs-Signature", ""}, {"X-Hub-Signature-256", "sha256="}};
	crypto_auth_hmacsha256_state state;
	unsigned char mac[crypto_auth_hmacsha256_BYTES];
	char hex[HEX + 1];
	bool seen = false, wrong = false;

	if (!s->bytes)
		return false;
	crypto_auth_hmacsha256_init(&state, s->bytes, s->len);
	crypto_auth_hmacsha256_update(&state, body, len);
	crypto_auth_hmacsha256_final(&state, mac);
	sodium_bin2hex(hex, sizeof(hex), mac, sizeof(mac));
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		const char *value = header(headers[i].name, arg);
		size_t skip = strlen(headers[i].prefix);
		if (!value)
			continue;
		seen = true;
		wrong |= strlen(value) != skip + HEX || strncmp(value, headers[i].prefix, skip) != 0 ||
		         sodium_memcmp(value + skip, hex, HEX) != 0;
	}
	sodium_memzero(&state, sizeof(state));
	return seen && !wrong;
}
