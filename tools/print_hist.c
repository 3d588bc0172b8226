// SPDX-License-Identifier: GPL-2.0-only
/* print_hist.c - histograms as bars of text. */
#include "view.h"

enum { BAR = 38 };

/* Print a bound in 12 characters, aligned left or right. */
static void bound(const struct view *view, struct out *to, uint64_t n, bool left)
{
	struct cell cell = { .kind = CELL_CYCLES, .n = n };
	struct out text = { .fd = -1 };

	cell_show(&text, &cell, view->unit, view->tsc_khz);
	out_format(to, left ? "%-12s" : "%12s", out_string(&text));
	out_free(&text);
}

static void bar(struct out *to, uint64_t n, uint64_t largest)
{
	int stars = (long double)n * BAR / largest;

	for (int i = 0; i < BAR; i++)
		out_char(to, i < stars ? '*' : ' ');
}

static void print_bucket(const struct view *view, struct out *to, int from, int at,
			 uint64_t n, uint64_t largest)
{
	bound(view, to, bucket_low(from), false);
	out_text(to, " -> ");
	if (at == BUCKETS - 1)
		out_format(to, "%-12s", "more");
	else
		bound(view, to, bucket_high(at), true);
	out_format(to, " %10lu |", n);
	if (from < at)
		out_format(to, "(%d buckets in one line)%*s", at - from + 1,
			   BAR - 23 - (at - from + 1 > 9), "");
	else
		bar(to, n, largest);
	out_text(to, "|\n");
}

/* Print a histogram in at most `most` lines. If there are more buckets, the lowest share a line. */
static void print_one(const struct view *view, struct out *to, const struct row *row, int most)
{
	uint64_t largest = 0, all = 0, n = 0;
	int first = BUCKETS, last = -1, from;

	if (!row->hist) {
		out_format(to, "%s: no histogram\n", row->name);
		return;
	}
	for (int i = 0; i < BUCKETS; i++) {
		if (!row->hist[i])
			continue;
		if (first == BUCKETS)
			first = i;
		last = i;
		all += row->hist[i];
		if (row->hist[i] > largest)
			largest = row->hist[i];
	}
	out_format(to, "%s: %lu exits, by time from exit to entry\n", row->name, all);
	if (last < 0)
		return;
	out_format(to, "%12s    %-12s %10s\n", view->unit == UNIT_AUTO ? "from" : unit_names[view->unit], "to", "exits");
	from = first;
	for (int i = first; i <= last; i++) {
		n += row->hist[i];
		if (last - i >= most)
			continue;
		print_bucket(view, to, from, i, n, largest);
		from = i + 1;
		n = 0;
	}
}

/*
 * print_hist_within() - one histogram per line of the view, or one for all reasons if
 * none is chosen. Each has at most `most` lines of buckets.
 */
void print_hist_within(const struct view *view, struct out *to, int most)
{
	if (!view->opt.reasons) {
		print_one(view, to, view->total.row, most);
		return;
	}
	for (size_t i = 0; i < view->nlines; i++) {
		if (i)
			out_char(to, '\n');
		print_one(view, to, view->lines[i].row, most);
	}
	if (!view->nlines)
		out_text(to, "no such exit in this span\n");
}

/* print_hist() - print all buckets; for an interval, a headline above. */
void print_hist(const struct view *view, struct out *to)
{
	if (view->sample->seconds > 0) {
		view_headline(view, to);
		out_char(to, '\n');
	}
	print_hist_within(view, to, BUCKETS);
}
