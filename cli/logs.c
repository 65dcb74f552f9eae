/*
 * logs: of one action, from the dispatcher, the spool or the result.
 */
#include "cli/cli.h"
#include "cli/runs.h"
#include "cli/watch.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_BLOCK 65536

static int on_log(const char *data, size_t len, void *arg)
{
	return follow_data(data, len, arg);
}

/* From the dispatcher. 0: done; 1: it has none, and err says what it said. */
static int stream_log(const struct config *config, const char *id, bool follow, int lines, struct follow *f, struct err *err)
{
	cleanup_api struct api api = API_INIT;
	struct api_stream stream = {.on_data = on_log, .arg = f};
	cleanup_free char *path = lines > 0 ? xasprintf("/workers/%s/logs?footer=0&lines=%d%s", id, lines, follow ? "&follow=1" : "")
	                                    : xasprintf("/workers/%s/logs?footer=0&lines=0%s", id, follow ? "&follow=1" : "");
	long status = 0;

	if (api_open(config, &api, err) < 0 || api_stream(&api, path, &stream, &status, err) < 0)
		return -1;
	if (status == 200)
		return 0;
	if (status == 404)
		err_set(err, ERR_NOT_FOUND, "%s: the dispatcher has no log of it; disinto show %s says how it stands", id, id);
	else
		err_set(err, ERR_FAIL, "%s: %s", id, api_error(status, NULL));
	return 1;
}

/* Where the last `lines` lines of a text begin. */
static size_t tail(const char *text, size_t len, int lines)
{
	size_t at = len;

	if (lines <= 0)
		return 0;
	while (at > 0) {
		if (text[at - 1] == '\n' && at < len && --lines == 0)
			return at;
		at--;
	}
	return 0;
}

/* From the spool: whole, or its end. ERR_NOT_FOUND where it is not there. */
static int spool_log(const struct config *config, const char *id, int lines, struct follow *f, struct err *err)
{
	cleanup_free char *path = xasprintf("%s/runs/%s/log", config->spool, id);
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;
	size_t from;

	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	while ((n = read(fd, buf_room(&text, LOG_BLOCK), LOG_BLOCK)) > 0)
		buf_grew(&text, (size_t)n);
	if (n < 0)
		return err_errno(err, errno, "%s", path);
	from = tail(text.data, text.len, lines);
	follow_data(text.data + from, text.len - from, f);
	return 0;
}

/* From the result in the ops repo: its last 4096 bytes, for a run that was elsewhere. *ret_may_come: nothing that can be read says that there will be none. */
static int result_log(const struct config *config, const char *id, int lines, struct follow *f, bool *ret_may_come, struct err *err)
{
	cleanup_repo struct repo repo = REPO_INIT;
	cleanup_json json_t *result = NULL;
	struct ops_item item;
	bool archived;
	const char *text;
	size_t from;

	*ret_may_come = true;
	if (repo_ready(config, &repo, err) < 0 || runs_item(&repo, id, &item, &archived, err) < 0)
		return -1;
	result = runs_result(&repo, &item);
	text = text_of(result, "logs");
	*ret_may_come = item.action.there && !item.result.there;
	if (!text)
		return err_set(err, ERR_NOT_FOUND, "%s: there is no log; %s", id,
		               item.action.there ? "it has not run yet" : "there is no such landed action (disinto pending, disinto list)");
	note("logs: %s: the log is not in this spool; this is the end of it, from the result", id);
	from = tail(text, strlen(text), lines);
	follow_data(text + from, strlen(text) - from, f);
	return 0;
}

/* Whole, from the dispatcher, the spool, or the result, whichever has it. */
static int print_log(const struct config *config, const char *id, int lines, struct follow *f, bool *ret_may_come, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	int code = stream_log(config, id, false, lines, f, &why);

	*ret_may_come = false;
	if (code != 0 && (f->written > 0 || !cli_has_repo(config))) {
		err_move(err, &why);
		return -1;
	}
	if (code == 0 || spool_log(config, id, lines, f, NULL) == 0)
		return 0;
	return result_log(config, id, lines, f, ret_may_come, err);
}

/* For what the dispatcher does not tell of. 0: it does by now; 1: its log is elsewhere, and printed; -1: there is none. */
static int find_log(struct watch *w, int lines, struct follow *f, struct err *err)
{
	cleanup_err struct err why = ERR_INIT;
	bool may_come;

	if (watch_ask(w, &why) == 0)
		return 0;
	may_come = why.code == ERR_NOT_FOUND;
	if (why.code != ERR_DENIED && cli_has_repo(w->config) && print_log(w->config, w->id, lines, f, &may_come, &why) == 0)
		return 1;
	if (may_come)
		return watch_find(w, err);
	err_move(err, &why);
	return -1;
}

/* Goes on until the action is finished, and tells how it ended. */
static int follow_log(const struct config *config, const char *id, int lines, struct follow *f, struct err *err)
{
	cleanup_watch struct watch w = WATCH_INIT;
	int code;

	w.command = "logs";
	w.id = id;
	w.config = config;
	w.follow = *f;
	if (watch_begin(&w, err) < 0)
		return CLI_FAILED;
	code = find_log(&w, lines, f, err);
	if (code != 0)
		return code < 0 ? CLI_FAILED : CLI_DONE;
	/* Which part of a log its last lines are can't be told twice, so there is no second try. */
	code = lines > 0 ? stream_log(config, id, true, lines, f, err) : watch_follow(&w, err);
	if (code == 0 && lines > 0)
		code = watch_ask(&w, err);
	if (code == 0 && json_is_object(json_object_get(w.row, "result")))
		watch_summary(&w, json_object_get(w.row, "result"));
	return code == 0 ? CLI_DONE : CLI_FAILED;
}

int cmd_logs(const struct args *args, struct err *err)
{
	cleanup_config struct config config = CONFIG_INIT;
	struct follow f = {.fd = STDOUT_FILENO, .safe = term_is(STDOUT_FILENO), .json = args_has(args, "json"), .line = BUF_INIT};
	const char *id = args_operand(args, 0);
	bool may_come;
	int lines, code;

	if (!id && f.json) {
		err_set(err, ERR_INVALID, "--json: only for the log of an action; name one");
		return CLI_USAGE;
	}
	if (!id)
		return cmd_compose_logs(args, err);
	code = cli_action(args, &config, err);
	if (code != 0)
		return code;
	if (args_int(args, "lines", 1, 1000000000, 0, &lines, err) < 0)
		return CLI_USAGE;
	code = args_has(args, "follow") ? follow_log(&config, id, lines, &f, err) : print_log(&config, id, lines, &f, &may_come, err);
	follow_end(&f);
	return code;
}
