// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest-nested.c - the guest as L1: it runs L2, by VMX or by SVM, whichever the
 * machine has, and answers for L2 what it intercepts.
 */
#include "guest-cpu.h"

/*
 * guest-nested.S: what L2 runs, and its entry with these registers until its next
 * exit. vmx_enter() is 1 when the entry failed.
 */
void l2_cpuid(void), l2_out(void), l2_leaf(void);
int vmx_enter(struct regs *r, int launch);
void svm_enter(struct regs *r, uint64_t vmcb);

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

void nested(struct guest *g, const struct step *s, struct result *result)
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
