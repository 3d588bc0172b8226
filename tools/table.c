// SPDX-License-Identifier: GPL-2.0-only
/*
 * table.c - lines as text in columns of fixed width. It does not use libsmartcols. For a
 * table of all vCPUs by reason that took 20 times the instructions of reading and parsing
 * the files; this code takes 2.7 times.
 */
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "table.h"

static const char *cell_of(const struct table *table, size_t line, size_t col)
{
	return table->text.text + table->cells[line * table->view->layout.ncols + col];
}

static void add_line(struct table *table, size_t at, const struct line *line)
{
	const struct view *view = table->view;
	const struct column *col;
	struct cell cell;

	for (size_t i = 0; i < view->layout.ncols; i++) {
		col = view->layout.cols[i];
		table->cells[at * view->layout.ncols + i] = table->text.len;
		if (!line) {
			column_heading(col, &table->text);
		} else {
			cell = col->get(line, col->arg);
			if (line != &view->total || cell.kind != CELL_NONE ||
			    !(col->flags & COLUMN_LEFT))
				cell_show(&table->text, &cell, view->unit, view->tsc_khz);
			else if (!i)
				out_text(&table->text, "TOTAL");
		}
		out_char(&table->text, '\0');
	}
}

/*
 * table_make() - make the text of all cells. Line 0 has the headings, then come the
 * view's lines and, if wanted, a line of sums.
 */
void table_make(struct table *table, const struct view *view, bool sums)
{
	size_t lines = view->nlines + 1 + sums;
	int width;

	*table = (struct table){ .view = view, .ncols = view->layout.ncols, .text.fd = -1 };
	table->cells = need(calloc(lines * table->ncols + 1, sizeof(*table->cells)));
	add_line(table, 0, NULL);
	for (size_t l = 0; l < view->nlines; l++)
		add_line(table, l + 1, &view->lines[l]);
	if (sums)
		add_line(table, view->nlines + 1, &view->total);
	for (size_t l = 0; l < lines; l++) {
		for (size_t i = 0; i < table->ncols; i++) {
			width = strlen(cell_of(table, l, i));
			if (width > table->widths[i])
				table->widths[i] = width;
		}
	}
}

/*
 * table_fit() - fit the table into `room` characters. Names may be cut, and with `drop`
 * the last columns are left out. No other text is cut.
 */
void table_fit(struct table *table, int room, bool drop)
{
	enum { SHORTEST = 8 };	/* a name is not cut below this */
	int wanted[MAX_COLS], least, more;
	size_t n;

	for (n = 0; n < table->ncols; n++) {
		least = wanted[n] = table->widths[n];
		if (table->view->layout.cols[n]->flags & COLUMN_CUT && least > SHORTEST)
			least = SHORTEST;
		if (drop && room < least + !!n)
			break;
		table->widths[n] = least;
		room -= least + !!n;
	}
	for (size_t i = 0; i < n && room > 0; i++) {
		more = wanted[i] - table->widths[i];
		more = more < room ? more : room;
		table->widths[i] += more;
		room -= more;
	}
	table->ncols = n;
}

static void pad(struct out *to, int n)
{
	while (n-- > 0)
		out_char(to, ' ');
}

/* table_line() - append a line, without blanks at its end. ">" marks where a name is cut. */
void table_line(const struct table *table, size_t line, struct out *to)
{
	const char *text;
	int width, len;
	bool left;

	for (size_t i = 0; i < table->ncols; i++) {
		text = cell_of(table, line, i);
		width = table->widths[i];
		len = strlen(text);
		left = table->view->layout.cols[i]->flags & COLUMN_LEFT;
		pad(to, !!i + (left ? 0 : width - len));
		out_bytes(to, text, len > width ? width - 1 : len);
		if (len > width)
			out_char(to, '>');
		if (left)
			pad(to, width - len);
	}
	while (to->len && to->text[to->len - 1] == ' ')
		to->len--;
}

/* table_place() - the position in a line at which the column begins. */
int table_place(const struct table *table, size_t col)
{
	int x = 0;

	for (size_t i = 0; i < col; i++)
		x += table->widths[i] + 1;
	return x;
}

void table_free(struct table *table)
{
	out_free(&table->text);
	free(table->cells);
}
