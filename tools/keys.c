// SPDX-License-Identifier: GPL-2.0-only
/*
 * keys.c - sums and differences of accounts by key. KVM keeps few keys: one that gave
 * way to another has its exits in the rest of its reason from then on, and begins
 * anew when it is back. So of a key a difference is a lower bound, and the rest is
 * what the whole reason has beside its keys.
 */
#include "account.h"

/* The rows of a reason. */
struct reason {
	size_t from, to;
	struct row sum;
	bool keyed;	/* all its exits have keys, not those from L2 alone */
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

/* n -= by, but never below 0: a key may be an exit ahead of its row's. */
static void take_away(uint64_t *n, uint64_t by)
{
	*n -= by < *n ? by : *n;
}

/* Of a reason that both have; its rest is the last row, with room for one. */
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
		else	/* it gave way, at least once */
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

/* keys_subtract() - as account_subtract(), but for the sum and for rows that are idle. */
bool keys_subtract(struct account *a, const struct account *before)
{
	struct reason now, then;
	size_t i = 0, j = 0;
	bool grown = true;

	while (i < a->nrows || j < before->nrows) {
		now = reason_at(a, i);
		then = reason_at(before, j);
		if (now.to > i && (then.to == j || a->rows[i].key.reason < before->rows[j].key.reason)) {
			/* Of exits from L1 that have no keys nothing is known before. */
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

/* keys_sum() - of its rows: a file of keys has none. */
void keys_sum(struct account *a)
{
	a->sum = row_of_sums();
	for (size_t i = 0; i < a->nrows; i++)
		row_add(&a->sum, &a->rows[i]);
}
