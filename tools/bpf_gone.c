// SPDX-License-Identifier: GPL-2.0-only
/* bpf_gone.c - vCPU threads that have ended: keep their counts, free their map entries. */
#ifdef HAVE_BPF

#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bpf_state.h"

#define GONE_KEYS 4096

/* Nobody writes this row any more: add its counts to bpf.gone, and free it. */
static void fold_row(uint32_t n)
{
	static const struct exit_row zero;
	const struct exit_row *row = &bpf.rows[n];
	struct exit_row *to = &bpf.gone[row->place < PLACES ? row->place : PLACE_OTHER];
	const __u64 *from = (const __u64 *)row;
	__u64 max = to->max > row->max ? to->max : row->max;

	for (size_t i = 0; i < offsetof(struct exit_row, recent) / sizeof(*from); i++)
		((__u64 *)to)[i] += from[i];
	to->max = max;
	bpf_map_update_elem(bpf.fd.rows, &n, &zero, BPF_ANY);
	bpf_map_update_elem(bpf.fd.free_rows, NULL, &n, BPF_ANY);
}

/* Likewise for the keys of marked rows. At most GONE_KEYS are kept; later ones are dropped. */
static void fold_keys(const bool *marked)
{
	static const struct exit_key zero;
	uint32_t used = *bpf.keys_used;
	struct { uint64_t key; uint32_t row, unused; } id = { 0 };

	for (uint32_t n = 0; n < used && n < MAX_KEYS; n++) {
		const struct exit_key *key = &bpf.keys[n];

		if (!row_there(key->row) || !marked[key->row - 1])
			continue;
		id.key = key->key;
		id.row = key->row;
		if (bpf.gone_keys.nrows < GONE_KEYS)
			add_key(&bpf.gone_keys, key, bpf.rows[key->row - 1].place);
		bpf_map_delete_elem(bpf.fd.key_ids, &id);
		bpf_map_update_elem(bpf.fd.keys, &n, &zero, BPF_ANY);
		bpf_map_update_elem(bpf.fd.free_keys, NULL, &n, BPF_ANY);
	}
}

/* Keep the last slow exits of all ended threads. */
static void fold_slows(const struct exit_thread *t)
{
	static const struct exit_slows zero;
	struct account *gone = &bpf.gone_slow;
	size_t over;

	add_slows(gone, t, true);
	over = gone->nrows > SLOW_A_VCPU ? gone->nrows - SLOW_A_VCPU : 0;
	for (size_t i = 0; i < over; i++)
		row_free(&gone->rows[i]);
	memmove(gone->rows, gone->rows + over, (gone->nrows - over) * sizeof(*gone->rows));
	gone->nrows -= over;
	gone->key[K_LOST] += over;
	bpf_map_update_elem(bpf.fd.slows, &t->number, &zero, BPF_ANY);
}

/* Keep the counts of a thread that has ended, and free its entries for others. */
static void fold_thread(const struct exit_thread *t)
{
	static const struct exit_thread zero;
	bool marked[MAX_ROWS] = { false };
	uint32_t tid = t->tid, n = t->number;

	for (int i = 0; i < PLACES; i++) {
		if (row_there(t->row[i]))
			marked[t->row[i] - 1] = true;
	}
	if (t->keys)
		fold_keys(marked);
	if (t->slows)
		fold_slows(t);
	for (uint32_t i = 0; i < MAX_ROWS; i++) {
		if (marked[i])
			fold_row(i);
	}
	bpf.ended_guest += t->guest;
	bpf_map_delete_elem(bpf.fd.thread_ids, &tid);
	bpf_map_update_elem(bpf.fd.threads, &n, &zero, BPF_ANY);
	bpf_map_update_elem(bpf.fd.free_threads, NULL, &n, BPF_ANY);
}

static bool has_ended(const struct exit_thread *t)
{
	char task[64];

	snprintf(task, sizeof(task), "/proc/%u/task/%u", t->pid, t->tid);
	return access(task, F_OK);
}

/* bpf_fold_ended() - called before a reading: free the entries of threads that have ended. */
void bpf_fold_ended(void)
{
	const struct exit_thread *t;

	for (uint32_t n = 0; (t = next_thread(&n)); ) {
		if (has_ended(t))
			fold_thread(t);
	}
}

#endif
