/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf_state.h - the BPF program as it runs, for bpf.c, bpf_read.c and bpf_gone.c. */
#ifndef BPF_STATE_H
#define BPF_STATE_H

#include "account.h"
#include "bpf_kernel.h"
#include "files.h"

#define SLOW_US 1000	/* as the patches' at first */

struct exits;

struct bpf_state {
	struct exits *skel;
	struct bpf_kernel kernel;
	bool functions;			/* and not tracepoints alone */
	bool with_keys;
	unsigned int counters;
	/* As the kernel writes them. */
	const struct exit_thread *threads;
	const struct exit_row *rows;
	const struct exit_key *keys;
	const struct exit_slows *slows;
	const volatile uint32_t *threads_used, *rows_used, *keys_used;
	const volatile uint64_t *gone_guest;
	/* The maps, to give back what threads that have ended had. */
	struct {
		int threads, rows, keys, slows, thread_ids, key_ids, free_threads, free_rows, free_keys;
	} fd;
	/* Of threads that have ended. */
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
