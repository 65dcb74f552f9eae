/*
 * What an agent writes, as lines for people. The first byte chooses where the rest is cut. However it is cut, the same comes out; and what holds
 * no object comes out as it went in.
 */
#include "runner/progress.h"
#include "tests/fuzz/must.h"
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf shown(const char *text, size_t len, size_t piece)
{
	struct progress *p = progress_new(NULL);
	struct buf out = BUF_INIT;
	double cost = 0;

	for (size_t at = 0; at < len; at += piece)
		progress_feed(p, text + at, len - at < piece ? len - at : piece, &out);
	progress_end(p, &out);
	must(!progress_cost(p, &cost) || cost >= 0);
	progress_free(p);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;
	size_t len = size - 1;

	if (size < 2)
		return 0;
	struct buf whole = shown(text, len, len), cut = shown(text, len, 1 + data[0]);
	must(whole.len == cut.len && memcmp(whole.data, cut.data, cut.len) == 0);
	if (!memchr(text, '{', len)) {
		size_t added = text[len - 1] != '\n';
		must(whole.len == len + added && memcmp(whole.data, text, len) == 0);
	}
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
