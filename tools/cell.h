/* SPDX-License-Identifier: GPL-2.0-only */
/* cell.h - one value of the output, and how it is printed. */
#ifndef CELL_H
#define CELL_H

#include "out.h"

/* UNIT_DEFAULT becomes AUTO for people, CYCLES for programs. */
enum unit { UNIT_DEFAULT, UNIT_CYCLES, UNIT_NS, UNIT_US, UNIT_AUTO };

/* By enum unit, as --unit takes them. */
extern const char *const unit_names[];

enum cell_kind {
	CELL_NONE, CELL_TEXT, CELL_KEY, CELL_COUNT, CELL_CYCLES, CELL_AVERAGE, CELL_BOUND,
	CELL_RATE, CELL_SHARE, CELL_CHANGE, CELL_FACTOR, CELL_TIME, CELL_HEX, CELL_WHEN, CELL_CLOCK,
};

struct cell {
	enum cell_kind kind;
	const char *text;	/* TEXT */
	uint64_t n;		/* KEY, HEX, COUNT; CYCLES, BOUND: cycles; WHEN (since 1970), CLOCK: ns */
	double d;		/* AVERAGE: cycles; RATE: a second; SHARE, CHANGE: 1 is 100%; FACTOR; TIME: s */
	bool is_max;		/* BOUND: it is max, and is rounded as max is */
};

/* An unknown value. */
static const struct cell cell_none = { .kind = CELL_NONE };

/* cell_text() - a text, or cell_none for an empty one. */
static inline struct cell cell_text(const char *s)
{
	return *s ? (struct cell){ .kind = CELL_TEXT, .text = s } : cell_none;
}

int cell_compare(const struct cell *a, const struct cell *b);
void cell_show(struct out *to, const struct cell *cell, enum unit unit, uint64_t tsc_khz);
void cell_put(struct out *to, const struct cell *cell, enum unit unit, uint64_t tsc_khz);

#endif
