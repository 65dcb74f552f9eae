/* Who this dispatcher is: dispatcher.json. */
#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/json.h"

#include <sodium.h>
#include <string.h>

#define FILE_NAME "dispatcher.json"
#define FILE_MAX_BYTES 65536
/* Starts in a row that never heard from the ledger. More than these are forgotten, the oldest but the first. */
#define FORMER_MAX 1000

/* NULL: there is none. */
static int read_self(int spool, json_t **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;

	*ret = NULL;
	if (file_read_at(spool, FILE_NAME, FILE_MAX_BYTES, &text, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		err_move(err, &why);
		return err_wrap(err, "spool");
	}
	cleanup_json json_t *self = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_string_value(json_object_get(self, "id")))
		return err_set(err, ERR_INVALID,
		               "spool: " FILE_NAME ": is damaged; restore it, or write {\"version\":1,\"id\":\"…\"} by hand");
	if (json_integer_value(json_object_get(self, "version")) > SPOOL_VERSION)
		return err_set(err, ERR_INVALID, "spool: was written by a newer version of disinto; use that version, or another spool");
	*ret = steal_ptr(&self);
	return 0;
}

static int write_self(int spool, const json_t *self, struct err *err)
{
	cleanup_free char *text = json_pretty(self);

	return file_write_at(spool, FILE_NAME, text, strlen(text), 0600, err) < 0 ? err_wrap(err, "spool") : 0;
}

static char *random_name(const char *prefix, size_t bytes)
{
	unsigned char random[16];
	char hex[2 * sizeof random + 1];

	randombytes_buf(random, bytes);
	sodium_bin2hex(hex, sizeof hex, random, bytes);
	return xasprintf("%s%s", prefix, hex);
}

int spool_identify(int spool, const char *configured, char **ret_id, struct err *err)
{
	cleanup_json json_t *self = NULL;

	if (read_self(spool, &self, err) < 0)
		return -1;
	const char *known = json_string_value(json_object_get(self, "id"));
	if (known && configured && strcmp(configured, known) != 0)
		return err_set(err, ERR_INVALID,
		               "dispatcher_id: '%s' is not the id '%s' that the spool was used with; change it back, or use another spool",
		               configured, known);
	cleanup_free char *id = known ? xstrdup(known) : configured ? xstrdup(configured) : random_name("d", 4);
	if (!self) {
		self = json_pack("{s:i, s:s}", "version", SPOOL_VERSION, "id", id);
		if (write_self(spool, self, err) < 0)
			return -1;
	}
	*ret_id = steal_ptr(&id);
	return 0;
}

int spool_incarnate(int spool, char **ret_incarnation, json_t **ret_former, struct err *err)
{
	cleanup_json json_t *self = NULL;
	cleanup_free char *fresh = random_name("", 16);

	if (read_self(spool, &self, err) < 0)
		return -1;
	if (!self)
		return err_set(err, ERR_INVALID, "spool: " FILE_NAME " is gone; start the dispatcher again");
	json_t *last = json_object_get(self, "incarnation"), *kept = json_object_get(self, "former");
	cleanup_json json_t *former = json_is_array(kept) ? json_incref(kept) : json_array();
	if (json_is_string(last))
		json_array_append(former, last);
	if (json_array_size(former) > FORMER_MAX)
		json_array_remove(former, 1);
	json_object_set(self, "former", former);
	json_object_set_new(self, "incarnation", json_string(fresh));
	json_object_set_new(self, "version", json_integer(SPOOL_VERSION));
	if (write_self(spool, self, err) < 0)
		return -1;
	*ret_incarnation = steal_ptr(&fresh);
	*ret_former = steal_ptr(&former);
	return 0;
}

int spool_incarnated(int spool, struct err *err)
{
	cleanup_json json_t *self = NULL;

	if (read_self(spool, &self, err) < 0)
		return -1;
	if (json_array_size(json_object_get(self, "former")) == 0)
		return 0;
	json_object_del(self, "former");
	return write_self(spool, self, err);
}
