#include "vault/policy/policy_set.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vault/check.h"
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

json_t *set_of(const json_t *strings)
{
	size_t n = json_array_size(strings);
	cleanup_free const char **v = xcalloc(n + 1, sizeof(*v));
	json_t *set = json_array();

	for (size_t i = 0; i < n; i++)
		v[i] = json_string_value(json_array_get(strings, i));
	qsort(v, n, sizeof(*v), by_bytes);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(v[i - 1], v[i]) != 0)
			json_array_append_new(set, json_string(v[i]));
	return set;
}

json_t *set_common(const json_t *a, const json_t *b)
{
	json_t *common = json_array();
	json_t *one;
	size_t i;

	json_array_foreach (a, i, one) {
		if (check_list_has(b, json_string_value(one)))
			json_array_append(common, one);
	}
	return common;
}

/* Arrays of strings by their strings, the shorter of two that begin alike first. */
static int by_content(const void *a, const void *b)
{
	const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;

	for (size_t i = 0; i < json_array_size(x) && i < json_array_size(y); i++) {
		int order = strcmp(json_string_value(json_array_get(x, i)), json_string_value(json_array_get(y, i)));

		if (order != 0)
			return order;
	}
	return (json_array_size(x) > json_array_size(y)) - (json_array_size(x) < json_array_size(y));
}

json_t *set_of_sets(const json_t *a, const json_t *b)
{
	size_t n_a = json_array_size(a), n = n_a + json_array_size(b);
	cleanup_free json_t **v = xcalloc(n + 1, sizeof(json_t *));
	json_t *set = json_array();

	for (size_t i = 0; i < n; i++)
		v[i] = i < n_a ? json_array_get(a, i) : json_array_get(b, i - n_a);
	qsort(v, n, sizeof(json_t *), by_content);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !json_equal(v[i - 1], v[i]))
			json_array_append(set, v[i]);
	return set;
}
