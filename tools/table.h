/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.h - lines as text in columns of fixed width, for print_table() and the
 * live view.
 */
#ifndef TABLE_H
#define TABLE_H

#include "view.h"

struct table {
	const struct view *view;
	struct out text;	/* all cells line by line, each with a NUL */
	size_t *cells;		/* where each cell begins: headings, lines, sums */
	int widths[MAX_COLS];
	size_t ncols;		/* how many columns fit */
};

void table_make(struct table *table, const struct view *view, bool sums);
void table_fit(struct table *table, int room, bool drop);
void table_line(const struct table *table, size_t line, struct out *to);
int table_place(const struct table *table, size_t col);
void table_free(struct table *table);

#endif
