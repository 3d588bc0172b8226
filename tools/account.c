// SPDX-License-Identifier: GPL-2.0-only
/* account.c - sums and differences of accounts and of their rows. */
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "fail.h"

/* row_of_sums() - a row of zeros, to add others to. */
struct row row_of_sums(void)
{
	return (struct row){ .key.reason = REASON_SUM, .name = "TOTAL" };
}

/* row_hist_copy() - give the row its own copy of these counts. */
void row_hist_copy(struct row *to, const uint64_t *from)
{
	to->hist = need(malloc(BUCKETS * sizeof(*to->hist)));
	memcpy(to->hist, from, BUCKETS * sizeof(*to->hist));
}

/* row_slow_copy() - likewise a copy of when and where its exit was slow. */
void row_slow_copy(struct row *to, const struct slow *from)
{
	to->slow = need(malloc(sizeof(*to->slow)));
	*to->slow = *from;
}

/* row_free() - free the memory that the row points to. */
void row_free(struct row *row)
{
	free(row->hist);
	free(row->slow);
}

/* account_insert() - insert a row of zeros at index `at`, and return it. */
struct row *account_insert(struct account *a, size_t at)
{
	a->rows = need_room(a->rows, a->nrows, sizeof(*a->rows));
	memmove(&a->rows[at + 1], &a->rows[at], (a->nrows++ - at) * sizeof(*a->rows));
	return memset(&a->rows[at], 0, sizeof(*a->rows));
}

/* account_drop_rows() - free all rows, and keep their sum. */
void account_drop_rows(struct account *a)
{
	for (size_t i = 0; i < a->nrows; i++)
		row_free(&a->rows[i]);
	free(a->rows);
	a->rows = NULL;
	a->nrows = 0;
}

/* account_free() - free all memory of the account, and make it empty. */
void account_free(struct account *a)
{
	account_drop_rows(a);
	free(a->sum.hist);
	memset(a, 0, sizeof(*a));
}

static void append_copy(struct account *a, const struct row *from)
{
	struct row *row = account_insert(a, a->nrows);

	*row = *from;
	if (row->hist)
		row_hist_copy(row, row->hist);
	if (row->slow)
		row_slow_copy(row, row->slow);
}

/* account_copy() - make *a a copy of its own, to be freed by account_free(). */
void account_copy(struct account *a, const struct account *from)
{
	*a = *from;
	a->rows = NULL;
	a->nrows = 0;
	for (size_t i = 0; i < from->nrows; i++)
		append_copy(a, &from->rows[i]);
	if (a->sum.hist)
		row_hist_copy(&a->sum, a->sum.hist);
}

/* account_row() - find the row of a key. If it is missing: with a name it is added, else NULL. */
struct row *account_row(struct account *a, struct row_key key, const char *name)
{
	size_t low = 0, high = a->nrows, mid;
	struct row *row;
	int order;

	while (low < high) {
		mid = (low + high) / 2;
		order = row_key_compare(a->rows[mid].key, key);
		if (!order)
			return &a->rows[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (!name)
		return NULL;
	row = account_insert(a, low);
	row->key = key;
	strncpy(row->name, name, sizeof(row->name) - 1);
	return row;
}

/*
 * account_take_hist() - move the histograms of a second file to the rows of the
 * first. A row of the second file without a row in the first is skipped.
 */
void account_take_hist(struct account *a, struct account *from)
{
	struct row *row;

	for (size_t i = 0; i < from->nrows; i++) {
		row = account_row(a, from->rows[i].key, NULL);
		if (!row)
			continue;
		row->hist = from->rows[i].hist;
		from->rows[i].hist = NULL;
	}
	a->sum.hist = from->sum.hist;
	from->sum.hist = NULL;
}

/*
 * account_add_head() - the first line of a sum of accounts: it has the counters and
 * numbers that all of them have. Numbers of VMs, vCPUs and guest cycles add up.
 */
void account_add_head(struct account *a, const struct account *from)
{
	if (!a->counters) {
		memcpy(a->vendor, from->vendor, sizeof(a->vendor));
		memcpy(a->tsc, from->tsc, sizeof(a->tsc));
		memcpy(a->scope, from->scope, sizeof(a->scope));
		memcpy(a->key, from->key, K_VMS * sizeof(*a->key));
		a->keys = from->keys;
		a->counters = from->counters;
		a->keyed = from->keyed;
		a->recorded = from->recorded;
	}
	a->keys &= from->keys;
	a->counters &= from->counters;
	for (int k = K_VMS; k < N_KEYS; k++)
		a->key[k] += from->key[k];
}

/*
 * account_add() - add another account, row by row. Keys are only appended: at the end
 * keys_settle() puts them in order, so that the work does not grow with the square of the keys.
 */
void account_add(struct account *a, const struct account *from)
{
	if (!a->counters)
		a->sum = row_of_sums();
	account_add_head(a, from);
	for (size_t i = 0; i < from->nrows; i++) {
		if (a->keyed)
			append_copy(a, &from->rows[i]);
		else
			row_add(account_row(a, from->rows[i].key, from->rows[i].name), &from->rows[i]);
	}
	row_add(&a->sum, &from->sum);
}

/*
 * n -= before. False if the counter had become smaller: it was cleared meanwhile. A
 * counter may also have wrapped: then the difference is below 2^62.
 */
static bool subtract(uint64_t *n, uint64_t before)
{
	bool grown = *n >= before || *n - before < 1ULL << 62;

	*n -= before;
	return grown;
}

/* row_subtract() - subtract these counters; false if any of them had become smaller. */
bool row_subtract(struct row *row, const struct row *before, unsigned int counters)
{
	bool grown = true;

	for (int c = 0; c < C_MAX; c++) {
		if (counters & 1u << c)
			grown &= subtract(&row->n[c], before->n[c]);
	}
	if (counters & 1u << C_MAX)
		grown &= row->n[C_MAX] >= before->n[C_MAX];
	if (row->n[C_MAX] == before->n[C_MAX]) {	/* the longest exit is older */
		row->hidden = row->n[C_TOTAL] ? row->n[C_MAX] : 0;
		row->n[C_MAX] = 0;
	}
	if (!before->hist) {		/* it was not read then */
		free(row->hist);
		row->hist = NULL;
	}
	for (int i = 0; row->hist && i < BUCKETS; i++)
		grown &= subtract(&row->hist[i], before->hist[i]);
	return grown;
}

static bool row_idle(const struct row *row)
{
	for (int c = 0; c < N_COUNTERS; c++) {
		if (row->n[c])
			return false;
	}
	return true;
}

/* A counter that only the later reading has gives no difference. Nothing may add up with it. */
static void forget_unknown(struct row *row, unsigned int counters)
{
	for (int c = 0; c < N_COUNTERS; c++) {
		if (!(counters & 1u << c))
			row->n[c] = 0;
	}
}

/*
 * account_subtract() - turn `a` into the difference to an earlier reading. `max` is
 * known only if it rose. Returns false if the counters were cleared meanwhile: then
 * no counter is known and no row is left.
 */
bool account_subtract(struct account *a, const struct account *before)
{
	size_t left = 0;
	bool grown = a->keyed == before->keyed;
	struct row *row;

	if (a->recorded) {
		recorded_subtract(a, before);
		return true;
	}
	a->counters &= before->counters;
	for (size_t i = 0; i < a->nrows; i++)
		forget_unknown(&a->rows[i], a->counters);
	forget_unknown(&a->sum, a->counters);
	if (grown && a->keyed)
		grown = keys_subtract(a, before);
	for (size_t i = 0; i < before->nrows && !a->keyed; i++) {
		row = account_row(a, before->rows[i].key, NULL);
		grown = row && row_subtract(row, &before->rows[i], a->counters) && grown;
	}
	if (!a->keyed)
		grown &= row_subtract(&a->sum, &before->sum, a->counters);
	if (!account_knows(before, K_GUEST))
		a->keys &= ~(1u << K_GUEST);
	if (account_knows(a, K_GUEST))
		grown &= subtract(&a->key[K_GUEST], before->key[K_GUEST]);

	for (size_t i = 0; i < a->nrows; i++) {
		if (!grown || row_idle(&a->rows[i]))
			free(a->rows[i].hist);
		else
			a->rows[left++] = a->rows[i];
	}
	a->nrows = left;
	if (a->keyed)
		keys_sum(a);
	if (!grown) {
		free(a->sum.hist);
		a->sum = row_of_sums();
		a->counters = 0;
		a->keys &= ~(1u << K_GUEST | 1u << K_REPLACED);
	}
	return grown;
}

/*
 * row_add() - add the counters of `from` to those of `to`. The sum has a histogram only if
 * all of its exits are in one: a percentile of a part is none of the whole.
 */
void row_add(struct row *to, const struct row *from)
{
	bool whole = (to->hist || !to->n[C_EXITS]) && (from->hist || !from->n[C_EXITS]);

	for (int c = 0; c < C_MAX; c++)
		to->n[c] += from->n[c];
	if (from->n[C_MAX] > to->n[C_MAX])
		to->n[C_MAX] = from->n[C_MAX];
	if (from->hidden > to->hidden)
		to->hidden = from->hidden;
	if (!whole) {
		free(to->hist);
		to->hist = NULL;
	}
	if (!whole || !from->hist)
		return;
	if (!to->hist) {
		row_hist_copy(to, from->hist);
		return;
	}
	for (int i = 0; i < BUCKETS; i++)
		to->hist[i] += from->hist[i];
}

/*
 * row_lost() - the cycles in which the guest wanted to run and could not: total minus
 * halt (it did not want to run) minus stop. Of keys it is their total. If a part is not
 * known, as in a guest, the handler's cycles take its place, for shares and for sorting.
 */
uint64_t row_lost(const struct row *row, const struct account *a)
{
	uint64_t lost = row->n[C_TOTAL] - row->n[C_HALT] - row->n[C_STOP];

	if (!account_has_lost(a) && !(a->keyed && account_has(a, C_TOTAL)))
		return row->n[C_CYCLES];
	return lost <= row->n[C_TOTAL] ? lost : 0;
}

/*
 * row_max() - the largest total in cycles, or 0 if it is not known. In a difference
 * it is known only if no earlier exit was longer.
 */
uint64_t row_max(const struct row *row)
{
	return row->n[C_MAX] >= row->hidden ? row->n[C_MAX] : 0;
}

/* The products of a large account need 128 bits. */
static bool reaches(uint64_t below, uint64_t all, unsigned int per_100000)
{
	return (unsigned __int128)below * 100000 >= (unsigned __int128)all * per_100000;
}

/*
 * row_percentile() - in *bound the cycles that so many of 100000 exits did not exceed:
 * the end of a bucket, or max if that is smaller. False if it is not known: there is no
 * histogram, or it is in the last bucket, which has no end, and max is not known.
 */
bool row_percentile(const struct row *row, const struct account *a, unsigned int per_100000,
		    uint64_t *bound)
{
	uint64_t all = 0, below = 0, max = account_has(a, C_MAX) ? row_max(row) : 0;
	int i;

	if (!row->hist)
		return false;
	for (i = 0; i < BUCKETS; i++)
		all += row->hist[i];
	if (!all)
		return false;
	for (i = 0; i < BUCKETS - 1; i++) {
		below += row->hist[i];
		if (reaches(below, all, per_100000))
			break;
	}
	*bound = bucket_high(i);
	if (max >= bucket_low(i) && max < *bound && max)
		*bound = max;
	return *bound != UINT64_MAX;
}
