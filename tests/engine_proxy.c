#include "tests/engine_proxy.h"
#include "tests/scratch.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERROR_ANSWER "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 33\r\n\r\n{\"message\": \"the disk is broken\"}\n"
#define LIFE_S 600 /* no process of the proxy outlives a test that was killed */

char proxy_path[64];

static char dir[40];
static pid_t proxy_pid;
static char upstream_path[108];

/* Shared with the proxy's processes. Set while no request that it is about is on its way. */
static struct plan {
	enum fault kind;
	char part[64], also[64];
	int left, failed;
	char from[64], to[64]; /* "": nothing is changed */
} * plan;

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* Requests come in one piece, at the beginning of what is read: those of the role are small, and it waits for each answer. */
static enum fault fault_of(const char *data, size_t len)
{
	char line[512];
	size_t n = len < sizeof(line) - 1 ? len : sizeof(line) - 1;
	memcpy(line, data, n);
	line[n] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	if (!strstr(line, " HTTP/1.1") || plan->kind == FAULT_NONE || !strstr(line, plan->part) || !strstr(line, plan->also))
		return FAULT_NONE;
	if (__atomic_fetch_sub(&plan->left, 1, __ATOMIC_SEQ_CST) <= 0)
		return FAULT_NONE;
	__atomic_fetch_add(&plan->failed, 1, __ATOMIC_SEQ_CST);
	return plan->kind;
}

static void change(char *data, size_t len)
{
	size_t n = strlen(plan->from);
	char *at = n > 0 ? memmem(data, len, plan->from, n) : NULL;
	if (at)
		memcpy(at, plan->to, n);
}

static void wait_for_end(int fd)
{
	char ignored[4096];
	while (recv(fd, ignored, sizeof(ignored), 0) > 0)
		;
}

static void fail(enum fault kind, int client, int engine, const char *request, size_t len)
{
	char answer[65536];
	if (kind == FAULT_ERROR)
		write_all(client, ERROR_ANSWER, strlen(ERROR_ANSWER));
	if (kind == FAULT_HANG)
		wait_for_end(client);
	if (kind != FAULT_DROP_AFTER && kind != FAULT_HALF)
		return;
	if (!write_all(engine, request, len))
		return;
	ssize_t n = recv(engine, answer, sizeof(answer), 0);
	if (kind == FAULT_HALF && n > 0)
		write_all(client, answer, (size_t)n / 2);
}

/* One connection, until either side ends it or a request is to fail. */
static void relay(int client)
{
	char data[65536];
	int engine = connect_to(upstream_path);
	struct pollfd p[] = {{client, POLLIN, 0}, {engine, POLLIN, 0}};
	while (engine >= 0) {
		if (poll(p, 2, -1) < 0)
			return;
		for (int i = 0; i < 2; i++) {
			if (!p[i].revents)
				continue;
			ssize_t n = recv(p[i].fd, data, sizeof(data), 0);
			if (n <= 0 && i == 0) { /* standard input's end: the engine goes on talking */
				shutdown(engine, SHUT_WR);
				p[0].fd = -1;
				continue;
			}
			if (n <= 0)
				return;
			enum fault kind = i == 0 ? fault_of(data, (size_t)n) : FAULT_NONE;
			if (kind != FAULT_NONE) {
				fail(kind, client, engine, data, (size_t)n);
				return;
			}
			if (i == 0)
				change(data, (size_t)n);
			if (!write_all(i == 0 ? engine : client, data, (size_t)n))
				return;
		}
	}
}

static bool become_proxy(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LIFE_S);
	return getppid() == parent;
}

static void serve(int fd, pid_t test)
{
	signal(SIGCHLD, SIG_IGN);
	for (pid_t me = getpid(); become_proxy(test);) {
		int client = accept(fd, NULL, NULL);
		if (fork() == 0) {
			if (become_proxy(me))
				relay(client);
			_exit(0);
		}
		close(client);
	}
	_exit(0);
}

void proxy_start(const char *engine_socket)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	pid_t test = getpid();
	snprintf(upstream_path, sizeof(upstream_path), "%s", engine_socket);
	snprintf(dir, sizeof(dir), "/tmp/disinto-test-proxy.XXXXXX");
	if (!scratch_dir(dir))
		abort();
	snprintf(proxy_path, sizeof(proxy_path), "%s/sock", dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", proxy_path);
	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (plan == MAP_FAILED || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 64) < 0)
		abort();
	proxy_pid = fork();
	if (proxy_pid == 0)
		serve(fd, test);
	close(fd);
}

void proxy_stop(void)
{
	kill(proxy_pid, SIGKILL); /* its children end with it */
	waitpid(proxy_pid, NULL, 0);
	unlink(proxy_path);
	rmdir(dir);
	munmap(plan, sizeof(*plan));
}

void proxy_fault(enum fault kind, const char *part, const char *also, int times)
{
	plan->kind = FAULT_NONE;
	snprintf(plan->part, sizeof(plan->part), "%s", part);
	snprintf(plan->also, sizeof(plan->also), "%s", also);
	plan->left = times;
	plan->failed = 0;
	plan->kind = kind;
}

int proxy_failed(void)
{
	return plan->failed;
}

void proxy_change(const char *from, const char *to)
{
	if (strlen(from) != strlen(to))
		abort();
	snprintf(plan->to, sizeof(plan->to), "%s", to);
	snprintf(plan->from, sizeof(plan->from), "%s", from);
}
