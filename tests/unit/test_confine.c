/* What each role gives up before it does anything else. */
#include "dispatcher/confine.h"
#include "lib/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* In a process of its own: 0, or which of its expectations does not hold. */
static int confined(enum role role)
{
	struct config config = CONFIG_INIT;
	struct rlimit core;
	int death = 0, fds[9];

	config.separation = SEPARATION_BEST_EFFORT; /* with another user the kernel would do some of it by itself */
	for (size_t i = 0; i < 9; i++)
		if ((fds[i] = open("/dev/null", O_RDONLY)) < 0)
			return 1;
	const struct role_args args = {.config = &config,
	                               .sock = fds[0],
	                               .spool_fd = fds[1],
	                               .lock_fd = fds[2],
	                               .signing_fd = fds[3],
	                               .identity_fd = fds[4],
	                               .runner_fd = fds[5],
	                               .listen_fd = fds[6],
	                               .api_fd = fds[7],
	                               .hook_fd = -1};
	if (role_confine(role, &args, NULL) < 0)
		return 2;
	if (prctl(PR_GET_DUMPABLE) != 0) /* no core, and nobody of the same user reads its memory or its descriptors */
		return 3;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 4;
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur != 0 || core.rlim_max != 0)
		return 5;
	if (prctl(PR_GET_PDEATHSIG, &death) < 0 || death != SIGKILL)
		return 6;
	/* Its own descriptors and no others: whose they are, besides the socket. */
	const enum role owner[] = {role, ROLE_CORE, ROLE_CORE, ROLE_GIT, ROLE_KEYRING, ROLE_ENGINE, ROLE_WEB, ROLE_WEB, ROLE_PARENT};
	for (int i = 0; i < 9; i++)
		if (is_open(fds[i]) != (owner[i] == role))
			return 10 + i;
	return 0;
}

/* guard: role_confine in dispatcher/confine.c: each of its calls, and the list of descriptors that a role keeps */
static void each_role_gives_up_what_it_does_not_need(void **state)
{
	static const enum role roles[] = {ROLE_CORE, ROLE_GIT, ROLE_KEYRING, ROLE_ENGINE, ROLE_WEB};
	(void)state;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		int status = 0;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(confined(roles[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("%s: expectation %d does not hold", role_name(roles[i]), WEXITSTATUS(status));
	}
}

static void separation_needs_root(void **state)
{
	struct config config = CONFIG_INIT;
	cleanup_err struct err err = ERR_INIT;
	(void)state;
	config.separation = SEPARATION_BEST_EFFORT;
	assert_int_equal(separation_check(&config, &err), 0);
	assert_non_null(separation_note(&config));
	config.separation = SEPARATION_REQUIRED;
	assert_null(separation_note(&config));
	assert_int_equal(separation_check(&config, &err), geteuid() == 0 ? 0 : -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_role_gives_up_what_it_does_not_need),
	    cmocka_unit_test(separation_needs_root),
	};
	return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
