/* A new site's files for docker compose. */
#include "cli/compose.h"
#include "cli/site.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include <stdlib.h>
#include <string.h>

/* Sets NAME in the text of an .env file: its line, commented out or not, becomes NAME=value. */
static void set_line(struct buf *text, const char *name, const char *value)
{
	cleanup_buf struct buf out = BUF_INIT;
	size_t len = strlen(name);

	for (const char *line = text->data, *end; *line; line = end) {
		const char *at = line + (*line == '#');

		end = line + strcspn(line, "\n");
		end += *end == '\n';
		if (strncmp(at, name, len) == 0 && at[len] == '=')
			buf_addf(&out, "%s=%s\n", name, value);
		else
			buf_add(&out, line, (size_t)(end - line));
	}
	buf_reset(text);
	buf_add(text, out.data, out.len);
}

static int write_env(const struct site *s, const struct compose_site *model, int dir, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_free char *url = s->domain ? xasprintf("https://%s", s->domain) : NULL;

	compose_env_text(model, &text);
	if (s->domain) {
		set_line(&text, "DOMAIN", s->domain);
		set_line(&text, "SITE_URL", url);
	}
	return file_write_at(dir, ".env", text.data, text.len, 0600, err);
}

int site_write_compose(const struct site *s, const char *config_text, int dir, struct err *err)
{
	cleanup_free char *real = realpath(s->dir, NULL);
	cleanup_free char *file = path_join(real ? real : s->dir, "dispatcher.yaml");
	cleanup_config struct config config = CONFIG_INIT;
	cleanup_compose_inputs struct compose_inputs in = COMPOSE_INPUTS_INIT;
	size_t left;

	if (config_parse(file, config_text, strlen(config_text), &config, err) < 0)
		return -1;
	compose_inputs_of(&config, &in);
	if (compose_write_files(&in.site, dir, COMPOSE_QUIET, &left, err) < 0)
		return -1;
	return write_env(s, &in.site, dir, err);
}
