/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf_state.h - the running BPF program and its maps, for bpf.c, bpf_read.c and bpf_gone.c. */
#ifndef BPF_STATE_H
#define BPF_STATE_H

#include "account.h"
#include "bpf_kernel.h"
#include "files.h"

#define SLOW_US 1000	/* the patches' default too */

struct exits;

struct bpf_state {
	struct exits *skel;
	struct bpf_kernel kernel;
	bool functions;			/* functions are traced, not only tracepoints */
	bool with_keys;
	unsigned int counters;
	/* Mapped memory; the BPF program writes it. */
	const struct exit_thread *threads;
	const struct exit_row *rows;
	const struct exit_key *keys;
	const struct exit_slows *slows;
	const volatile uint32_t *threads_used, *rows_used, *keys_used;
	const volatile uint64_t *gone_guest;
	/* The maps, needed to free the entries of threads that have ended. */
	struct {
		int threads, rows, keys, slows, thread_ids, key_ids, free_threads, free_rows, free_keys;
	} fd;
	/* The counts of threads that have ended. */
	struct exit_row gone[PLACES];
	uint64_t ended_guest;
	struct account gone_keys, gone_slow;
};

extern struct bpf_state bpf;

static inline bool row_there(uint32_t number)
{
	return number && number <= MAX_ROWS;
}

const struct exit_thread *next_thread(uint32_t *n);
void vm_of(char *vm, size_t size, const struct exit_thread *t);

/* bpf_gone.c */
void bpf_fold_ended(void);

/* bpf_read.c */
void name_place(char *name, size_t size, uint32_t place);
void add_key(struct account *a, const struct exit_key *key, uint32_t place);
void add_slows(struct account *a, const struct exit_thread *t, bool all);
bool is_of(const struct exit_thread *t, const char *dir);
enum read_result bpf_read(const char *dir, enum read_what what, struct account *a);

#endif
