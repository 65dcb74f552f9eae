/* Images: what an inspect of one says. */
#include "dispatcher/engine/image.h"

#include "lib/cleanup.h"
#include "lib/path.h"
#include <string.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define VOLUMES_MAX 64

void image_free(struct image *i)
{
	free(i->id);
	free(i->shown);
	free(i->path);
	json_decref(i->unset);
	json_decref(i->labels);
	json_decref(i->volumes);
	*i = (struct image)IMAGE_INIT;
}

/* Where a volume of the image would stand in the way of what the runner needs, or of the kernel's own folders. */
static int volume_check(const char *path, struct err *err)
{
	static const char *const never[] = {"/run", "/var/run", "/disinto", "/proc", "/sys", "/dev"};
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (path_is_in(path, never[i]))
			return err_set(err, ERR_INVALID,
			               "it declares a volume at %s, and below %s none is allowed; build an image without it", path,
			               never[i]);
	if (strcmp(path, "/") == 0)
		return err_set(err, ERR_INVALID, "it declares a volume at /; build an image without it");
	return 0;
}

static int read_volumes(const json_t *config, struct image *image, struct err *err)
{
	json_t *volumes = json_object_get(config, "Volumes");
	const char *declared;
	json_t *ignored;
	image->volumes = json_array();
	if (json_object_size(volumes) > VOLUMES_MAX)
		return err_set(err, ERR_INVALID, "it declares %zu volumes; at most %d are allowed", json_object_size(volumes), VOLUMES_MAX);
	json_object_foreach (volumes, declared, ignored) {
		cleanup_free char *path = path_clean(declared);
		if (volume_check(path, err) < 0)
			return -1;
		json_array_append_new(image->volumes, json_string(path));
	}
	return 0;
}

static void read_environment(const json_t *config, struct image *image)
{
	const json_t *env = json_object_get(config, "Env");
	size_t i;
	const json_t *entry;
	image->unset = json_array();
	json_array_foreach (env, i, entry) {
		const char *s = json_string_value(entry);
		size_t len = s ? strcspn(s, "=") : 0;
		if (len == 4 && strncmp(s, "PATH=", 5) == 0) {
			free(image->path);
			image->path = xstrdup(s + 5);
		} else if (len > 0) {
			json_array_append_new(image->unset, json_stringn(s, len));
		}
	}
	if (!image->path || !*image->path) {
		free(image->path);
		image->path = xstrdup(DEFAULT_PATH);
	}
}

static void read_labels(const json_t *config, struct image *image)
{
	const char *name;
	json_t *ignored;
	image->labels = json_array();
	json_object_foreach (json_object_get(config, "Labels"), name, ignored)
		json_array_append_new(image->labels, json_string(name));
}

/* The digest under which the formula's own repository has it; else the first one there is. */
static const char *choose_digest(const json_t *inspect, const char *ref)
{
	const json_t *digests = json_object_get(inspect, "RepoDigests");
	cleanup_image_ref struct image_ref want = {.registry = NULL};
	const char *first = json_string_value(json_array_get(digests, 0));
	size_t i;
	const json_t *entry;
	if (image_ref_parse(ref, &want, NULL) < 0)
		return first;
	json_array_foreach (digests, i, entry) {
		const char *s = json_string_value(entry);
		cleanup_image_ref struct image_ref have = {.registry = NULL};
		if (s && image_ref_parse(s, &have, NULL) == 0 && strcmp(have.repository, want.repository) == 0 &&
		    (!strchr(want.tag, ':') || strcmp(have.tag, want.tag) == 0))
			return s;
	}
	return first;
}

/* Does this machine run that one's programs? */
static bool arch_suits(const char *image, const char *engine)
{
	if (!image || !*image || !engine || strcmp(image, engine) == 0)
		return true;
	return (strcmp(engine, "amd64") == 0 && strcmp(image, "386") == 0) || (strcmp(engine, "arm64") == 0 && strcmp(image, "arm") == 0);
}

int image_read(const json_t *inspect, const char *ref, const char *arch, struct image *ret, struct err *err)
{
	cleanup_image struct image image = IMAGE_INIT;
	const json_t *config = json_object_get(inspect, "Config");
	const char *id = json_string_value(json_object_get(inspect, "Id"));
	const char *os = json_string_value(json_object_get(inspect, "Os"));
	const char *machine = json_string_value(json_object_get(inspect, "Architecture"));
	if (!id)
		return err_set(err, ERR_FAIL, "the Docker Engine's description of the image has no id");
	if ((os && *os && strcmp(os, "linux") != 0) || !arch_suits(machine, arch))
		return err_set(err, ERR_INVALID, "it is made for %s/%s, and this engine runs linux/%s; name an image for that", os, machine,
		               arch);
	image.id = xstrdup(id);
	const char *digest = choose_digest(inspect, ref);
	image.shown = xstrdup(digest ? digest : id);
	read_environment(config, &image);
	read_labels(config, &image);
	if (read_volumes(config, &image, err) < 0)
		return -1;
	*ret = image;
	image = (struct image)IMAGE_INIT;
	return 0;
}
