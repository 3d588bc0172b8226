// SPDX-License-Identifier: GPL-2.0-only
/*
 * keys.c - sums and differences of accounts by key. KVM keeps few keys. If another key
 * replaces one, the exits of the replaced key move to the rest of its reason, and it
 * starts at 0 if it comes back. So the difference of a key is a lower bound. The rest is
 * the whole reason minus its keys.
 */
#include <stdlib.h>

#include "account.h"

/* The rows of a reason. */
struct reason {
	size_t from, to;
	struct row sum;
	bool keyed;	/* its exits have keys; else only those from L2 have */
};

static struct reason reason_at(const struct account *a, size_t at)
{
	struct reason r = { .from = at, .to = at };
	const struct row *row;

	for (; r.to < a->nrows && a->rows[r.to].key.reason == a->rows[at].key.reason; r.to++) {
		row = &a->rows[r.to];
		row_add(&r.sum, row);
		r.keyed |= row->key.key != KEY_L2 && (row->key.key != KEY_REST || r.to == at);
	}
	return r;
}

/* n -= by, but not below 0: a key may be one exit ahead of its reason. */
static void take_away(uint64_t *n, uint64_t by)
{
	*n -= by < *n ? by : *n;
}

/* Subtract a reason that both accounts have. Its last row must be the rest. */
static bool subtract(struct account *a, const struct reason *now,
		     const struct account *before, const struct reason *then)
{
	struct row *row, *rest = &a->rows[now->to - 1];
	struct row whole = now->sum, key;
	const struct row *old;

	if (!row_subtract(&whole, &then->sum, a->counters & ~(1u << C_MAX)))
		return false;
	for (row = &a->rows[now->from]; row < rest; row++) {
		old = account_row((struct account *)before, row->key, NULL);
		key = *row;
		if (!old || row_subtract(&key, old, a->counters))
			*row = key;
		else	/* it was replaced at least once */
			*row = (struct row){ .key = row->key };
		for (int c = 0; c < C_MAX; c++)
			take_away(&whole.n[c], row->n[c]);
	}
	for (int c = 0; c < C_MAX; c++)
		rest->n[c] = whole.n[c];
	return true;
}

static void make_rest(struct account *a, struct reason *r)
{
	const struct row first = a->rows[r->from];	/* rows may move */

	account_row(a, (struct row_key){ first.key.reason, KEY_REST }, first.name)->hidden = UINT64_MAX;
	r->to += a->rows[r->to - 1].key.key != KEY_REST;
}

/* keys_subtract() - as account_subtract(), but leaves the sum and idle rows as they are. */
bool keys_subtract(struct account *a, const struct account *before)
{
	struct reason now, then;
	size_t i = 0, j = 0;
	bool grown = true;

	while (i < a->nrows || j < before->nrows) {
		now = reason_at(a, i);
		then = reason_at(before, j);
		if (now.to > i && (then.to == j || a->rows[i].key.reason < before->rows[j].key.reason)) {
			/* A reason without keys: how many exits L1 had before is not known. */
			if (!now.keyed && a->rows[now.to - 1].key.key == KEY_REST)
				a->rows[now.to - 1] = (struct row){ .key = a->rows[now.to - 1].key };
			i = now.to;
		} else if (now.to == i || a->rows[i].key.reason > before->rows[j].key.reason) {
			grown &= !then.keyed;
			j = then.to;
		} else {
			make_rest(a, &now);
			grown = subtract(a, &now, before, &then) && grown;
			i = now.to;
			j = then.to;
		}
	}
	if (!account_knows(before, K_REPLACED))
		a->keys &= ~(1u << K_REPLACED);
	if (account_knows(a, K_REPLACED))
		take_away(&a->key[K_REPLACED], before->key[K_REPLACED]);
	return grown;
}

static int by_key(const void *a, const void *b)
{
	return row_key_compare(((const struct row *)a)->key, ((const struct row *)b)->key);
}

/* keys_settle() - put rows of keys in order, and add up those of the same key. */
void keys_settle(struct account *a)
{
	size_t left = 0;

	if (a->nrows)
		qsort(a->rows, a->nrows, sizeof(*a->rows), by_key);
	for (size_t i = 0; i < a->nrows; i++) {
		if (left && !row_key_compare(a->rows[left - 1].key, a->rows[i].key))
			row_add(&a->rows[left - 1], &a->rows[i]);
		else
			a->rows[left++] = a->rows[i];
	}
	a->nrows = left;
}

/* keys_sum() - make the account's sum from its rows: a file of keys has no sum. */
void keys_sum(struct account *a)
{
	a->sum = row_of_sums();
	for (size_t i = 0; i < a->nrows; i++)
		row_add(&a->sum, &a->rows[i]);
}
