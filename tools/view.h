/* SPDX-License-Identifier: GPL-2.0-only */
/* view.h - the lines that a sample is shown as: chosen, added up, sorted, limited. */
#ifndef VIEW_H
#define VIEW_H

#include "options.h"

/* The columns of the output, chosen once, so that all samples have the same ones. */
struct layout {
	const struct column *cols[MAX_COLS];	/* time, the usual columns, those of --output */
	size_t ncols;
	bool interval;
};

struct view {
	struct options opt;
	struct layout layout;
	const char *headline;	/* instead of the sample's own, or NULL */
	const struct sample *sample;
	enum unit unit;		/* opt.unit, but never UNIT_DEFAULT */
	uint64_t tsc_khz;	/* 0: not known */
	size_t nlines;
	struct line *lines;
	struct row *picked;	/* for each part: the sum of its chosen rows */
	struct part all;	/* the sum of all parts */
	struct row all_picked;
	struct line total;	/* the line of all_picked */
};

#define NOTES 1024	/* all notes at once need some 600 bytes */

bool reasons_valid(const char *reasons);
bool reason_picked(const char *reasons, const struct row *row);
bool reason_there(const char *reasons, const struct sample *s);

void layout_choose(struct layout *layout, const struct options *opt,
		   const struct sample *first, bool interval);
int view_make(struct view *view, struct sample *sample, const struct options *opt,
	      const struct layout *layout);
const struct column *view_sorted_by(const struct view *view);
void view_headline(const struct view *view, struct out *to);
void view_notes(const struct view *view, char to[NOTES]);
void view_free(struct view *view);

/* The printers. Each is in a file named after it. */
void print_view(const struct view *view, struct out *to, bool first);
void print_table(const struct view *view, struct out *to);
void print_table_more(const struct view *view, struct out *to, int *widths, bool first);
void print_text(const struct view *view, struct out *to, bool first);
void print_json(const struct view *view, struct out *to);
void json_opening(struct out *to, const struct sample *sample);
void json_unit(struct out *to, const struct view *view);
void json_text(struct out *to, const char *text);
void json_cell(struct out *to, const struct view *view, const struct cell *cell);
bool metrics_have(const struct column *col);
void print_metrics(const struct view *view, struct out *to);
void print_hist(const struct view *view, struct out *to);
void print_hist_within(const struct view *view, struct out *to, int most);

#endif
