// SPDX-License-Identifier: GPL-2.0-only
/* print_table.c - lines as a table for people. */
#include <sys/ioctl.h>

#include "table.h"

/* The width of the terminal that the output goes to, or 0 if it goes elsewhere. */
static int terminal_width(int fd)
{
	struct winsize size;

	return !ioctl(fd, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

/* Print the lines `from` to `to_line` - 1, no wider than the terminal. */
static void print_lines(struct table *table, size_t from, size_t to_line, struct out *to)
{
	int width = terminal_width(to->fd);

	if (width)
		table_fit(table, width, false);
	for (size_t l = from; l < to_line; l++) {
		table_line(table, l, to);
		out_char(to, '\n');
	}
}

/* print_table() - a headline, the lines, their sum. */
void print_table(const struct view *view, struct out *to)
{
	bool sums = !view->opt.list && !view->opt.pick.slow;
	struct table table;

	table_make(&table, view, sums);
	if (!view->opt.list || view->layout.interval || view->unit == UNIT_NS || view->unit == UNIT_US) {
		view_headline(view, to);
		out_char(to, '\n');
	}
	print_lines(&table, 0, view->nlines + 1 + sums, to);
	table_free(&table);
}

/*
 * print_table_more() - print more lines below earlier ones, in columns at least as
 * wide. The headings come before the first.
 */
void print_table_more(const struct view *view, struct out *to, int *widths, bool first)
{
	struct table table;

	table_make(&table, view, false);
	for (size_t i = 0; i < table.ncols; i++) {
		if (table.widths[i] < widths[i])
			table.widths[i] = widths[i];
		widths[i] = table.widths[i];
	}
	print_lines(&table, !first, view->nlines + 1, to);
	table_free(&table);
}
