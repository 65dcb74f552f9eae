/* Images: looking one up, and pulling it from its registry. */
#include "dispatcher/engine/image.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include <ctype.h>
#include <sodium.h>
#include <string.h>

#define PULL_MS (15 * 60 * 1000)
#define PULL_STALL_MS (120 * 1000)
#define AUTH_FILE_MAX (256 * 1024)
#define DOCKER_HUB "docker.io"
#define DOCKER_HUB_KEY "https://index.docker.io/v1/" /* its name in config.json */

void image_ref_free(struct image_ref *r)
{
	free(r->registry);
	free(r->repository);
	free(r->tag);
	*r = (struct image_ref){.registry = NULL};
}

/* Characters of references (github.com/distribution/reference); no component that a path would take for more than a name. */
static bool ref_is_sane(const char *ref)
{
	size_t len = strlen(ref);
	return len > 0 && len <= 512 && isalnum((unsigned char)ref[0]) && ref[len - 1] != '/' && !strstr(ref, "//") && !strstr(ref, "..") &&
	       strspn(ref, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@") == len;
}

/* A first component with a dot or a port, or localhost, is a registry. */
static size_t registry_len(const char *ref)
{
	size_t len = strcspn(ref, "/");
	if (!ref[len])
		return 0;
	return memchr(ref, '.', len) || memchr(ref, ':', len) || strncmp(ref, "localhost/", 10) == 0 ? len : 0;
}

int image_ref_parse(const char *ref, struct image_ref *ret, struct err *err)
{
	if (!ref_is_sane(ref))
		return err_set(err, ERR_INVALID, "image: '%.100s' is not an image reference like docker.io/library/debian:bookworm-slim",
		               ref);
	size_t host = registry_len(ref);
	const char *rest = host ? ref + host + 1 : ref;
	const char *at = strchr(rest, '@');
	size_t name_len = at ? (size_t)(at - rest) : strlen(rest);
	const char *colon = memchr(rest, ':', name_len);
	const char *tag = at ? at + 1 : colon ? colon + 1 : "latest";
	if (colon)
		name_len = (size_t)(colon - rest);
	ret->registry = host ? xasprintf("%.*s", (int)host, ref) : xstrdup(DOCKER_HUB);
	bool official = strcmp(ret->registry, DOCKER_HUB) == 0 && !memchr(rest, '/', name_len);
	ret->repository = xasprintf("%s/%s%.*s", ret->registry, official ? "library/" : "", (int)name_len, rest);
	ret->tag = xstrdup(tag);
	return 0;
}

/* "auth" is base64 of user:password. */
static json_t *credential(const json_t *entry, const char *registry)
{
	const char *token = json_string_value(json_object_get(entry, "identitytoken"));
	const char *auth = json_string_value(json_object_get(entry, "auth"));
	char plain[4096];
	size_t len = 0;
	if (token)
		return json_pack("{s:s, s:s}", "identitytoken", token, "serveraddress", registry);
	if (!auth || sodium_base642bin((unsigned char *)plain, sizeof(plain) - 1, auth, strlen(auth), "\r\n ", &len, NULL,
	                               sodium_base64_VARIANT_ORIGINAL) != 0)
		return NULL;
	plain[len] = '\0';
	char *colon = strchr(plain, ':');
	json_t *c = NULL;
	if (colon) {
		*colon = '\0';
		c = json_pack("{s:s, s:s, s:s}", "username", plain, "password", colon + 1, "serveraddress", registry);
	}
	sodium_memzero(plain, sizeof(plain));
	return c;
}

int registry_auth_header(const char *text, size_t len, const char *registry, char **ret, struct err *err)
{
	cleanup_json json_t *file = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *auths = json_object_get(file, "auths");
	const char *key = strcmp(registry, DOCKER_HUB) == 0 ? DOCKER_HUB_KEY : registry;
	*ret = NULL;
	if (!json_is_object(auths))
		return err_set(err, ERR_FAIL, "is not in Docker's config.json format: it has no object \"auths\"");
	const json_t *entry = json_object_get(auths, key);
	if (!entry)
		entry = json_object_get(auths, registry);
	if (!entry)
		return 0;
	cleanup_json json_t *c = credential(entry, key);
	if (!c)
		return err_set(err, ERR_FAIL, "auths: %s: needs \"auth\" (base64 of user:password) or \"identitytoken\"", key);
	cleanup_free char *plain = json_dumps(c, JSON_COMPACT);
	size_t size = sodium_base64_ENCODED_LEN(strlen(plain), sodium_base64_VARIANT_URLSAFE);
	cleanup_free char *encoded = xmalloc(size);
	sodium_bin2base64(encoded, size, (const unsigned char *)plain, strlen(plain), sodium_base64_VARIANT_URLSAFE);
	*ret = xasprintf("X-Registry-Auth: %s", encoded);
	sodium_memzero(plain, strlen(plain));
	sodium_memzero(encoded, size);
	return 0;
}

static int auth_header(const char *auth_file, const char *registry, char **ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	*ret = NULL;
	if (!auth_file)
		return 0;
	int r = file_read(auth_file, AUTH_FILE_MAX, &text, err);
	if (r == 0 && registry_auth_header(text.data, text.len, registry, ret, err) < 0)
		r = err_wrap(err, "registry_auth_file: %s", auth_file);
	if (text.cap)
		sodium_memzero(text.data, text.cap);
	return r;
}

/* The progress of a pull: JSON lines, of which only an error is of interest. */
struct progress {
	struct buf line;
	char *error;
	const struct image_waker *waker;
};

static int on_pull_wake(void *arg)
{
	const struct progress *p = arg;
	return p->waker->on_wake(p->waker->arg);
}

static int on_progress(const char *data, size_t len, void *arg)
{
	struct progress *p = arg;
	for (size_t i = 0; i < len; i++) {
		if (data[i] != '\n') {
			if (p->line.len < 65536)
				buf_addc(&p->line, data[i]);
			continue;
		}
		cleanup_json json_t *line = json_loadb(p->line.data, p->line.len, 0, NULL);
		const char *error = json_string_value(json_object_get(line, "error"));
		if (error && !p->error)
			p->error = xasprintf("%.400s", error);
		buf_reset(&p->line);
	}
	return 0;
}

static int pull(struct api *a, const struct image_ref *ref, const char *auth_file, const struct image_waker *waker, struct err *err)
{
	cleanup_free char *auth = NULL;
	if (auth_header(auth_file, ref->registry, &auth, err) < 0)
		return -1;
	cleanup_free char *from = http_escape(ref->repository);
	cleanup_free char *tag = http_escape(ref->tag);
	cleanup_free char *path = xasprintf("/images/create?fromImage=%s&tag=%s", from, tag);
	const char *const headers[] = {auth, NULL};
	struct progress progress = {BUF_INIT, NULL, waker};
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	struct http_request req = {.method = "POST",
	                           .path = path,
	                           .headers = headers,
	                           .body = "",
	                           .timeout_ms = PULL_MS,
	                           .stall_ms = api_patience(PULL_STALL_MS),
	                           .on_data = on_progress,
	                           .arg = &progress,
	                           .wake_fd = waker ? waker->fd : -1,
	                           .on_wake = on_pull_wake};
	int r = api_send(a, &req, &res, err);
	if (auth)
		sodium_memzero(auth, strlen(auth));
	if (r == 0 && progress.error)
		r = err_set(err, ERR_FAIL, "%s", progress.error);
	free(progress.error);
	buf_free(&progress.line);
	return r;
}

int image_resolve(struct api *a, const char *ref, const char *arch, const char *auth_file, const struct image_waker *waker,
                  struct image *ret, struct err *err)
{
	cleanup_image_ref struct image_ref parts = {.registry = NULL};
	cleanup_json json_t *inspect = NULL;
	cleanup_err struct err why = ERR_INIT;
	if (image_ref_parse(ref, &parts, err) < 0)
		return -1;
	if (api_get(a, &inspect, &why, "/images/%s/json", ref) < 0) {
		if (why.code != ERR_NOT_FOUND) {
			err_move(err, &why);
			return err_wrap(err, "image %s", ref);
		}
		if (pull(a, &parts, auth_file, waker, err) < 0) {
			if (err)
				err->code = ERR_FAIL; /* a registry may have it tomorrow */
			return err_wrap(
			    err,
			    "image %s is not on this engine, and pulling it failed; build or load it there, or mend its name or "
			    "registry_auth_file",
			    ref);
		}
		if (api_get(a, &inspect, err, "/images/%s/json", ref) < 0)
			return err_wrap(err, "image %s, just pulled", ref);
	}
	if (image_read(inspect, ref, arch, ret, err) < 0)
		return err_wrap(err, "image %s", ref);
	return 0;
}
