#include "vault/token.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"

#include <sodium.h>
#include <string.h>
#include <sys/types.h>

#define HASH_HEX 64

static const char *const names[] = {"none", "propose", "read", "operate", "local"};

const char *scope_name(enum scope s)
{
	return (unsigned)s < sizeof(names) / sizeof(*names) ? names[s] : "none";
}

int scope_parse(const char *name, enum scope *ret)
{
	for (int s = SCOPE_PROPOSE; name && s <= SCOPE_OPERATE; s++)
		if (strcmp(name, names[s]) == 0) {
			*ret = (enum scope)s;
			return 0;
		}
	return -1;
}

int token_is_name(const char *s)
{
	size_t len = strlen(s);

	return len >= 1 && len <= 32 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

void token_hash(const char *text, size_t len, uint8_t ret[static 32])
{
	crypto_hash_sha256(ret, (const unsigned char *)text, len);
}

void token_new(char ret_text[static TOKEN_TEXT_MAX], uint8_t ret_hash[static 32])
{
	unsigned char random[32];

	randombytes_buf(random, sizeof(random));
	sodium_bin2base64(ret_text, TOKEN_TEXT_MAX, random, sizeof(random), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	token_hash(ret_text, strlen(ret_text), ret_hash);
	sodium_memzero(random, sizeof(random));
}

/* Its index, or -1. */
static ssize_t find(const json_t *list, const char *name)
{
	const json_t *token;
	size_t i;

	json_array_foreach (list, i, token)
		if (strcmp(json_string_value(json_object_get(token, "name")), name) == 0)
			return (ssize_t)i;
	return -1;
}

static int read_hash(const char *hex, uint8_t ret[static 32])
{
	size_t len;

	return hex && strlen(hex) == HASH_HEX && sodium_hex2bin(ret, 32, hex, HASH_HEX, NULL, &len, NULL) == 0 && len == 32 ? 0 : -1;
}

int tokens_add(json_t *list, const char *name, const char *scope, const char *sha256, const char *created, struct err *err)
{
	uint8_t hash[32];
	enum scope s;

	if (!name || !token_is_name(name))
		return err_set(err, ERR_INVALID, "name: must be " TOKEN_NAME_RULE);
	if (scope_parse(scope, &s) < 0)
		return err_set(err, ERR_INVALID, "scope: must be propose, read or operate");
	if (read_hash(sha256, hash) < 0)
		return err_set(err, ERR_INVALID, "sha256: must be %d hexadecimal digits", HASH_HEX);
	if (json_array_size(list) >= TOKENS_MAX)
		return err_set(err, ERR_INVALID, "there are %d tokens already; revoke one", TOKENS_MAX);
	if (find(list, name) >= 0)
		return err_set(err, ERR_EXISTS, "there is a token %s already; revoke it first, or choose another name", name);
	json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?}", "name", name, "scope", scope, "sha256", sha256, "created", created));
	return 0;
}

int tokens_revoke(json_t *list, const char *name, struct err *err)
{
	ssize_t at = find(list, name);

	if (at < 0)
		return err_set(err, ERR_NOT_FOUND, "there is no token %s", name);
	json_array_remove(list, (size_t)at);
	return 0;
}

int tokens_parse(const char *text, size_t len, json_t **ret, struct err *err)
{
	static const struct json_limits limits = {TOKENS_MAX * 512, 4};
	cleanup_json json_t *file = NULL, *list = json_array();
	const json_t *token;
	size_t i;

	if (json_parse_strict(text, len, &limits, &file, err) < 0)
		return -1;
	if (!json_is_array(json_object_get(file, "tokens")))
		return err_set(err, ERR_INVALID, "tokens: must be a list");
	json_array_foreach (json_object_get(file, "tokens"), i, token)
		if (tokens_add(list, json_string_value(json_object_get(token, "name")), json_string_value(json_object_get(token, "scope")),
		               json_string_value(json_object_get(token, "sha256")), json_string_value(json_object_get(token, "created")),
		               err) < 0)
			return err_wrap(err, "tokens[%zu]", i);
	*ret = json_incref(list);
	return 0;
}

enum scope tokens_scope(const json_t *list, const char *text, size_t len)
{
	enum scope best = SCOPE_NONE;
	uint8_t given[32], kept[32];
	const json_t *token;
	size_t i;

	token_hash(text, len, given);
	json_array_foreach (list, i, token) {
		enum scope s;
		if (read_hash(json_string_value(json_object_get(token, "sha256")), kept) < 0 ||
		    scope_parse(json_string_value(json_object_get(token, "scope")), &s) < 0)
			continue;
		if (sodium_memcmp(given, kept, sizeof(given)) == 0 && s > best)
			best = s;
	}
	return best;
}
