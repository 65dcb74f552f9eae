/*
 * Clients of the API for `make bench`, many at a time, on plain sockets.
 *
 *   load rate PORT PATH PER-SECOND SECONDS      GETs on 64 kept connections at a steady pace; late ones count from when they were due
 *   load slow PORT CONNECTIONS SECONDS          headers that trickle and never end; who is sent away comes again
 *   load follow PORT PATH TOKEN N STALLED FILE  N readers of one log, of which STALLED never read; FILE is what the others should have got in the end
 *
 * Each prints one line of numbers; see its function.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEPT 64
#define EVENTS 256

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int dial(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		die("connect");
	return fd;
}

static void watch(int poll, int fd, void *who)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = who};

	if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

/* ---- rate ---- */

struct kept {
	int fd;
	int64_t due_us; /* of what it waits for the answer to; 0: nothing */
	size_t got;
	char answer[4096];
};

struct tally {
	int64_t *took_us;
	size_t ok, bad;
};

/* The whole answer is there: 1. It is bad, or the connection is: -1. */
static int take(struct kept *k)
{
	ssize_t n = recv(k->fd, k->answer + k->got, sizeof k->answer - 1 - k->got, 0);

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	k->answer[k->got += (size_t)n] = '\0';
	const char *end = strstr(k->answer, "\r\n\r\n"), *length = strstr(k->answer, "Content-Length: ");
	if (!end || !length)
		return 0;
	if (k->got < (size_t)(end + 4 - k->answer) + strtoul(length + 16, NULL, 10))
		return 0;
	return strncmp(k->answer, "HTTP/1.1 200 ", 13) == 0 ? 1 : -1;
}

static void answered(struct kept *k, int poll, int port, struct tally *t)
{
	int rc = take(k);

	if (rc == 0)
		return;
	if (rc > 0) {
		t->took_us[t->ok++] = now_us() - k->due_us;
	} else {
		t->bad++;
		close(k->fd);
		k->fd = dial(port);
		watch(poll, k->fd, k);
	}
	k->due_us = 0;
	k->got = 0;
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* Prints: answers of 200, errors, answers per second, and microseconds: median, 99 of 100, worst. */
static int rate(int port, const char *path, int per_second, int seconds)
{
	static struct kept kept[KEPT];
	struct epoll_event events[EVENTS];
	size_t total = (size_t)per_second * (size_t)seconds, sent = 0;
	struct tally t = {.took_us = calloc(total, sizeof(int64_t))};
	int poll = epoll_create1(EPOLL_CLOEXEC);
	char request[512];
	int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);

	for (int i = 0; i < KEPT; i++) {
		kept[i].fd = dial(port);
		watch(poll, kept[i].fd, &kept[i]);
	}
	int64_t begin = now_us();
	while (t.ok + t.bad < total) {
		size_t due = (size_t)((now_us() - begin) * per_second / 1000000);
		for (int i = 0; i < KEPT && sent < due && sent < total; i++) {
			if (kept[i].due_us)
				continue;
			kept[i].due_us = begin + (int64_t)sent++ * 1000000 / per_second;
			if (send(kept[i].fd, request, (size_t)len, MSG_NOSIGNAL) != len)
				t.bad++, kept[i].due_us = 0;
		}
		int n = epoll_wait(poll, events, EVENTS, 1);
		for (int i = 0; i < n; i++)
			answered(events[i].data.ptr, poll, port, &t);
	}
	double took = (double)(now_us() - begin) / 1e6;
	qsort(t.took_us, t.ok, sizeof *t.took_us, by_time);
	if (t.ok == 0)
		return 1;
	printf("%zu %zu %.0f %lld %lld %lld\n", t.ok, t.bad, (double)t.ok / took, (long long)t.took_us[t.ok / 2],
	       (long long)t.took_us[t.ok * 99 / 100], (long long)t.took_us[t.ok - 1]);
	free(t.took_us);
	return 0;
}

/* ---- slow ---- */

static int begin_slowly(int port)
{
	static const char begin[] = "GET /actions HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
	int fd = dial(port);

	(void)!send(fd, begin, sizeof begin - 1, MSG_NOSIGNAL);
	return fd;
}

/* Prints: connections that were opened, and how many of them the server has ended. */
static int slow(int port, int n, int seconds)
{
	int *fds = calloc((size_t)n, sizeof *fds);
	long opened = n, ended = 0;
	char c;

	for (int i = 0; i < n; i++)
		fds[i] = begin_slowly(port);
	for (int64_t until = now_us() + (int64_t)seconds * 1000000; now_us() < until; usleep(200000)) {
		for (int i = 0; i < n; i++) {
			if (fds[i] < 0 || (recv(fds[i], &c, 1, 0) < 0 && errno == EAGAIN && send(fds[i], "a", 1, MSG_NOSIGNAL) == 1))
				continue;
			ended++;
			close(fds[i]);
			fds[i] = -1;
			if (opened - n >= (long)seconds * 500) /* it comes again, within reason */
				continue;
			fds[i] = begin_slowly(port);
			opened++;
		}
	}
	printf("%ld %ld\n", opened, ended);
	free(fds);
	return 0;
}

/* ---- follow ---- */

struct reader {
	int fd;
	size_t head; /* bytes of the blank line that ends the headers */
	uint64_t bytes, hash;
};

#define HASH_BEGIN UINT64_C(14695981039346656037) /* FNV-1a */

static void hash(struct reader *r, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		r->hash = (r->hash ^ (unsigned char)data[i]) * UINT64_C(1099511628211);
	r->bytes += len;
}

static void read_on(struct reader *r, const char *data, size_t len)
{
	static const char blank[] = "\r\n\r\n";
	size_t at = 0;

	for (; at < len && r->head < 4; at++)
		r->head = data[at] == blank[r->head] ? r->head + 1 : data[at] == '\r';
	hash(r, data + at, len - at);
}

static void hash_file(const char *path, struct reader *r)
{
	static char block[65536];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		die(path);
	while ((n = fread(block, 1, sizeof block, f)) > 0)
		hash(r, block, n);
	fclose(f);
}

/* Prints: readers that got every byte, seconds until the last of them had. */
static int follow(int port, const char *path, const char *token, int n, int stalled, const char *file)
{
	static char block[262144];
	struct reader *all = calloc((size_t)n, sizeof *all), want = {.hash = HASH_BEGIN};
	struct epoll_event events[EVENTS];
	int poll = epoll_create1(EPOLL_CLOEXEC), left = n - stalled, whole = 0;
	char request[1024];
	int len = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", path, token);
	int64_t begin = now_us();

	for (int i = 0; i < n; i++) {
		all[i] = (struct reader){.fd = dial(port), .hash = HASH_BEGIN};
		if (send(all[i].fd, request, (size_t)len, MSG_NOSIGNAL) != len)
			die("send");
		if (i >= stalled)
			watch(poll, all[i].fd, &all[i]);
	}
	while (left > 0) {
		int m = epoll_wait(poll, events, EVENTS, 60000);
		if (m <= 0)
			break;
		for (int i = 0; i < m; i++) {
			struct reader *r = events[i].data.ptr;
			ssize_t got = recv(r->fd, block, sizeof block, 0);
			if (got > 0) {
				read_on(r, block, (size_t)got);
			} else if (got == 0 || errno != EAGAIN) {
				close(r->fd);
				left--;
			}
		}
	}
	double took = (double)(now_us() - begin) / 1e6;
	hash_file(file, &want);
	for (int i = stalled; i < n; i++)
		whole += all[i].bytes == want.bytes && all[i].hash == want.hash;
	printf("%d %.2f\n", whole, took);
	free(all);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (argc == 6 && strcmp(argv[1], "rate") == 0)
		return rate(atoi(argv[2]), argv[3], atoi(argv[4]), atoi(argv[5]));
	if (argc == 5 && strcmp(argv[1], "slow") == 0)
		return slow(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
	if (argc == 8 && strcmp(argv[1], "follow") == 0)
		return follow(atoi(argv[2]), argv[3], argv[4], atoi(argv[5]), atoi(argv[6]), argv[7]);
	fprintf(stderr, "usage: load rate|slow|follow …; see the head of tests/bench/load.c\n");
	return 2;
}
