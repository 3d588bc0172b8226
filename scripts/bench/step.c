// SPDX-License-Identifier: GPL-2.0-only
/*
 * step.c - the accounting step of one VM exit, compiled in user space from the
 * series' own arch/x86/kvm/exit_cycles.h (shims.h has the rest).
 *
 *	step scale ROUNDS	what the step costs on real CPUs, alone and with a
 *				neighbour, beside one global array of atomics
 *	step model		what the step does: RDTSCs and cache lines
 *
 * Prints lines of fields between tabs:
 *	none|account|global THREADS CYCLES	TSC cycles an exit: the median of the
 *		rounds in which the threads ran side by side. none is the loop
 *		with the one RDTSC that KVM has anyway
 *	slow PATH N		exits of scale that left the ordinary path: few
 *	model slow-path|fast-path rdtsc|written N	RDTSCs of an exit (including the
 *		one that KVM has anyway), and cache lines that it writes
 *
 * Exit status: 0; 1 failed; 2 usage; 77 scale needs two CPUs and has one.
 */
#define _GNU_SOURCE
#include "shims.h"
#include "exit_cycles.h"

#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH		4000
#define MAX_ROUNDS	10000
#define REASONS		64
#define ACCOUNT_SIZE	(sizeof(struct kvm_exit_cycles) + (REASONS + 1) * sizeof(struct kvm_exit_cycles_row))

enum way { NONE, ACCOUNT, GLOBAL, WAYS };
static const char *const ways[WAYS] = { "none", "account", "global" };

/* VMX reasons, with a row each: CPUID, I/O, HLT, WRMSR, EPT violation. */
static const u32 codes[] = { 10, 30, 12, 32, 48, 10, 30, 48 };

static struct worker {
	struct kvm_vcpu vcpu ____cacheline_aligned;
	u64 begin, end;
	pthread_t thread;
	int cpu;
} workers[2];

/* The design that was sketched first: one array of atomics, and its sums. */
static struct {
	_Atomic u64 exits[REASONS], cycles[REASONS];
	_Atomic u64 all_exits ____cacheline_aligned;
	_Atomic u64 all_cycles;
} global ____cacheline_aligned;

static struct {
	_Atomic unsigned int arrived, round;
} gate ____cacheline_aligned;

static enum way way;
static int threads;
static _Atomic bool done;
static _Atomic unsigned long slow_entries, slow_ends;

u16 kvm_exit_cycles_map[KVM_EXIT_CYCLES_MASK + 1];

/* Out of line in the kernel. Here it counts its calls and continues the account. */
void kvm_exit_cycles_close_slow(struct kvm_vcpu *vcpu, u64 now)
{
	vcpu->arch.exit_stamps.entry = now;
	slow_entries++;
}

void kvm_exit_cycles_fastpath_handled(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
	slow_ends++;
}

/* The rows here have no keys. */
struct kvm_exit_cycles_key *kvm_exit_cycles_latch_key(struct kvm_vcpu *vcpu, u64 key)
{
	(void)vcpu;
	(void)key;
	return NULL;
}

static u64 get_key(struct kvm_vcpu *vcpu, u32 code)
{
	(void)vcpu;
	return code;
}

static __always_inline void handler(void)
{
	asm volatile("" : : : "memory");
}

static __always_inline void exit_account(struct kvm_vcpu *vcpu, u32 code)
{
	kvm_exit_cycles_exit(vcpu, rdtsc());
	kvm_exit_cycles_start(vcpu, code, get_key);
	handler();
	kvm_exit_cycles_end(vcpu);
	kvm_exit_cycles_entry(vcpu);
}

static __always_inline void exit_fastpath(struct kvm_vcpu *vcpu, u32 code)
{
	kvm_exit_cycles_fastpath_start(vcpu, code, get_key);
	kvm_exit_cycles_fastpath_end(vcpu, EXIT_FASTPATH_REENTER_GUEST);
	kvm_exit_cycles_entry(vcpu);
}

static __always_inline void exit_global(struct kvm_vcpu *vcpu, u32 code)
{
	u64 start, cycles;

	vcpu->arch.exit_stamps.exit = rdtsc();
	start = rdtsc();
	handler();
	cycles = rdtsc() - start;
	global.exits[code]++;
	global.cycles[code] += cycles;
	global.all_exits++;
	global.all_cycles += cycles;
}

static __always_inline void exit_none(struct kvm_vcpu *vcpu, u32 code)
{
	(void)code;
	vcpu->arch.exit_stamps.exit = rdtsc();
	handler();
}

#define LOOP(step)								\
	for (int i = 0; i < BATCH; i++)						\
		step(vcpu, ((const volatile u32 *)codes)[i % 8])

static void batch(struct worker *w)
{
	struct kvm_vcpu *vcpu = &w->vcpu;

	w->begin = __builtin_ia32_rdtsc();
	switch (way) {
	case NONE:	LOOP(exit_none); break;
	case ACCOUNT:	LOOP(exit_account); break;
	default:	LOOP(exit_global); break;
	}
	w->end = __builtin_ia32_rdtsc();
}

/* Both threads spin, so that they leave this function at the same moment. */
static void meet(void)
{
	unsigned int round = gate.round;

	if (++gate.arrived == (unsigned int)threads) {
		gate.arrived = 0;
		gate.round++;
	} else {
		while (gate.round == round)
			__builtin_ia32_pause();
	}
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "sched_setaffinity: CPU %d", cpu);
}

static void *neighbour(void *arg)
{
	struct worker *w = arg;

	pin(w->cpu);
	for (;;) {
		meet();
		if (done)
			return NULL;
		batch(w);
		meet();
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Two batches count as side by side if they overlap for nine tenths of the longer one. */
static bool side_by_side(void)
{
	const struct worker *a = &workers[0], *b = &workers[1];
	u64 begin = a->begin > b->begin ? a->begin : b->begin;
	u64 end = a->end < b->end ? a->end : b->end;
	u64 x = a->end - a->begin, y = b->end - b->begin;

	return threads == 1 || (end > begin && (end - begin) * 10 > (x > y ? x : y) * 9);
}

static void measure(double *cycles, int *n)
{
	if (threads == 2)
		meet();
	batch(&workers[0]);
	if (threads == 2)
		meet();
	if (side_by_side())
		cycles[(*n)++] = (double)(workers[0].end - workers[0].begin) / BATCH;
}

/* The ways take turns, so that other work on the machine affects all of them alike. */
static void measure_ways(int rounds)
{
	static double cycles[WAYS][MAX_ROUNDS];
	int n[WAYS] = { 0 };

	for (int i = 0; i < rounds; i++)
		for (way = 0; way < WAYS; way++)
			measure(cycles[way], &n[way]);
	for (way = 0; way < WAYS; way++) {
		if (n[way] < rounds / 20 || !n[way])
			errx(1, "%s: the two threads ran side by side in only %d of %d rounds (is the machine busy?)",
			     ways[way], n[way], rounds);
		qsort(cycles[way], n[way], sizeof(**cycles), by_value);
		printf("%s\t%d\t%.1f\n", ways[way], threads, cycles[way][n[way] / 2]);
	}
}

static void create(struct worker *w)
{
	struct kvm_exit_cycles *account = aligned_alloc(4096, (ACCOUNT_SIZE + 4095) & -4096ul);

	if (!account)
		err(1, "aligned_alloc");
	memset(account, 0, ACCOUNT_SIZE);
	for (int i = 0; i <= REASONS; i++)
		account->rows[i].limit = BIT_ULL(KVM_EXIT_CYCLES_BUCKETS - 2);
	w->vcpu.arch.exit_stamps.account = account;
	w->vcpu.arch.exit_stamps.row = &account->rows[REASONS];
	w->vcpu.arch.exit_stamps.entry = __builtin_ia32_rdtsc();
}

static void scale(int rounds)
{
	cpu_set_t allowed;
	int cpu = 0, n = 0;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET(cpu, &allowed))
			workers[n++].cpu = cpu;
	if (n < 2) {
		warnx("only one CPU to run on");
		exit(77);
	}
	pin(workers[0].cpu);
	threads = 1;
	measure_ways(rounds);
	threads = 2;
	if (pthread_create(&workers[1].thread, NULL, neighbour, &workers[1]))
		errx(1, "pthread_create failed");
	measure_ways(rounds);
	done = true;
	meet();
	pthread_join(workers[1].thread, NULL);
	printf("slow\tentry\t%lu\nslow\tend\t%lu\n", slow_entries, slow_ends);
}

/* Returns how many cache lines differ between now and before. */
static int changed(const void *now, const void *before, size_t size)
{
	int lines = 0;

	for (size_t i = 0; i < size; i += 64)
		lines += memcmp((const char *)now + i, (const char *)before + i,
				size - i < 64 ? size - i : 64) != 0;
	return lines;
}

/* The number of different stamps: each RDTSC returned another value. */
static int rdtscs(const struct kvm_exit_stamps *stamps)
{
	return 1 + (stamps->start != stamps->exit) + (stamps->end != stamps->start) +
	       (stamps->entry != stamps->end);
}

#define MODEL(name, step)							\
do {										\
	for (int i = 0; i < 3; i++) {						\
		old_vcpu = *vcpu;						\
		memcpy(old, account, ACCOUNT_SIZE);				\
		step(vcpu, 10);							\
	}									\
	printf("model\t%s\trdtsc\t%d\n", name, rdtscs(&vcpu->arch.exit_stamps));	\
	printf("model\t%s\twritten\t%d\n", name,				\
	       changed(account, old, ACCOUNT_SIZE) +				\
	       changed(vcpu, &old_vcpu, sizeof(*vcpu)));			\
} while (0)

/* Looks at the third exit: then nothing is the first of its kind any more. */
static void model(void)
{
	struct kvm_vcpu *vcpu = &workers[0].vcpu, old_vcpu;
	struct kvm_exit_cycles *account, *old = malloc(ACCOUNT_SIZE);

	if (!old)
		err(1, "malloc");
	account = vcpu->arch.exit_stamps.account;
	MODEL("slow-path", exit_account);
	MODEL("fast-path", exit_fastpath);
	if (slow_entries || slow_ends)
		errx(1, "an exit left the ordinary path");
}

int main(int argc, char **argv)
{
	int rounds = argc == 3 ? atoi(argv[2]) : 0;

	/* Each code in use gets a row; all other codes share one. */
	for (int i = 0; i <= KVM_EXIT_CYCLES_MASK; i++)
		kvm_exit_cycles_map[i] = offsetof(struct kvm_exit_cycles, rows) +
			(i < REASONS ? i : REASONS) * sizeof(struct kvm_exit_cycles_row);
	create(&workers[0]);
	create(&workers[1]);
	if (argc == 2 && !strcmp(argv[1], "model"))
		model();
	else if (argc == 3 && !strcmp(argv[1], "scale") && rounds > 0 && rounds <= MAX_ROUNDS)
		scale(rounds);
	else
		errx(2, "usage: step scale ROUNDS (at most %d) | step model", MAX_ROUNDS);
	return 0;
}
