/* SPDX-License-Identifier: GPL-2.0-only */
/* options.h - what the command line asks for. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "columns.h"

enum format { FORMAT_TABLE, FORMAT_HIST, FORMAT_RAW, FORMAT_CSV, FORMAT_JSON, FORMAT_METRICS };

struct sort_key {
	const struct column *col;
	bool reversed;		/* the smallest first, Z before A */
};

enum { MAX_SORTS = 8 };

struct options {
	struct pick pick;
	enum format format;
	enum unit unit;
	uint64_t tsc_khz;	/* instead of the file's, or 0 */
	const char *reasons;	/* names, numbers and patterns, with commas; or NULL */
	const struct column *cols[MAX_CHOSEN];
	size_t ncols;		/* 0: the defaults */
	bool more_cols;		/* cols[] come after the defaults */
	struct sort_key sorts[MAX_SORTS];
	size_t nsorts;		/* 0: by lost cycles */
	size_t limit;		/* lines; 0: all */
	bool buckets;		/* metrics include histograms */
	bool list;		/* a list of VMs: no sums, no sorting */
	bool diff;		/* two captures: no rate per second, but one per second in the guest */
	bool explain;		/* only print what BPF cannot tell */
	bool follow;		/* print slow exits as they happen */
	bool symbols;		/* the guest's symbols were read */
	uint64_t than;		/* ns; only slow exits that lost more */
	const char *qmp;	/* QEMU's socket, to ask who owns ports and pages; or NULL */
	const char *file;	/* output file instead of standard output, or NULL */
};

/* Whether --output names all columns, and does not add to the defaults. */
static inline bool options_columns(const struct options *opt)
{
	return opt->ncols && !opt->more_cols;
}

/* Whether the output is for people: a table or bars. */
static inline bool options_people(const struct options *opt)
{
	return opt->format <= FORMAT_HIST;
}

/* The part of the command line: in front of the command, behind it, or behind `run`. */
enum stage { STAGE_FRONT, STAGE_COMMAND, STAGE_RUN };

/* Whether each reason has its own line. Otherwise each VM or vCPU has one line. */
static inline bool options_by_reason(const struct options *opt)
{
	bool metrics = opt->format == FORMAT_METRICS;

	if (opt->list)
		return false;
	if (opt->pick.keys || opt->pick.slow || opt->format == FORMAT_JSON || (metrics && !options_columns(opt)))
		return true;
	for (size_t i = 0; i < opt->ncols; i++) {
		if (opt->cols[i]->flags & COLUMN_REASON)
			return true;
	}
	return opt->pick.split == SPLIT_NONE && !metrics;
}

void options_parse(struct options *opt, int *argc, char ***argv, enum stage stage);
void options_check(struct options *opt);
uint64_t time_ns(const char *arg);

#endif
