/*
 * Aligned tables that fit the terminal.
 */
#include "cli/cli.h"
#include "lib/cleanup.h"
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define GAP 2
#define LEAST_LAST 12  /* the last column is not cut below this, */
#define LEAST 7        /* nor those before it */
#define LEAST_FIRST 20 /* but the first, by which rows are told apart */

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

		/* Of what nobody knows, one column is the best guess. */
		columns += w >= 0 ? (size_t)w : 1;
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

static const char *cell_at(const struct table *t, size_t row, size_t column)
{
	return t->cells[row * t->n_columns + column];
}

/* A column of no width is left out. `terminal`: where colours go, or NULL. */
static void put_row(const struct table *t, size_t row, const size_t *widths, size_t last, FILE *terminal, struct buf *out)
{
	for (size_t i = 0; i <= last; i++) {
		const char *cell = cell_at(t, row, i);
		enum colour c = terminal && t->colour_of && row > 0 ? t->colour_of(i, cell) : COLOUR_NONE;
		size_t bytes;
		size_t columns = measure(cell, widths[i], &bytes);

		if (widths[i] == 0 && columns > 0)
			continue;
		buf_adds(out, c != COLOUR_NONE ? colour(terminal, c) : "");
		if (columns > widths[i]) {
			measure(cell, widths[i] - 1, &bytes);
			cleanup_free char *cut = xasprintf("%.*s…", (int)bytes, cell);
			buf_adds(out, cut);
			columns = width_of(cut);
		} else {
			buf_adds(out, cell);
		}
		buf_adds(out, c != COLOUR_NONE ? colour(terminal, COLOUR_NONE) : "");
		for (size_t pad = columns; i < last && pad < widths[i] + GAP; pad++)
			buf_addc(out, ' ');
	}
	buf_addc(out, '\n');
}

/* What a whole row takes. */
static size_t whole(const size_t *widths, size_t n)
{
	size_t sum = 0, shown = 0;

	for (size_t i = 0; i < n; i++) {
		sum += widths[i];
		shown += widths[i] > 0;
	}
	return sum + (shown > 0 ? shown - 1 : 0) * GAP;
}

static bool says_nothing(const struct table *t, size_t column)
{
	for (size_t row = 1; row < t->n_rows; row++)
		if (strcmp(cell_at(t, row, column), "-") != 0)
			return false;
	return true;
}

/* Takes `room` from a column, but no more than leaves it `least`. */
static void narrow(size_t *widths, size_t n, size_t i, size_t least, size_t width)
{
	size_t over = whole(widths, n) > width ? whole(widths, n) - width : 0;
	size_t spare = widths[i] > least ? widths[i] - least : 0;

	widths[i] -= over < spare ? over : spare;
}

static size_t least_of(size_t column)
{
	return column == 0 ? LEAST_FIRST : LEAST;
}

/* The widest of those before the last that can be cut; `last`: there is none. */
static size_t widest(const size_t *widths, size_t last)
{
	size_t found = last;

	for (size_t i = 0; i < last; i++)
		if (widths[i] > least_of(i) && (found == last || widths[i] > widths[found]))
			found = i;
	return found;
}

static void fit(const struct table *t, size_t *widths, size_t width)
{
	size_t n = t->n_columns, last = n - 1, i;

	for (i = 1; i < n && whole(widths, n) > width; i++)
		if (says_nothing(t, i))
			widths[i] = 0;
	while (last > 0 && widths[last] == 0)
		last--;
	narrow(widths, n, last, LEAST_LAST, width);
	while (whole(widths, n) > width && (i = widest(widths, last)) < last)
		narrow(widths, n, i, widths[i] - 1, width);
	narrow(widths, n, 0, LEAST, width);
}

static void format(const struct table *t, size_t width, FILE *terminal, struct buf *out)
{
	cleanup_free size_t *widths = xcalloc(t->n_columns, sizeof(*widths));
	size_t last = t->n_columns - 1;

	for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
		size_t w = width_of(t->cells[i]);

		if (w > widths[i % t->n_columns])
			widths[i % t->n_columns] = w;
	}
	if (width > 0 && whole(widths, t->n_columns) > width)
		fit(t, widths, width);
	while (last > 0 && widths[last] == 0)
		last--;
	for (size_t row = 0; row < t->n_rows; row++)
		put_row(t, row, widths, last, terminal, out);
}

void table_format(const struct table *t, size_t width, struct buf *out)
{
	format(t, width, NULL, out);
}

void table_print(const struct table *t, FILE *to)
{
	cleanup_buf struct buf out = BUF_INIT;
	size_t header;

	format(t, term_width(fileno(to)), to, &out);
	header = strcspn(out.data, "\n");
	fprintf(to, "%s%.*s%s%s", colour(to, COLOUR_DIM), (int)header, out.data, colour(to, COLOUR_NONE), out.data + header);
}
