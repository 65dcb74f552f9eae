/* JSON values as YAML, through libyaml's emitter. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/yaml.h"
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static int append(void *to, unsigned char *data, size_t len)
{
	buf_add(to, data, len);
	return 1;
}

/* The tree is ours and memory does not run out: an event that is refused is a mistake in this file. */
static void emit(yaml_emitter_t *emitter, yaml_event_t *event)
{
	if (!yaml_emitter_emit(emitter, event))
		abort();
}

/*
 * May it stand without quotes, and be taken for the same string by readers of YAML 1.1 (docker-compose 1) and 1.2? Those take off, y, 012, 1:30, 1_000, .5, 1e3
 * and dates for something else; what begins with a letter, '/' or "./" and is none of their words is safe.
 */
static bool is_plain(const char *s, size_t len)
{
	static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"};

	if (len == 0 || strlen(s) != len || strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=") != len)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(s, words[i]) == 0)
			return false;
	return (strchr("0123456789-_:=", s[0]) == NULL && s[0] != '.') || strncmp(s, "./", 2) == 0;
}

static void emit_scalar(yaml_emitter_t *emitter, const char *s, size_t len, yaml_scalar_style_t style)
{
	yaml_event_t event;

	if (!yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)s, (int)len, 1, 1, style))
		abort();
	emit(emitter, &event);
}

static void emit_string(yaml_emitter_t *emitter, const char *s, size_t len)
{
	bool plain = is_plain(s, len), lines = strchr(s, '\n') != NULL; /* libyaml takes quotes where lines as they are would not do */

	emit_scalar(emitter, s, len, plain ? YAML_PLAIN_SCALAR_STYLE : lines ? YAML_LITERAL_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static void emit_value(yaml_emitter_t *emitter, const json_t *value);

static void emit_array(yaml_emitter_t *emitter, const json_t *array)
{
	yaml_event_t event;
	const json_t *item;
	size_t i;

	yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
	emit(emitter, &event);
	json_array_foreach (array, i, item)
		emit_value(emitter, item);
	yaml_sequence_end_event_initialize(&event);
	emit(emitter, &event);
}

static void emit_object(yaml_emitter_t *emitter, const json_t *object)
{
	yaml_event_t event;
	const char *key;
	json_t *value;

	yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
	emit(emitter, &event);
	json_object_foreach ((json_t *)object, key, value) {
		emit_string(emitter, key, strlen(key));
		emit_value(emitter, value);
	}
	yaml_mapping_end_event_initialize(&event);
	emit(emitter, &event);
}

static void emit_value(yaml_emitter_t *emitter, const json_t *value)
{
	if (json_is_object(value)) {
		emit_object(emitter, value);
	} else if (json_is_array(value)) {
		emit_array(emitter, value);
	} else if (json_is_string(value)) {
		emit_string(emitter, json_string_value(value), json_string_length(value));
	} else {
		cleanup_free char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

		emit_scalar(emitter, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
	}
}

void yaml_emit(const json_t *value, struct buf *ret)
{
	yaml_emitter_t emitter;
	yaml_event_t event;

	if (!yaml_emitter_initialize(&emitter))
		abort();
	yaml_emitter_set_output(&emitter, append, ret);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
	emit(&emitter, &event);
	yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
	emit(&emitter, &event);
	emit_value(&emitter, value);
	yaml_document_end_event_initialize(&event, 1);
	emit(&emitter, &event);
	yaml_stream_end_event_initialize(&event);
	emit(&emitter, &event);
	yaml_emitter_delete(&emitter);
}
