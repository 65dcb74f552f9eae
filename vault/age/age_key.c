/* age identities and recipients: X25519 key pairs in Bech32. See age.h. */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "vault/age/age.h"
#include "vault/age/age_format.h"
#include "vault/age/bech32.h"
#include <stdio.h>
#include <string.h>

#define RECIPIENT_HRP "age"
#define IDENTITY_HRP "age-secret-key-"
#define RECIPIENT_ROOM BECH32_ROOM(sizeof(RECIPIENT_HRP) - 1, 32)
#define IDENTITY_ROOM BECH32_ROOM(sizeof(IDENTITY_HRP) - 1, 32)

struct age_identities {
	struct age_key *keys; /* guarded memory */
	size_t n;
};

static bool begins_with(struct age_slice s, const char *prefix)
{
	return s.len >= strlen(prefix) && memcmp(s.p, prefix, strlen(prefix)) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next line that says something, without whitespace around it; false at the end. Counts lines. */
static bool next_entry(struct age_slice *rest, size_t *line_number, struct age_slice *ret)
{
	while (rest->len > 0) {
		const char *end = memchr(rest->p, '\n', rest->len);
		size_t len = end ? (size_t)(end - rest->p) : rest->len;
		struct age_slice line = {rest->p, len};
		len += end ? 1 : 0;
		*rest = (struct age_slice){rest->p + len, rest->len - len};
		++*line_number;
		while (line.len > 0 && is_blank(line.p[line.len - 1]))
			line.len--;
		while (line.len > 0 && is_blank(line.p[0]))
			line = (struct age_slice){line.p + 1, line.len - 1};
		if (line.len > 0 && line.p[0] != '#') {
			*ret = line;
			return true;
		}
	}
	return false;
}

static size_t count_entries(struct age_slice text)
{
	struct age_slice entry;
	size_t n = 0, line = 0;
	while (next_entry(&text, &line, &entry))
		n++;
	return n;
}

struct other_kind {
	const char *prefix;
	const char *why;
};

static const char *why_not(const struct other_kind *kinds, struct age_slice entry)
{
	for (; kinds->prefix; kinds++)
		if (begins_with(entry, kinds->prefix))
			return kinds->why;
	return NULL;
}

static int parse_identity(struct age_slice entry, struct age_key *ret, struct err *err)
{
	static const struct other_kind kinds[] = {
	    {"AGE-PLUGIN-", "is the identity of a plugin, which a daemon can't use; make one with `disinto secrets keygen`"},
	    {"AGE-SECRET-KEY-PQ-1", "is a hybrid (post-quantum) identity, which is not supported; make one with `disinto secrets keygen`"},
	    {"age1", "is a recipient (public key), not an identity; the identity begins with AGE-SECRET-KEY-1"},
	    {"age-encryption.org/", "belongs to an encrypted file; decrypt the identity file first"},
	    {"-----BEGIN AGE", "belongs to an encrypted file; decrypt the identity file first"},
	    {"-----BEGIN", "is an SSH or PEM key, which is not supported; make an identity with `disinto secrets keygen`"},
	    {NULL, NULL},
	};
	const char *why = why_not(kinds, entry);
	if (why)
		return err_set(err, ERR_INVALID, "%s", why);
	if (bech32_decode(entry.p, entry.len, IDENTITY_HRP, ret->secret, sizeof(ret->secret), err) < 0)
		return err_wrap(err, "is no identity (AGE-SECRET-KEY-1…)");
	crypto_scalarmult_base(ret->recipient, ret->secret);
	return 0;
}

static void cleanup_identities(struct age_identities **ids)
{
	age_identities_free(*ids);
}

int age_identities_parse(const char *text, size_t len, const char *where, struct age_identities **ret, struct err *err)
{
	struct age_slice rest = {text, len}, entry;
	size_t n = count_entries(rest), line = 0;
	if (sodium_init() < 0)
		return err_set(err, ERR_FAIL, "%s: libsodium does not start", where);
	if (n == 0)
		return err_set(err, ERR_INVALID, "%s: holds no identity (a line AGE-SECRET-KEY-1…); make one with `disinto secrets keygen`",
		               where);
	struct age_identities *ids __attribute__((cleanup(cleanup_identities))) = xcalloc(1, sizeof(*ids));
	ids->keys = sodium_allocarray(n, sizeof(*ids->keys));
	if (!ids->keys)
		return err_set(err, ERR_FAIL, "%s: no guarded memory for %zu identities", where, n);
	while (next_entry(&rest, &line, &entry)) {
		if (parse_identity(entry, &ids->keys[ids->n], err) < 0)
			return err_wrap(err, "%s: line %zu", where, line);
		ids->n++;
	}
	sodium_mprotect_readonly(ids->keys);
	*ret = steal_ptr(&ids);
	return 0;
}

void age_identities_free(struct age_identities *ids)
{
	if (!ids)
		return;
	sodium_free(ids->keys);
	free(ids);
}

size_t age_identities_count(const struct age_identities *ids)
{
	return ids->n;
}

const struct age_key *age_identities_keys(const struct age_identities *ids, size_t *ret_n)
{
	*ret_n = ids->n;
	return ids->keys;
}

static char *recipient_text(const uint8_t key[static 32])
{
	char *text = xmalloc(RECIPIENT_ROOM);
	bech32_encode(RECIPIENT_HRP, key, 32, text);
	return text;
}

char *age_identity_recipient(const struct age_identities *ids, size_t i)
{
	return recipient_text(ids->keys[i].recipient);
}

int age_keygen(char **ret_text, size_t *ret_len, char **ret_recipient, struct err *err)
{
	static const char format[] = "# created: %s\n# public key: %s\n";
	char created[21];
	size_t room = sizeof(format) + sizeof(created) + RECIPIENT_ROOM + IDENTITY_ROOM;
	if (sodium_init() < 0)
		return err_set(err, ERR_FAIL, "libsodium does not start");
	struct age_key *key = sodium_malloc(sizeof(*key));
	char *text = sodium_malloc(room);
	if (!key || !text) {
		sodium_free(key);
		sodium_free(text);
		return err_set(err, ERR_FAIL, "no guarded memory for an identity");
	}
	randombytes_buf(key->secret, sizeof(key->secret));
	crypto_scalarmult_base(key->recipient, key->secret);
	char *recipient = recipient_text(key->recipient);
	size_t len = (size_t)snprintf(text, room, format, time_format(now_wall_ms(), created), recipient);
	bech32_encode(IDENTITY_HRP, key->secret, sizeof(key->secret), text + len);
	sodium_free(key);
	for (; text[len]; len++)
		text[len] = text[len] >= 'a' && text[len] <= 'z' ? (char)(text[len] & ~0x20) : text[len];
	text[len++] = '\n';
	*ret_text = text;
	*ret_len = len;
	*ret_recipient = recipient;
	return 0;
}

/* "age1NAME1…", a plugin's; "age1" and only data is ours. */
static bool is_plugin_recipient(struct age_slice entry)
{
	return begins_with(entry, "age1") && memchr(entry.p + 4, '1', entry.len - 4);
}

static int parse_recipient(struct age_slice entry, uint8_t ret[static 32], struct err *err)
{
	static const struct other_kind kinds[] = {
	    {"AGE-SECRET-KEY-", "is a private key; take it out of here and make a new one, for whoever reads this file has it"},
	    {"age1pq1", "is a hybrid (post-quantum) recipient, which is not supported; use an X25519 one (age1…, 62 characters)"},
	    {"ssh-", "is an SSH key, which is not supported; use an age recipient (age1…, 62 characters)"},
	    {NULL, NULL},
	};
	const char *why = why_not(kinds, entry);
	if (why)
		return err_set(err, ERR_INVALID, "%s", why);
	if (is_plugin_recipient(entry))
		return err_set(err, ERR_INVALID,
		               "is the recipient of a plugin, which is not supported; use an X25519 one (age1…, 62 characters)");
	if (bech32_decode(entry.p, entry.len, RECIPIENT_HRP, ret, 32, err) < 0)
		return err_wrap(err, "is no recipient (age1…, 62 characters)");
	return 0;
}

static void cleanup_recipients(struct age_recipients *r)
{
	age_recipients_free(r);
}

int age_recipients_parse(const char *text, size_t len, const char *where, struct age_recipients *ret, struct err *err)
{
	struct age_slice rest = {text, len}, entry;
	size_t n = count_entries(rest), line = 0;
	struct age_recipients r __attribute__((cleanup(cleanup_recipients))) = {.n = 0};
	if (n == 0)
		return err_set(err, ERR_INVALID, "%s: holds no recipient (a line age1…)", where);
	r.keys = xcalloc(n, sizeof(*r.keys));
	while (next_entry(&rest, &line, &entry)) {
		if (parse_recipient(entry, r.keys[r.n], err) < 0)
			return err_wrap(err, "%s: line %zu", where, line);
		r.n++;
	}
	*ret = r;
	r.keys = NULL;
	return 0;
}

void age_recipients_free(struct age_recipients *r)
{
	free(r->keys);
	*r = (struct age_recipients){.n = 0};
}
