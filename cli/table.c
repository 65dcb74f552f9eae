/*
 * Aligned tables that fit the terminal.
 */
#include "cli/cli.h"
#include "lib/cleanup.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define GAP 2
#define LEAST_LAST 12 /* the last column is not cut below this */

void table_init(struct table *t, const char *const *headers)
{
	*t = (struct table){0};
	while (headers[t->n_columns])
		t->n_columns++;
	table_add(t, headers);
}

void table_add(struct table *t, const char *const *cells)
{
	t->cells = xrealloc(t->cells, (t->n_rows + 1) * t->n_columns * sizeof(*t->cells));
	for (size_t i = 0; i < t->n_columns; i++)
		t->cells[t->n_rows * t->n_columns + i] = safe_line(cells[i] ? cells[i] : "-");
	t->n_rows++;
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->n_rows * t->n_columns; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){0};
}

/* Columns that `s` takes, and in *ret_bytes how many of its bytes fit into `room` columns. The text is valid UTF-8 (safe_line made it). */
static size_t measure(const char *s, size_t room, size_t *ret_bytes)
{
	mbstate_t state = {0};
	size_t columns = 0;
	wchar_t c;
	size_t n;

	*ret_bytes = 0;
	while (*s && (n = mbrtowc(&c, s, MB_CUR_MAX, &state)) > 0 && n < (size_t)-2) {
		int w = wcwidth(c);

		columns += w > 0 ? (size_t)w : 0;
		if (columns <= room)
			*ret_bytes += n;
		s += n;
	}
	return columns;
}

static size_t width_of(const char *s)
{
	size_t bytes;

	return measure(s, 0, &bytes);
}

static void put_row(const struct table *t, size_t row, const size_t *widths, struct buf *out)
{
	for (size_t i = 0; i < t->n_columns; i++) {
		const char *cell = t->cells[row * t->n_columns + i];
		size_t bytes;
		size_t columns = measure(cell, widths[i], &bytes);

		if (columns > widths[i]) {
			measure(cell, widths[i] - 1, &bytes);
			buf_add(out, cell, bytes);
			buf_adds(out, "…");
			continue;
		}
		buf_adds(out, cell);
		for (size_t pad = columns; i + 1 < t->n_columns && pad < widths[i] + GAP; pad++)
			buf_addc(out, ' ');
	}
	buf_addc(out, '\n');
}

void table_format(const struct table *t, size_t width, struct buf *out)
{
	cleanup_free size_t *widths = xcalloc(t->n_columns, sizeof(*widths));
	size_t before = 0; /* columns in front of the last one */
	size_t last = t->n_columns - 1;

	for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
		size_t w = width_of(t->cells[i]);

		if (w > widths[i % t->n_columns])
			widths[i % t->n_columns] = w;
	}
	for (size_t i = 0; i < last; i++)
		before += widths[i] + GAP;
	if (width > 0 && before + widths[last] > width) {
		size_t room = width > before + LEAST_LAST ? width - before : LEAST_LAST;

		if (room < widths[last])
			widths[last] = room;
	}
	for (size_t row = 0; row < t->n_rows; row++)
		put_row(t, row, widths, out);
}

void table_print(const struct table *t, FILE *to)
{
	cleanup_buf struct buf out = BUF_INIT;
	size_t header;

	table_format(t, term_width(fileno(to)), &out);
	header = strcspn(out.data, "\n");
	fprintf(to, "%s%.*s%s%s", colour(to, COLOUR_DIM), (int)header, out.data, colour(to, COLOUR_NONE), out.data + header);
}
