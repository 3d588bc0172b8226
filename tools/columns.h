/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * columns.h - the columns of the output. One table drives headings, --output,
 * --sort, --help and every printer.
 */
#ifndef COLUMNS_H
#define COLUMNS_H

#include "cell.h"
#include "sample.h"

/* A line of output: one row of a part, or the sum of its rows. */
struct line {
	const struct sample *sample;
	const struct part *part;
	const struct row *row;
	uint64_t lost_by_all;	/* in cycles; the column share divides by it */
	const struct line *other;	/* the line that it is compared with, or NULL */
};

struct column {
	const char *name;
	const char *title;	/* heading in tables; NULL: the name */
	const char *help;
	struct cell (*get)(const struct line *line, int arg);
	int arg;
	unsigned int flags;
	const char *metric;	/* its name in Prometheus, or NULL: not a metric */
	const char *metric_help;
};

#define COLUMN_REASON	1	/* needs a line per reason */
#define COLUMN_HIST	2	/* needs the histogram */
#define COLUMN_LEFT	4	/* text */
#define COLUMN_VCPUS	8	/* needs the list of vCPUs */
#define COLUMN_WHOLE	16	/* the same for all reasons of an account */
#define COLUMN_GUEST	32	/* needs the cycles inside the guest */
#define COLUMN_CUT	64	/* text that may be cut: another column identifies the line */
#define COLUMN_COUNTER	128	/* needs the file's column `arg` */
#define COLUMN_NUMBERS	256	/* text that sorts by the numbers in it */
#define COLUMN_INTERVAL	512	/* only for a span of time */
#define COLUMN_OUTSIDE	1024	/* needs what the VM does outside its vCPUs */
#define COLUMN_LOST	2048	/* needs lost cycles, which keys do not have */
#define COLUMN_KEY	4096	/* only for keys and slow exits */
#define COLUMN_SLOW	8192	/* only for slow exits */

extern const struct column columns[];
extern const size_t ncolumns;

/* The most columns of --output (they may repeat), and of a line. */
enum { MAX_CHOSEN = 48, MAX_COLS = 24 + MAX_CHOSEN };

enum { CPU_VCPUS, CPU_OTHERS };

struct cell get_cpu(const struct line *line, int whose);
struct cell get_irqs(const struct line *line, int arg);
struct cell get_busiest(const struct line *line, int arg);
struct cell get_name(const struct line *line, int arg);
struct cell get_gexits(const struct line *line, int arg);
struct cell get_glost(const struct line *line, int arg);
const struct column *column_find(const char *name);
bool column_known(const struct column *col, const struct account *a);
bool pick_column(struct pick *pick, const struct column *col);
void column_heading(const struct column *col, struct out *to);

#endif
