/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest-cpu.h - for guest code in long mode, which has no library: instructions, the
 * guest's clock, and functions that keep and check the answers of CPUID.
 */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include "guest.h"

/* No SSE in the guest: nothing sets it up. */
#pragma GCC target("general-regs-only")
#pragma GCC optimize("no-tree-loop-distribute-patterns")

/* In registers, and their upper halves, that an instruction does not read. */
#define POISON		0xdeadbeefdeadbeef

struct regs {			/* guest-nested.S knows the order */
	uint64_t rax, rbx, rcx, rdx, r8, r9;
};

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

static inline uint64_t rdmsr(uint64_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return lo | (uint64_t)hi << 32;
}

static inline void wrmsr(uint64_t msr, uint64_t value)
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
	r->rax = (POISON << 32) | leaf;
	r->rcx = (POISON << 32) | ecx;
	r->rbx = r->rdx = POISON;
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

/* guest.S: interrupts on, HLT, interrupts off */
void guest_halt(void);

/* guest-nested.c */
void nested(struct guest *g, const struct step *s, struct result *result);

#endif
