/* SPDX-License-Identifier: GPL-2.0-only */
/* view.h - a sample as lines: chosen, summed up, sorted, cut to a limit. */
#ifndef VIEW_H
#define VIEW_H

#include <stdio.h>

#include "options.h"

struct view {
	const struct options *opt;
	const struct sample *sample;
	const struct column *cols[MAX_COLS];	/* time, the usual ones, those chosen */
	size_t ncols;
	uint64_t tsc_khz;	/* 0: not known */
	size_t nlines;
	struct line *lines;
	struct part all;	/* the sum of all parts */
	struct line total;	/* a line for it */
};

bool reasons_valid(const char *reasons);
bool reason_picked(const char *reasons, const struct row *row);
bool reason_there(const char *reasons, const struct sample *s);
int view_make(struct view *view, struct sample *sample, const struct options *opt);
void view_headline(const struct view *view, char *to, size_t size);
void view_notes(const struct view *view, char *to, size_t size);
void view_free(struct view *view);

/* The printers; each in a file of its name. */
void print_table(const struct view *view, FILE *to);
void print_text(const struct view *view, FILE *to, bool first);
void print_json(const struct view *view, FILE *to);
bool metrics_have(const struct column *col);
void print_metrics(const struct view *view, FILE *to);
void print_hist(const struct view *view, FILE *to);
void print_hist_within(const struct view *view, FILE *to, int most);

#endif
