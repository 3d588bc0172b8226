// SPDX-License-Identifier: GPL-2.0-only
/* print_table.c - lines as a table for people. */
#include <sys/ioctl.h>
#include <unistd.h>

#include "table.h"

/* Of the terminal that it goes to, or 0. */
static int terminal_width(int fd)
{
	struct winsize size;

	return fd >= 0 && isatty(fd) && !ioctl(fd, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

/* print_table() - a headline, the lines, their sum. */
void print_table(const struct view *view, struct out *to)
{
	bool sums = !view->opt.list;
	int width = terminal_width(to->fd);
	struct table table;

	table_make(&table, view, sums);
	if (width)
		table_fit(&table, width, false);
	if (sums || view->layout.interval || view->unit == UNIT_NS || view->unit == UNIT_US) {
		view_headline(view, to);
		out_char(to, '\n');
	}
	for (size_t l = 0; l < view->nlines + 1 + sums; l++) {
		table_line(&table, l, to);
		out_char(to, '\n');
	}
	table_free(&table);
}
