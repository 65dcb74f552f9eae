/*
 * Errors as values.
 *
 * A function that can fail returns an int and takes a `struct err *` as its last argument. On success the
 * error is untouched; on failure it is set, and the caller wraps it with what it was doing, so that the
 * message reads from the outside in: "read action: vault/actions/x.json: line 3: ...".
 * A NULL error is allowed everywhere: the caller does not want to know why.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

struct err {
	int code;  /* one of enum err_code; ERR_NONE while nothing went wrong */
	char *msg; /* owned; NULL while nothing went wrong */
};

/* What a caller may want to tell apart. Everything that nobody acts upon is ERR_FAIL. */
enum err_code {
	ERR_NONE = 0,
	ERR_FAIL,        /* any other failure */
	ERR_INVALID,     /* input is wrong and will stay wrong: refuse it */
	ERR_NOT_FOUND,   /* what was asked for is not there */
	ERR_EXISTS,      /* what should be made is there already */
	ERR_TIMEOUT,     /* a deadline passed; what was asked for may or may not have happened */
	ERR_UNREACHABLE, /* nobody answered, or the connection broke: try again later */
	ERR_DENIED,      /* the other side says that we may not */
	ERR_NOSPACE,     /* the disk is full */
};

#define ERR_INIT \
	{ \
		0, 0 \
	}

/* Sets `err` (replacing what it held). Always returns -1. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set with the text of `errnum` appended; the code follows errnum (ENOSPC, ENOENT, EEXIST, ...). Returns -1. */
int err_errno(struct err *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message that `err` holds; the code stays. Always returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Compilers and the analyzer look at one file at a time; this tells them that a failure is never taken for a success, so that
 * they see no use of outputs that were not set.
 */
static inline int err_failed_(int always)
{
	(void)always;
	return -1;
}
#define err_set(...) err_failed_((err_set)(__VA_ARGS__))
#define err_errno(...) err_failed_((err_errno)(__VA_ARGS__))
#define err_wrap(...) err_failed_((err_wrap)(__VA_ARGS__))

/* The message, never NULL. Borrowed until the error is set again or cleared. */
const char *err_msg(const struct err *err);

/* Frees and resets. Takes NULL. */
void err_clear(struct err *err);

/* Moves `from` into `to` (which may be NULL) and leaves `from` empty. */
void err_move(struct err *to, struct err *from);

#define cleanup_err __attribute__((cleanup(err_clear)))

#endif
