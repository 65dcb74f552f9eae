/*
 * What a role that was taken over might send: any bytes, with descriptors anywhere. The first byte says in which pieces they come and which pieces bring a
 * descriptor. What is made of them must be what the bytes say, whatever the pieces; and no descriptor may be left open, lost or handed out twice.
 */
#include "lib/cleanup.h"
#include "lib/msg.h"
#include "tests/fuzz/must.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES 8192
#define HEADER 8

static void send_piece(int fd, const uint8_t *data, size_t len, int pass)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	struct iovec piece = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};

	if (pass >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(c), &pass, sizeof(pass));
	}
	must(sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)len);
}

/* Whole messages at the beginning of the bytes, by their lengths alone: the most that there can be. */
static size_t count_frames(const uint8_t *data, size_t size, size_t *ret_fds)
{
	size_t n = 0;
	uint32_t header[2];

	*ret_fds = 0;
	for (; size >= HEADER; n++) {
		memcpy(header, data, HEADER);
		if (header[0] > size - HEADER || header[1] > 1)
			break;
		*ret_fds += header[1];
		data += HEADER + header[0];
		size -= HEADER + header[0];
	}
	return n;
}

struct outcome {
	size_t messages, fds;
	bool broken;
};

/* Takes what is whole by now. */
static void take_all(struct msg_conn *c, struct outcome *o)
{
	while (!o->broken) {
		cleanup_msg struct msg m = MSG_INIT;
		cleanup_err struct err err = ERR_INIT;
		int rc = msg_next(c, &m, &err);
		if (rc == 0)
			return;
		o->broken = rc < 0;
		must(o->broken == (err.msg != NULL));
		if (o->broken)
			return;
		must(json_is_object(m.body) && m.kind && strcmp(m.kind, json_string_value(json_object_get(m.body, "kind"))) == 0);
		o->messages++;
		if (m.fd < 0)
			continue;
		must(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
		o->fds++;
	}
}

static size_t count_open(void)
{
	size_t n = 0;
	DIR *dir = opendir("/proc/self/fd");

	must(dir != NULL);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct outcome receive(const uint8_t *data, size_t size, size_t piece, unsigned passing)
{
	struct outcome o = {.messages = 0};
	struct msg_conn c;
	int pair[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	size_t passed = 0;

	must(null >= 0 && msg_pair(pair, NULL) == 0);
	msg_conn_init(&c, pair[1]);
	for (size_t at = 0, i = 0; at < size && !o.broken; at += piece, i++) {
		bool pass = passing >> (i & 3) & 1;
		send_piece(pair[0], data + at, size - at < piece ? size - at : piece, pass ? null : -1);
		passed += pass;
		int filled = msg_fill(&c, NULL);
		take_all(&c, &o);
		o.broken = o.broken || filled < 0; /* more descriptors than anybody may send */
	}
	must(o.fds <= passed);
	close(pair[0]);
	close(null);
	msg_conn_close(&c);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > MAX_BYTES)
		return 0;
	size_t fds, open_before = count_open(), frames = count_frames(data + 1, size - 1, &fds);
	size_t piece = 1 + (data[0] >> 4) * 37u;
	struct outcome cut = receive(data + 1, size - 1, size > 512 && piece < 38 ? 38 : piece, data[0] & 15);
	must(cut.messages <= frames && cut.fds <= fds);
	struct outcome none = receive(data + 1, size - 1, size, 0);
	must(none.fds == 0 && none.messages <= frames);
	if (fds == 0 && (data[0] & 15) == 0)
		must(cut.messages == none.messages && cut.broken == none.broken);
	must(count_open() == open_before);
	return 0;
}
