#include "lib/err.h"
#include "lib/buf.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes msg. What err held is freed last, since the new text may have been made from it. */
static int set_owned(struct err *err, enum err_code code, char *msg)
{
	if (!err) {
		free(msg);
		return -1;
	}
	free(err->msg);
	err->code = (int)code;
	err->msg = msg;
	return -1;
}

int(err_set)(struct err *err, enum err_code code, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	return set_owned(err, code, buf_steal(&b));
}

static enum err_code code_of(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return ERR_NOSPACE;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ENETUNREACH:
	case EHOSTUNREACH:
		return ERR_UNREACHABLE;
	default:
		return ERR_FAIL;
	}
}

int(err_errno)(struct err *err, int errnum, const char *fmt, ...)
{
	char text[128];
	struct buf b = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	buf_addf(&b, ": %s", strerror_r(errnum, text, sizeof(text)));
	return set_owned(err, code_of(errnum), buf_steal(&b));
}

int(err_wrap)(struct err *err, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	buf_addf(&b, ": %s", err_msg(err));
	return set_owned(err, err && err->code ? (enum err_code)err->code : ERR_FAIL, buf_steal(&b));
}

const char *err_msg(const struct err *err)
{
	return err && err->msg ? err->msg : "unknown error";
}

void err_clear(struct err *err)
{
	if (!err)
		return;
	free(err->msg);
	*err = (struct err)ERR_INIT;
}

void err_move(struct err *to, struct err *from)
{
	if (to == from)
		return;
	if (to) {
		free(to->msg);
		*to = *from;
		*from = (struct err)ERR_INIT;
	} else {
		err_clear(from);
	}
}
