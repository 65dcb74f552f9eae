/*
 * Asking people: yes or no, and a secret that is not shown. What is typed lives in guarded memory only.
 */
#include "cli/cli.h"
#include "lib/cleanup.h"
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#define PASTE_MS 50 /* the rest of a pasted text is there within this */

#define KEY_INTERRUPT 3
#define KEY_END 4
#define KEY_BACKSPACE 8
#define KEY_KILL_LINE 21
#define KEY_DELETE 127

bool prompt_yes(const char *question)
{
	char answer[16] = "";

	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	if (!fgets(answer, sizeof(answer), stdin))
		return false;
	answer[strcspn(answer, "\r\n")] = '\0';
	return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}

/* Reads keys until the line ends. Signals are off meanwhile (no ISIG), so that Ctrl-C can't leave the terminal silent. */
static int read_keys(unsigned char *line, size_t max, size_t *ret_len, struct err *err)
{
	size_t len = 0;
	unsigned char key;

	for (;;) {
		ssize_t n = read(STDIN_FILENO, &key, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || key == KEY_INTERRUPT || (key == KEY_END && len == 0))
			return err_set(err, ERR_FAIL, "cancelled: nothing was changed");
		if (key == '\n' || key == '\r' || key == KEY_END)
			break;
		if (key == KEY_BACKSPACE || key == KEY_DELETE)
			len -= len > 0;
		else if (key == KEY_KILL_LINE)
			len = 0;
		else if (len == max)
			return err_set(err, ERR_INVALID, "the value is larger than %zu bytes", max);
		else
			line[len++] = key;
	}
	*ret_len = len;
	return 0;
}

int prompt_hidden(const char *label, size_t max, unsigned char **ret, size_t *ret_len, struct err *err)
{
	struct pollfd more = {.fd = STDIN_FILENO, .events = POLLIN};
	unsigned char *line = sodium_malloc(max);
	struct termios before, silent;
	int code;

	if (!line || tcgetattr(STDIN_FILENO, &before) < 0) {
		sodium_free(line);
		return err_errno(err, errno, "terminal: it can't be silenced");
	}
	silent = before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	fprintf(stderr, "%s (not shown): ", label);
	code = read_keys(line, max, ret_len, err);
	if (code == 0 && poll(&more, 1, PASTE_MS) > 0)
		code = err_set(err, ERR_INVALID, "the value has several lines; give it on standard input: disinto secrets add NAME < FILE");
	/* TCSAFLUSH drops what was typed too much. */
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	if (code < 0) {
		sodium_free(line);
		return -1;
	}
	*ret = line;
	return 0;
}

int read_hidden(int fd, size_t max, unsigned char **ret, size_t *ret_len, struct err *err)
{
	unsigned char *data = sodium_malloc(max + 1);
	size_t len = 0;
	ssize_t n = 1;

	if (!data)
		return err_errno(err, errno, "memory for the value");
	while (n != 0 && len <= max) {
		n = read(fd, data + len, max + 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(err, errno, "standard input");
			sodium_free(data);
			return -1;
		}
		len += (size_t)n;
	}
	if (len > max) {
		sodium_free(data);
		return err_set(err, ERR_INVALID, "the value is larger than %zu bytes", max);
	}
	*ret = data;
	*ret_len = len;
	return 0;
}
