// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest.c - the guest in long mode: walks the steps in struct guest and
 * times every iteration. It runs inside the monitor's own image, which the
 * monitor maps at the same addresses, and writes to nothing but its struct
 * guest.
 */
#include "guest-cpu.h"

#define X2APIC_ICR	0x830
#define TSC_DEADLINE	0x6e0
#define CR4_MCE		0x40

/* Take what is pending, so that the next wait is for its own interrupt. */
static inline void drain(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

/* A CPUID that was refused has changed nothing: what cpuid_regs() had put there. */
static int touched(uint32_t leaf, uint32_t ecx, const struct regs *r)
{
	return r->rax != (POISON << 32 | leaf) || r->rcx != (POISON << 32 | ecx) ||
	       r->rbx != POISON || r->rdx != POISON;
}

/* Ask, and check and digest the answer. */
static void try_leaf(struct guest *g, uint32_t leaf, uint32_t ecx, struct result *result)
{
	uint64_t t, faults = *(volatile uint64_t *)&g->faults;
	struct regs r;

	t = rdtsc();
	cpuid_regs(leaf, ecx, &r);
	account(result, rdtsc() - t);
	g->digest = digest(g->digest, &r);
	if (*(volatile uint64_t *)&g->faults != faults ? touched(leaf, ecx, &r) : bad_answer(leaf, ecx, &r))
		g->bad++;
}

static void random_leaves(struct guest *g, const struct step *s, struct result *result)
{
	uint32_t i, leaf, ecx, seed = s->a ? s->a : 1;

	for (i = 0; i < s->count; i++) {
		random_leaf(&seed, &leaf, &ecx);
		try_leaf(g, leaf, ecx, result);
	}
}

static void sweep(struct guest *g, const struct step *s, struct result *result)
{
	for (uint32_t i = 0; i < s->count; i++)
		try_leaf(g, s->a + i / s->b, i % s->b, result);
}

/* One exit after another with another key, or the one that is always the same. */
static void walk(uint32_t kind, uint32_t n, int same)
{
	if (kind == WALK_MSR)
		rdmsr(same ? 0x8b : n);
	else if (kind == WALK_PORT)
		inb(same ? PORT_KERNEL : n);
	else
		cpuid(same ? 0 : n, 0);
}

/* Totals as this guest sees them: always more exits, never fewer cycles. */
static void monotonic(struct guest *g, const struct step *s, struct result *result)
{
	uint64_t now, last[2] = { 0, 0 };
	uint32_t i, leaf;
	struct regs r;
	uint64_t t;

	for (i = 0; i < s->count; i++) {
		leaf = 0x4fffffff - (i & 1);
		t = rdtsc();
		cpuid_regs(leaf, 0, &r);
		account(result, rdtsc() - t);
		now = r.rcx << 32 | r.rbx;
		if (bad_answer(leaf, 0, &r) || now < last[i & 1])
			g->bad++;
		last[i & 1] = now;
	}
}

/* n times: start the clock, do it, stop the clock */
#define TIMED(n, what) do {				\
	for (uint32_t i = 0; i < (n); i++) {		\
		uint64_t t0 = rdtsc();			\
		what;					\
		account(r, rdtsc() - t0);		\
	}						\
} while (0)

/* The lock of all vCPUs. */
static void lock(uint32_t ticks)
{
	uint32_t *lock = (uint32_t *)(uint64_t)LOCK;
	uint64_t t;

	while (__atomic_exchange_n(lock, 1, __ATOMIC_SEQ_CST))
		while (__atomic_load_n(lock, __ATOMIC_SEQ_CST))
			asm volatile("pause");
	t = rdtsc();
	while (rdtsc() - t < ticks)
		;
	__atomic_store_n(lock, 0, __ATOMIC_SEQ_CST);
}

static const uint64_t no_idt[2];

static void run_step(struct guest *g, const struct step *s, struct result *r)
{
	volatile uint64_t *ticks = &g->ticks;
	volatile uint32_t *ask = &g->ask, *ask_b = &g->ask_b;
	volatile uint8_t *page;
	uint64_t before, early;
	struct regs regs;
	/* of RCX: no part of an MSR. But QEMU, in the SVM lab, looks up all of RCX in the bitmap of MSRs. */
	uint64_t upper = g->svm ? 0 : POISON << 32;

	g->skip = s->skip;
	switch (s->op) {
	case OP_CPUID:
		TIMED(s->count, cpuid(s->a, s->b));
		break;
	case OP_LEAF:
		TIMED(s->count, (cpuid_regs(s->a, s->b + i, &regs), keep_leaf(g, s->a, s->b + i, &regs)));
		break;
	case OP_OUT:
		TIMED(s->count, outb(s->a, s->b));
		break;
	case OP_RDMSR:
		TIMED(s->count, rdmsr(upper | s->a));
		break;
	case OP_WRMSR:
		TIMED(s->count, wrmsr(upper | s->a, s->b));
		break;
	case OP_HYPERCALL:			/* in 64 bits, KVM knows no such number */
		if (g->svm)
			TIMED(s->count, ({ long a = POISON << 32 | s->a; asm volatile("vmmcall" : "+a"(a) : : "memory"); }));
		else
			TIMED(s->count, ({ long a = POISON << 32 | s->a; asm volatile("vmcall" : "+a"(a) : : "memory"); }));
		break;
	case OP_HLT_KICKED:
		TIMED(s->count, ({
			long a = 5;	/* KVM_HC_KICK_CPU */

			if (g->svm)
				asm volatile("vmmcall" : "+a"(a) : "b"(0l), "c"((long)g->apic_id) : "memory");
			else
				asm volatile("vmcall" : "+a"(a) : "b"(0l), "c"((long)g->apic_id) : "memory");
			asm volatile("hlt" : : : "memory");
		}));
		break;
	case OP_HLT_USER:
		TIMED(s->count, asm volatile("hlt" : : : "memory"));
		break;
	case OP_DEADLINE_FAR:
		TIMED(s->count, wrmsr(TSC_DEADLINE, t0 + (1 << 30)));
		wrmsr(TSC_DEADLINE, 0);
		break;
	case OP_DEADLINE:
		drain();
		asm volatile("sti");
		TIMED(s->count, ({
			before = *ticks;
			wrmsr(TSC_DEADLINE, t0 + s->a);
			while (*ticks == before)
				;
		}));
		asm volatile("cli");
		break;
	case OP_HLT:
		drain();
		TIMED(s->count, ({
			*ask_b = s->b;
			*ask = s->b ? ASK_HOG : 0;
			do {
				early = *(volatile uint64_t *)&g->early;
				before = *ticks;
				wrmsr(TSC_DEADLINE, rdtsc() + s->a);
				do
					guest_halt();
				while (*ticks == before);
			} while (early != g->early);
		}));
		break;
	case OP_IPI:				/* physical, fixed, to itself */
		drain();
		TIMED(s->count, wrmsr(X2APIC_ICR, (uint64_t)g->apic_id << 32 | VECTOR_IPI));
		drain();
		break;
	case OP_EPT:				/* the page before maps the tables */
		page = (uint8_t *)(uint64_t)FRESH + ((uint64_t)s->b << 12);
		*page = 1;
		if (s->a)
			asm volatile("sti");
		TIMED(s->count, (page += 0x1000, *page = 1));
		if (s->a)
			asm volatile("cli");
		break;
	case OP_OUTS:
		page = (uint8_t *)(uint64_t)FRESH + ((uint64_t)(s->b + 1) << 12) - 2;
		TIMED(s->count, ({ asm volatile("outsl" : "+S"(page) : "d"(s->a) : "memory"); page += 0x2000 - 4; }));
		break;
	case OP_COW:
		page = (uint8_t *)(uint64_t)FRESH + ((uint64_t)s->b << 12);
		*page = 1;
		TIMED(s->count, (page += 0x1000, *page = *(volatile uint8_t *)page + 1));
		break;
	case OP_IN:
		TIMED(s->count, inb(s->a));
		break;
	case OP_INS:
		TIMED(s->count, ({ uint8_t byte, *to = &byte; asm volatile("insb" : "+D"(to) : "d"(s->a) : "memory"); }));
		break;
	case OP_WALK:
		TIMED(s->count, walk(s->a, s->b + i, i % 10 == 9));
		break;
	case OP_MMIO:
		page = (uint8_t *)(uint64_t)s->a;
		TIMED(s->count, *page = 1);
		break;
	case OP_SPIN:
		TIMED(s->count, asm volatile(""));
		break;
	case OP_PAUSE:
		TIMED(s->count, ({
			for (uint32_t n = 0; n < s->a; n++)
				asm volatile("pause");
		}));
		break;
	case OP_LOCK:
		asm volatile("sti");
		TIMED(s->count, lock(s->a));
		asm volatile("cli");
		break;
	case OP_RANDOM:
		random_leaves(g, s, r);
		break;
	case OP_SWEEP:
		sweep(g, s, r);
		break;
	case OP_MONOTONIC:
		monotonic(g, s, r);
		break;
	case OP_NESTED:
	case OP_NESTED_OUT:
	case OP_NESTED_LEAF:
	case OP_NESTED_RANDOM:
		nested(g, s, r);
		break;
	case OP_YIELD:
		TIMED(s->count, ({
			long a = 11;	/* KVM_HC_SCHED_YIELD */

			if (g->svm)
				asm volatile("vmmcall" : "+a"(a) : "b"((long)g->apic_id ^ 1) : "memory");
			else
				asm volatile("vmcall" : "+a"(a) : "b"((long)g->apic_id ^ 1) : "memory");
		}));
		break;
	case OP_ASK:
		TIMED(s->count, ({
			*ask_b = s->b;
			*ask = s->a;
			while (*ask)
				;
		}));
		break;
	case OP_UD:
		TIMED(s->count, asm volatile("ud2"));
		break;
	case OP_DR7:
		TIMED(s->count, ({ long dr7; cpuid(0, 0); asm volatile("mov %%dr7, %0" : "=r"(dr7)); }));
		break;
	case OP_CR4: {
		long cr4;

		asm volatile("mov %%cr4, %0" : "=r"(cr4));
		TIMED(s->count, (cr4 ^= CR4_MCE, ({ asm volatile("mov %0, %%cr4" : : "r"(cr4)); })));
		break;
	}
	case OP_INVD:
		TIMED(s->count, asm volatile("invd"));
		break;
	case OP_TRIPLE:
		asm volatile("lidt %0; ud2" : : "m"(no_idt));
		break;
	default:
		panic(s->op);
	}
}

void guest_main(struct guest *g)
{
	for (;;) {
		g->nleaves = 0;
		for (uint32_t i = 0; g->step[i].op != OP_END; i++)
			if (g->step[i].count)
				run_step(g, &g->step[i], &g->result[i]);
		if (g->done_mmio)
			*(volatile uint8_t *)(uint64_t)MMIO_DONE = 0;
		else
			outl(PORT_DONE, 0);
	}
}
