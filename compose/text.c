/* The text of docker-compose.yml, which says itself whether somebody changed it. */
#include "compose/compose.h"
#include "lib/cleanup.h"
#include "lib/yaml.h"
#include <sodium.h>
#include <string.h>

#define HEAD \
	"# Written by `disinto compose render`, which keeps it up to date as long as nobody changes it. Your own changes belong into\n" \
	"# " COMPOSE_OVERRIDE " beside it, values into .env.\n" \
	"# sha256: "
#define DIGEST_HEX (crypto_hash_sha256_BYTES * 2)

static void digest_of(const char *text, size_t len, char hex[static DIGEST_HEX + 1])
{
	unsigned char digest[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(digest, (const unsigned char *)text, len);
	sodium_bin2hex(hex, DIGEST_HEX + 1, digest, sizeof(digest));
}

void compose_text(const struct compose_site *site, struct buf *ret)
{
	cleanup_json json_t *model = compose_model(site);
	cleanup_buf struct buf body = BUF_INIT;
	char hex[DIGEST_HEX + 1];

	yaml_emit(model, &body);
	digest_of(body.data, body.len, hex);
	buf_addf(ret, HEAD "%s\n", hex);
	buf_add(ret, body.data, body.len);
}

/* The words of the head may be another version's; its last line counts. */
bool compose_is_ours(const char *text, size_t len)
{
	static const char mark[] = "# sha256: ";
	const char *end = text + len;
	char hex[DIGEST_HEX + 1];

	while (text < end && *text == '#') {
		const char *line = text, *next = memchr(text, '\n', (size_t)(end - text));

		if (!next)
			return false;
		text = next + 1;
		if ((size_t)(next - line) != strlen(mark) + DIGEST_HEX || memcmp(line, mark, strlen(mark)) != 0)
			continue;
		digest_of(text, (size_t)(end - text), hex);
		return memcmp(line + strlen(mark), hex, DIGEST_HEX) == 0;
	}
	return false;
}
