/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * columns.h - what can stand in a line of output. One table drives headings,
 * -o, --sort, --help and every printer.
 */
#ifndef COLUMNS_H
#define COLUMNS_H

#include "cell.h"
#include "sample.h"

/* A line of output: a reason's row, or a whole part's. */
struct line {
	const struct sample *sample;
	const struct part *part;
	const struct row *row;
	uint64_t lost_by_all;	/* what share is a share of, in cycles */
	const struct line *other;	/* that it is compared with, or NULL */
};

struct column {
	const char *name;
	const char *title;	/* of tables, or NULL: the name */
	const char *help;
	struct cell (*get)(const struct line *line, int arg);
	int arg;
	unsigned int flags;
	const char *metric;	/* its name in Prometheus, or NULL: it is not there */
	const char *metric_help;
};

#define COLUMN_REASON	1	/* makes a line per reason */
#define COLUMN_TOTAL	2	/* needs the file's column total */
#define COLUMN_HIST	4	/* needs the histogram */
#define COLUMN_LEFT	8	/* text */
#define COLUMN_VCPUS	16	/* needs the list of vCPUs */
#define COLUMN_WHOLE	32	/* of a whole account, not of a reason */
#define COLUMN_GUEST	64	/* needs the cycles inside the guest */
#define COLUMN_CUT	128	/* text that a narrow terminal may cut: it names nothing alone */
#define COLUMN_COUNTER	256	/* needs the file's column `arg` */
#define COLUMN_NUMBERS	512	/* text that sorts by the numbers in it */
#define COLUMN_INTERVAL	1024	/* of a span of time only */
#define COLUMN_OUTSIDE	2048	/* needs what the VM does outside its vCPUs */
#define COLUMN_LOST	4096	/* needs what is lost: not of keys */
#define COLUMN_KEY	8192	/* of keys only, and slow exits */
#define COLUMN_SLOW	16384	/* of slow exits only */

extern const struct column columns[];
extern const size_t ncolumns;

/* Of --output (each of them once, or some of them oftener), and of a line. */
enum { MAX_CHOSEN = 48, MAX_COLS = 24 + MAX_CHOSEN };

enum { CPU_VCPUS, CPU_OTHERS };

struct cell get_cpu(const struct line *line, int whose);
struct cell get_irqs(const struct line *line, int arg);
struct cell get_busiest(const struct line *line, int arg);
struct cell get_gexits(const struct line *line, int arg);
struct cell get_glost(const struct line *line, int arg);
const struct column *column_find(const char *name);
bool column_known(const struct column *col, const struct account *a);
void column_heading(const struct column *col, struct out *to);

#endif
