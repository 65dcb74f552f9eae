/* API tokens: in the spool as hashes, and told to web, which alone ever sees their text. */
#include "dispatcher/core_role/core_role.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/log.h"
#include "vault/token.h"

#include <string.h>

/* A file that can't be read opens nothing to anybody; it is mended by a person, or by adding a token, which begins a new list. */
void house_load_tokens(struct house *h)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err err = ERR_INIT;

	if (file_read_at(h->args->spool_fd, TOKENS_FILE, TOKENS_FILE_MAX_BYTES, &text, &err) == 0 &&
	    tokens_parse(text.data, text.len, &h->tokens, &err) == 0)
		return;
	if (err.code != ERR_NOT_FOUND)
		log_error("no API token counts", "file", TOKENS_FILE, "reason", err_msg(&err), NULL);
	h->tokens = json_array();
}

void house_show_tokens(struct house *h)
{
	house_send(h, ROLE_WEB, msg_new(MSG_TOKENS, "{s:O}", "tokens", h->tokens), -1);
}

static int save(const struct house *h, const json_t *list, struct err *err)
{
	cleanup_json json_t *file = json_pack("{s:O}", "tokens", list);
	cleanup_free char *text = json_pretty(file);

	return file_write_at(h->args->spool_fd, TOKENS_FILE, text, strlen(text), 0600, err);
}

static int change(json_t *list, const char *op, const json_t *body, struct err *err)
{
	const char *name = json_string_value(json_object_get(body, "id"));
	char now[21];

	if (strcmp(op, "token_revoke") == 0)
		return tokens_revoke(list, name ? name : "", err);
	return tokens_add(list, name, json_string_value(json_object_get(body, "scope")), json_string_value(json_object_get(body, "sha256")),
	                  time_format(now_wall_ms(), now), err);
}

bool house_ask_token(struct house *h, json_int_t ask, const char *op, const json_t *body)
{
	cleanup_json json_t *list = json_deep_copy(h->tokens);
	cleanup_err struct err err = ERR_INIT;

	if (strcmp(op, "token_add") != 0 && strcmp(op, "token_revoke") != 0)
		return false;
	if (change(list, op, body, &err) < 0) {
		house_refuse(h, ask, err.code == ERR_NOT_FOUND ? 404 : err.code == ERR_EXISTS ? 409 : 400, err_msg(&err));
	} else if (save(h, list, &err) < 0) {
		house_refuse(h, ask, 503, err_msg(&err));
	} else {
		json_decref(h->tokens);
		h->tokens = json_incref(list);
		house_show_tokens(h); /* before the answer: who has the answer may use the token */
		house_answer(h, ask, 200, json_pack("{s:O}", "name", json_object_get(body, "id")));
	}
	return true;
}
