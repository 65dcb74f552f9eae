/*
 * SSH signatures, keys and signed commits of any bytes. By how it begins: "tree" is a commit object, "ssh-" a public key, "-----BEGIN OPENSSH" a private key, 'b' the
 * inside of a signature, all else an armoured signature.
 */
#include "lib/cleanup.h"
#include "tests/fuzz/must.h"
#include "vault/ssh/commit_signature.h"
#include "vault/ssh/ssh_signature.h"
#include "vault/ssh/ssh_wire.h"
#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char message[] = "message";

/* Refused in words that a terminal may show, or verified one way or the other. */
static void check_signature(const char *armour, size_t len)
{
	cleanup_err struct err err = ERR_INIT;
	struct ssh_signature sig;

	if (ssh_signature_parse(armour, len, "git", &sig, &err) < 0) {
		must_refuse(&err, "SSH signature: ");
		return;
	}
	must(!err.msg && (sig.hash == SSH_HASH_SHA256 || sig.hash == SSH_HASH_SHA512));
	if (ssh_signature_verify(&sig, "git", message, strlen(message), &err) < 0)
		must_refuse(&err, "SSH signature: does not fit");
}

static void check_blob(const uint8_t *blob, size_t len)
{
	cleanup_buf struct buf armour = BUF_INIT;

	ssh_armour_encode(&armour, "SSH SIGNATURE", blob, len);
	check_signature(armour.data, armour.len);
}

static void check_public(const char *text, size_t len)
{
	cleanup_err struct err err = ERR_INIT;
	struct ssh_public_key key, again;

	if (ssh_public_key_parse(text, len, &key, &err) < 0) {
		must_refuse(&err, "is ");
		return;
	}
	cleanup_free char *canonical = ssh_public_key_text(&key);
	must(ssh_public_key_parse(canonical, strlen(canonical), &again, NULL) == 0 && ssh_public_key_equal(&key, &again));
}

/* A key that is taken can sign, and fits its public key. */
static void check_private(const char *text, size_t len)
{
	cleanup_ssh_private_key struct ssh_private_key *key = NULL;
	cleanup_err struct err err = ERR_INIT;
	cleanup_buf struct buf armour = BUF_INIT;
	struct ssh_signature sig;

	if (ssh_private_key_parse(text, len, &key, &err) < 0) {
		must(!key && (err.code == ERR_INVALID || err.code == ERR_DENIED));
		return;
	}
	ssh_sign(key, "git", message, strlen(message), &armour);
	must(ssh_signature_parse(armour.data, armour.len, "git", &sig, NULL) == 0);
	must(ssh_public_key_equal(&sig.key, ssh_private_key_public(key)));
	must(ssh_signature_verify(&sig, "git", message, strlen(message), NULL) == 0);
}

/* Nothing is lost between signature and payload but the header's own name and blanks. */
static void check_commit(const char *object, size_t len)
{
	cleanup_signed_commit struct signed_commit c = SIGNED_COMMIT_INIT;
	cleanup_err struct err err = ERR_INIT;

	if (signed_commit_split(object, len, &c, &err) < 0) {
		must(err.code == ERR_INVALID);
		return;
	}
	size_t lines = 1;
	for (const char *p = c.armour.data; (p = strchr(p, '\n')); p++)
		lines++;
	must(c.payload.len + c.armour.len + strlen("gpgsig ") + lines == len);
	must(c.message <= c.payload.len && memcmp(c.payload.data + c.message - 2, "\n\n", 2) == 0);
	must(memcmp(object + len - (c.payload.len - c.message), c.payload.data + c.message, c.payload.len - c.message) == 0);
	char *end = c.payload.data + c.message - 1;
	*end = '\0';
	must(!strstr(c.payload.data, "\ngpgsig"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char private[] = "-----BEGIN OPENSSH";
	const char *text = (const char *)data;

	if (sodium_init() < 0)
		abort();
	if (size > 4 && memcmp(data, "tree", 4) == 0)
		check_commit(text, size);
	else if (size > 4 && memcmp(data, "ssh-", 4) == 0)
		check_public(text, size);
	else if (size > sizeof(private) && memcmp(data, private, sizeof(private) - 1) == 0)
		check_private(text, size);
	else if (size > 0 && data[0] == 'b')
		check_blob(data + 1, size - 1);
	else
		check_signature(text, size);
	return 0;
}
