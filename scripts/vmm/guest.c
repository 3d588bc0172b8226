// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest.c - the guest in long mode: walks the steps in struct guest and
 * times every iteration. It runs inside the monitor's own image, which the
 * monitor maps at the same addresses, and writes to nothing but its struct
 * guest. L1 of a nested guest is here as well.
 */
#include "guest.h"

/* No SSE in the guest: nothing sets it up. */
#pragma GCC target("general-regs-only")
#pragma GCC optimize("no-tree-loop-distribute-patterns")

#define X2APIC_ICR	0x830
#define TSC_DEADLINE	0x6e0

struct regs {			/* vmx_enter() and svm_enter() know the order */
	uint64_t rax, rbx, rcx, rdx, r8, r9;
};

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (uint64_t)hi << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "d"(port) : "memory");
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "d"(port) : "memory");
	return value;
}

static inline void outl(uint16_t port, uint32_t value)
{
	asm volatile("outl %0, %1" : : "a"(value), "d"(port) : "memory");
}

static inline void cpuid(uint32_t leaf, uint32_t ecx)
{
	asm volatile("cpuid" : "+a"(leaf), "+c"(ecx) : : "rbx", "rdx");
}

/* All four registers in full, poisoned where CPUID takes no input. */
static inline void cpuid_regs(uint32_t leaf, uint32_t ecx, struct regs *r)
{
	const uint64_t poison = 0xdeadbeefdeadbeef;

	r->rax = (poison << 32) | leaf;
	r->rcx = (poison << 32) | ecx;
	r->rbx = r->rdx = poison;
	asm volatile("cpuid" : "+a"(r->rax), "+b"(r->rbx), "+c"(r->rcx), "+d"(r->rdx));
}

static __attribute__((noreturn)) void panic(uint32_t why)
{
	for (;;)
		outl(PORT_PANIC, why);
}

static void keep_leaf(struct guest *g, uint32_t leaf, uint32_t ecx, const struct regs *r)
{
	struct leaf *l = &g->leaf[g->nleaves++];

	l->leaf = leaf;
	l->ecx = ecx;
	l->reg[0] = r->rax;
	l->reg[1] = r->rbx;
	l->reg[2] = r->rcx;
	l->reg[3] = r->rdx;
}

static inline void account(struct result *r, uint64_t ticks)
{
	r->count++;
	r->sum += ticks;
	if (ticks < r->min)
		r->min = ticks;
	if (ticks > r->max)
		r->max = ticks;
}

/* Take what is pending, so that the next wait is for its own interrupt. */
static inline void drain(void)
{
	asm volatile("sti; nop; nop; cli" : : : "memory");
}

static inline uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Half the time one of the account's leaves, and a reason that could be one. */
static void random_leaf(uint32_t *seed, uint32_t *leaf, uint32_t *ecx)
{
	uint32_t r = next_random(seed);

	*leaf = r & 1 ? 0x4ffffffc + (r >> 1 & 3) : next_random(seed);
	*ecx = r & 8 ? r >> 4 & 127 : next_random(seed);
}

/* FNV-1a, a word at a time. */
static uint64_t digest(uint64_t d, const struct regs *r)
{
	const uint64_t prime = 0x100000001b3;

	d = (d ^ r->rax) * prime;
	d = (d ^ r->rbx) * prime;
	d = (d ^ r->rcx) * prime;
	return (d ^ r->rdx) * prime;
}

/* What holds for every answer, whatever was counted; the leaves are there. */
static int bad_answer(uint32_t leaf, uint32_t ecx, const struct regs *r)
{
	if ((r->rax | r->rbx | r->rcx | r->rdx) >> 32)
		return 1;
	if (leaf < 0x4ffffffc || leaf > 0x4fffffff)
		return 0;
	if (r->rdx == 0xffffffff)
		return leaf >= 0x4ffffffe || r->rax || r->rbx || r->rcx;
	return r->rdx || r->rax != (leaf & 1 ? r->rbx : 0) ||
	       (leaf < 0x4ffffffe && ecx == 0xfffffffe);
}

/* A CPUID that was refused has changed nothing: what cpuid_regs() had put there. */
static int touched(uint32_t leaf, uint32_t ecx, const struct regs *r)
{
	const uint64_t poison = 0xdeadbeefdeadbeef;

	return r->rax != (poison << 32 | leaf) || r->rcx != (poison << 32 | ecx) ||
	       r->rbx != poison || r->rdx != poison;
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

/* --- L1 and L2 --- */

static inline void vmwrite(uint64_t field, uint64_t value)
{
	uint8_t failed;

	asm volatile("vmwrite %2, %1; setna %0" : "=r"(failed) : "r"(field), "r"(value) : "cc");
	if (failed)
		panic(field);
}

static inline uint64_t vmread(uint64_t field)
{
	uint64_t value;

	asm volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
	return value;
}

static inline uint64_t read_cr(int which)
{
	uint64_t value;

	if (which == 0)
		asm volatile("mov %%cr0, %0" : "=r"(value));
	else if (which == 3)
		asm volatile("mov %%cr3, %0" : "=r"(value));
	else
		asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

#define VMX_INSN(insn, operand) do {						\
	uint8_t failed;								\
	asm volatile(insn " %1; setna %0" : "=r"(failed) : "m"(operand) : "cc", "memory"); \
	if (failed)								\
		panic(__LINE__);						\
} while (0)

static void vmx_init(struct guest *g)
{
	/* access rights: flat code and data of ring 0, busy TSS, no LDT */
	static const uint32_t rights[] = { 0xc093, 0xa09b, 0xc093, 0xc093, 0xc093, 0xc093, 0x10000, 0x8b };
	uint64_t vmxon = (uint64_t)g->vmxon, vmcs = (uint64_t)g->vmcs;
	uint32_t i, revision = rdmsr(0x480);
	uint64_t gs = (uint64_t)g;

	for (i = 0; i < sizeof(g->vmcs); i++)
		g->vmxon[i] = g->vmcs[i] = 0;
	*(uint32_t *)g->vmxon = revision;
	*(uint32_t *)g->vmcs = revision;
	g->launched = 0;
	VMX_INSN("vmxon", vmxon);
	VMX_INSN("vmclear", vmcs);
	VMX_INSN("vmptrld", vmcs);

	/* what must be 1, and 64-bit for both sides */
	vmwrite(0x4000, (uint32_t)rdmsr(0x48d));
	vmwrite(0x4002, (uint32_t)rdmsr(0x48e));
	vmwrite(0x400c, (uint32_t)rdmsr(0x48f) | 1 << 9);
	vmwrite(0x4012, (uint32_t)rdmsr(0x490) | 1 << 9);
	vmwrite(0x2800, ~0ull);			/* no linked VMCS */

	for (i = 0; i < 8; i++) {		/* ES CS SS DS FS GS LDTR TR */
		uint64_t selector = i == 1 ? GDT_CODE(0) : i == 6 ? 0 : i == 7 ? GDT_TSS : GDT_DATA(0);

		vmwrite(0x800 + 2 * i, selector);
		if (i != 6)
			vmwrite(0xc00 + (i == 7 ? 0xc : 2 * i), selector);
		vmwrite(0x4800 + 2 * i, i == 7 ? 0x67 : 0xffffffff);
		vmwrite(0x4814 + 2 * i, rights[i]);
		vmwrite(0x6806 + 2 * i, i == 5 ? gs : i == 7 ? (uint64_t)g->tss : 0);
	}
	vmwrite(0x4810, sizeof(g->gdt) - 1);
	vmwrite(0x4812, 0xfff);
	vmwrite(0x6816, (uint64_t)g->gdt);
	vmwrite(0x6818, IDT);
	vmwrite(0x6c06, 0);
	vmwrite(0x6c08, gs);
	vmwrite(0x6c0a, (uint64_t)g->tss);
	vmwrite(0x6c0c, (uint64_t)g->gdt);
	vmwrite(0x6c0e, IDT);
	for (i = 0; i < 3; i++) {
		static const uint8_t cr[] = { 0, 3, 4 };

		vmwrite(0x6800 + 2 * i, read_cr(cr[i]));
		vmwrite(0x6c00 + 2 * i, read_cr(cr[i]));
	}
	vmwrite(0x681a, 0x400);
	vmwrite(0x681c, G_STACK - 0x1000 + gs);	/* L2 uses no stack */
	vmwrite(0x6820, 2);
}

/* Run L2 from `rip` (0: where it stopped) to its next exit: 1 a CPUID, 0 the end. */
static int vmx_run(struct guest *g, struct regs *r, uint64_t rip)
{
	uint32_t reason;

	if (rip)
		vmwrite(0x681e, rip);
	else
		vmwrite(0x681e, vmread(0x681e) + 2);
	if (vmx_enter(r, !g->launched))
		panic(vmread(0x4400));
	g->launched = 1;
	reason = vmread(0x4402);
	if (reason != 10 && reason != 18)
		panic(reason);
	return reason == 10;
}

#define VMCB32(offset)	(*(volatile uint32_t *)(g->vmcs + (offset)))
#define VMCB64(offset)	(*(volatile uint64_t *)(g->vmcs + (offset)))

static void svm_init(struct guest *g, int pass)
{
	uint32_t i;

	for (i = 0; i < sizeof(g->vmcs); i++)
		g->vmcs[i] = 0;
	wrmsr(0xc0010117, (uint64_t)g->vmxon);
	VMCB32(0x0c) = 1u << 31 | (pass ? 0 : 1 << 18);		/* shutdown, CPUID */
	VMCB32(0x10) = 1 << 0 | 1 << 1;				/* VMRUN, VMMCALL */
	VMCB32(0x58) = 1;					/* ASID */
	for (i = 0; i < 4; i++) {				/* ES CS SS DS */
		VMCB32(0x400 + 16 * i) = i == 1 ? 0x029b << 16 | GDT_CODE(0) : 0xc93 << 16 | GDT_DATA(0);
		VMCB32(0x404 + 16 * i) = 0xffffffff;
	}
	VMCB32(0x464) = sizeof(g->gdt) - 1;
	VMCB64(0x468) = (uint64_t)g->gdt;
	VMCB32(0x484) = 0xfff;
	VMCB64(0x488) = IDT;
	VMCB64(0x4d0) = rdmsr(0xc0000080);
	VMCB64(0x548) = read_cr(4);
	VMCB64(0x550) = read_cr(3);
	VMCB64(0x558) = read_cr(0);
	VMCB64(0x560) = 0x400;
	VMCB64(0x568) = 0xffff0ff0;
	VMCB64(0x570) = 2;
	VMCB64(0x5d8) = (uint64_t)g->stack;			/* L2 uses no stack */
	VMCB64(0x668) = 0x0007040600070406;
}

static int svm_run(struct guest *g, struct regs *r, uint64_t rip)
{
	uint64_t code;

	VMCB64(0x578) = rip ? rip : VMCB64(0x578) + 2;
	VMCB64(0x5f8) = r->rax;
	svm_enter(r, (uint64_t)g->vmcs);
	r->rax = VMCB64(0x5f8);
	code = VMCB64(0x70);
	if (code != 0x72 && code != 0x81)
		panic(code);
	return code == 0x72;
}

static int l2_run(struct guest *g, struct regs *r, uint64_t rip)
{
	r->r9 = g->svm;
	return g->svm ? svm_run(g, r, rip) : vmx_run(g, r, rip);
}

/* CPUID by L2, and by L1 for it where L1 intercepts that. */
static void l2_cpuid_regs(struct guest *g, uint32_t leaf, uint32_t ecx, struct regs *r, struct result *result)
{
	uint64_t t;

	r->rax = leaf;
	r->rcx = ecx;
	r->rbx = r->rdx = 0xdeadbeefdeadbeef;
	t = rdtsc();
	if (l2_run(g, r, (uint64_t)l2_leaf)) {
		cpuid_regs(r->rax, r->rcx, r);
		l2_run(g, r, 0);
	}
	account(result, rdtsc() - t);
}

static void nested(struct guest *g, const struct step *s, struct result *result)
{
	uint32_t i, leaf, ecx, seed = s->a ? s->a : 1;
	struct regs r = { .r8 = s->count };
	uint64_t t;

	if (g->svm)
		svm_init(g, s->pass);
	else
		vmx_init(g);

	if (s->op == OP_NESTED_LEAF) {
		for (i = 0; i < s->count; i++) {
			l2_cpuid_regs(g, s->a, s->b + i, &r, result);
			keep_leaf(g, s->a, s->b + i, &r);
		}
	} else if (s->op == OP_NESTED_RANDOM) {
		for (i = 0; i < s->count; i++) {
			random_leaf(&seed, &leaf, &ecx);
			l2_cpuid_regs(g, leaf, ecx, &r, result);
			g->digest = digest(g->digest, &r);
			if (bad_answer(leaf, ecx, &r))
				g->bad++;
		}
	} else {
		uint64_t rip = (uint64_t)(s->op == OP_NESTED ? l2_cpuid : l2_out);

		do {
			t = rdtsc();
			i = l2_run(g, &r, rip);
			account(result, rdtsc() - t);
			rip = 0;
		} while (i);
	}

	if (g->svm)
		asm volatile("stgi");
	else
		asm volatile("vmxoff");
}

/* --- the steps --- */

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
		TIMED(s->count, rdmsr(s->a));
		break;
	case OP_WRMSR:
		TIMED(s->count, wrmsr(s->a, s->b));
		break;
	case OP_HYPERCALL:			/* 1, KVM_HC_VAPIC_POLL_IRQ, does nothing */
		if (g->svm)
			TIMED(s->count, ({ long a = s->a; asm volatile("vmmcall" : "+a"(a) : : "memory"); }));
		else
			TIMED(s->count, ({ long a = s->a; asm volatile("vmcall" : "+a"(a) : : "memory"); }));
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
