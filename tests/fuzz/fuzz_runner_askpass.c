/*
 * Git's question for a credential. A user name may hold anything, since git shows it decoded, and so may a path; a host may not. So whoever
 * gets an answer must be the named host in both readings: with the first / ending the host, and with the last @ beginning it.
 */
#include "lib/buf.h"
#include "runner/askpass.h"
#include "tests/fuzz/must.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char map[] = "a.b=ONE c:81=TWO";

/* Whether host[0..len) is the one of that secret, with or without the port that goes without saying. */
static bool is_host(const char *host, size_t len, const char *secret, const char *port)
{
	const char *name = strcmp(secret, "ONE") == 0 ? "a.b" : "c:81";
	size_t n = strlen(name);

	if (len < n || strncasecmp(host, name, n) != 0)
		return false;
	return len == n || (len == n + strlen(port) && strncmp(host + n, port, len - n) == 0);
}

static void check(const char *question, const char *secret)
{
	const char *url = strstr(question, "://") + 3;
	const char *end = question + strlen(question) - strlen("': ");
	const char *port = strstr(question, "'https://") ? ":443" : ":80";
	const char *slash = memchr(url, '/', (size_t)(end - url));
	const char *authority_end = slash ? slash : end;
	const char *at = memrchr(url, '@', (size_t)(authority_end - url));
	const char *first = at ? at + 1 : url;
	must(is_host(first, (size_t)(authority_end - first), secret, port));

	const char *last_at = memrchr(url, '@', (size_t)(end - url));
	const char *second = last_at ? last_at + 1 : url;
	const char *second_slash = memchr(second, '/', (size_t)(end - second));
	must(is_host(second, (size_t)((second_slash ? second_slash : end) - second), secret, port));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const heads[] = {"", "Username for '", "Password for 'https://", "Password for 'http://",
	                                    "Password for 'https://a.b"};
	char secret[VAULT_SECRET_MAX + 1];

	if (size < 1)
		return 0;
	char *question = xasprintf("%s%.*s%s", heads[data[0] % 5], (int)(size - 1), (const char *)data + 1, data[0] & 0x80 ? "" : "': ");
	if (askpass_parse(question, map, secret) != ASKPASS_NOTHING)
		check(question, secret);
	free(question);
	return 0;
}
