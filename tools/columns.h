/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * columns.h - what can stand in a line of output. One table drives headings,
 * -o, --sort, --help and every printer.
 */
#ifndef COLUMNS_H
#define COLUMNS_H

#include "sample.h"

/* SHORT is for tables: cycles, and numbers of over six digits cut to four. */
enum unit { UNIT_SHORT, UNIT_CYCLES, UNIT_NS, UNIT_US, UNIT_AUTO };

/* A line of output: a reason's row, or a whole part's. */
struct line {
	const struct sample *sample;
	const struct part *part;
	const struct row *row;
	uint64_t lost_by_all;	/* what share is a share of, in cycles */
};

enum cell_kind {
	CELL_NONE, CELL_TEXT, CELL_COUNT, CELL_CYCLES, CELL_AVERAGE, CELL_BOUND,
	CELL_RATE, CELL_SHARE, CELL_TIME,
};

struct cell {
	enum cell_kind kind;
	const char *text;	/* TEXT */
	uint64_t n;		/* COUNT, CYCLES, BOUND: at most so many cycles */
	double d;		/* AVERAGE in cycles, RATE per second, SHARE of 1, TIME */
};

struct column {
	const char *name;
	const char *help;
	struct cell (*get)(const struct line *line, int arg);
	int arg;
	unsigned int flags;
};

#define COLUMN_REASON	1	/* makes a line per reason */
#define COLUMN_TOTAL	2	/* needs the file's column total */
#define COLUMN_HIST	4	/* needs the histogram */
#define COLUMN_LEFT	8	/* text */
#define COLUMN_VCPUS	16	/* needs the list of vCPUs */
#define COLUMN_WHOLE	32	/* of a whole account, not of a reason */
#define COLUMN_GUEST	64	/* needs the cycles inside the guest */
#define COLUMN_CUT	128	/* text that a narrow terminal may cut: it names nothing alone */

extern const struct column columns[];
extern const size_t ncolumns;

/* Of --output (each of them once, or some of them oftener), and of a line. */
enum { MAX_CHOSEN = 32, MAX_COLS = 12 + MAX_CHOSEN };

const struct column *column_find(const char *name);
int cell_compare(const struct cell *a, const struct cell *b);
void cell_format(char *to, size_t size, const struct cell *cell,
		 enum unit unit, uint64_t tsc_khz, bool table);

#endif
