/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest.h - shared by the monitor and its guests: addresses, steps and results. Guests in
 * long mode are in guest.c, those in real and protected mode in guest-legacy.S.
 */
#ifndef GUEST_H
#define GUEST_H

/* Guest-physical addresses. */
#define PAGE_TABLES	0x1000		/* PML4, PDPT, four PDs: 4 GiB, identity */
#define IDT		0x7000
#define BLOB		0x8000		/* 16- or 32-bit code */
#define LOCK		0xf000		/* what OP_LOCK takes */
#define FRESH		0x80000000	/* pages nobody has touched */
#define MMIO		0xd0000000	/* nothing there */
#define MMIO_DONE	(MMIO + 0x1000)

/*
 * One struct guest a vCPU, at guest-physical (index + 1) << GUEST_SHIFT, which
 * leaves room for MAX_VCPUS below the program's own image at 0x400000. Real
 * mode reaches the first MAX_REAL.
 */
#define GUEST_SHIFT	16
#define GUEST_SIZE	(1 << GUEST_SHIFT)
#define MAX_VCPUS	32
#define MAX_REAL	8

/* Ports: the first is the slave PIC's mask, which KVM handles by itself. */
#define PORT_KERNEL	0xa1
#define PORT_USER	0x500
#define PORT_SLEEP	0x501
#define PORT_DONE	0x502		/* the script has ended */
#define PORT_PANIC	0x503		/* the guest cannot go on: EAX says why */
#define PORT_SHELL	0x504
#define PORT_SET	0x505
#define PORT_UNINIT	0x506
#define PORT_SIPI	0x507
#define PORT_LOG	0x508
#define PORT_REFUSED	0x509
#define PORT_PENDING	0x50a

#define VECTORS		34
#define VECTOR_TIMER	32
#define VECTOR_IPI	33

/* Operations of a step. The first seven, and OP_RANDOM, also exist in 16 and 32 bits. */
#define OP_END		0
#define OP_CPUID	1		/* leaf a, ECX b */
#define OP_LEAF		2		/* leaf a, ECX b, b + 1, ...: kept */
#define OP_OUT		3		/* port a, value b */
#define OP_RDMSR	4		/* MSR a */
#define OP_WRMSR	5		/* MSR a, value b */
#define OP_HYPERCALL	6
#define OP_HLT_USER	7
#define OP_DEADLINE_FAR	8		/* program the timer, never let it fire */
#define OP_DEADLINE	9		/* program the timer a ticks ahead, spin */
#define OP_HLT		10		/* the same, halted; ASK_HOG with b before, unless 0 */
#define OP_IPI		11
#define OP_EPT		12		/* FRESH page b and on; a: with interrupts on */
#define OP_MMIO		13		/* address a */
#define OP_SPIN		14
#define OP_RANDOM	15		/* any leaf, any ECX; seed a */
#define OP_MONOTONIC	16
#define OP_NESTED	17		/* L2 executes CPUID, all in one entry */
#define OP_NESTED_OUT	18		/* L2 executes OUT, which L1 lets pass */
#define OP_NESTED_LEAF	19		/* L2 executes CPUID a, b, ...: kept */
#define OP_NESTED_RANDOM 20		/* L2 executes what OP_RANDOM does */
#define OP_SWEEP	21		/* leaf a + i / b, ECX i % b */
#define OP_TRIPLE	22
#define OP_ASK		23		/* spin until the monitor has done a, with b */
#define OP_YIELD	24		/* hypercall: the CPU to the vCPU beside, 0 and 1, 2 and 3 ... */
#define OP_PAUSE	25		/* a PAUSEs in a row */
#define OP_IN		26
#define OP_INS		27
#define OP_COW		28
#define OP_WALK		29		/* what a says, from b on; each tenth is always the same */
#define OP_LOCK		30		/* take the lock of all vCPUs for a ticks */
#define OP_UD		31		/* UD2, skipped */
#define OP_DR7		32		/* CPUID, then a read of DR7 */
#define OP_HLT_KICKED	33		/* HLT, woken before by a hypercall */
#define OP_CR4		34		/* MOV to CR4 that turns MCE over */
#define OP_INVD		35
#define OP_OUTS		36		/* to port a, from where FRESH page b and the next meet, and on */

#define WALK_MSR	1
#define WALK_PORT	2
#define WALK_LEAF	3

/* Offsets in struct guest, for the assembler. */
#define G_NLEAVES	0x00
#define G_SKIP		0x04
#define G_FAULTS	0x08
#define G_TICKS		0x10
#define G_T0		0x18
#define G_BAD		0x20
#define G_SVM		0x28
#define G_DIGEST	0x38
#define G_EARLY		0x40
#define G_SEED		0x48
#define G_FAULTS_BEFORE	0x4c
#define G_ASKED		0x50
#define G_ANSWER	0x58
/* What OP_ASK asks for. */
#define ASK_RESET	1		/* resets the VM, then waits b microseconds */
#define ASK_HOG		2		/* takes the CPU away for b milliseconds */
#define ASK_SWITCH	3		/* counts nothing for b microseconds */
#define ASK_SIGNAL	4		/* has the vCPU's thread handle a signal for as long */

#define G_STEP		0x80
#define G_RESULT	0x1080
#define G_LEAF		0x2080
#define G_STACK		0xf000		/* its top */

#define MAX_STEPS	128
#define MAX_LEAVES	900

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct step {
	uint32_t op;
	uint32_t count;
	uint32_t a;
	uint32_t b;
	uint32_t skip;			/* bytes of the instruction, if it may fault */
	uint32_t pass;			/* OP_NESTED*: L1 does not intercept CPUID */
	uint32_t unused[2];
};

/* Timings are TSC ticks around one iteration, as the guest reads it. */
struct result {
	uint64_t count;
	uint64_t sum;
	uint64_t min;
	uint64_t max;
};

struct leaf {
	uint32_t leaf;
	uint32_t ecx;
	uint64_t reg[4];		/* RAX RBX RCX RDX, poisoned before */
};

struct guest {
	uint32_t nleaves;
	uint32_t skip;
	uint64_t faults;		/* #UD and #GP taken and skipped */
	uint64_t ticks;			/* interrupts taken */
	uint64_t t0;
	uint64_t bad;			/* answers that break the ABI's rules */
	uint32_t svm;
	uint32_t apic_id;
	uint32_t launched;		/* L1 has entered L2 since VMCLEAR */
	uint32_t done_mmio;
	uint64_t digest;		/* of all answers to OP_RANDOM and OP_SWEEP */
	uint64_t early;			/* HLTs whose interrupt came before them */
	uint32_t seed;			/* from here on of blob16 and blob32 only */
	uint32_t faults_before;
	uint32_t asked[2];
	uint32_t answer[4];
	uint32_t ask;
	uint32_t ask_b;
	uint64_t unused[2];
	struct step step[MAX_STEPS];
	struct result result[MAX_STEPS];
	struct leaf leaf[MAX_LEAVES];
	uint8_t pad0[0xb000 - G_LEAF - MAX_LEAVES * sizeof(struct leaf)];
	uint8_t vmxon[0x1000];		/* SVM: the host save area */
	uint8_t vmcs[0x1000];		/* SVM: the VMCB */
	uint8_t stack[G_STACK - 0xd000];
	uint8_t tss[0x80];
	uint64_t gdt[16];
	uint8_t interrupt_stack[0xf00];
};

_Static_assert(offsetof(struct guest, t0) == G_T0, "G_T0");
_Static_assert(offsetof(struct guest, bad) == G_BAD, "G_BAD");
_Static_assert(offsetof(struct guest, digest) == G_DIGEST, "G_DIGEST");
_Static_assert(offsetof(struct guest, early) == G_EARLY, "G_EARLY");
_Static_assert(offsetof(struct guest, seed) == G_SEED, "G_SEED");
_Static_assert(offsetof(struct guest, faults_before) == G_FAULTS_BEFORE, "G_FAULTS_BEFORE");
_Static_assert(offsetof(struct guest, asked) == G_ASKED, "G_ASKED");
_Static_assert(offsetof(struct guest, answer) == G_ANSWER, "G_ANSWER");
_Static_assert(offsetof(struct guest, svm) == G_SVM, "G_SVM");
_Static_assert(offsetof(struct guest, step) == G_STEP, "G_STEP");
_Static_assert(offsetof(struct guest, result) == G_RESULT, "G_RESULT");
_Static_assert(offsetof(struct guest, leaf) == G_LEAF, "G_LEAF");
_Static_assert(offsetof(struct guest, tss) == G_STACK, "G_STACK");
_Static_assert(sizeof(struct guest) == GUEST_SIZE, "GUEST_SIZE");

#define GDT_CODE(ring)	((1 + 2 * (ring)) * 8 + (ring))
#define GDT_DATA(ring)	((2 + 2 * (ring)) * 8 + (ring))
#define GDT_TSS		(9 * 8)

/* guest.c: where a vCPU in long mode starts */
void guest_main(struct guest *g);

/* guest.S */
extern const uint64_t guest_vectors[VECTORS];

/* guest-legacy.S */
extern const uint8_t blob16[], blob16_end[], blob32[], blob32_end[], blob32_fault[];
#endif
#endif
