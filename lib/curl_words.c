#include "lib/curl_words.h"
#include <stddef.h>
#include <string.h>

#define AFTER " after "

/* Bytes of "1034 ms" or "1034 milliseconds" at s; 0: something else stands there. */
static size_t time_len(const char *s)
{
	static const char *const units[] = {" milliseconds", " ms"};
	size_t digits = strspn(s, "0123456789");

	for (size_t i = 0; digits > 0 && i < sizeof(units) / sizeof(*units); i++)
		if (strncmp(s + digits, units[i], strlen(units[i])) == 0)
			return digits + strlen(units[i]);
	return 0;
}

void curl_words_settle(char *words)
{
	for (char *at = words; (at = strstr(at, AFTER));) {
		char *from = at + strlen(AFTER);
		size_t len = time_len(from);

		if (len > 0)
			memmove(at, from + len, strlen(from + len) + 1);
		else
			at = from;
	}
}
