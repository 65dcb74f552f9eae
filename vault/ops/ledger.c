/* The files of the ledger. See ledger.h. */
#include "vault/ops/ledger.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include <sodium.h>
#include <string.h>

#define TOKEN_RULE "must be a-z, 0-9, _ and -, 1 to 64 characters"
#define ATTEMPT_MAX 1000000
#define TIME_MAX 253402300799 /* the last second of the year 9999 */

bool ledger_is_token(const char *s)
{
	return vault_matches(s, CHARS_LOWER CHARS_DIGIT "_-", CHARS_LOWER CHARS_DIGIT "_-", LEDGER_TOKEN_MAX);
}

static bool is_dispatcher(const char *s)
{
	return vault_matches(s, CHARS_LOWER CHARS_DIGIT, CHARS_LOWER CHARS_DIGIT "_-", LEDGER_NAME_MAX);
}

static bool is_digest(const char *s)
{
	return strlen(s) == 64 && strspn(s, CHARS_DIGIT "abcdef") == 64;
}

static bool is_oid(const char *s)
{
	return strlen(s) == GIT_OID_HEXSZ && strspn(s, CHARS_DIGIT "abcdef") == GIT_OID_HEXSZ;
}

/* ---- reading ---- */

static int parse(const char *text, size_t len, json_t **ret, struct json_reader *r, struct err *err)
{
	static const struct json_limits limits = {LEDGER_MAX_BYTES, 1};

	if (json_parse_strict(text, len, &limits, ret, err) < 0)
		return -1;
	json_reader_init(r, *ret, "");
	return 0;
}

/* A string of a kind, copied to `to`, which has room for `max` characters. */
static void take_string(struct json_reader *r, const char *key, bool (*is)(const char *), const char *rule, char *to, size_t max)
{
	const char *s = json_get_string(r, key, 1, max, true, NULL);

	if (!s)
		return;
	if (!is(s))
		json_reader_fail(r, key, "%s", rule);
	else
		memcpy(to, s, strlen(s) + 1);
}

static void take_token(struct json_reader *r, const char *key, char to[static LEDGER_TOKEN_MAX + 1])
{
	take_string(r, key, ledger_is_token, TOKEN_RULE, to, LEDGER_TOKEN_MAX);
}

static void take_oid(struct json_reader *r, const char *key, git_oid *to)
{
	char hex[GIT_OID_HEXSZ + 1] = "";

	take_string(r, key, is_oid, "must be an object id of 40 hexadecimal digits", hex, GIT_OID_HEXSZ);
	if (*hex)
		git_oid_fromstr(to, hex);
}

static int take_attempt(struct json_reader *r)
{
	return (int)json_get_int(r, "attempt", 1, ATTEMPT_MAX, true, 1);
}

int ledger_claim_parse(const char *text, size_t len, struct ledger_claim *ret, struct err *err)
{
	cleanup_json json_t *json = NULL;
	struct json_reader r;
	struct ledger_claim c = {.attempt = 1};

	if (parse(text, len, &json, &r, err) < 0)
		return -1;
	take_string(&r, "dispatcher", is_dispatcher, "must be the name of a dispatcher", c.dispatcher, LEDGER_NAME_MAX);
	take_token(&r, "incarnation", c.incarnation);
	take_token(&r, "nonce", c.nonce);
	take_oid(&r, "action", &c.action);
	c.attempt = take_attempt(&r);
	c.time = json_get_int(&r, "time", 0, TIME_MAX, true, 0);
	c.deadline = json_get_int(&r, "deadline", 0, TIME_MAX, true, 0);
	c.free = json_get_bool(&r, "free", false, false);
	if (json_reader_end(&r, err) < 0)
		return -1;
	*ret = c;
	return 0;
}

int ledger_done_parse(const char *text, size_t len, struct ledger_done *ret, struct err *err)
{
	static const char *const outcomes[] = {"succeeded", "failed", "timed_out", "cancelled", "refused", "lost", NULL};
	cleanup_json json_t *json = NULL;
	struct json_reader r;
	struct ledger_done d = {.attempt = 1};

	if (parse(text, len, &json, &r, err) < 0)
		return -1;
	take_string(&r, "digest", is_digest, "must be a SHA-256 of 64 hexadecimal digits", d.digest, 64);
	d.outcome = (enum outcome)json_get_enum(&r, "outcome", outcomes, true, 0);
	d.attempt = take_attempt(&r);
	take_oid(&r, "commit", &d.commit);
	if (json_reader_end(&r, err) < 0)
		return -1;
	*ret = d;
	return 0;
}

int ledger_life_parse(const char *text, size_t len, struct ledger_life *ret, struct err *err)
{
	cleanup_json json_t *json = NULL;
	struct json_reader r;
	struct ledger_life l = {.time = 0};

	if (parse(text, len, &json, &r, err) < 0)
		return -1;
	take_token(&r, "incarnation", l.incarnation);
	l.time = json_get_int(&r, "time", 0, TIME_MAX, true, 0);
	if (json_reader_end(&r, err) < 0)
		return -1;
	*ret = l;
	return 0;
}

int ledger_origin_parse(const char *text, size_t len, struct ledger_origin *ret, struct err *err)
{
	cleanup_json json_t *json = NULL;
	struct json_reader r;
	struct ledger_origin o = {.accepted = false};

	if (parse(text, len, &json, &r, err) < 0)
		return -1;
	take_oid(&r, "tip", &o.tip);
	o.accepted = json_get_bool(&r, "accepted", true, false);
	if (json_reader_end(&r, err) < 0)
		return -1;
	*ret = o;
	return 0;
}

int ledger_view_parse(const char *text, size_t len, git_oid *ret, struct err *err)
{
	cleanup_json json_t *json = NULL;
	struct json_reader r;
	git_oid view;

	if (parse(text, len, &json, &r, err) < 0)
		return -1;
	take_oid(&r, "commit", &view);
	if (json_reader_end(&r, err) < 0)
		return -1;
	*ret = view;
	return 0;
}

/* ---- writing ---- */

/* libgit2's own buffer for this exists only once the library was started, which readers of files need not have done. */
struct hex {
	char text[GIT_OID_HEXSZ + 1];
};

static struct hex hex(const git_oid *oid)
{
	struct hex h;
	git_oid_tostr(h.text, sizeof(h.text), oid);
	return h;
}

static char *text_of(json_t *json)
{
	char *text = json_pretty(json);
	json_decref(json);
	return text;
}

char *ledger_claim_text(const struct ledger_claim *c)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I}", "dispatcher", c->dispatcher, "incarnation", c->incarnation, "nonce",
	                         c->nonce, "action", hex(&c->action).text, "attempt", c->attempt, "time", (json_int_t)c->time, "deadline",
	                         (json_int_t)c->deadline);
	if (c->free)
		json_object_set_new(json, "free", json_true());
	return text_of(json);
}

char *ledger_done_text(const struct ledger_done *d)
{
	return text_of(json_pack("{s:s, s:s, s:i, s:s}", "digest", d->digest, "outcome", outcome_name(d->outcome), "attempt", d->attempt,
	                         "commit", hex(&d->commit).text));
}

char *ledger_life_text(const struct ledger_life *l)
{
	return text_of(json_pack("{s:s, s:I}", "incarnation", l->incarnation, "time", (json_int_t)l->time));
}

char *ledger_origin_text(const struct ledger_origin *o)
{
	return text_of(json_pack("{s:s, s:b}", "tip", hex(&o->tip).text, "accepted", o->accepted));
}

char *ledger_view_text(const git_oid *view)
{
	return text_of(json_pack("{s:s}", "commit", hex(view).text));
}

/* ---- names ---- */

void ledger_digest(const void *data, size_t len, char ret[static 65])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, data, len);
	sodium_bin2hex(ret, 65, hash, sizeof(hash));
}

void ledger_folder(const char *id, char ret[static 3])
{
	char hex[65];

	ledger_digest(id, strlen(id), hex);
	memcpy(ret, hex, 2);
	ret[2] = '\0';
}

static char *path_in(const char *folder, const char *id)
{
	char xx[3];

	ledger_folder(id, xx);
	return xasprintf("%s/%s/%s.json", folder, xx, id);
}

char *ledger_claim_path(const char *id)
{
	return path_in(LEDGER_CLAIMS, id);
}

char *ledger_done_path(const char *id)
{
	return path_in(LEDGER_DONE, id);
}

char *ledger_life_path(const char *dispatcher)
{
	return xasprintf(LEDGER_LIVES "/%s.json", dispatcher);
}

bool ledger_file_id(const char *xx, const char *name, char ret_id[static VAULT_ID_MAX + 1])
{
	char id[VAULT_ID_MAX + 1], folder[3];

	if (vault_file_kind(name, id) != VAULT_FILE_ACTION)
		return false;
	ledger_folder(id, folder);
	if (strcmp(folder, xx) != 0)
		return false;
	memcpy(ret_id, id, sizeof(id));
	return true;
}
