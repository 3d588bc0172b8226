// SPDX-License-Identifier: GPL-2.0-only
/*
 * print_text.c - lines for programs. --raw: separated by tabs, no heading, "-" for an
 * unknown value. --csv: RFC 4180, with a heading, nothing for an unknown value. Neither
 * has a line of sums.
 */
#include "view.h"

static void csv_text(struct out *to, const char *text)
{
	if (!strpbrk(text, ",\"")) {
		out_text(to, text);
		return;
	}
	out_char(to, '"');
	for (; *text; text++) {
		if (*text == '"')
			out_char(to, '"');
		out_char(to, *text);
	}
	out_char(to, '"');
}

/* print_text() - print the view as --raw or --csv; a heading only for the first. */
void print_text(const struct view *view, struct out *to, bool first)
{
	bool csv = view->opt.format == FORMAT_CSV;
	const struct layout *layout = &view->layout;
	const struct column *col;
	struct cell cell;

	for (size_t i = 0; csv && first && i < layout->ncols; i++) {
		if (i)
			out_char(to, ',');
		out_text(to, layout->cols[i]->name);
	}
	if (csv && first)
		out_char(to, '\n');
	for (size_t n = 0; n < view->nlines; n++) {
		for (size_t i = 0; i < layout->ncols; i++) {
			col = layout->cols[i];
			cell = col->get(&view->lines[n], col->arg);
			if (i)
				out_char(to, csv ? ',' : '\t');
			if (csv && cell.kind == CELL_TEXT)
				csv_text(to, cell.text);
			else if (!csv && cell.kind == CELL_NONE)
				out_char(to, '-');
			else
				cell_put(to, &cell, view->unit, view->tsc_khz);
		}
		out_char(to, '\n');
	}
}
