/* What an age file says about itself: its secret's name, its recipients, its fingerprint. See age.h. */
#include "lib/cleanup.h"
#include "vault/age/age_format.h"
#include <stdlib.h>
#include <string.h>

bool age_is_label(struct age_slice type)
{
	return age_slice_is(type, AGE_NAME_TYPE) || age_slice_is(type, AGE_RECIPIENTS_TYPE);
}

/* The argument of the only stanza of a type. 1: *ret; 0: there is none; -1: it is there twice, has a body or not one argument. */
static int label(const struct age_header *h, const char *type, struct age_slice *ret)
{
	int found = 0;
	for (size_t i = 0; i < h->n_stanzas; i++) {
		const struct age_stanza *s = &h->stanzas[i];
		if (!age_slice_is(s->type, type))
			continue;
		if (found || s->body_len != 0 || age_stanza_args(s, ret, 1) < 0)
			return -1;
		found = 1;
	}
	return found;
}

int age_header_name(const struct age_header *h, char ret[static VAULT_SECRET_MAX + 1], struct err *err)
{
	struct age_slice arg;
	int rc = label(h, AGE_NAME_TYPE, &arg);
	ret[0] = '\0';
	if (rc == 0)
		return 0;
	if (rc > 0 && arg.len <= VAULT_SECRET_MAX) {
		memcpy(ret, arg.p, arg.len);
		ret[arg.len] = '\0';
		if (vault_is_secret(ret))
			return 0;
		ret[0] = '\0';
	}
	return err_set(err, ERR_INVALID,
	               "age header: must have one " AGE_NAME_TYPE " at most, with the name of a secret and an empty body");
}

int age_name_refused(const char *file_name, const char *name, struct err *err)
{
	return err_set(err, ERR_INVALID,
	               "was encrypted as %s; a secret works under its own name only: store the value anew with 'disinto secrets add -f %s'",
	               file_name, name);
}

/* Said by whoever made the file; one that can't be understood says nothing. */
static void recipients_of(const struct age_header *h, struct age_facts *ret)
{
	struct age_slice arg;
	if (label(h, AGE_RECIPIENTS_TYPE, &arg) > 0 && arg.len == AGE_DIGEST_ROOM - 1)
		memcpy(ret->digest, arg.p, arg.len);
	for (size_t i = 0; i < h->n_stanzas; i++)
		ret->n_recipients += !age_is_label(h->stanzas[i].type);
}

static int examine_binary(const unsigned char *file, size_t len, struct age_facts *ret, struct err *err)
{
	struct age_header h cleanup_age_header = AGE_HEADER_INIT;
	struct age_facts facts = {.n_recipients = 0};
	if (age_header_parse(file, len, &h, err) < 0 || age_header_name(&h, facts.name, err) < 0)
		return -1;
	if (len - h.len < AGE_NONCE)
		return err_set(err, ERR_INVALID, "age header: the nonce behind it is missing: the file was cut off");
	sodium_bin2hex(facts.fingerprint, sizeof(facts.fingerprint), h.mac, sizeof(h.mac));
	sodium_bin2hex(facts.fingerprint + 2 * sizeof(h.mac), 2 * AGE_NONCE + 1, file + h.len, AGE_NONCE);
	recipients_of(&h, &facts);
	*ret = facts;
	return 0;
}

int age_examine(const void *file, size_t len, struct age_facts *ret, struct err *err)
{
	if (!age_is_armoured(file, len))
		return examine_binary(file, len, ret, err);
	struct buf binary cleanup_buf = BUF_INIT;
	if (age_armour_decode(file, len, &binary, err) < 0)
		return -1;
	return examine_binary((const unsigned char *)binary.data, binary.len, ret, err);
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

void age_recipients_digest(const struct age_recipients *r, char ret[static AGE_DIGEST_ROOM])
{
	uint8_t(*keys)[32] cleanup_free = xcalloc(r->n + 1, sizeof(*keys));
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state state;
	for (size_t i = 0; i < r->n; i++)
		memcpy(keys[i], r->keys[i], sizeof(keys[i]));
	qsort(keys, r->n, sizeof(*keys), compare_keys);
	crypto_hash_sha256_init(&state);
	for (size_t i = 0; i < r->n; i++)
		if (i == 0 || compare_keys(keys[i], keys[i - 1]) != 0)
			crypto_hash_sha256_update(&state, keys[i], sizeof(keys[i]));
	crypto_hash_sha256_final(&state, hash);
	sodium_bin2base64(ret, AGE_DIGEST_ROOM, hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}
