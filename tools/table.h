/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.h - lines as text in columns of one width: for print_table() and for the
 * live view.
 */
#ifndef TABLE_H
#define TABLE_H

#include "view.h"

struct table {
	const struct view *view;
	struct out text;	/* of all cells, each with a NUL; line by line */
	size_t *cells;		/* where they begin: headings, lines, sums */
	int widths[MAX_COLS];
	size_t ncols;		/* that fit */
};

void table_make(struct table *table, const struct view *view, bool sums);
void table_fit(struct table *table, int room, bool drop);
void table_line(const struct table *table, size_t line, struct out *to);
int table_place(const struct table *table, size_t col);
void table_free(struct table *table);

#endif
