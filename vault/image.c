#include "vault/image.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/name.h"
#include <string.h>

#define HUB "docker.io"
#define HUB_OLD "index.docker.io" /* Docker takes the two for one */
#define HEX CHARS_DIGIT "abcdef"
#define DIGEST "sha256:"
#define DIGEST_HEX 64
#define NAME_MAX_CHARS 255
#define TAG_MAX_CHARS 128
#define ANY_TAG "\x01" /* a tag that only a `*` covers */

static bool is_pattern(const char *s)
{
	return vault_matches(s, CHARS_LOWER CHARS_DIGIT "*", CHARS_ALNUM "._-/:@*", 512);
}

const struct check_kind check_image_pattern = {"an image or a pattern of images", is_pattern,
                                               "a-z, 0-9 or * first, then letters, digits and . _ - / : @ *, at most 512 characters"};

/* A reference taken apart; all parts owned, NULL where absent. */
struct parts {
	char *host; /* NULL: none was written */
	char *path;
	char *tag;
	char *digest; /* with its algorithm */
};

static void parts_free(struct parts *p)
{
	free(p->host);
	free(p->path);
	free(p->tag);
	free(p->digest);
}
#define cleanup_parts __attribute__((cleanup(parts_free)))

static char *span(const char *from, const char *to)
{
	return xasprintf("%.*s", (int)(to - from), from);
}

/* Where the first component is a registry, its length: it has a dot or a port, or is localhost. */
static size_t host_len(const char *s)
{
	size_t len = strcspn(s, "/@");

	if (s[len] != '/')
		return 0;
	return memchr(s, '.', len) || memchr(s, ':', len) || (len == 9 && strncmp(s, "localhost", len) == 0) ? len : 0;
}

static void split(const char *s, struct parts *ret)
{
	const char *end = s + strcspn(s, "@");
	size_t host = host_len(s);
	const char *path = host > 0 ? s + host + 1 : s;
	const char *slash = memrchr(path, '/', (size_t)(end - path));
	const char *last = slash ? slash + 1 : path;
	const char *colon = memchr(last, ':', (size_t)(end - last));

	ret->host = host > 0 ? span(s, s + host) : NULL;
	ret->path = span(path, colon ? colon : end);
	ret->tag = colon ? span(colon + 1, end) : NULL;
	ret->digest = *end ? xstrdup(end + 1) : NULL;
}

/* "debian" on the hub is "library/debian" there. */
static void complete(struct parts *p, bool keep_written)
{
	if (p->host && strcmp(p->host, HUB_OLD) == 0) {
		free(p->host);
		p->host = xstrdup(HUB);
	}
	bool written = p->host != NULL;
	if (!written)
		p->host = xstrdup(HUB);
	if (strcmp(p->host, HUB) == 0 && !strchr(p->path, '/') && !(written && keep_written)) {
		char *path = xasprintf("library/%s", p->path);

		free(p->path);
		p->path = path;
	}
}

/* Names, hosts */

static bool is_host(const char *s)
{
	const char *colon = strchr(s, ':');
	cleanup_free char *name = span(s, colon ? colon : s + strlen(s));

	return vault_matches(name, CHARS_ALNUM, CHARS_ALNUM ".-", NAME_MAX_CHARS) &&
	       (!colon || vault_matches(colon + 1, CHARS_DIGIT, CHARS_DIGIT, 5));
}

static bool is_component(const char *s, size_t len)
{
	cleanup_free char *text = span(s, s + len);

	return vault_matches(text, CHARS_LOWER CHARS_DIGIT, CHARS_LOWER CHARS_DIGIT "._-", NAME_MAX_CHARS) &&
	       strchr(CHARS_LOWER CHARS_DIGIT, text[len - 1]) && !strstr(text, "..");
}

static bool is_path(const char *s)
{
	for (;; s++) {
		size_t len = strcspn(s, "/");

		if (!is_component(s, len))
			return false;
		s += len;
		if (!*s)
			return true;
	}
}

static bool is_hex_id(const char *s)
{
	return strlen(s) == DIGEST_HEX && strspn(s, HEX) == DIGEST_HEX;
}

static bool is_digest(const char *s)
{
	return strncmp(s, DIGEST, strlen(DIGEST)) == 0 && is_hex_id(s + strlen(DIGEST));
}

static int check(const struct parts *p, struct err *err)
{
	if (p->host && !is_host(p->host))
		return err_set(err, ERR_INVALID, "its registry is not a host, as in registry.example or registry.example:5000");
	if (!is_path(p->path) || strlen(p->path) > NAME_MAX_CHARS)
		return err_set(
		    err, ERR_INVALID,
		    "its name must be a-z, 0-9 and . _ - with / between the parts, each part beginning and ending with a letter or digit");
	if (p->tag && !vault_matches(p->tag, CHARS_ALNUM "_", CHARS_ALNUM "._-", TAG_MAX_CHARS))
		return err_set(err, ERR_INVALID, "its tag must be letters, digits and . _ -, at most %d", TAG_MAX_CHARS);
	if (p->digest && !is_digest(p->digest))
		return err_set(err, ERR_INVALID, "its digest must be " DIGEST " and %d hexadecimal digits", DIGEST_HEX);
	return 0;
}

/* "sha256:…" of an id, NULL for all else. */
static char *as_id(const char *s)
{
	if (is_digest(s))
		return xstrdup(s);
	return is_hex_id(s) ? xasprintf(DIGEST "%s", s) : NULL;
}

static char *join(const struct parts *p, const char *tag)
{
	if (p->digest)
		return xasprintf("%s/%s@%s", p->host, p->path, p->digest);
	return xasprintf("%s/%s%s%s", p->host, p->path, tag ? ":" : "", tag ? tag : "");
}

int image_normalise(const char *reference, char **ret, struct err *err)
{
	cleanup_parts struct parts p = {NULL, NULL, NULL, NULL};
	char *id = as_id(reference);

	if (id) {
		*ret = id;
		return 0;
	}
	split(reference, &p);
	if (check(&p, err) < 0)
		return -1;
	complete(&p, false);
	*ret = join(&p, p.tag ? p.tag : "latest");
	return 0;
}

bool image_is_pinned(const char *normalised)
{
	return strchr(normalised, '@') || is_digest(normalised);
}

/* Patterns */

/* A letter stands wherever `*` does, so that the rules of references hold for what surrounds it. */
static int check_pattern(const char *pattern, struct err *err)
{
	cleanup_parts struct parts p = {NULL, NULL, NULL, NULL};
	cleanup_free char *sample = xstrdup(pattern);
	const char *at = strchr(pattern, '@');

	for (char *s = sample; *s; s++)
		*s = *s == '*' ? 'a' : *s;
	split(sample, &p);
	if (at && strchr(at, '*')) { /* part of a digest is no digest */
		free(p.digest);
		p.digest = NULL;
	}
	return check(&p, err);
}

/* `*` in the registry, or in what was meant as one: "registry.example*" would cover registry.example.evil too. */
static bool host_is_open(const char *pattern)
{
	size_t slash = strcspn(pattern, "/");
	size_t len = pattern[slash] ? slash : strcspn(pattern, ":@");

	return memchr(pattern, '*', len) && (memchr(pattern, '.', len) || memchr(pattern, ':', len));
}

int image_pattern_normalise(const char *pattern, char **ret, struct err *err)
{
	cleanup_parts struct parts p = {NULL, NULL, NULL, NULL};
	char *id = strcmp(pattern, "*") == 0 ? xstrdup(pattern) : as_id(pattern);

	if (id) {
		*ret = id;
		return 0;
	}
	if (host_is_open(pattern))
		return err_set(err, ERR_INVALID,
		               "the registry must be written out: * may stand after the first /, as in registry.example/*");
	if (check_pattern(pattern, err) < 0)
		return -1;
	split(pattern, &p);
	bool any_tag = !p.tag && p.path[strlen(p.path) - 1] == '*';
	complete(&p, strchr(p.path, '*') != NULL);
	*ret = join(&p, p.tag ? p.tag : any_tag ? NULL : "latest");
	return 0;
}

/* Whether `*` in the pattern can be filled so that it becomes s. Going back to the last `*` is enough. */
static bool covers(const char *pattern, const char *s)
{
	const char *star = NULL, *retry = NULL;

	while (*s) {
		if (*pattern == '*') {
			star = pattern++;
			retry = s;
		} else if (*pattern == *s) {
			pattern++;
			s++;
		} else if (star) {
			pattern = star + 1;
			s = ++retry;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

bool image_matches(const char *image, const char *pattern)
{
	const char *at = strchr(image, '@');
	cleanup_free char *any_tag = NULL;

	if (strcmp(pattern, "*") == 0)
		return true;
	if (is_digest(image) || is_digest(pattern))
		return strcmp(image, pattern) == 0;
	if (!at || strchr(pattern, '@'))
		return covers(pattern, image);
	any_tag = xasprintf("%.*s:" ANY_TAG, (int)(at - image), image);
	return covers(pattern, any_tag);
}
