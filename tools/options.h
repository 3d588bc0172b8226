/* SPDX-License-Identifier: GPL-2.0-only */
/* options.h - what the command line asks for. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "columns.h"

enum format { FORMAT_TABLE, FORMAT_HIST, FORMAT_RAW, FORMAT_CSV, FORMAT_JSON, FORMAT_METRICS };

struct sort_key {
	const struct column *col;
	bool reversed;		/* the smallest first, texts backwards */
};

enum { MAX_SORTS = 8 };

struct options {
	struct pick pick;
	enum format format;
	enum unit unit;
	uint64_t tsc_khz;	/* in place of the file's, or 0 */
	const char *reasons;	/* names, numbers and patterns, by commas; or NULL */
	const struct column *cols[MAX_CHOSEN];
	size_t ncols;		/* 0: the defaults */
	bool more_cols;		/* behind the defaults */
	struct sort_key sorts[MAX_SORTS];
	size_t nsorts;		/* 0: by what is lost */
	size_t limit;		/* lines; 0: all */
	bool buckets;		/* histograms among the metrics */
	bool list;		/* the VMs there are: no sums, their order kept */
	bool diff;		/* of two captures: no seconds, but those in the guest */
	bool explain;		/* what BPF cannot tell, and nothing else */
	bool follow;		/* slow exits as they come */
	bool symbols;		/* there are symbols of the guest */
	uint64_t than;		/* slow exits that lost more ns */
	const char *qmp;	/* QEMU's socket, for the owners of ports and pages; or NULL */
	const char *file;	/* in place of standard output, or NULL */
};

/* Whether --output lists all the columns there shall be. */
static inline bool options_columns(const struct options *opt)
{
	return opt->ncols && !opt->more_cols;
}

/* Tables and bars, for people. */
static inline bool options_people(const struct options *opt)
{
	return opt->format <= FORMAT_HIST;
}

/* Where on the command line: in front of the command, behind it, or behind `run`. */
enum stage { STAGE_FRONT, STAGE_COMMAND, STAGE_RUN };

/* Whether there is a line for each reason, and not one for all of a VM or vCPU. */
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

#endif
