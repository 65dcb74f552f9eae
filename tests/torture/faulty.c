/*
 * A proxy in front of a git server (TCP) or a Docker Engine (unix socket) that does to requests what bad servers and bad networks do.
 *
 *   faulty LISTEN TARGET RULES     each a path, or a port of 127.0.0.1 (LISTEN 0: a free one). Prints the port or path where it listens.
 *
 * RULES is a file with a line for each rule, read again whenever it was replaced:  SKIP TIMES FAULT ARGUMENT PATTERN
 * The first line of a request that contains PATTERN (`*`: any) is met by FAULT, TIMES times after the first SKIP of them:
 *
 *   hang -            the request is swallowed, and nothing ever said          close -       closed at once
 *   mute -            the server gets it, its answer is swallowed, and nothing ever said
 *   lose -            the server gets it and answers; closed instead of the answer
 *   cut-request N     closed after N bytes of it                               cut-answer N  closed after N bytes of the answer
 *   status CODE[@URL] answered so by the proxy itself, with that Location      delay MS      passed on so much later
 *   slow N            the answer comes in pieces of N bytes, 2 ms apart        flip N        the answer's byte N is another one
 *   twice -           the server gets it a second time, from somebody who does not wait for what comes of it
 *
 * Each time it does, a line goes to RULES.log. What is no request (attached streams) passes as it is, half-closed where it was half-closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PIECE 65536
#define RULES_MAX 16
#define KEPT_MAX (4u << 20) /* of a request that is sent twice */

enum fault { NONE, HANG, CLOSE, MUTE, LOSE, CUT_REQUEST, CUT_ANSWER, STATUS, DELAY, SLOW, FLIP, TWICE, N_FAULTS };
static const char *const faults[N_FAULTS] = {"none",       "hang",   "close", "mute", "lose", "cut-request",
                                             "cut-answer", "status", "delay", "slow", "flip", "twice"};

struct rule {
	int skip, times;
	enum fault fault;
	char argument[200], pattern[200];
};

static struct {
	pthread_mutex_t lock;
	const char *path;
	struct timespec read_at; /* the file's time of change */
	ino_t inode;
	struct rule v[RULES_MAX];
	int n;
} rules = {.lock = PTHREAD_MUTEX_INITIALIZER};
static const char *target;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "faulty: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void pause_ms(int64_t ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* --- rules */

static enum fault fault_of(const char *name)
{
	for (int i = 0; i < N_FAULTS; i++)
		if (strcmp(faults[i], name) == 0)
			return (enum fault)i;
	errno = EINVAL;
	die(name);
}

/* Under the lock. */
static void read_rules(void)
{
	struct stat st;
	char name[32];
	if (stat(rules.path, &st) < 0 ||
	    (st.st_ino == rules.inode && st.st_ctim.tv_sec == rules.read_at.tv_sec && st.st_ctim.tv_nsec == rules.read_at.tv_nsec))
		return;
	FILE *f = fopen(rules.path, "re");
	if (!f)
		return;
	rules.n = 0;
	struct rule *r = rules.v;
	while (rules.n < RULES_MAX && fscanf(f, "%d %d %31s %199s %199[^\n]", &r->skip, &r->times, name, r->argument, r->pattern) == 5) {
		r->fault = fault_of(name);
		r++;
		rules.n++;
	}
	fclose(f);
	rules.inode = st.st_ino;
	rules.read_at = st.st_ctim;
}

static void log_fault(const struct rule *r, const char *line)
{
	char path[4096], text[512];
	snprintf(path, sizeof(path), "%s.log", rules.path);
	int len = snprintf(text, sizeof(text), "%s %s %s\n", faults[r->fault], r->argument, line);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		die(path);
	close(fd);
}

/* The fault that this request meets; *ret_argument is for it. */
static enum fault meet(const char *line, char ret_argument[static 200])
{
	enum fault fault = NONE;
	pthread_mutex_lock(&rules.lock);
	read_rules();
	for (int i = 0; i < rules.n && fault == NONE; i++) {
		struct rule *r = &rules.v[i];
		if (strcmp(r->pattern, "*") != 0 && !strstr(line, r->pattern))
			continue;
		if (r->skip > 0) {
			r->skip--;
		} else if (r->times > 0) {
			r->times--;
			fault = r->fault;
			memcpy(ret_argument, r->argument, sizeof(r->argument));
			log_fault(r, line);
		}
	}
	pthread_mutex_unlock(&rules.lock);
	return fault;
}

/* --- sockets */

static int open_socket(const char *at, bool listening)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool is_unix = strchr(at, '/') != NULL;
	struct sockaddr *addr = is_unix ? (struct sockaddr *)&un : (struct sockaddr *)&in;
	socklen_t len = is_unix ? sizeof(un) : sizeof(in);
	int on = 1;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", at);
	in.sin_port = htons((uint16_t)strtol(at, NULL, 10));
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (!is_unix)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!listening)
		return connect(fd, addr, len) == 0 ? fd : (close(fd), -1);
	if (is_unix)
		unlink(at);
	if (bind(fd, addr, len) < 0 || listen(fd, 256) < 0)
		die(at);
	if (!is_unix && getsockname(fd, (struct sockaddr *)&in, &len) == 0)
		printf("%u\n", ntohs(in.sin_port));
	else
		puts(at);
	fflush(stdout);
	return fd;
}

static bool send_all(int fd, const char *data, size_t len)
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

/* --- one connection */

struct line {
	int client, server;
	enum fault fault;
	char argument[200];
	size_t left; /* bytes that still pass, of what is cut; until the one that is flipped */
	char *kept;  /* the request, to be sent again */
	size_t n_kept;
};

/* Until the other side has had enough. */
static void outwait(int fd)
{
	char nothing[4096];
	while (recv(fd, nothing, sizeof(nothing), 0) > 0)
		;
}

static bool is_request(const char *data, size_t len)
{
	static const char *const methods[] = {"GET /", "POST /", "PUT /", "DELETE /", "HEAD /"};
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (len > strlen(methods[i]) && memcmp(data, methods[i], strlen(methods[i])) == 0)
			return true;
	return false;
}

static void answer_status(struct line *l)
{
	char text[512];
	const char *at = strchr(l->argument, '@');
	int n = snprintf(text, sizeof(text), "HTTP/1.1 %ld Because\r\nContent-Length: 0\r\nConnection: close\r\n%s%s%s\r\n",
	                 strtol(l->argument, NULL, 10), at ? "Location: " : "", at ? at + 1 : "", at ? "\r\n" : "");
	send_all(l->client, text, (size_t)n);
	shutdown(l->client, SHUT_WR);
	outwait(l->client);
}

/* A request begins. false: it goes no further, nor does the connection. */
static bool begin_request(struct line *l, const char *data, size_t len)
{
	char first[256];
	size_t n = strcspn(data, "\r\n");
	snprintf(first, sizeof(first), "%.*s", (int)(n < len ? n : len), data);
	l->fault = meet(first, l->argument);
	l->left = (size_t)strtol(l->argument, NULL, 10);
	l->n_kept = 0;
	switch (l->fault) {
	case HANG:
		outwait(l->client);
		return false;
	case CLOSE:
		return false;
	case STATUS:
		answer_status(l);
		return false;
	case DELAY:
		pause_ms((int64_t)l->left);
		return true;
	default:
		return true;
	}
}

/* false: the connection ends. */
static bool from_client(struct line *l, const char *data, size_t len)
{
	if (is_request(data, len) && !begin_request(l, data, len))
		return false;
	if (l->fault == TWICE && l->n_kept + len <= KEPT_MAX) {
		l->kept = realloc(l->kept, KEPT_MAX);
		memcpy(l->kept + l->n_kept, data, len);
		l->n_kept += len;
	}
	if (l->fault == CUT_REQUEST) {
		send_all(l->server, data, len < l->left ? len : l->left);
		l->left -= len < l->left ? len : l->left;
		return l->left > 0;
	}
	return send_all(l->server, data, len);
}

static void send_again(struct line *l)
{
	int fd = open_socket(target, false);
	const struct timeval second = {1, 0};
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	if (send_all(fd, l->kept, l->n_kept))
		outwait(fd);
	close(fd);
	l->fault = NONE;
}

static bool pass_slowly(struct line *l, const char *data, size_t len)
{
	for (size_t at = 0, piece = l->left ? l->left : 1; at < len; at += piece) {
		if (!send_all(l->client, data + at, len - at < piece ? len - at : piece))
			return false;
		pause_ms(2);
	}
	return true;
}

static bool from_server(struct line *l, char *data, size_t len)
{
	switch (l->fault) {
	case MUTE:
		outwait(l->client);
		return false;
	case LOSE: /* what comes first is not always the end of what is done: the rest of the answer is waited for */
		pause_ms(300);
		return false;
	case CUT_ANSWER:
		send_all(l->client, data, len < l->left ? len : l->left);
		l->left -= len < l->left ? len : l->left;
		return l->left > 0;
	case SLOW:
		return pass_slowly(l, data, len);
	case FLIP:
		if (l->left < len) {
			data[l->left] = (char)(data[l->left] ^ 0x55);
			l->fault = NONE;
		} else {
			l->left -= len;
		}
		break;
	case TWICE:
		if (!send_all(l->client, data, len))
			return false;
		send_again(l);
		return true;
	default:
		break;
	}
	return send_all(l->client, data, len);
}

/* One side has said its last word; it may go on listening. */
static void pass_end(struct pollfd *from, int to)
{
	shutdown(to, SHUT_WR);
	from->fd = -1;
}

static void relay(struct line *l)
{
	static _Thread_local char data[PIECE];
	struct pollfd fds[2] = {{l->client, POLLIN, 0}, {l->server, POLLIN, 0}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < 2; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			ssize_t n = recv(fds[i].fd, data, sizeof(data) - 1, 0);
			data[n > 0 ? n : 0] = '\0';
			if (n <= 0)
				pass_end(&fds[i], i == 0 ? l->server : l->client);
			else if (i == 0 ? !from_client(l, data, (size_t)n) : !from_server(l, data, (size_t)n))
				return;
		}
	}
}

static void *serve(void *arg)
{
	struct line l = {.client = (int)(intptr_t)arg};
	l.server = open_socket(target, false);
	if (l.server >= 0)
		relay(&l);
	close(l.client);
	if (l.server >= 0)
		close(l.server);
	free(l.kept);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (argc != 4) {
		fprintf(stderr, "usage: faulty LISTEN TARGET RULES\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* tests end in many ways */
	target = argv[2];
	rules.path = argv[3];
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int listener = open_socket(argv[1], true);
	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0 &&
		    pthread_create(&thread, &attr, serve, (void *)(intptr_t)client) != 0) /* NOLINT(performance-no-int-to-ptr) */
			close(client);
	}
}
