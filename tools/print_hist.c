// SPDX-License-Identifier: GPL-2.0-only
/* print_hist.c - histograms as bars of text. */
#include <string.h>

#include "view.h"

enum { BAR = 38 };

static void bound(const struct view *view, char *to, size_t size, uint64_t n)
{
	struct cell cell = { .kind = CELL_CYCLES, .n = n };

	cell_format(to, size, &cell, view->opt->unit, view->tsc_khz, true);
}

static void print_one(const struct view *view, FILE *to, const struct row *row)
{
	static const char stars[BAR + 1] = "**************************************";
	uint64_t largest = 0, all = 0;
	int first = BUCKETS, last = -1;
	char low[32], high[32];

	for (int i = 0; row->hist && i < BUCKETS; i++) {
		if (!row->hist[i])
			continue;
		if (first == BUCKETS)
			first = i;
		last = i;
		all += row->hist[i];
		if (row->hist[i] > largest)
			largest = row->hist[i];
	}
	fprintf(to, "%s: %lu exits that are over\n", row->name, all);
	if (last < 0)
		return;
	fprintf(to, "%12s    %-12s %10s\n", view->opt->unit > UNIT_CYCLES ? "from" : "cycles",
		"to", "exits");
	for (int i = first; i <= last; i++) {
		bound(view, low, sizeof(low), bucket_low(i));
		bound(view, high, sizeof(high), bucket_high(i));
		fprintf(to, "%12s -> %-12s %10lu |%-*.*s|\n", low,
			i == BUCKETS - 1 ? "more" : high, row->hist[i], BAR,
			(int)((long double)row->hist[i] * BAR / largest), stars);
	}
}

/* print_hist() - one for each line; without a choice of reasons one for all. */
void print_hist(const struct view *view, FILE *to)
{
	if (!view->opt->reasons) {
		print_one(view, to, view->total.row);
		return;
	}
	for (size_t i = 0; i < view->nlines; i++) {
		if (i)
			putc('\n', to);
		print_one(view, to, view->lines[i].row);
	}
}
