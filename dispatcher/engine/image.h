/*
 * Images: from the reference in a formula to the id that a container is made of, pulled where it is not there.
 */
#ifndef DISPATCHER_ENGINE_IMAGE_H
#define DISPATCHER_ENGINE_IMAGE_H

#include "dispatcher/engine/api.h"
#include "lib/buf.h"
#include <jansson.h>

struct image {
	char *id;        /* "sha256:…" */
	char *shown;     /* repository@digest where a registry gave one, else the id: what the result says */
	char *path;      /* its PATH, or the usual one */
	json_t *unset;   /* array: names of its other environment variables */
	json_t *labels;  /* array: names of its labels */
	json_t *volumes; /* array: clean absolute paths that it declares as volumes */
};
#define IMAGE_INIT \
	{ \
		.id = NULL \
	}
void image_free(struct image *i);
#define cleanup_image __attribute__((cleanup(image_free)))

/* Says when a pull should be given up. */
struct image_waker {
	int fd;
	int (*on_wake)(void *arg); /* as http_request.on_wake */
	void *arg;
};

/*
 * Looks the image up in the engine, and pulls it where it is missing. ERR_INVALID: such an image can never run here (the reference is
 * no reference, another machine's image, a volume where none may be). All else may work later.
 * arch: the engine's; auth_file: Docker's config.json, or NULL.
 */
int image_resolve(struct api *a, const char *ref, const char *arch, const char *auth_file, const struct image_waker *waker,
                  struct image *ret, struct err *err);

/* What an inspect of the image says. Part of image_resolve; `ref` chooses among several digests. */
int image_read(const json_t *inspect, const char *ref, const char *arch, struct image *ret, struct err *err);

/* A reference in its parts. "debian:12" -> "docker.io", "docker.io/library/debian", tag "12"; a digest counts as tag. Strings are owned. */
struct image_ref {
	char *registry;
	char *repository;
	char *tag;
};
int image_ref_parse(const char *ref, struct image_ref *ret, struct err *err);
void image_ref_free(struct image_ref *r);
#define cleanup_image_ref __attribute__((cleanup(image_ref_free)))

/*
 * The X-Registry-Auth header line for a registry, from the text of Docker's config.json ("auths": {"host": {"auth": base64}}), base64url as
 * the Engine API wants it. *ret NULL: the file has nothing for it. ERR_FAIL: the file is wrong; no message holds a credential.
 */
int registry_auth_header(const char *text, size_t len, const char *registry, char **ret, struct err *err);

#endif
