/*
 * JSON: what is taken is what jansson takes too, holds only text that may be shown, and stays itself when it is written and read again. By the first byte: 'y' is YAML
 * behind it, which gives values of the same kind.
 */
#include "lib/cleanup.h"
#include "lib/yaml.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_limits limits = {.max_bytes = 4096, .max_depth = 8};
/* What we write ourselves may be longer: an indent before each value, six bytes for one. */
static const struct json_limits written = {.max_bytes = 1 << 20, .max_depth = 8};

static void check_text(const char *s, size_t len)
{
	must(!memchr(s, '\0', len) && text_check(s, len, NULL) == 0);
}

/* Returns whether there is a number with a point, which only YAML may bring. */
static bool check_value(const json_t *v, int depth)
{
	bool real = json_is_real(v);
	const json_t *child;
	const char *key;
	size_t i;

	must(depth <= limits.max_depth + 1);
	if (json_is_string(v))
		check_text(json_string_value(v), json_string_length(v));
	json_array_foreach (v, i, child)
		real = check_value(child, depth + 1) || real;
	json_object_foreach ((json_t *)v, key, child) {
		check_text(key, strlen(key));
		real = check_value(child, depth + 1) || real;
	}
	return real;
}

static void check_again(const json_t *v)
{
	cleanup_free char *compact = json_compact(v), *pretty = json_pretty(v);
	cleanup_json json_t *a = NULL, *b = NULL;

	must(json_parse_strict(compact, strlen(compact), &written, &a, NULL) == 0 && json_equal(a, v));
	must(json_parse_strict(pretty, strlen(pretty), &written, &b, NULL) == 0 && json_equal(b, v));
}

static void check_json(const char *text, size_t len)
{
	cleanup_json json_t *v = NULL, *other = NULL;
	cleanup_err struct err err = ERR_INIT;

	if (json_parse_strict(text, len, &limits, &v, &err) < 0) {
		must_refuse(&err, "");
		must(!v);
		return;
	}
	must(len <= limits.max_bytes && !check_value(v, 1));
	other = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	must(json_equal(v, other));
	check_again(v);
}

static void check_yaml(const char *text, size_t len)
{
	cleanup_json json_t *v = NULL;
	cleanup_err struct err err = ERR_INIT;

	if (yaml_parse(text, len, &limits, &v, &err) < 0) {
		must_refuse(&err, "");
		must(!v);
		return;
	}
	must(len <= limits.max_bytes);
	if (!check_value(v, 1))
		check_again(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] == 'y')
		check_yaml((const char *)data + 1, size - 1);
	else
		check_json((const char *)data, size);
	return 0;
}
