/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sample.h - the accounts that were asked for, read at one moment; or the
 * difference of two such moments.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <sys/types.h>
#include <time.h>

#include "account.h"
#include "outside.h"

enum split { SPLIT_NONE, SPLIT_VMS, SPLIT_VCPUS };

/* What to read. */
struct pick {
	const char *input;	/* one saved file, or NULL */
	const char *root;	/* a folder to use as "/", or "" */
	bool guest;		/* through CPUID, in a guest */
	bool bpf;		/* by BPF, while this runs */
	const char *vm;		/* PID, PID-FD, or a guest's name or pattern */
	const char *vcpu;	/* numbers and ranges: "0,2-3" */
	enum split split;	/* one account for all, or one per VM or vCPU */
	bool hist;		/* histograms too */
	bool keys;		/* keys, instead of reasons */
	bool slow;		/* slow exits, instead of reasons */
	bool vcpu_lists;	/* the numbers of a VM's vCPUs too */
	bool outside;		/* what VMs do outside their vCPUs too */
	bool once;		/* there is no second sample to subtract: add up while reading */
	bool sums;		/* keep only the sum of each account's rows */
};

struct part {
	char vm[24];		/* "PID-FD"; "" for the host or a file */
	char vmname[256];
	int64_t vcpu;		/* -1 for a VM or the host */
	char *vcpus;		/* "0-3", or NULL */
	bool cleared;		/* between two samples: the difference is not known */
	struct outside outside;
	struct account account;
};

struct sample {
	struct timespec when;	/* CLOCK_REALTIME */
	struct timespec clock;	/* CLOCK_MONOTONIC */
	double seconds;		/* the length of a difference; 0: counters so far */
	size_t nparts;
	struct part *parts;
	size_t gone;		/* parts that ended during a difference */
	const char *off;	/* the switch that was off at the end: nothing was counted then; or NULL */
	unsigned long own_exits;	/* CPUID exits made by reading itself: part of the CPUID row */
	uint64_t uncounted;	/* exits that BPF missed, wholly or in part */
};

bool pick_vcpus_valid(const char *vcpus);
int pick_one_vm(struct pick *pick, const char *socket, pid_t peer);
int sample_take(struct sample *s, const struct pick *pick);
int sample_first(struct sample *s, const struct pick *pick);
struct part *sample_add(struct sample *s);
void sample_drop(struct sample *s);
void sample_copy(struct sample *s, const struct sample *from);
void sample_between(struct sample *s, const struct sample *after,
		    const struct sample *before);
void sample_count(const struct sample *s, struct account *sum);
void sample_merge(struct sample *s, enum split split);
void sample_free(struct sample *s);

#endif
