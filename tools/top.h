/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * top.h - the live view. The screen shows a place: the host, a VM, a vCPU or a reason.
 * Enter goes to a place inside it, Esc goes back.
 */
#ifndef TOP_H
#define TOP_H

#include "commands.h"
#include "fail.h"

enum span { SPAN_INTERVAL, SPAN_START, SPAN_ALL, N_SPANS };
enum page { PAGE_LINES, PAGE_COLUMNS, PAGE_HELP };
enum { MAX_PLACES = 8 };

struct place {
	struct options opt;	/* what to read and how to show it */
	char vm[24], vcpu[24], reasons[16];	/* its opt, or that of a later place, points to these */
	bool hist;		/* show its reason's histogram instead of lines */
	char chosen[128];	/* name of the cursor's line, by line_name() */
	int top_line;		/* the first line on the screen */
};

struct top {
	struct place places[MAX_PLACES], *at;
	enum page page;
	int column;		/* the cursor in the list of columns */
	double interval;
	struct timespec next;
	enum unit unit;
	enum span span, shown_span;
	unsigned long intervals;	/* how many have passed since the first sample */
	bool paused, quit;
	bool refused;		/* the last key failed: trouble stays until the next key */
	char trouble[sizeof(failure)];	/* why the last reading failed, or "" */
	struct sample first, before, last;	/* as they were read */
	struct sample shown;		/* the difference of two of these */
	struct layout interval_layout, all_layout;
	struct view view;		/* of shown */
};

/* top.c */
int top_begin(struct top *top);
void top_update(struct top *top);
void top_layout(struct top *top);

/* top_places.c */
void place_lines(struct top *top, const struct line *line, enum split split);
void place_hist(struct top *top, const struct line *line);
void place_keys(struct top *top, const struct line *line);
void place_slow(struct top *top, const struct line *line);
void place_back(struct top *top);
void line_name(const struct line *line, char *name, size_t size);
int cursor(const struct top *top);

/* top_keys.c */
void top_key(struct top *top, int c);
extern const char top_help[];

/* top_draw.c */
void top_draw(struct top *top);

#endif
