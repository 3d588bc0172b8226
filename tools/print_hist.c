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

/* In `most` lines of buckets: the lowest share one where there are more. */
static void print_one(const struct view *view, FILE *to, const struct row *row, int most)
{
	static const char stars[BAR + 1] = "**************************************";
	uint64_t largest = 0, all = 0;
	int first = BUCKETS, last = -1;
	char low[32], high[32], text[BAR + 1];
	uint64_t n = 0;
	int from;

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
	if (!row->hist) {
		fprintf(to, "%s: no histogram\n", row->name);
		return;
	}
	fprintf(to, "%s: %lu exits that are over\n", row->name, all);
	if (last < 0)
		return;
	fprintf(to, "%12s    %-12s %10s\n", view->opt->unit > UNIT_CYCLES ? "from" : "cycles",
		"to", "exits");
	from = first;
	for (int i = first; i <= last; i++) {
		n += row->hist[i];
		if (last - i >= most)
			continue;
		bound(view, low, sizeof(low), bucket_low(from));
		bound(view, high, sizeof(high), bucket_high(i));
		snprintf(text, sizeof(text), "%.*s", (int)((long double)n * BAR / largest), stars);
		if (from < i)
			snprintf(text, sizeof(text), "(%d buckets in one line)", i - from + 1);
		fprintf(to, "%12s -> %-12s %10lu |%-*s|\n", low,
			i == BUCKETS - 1 ? "more" : high, n, BAR, text);
		from = i + 1;
		n = 0;
	}
}

/*
 * print_hist_within() - one for each line; without a choice of reasons one for
 * all. Each has so many lines of buckets at most.
 */
void print_hist_within(const struct view *view, FILE *to, int most)
{
	if (!view->opt->reasons) {
		print_one(view, to, view->total.row, most);
		return;
	}
	for (size_t i = 0; i < view->nlines; i++) {
		if (i)
			putc('\n', to);
		print_one(view, to, view->lines[i].row, most);
	}
}

/* print_hist() - with all its buckets. */
void print_hist(const struct view *view, FILE *to)
{
	print_hist_within(view, to, BUCKETS);
}
