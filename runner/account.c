#include "runner/account.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define VERSION 2
#define KEY_MAX 1024 /* as nscd has it; what is left unread would reach who asks as an error */

enum request { USER_BY_NAME, USER_BY_ID, GROUP_BY_NAME, GROUP_BY_ID };

struct request_head {
	int32_t version, type, key_len;
};

static const char password[] = "x", home[] = "/task", shell[] = "/bin/sh", name[] = ACCOUNT_NAME;

static void add_int(struct buf *b, uint32_t n)
{
	buf_add(b, &n, sizeof(n));
}

static void add_user(struct buf *b, uint32_t uid)
{
	const uint32_t head[] = {VERSION, 1, sizeof(name), sizeof(password), uid, uid, sizeof(name), sizeof(home), sizeof(shell)};

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		add_int(b, head[i]);
	buf_add(b, name, sizeof(name));
	buf_add(b, password, sizeof(password));
	buf_add(b, name, sizeof(name)); /* gecos */
	buf_add(b, home, sizeof(home));
	buf_add(b, shell, sizeof(shell));
}

static void add_group(struct buf *b, uint32_t gid)
{
	const uint32_t head[] = {VERSION, 1, sizeof(name), sizeof(password), gid, 0 /* members */};

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		add_int(b, head[i]);
	buf_add(b, name, sizeof(name));
	buf_add(b, password, sizeof(password));
}

void account_answer(uint32_t uid, const void *request, size_t len, struct buf *ret)
{
	struct request_head head;
	char id[16];

	if (len < sizeof(head))
		return;
	memcpy(&head, request, sizeof(head));
	/* The key's length counts its NUL. */
	const char *key = (const char *)request + sizeof(head);
	if (head.version != VERSION || head.key_len < 1 || (size_t)head.key_len != len - sizeof(head) || key[head.key_len - 1] != '\0')
		return;
	snprintf(id, sizeof(id), "%" PRIu32, uid);
	bool by_id = head.type == USER_BY_ID || head.type == GROUP_BY_ID;
	if (strcmp(key, by_id ? id : name) != 0)
		return;
	if (head.type == USER_BY_NAME || head.type == USER_BY_ID)
		add_user(ret, uid);
	else if (head.type == GROUP_BY_NAME || head.type == GROUP_BY_ID)
		add_group(ret, uid);
}

/* A folder that an image or a step could have a hand in would answer for others than us. */
static bool is_ours(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0 && !(st.st_mode & 022);
}

void account_open(struct account *a, uint32_t uid)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = ACCOUNT_SOCKET};
	int fd cleanup_fd = is_ours(ACCOUNT_DIR) ? socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || chmod(ACCOUNT_SOCKET, 0666) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		return;
	a->uid = uid;
	a->listen_fd = steal_fd(&fd);
}

void account_poll(const struct account *a, struct pollfd fds[static ACCOUNT_FDS])
{
	fds[0] = (struct pollfd){.fd = a->listen_fd, .events = POLLIN};
	for (size_t i = 0; i < ACCOUNT_CLIENTS; i++)
		fds[1 + i] = (struct pollfd){.fd = a->clients[i], .events = POLLIN};
}

static void hang_up(int *client)
{
	if (*client >= 0)
		close(*client);
	*client = -1;
}

/* A request comes in one piece, since the C libraries send it so; an answer always fits the socket's buffer. */
static void serve(const struct account *a, int *client)
{
	char request[sizeof(struct request_head) + KEY_MAX];
	struct buf answer cleanup_buf = BUF_INIT;

	ssize_t n = recv(*client, request, sizeof(request), MSG_DONTWAIT);
	if (n > 0)
		account_answer(a->uid, request, (size_t)n, &answer);
	if (answer.len > 0)
		send(*client, answer.data, answer.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	hang_up(client);
}

void account_serve(struct account *a, const struct pollfd fds[static ACCOUNT_FDS])
{
	for (size_t i = 0; i < ACCOUNT_CLIENTS; i++)
		if (fds[1 + i].revents)
			serve(a, &a->clients[i]);
	if (!fds[0].revents)
		return;
	int fd = accept4(a->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	hang_up(&a->clients[a->next]);
	a->clients[a->next] = fd;
	a->next = (a->next + 1) % ACCOUNT_CLIENTS;
}

void account_close(struct account *a)
{
	for (size_t i = 0; i < ACCOUNT_CLIENTS; i++)
		hang_up(&a->clients[i]);
	hang_up(&a->listen_fd);
}
