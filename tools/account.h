/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * account.h - one exit_cycles file in memory: a row of counters per exit
 * reason, for a host, a VM or a vCPU. Reading, adding, subtracting.
 *
 * Units: `exits` and `slow` are numbers of exits; all other counters are cycles of the
 * host's TSC. As in the kernel, counters have 64 bits and wrap, so sums and differences
 * are taken modulo 2^64.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The kernel's counters. Each entry: the column in the file and here, the heading in
 * tables if it differs, the help, the Prometheus counter and its help. All but `exits`,
 * `slow` and `max` are cycles that add up. `max` must be last.
 */
#define COUNTERS(X) \
	X(EXITS, "exits", NULL, "how many", \
	  "kvm_exits_total", "VM exits.") \
	X(CYCLES, "cycles", "KVM", "time in KVM's exit handler", \
	  "kvm_exit_handler_cycles_total", "TSC cycles in the exit handler.") \
	X(TOTAL, "total", NULL, "time from exit to the next entry", \
	  NULL, NULL) \
	X(HALT, "halt", NULL, "part of total: halted or waiting to be started", \
	  "kvm_exit_halt_cycles_total", "TSC cycles halted. Not part of the lost cycles.") \
	X(POLL, "poll", NULL, "part of halt: polling on the host's CPU", \
	  "kvm_exit_poll_cycles_total", "TSC cycles polling on the host's CPU. Part of the halted cycles.") \
	X(USER, "user", NULL, "part of total: in user space (QEMU)", \
	  "kvm_exit_user_cycles_total", "TSC cycles in user space. Part of the lost cycles.") \
	X(SCHED, "sched", NULL, "part of total: waiting for a CPU of the host", \
	  "kvm_exit_sched_cycles_total", "TSC cycles waiting for a CPU of the host. Part of the lost cycles.") \
	X(HSCHED, "hsched", NULL, "part of sched: inside the handler", \
	  "kvm_exit_handler_sched_cycles_total", "TSC cycles waiting for a CPU inside the exit handler.") \
	X(STOP, "stop", NULL, "part of total: stopped by the VMM (paused, migrated)", \
	  "kvm_exit_stop_cycles_total", "TSC cycles stopped by the VMM. Not part of the lost cycles.") \
	X(SLOW, "slow", NULL, "how many KVM recorded as slow (exitdump slow)", \
	  "kvm_exit_slow_total", "VM exits that KVM recorded as slow.") \
	X(MAX, "max", NULL, "the largest single total; over an interval, where it rose", \
	  "kvm_exit_max_cycles", "TSC cycles of the longest exit so far.")

#define COUNTER_ID(id, ...) C_##id,
enum counter { COUNTERS(COUNTER_ID) N_COUNTERS };

/* The numbers of a file's first line. From K_VMS on they can be added up. */
enum key {
	K_TSC_KHZ,
	K_THRESHOLD,	/* us; exits that lose more are recorded as slow; 0: none is */
	K_MONOTONIC, K_REALTIME, K_PERF,	/* ns; these clocks when the file was read */
	K_KEYS, K_KEPT,	/* how many lines with a key, or slow exits, follow */
	K_VMS, K_VCPUS, K_GUEST, K_REPLACED,
	K_LOST,		/* slow exits that later ones have overwritten */
	N_KEYS,
};

#define BUCKETS 32		/* of a histogram; bucket i holds fls64(total) == i */
#define REASON_OTHER (1LL << 32)	/* printed as "-"; sorted after all numbers */
#define REASON_SUM (REASON_OTHER + 1)
#define KEY_REST UINT64_MAX	/* the exits of a reason that have no key; a slow exit without a key */
#define KEY_L2 (1ULL << 63)	/* flag in a key: the exit came from a nested guest */

/* Identifies a row. Rows of two samples or accounts with the same row_key belong together. */
struct row_key {
	int64_t reason;		/* 0 to 2^32 - 1, REASON_OTHER or REASON_SUM */
	uint64_t key;		/* the key inside the reason; 0 if the file has no keys */
};

/* When and where an exit was slow. */
struct slow {
	uint64_t time;		/* ns of CLOCK_MONOTONIC, when the guest went on */
	uint64_t rip;		/* of the guest; 0: not known */
	uint32_t vm, vcpu, cpu;	/* the process, the vCPU, the CPU of the host */
};

struct row {
	struct row_key key;
	char name[48];
	uint64_t n[N_COUNTERS];	/* read n[C_MAX] only by row_max() */
	uint64_t hidden;	/* a max below this is not known: in a difference, or for KEY_REST */
	uint64_t *hist;		/* BUCKETS counts, or NULL; freed with its row */
	struct slow *slow;	/* of one exit, or NULL; freed with its row */
};

struct account {
	char vendor[16];	/* "vmx" or "svm"; "" if the file does not say */
	char tsc[16];		/* "stable" or "unstable" */
	char scope[16];		/* "host", "vm" or "vcpu" */
	uint64_t key[N_KEYS];
	unsigned int keys;	/* bit per enum key: the file has it */
	unsigned int counters;	/* bit per enum counter: the file has it */
	bool has_hist;	/* the file itself has buckets */
	bool keyed;		/* a row per key inside a reason; not all exits have a key */
	bool recorded;		/* a row per slow exit, in no order, and no sum */
	size_t nrows;
	struct row *rows;	/* by rising key */
	struct row sum;
};

static inline bool account_has(const struct account *a, enum counter c)
{
	return a->counters & 1u << c;
}

static inline bool account_knows(const struct account *a, enum key k)
{
	return a->keys & 1u << k;
}

/* Compare by reason, then by key. Returns below 0, 0 or above 0. */
static inline int row_key_compare(struct row_key a, struct row_key b)
{
	if (a.reason != b.reason)
		return a.reason < b.reason ? -1 : 1;
	return a.key < b.key ? -1 : a.key > b.key;
}

/* Whether the file has all counters of this mask. */
static inline bool account_has_all(const struct account *a, unsigned int counters)
{
	return (a->counters & counters) == counters;
}

/* The counters that lost and other are made of. Keys lack some of them, and so do files of version 0.1. */
enum {
	PARTS_OF_LOST = 1u << C_TOTAL | 1u << C_HALT | 1u << C_STOP,
	PARTS_OF_OTHER = PARTS_OF_LOST | 1u << C_CYCLES | 1u << C_USER | 1u << C_SCHED | 1u << C_HSCHED,
};

static inline bool account_has_lost(const struct account *a)
{
	return account_has_all(a, PARTS_OF_LOST);
}

int account_parse(struct account *a, char *text, size_t len, const char **why);
void account_copy(struct account *a, const struct account *from);
void account_free(struct account *a);
void account_drop_rows(struct account *a);
struct row *account_insert(struct account *a, size_t at);
struct row *account_row(struct account *a, struct row_key key, const char *name);
void account_take_hist(struct account *a, struct account *from);
void account_add_head(struct account *a, const struct account *from);
void account_add(struct account *a, const struct account *from);
bool account_subtract(struct account *a, const struct account *before);
bool row_subtract(struct row *row, const struct row *before, unsigned int counters);

/* recorded.c */
void recorded_subtract(struct account *a, const struct account *before);

/* keys.c */
bool keys_subtract(struct account *a, const struct account *before);
void keys_settle(struct account *a);
void keys_sum(struct account *a);

struct row row_of_sums(void);
void row_hist_copy(struct row *to, const uint64_t *from);
void row_slow_copy(struct row *to, const struct slow *from);
void row_free(struct row *row);
void row_add(struct row *to, const struct row *from);
uint64_t row_lost(const struct row *row, const struct account *a);
uint64_t row_max(const struct row *row);
bool row_percentile(const struct row *row, const struct account *a, unsigned int per_100000,
		    uint64_t *bound);

/* bucket_low(), bucket_high() - the cycles that a bucket covers; the last bucket has no end. */
static inline uint64_t bucket_low(int bucket)
{
	return bucket ? 1ULL << (bucket - 1) : 0;
}

static inline uint64_t bucket_high(int bucket)
{
	return bucket == BUCKETS - 1 ? UINT64_MAX : (1ULL << bucket) - 1;
}

#endif
