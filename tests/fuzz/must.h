/* What the targets that read files of the vault demand of every refusal. */
#ifndef TESTS_FUZZ_MUST_H
#define TESTS_FUZZ_MUST_H

#include "lib/err.h"
#include "lib/json.h"
#include <stdlib.h>
#include <string.h>

static inline void must(bool good)
{
	if (!good)
		abort();
}

/* A refusal says that the input is wrong, names the file first, and brings nothing from the input that a terminal would obey. */
static inline void must_refuse(const struct err *err, const char *file)
{
	const char *s = err_msg(err);
	size_t len = strlen(s);

	must(err->code == ERR_INVALID && strncmp(s, file, strlen(file)) == 0);
	for (size_t at = 0; at < len;) {
		uint32_t c = ' ';
		size_t n = text_decode(s + at, len - at, &c);

		must(text_allowed(c));
		at += n > 0 ? n : 1; /* a value that is shown in part may be cut within a character */
	}
}

#endif
