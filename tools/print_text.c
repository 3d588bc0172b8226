// SPDX-License-Identifier: GPL-2.0-only
/*
 * print_text.c - lines for programs: --raw is separated by tabs, without a
 * heading, "-" where nothing is known; --csv is RFC 4180 with a heading, and
 * empty there. Both without the row of sums.
 */
#include <string.h>

#include "view.h"

static void csv_field(FILE *to, const char *text)
{
	if (!strpbrk(text, ",\"")) {
		fputs(text, to);
		return;
	}
	putc('"', to);
	for (; *text; text++) {
		if (*text == '"')
			putc('"', to);
		putc(*text, to);
	}
	putc('"', to);
}

/* print_text() - the view in --raw or --csv; the heading when it is the first. */
void print_text(const struct view *view, FILE *to, bool first)
{
	bool csv = view->opt->format == FORMAT_CSV;
	const struct column *col;
	struct cell cell;
	const char *shown;
	char text[128];

	for (size_t i = 0; csv && first && i < view->ncols; i++)
		fprintf(to, "%s%s", i ? "," : "", view->cols[i]->name);
	if (csv && first)
		fputs("\n", to);
	for (size_t n = 0; n < view->nlines; n++) {
		for (size_t i = 0; i < view->ncols; i++) {
			col = view->cols[i];
			cell = col->get(&view->lines[n], col->arg);
			cell_format(text, sizeof(text), &cell, view->opt->unit,
				    view->tsc_khz, false);
			shown = cell.kind == CELL_TEXT ? cell.text : text;	/* of any length */
			if (i)
				putc(csv ? ',' : '\t', to);
			if (csv)
				csv_field(to, shown);
			else
				fputs(*shown ? shown : "-", to);
		}
		putc('\n', to);
	}
}
