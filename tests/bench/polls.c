/*
 * What polls cost the git role, which runs here as a child at the other end of a socket.
 *   polls moved URL REPO COUNT   REPO: the bare repository behind URL. An action lands before each poll. Prints the CPU time of one in microseconds
 *   polls idle URL REPO COUNT    nothing happens. Prints bytes that it wrote to files, and the growth of its memory in KB
 */
#include "dispatcher/dispatcher.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/git_remote.h"
#include "lib/git_repo.h"
#include "lib/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MS 120000
#define WARM 20 /* polls before anything is measured */

static void fail(const char *what, const struct err *err)
{
	fprintf(stderr, "polls: %s: %s\n", what, err ? err_msg(err) : "");
	exit(1);
}

static pid_t start(const struct role_args *args, struct msg_conn *ret)
{
	struct err err = ERR_INIT;
	struct role_args own = *args;
	int pair[2];

	if (msg_pair(pair, &err) < 0)
		fail("socket", &err);
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		log_init("git", LOG_LEVEL_WARN, false);
		signal(SIGPIPE, SIG_IGN);
		own.sock = pair[1];
		exit(git_role(&own));
	}
	close(pair[1]);
	msg_conn_init(ret, pair[0]);
	return pid;
}

static void tell(struct msg_conn *c, json_t *body)
{
	struct err err = ERR_INIT;
	if (msg_send(c, body, -1, ANSWER_MS, &err) < 0)
		fail("send", &err);
	json_decref(body);
}

/* Reads up to a message of that kind. */
static void wait_for(struct msg_conn *c, const char *kind)
{
	for (bool found = false; !found;) {
		cleanup_msg struct msg m = MSG_INIT;
		struct err err = ERR_INIT;
		if (msg_recv(c, ANSWER_MS, &m, &err) != 1)
			fail(kind, &err);
		found = strcmp(m.kind, kind) == 0;
		if (found && strcmp(kind, "polled") == 0 && !json_is_true(json_object_get(m.body, "ok")))
			fail("a poll failed", NULL);
	}
}

static int64_t cpu_ns(pid_t pid)
{
	clockid_t clock;
	struct timespec t;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		fail("clock", NULL);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* A number behind a word in a file of /proc. */
static int64_t proc(pid_t pid, const char *file, const char *word)
{
	char path[64], line[256];
	long long value = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	cleanup_file FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, word, strlen(word)) == 0 && sscanf(line + strlen(word), ": %lld", &value) == 1)
			break;
	return value;
}

static void land(git_repository *repo, int n)
{
	struct err err = ERR_INIT;
	git_oid tip, oid;
	cleanup_git(git_signature) git_signature *who = NULL;
	cleanup_git(git_reference) git_reference *ref = NULL;
	cleanup_free char *path = xasprintf("vault/actions/new-%d.json", n);
	cleanup_free char *text = xasprintf("{\"id\": \"new-%d\", \"formula\": \"f\", \"context\": \"why\", \"secrets\": []}", n);
	const struct git_change change = {path, text, strlen(text)};

	if (git_signature_now(&who, "Somebody", "somebody@example") < 0 || git_reference_name_to_id(&tip, repo, "refs/heads/main") < 0 ||
	    git_repo_commit(repo, &tip, 1, &change, 1, who, "land", &oid, &err) < 0 ||
	    git_reference_create(&ref, repo, "refs/heads/main", &oid, 1, NULL) < 0)
		fail("land", &err);
}

static void polls(struct msg_conn *c, git_repository *repo, int from, int to)
{
	for (int i = from; i < to; i++) {
		if (repo)
			land(repo, i);
		tell(c, msg_new(MSG_POLL, NULL));
		wait_for(c, "polled");
	}
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	char spool[] = "/tmp/disinto-bench-polls.XXXXXX", claims[] = "ledger", branch[] = "main";
	cleanup_git(git_repository) git_repository *repo = NULL;
	struct msg_conn c;

	if (argc != 5 || !mkdtemp(spool) || atoi(argv[4]) < 1 || git_remote_setup(&err) < 0 || git_repo_open(argv[3], &repo, &err) < 0)
		fail("polls moved|idle URL REPO COUNT", &err);
	bool moved = strcmp(argv[1], "moved") == 0;
	int count = atoi(argv[4]);
	struct config config = {.ops_repo = argv[2], .branch = branch, .poll_seconds = 3600, .spool = spool, .claims = claims};
	struct role_args args = {.config = &config, .dispatcher_id = "bench", .signing_fd = -1, .identity_fd = -1};

	pid_t pid = start(&args, &c);
	tell(&c, msg_new(MSG_REMEMBERED, "{s:n, s:s, s:[]}", "state", "incarnation", "life", "former"));
	wait_for(&c, "incarnated");
	polls(&c, moved ? repo : NULL, 0, WARM);
	int64_t cpu = cpu_ns(pid), wrote = proc(pid, "io", "wchar"), memory = proc(pid, "smaps_rollup", "Rss");
	polls(&c, moved ? repo : NULL, WARM, WARM + count);
	if (moved)
		printf("%" PRId64 "\n", (cpu_ns(pid) - cpu) / count / 1000);
	else
		printf("%" PRId64 " %" PRId64 "\n", proc(pid, "io", "wchar") - wrote, proc(pid, "smaps_rollup", "Rss") - memory);
	fflush(stdout);
	msg_conn_close(&c);
	waitpid(pid, NULL, 0);
	cleanup_free char *clean = xasprintf("%s/", spool);
	return execlp("rm", "rm", "-rf", clean, (char *)NULL);
}
