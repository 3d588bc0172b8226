// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf.c - the source that needs no patches: bpf/exits.bpf.c counts while exitdump runs.
 * Its links and maps are file descriptors and nothing else, so they go with the process,
 * however that ends.
 */
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "source.h"

#ifndef HAVE_BPF

int bpf_attach(bool keys)
{
	(void)keys;
	return fail("--bpf: this exitdump was built without it (make clean tool says what is missing)");
}

int bpf_explain(void)
{
	return bpf_attach(true);
}

static int begin(struct sample *s, const struct pick *pick)
{
	(void)s;
	(void)pick;
	return bpf_attach(false);
}

const struct source source_bpf = { .begin = begin };

#else

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bpf_kernel.h"
#include "exits.skel.h"
#include "reasons.h"

#define SLOW_US 1000	/* as the patches' at first */
#define GONE_KEYS 4096

static struct {
	struct exits *skel;
	struct bpf_kernel kernel;
	bool functions;			/* and not tracepoints alone */
	bool keys;
	unsigned int counters;
	/* As the kernel writes them. */
	const struct exit_thread *threads;
	const struct exit_row *rows;
	const struct exit_key *keyed;
	const struct exit_slows *slows;
	/* Of threads that have ended. */
	struct exit_row gone[PLACES];
	uint64_t gone_guest;
	struct account gone_keys, gone_slow;
} bpf;

static char complaint[256];	/* the last of libbpf's */

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(complaint, sizeof(complaint), format, args);
	complaint[strcspn(complaint, "\n")] = '\0';
	return 0;
}

/* Both ends of a function are traced, or neither. */
static void trace(struct bpf_program *entry, struct bpf_program *end, bool wanted)
{
	bpf_program__set_autoload(entry, wanted);
	bpf_program__set_autoload(end, wanted);
}

static void detach(void)
{
	if (bpf.threads)
		munmap((void *)bpf.threads, MAX_THREADS * sizeof(*bpf.threads));
	if (bpf.rows)
		munmap((void *)bpf.rows, MAX_ROWS * sizeof(*bpf.rows));
	if (bpf.keyed)
		munmap((void *)bpf.keyed, MAX_KEYS * sizeof(*bpf.keyed));
	if (bpf.slows)
		munmap((void *)bpf.slows, MAX_THREADS * sizeof(*bpf.slows));
	exits__destroy(bpf.skel);
	account_free(&bpf.gone_keys);
	account_free(&bpf.gone_slow);
	memset(&bpf, 0, sizeof(bpf));
}

/* With both ends of functions, of the handler where it has a name, or tracepoints alone. */
static int load(const char *handler, bool functions)
{
	struct exits *skel = exits__open();
	int error = 0;

	if (!skel)
		return -errno;
	bpf.skel = skel;
	skel->rodata->svm = !strcmp(bpf.kernel.vendor, "svm");
	skel->rodata->cycle_mult = (bpf.kernel.tsc_khz << CYCLE_SHIFT) / 1000000;
	skel->rodata->at = bpf.kernel.at;
	skel->rodata->with_keys = bpf.keys;
	memcpy((void *)skel->rodata->key_from, bpf.kernel.key_from, sizeof(bpf.kernel.key_from));
	skel->rodata->slow_ns = SLOW_US * 1000;
	trace(skel->progs.on_handler, skel->progs.on_handled, functions && handler);
	trace(skel->progs.on_run, skel->progs.on_left, functions);
	trace(skel->progs.on_block, skel->progs.on_blocked, functions);
	trace(skel->progs.on_mmio, skel->progs.on_fast_mmio, bpf.keys);
	bpf_program__set_autoload(skel->progs.on_userspace, !functions);
	if (functions && handler)
		error = bpf_program__set_attach_target(skel->progs.on_handler, 0, handler) ?:
			bpf_program__set_attach_target(skel->progs.on_handled, 0, handler);
	error = error ?: exits__load(skel) ?: exits__attach(skel);
	if (error) {
		exits__destroy(skel);
		bpf.skel = NULL;
		return error;
	}
	bpf.functions = functions;
	bpf.counters = 1u << C_EXITS | 1u << C_TOTAL | 1u << C_HALT | 1u << C_USER |
		1u << C_SCHED | 1u << C_STOP | 1u << C_SLOW | 1u << C_MAX | 1u << C_POLL;
	if (functions && handler)
		bpf.counters |= 1u << C_CYCLES | 1u << C_HSCHED;
	return 0;
}

static const void *map_of(const struct bpf_map *map, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);

	return at == MAP_FAILED ? NULL : at;
}

/* bpf_attach() - from now on it counts, with keys or without. 0, or -1 with the failure told. */
int bpf_attach(bool keys)
{
	int error;

	if (bpf.skel && (bpf.keys || !keys))
		return 0;
	if (bpf.skel)
		detach();
	libbpf_set_print(keep_complaint);
	if (bpf_kernel_find(&bpf.kernel))
		return -1;
	bpf.keys = keys;
	error = load(bpf.kernel.handler, true);
	if (error && bpf.kernel.handler)
		error = load(NULL, true);
	if (error)
		error = load(NULL, false);
	if (error)
		return fail("--bpf: this kernel refuses its program: %s (%s)", strerror(-error), complaint);
	bpf.threads = map_of(bpf.skel->maps.threads, MAX_THREADS * sizeof(*bpf.threads));
	bpf.rows = map_of(bpf.skel->maps.rows, MAX_ROWS * sizeof(*bpf.rows));
	bpf.keyed = map_of(bpf.skel->maps.keys, MAX_KEYS * sizeof(*bpf.keyed));
	bpf.slows = map_of(bpf.skel->maps.slows, MAX_THREADS * sizeof(*bpf.slows));
	if (bpf.threads && bpf.rows && bpf.keyed && bpf.slows)
		return 0;
	fail("--bpf: its counters cannot be read: %s", strerror(errno));
	detach();
	return -1;
}

static uint64_t cycles(uint64_t ns)
{
	return (unsigned __int128)ns * bpf.kernel.tsc_khz / 1000000;
}

static int64_t reason_at(uint32_t place)
{
	return place < PLACE_HIGH ? place : place < PLACE_ERROR ? 0x400 + place - PLACE_HIGH :
		place == PLACE_ERROR ? UINT32_MAX : REASON_OTHER;
}

static void name_place(char *name, size_t size, uint32_t place)
{
	int64_t reason = reason_at(place);

	if (reason == REASON_OTHER)
		snprintf(name, size, "OTHER");
	else
		reason_name(name, size, !strcmp(bpf.kernel.vendor, "svm"), reason);
}

/* The row of a key of a place; of place alone where `key` is 0. */
static struct row *row_of(struct account *a, uint32_t place, uint64_t key)
{
	struct row_key row_key = { .reason = reason_at(place), .key = key };
	char name[sizeof(((struct row *)0)->name)];

	name_place(name, sizeof(name), place);
	return account_row(a, row_key, name);
}

/*
 * All of one moment: the exits, which are counted first, are as many as there are in the
 * histogram, which is last, if none was counted in between. They are read in that order
 * backwards.
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

static void add_key(struct account *a, const struct exit_key *key, uint32_t place)
{
	struct row one = { 0 };

	one.n[C_EXITS] = key->exits;
	one.n[C_CYCLES] = cycles(key->handler);
	one.n[C_TOTAL] = cycles(key->total);
	one.n[C_MAX] = cycles(key->max);
	row_add(row_of(a, place, key->key), &one);
}

static void add_slow(struct account *a, const struct exit_thread *t, const struct exit_slow *from)
{
	struct slow slow = { .time = from->time, .rip = from->rip, .vm = t->pid, .vcpu = t->vcpu_id,
			     .cpu = from->cpu };
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

/* One that is being written is left for the next time. */
static void add_slows(struct account *a, const struct exit_thread *t)
{
	struct exit_slow one, again;

	for (int i = 0; i < SLOW_A_VCPU; i++) {
		one = *(const volatile struct exit_slow *)&bpf.slows[t->number].last[i];
		again = *(const volatile struct exit_slow *)&bpf.slows[t->number].last[i];
		if (one.begun && one.begun == one.done && !memcmp(&one, &again, sizeof(one)))
			add_slow(a, t, &one);
	}
	a->key[K_LOST] += t->slows > SLOW_A_VCPU ? t->slows - SLOW_A_VCPU : 0;
}

static bool row_there(uint32_t number)
{
	return number && number <= MAX_ROWS;
}

/* A row that nobody writes any more: its counts go to those of its place, and it is free. */
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
	bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.rows), &n, &zero, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.free_rows), NULL, &n, BPF_ANY);
}

/* The same of the keys of rows that are marked. Memory is bounded: later ones are in none. */
static void fold_keys(const bool *marked)
{
	static const struct exit_key zero;
	uint32_t used = bpf.skel->bss->keys_used;
	struct { uint64_t key; uint32_t row, unused; } id = { 0 };

	for (uint32_t n = 0; n < used && n < MAX_KEYS; n++) {
		const struct exit_key *key = &bpf.keyed[n];

		if (!row_there(key->row) || !marked[key->row - 1])
			continue;
		id.key = key->key;
		id.row = key->row;
		if (bpf.gone_keys.nrows < GONE_KEYS)
			add_key(&bpf.gone_keys, key, bpf.rows[key->row - 1].place);
		bpf_map_delete_elem(bpf_map__fd(bpf.skel->maps.key_ids), &id);
		bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.keys), &n, &zero, BPF_ANY);
		bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.free_keys), NULL, &n, BPF_ANY);
	}
}

/* Of those that have ended the last ones are kept. */
static void fold_slows(const struct exit_thread *t)
{
	static const struct exit_slows zero;
	struct account *gone = &bpf.gone_slow;
	size_t over;

	add_slows(gone, t);
	over = gone->nrows > SLOW_A_VCPU ? gone->nrows - SLOW_A_VCPU : 0;
	for (size_t i = 0; i < over; i++)
		row_free(&gone->rows[i]);
	memmove(gone->rows, gone->rows + over, (gone->nrows - over) * sizeof(*gone->rows));
	gone->nrows -= over;
	gone->key[K_LOST] += over;
	bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.slows), &t->number, &zero, BPF_ANY);
}

/* A vCPU's thread that has ended makes room for others. */
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
	bpf.gone_guest += t->guest;
	bpf_map_delete_elem(bpf_map__fd(bpf.skel->maps.thread_ids), &tid);
	bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.threads), &n, &zero, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.free_threads), NULL, &n, BPF_ANY);
}

static bool has_ended(const struct exit_thread *t)
{
	char task[64];

	snprintf(task, sizeof(task), "/proc/%u/task/%u", t->pid, t->tid);
	return access(task, F_OK);
}

/* next_thread() - the next one from *n on that has had an exit, or NULL. */
static const struct exit_thread *next_thread(uint32_t *n)
{
	uint32_t used = bpf.skel->bss->threads_used;

	for (; *n < used && *n < MAX_THREADS; ++*n) {
		if (bpf.threads[*n].tid && bpf.threads[*n].pid)
			return &bpf.threads[(*n)++];
	}
	return NULL;
}

/* The name that debugfs gives the VM of a thread, or that it would. */
static void vm_of(char *vm, size_t size, const struct exit_thread *t)
{
	if (*t->vm)
		snprintf(vm, size, "%.23s", t->vm);
	else
		snprintf(vm, size, "%u-0", t->pid);
}

/*
 * How often the kernel did not run a program, as a thread that it had interrupted in the
 * same one was not through with it on that CPU.
 */
static uint64_t skipped(void)
{
	struct bpf_program *program;
	uint64_t n = 0;

	bpf_object__for_each_program(program, bpf.skel->obj) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size))
			n += info.recursion_misses;
	}
	return n;
}

static int begin(struct sample *s, const struct pick *pick)
{
	const struct exit_thread *t;

	if (pick->once && !bpf.skel)
		return fail("--bpf: counts from now on, so give it an interval (exitdump --bpf 1), top or run");
	if (bpf_attach(pick->keys || pick->slow))
		return -1;
	for (uint32_t n = 0; (t = next_thread(&n)); ) {
		if (has_ended(t))
			fold_thread(t);
	}
	s->uncounted = bpf.skel->bss->lost + skipped();
	return 0;
}

/* Whether a thread's exits are of this folder's account. */
static bool is_of(const struct exit_thread *t, const char *dir)
{
	char vm[24], vcpu[64];

	if (!*dir)
		return true;
	vm_of(vm, sizeof(vm), t);
	snprintf(vcpu, sizeof(vcpu), "%s/vcpu%u", vm, t->vcpu_id);
	return !strcmp(dir, vm) || !strcmp(dir, vcpu);
}

/* The rows of a folder's threads; of the host's "" also those whose thread runs another vCPU. */
static void mark_rows(bool *marked, const char *dir)
{
	const struct exit_thread *t;

	memset(marked, !*dir, MAX_ROWS * sizeof(*marked));
	for (uint32_t n = 0; *dir && (t = next_thread(&n)); ) {
		for (int i = 0; is_of(t, dir) && i < PLACES; i++) {
			if (row_there(t->row[i]))
				marked[t->row[i] - 1] = true;
		}
	}
}

static void read_rows(struct account *a, const bool *marked, bool host)
{
	static const uint64_t none[BUCKETS];
	uint32_t used = bpf.skel->bss->rows_used;

	a->counters = bpf.counters;
	a->has_hist = true;
	row_hist_copy(&a->sum, none);
	for (uint32_t n = 0; n < used && n < MAX_ROWS; n++) {
		if (marked[n])
			add_row(a, &bpf.rows[n], bpf.rows[n].place);
	}
	for (uint32_t i = 0; host && i < PLACES; i++)
		add_row(a, &bpf.gone[i], i);
}

/* What a reason has beyond its keys is in KEY_REST, if there is any. */
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

/* Keys are read first: they are never more than their rows. */
static void read_keys(struct account *a, const bool *marked, bool host)
{
	uint32_t used = bpf.skel->bss->keys_used;
	struct account rows = { .sum = row_of_sums() };

	a->keyed = true;
	a->counters = bpf.counters & (1u << C_EXITS | 1u << C_CYCLES | 1u << C_TOTAL | 1u << C_MAX);
	for (uint32_t n = 0; n < used && n < MAX_KEYS; n++) {
		const struct exit_key *key = &bpf.keyed[n];

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
			add_slows(a, t);
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

/* The time in the guest, and of the host the numbers of VMs and vCPUs that have had an exit. */
static void read_head(struct account *a, const char *dir)
{
	const struct exit_thread *t, *other;
	uint64_t guest = *dir ? 0 : bpf.skel->bss->gone_guest + bpf.gone_guest;
	bool seen;

	for (uint32_t n = 0; (t = next_thread(&n)); ) {
		if (!is_of(t, dir))
			continue;
		guest += t->guest;
		seen = false;
		for (uint32_t k = 0; !seen && (other = next_thread(&k)) && other != t; )
			seen = other->pid == t->pid && !strcmp(other->vm, t->vm);
		a->key[K_VMS] += !seen;
		a->key[K_VCPUS]++;
	}
	a->key[K_GUEST] = cycles(guest);
	a->key[K_TSC_KHZ] = bpf.kernel.tsc_khz;
	a->keys |= 1u << K_GUEST | 1u << K_TSC_KHZ;
	if (!*dir)
		a->keys |= 1u << K_VMS | 1u << K_VCPUS;
}

static enum read_result read_bpf(const struct pick *pick, const char *dir, enum read_what what,
				 struct account *a)
{
	static bool marked[MAX_ROWS];

	(void)pick;
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

/* What KVM's debugfs shows, and where that cannot be read who had an exit. */
static int bpf_vms(const struct pick *pick, struct vm_id **vms, size_t *n)
{
	const struct exit_thread *t;
	struct vm_id vm;
	char name[24];
	size_t k;

	if (!list_vm_dirs(pick->root, vms, n))
		return 0;
	for (uint32_t i = 0; (t = next_thread(&i)); ) {
		vm_of(name, sizeof(name), t);
		if (sscanf(name, "%u-%u", &vm.pid, &vm.fd) != 2)
			continue;
		for (k = 0; k < *n && ((*vms)[k].pid != vm.pid || (*vms)[k].fd != vm.fd); k++)
			;
		if (k < *n)
			continue;
		*vms = need_room(*vms, *n, sizeof(**vms));
		(*vms)[(*n)++] = vm;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return x < y ? -1 : x > y;
}

static enum read_result bpf_vcpus(const struct pick *pick, struct vm_id vm, unsigned int **vcpus,
				  size_t *n)
{
	const struct exit_thread *t;
	char name[24];

	if (!list_vcpus(pick->root, vm, vcpus, n))
		return READ_OK;
	snprintf(name, sizeof(name), "%u-%u", vm.pid, vm.fd);
	for (uint32_t i = 0; (t = next_thread(&i)); ) {
		if (!is_of(t, name))
			continue;
		*vcpus = need_room(*vcpus, *n, sizeof(**vcpus));
		(*vcpus)[(*n)++] = t->vcpu_id;
	}
	if (*n)
		qsort(*vcpus, *n, sizeof(**vcpus), by_number);
	return *n ? READ_OK : READ_GONE;
}

static void explain(const char *what, bool told, const char *why)
{
	if (!told)
		printf("%-8s -  %s\n", what, why);
}

/* bpf_explain() - on standard output, what this kernel does not tell, and why. 0, or -1 with the failure told. */
int bpf_explain(void)
{
	const struct bpf_kernel *k = &bpf.kernel;
	const char *handler, *no_functions;
	char user[128], halt[128];
	bool cycles, svm;

	if (bpf_attach(true))
		return -1;
	cycles = bpf.counters & 1u << C_CYCLES;
	svm = !strcmp(k->vendor, "svm");
	no_functions = k->admin ? "this kernel cannot trace functions" : "to trace a module's functions takes CAP_SYS_ADMIN";
	handler = k->handler ? no_functions :
		"KVM's exit handler is in no BTF (CONFIG_DEBUG_INFO_BTF_MODULES)";
	printf("%s, %s: all columns are counted, but\n", *k->vendor ? k->vendor : "neither vmx nor svm",
	       cycles ? "by tracepoints and both ends of the exit handler" :
	       bpf.functions ? "by tracepoints and both ends of KVM's own functions" : "by tracepoints");
	explain("cycles", cycles, handler);
	explain("hsched", cycles, handler);
	snprintf(user, sizeof(user), "lasts up to the next entry: %s", no_functions);
	snprintf(halt, sizeof(halt), "lacks the wait to be started: %s", no_functions);
	explain("user", bpf.functions, user);
	explain("halt", bpf.functions, halt);
	explain("reason", *k->vendor, "kvm_intel or kvm_amd is not loaded");
	explain("total", !svm, "0 for what a fast path handles on Linux 6.1, which traces exits in the handler");
	explain("rip", svm && k->at.rip != NO_OFFSET, svm ? "not in this kernel's BTF" : "KVM has moved it on by the next entry");
	explain("perf", false, "BPF has no clock that perf and ftrace have");
	for (int place = 0; place < PLACES; place++) {
		char name[48];

		if (k->key_lacks[place]) {
			name_place(name, sizeof(name), place);
			printf("%-8s -  of %s: not in this kernel's BTF\n", "key", name);
		}
	}
	explain("key", false, "beyond the first 64 of a vCPU");
	return 0;
}

const struct source source_bpf = {
	.begin = begin, .read = read_bpf, .vms = bpf_vms, .vcpus = bpf_vcpus,
};

#endif
