/* age: files, armour, identities, recipients of any bytes; what was encrypted comes back. First byte: which. */
#include "lib/cleanup.h"
#include "vault/age/age.h"
#include "vault/age/age_format.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_PLAIN ((size_t)1 << 20)

static const char identity[] = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
static struct age_identities *ids;
static struct age_recipients to;

static void prepare(void)
{
	if (ids)
		return;
	if (age_identities_parse(identity, strlen(identity), "fuzz", &ids, NULL) < 0)
		abort();
	char *recipient cleanup_free = age_identity_recipient(ids, 0);
	if (age_recipients_parse(recipient, strlen(recipient), "fuzz", &to, NULL) < 0)
		abort();
}

/* Plaintext and error, one of the two. */
static void decrypt(const void *file, size_t len)
{
	struct err err cleanup_err = ERR_INIT;
	unsigned char *plain = NULL;
	size_t plain_len = 0;
	int rc = age_decrypt(ids, NULL, file, len, MAX_PLAIN, &plain, &plain_len, &err);
	if (rc == 0 ? !plain || err.code != ERR_NONE : plain || (err.code != ERR_INVALID && err.code != ERR_DENIED))
		abort();
	sodium_free(plain);
	struct age_facts facts;
	bool told = age_examine(file, len, &facts, NULL) == 0;
	if ((rc == 0 && !told) || (told && strlen(facts.fingerprint) != AGE_FINGERPRINT_ROOM - 1) ||
	    (told && facts.name[0] && !vault_is_secret(facts.name)))
		abort();
}

static void parse_identities(const char *text, size_t len)
{
	struct err err cleanup_err = ERR_INIT;
	struct age_identities *some = NULL;
	if (age_identities_parse(text, len, "fuzz", &some, &err) == 0) {
		for (size_t i = 0; i < age_identities_count(some); i++)
			free(age_identity_recipient(some, i));
	} else if (some || err.code != ERR_INVALID) {
		abort();
	}
	age_identities_free(some);
}

static void parse_recipients(const char *text, size_t len)
{
	struct err err cleanup_err = ERR_INIT;
	struct age_recipients some = {.n = 0};
	if (age_recipients_parse(text, len, "fuzz", &some, &err) < 0 && err.code != ERR_INVALID)
		abort();
	age_recipients_free(&some);
}

static void round_trip(const unsigned char *plain, size_t len)
{
	struct buf file cleanup_buf = BUF_INIT;
	unsigned char *back = NULL;
	size_t back_len = 0;
	if (age_encrypt(&to, len % 2 ? "NAME" : NULL, plain, len, &file, NULL) < 0 ||
	    age_decrypt(ids, "NAME", file.data, file.len, MAX_PLAIN, &back, &back_len, NULL) < 0 || back_len != len ||
	    memcmp(back, plain, len) != 0)
		abort();
	sodium_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	prepare();
	switch (data[0]) {
	case 'i':
		parse_identities((const char *)data + 1, size - 1);
		break;
	case 'r':
		parse_recipients((const char *)data + 1, size - 1);
		break;
	case 'e':
		round_trip(data + 1, size - 1);
		break;
	default: /* files as they are: they begin with 'a', '-' or white space */
		decrypt(data, size);
	}
	return 0;
}
