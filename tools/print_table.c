// SPDX-License-Identifier: GPL-2.0-only
/* print_table.c - lines as a table for people, drawn by libsmartcols. */
#include <ctype.h>
#include <libsmartcols/libsmartcols.h>

#include "fail.h"
#include "view.h"

static void add_line(struct libscols_table *table, const struct view *view,
		     const struct line *from, bool total)
{
	struct libscols_line *line = need(scols_table_new_line(table, NULL));
	struct cell cell;
	char text[128];

	for (size_t i = 0; i < view->ncols; i++) {
		cell = view->cols[i]->get(from, view->cols[i]->arg);
		cell_format(text, sizeof(text), &cell, view->opt->unit,
			    view->tsc_khz, true);
		if (total && cell.kind == CELL_NONE &&
		    view->cols[i]->flags & COLUMN_LEFT)
			snprintf(text, sizeof(text), "%s", i ? "" : "TOTAL");
		if (scols_line_set_data(line, i, cell.kind == CELL_TEXT ? cell.text : text))
			need(NULL);
	}
}

/* print_table() - a headline where the files have one, the lines, their sum. */
void print_table(const struct view *view, FILE *to)
{
	struct libscols_table *table;
	char head[512], title[32];
	size_t c;

	scols_init_debug(0);
	table = need(scols_new_table());
	scols_table_set_stream(table, to);
	for (size_t i = 0; i < view->ncols; i++) {
		for (c = 0; view->cols[i]->name[c]; c++)
			title[c] = toupper(view->cols[i]->name[c]);
		title[c] = '\0';
		need(scols_table_new_column(table, title, 0,
			(view->cols[i]->flags & COLUMN_LEFT ? 0 : SCOLS_FL_RIGHT) |
			(view->cols[i]->flags & COLUMN_CUT ? SCOLS_FL_TRUNC : 0)));
	}
	for (size_t i = 0; i < view->nlines; i++)
		add_line(table, view, &view->lines[i], false);
	if (!view->opt->list)
		add_line(table, view, &view->total, true);
	if (!view->opt->list &&
	    (*view->all.account.scope || view->sample->seconds > 0)) {
		view_headline(view, head, sizeof(head));
		fprintf(to, "%s\n", head);
	}
	if (scols_print_table(table))
		need(NULL);
	scols_unref_table(table);
}
