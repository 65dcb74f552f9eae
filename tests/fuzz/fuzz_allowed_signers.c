/* Lists of allowed signers of any bytes. Whatever a list says, only names come out of it, and only for its own keys. */
#include "lib/cleanup.h"
#include "tests/fuzz/must.h"
#include "vault/ssh/allowed_signers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key_text[] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlY8GOXkKHB7pgF/hUw1E7iLPeQoMuwrXeQ639hQPGH"; /* stands in the seeds */

/* Each of the names could be somebody's: not empty, no pattern, nothing that a terminal would obey. */
static void check_names(const char *names)
{
	must(*names && !names[strcspn(names, "*?!")] && text_check(names, strlen(names), NULL) == 0);
	must(*names != ',' && names[strlen(names) - 1] != ',' && !strstr(names, ",,"));
}

static void find(const struct allowed_signers *s, struct signing *signing)
{
	cleanup_err struct err err = ERR_INIT;
	cleanup_free char *names = NULL;

	if (allowed_signers_find(s, signing, &names, &err) < 0) {
		must_refuse(&err, "the key SHA256:");
		must(!names);
	} else {
		check_names(names);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_allowed_signers struct allowed_signers *s = NULL;
	cleanup_err struct err err = ERR_INIT;
	struct ssh_public_key key, nobody = {{0}};
	struct signing signing = {.key = &key, .namespace = "git", .time = 1700000000, .name = "somebody@example"};

	must(ssh_public_key_parse(key_text, strlen(key_text), &key, NULL) == 0);
	if (allowed_signers_parse((const char *)data, size, "signers", &s, &err) < 0) {
		must_refuse(&err, "signers: ");
		must(!s);
		return 0;
	}
	for (size_t i = 0; allowed_signers_note(s, i); i++)
		must(strncmp(allowed_signers_note(s, i), "signers: line ", 14) == 0);
	find(s, &signing);
	signing.time = INT64_MAX;
	find(s, &signing);
	signing.time = INT64_MIN;
	signing.earliest = INT64_MAX;
	find(s, &signing);
	signing.name = "*";
	signing.namespace = "";
	find(s, &signing);
	signing.key = &nobody;
	find(s, &signing);
	return 0;
}
