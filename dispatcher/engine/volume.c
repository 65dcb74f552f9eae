/* The volume that holds disinto-runner. */
#include "dispatcher/engine/shared.h"
#include "dispatcher/engine/spec.h"

#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define PROGRAM_MAX (8u << 20)
#define CARRIER_LABEL "disinto.carrier" /* whose it is: the dispatcher's id */
#define FILLER_WAIT_MS 30000            /* for another dispatcher that fills the same volume; then its carrier is a dead one's */

/* POSIX.1-1988 ustar header: offset and length of what is used here. */
enum {
	TAR_BLOCK = 512,
	TAR_MODE = 100,
	TAR_UID = 108,
	TAR_GID = 116,
	TAR_SIZE = 124,
	TAR_MTIME = 136,
	TAR_SUM = 148,
	TAR_TYPE = 156,
	TAR_MAGIC = 257
};

/* Our program, mapped for as long as it is needed. */
struct program {
	const unsigned char *data;
	size_t len;
};

static void program_close(struct program *p)
{
	if (p->data)
		munmap((void *)p->data, p->len);
	p->data = NULL;
}

static int program_open(int fd, struct program *ret, struct err *err)
{
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > PROGRAM_MAX)
		return err_set(err, ERR_FAIL,
		               "disinto-runner: the program is missing, empty or too large; install it beside disinto-dispatcher");
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_errno(err, errno, "disinto-runner: read the program");
	*ret = (struct program){p, (size_t)st.st_size};
	return 0;
}

static void volume_name(const struct program *p, char *ret, size_t size)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[17];
	crypto_hash_sha256(hash, p->data, p->len);
	sodium_bin2hex(hex, sizeof(hex), hash, 8);
	snprintf(ret, size, "disinto-runner-%s", hex);
}

void shared_tar(const char *name, const void *data, size_t len, struct buf *ret)
{
	char head[TAR_BLOCK + 1] = {0};
	unsigned sum = 0;
	snprintf(head, TAR_MODE, "%s", name);
	snprintf(head + TAR_MODE, 8, "%07o", 0555u);
	snprintf(head + TAR_UID, 8, "%07o", 0u);
	snprintf(head + TAR_GID, 8, "%07o", 0u);
	snprintf(head + TAR_SIZE, 12, "%011zo", len);
	snprintf(head + TAR_MTIME, 12, "%011o", 0u);
	memset(head + TAR_SUM, ' ', 8);
	head[TAR_TYPE] = '0';
	memcpy(head + TAR_MAGIC, "ustar\00000", 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)head[i];
	snprintf(head + TAR_SUM, 8, "%06o", sum & 0777777);
	head[TAR_SUM + 7] = ' ';
	buf_add(ret, head, TAR_BLOCK);
	buf_add(ret, data, len);
	size_t pad = (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK + 2 * (size_t)TAR_BLOCK;
	memset(buf_room(ret, pad), 0, pad);
	buf_grew(ret, pad);
}

bool shared_tar_holds(const struct buf *tar, const void *data, size_t len)
{
	for (size_t at = 0; tar->len - at >= TAR_BLOCK;) {
		char digits[13] = {0};
		const char *head = tar->data + at;
		memcpy(digits, head + TAR_SIZE, 12);
		size_t size = strtoul(digits, NULL, 8);
		at += TAR_BLOCK;
		if (size > tar->len - at)
			return false;
		if (head[TAR_TYPE] == '0' || head[TAR_TYPE] == '\0')
			return size == len && memcmp(tar->data + at, data, len) == 0;
		size_t padded = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK; /* extended headers come before the file */
		if (padded > tar->len - at)
			return false;
		at += padded;
	}
	return false;
}

/* What the volume holds now. 1 the program, 0 anything else, -1 can't be told. */
static int read_back(struct api *a, const char *carrier, const struct program *p, struct err *err)
{
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_err struct err why = ERR_INIT;
	cleanup_free char *path = xasprintf("/containers/%s/archive?path=%s/%s", carrier, RUNNER_MOUNT, RUNNER_PROGRAM);
	struct http_request req = {.method = "GET", .path = path, .timeout_ms = a->call_ms, .max_response = 2 * PROGRAM_MAX};
	if (api_send(a, &req, &res, &why) == 0)
		return shared_tar_holds(&res.body, p->data, p->len);
	if (why.code == ERR_NOT_FOUND)
		return 0;
	err_move(err, &why);
	return -1;
}

static int fill(struct api *a, const char *carrier, const struct program *p, struct err *err)
{
	static const char *const headers[] = {"Content-Type: application/x-tar", NULL};
	cleanup_buf struct buf tar = BUF_INIT;
	cleanup_http_response struct http_response res = HTTP_RESPONSE_INIT;
	cleanup_free char *path = xasprintf("/containers/%s/archive?path=%s", carrier, RUNNER_MOUNT);
	shared_tar(RUNNER_PROGRAM, p->data, p->len, &tar);
	struct http_request req = {
	    .method = "PUT",
	    .path = path,
	    .headers = headers,
	    .body = tar.data,
	    .body_len = tar.len,
	    .timeout_ms = a->call_ms,
	};
	return api_send(a, &req, &res, err);
}

/* Whether the carrier that is in the way was made by an earlier life of this dispatcher, which can't be filling it any more. */
static bool is_left_by_us(struct engine *e, struct api *a, const char *carrier)
{
	cleanup_json json_t *inspect = NULL;
	if (api_get(a, &inspect, NULL, "/containers/%s/json", carrier) < 0)
		return false;
	const json_t *labels = json_object_get(json_object_get(inspect, "Config"), "Labels");
	const char *maker = json_string_value(json_object_get(labels, CARRIER_LABEL));
	return maker && strcmp(maker, e->args->dispatcher_id) == 0;
}

/*
 * The carrier's name is the lock between dispatchers: whoever can create it looks at the volume and fills it. One that stays for long
 * was left by a dispatcher that died.
 */
static int carrier_create(struct engine *e, struct api *a, const char *carrier, const char *image_id, struct err *err)
{
	cleanup_json json_t *body =
	    json_pack("{s:s, s:[s], s:{s:s}, s:{s:s, s:[{s:s, s:s, s:s, s:{s:b}}]}}", "Image", image_id, "Entrypoint",
	              RUNNER_MOUNT "/" RUNNER_PROGRAM, "Labels", CARRIER_LABEL, e->args->dispatcher_id, "HostConfig", "NetworkMode", "none",
	              "Mounts", "Type", "volume", "Source", e->volume, "Target", RUNNER_MOUNT, "VolumeOptions", "NoCopy", 1);
	int64_t deadline = now_mono_ms() + api_patience(FILLER_WAIT_MS);
	for (;;) {
		cleanup_err struct err why = ERR_INIT;
		if (api_post(a, body, NULL, &why, "/containers/create?name=%s", carrier) == 0)
			return 0;
		if (why.code != ERR_EXISTS) {
			err_move(err, &why);
			return -1;
		}
		if (now_mono_ms() > deadline || is_left_by_us(e, a, carrier)) {
			log_warn("removing a carrier container that a dispatcher left behind", "container", carrier, NULL);
			if (api_remove(a, carrier, err) < 0)
				return -1;
			deadline = now_mono_ms() + api_patience(FILLER_WAIT_MS);
		}
		if (!engine_pause(e, 100))
			return err_set(err, ERR_FAIL, "the dispatcher stops");
	}
}

static int verify_or_fill(struct api *a, const char *carrier, const struct program *p, struct err *err)
{
	int holds = read_back(a, carrier, p, err);
	if (holds == 0 && (fill(a, carrier, p, err) < 0 || (holds = read_back(a, carrier, p, err)) == 0))
		return err_wrap(err, "fill it");
	if (holds == 0)
		return err_set(err, ERR_FAIL, "what was written to it does not read back the same; is the engine's disk full?");
	return holds < 0 ? -1 : 0;
}

static int volume_make(struct engine *e, struct api *a, const char *image_id, struct err *err)
{
	struct program p __attribute__((cleanup(program_close))) = {NULL, 0};
	if (program_open(e->args->runner_fd, &p, err) < 0)
		return -1;
	volume_name(&p, e->volume, sizeof(e->volume));
	cleanup_free char *carrier = xasprintf("%s-carrier", e->volume);
	if (carrier_create(e, a, carrier, image_id, err) < 0)
		return -1;
	int r = verify_or_fill(a, carrier, &p, err);
	cleanup_err struct err why = ERR_INIT;
	if (api_remove(a, carrier, &why) < 0)
		log_warn("a carrier container stays behind", "container", carrier, "reason", err_msg(&why), NULL);
	return r;
}

int shared_volume(struct engine *e, struct api *a, const char *image_id, struct err *err)
{
	int r = 0;
	pthread_mutex_lock(&e->prepare_lock);
	if (!e->volume_ready) {
		r = volume_make(e, a, image_id, err);
		e->volume_ready = r == 0;
	}
	pthread_mutex_unlock(&e->prepare_lock);
	return r < 0 ? err_wrap(err, "the runner's volume %s", e->volume) : 0;
}
