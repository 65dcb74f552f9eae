/* Who may push to the ledger can free an id there, so the forge is asked whether that is us alone. It may not tell; `disinto doctor` says more. */
#include "dispatcher/git/git.h"
#include "lib/cleanup.h"
#include "lib/log.h"

void protection_ask(struct git_state *g)
{
	if (g->ledger.on && g->args->config->approval.forge_url)
		errands_send(g->errands, errand_new(ERRAND_PROTECTION, "", -1));
}

void protection_told(struct git_state *g, const struct errand *errand)
{
	const json_t *finding;
	size_t i;

	if (errand->rc < 0) {
		log_info("the forge does not tell how the ledger is protected", "reason", err_msg(&errand->err), NULL);
		return;
	}
	json_array_foreach (errand->findings, i, finding) {
		cleanup_free char *text = xasprintf("%s; disinto branch-protect sets it right", json_string_value(finding));
		log_warn("the ledger is not protected", "finding", text, NULL);
		json_array_append_new(g->unprotected, json_string(text));
	}
	g->poll_at_ms = 0; /* which tells core */
}
