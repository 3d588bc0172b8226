/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * account.h - one exit_cycles file in memory: a row of counters per exit
 * reason, for a host, a VM or a vCPU. Reading, adding, subtracting.
 *
 * Units: every counter but `exits` is in cycles of the host's TSC. Counters
 * are what the kernel keeps, 64 bits that wrap, so sums and differences are
 * taken modulo 2^64.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum counter { C_EXITS, C_CYCLES, C_TOTAL, C_HALT, C_USER, C_MAX, N_COUNTERS };

/* The numbers of the first line. */
enum key { K_TSC_KHZ, K_VMS, K_VCPUS, K_OPEN, K_GUEST, N_KEYS };

#define BUCKETS 32		/* of a histogram; bucket i holds fls64(total) == i */
#define REASON_OTHER (1LL << 32)	/* prints as "-"; sorts behind all numbers */
#define REASON_SUM (REASON_OTHER + 1)

struct row {
	int64_t reason;		/* 0 to 2^32 - 1, REASON_OTHER or REASON_SUM */
	char name[48];
	uint64_t n[N_COUNTERS];	/* n[C_MAX] by row_max() alone */
	uint64_t hidden;	/* of a difference: no max is known up to here */
	uint64_t *hist;		/* BUCKETS counts, or NULL; freed with its row */
};

struct account {
	char vendor[16];	/* "vmx" or "svm"; "" where the file does not say */
	char tsc[16];		/* "stable" or "unstable" */
	char scope[16];		/* "host", "vm" or "vcpu" */
	uint64_t key[N_KEYS];
	unsigned int keys;	/* bit per enum key: the file has it */
	unsigned int counters;	/* bit per enum counter: the file has it */
	bool has_hist;
	size_t nrows;
	struct row *rows;	/* by rising reason */
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

int account_parse(struct account *a, char *text, size_t len, const char **why);
void account_copy(struct account *a, const struct account *from);
void account_free(struct account *a);
struct row *account_row(struct account *a, int64_t reason, const char *name);
void account_take_hist(struct account *a, struct account *from);
void account_add(struct account *a, const struct account *from);
bool account_subtract(struct account *a, const struct account *before);

void row_add(struct row *to, const struct row *from);
uint64_t row_lost(const struct row *row, const struct account *a);
uint64_t row_max(const struct row *row);
int row_percentile(const struct row *row, unsigned int per_100000);

/* bucket_low(), bucket_high() - the cycles a bucket holds; the last has no end. */
static inline uint64_t bucket_low(int bucket)
{
	return bucket ? 1ULL << (bucket - 1) : 0;
}

static inline uint64_t bucket_high(int bucket)
{
	return bucket == BUCKETS - 1 ? UINT64_MAX : (1ULL << bucket) - 1;
}

#endif
