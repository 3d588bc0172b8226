// SPDX-License-Identifier: GPL-2.0-only
/* bpf_read.c - make accounts from the BPF program's maps, which count in ns. */
#ifdef HAVE_BPF

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bpf_state.h"
#include "reasons.h"

static uint64_t cycles(uint64_t ns)
{
	return (unsigned __int128)ns * bpf.kernel.tsc_khz / 1000000;
}

static int64_t reason_at(uint32_t place)
{
	return place < PLACE_HIGH ? place : place < PLACE_ERROR ? 0x400 + place - PLACE_HIGH :
		place == PLACE_ERROR ? UINT32_MAX : REASON_OTHER;
}

void name_place(char *name, size_t size, uint32_t place)
{
	int64_t reason = reason_at(place);

	if (reason == REASON_OTHER)
		snprintf(name, size, "OTHER");
	else
		reason_name(name, size, !strcmp(bpf.kernel.vendor, "svm"), reason);
}

/* The account's row for a place and a key; 0 is no key. */
static struct row *row_of(struct account *a, uint32_t place, uint64_t key)
{
	struct row_key row_key = { .reason = reason_at(place), .key = key };
	char name[sizeof(((struct row *)0)->name)];

	name_place(name, sizeof(name), place);
	return account_row(a, row_key, name);
}

/*
 * Copy a row as it is at one moment. For each exit the program adds to `exits` first and
 * to the histogram last. This reads in the opposite order. If `exits` equals the sum of
 * the histogram, no exit was counted in between.
 */
static void copy_row(struct exit_row *to, const struct exit_row *from)
{
	const volatile __u64 *source = (const volatile __u64 *)from;
	__u64 *copy = (__u64 *)to, counted;
	int tries = 1000;

	do {
		counted = 0;
		for (int i = (int)(offsetof(struct exit_row, recent) / sizeof(*copy)) - 1; i > 0; i--) {
			copy[i] = source[i];
			if (i >= (int)(offsetof(struct exit_row, hist) / sizeof(*copy)))
				counted += copy[i];
		}
		to->exits = counted;
	} while (source[0] != counted && --tries);
}

static void add_row(struct account *a, const struct exit_row *from, uint32_t place)
{
	struct row one = { 0 };
	struct exit_row r;

	copy_row(&r, from);
	if (!r.exits)
		return;
	one.n[C_EXITS] = r.exits;
	one.n[C_CYCLES] = cycles(r.handler);
	one.n[C_TOTAL] = cycles(r.total);
	one.n[C_HALT] = cycles(r.halt);
	one.n[C_POLL] = cycles(r.poll);
	one.n[C_USER] = cycles(r.user);
	one.n[C_SCHED] = cycles(r.sched);
	one.n[C_HSCHED] = cycles(r.hsched);
	one.n[C_STOP] = cycles(r.stop);
	one.n[C_SLOW] = r.slow;
	one.n[C_MAX] = cycles(r.max);
	one.hist = (uint64_t *)r.hist;
	row_add(row_of(a, place, 0), &one);
	row_add(&a->sum, &one);
}

void add_key(struct account *a, const struct exit_key *key, uint32_t place)
{
	struct row one = { 0 };

	one.n[C_EXITS] = key->exits;
	one.n[C_CYCLES] = cycles(key->handler);
	one.n[C_TOTAL] = cycles(key->total);
	one.n[C_MAX] = cycles(key->max);
	row_add(row_of(a, place, key->key), &one);
}

static void add_slow(struct account *a, const struct exit_slow *from)
{
	struct slow slow = { .time = from->time, .rip = from->rip, .vm = from->pid,
			     .vcpu = from->vcpu_id, .cpu = from->cpu };
	struct row row = { .key = { .reason = reason_at(from->place), .key = from->key } };

	name_place(row.name, sizeof(row.name), from->place);
	row.n[C_CYCLES] = cycles(from->handler);
	row.n[C_TOTAL] = cycles(from->total);
	row.n[C_HALT] = cycles(from->halt);
	row.n[C_USER] = cycles(from->user);
	row.n[C_SCHED] = cycles(from->sched);
	row.n[C_HSCHED] = cycles(from->hsched);
	row.n[C_STOP] = cycles(from->stop);
	row_slow_copy(&row, &slow);
	*account_insert(a, a->nrows) = row;
}

/*
 * add_slows() - add a thread's slow exits: with `all` those of every vCPU that it has run,
 * else only those of its present vCPU. One that is being written is left for the next time.
 */
void add_slows(struct account *a, const struct exit_thread *t, bool all)
{
	struct exit_slow one, again;

	for (int i = 0; i < SLOW_A_VCPU; i++) {
		one = *(const volatile struct exit_slow *)&bpf.slows[t->number].last[i];
		again = *(const volatile struct exit_slow *)&bpf.slows[t->number].last[i];
		if (one.begun && one.begun == one.done && !memcmp(&one, &again, sizeof(one)) &&
		    (all || one.vcpu == t->vcpu))
			add_slow(a, &one);
	}
	a->key[K_LOST] += t->slows > SLOW_A_VCPU ? t->slows - SLOW_A_VCPU : 0;
}

/* is_of() - whether a thread's exits belong to the account of this folder. */
bool is_of(const struct exit_thread *t, const char *dir)
{
	char vm[24], vcpu[64];

	if (!*dir)
		return true;
	vm_of(vm, sizeof(vm), t);
	snprintf(vcpu, sizeof(vcpu), "%s/vcpu%u", vm, t->vcpu_id);
	return !strcmp(dir, vm) || !strcmp(dir, vcpu);
}

/* Mark the rows of a folder's threads. "", the host, has all rows: a thread may have changed its vCPU. */
static void mark_rows(bool *marked, const char *dir)
{
	const struct exit_thread *t;

	memset(marked, !*dir, MAX_ROWS * sizeof(*marked));
	for (uint32_t n = 0; *dir && (t = next_thread(&n)); ) {
		if (!is_of(t, dir))
			continue;
		for (int i = 0; i < PLACES; i++) {
			if (row_there(t->row[i]))
				marked[t->row[i] - 1] = true;
		}
	}
}

static void read_rows(struct account *a, const bool *marked, bool host)
{
	static const uint64_t none[BUCKETS];
	uint32_t used = *bpf.rows_used;

	a->counters = bpf.counters;
	row_hist_copy(&a->sum, none);
	for (uint32_t n = 0; n < used && n < MAX_ROWS; n++) {
		if (marked[n])
			add_row(a, &bpf.rows[n], bpf.rows[n].place);
	}
	for (uint32_t i = 0; host && i < PLACES; i++)
		add_row(a, &bpf.gone[i], i);
}

/* Put the exits of a reason that have no key into its row KEY_REST. */
static void add_rest(struct account *a, const struct account *rows)
{
	const struct row *row, *key;
	struct row rest;
	bool keyed;

	for (size_t i = 0; i < rows->nrows; i++) {
		row = &rows->rows[i];
		rest = (struct row){ .key = { row->key.reason, KEY_REST }, .hidden = UINT64_MAX };
		strcpy(rest.name, row->name);
		memcpy(rest.n, row->n, sizeof(rest.n));
		keyed = false;
		for (int place = 0; place < PLACES; place++)
			keyed |= reason_at(place) == row->key.reason && bpf.kernel.key_from[place];
		for (key = a->rows; key < a->rows + a->nrows; key++) {
			if (key->key.reason != row->key.reason)
				continue;
			keyed = true;
			for (int c = 0; c < C_MAX; c++)
				rest.n[c] -= key->n[c];
		}
		rest.n[C_MAX] = 0;
		if (keyed && rest.n[C_EXITS])
			*account_row(a, rest.key, rest.name) = rest;
	}
}

/* Keys are read before the rows, so that a reason never has fewer exits than its keys. */
static void read_keys(struct account *a, const bool *marked, bool host)
{
	uint32_t used = *bpf.keys_used;
	struct account rows = { .sum = row_of_sums() };

	a->keyed = true;
	a->counters = bpf.counters & (1u << C_EXITS | 1u << C_CYCLES | 1u << C_TOTAL | 1u << C_MAX);
	for (uint32_t n = 0; n < used && n < MAX_KEYS; n++) {
		const struct exit_key *key = &bpf.keys[n];

		if (row_there(key->row) && marked[key->row - 1])
			add_key(a, key, bpf.rows[key->row - 1].place);
	}
	for (size_t i = 0; host && i < bpf.gone_keys.nrows; i++)
		row_add(account_row(a, bpf.gone_keys.rows[i].key, bpf.gone_keys.rows[i].name),
			&bpf.gone_keys.rows[i]);
	read_rows(&rows, marked, host);
	add_rest(a, &rows);
	account_free(&rows);
	keys_sum(a);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void read_slow(struct account *a, const char *dir)
{
	const struct exit_thread *t;

	a->recorded = true;
	a->counters = bpf.counters & (1u << C_CYCLES | 1u << C_TOTAL | 1u << C_HALT | 1u << C_USER |
				      1u << C_SCHED | 1u << C_HSCHED | 1u << C_STOP);
	for (uint32_t n = 0; (t = next_thread(&n)); ) {
		if (is_of(t, dir))
			add_slows(a, t, !*dir);
	}
	for (size_t i = 0; !*dir && i < bpf.gone_slow.nrows; i++) {
		struct row row = bpf.gone_slow.rows[i];

		row_slow_copy(&row, row.slow);
		*account_insert(a, a->nrows) = row;
	}
	if (!*dir)
		a->key[K_LOST] += bpf.gone_slow.key[K_LOST];
	a->key[K_KEPT] = a->nrows;
	a->key[K_THRESHOLD] = SLOW_US;
	a->key[K_MONOTONIC] = clock_ns(CLOCK_MONOTONIC);
	a->key[K_REALTIME] = clock_ns(CLOCK_REALTIME);
	a->keys |= 1u << K_KEPT | 1u << K_LOST | 1u << K_THRESHOLD | 1u << K_MONOTONIC | 1u << K_REALTIME;
}

/* The guest cycles, and for the host the numbers of VMs and vCPUs that have had an exit. */
static void read_head(struct account *a, const char *dir)
{
	const struct exit_thread *t, *other;
	uint64_t guest = *dir ? 0 : *bpf.gone_guest + bpf.ended_guest;
	bool vm_seen, seen;

	for (uint32_t n = 0; (t = next_thread(&n)); ) {
		if (!is_of(t, dir))
			continue;
		guest += t->guest;
		vm_seen = seen = false;		/* by a thread before this one */
		for (uint32_t k = 0; !seen && (other = next_thread(&k)) && other != t; ) {
			if (other->pid == t->pid && !strcmp(other->vm, t->vm)) {
				vm_seen = true;
				seen = other->vcpu_id == t->vcpu_id;
			}
		}
		a->key[K_VMS] += !vm_seen;
		a->key[K_VCPUS] += !seen;
	}
	a->key[K_GUEST] = cycles(guest);
	a->key[K_TSC_KHZ] = bpf.kernel.tsc_khz;
	a->keys |= 1u << K_GUEST | 1u << K_TSC_KHZ;
	if (!*dir)
		a->keys |= 1u << K_VMS | 1u << K_VCPUS;
}

/* bpf_read() - the account of a folder, named as in KVM's debugfs. */
enum read_result bpf_read(const char *dir, enum read_what what, struct account *a)
{
	static bool marked[MAX_ROWS];

	memset(a, 0, sizeof(*a));
	strcpy(a->vendor, bpf.kernel.vendor);
	strcpy(a->scope, !*dir ? "host" : strchr(dir, '/') ? "vcpu" : "vm");
	a->sum = row_of_sums();
	read_head(a, dir);
	mark_rows(marked, dir);
	if (what == READ_KEYS)
		read_keys(a, marked, !*dir);
	else if (what == READ_SLOW)
		read_slow(a, dir);
	else
		read_rows(a, marked, !*dir);
	return READ_OK;
}

#endif
