#include "dispatcher/core_role/spool.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/file.h"
#include "lib/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_MAX_BYTES (8u << 20)
#define BOOT_LOG_MAX (256 * 1024)
#define NONCES_MAX 100000

int spool_open(const char *path, int *ret_fd, int *ret_lock, struct err *err)
{
	cleanup_fd int dir = -1, lock = -1;

	if (dir_make(path, 0700, err) < 0)
		return err_wrap(err, "spool %s", path);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(err, errno, "spool %s", path);
	lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0)
		return err_errno(err, errno, "spool %s: lock", path);
	if (flock(lock, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, errno == EWOULDBLOCK ? ERR_EXISTS : ERR_FAIL,
		               "spool %s: another dispatcher is running on it; stop that one, or give this one a spool of its own", path);
	if (faccessat(dir, SPOOL_UNFINISHED, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(err, ERR_INVALID,
		               "spool %s: `disinto restore` did not come to its end there; empty the folder and restore it again", path);
	if (mkdirat(dir, "runs", 0700) < 0 && errno != EEXIST)
		return err_errno(err, errno, "spool %s: runs", path);
	*ret_fd = steal_fd(&dir);
	*ret_lock = steal_fd(&lock);
	return 0;
}

static void set_opt(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(value));
}

json_t *spool_state_json(const struct run *r, enum journal journal)
{
	json_t *o = json_pack("{s:i, s:s, s:s, s:i, s:I, s:I}", "version", SPOOL_VERSION, "id", r->id, "state", journal_name(journal),
	                      "attempt", r->attempt, "started_ms", (json_int_t)r->started_ms, "finished_ms", (json_int_t)r->finished_ms);

	set_opt(o, "name", r->name);
	set_opt(o, "claim", r->claim);
	if (r->mine)
		json_object_set(o, "mine", r->mine);
	if (r->won)
		json_object_set_new(o, "won", json_true());
	if (r->ledger_attempt)
		json_object_set_new(o, "ledger_attempt", json_integer(r->ledger_attempt));
	set_opt(o, "commit", r->commit);
	set_opt(o, "action_blob", r->action_blob);
	set_opt(o, "formula_name", r->formula_name);
	set_opt(o, "formula_blob", r->formula_blob);
	set_opt(o, "tier", r->tier);
	set_opt(o, "policy_blob", r->policy_blob);
	set_opt(o, "approval_mode", r->approval_mode);
	set_opt(o, "approval_by", r->approval_by);
	set_opt(o, "container", r->container);
	set_opt(o, "image", r->image);
	set_opt(o, "reason", r->reason);
	if (r->action.json)
		json_object_set(o, "action", r->action.json);
	if (r->formula)
		json_object_set(o, "formula", r->formula->json);
	if (r->secret_blobs)
		json_object_set(o, "secrets", r->secret_blobs);
	if (r->halt == HALT_CANCEL)
		set_opt(o, "cancelled", r->halt_reason);
	if (r->has_outcome)
		set_opt(o, "outcome", outcome_name(r->outcome));
	if (r->has_exit_code)
		json_object_set_new(o, "exit_code", json_integer(r->exit_code));
	return o;
}

static char *get_opt(struct json_reader *in, const char *key)
{
	const char *s = json_get_string(in, key, 0, 65536, false, NULL);
	return s ? xstrdup(s) : NULL;
}

/* Action and formula were checked when they landed; they are checked again, since the runner will be sent them. */
static int parse_texts(struct run *r, const json_t *action, const json_t *formula, struct err *err)
{
	if (action && action_from_json(r->id, (json_t *)(uintptr_t)action, &r->action, err) < 0)
		return -1;
	if (!formula)
		return 0;
	struct formula *f = xcalloc(1, sizeof *f);
	if (formula_from_json(r->formula_name, (json_t *)(uintptr_t)formula, f, err) < 0) {
		free(f);
		return -1;
	}
	r->formula = f;
	return 0;
}

static void cleanup_run(struct run **r)
{
	run_free(*r);
}

static void parse_outcome(struct run *r, struct json_reader *in)
{
	const char *outcome = json_get_string(in, "outcome", 0, 64, false, NULL);

	r->has_outcome = outcome && outcome_parse(outcome, &r->outcome) == 0;
	r->has_exit_code = json_has(in, "exit_code");
	r->exit_code = (int)json_get_int(in, "exit_code", -1, 65535, false, 0);
}

static void parse_nonces(struct run *r, struct json_reader *in)
{
	const json_t *mine = json_get_array(in, "mine", NONCES_MAX, false);
	size_t i;
	json_t *nonce;

	json_array_foreach (mine, i, nonce)
		if (!json_is_string(nonce))
			json_reader_fail(in, "mine", "a nonce is not a string");
	r->mine = mine ? json_deep_copy(mine) : NULL;
	r->won = json_get_bool(in, "won", false, false);
}

int spool_state_parse(const char *id, const json_t *value, struct run **ret, struct err *err)
{
	__attribute__((cleanup(cleanup_run))) struct run *r = run_new(id);
	struct json_reader in;

	json_reader_init(&in, value, "");
	int64_t version = json_get_int(&in, "version", 1, INT32_MAX, true, 0);
	const char *own_id = json_get_string(&in, "id", 1, VAULT_ID_MAX, true, "");
	const char *state = json_get_string(&in, "state", 1, 64, true, "");
	r->attempt = (int)json_get_int(&in, "attempt", 1, 1000, true, 1);
	r->started_ms = json_get_int(&in, "started_ms", 0, INT64_MAX, false, 0);
	r->finished_ms = json_get_int(&in, "finished_ms", 0, INT64_MAX, false, 0);
	r->name = get_opt(&in, "name");
	r->ledger_attempt = (int)json_get_int(&in, "ledger_attempt", 0, 1000, false, 0);
	r->claim = get_opt(&in, "claim");
	parse_nonces(r, &in);
	r->commit = get_opt(&in, "commit");
	r->action_blob = get_opt(&in, "action_blob");
	r->formula_name = get_opt(&in, "formula_name");
	r->formula_blob = get_opt(&in, "formula_blob");
	r->tier = get_opt(&in, "tier");
	r->policy_blob = get_opt(&in, "policy_blob");
	r->approval_mode = get_opt(&in, "approval_mode");
	r->approval_by = get_opt(&in, "approval_by");
	r->container = get_opt(&in, "container");
	r->image = get_opt(&in, "image");
	r->reason = get_opt(&in, "reason");
	r->halt_reason = get_opt(&in, "cancelled");
	r->halt = r->halt_reason ? HALT_CANCEL : HALT_NONE;
	const json_t *action = json_get(&in, "action");
	const json_t *formula = json_get(&in, "formula");
	const json_t *secrets = json_get_object(&in, "secrets", 64, false);
	r->secret_blobs = secrets ? json_deep_copy(secrets) : NULL;
	parse_outcome(r, &in);
	if (version <= SPOOL_VERSION && (strcmp(own_id, id) != 0 || journal_parse(state, &r->journal) < 0))
		json_reader_fail(&in, "state", "belongs to another action or is unknown");
	if (version > SPOOL_VERSION)
		json_reader_fail(&in, "version", "was written by a newer version of disinto");
	if (json_reader_end(&in, err) < 0 || parse_texts(r, action, formula, err) < 0)
		return err_wrap(err, "runs/%s/state.json", id);
	if (r->journal == JOURNAL_GOING && (!r->action.json || !r->formula || !r->name))
		return err_set(err, ERR_INVALID, "runs/%s/state.json: action, formula or name is missing", id);
	*ret = steal_ptr(&r);
	return 0;
}

/* The run's folder, made (and its making synced) when absent. */
static int run_dir(int spool, const char *id, bool make, int *ret_fd, struct err *err)
{
	cleanup_fd int runs = openat(spool, "runs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (runs < 0)
		return err_errno(err, errno, "spool: runs");
	if (make && mkdirat(runs, id, 0700) == 0) {
		if (fsync(runs) < 0)
			return err_errno(err, errno, "spool: runs");
	} else if (make && errno != EEXIST) {
		return err_errno(err, errno, "spool: runs/%s", id);
	}
	int fd = openat(runs, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, errno, "spool: runs/%s", id);
	*ret_fd = fd;
	return 0;
}

int spool_save(int spool, const struct run *r, enum journal journal, struct err *err)
{
	cleanup_fd int dir = -1;
	cleanup_json json_t *state = spool_state_json(r, journal);
	cleanup_free char *text = json_pretty(state);

	if (run_dir(spool, r->id, true, &dir, err) < 0)
		return -1;
	CRASH_POINT("journal.%s", journal_name(journal));
	if (file_write_at(dir, "state.json", text, strlen(text), 0600, err) < 0)
		return err_wrap(err, "spool: runs/%s", r->id);
	CRASH_POINT("journaled.%s", journal_name(journal));
	return 0;
}

int spool_save_result(int spool, const char *id, const char *text, struct err *err)
{
	cleanup_fd int dir = -1;

	if (run_dir(spool, id, true, &dir, err) < 0)
		return -1;
	if (file_write_at(dir, "result.json", text, strlen(text), 0600, err) < 0)
		return err_wrap(err, "spool: runs/%s", id);
	return 0;
}

int spool_result(int spool, const char *id, char **ret, struct err *err)
{
	cleanup_fd int dir = -1;
	cleanup_buf struct buf text = BUF_INIT;

	if (run_dir(spool, id, false, &dir, err) < 0)
		return -1;
	if (file_read_at(dir, "result.json", STATE_MAX_BYTES, &text, err) < 0)
		return err_wrap(err, "spool: runs/%s", id);
	*ret = buf_steal(&text);
	return 0;
}

int spool_log(int spool, const char *id, int flags, int *ret_fd, struct err *err)
{
	cleanup_fd int dir = -1;

	if (run_dir(spool, id, flags & O_CREAT, &dir, err) < 0)
		return -1;
	int fd = openat(dir, "log", flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, errno, "spool: runs/%s/log", id);
	*ret_fd = fd;
	return 0;
}

int spool_artifacts(int spool, const char *id, int *ret_fd, struct err *err)
{
	cleanup_fd int dir = -1;

	if (run_dir(spool, id, true, &dir, err) < 0)
		return -1;
	if (mkdirat(dir, "artifacts", 0700) == 0) {
		if (fsync(dir) < 0)
			return err_errno(err, errno, "spool: runs/%s", id);
	} else if (errno != EEXIST) {
		return err_errno(err, errno, "spool: runs/%s/artifacts", id);
	}
	int fd = openat(dir, "artifacts", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, errno, "spool: runs/%s/artifacts", id);
	*ret_fd = fd;
	return 0;
}

int spool_drop_artifacts(int spool, const char *id, struct err *err)
{
	cleanup_free char *path = xasprintf("runs/%s/artifacts", id);

	return dir_remove_at(spool, path, err);
}

int spool_artifact(int spool, const char *id, const char *name, int *ret_fd, struct err *err)
{
	cleanup_free char *path = xasprintf("runs/%s/artifacts/%s", id, name);
	int fd = openat(spool, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return err_errno(err, errno, "spool: %s", path);
	*ret_fd = fd;
	return 0;
}

static int load_one(int runs, const char *id, struct run **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *path = xasprintf("%s/state.json", id);
	cleanup_json json_t *value = NULL;

	if (file_read_at(runs, path, STATE_MAX_BYTES, &text, err) < 0)
		return -1;
	json_error_t why;
	value = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &why);
	if (!value)
		return err_set(err, ERR_INVALID, "runs/%s/state.json: line %d: %s", id, why.line, why.text);
	return spool_state_parse(id, value, ret, err);
}

/* What was read may be in memory only, since the life before may have died between a rename and its fsync. It is acted upon, so it must last. */
static int sync_one(int runs, const char *id, struct err *err)
{
	cleanup_fd int dir = openat(runs, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return dir < 0 || fsync(dir) < 0 ? err_errno(err, errno, "spool: runs/%s can't be synced", id) : 0;
}

static void cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int spool_load(int spool, void (*fn)(struct run *r, void *arg), void (*bad)(const char *id, const char *why, void *arg), void *arg,
               struct err *err)
{
	cleanup_fd int runs = openat(spool, "runs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int copy = runs < 0 ? -1 : fcntl(runs, F_DUPFD_CLOEXEC, 3);
	__attribute__((cleanup(cleanup_dir))) DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir)
		return err_errno(err, errno, "spool: runs");
	steal_fd(&copy);
	for (struct dirent *e; (e = readdir(dir));) {
		cleanup_err struct err why = ERR_INIT;
		struct run *r = NULL;
		if (e->d_name[0] == '.')
			continue;
		if (!vault_is_id(e->d_name))
			bad(e->d_name, "is not the name of a run", arg);
		else if (load_one(runs, e->d_name, &r, &why) == 0) {
			if (r->journal != JOURNAL_RECORDED && sync_one(runs, e->d_name, err) < 0) {
				run_free(r);
				return -1;
			}
			fn(r, arg);
		} else if (why.code != ERR_NOT_FOUND) /* a folder without a state: the crash came before anything was claimed */
			bad(e->d_name, err_msg(&why), arg);
	}
	return 0;
}

int spool_remove(int spool, const char *id, struct err *err)
{
	cleanup_free char *path = xasprintf("runs/%s", id);
	cleanup_fd int dir = -1;

	if (run_dir(spool, id, false, &dir, err) < 0)
		return -1;
	if (dir_remove_at(dir, "artifacts", err) < 0)
		return -1;
	unlinkat(dir, "log", 0);
	unlinkat(dir, "result.json", 0);
	return dir_remove_at(spool, path, err);
}

int spool_save_git(int spool, const json_t *state, struct err *err)
{
	cleanup_free char *text = json_compact(state);

	return file_write_at(spool, "git.json", text, strlen(text), 0600, err) < 0 ? err_wrap(err, "spool") : 0;
}

int spool_load_git(int spool, json_t **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_err struct err why = ERR_INIT;

	*ret = NULL;
	if (file_read_at(spool, "git.json", STATE_MAX_BYTES, &text, &why) < 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		err_move(err, &why);
		return err_wrap(err, "spool");
	}
	*ret = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	return *ret ? 0 : err_set(err, ERR_INVALID, "spool: git.json: is damaged; restore it from a copy of the spool");
}

void spool_boot(int spool, const char *id, const char *found, const char *did)
{
	char when[21];
	struct stat st;
	cleanup_fd int fd = openat(spool, "boot.log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > BOOT_LOG_MAX) {
		close(steal_fd(&fd));
		if (renameat(spool, "boot.log", spool, "boot.log.1") == 0)
			fd = openat(spool, "boot.log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	cleanup_json json_t *line =
	    json_pack("{s:s, s:s?, s:s, s:s}", "time", time_format(now_wall_ms(), when), "id", id, "found", found, "did", did);
	cleanup_free char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	cleanup_buf struct buf out = BUF_INIT;
	if (fd < 0 || !text)
		return;
	buf_addf(&out, "%s\n", text);
	fd_write_all(fd, out.data, out.len, NULL);
}
