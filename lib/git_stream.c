/*
 * Conversations with a git service: over ssh, with a program on this machine, or over git's own TCP port. All of them are one socket
 * that is read and written with deadlines.
 */
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/git_child.h"
#include "lib/git_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CONNECT_MS 10000
#define GIT_PORT "9418"
#define SAID_MAX 2048

struct git_stream {
	struct git_wire wire;
	struct git_session *s;
	struct git_child child; /* sock: the conversation, with a child or without; messages: -1 without */
	struct buf said;        /* the child's last words on standard error */
	bool broken;
};

/* Keeps what the child writes on its standard error, as one printable line. */
static void listen_to(struct git_stream *st)
{
	char text[512];
	ssize_t n;
	while (st->child.messages >= 0 && (n = read(st->child.messages, text, sizeof(text))) != -1) {
		if (n == 0) {
			close(steal_fd(&st->child.messages));
			return;
		}
		for (ssize_t i = 0; i < n && st->said.len < SAID_MAX; i++)
			buf_addc(&st->said, (unsigned char)text[i] > ' ' && text[i] != 0x7f ? text[i] : ' ');
	}
}

static void wait_for_words(struct git_stream *st, int ms)
{
	struct pollfd p = {.fd = st->child.messages, .events = POLLIN};
	int64_t until = now_mono_ms() + ms;
	for (int left = ms; st->child.messages >= 0 && left > 0; left = (int)(until - now_mono_ms())) {
		if (poll(&p, 1, left) <= 0)
			return;
		listen_to(st);
	}
}

/* The far side closed: what the child said on its way out is the reason, if anything is. */
static int closed(struct git_stream *st, struct err *err)
{
	st->broken = true;
	wait_for_words(st, 1000);
	while (st->said.len && st->said.data[st->said.len - 1] == ' ')
		st->said.data[--st->said.len] = '\0';
	bool denied = strstr(st->said.data, "Permission denied") || strstr(st->said.data, "Host key verification failed");
	return err_set(err, denied ? ERR_DENIED : ERR_UNREACHABLE, "%s: the connection was closed early%s%s", st->s->address.shown,
	               st->said.len ? ": " : "", st->said.data);
}

/* Waits until the socket is ready for `events`; standard error is read meanwhile, so that it can't fill up. */
static int wait_ready(struct git_stream *st, short events, struct err *err)
{
	int ms;
	for (;;) {
		struct pollfd p[2] = {{.fd = st->child.sock, .events = events}, {.fd = st->child.messages, .events = POLLIN}};
		if (git_session_wait_ms(st->s, &ms, err) < 0)
			break;
		int n = poll(p, 2, ms);
		if (n == 0) {
			err_set(err, ERR_TIMEOUT, "%s: the server said nothing for %d ms", st->s->address.shown, ms);
			break;
		}
		if (n > 0 && p[1].revents)
			listen_to(st);
		if (n > 0 && p[0].revents)
			return 0;
	}
	st->broken = true;
	return -1;
}

static int stream_read(struct git_wire *wire, char *to, size_t size, size_t *ret_len, struct err *err)
{
	struct git_stream *st = (struct git_stream *)wire;
	for (;;) {
		ssize_t n = read(st->child.sock, to, size);
		if (n > 0) {
			*ret_len = (size_t)n;
			return 0;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return closed(st, err);
		if (wait_ready(st, POLLIN, err) < 0)
			return -1;
	}
}

int git_stream_write(struct git_stream *st, const void *data, size_t len, struct err *err)
{
	const char *p = data;
	while (len) {
		ssize_t n = send(st->child.sock, p, len, MSG_NOSIGNAL);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return closed(st, err);
		if (wait_ready(st, POLLOUT, err) < 0)
			return -1;
	}
	return 0;
}

static int connect_one(const struct addrinfo *a, int ms, int *ret_fd)
{
	cleanup_fd int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int why = 0;
	socklen_t len = sizeof(why);

	if (fd < 0)
		return errno;
	/* Requests are several small writes: waiting to fill a packet would cost 40 ms for each. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		if (errno != EINPROGRESS)
			return errno;
		if (poll(&p, 1, ms) <= 0)
			return ETIMEDOUT;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) < 0 || why)
			return why ? why : errno;
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int connect_tcp(struct git_session *s, int *ret_fd, struct err *err)
{
	const struct git_address *a = &s->address;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int ms = s->place->connect_ms > 0 ? s->place->connect_ms : CONNECT_MS, why = 0;

	int rc = getaddrinfo(a->host, a->port ? a->port : GIT_PORT, &hints, &list);
	if (rc != 0)
		return err_set(err, ERR_UNREACHABLE, "%s: %s: %s", a->shown, a->host, gai_strerror(rc));
	for (const struct addrinfo *i = list; i && *ret_fd < 0; i = i->ai_next)
		why = connect_one(i, ms, ret_fd);
	freeaddrinfo(list);
	if (*ret_fd >= 0)
		return 0;
	return err_set(err, why == ETIMEDOUT ? ERR_TIMEOUT : ERR_UNREACHABLE, "%s: connect: %s", a->shown, strerror(why));
}

/* git's own protocol begins with the service's name (gitprotocol-pack, "Git Transport"). */
static int begin_tcp(struct git_stream *st, const char *service, bool v2, struct err *err)
{
	const struct git_address *a = &st->s->address;
	cleanup_buf struct buf hello = BUF_INIT;
	cleanup_buf struct buf packet = BUF_INIT;

	if (connect_tcp(st->s, &st->child.sock, err) < 0)
		return -1;
	buf_addf(&hello, "%s %s", service, a->path);
	buf_addc(&hello, '\0');
	buf_addf(&hello, "host=%s%s%s", a->host, a->port ? ":" : "", a->port ? a->port : "");
	buf_addc(&hello, '\0');
	if (v2)
		buf_add(&hello, "\0version=2", sizeof("\0version=2"));
	if (hello.len > 4096)
		return err_set(err, ERR_INVALID, "%s: the address is too long", a->shown);
	buf_addf(&packet, "%04zx", hello.len + 4);
	buf_add(&packet, hello.data, hello.len);
	return git_stream_write(st, packet.data, packet.len, err);
}

/* Known hosts come from a file that nobody can swap for another by a link. */
static int check_known_hosts(const char *file, struct err *err)
{
	struct stat sb;
	if (lstat(file, &sb) < 0)
		return err_errno(err, errno, "known_hosts_file: %s", file);
	if (!S_ISREG(sb.st_mode))
		return err_set(err, ERR_INVALID, "known_hosts_file: %s: must be a plain file, not a link", file);
	return 0;
}

/* In single quotes, as the shell that sshd starts wants it. */
static char *shell_quoted(const char *s)
{
	cleanup_buf struct buf out = BUF_INIT;
	buf_addc(&out, '\'');
	for (; *s; s++)
		if (*s == '\'' || *s == '!')
			buf_addf(&out, "'\\%c'", *s);
		else
			buf_addc(&out, *s);
	buf_addc(&out, '\'');
	return buf_steal(&out);
}

static int begin_ssh(struct git_stream *st, const char *service, bool v2, struct err *err)
{
	const struct git_place *place = st->s->place;
	const struct git_address *a = &st->s->address;
	int seconds = ((place->connect_ms > 0 ? place->connect_ms : CONNECT_MS) + 999) / 1000;
	cleanup_free char *timeout = xasprintf("ConnectTimeout=%d", seconds);
	cleanup_free char *hosts = xasprintf("UserKnownHostsFile=%s", place->known_hosts ? place->known_hosts : "");
	cleanup_free char *target = a->user ? xasprintf("%s@%s", a->user, a->host) : xstrdup(a->host);
	cleanup_free char *path = shell_quoted(a->path);
	cleanup_free char *remote = xasprintf("%s %s", service, path);
	const char *argv[32] = {"ssh", "-T", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oClearAllForwardings=yes", "-o", timeout};
	const char *env[] = {v2 ? "GIT_PROTOCOL=version=2" : NULL, NULL};
	size_t n = 7;

	if (place->known_hosts) {
		if (check_known_hosts(place->known_hosts, err) < 0)
			return -1;
		argv[n++] = "-o";
		argv[n++] = hosts;
		argv[n++] = "-oGlobalKnownHostsFile=/dev/null";
		argv[n++] = "-oKnownHostsCommand=none";
	}
	if (place->ssh_key) {
		argv[n++] = "-i";
		argv[n++] = place->ssh_key;
		argv[n++] = "-oIdentitiesOnly=yes";
	}
	if (a->port) {
		argv[n++] = "-p";
		argv[n++] = a->port;
	}
	if (v2)
		argv[n++] = "-oSendEnv=GIT_PROTOCOL";
	argv[n++] = "--";
	argv[n++] = target;
	argv[n] = remote;
	return git_child_start(&(struct git_child_command){.argv = argv, .env = env}, &st->child, err);
}

/*
 * The program runs as the repository's owner, if we may choose: objects then get the right owner, and hooks the right powers. An owner without an account is one of the
 * machine around a container; the repository's group stands for his, so that what is shared with it stays so. git distrusts repositories of others, but this one was named
 * by the configuration.
 */
static int begin_local(struct git_stream *st, const char *service, bool v2, struct err *err)
{
	const char *path = st->s->address.path;
	cleanup_free char *trusted = xasprintf("GIT_CONFIG_VALUE_0=%s", path);
	const char *argv[] = {service, path, NULL};
	const char *env[] = {"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", trusted, v2 ? "GIT_PROTOCOL=version=2" : NULL, NULL};
	struct stat sb;

	if (stat(path, &sb) < 0)
		return err_errno(err, errno, "%s", st->s->address.shown);
	return git_child_start(&(struct git_child_command){.argv = argv, .env = env, .run_as = sb.st_uid, .group = sb.st_gid}, &st->child,
	                       err);
}

int git_stream_begin(struct git_session *s, const char *service, bool v2, struct git_stream **ret, struct err *err)
{
	struct git_stream *st = xcalloc(1, sizeof(*st));
	*st = (struct git_stream){.wire.read = stream_read, .s = s, .child = {.sock = -1, .messages = -1}, .said = BUF_INIT};
	int rc = s->address.scheme == GIT_SCHEME_SSH   ? begin_ssh(st, service, v2, err)
	         : s->address.scheme == GIT_SCHEME_GIT ? begin_tcp(st, service, v2, err)
	                                               : begin_local(st, service, v2, err);
	if (rc < 0) {
		st->broken = true;
		git_stream_end(st);
		return -1;
	}
	*ret = st;
	return 0;
}

struct git_wire *git_stream_wire(struct git_stream *st)
{
	return &st->wire;
}

/* After a good conversation the far side may still have work, such as hooks that follow a push: it gets the time of one silence for it. */
static int let_finish(struct git_stream *st)
{
	char rest[4096];
	size_t n;
	int64_t until = now_mono_ms() + st->s->stall_ms;
	int left = st->s->stall_ms;

	shutdown(st->child.sock, SHUT_WR);
	while (left > 0 && stream_read(&st->wire, rest, sizeof(rest), &n, NULL) == 0)
		left = (int)(until - now_mono_ms());
	left = (int)(until - now_mono_ms());
	return left > 0 ? left : 0;
}

void git_stream_end(struct git_stream *st)
{
	if (!st)
		return;
	int grace = st->broken ? 0 : let_finish(st);
	cleanup_fd_(&st->child.sock);
	cleanup_fd_(&st->child.messages);
	git_child_end(&st->child, grace);
	buf_free(&st->said);
	free(st);
}

/* libgit2's view: one stream for the advertisement and what follows it. */
struct subtransport {
	git_smart_subtransport base;
	git_smart_subtransport_stream stream;
	struct git_session *s;
	struct git_stream *st;
};

static struct subtransport *of_stream(git_smart_subtransport_stream *stream)
{
	return (struct subtransport *)stream->subtransport;
}

static int sub_read(git_smart_subtransport_stream *stream, char *to, size_t size, size_t *ret_len)
{
	struct subtransport *sub = of_stream(stream);
	struct err err = ERR_INIT;
	if (stream_read(&sub->st->wire, to, size, ret_len, &err) < 0)
		return git_session_fail(sub->s, &err);
	return 0;
}

static int sub_write(git_smart_subtransport_stream *stream, const char *data, size_t len)
{
	struct subtransport *sub = of_stream(stream);
	struct err err = ERR_INIT;
	if (git_stream_write(sub->st, data, len, &err) < 0)
		return git_session_fail(sub->s, &err);
	return 0;
}

static void sub_stream_free(git_smart_subtransport_stream *stream)
{
	struct subtransport *sub = of_stream(stream);
	git_stream_end(sub->st);
	sub->st = NULL;
}

static int sub_action(git_smart_subtransport_stream **out, git_smart_subtransport *base, const char *url, git_smart_service_t service)
{
	struct subtransport *sub = (struct subtransport *)base;
	bool push = service == GIT_SERVICE_RECEIVEPACK || service == GIT_SERVICE_RECEIVEPACK_LS;
	struct err err = ERR_INIT;
	(void)url;
	if (!sub->st && git_stream_begin(sub->s, push ? "git-receive-pack" : "git-upload-pack", false, &sub->st, &err) < 0)
		return git_session_fail(sub->s, &err);
	*out = &sub->stream;
	return 0;
}

static int sub_close(git_smart_subtransport *base)
{
	struct subtransport *sub = (struct subtransport *)base;
	git_stream_end(sub->st);
	sub->st = NULL;
	return 0;
}

static void sub_free(git_smart_subtransport *base)
{
	sub_close(base);
	free(base);
}

int git_stream_subtransport(git_smart_subtransport **out, git_transport *owner, void *session)
{
	(void)owner;
	struct subtransport *sub = xcalloc(1, sizeof(*sub));
	*sub = (struct subtransport){
	    .base = {sub_action, sub_close, sub_free}, .stream = {&sub->base, sub_read, sub_write, sub_stream_free}, .s = session};
	*out = &sub->base;
	return 0;
}
