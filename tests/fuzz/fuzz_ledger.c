/*
 * The ledger's files: whatever the bytes, they are refused, or what is taken from them can be written and read back as the same. The first byte chooses the format.
 */
#include "lib/cleanup.h"
#include "tests/fuzz/must.h"
#include "vault/ops/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void claim(const char *text, size_t len)
{
	cleanup_err struct err err = ERR_INIT;
	struct ledger_claim a = {.attempt = 0}, b = {.attempt = 0};

	if (ledger_claim_parse(text, len, &a, &err) < 0) {
		must_refuse(&err, "");
		return;
	}
	must(a.attempt > 0 && *a.dispatcher && ledger_is_token(a.nonce) && ledger_is_token(a.incarnation));
	cleanup_free char *again = ledger_claim_text(&a);
	must(ledger_claim_parse(again, strlen(again), &b, NULL) == 0);
	must(memcmp(&a.action, &b.action, sizeof(a.action)) == 0 && strcmp(a.nonce, b.nonce) == 0 && a.attempt == b.attempt &&
	     a.deadline == b.deadline && a.free == b.free);
}

static void done(const char *text, size_t len)
{
	cleanup_err struct err err = ERR_INIT;
	struct ledger_done a = {.attempt = 0}, b = {.attempt = 0};

	if (ledger_done_parse(text, len, &a, &err) < 0) {
		must_refuse(&err, "");
		return;
	}
	cleanup_free char *again = ledger_done_text(&a);
	must(ledger_done_parse(again, strlen(again), &b, NULL) == 0 && strcmp(a.digest, b.digest) == 0 && a.outcome == b.outcome);
}

static void others(const char *text, size_t len)
{
	struct ledger_life l = {.time = 0};
	struct ledger_origin o = {.accepted = false};
	git_oid view;

	if (ledger_life_parse(text, len, &l, NULL) == 0)
		must(ledger_is_token(l.incarnation));
	if (ledger_origin_parse(text, len, &o, NULL) == 0)
		must(ledger_view_parse(text, len, &view, NULL) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	if (data[0] == 'c')
		claim(text, size - 1);
	else if (data[0] == 'd')
		done(text, size - 1);
	else
		others(text, size - 1);
	return 0;
}
