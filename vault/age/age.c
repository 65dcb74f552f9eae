/* age files as a whole: which recipient opens one, and how one is made. See age.h. */
#include "vault/age/age.h"

#include "lib/cleanup.h"
#include "vault/age/age_format.h"
#include <string.h>

#define TYPE_SHOWN 32 /* characters of a foreign recipient type in a message */

/* Tries the identities on one X25519 recipient. 1: k->file_key is known; 0: it is somebody else's; -1: malformed. */
static int open_x25519(struct age_keys *k, const struct age_identities *ids, const struct age_stanza *s)
{
	struct age_slice arg;
	uint8_t share[32];
	size_t n;
	const struct age_key *keys = age_identities_keys(ids, &n);
	if (s->body_len != AGE_WRAPPED || age_stanza_args(s, &arg, 1) < 0 || age_base64_decode(arg, share, sizeof(share)) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (age_x25519_wrap_key(k, keys[i].secret, share, share, keys[i].recipient) < 0)
			return -1;
		if (age_unwrap(k, s->body) == 0)
			return 1;
	}
	return 0;
}

/* Kinds of recipients that are not X25519, each once, for messages. */
static void list_kinds(const struct age_header *h, struct buf *ret)
{
	for (size_t i = 0; i < h->n_stanzas; i++) {
		struct age_slice type = h->stanzas[i].type;
		bool seen = age_slice_is(type, "X25519") || age_is_label(type);
		for (size_t j = 0; j < i && !seen; j++)
			seen = type.len == h->stanzas[j].type.len && memcmp(type.p, h->stanzas[j].type.p, type.len) == 0;
		if (!seen && ret->len < 4 * TYPE_SHOWN)
			buf_addf(ret, "%s%.*s", ret->len > 0 ? ", " : "", (int)(type.len < TYPE_SHOWN ? type.len : TYPE_SHOWN), type.p);
	}
}

static int no_match(const struct age_identities *ids, const struct age_header *h, size_t n_x25519, struct err *err)
{
	struct buf kinds cleanup_buf = BUF_INIT;
	list_kinds(h, &kinds);
	if (n_x25519 == 0)
		return err_set(err, ERR_DENIED,
		               "age: is only for recipients of kinds that need a plugin (%s); encrypt it to an age1… recipient",
		               kinds.data);
	return err_set(err, ERR_DENIED, "age: none of %zu identities opens it; it is for %zu age1… recipients%s%s%s",
	               age_identities_count(ids), n_x25519, kinds.len > 0 ? " and others (" : "", kinds.data, kinds.len > 0 ? ")" : "");
}

/* Finds the file key. A passphrase is a recipient that stands alone, and nobody is there to type it. */
static int find_file_key(struct age_keys *k, const struct age_identities *ids, const struct age_header *h, struct err *err)
{
	size_t n_x25519 = 0;
	bool found = false;
	for (size_t i = 0; i < h->n_stanzas; i++)
		if (age_slice_is(h->stanzas[i].type, "scrypt"))
			return h->n_stanzas > 1 ? err_set(err, ERR_INVALID, "age header: a passphrase must be the only recipient")
			                        : err_set(err, ERR_INVALID,
			                                  "age: is encrypted with a passphrase; encrypt it to an age1… recipient instead");
	for (size_t i = 0; i < h->n_stanzas && !found; i++) {
		if (!age_slice_is(h->stanzas[i].type, "X25519"))
			continue;
		n_x25519++;
		int rc = open_x25519(k, ids, &h->stanzas[i]);
		if (rc < 0)
			return err_set(err, ERR_INVALID, "age header: recipient %zu is no valid X25519 recipient", i + 1);
		found = rc > 0;
	}
	return found ? 0 : no_match(ids, h, n_x25519, err);
}

static int decrypt_binary(const struct age_identities *ids, const char *name, const unsigned char *file, size_t len, size_t max,
                          unsigned char **ret_plain, size_t *ret_len, struct err *err)
{
	struct age_header h cleanup_age_header = AGE_HEADER_INIT;
	char bound[VAULT_SECRET_MAX + 1];
	if (age_header_parse(file, len, &h, err) < 0 || age_header_name(&h, bound, err) < 0)
		return -1;
	struct age_keys *k cleanup_age_keys = age_keys_new();
	if (find_file_key(k, ids, &h, err) < 0 || age_verify_header(k, &h, err) < 0)
		return -1;
	if (name && bound[0] && strcmp(name, bound) != 0)
		return age_name_refused(bound, name, err);
	return age_payload_open(k, file + h.len, len - h.len, max, ret_plain, ret_len, err);
}

int age_decrypt(const struct age_identities *ids, const char *name, const void *file, size_t len, size_t max, unsigned char **ret_plain,
                size_t *ret_len, struct err *err)
{
	if (!age_is_armoured(file, len))
		return decrypt_binary(ids, name, file, len, max, ret_plain, ret_len, err);
	struct buf binary cleanup_buf = BUF_INIT;
	if (age_armour_decode(file, len, &binary, err) < 0)
		return -1;
	return decrypt_binary(ids, name, (const unsigned char *)binary.data, binary.len, max, ret_plain, ret_len, err);
}

static int add_recipient(struct age_keys *k, const uint8_t recipient[static 32], struct buf *header)
{
	uint8_t share[32], wrapped[AGE_WRAPPED];
	randombytes_buf(k->ephemeral, sizeof(k->ephemeral));
	if (crypto_scalarmult_base(share, k->ephemeral) != 0 || age_x25519_wrap_key(k, k->ephemeral, recipient, share, recipient) < 0)
		return -1;
	age_wrap(k, wrapped);
	age_header_add_stanza(header, "X25519", share, sizeof(share), wrapped, sizeof(wrapped));
	return 0;
}

static void add_labels(const struct age_recipients *to, const char *name, struct buf *header)
{
	char digest[AGE_DIGEST_ROOM];
	age_recipients_digest(to, digest);
	age_header_add_label(header, AGE_NAME_TYPE, name);
	age_header_add_label(header, AGE_RECIPIENTS_TYPE, digest);
}

int age_encrypt(const struct age_recipients *to, const char *name, const unsigned char *plain, size_t len, struct buf *ret, struct err *err)
{
	struct buf header cleanup_buf = BUF_INIT;
	struct age_keys *k cleanup_age_keys = age_keys_new();
	uint8_t mac[32];
	if (to->n == 0 || to->n > AGE_RECIPIENTS_MAX)
		return err_set(err, ERR_INVALID, "age: %zu recipients; 1 to %d are allowed", to->n, AGE_RECIPIENTS_MAX);
	if (name && !vault_is_secret(name))
		return err_set(err, ERR_INVALID, "age: '%s' is no name for a secret: " VAULT_SECRET_RULE, name);
	randombytes_buf(k->file_key, sizeof(k->file_key));
	buf_adds(&header, AGE_VERSION_LINE);
	for (size_t i = 0; i < to->n; i++)
		if (add_recipient(k, to->keys[i], &header) < 0)
			return err_set(err, ERR_INVALID, "age: recipient %zu is no usable public key", i + 1);
	if (name)
		add_labels(to, name, &header);
	buf_adds(&header, "---");
	age_header_mac(k, header.data, header.len, mac);
	age_header_add_mac(&header, mac);
	buf_add(ret, header.data, header.len);
	age_payload_seal(k, plain, len, ret);
	return 0;
}
