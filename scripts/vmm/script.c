// SPDX-License-Identifier: GPL-2.0-only
/*
 * script.c - the table of all steps, and parsing of the steps on the command line.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "monitor.h"

const struct op ops[] = {
	{ "cpuid", "[:LEAF[:ECX]] CPUID", OP_CPUID, ANY_MODE | ANY_RING, 0, 0, 2, { { CPUID, 1, 0 } } },
	{ "leaf", ":LEAF=ECX,A-B,... CPUID, printed", OP_LEAF, ANY_MODE | ANY_RING, 0, 0, 2, { { CPUID, 1, 0 } } },
	{ "out-kernel", "[:PORT] OUT to the slave PIC, handled in the kernel", OP_OUT, ANY_MODE | ANY_RING | IRQCHIP, PORT_KERNEL, 0xff, 0, { { IO, 1, 0 } } },
	{ "in", "[:PORT] IN from the slave PIC, handled in the kernel", OP_IN, ANY_MODE | ANY_RING | IRQCHIP, PORT_KERNEL, 0, 0, { { IO, 1, 0 } } },
	{ "ins", "[:PORT] the same by a string instruction", OP_INS, ANY_RING | IRQCHIP, PORT_KERNEL, 0, 0, { { IO, 1, 0 } } },
	{ "outs-uninit", "OUTS of four bytes on two pages nobody has touched, then wait-uninit for 100 ms", OP_OUTS, ANY_RING | IRQCHIP, PORT_UNINIT, 0, 0, { { IO, 1, 0 } } },
	{ "out-user", "OUT, handled in user space", OP_OUT, ANY_MODE | ANY_RING, PORT_USER, 0, 0, { { IO, 1, 0 } } },
	{ "sleep-user", "[:MS] OUT, for which the monitor sleeps (50)", OP_OUT, ANY_MODE | ANY_RING, PORT_SLEEP, 50, 0, { { IO, 1, 0 } } },
	{ "shell", "OUT, for which the monitor runs --at COMMAND", OP_OUT, ANY_MODE | ANY_RING, PORT_SHELL, 0, 0, { { IO, 1, 0 } } },
	{ "set", ":N OUT, for which the monitor writes the Nth --set", OP_OUT, ANY_MODE | ANY_RING, PORT_SET, 0, 0, { { IO, 1, 0 } } },
	{ "wait-uninit", "[:MS] OUT, then KVM_RUN uninitialised, for MS (100)", OP_OUT, ANY_RING | IRQCHIP, PORT_UNINIT, 100, 0, { { IO, 1, 0 } } },
	{ "wait-sipi", "[:MS] OUT, then KVM_RUN waiting for SIPI, for MS (100)", OP_OUT, ANY_RING | IRQCHIP, PORT_SIPI, 100, 0, { { IO, 1, 0 } } },
	{ "refused", "[:MS] OUT, then KVM_RUN with what KVM refuses, and MS until the next (50)", OP_OUT, ANY_MODE | ANY_RING, PORT_REFUSED, 50, 0, { { IO, 1, 0 } } },
	{ "pending", "OUT, for which the monitor runs --at COMMAND; then a signal ends KVM_RUN before the guest, twice", OP_OUT, ANY_MODE | ANY_RING, PORT_PENDING, 0, 0, { { IO, 1, 0 } } },
	{ "rdmsr", "[:MSR] RDMSR (0x8b)", OP_RDMSR, ANY_MODE, 0x8b, 0, 2, { { RDMSR, 1, 0 } } },
	{ "wrmsr-slow", "[:MSR[:VALUE]] WRMSR (0x8b)", OP_WRMSR, ANY_MODE, 0x8b, 0, 2, { { WRMSR, 1, 0 } } },
	{ "wrmsr-fast", "WRMSR to the TSC deadline, far ahead", OP_DEADLINE_FAR, IRQCHIP, 0, 0, 0, { { WRMSR, 1, 1 } } },
	{ "ipi", "WRMSR to the x2APIC's ICR, to itself", OP_IPI, IRQCHIP, 0, 0, 0, { { WRMSR, 1, 0 }, { EOI, 0, 1 } } },
	{ "deadline", "[:TICKS] TSC deadline, taken (20000)", OP_DEADLINE, IRQCHIP, 20000, 0, 0, { { WRMSR, 1, 0 }, { EOI, 1, 0 } } },
	{ "hlt", "[:TICKS] HLT, woken by the TSC deadline (100000)", OP_HLT, IRQCHIP, 100000, 0, 0, { { HLT, 1, 0 }, { WRMSR, 1, 0 }, { EOI, 1, 0 } } },
	{ "hlt-late", "[:TICKS:MS] HLT, woken while a thread above all others has the CPU for MS (20000000, 50)", OP_HLT, IRQCHIP | ASKS, 20000000, 50, 0, { { HLT, 1, 0 }, { WRMSR, 1, 0 }, { EOI, 1, 0 } } },
	{ "hlt-kicked", "hypercall that wakes this vCPU, then HLT, which does not halt it", OP_HLT_KICKED, IRQCHIP, 0, 0, 0, { { HLT, 1, 0 }, { HYPERCALL, 1, 0 } } },
	{ "hlt-user", "HLT that ends in user space", OP_HLT_USER, ANY_MODE | NO_IRQCHIP, 0, 0, 0, { { HLT, 1, 0 } } },
	{ "vmcall", "[:NUMBER] hypercall (1)", OP_HYPERCALL, ANY_MODE, 1, 0, 0, { { HYPERCALL, 1, 0 } } },
	{ "ept", "write to a page nobody has touched", OP_EPT, ANY_RING, 0, 0, 0, { { EPT, 1, 1 } } },
	{ "ept-async", "the same with interrupts on, as KVM wants them to read a page in meanwhile", OP_EPT, IRQCHIP, 1, 0, 0, { { EPT, 1, 1 } } },
	{ "again", "write once more to the pages of the last `ept`", OP_EPT, ANY_RING, 0, 1, 0, { { CPUID, 0, 0 } } },
	{ "log-dirty", "OUT, for which the monitor takes the log of these pages, which KVM keeps from then on", OP_OUT, ANY_MODE | ANY_RING, PORT_LOG, 0, 0, { { IO, 1, 0 } } },
	{ "cow", "read, then write of a page nobody has touched", OP_COW, ANY_RING, 0, 0, 0, { { EPT, 2, 1 } } },
	{ "mmio", "[:ADDRESS] write to nothing, handled in user space", OP_MMIO, ANY_RING, MMIO, 0, 0, { { MMIO_ACCESS, 1, 0 } } },
	{ "spin", "a loop without exits", OP_SPIN, ANY_RING, 0, 0, 0, { { CPUID, 0, 0 } } },
	{ "yield", "hypercall that yields to the vCPU beside", OP_YIELD, IRQCHIP, 0, 0, 0, { { HYPERCALL, 1, 0 } } },
	{ "pause", "[:N] N PAUSEs in a row (1000), as where a lock is taken", OP_PAUSE, ANY_RING, 1000, 0, 0, { { CPUID, 0, 0 } } },
	{ "lock", "[:TICKS] take the lock of all vCPUs, for TICKS (20000)", OP_LOCK, IRQCHIP, 20000, 0, 0, { { CPUID, 0, 0 } } },
	{ "reset", "[:US] spin while the monitor resets the VM, and US longer (500)", OP_ASK, ANY_RING | ASKS, ASK_RESET, 500, 0, { { CPUID, 0, 0 } } },
	{ "hog", "[:MS] spin while a thread above all others has the CPU (100)", OP_ASK, ANY_RING | ASKS, ASK_HOG, 100, 0, { { CPUID, 0, 0 } } },
	{ "switch", "[:US] spin while the monitor switches the account off, for US (100000), and on", OP_ASK, ANY_RING | ASKS, ASK_SWITCH, 100000, 0, { { CPUID, 0, 0 } } },
	{ "signal", "[:MS] spin while the vCPU's thread handles a signal for MS (100)", OP_ASK, ANY_RING | ASKS, ASK_SIGNAL, 100, 0, { { CPUID, 0, 0 } } },
	{ "walk-msr", "RDMSR of one MSR after another, and of 0x8b each tenth time", OP_WALK, ANY_MODE, WALK_MSR, 0, 2, { { RDMSR, 1, 0 } } },
	{ "walk-port", "IN from one port after another, and from the slave PIC each tenth time", OP_WALK, ANY_MODE | ANY_RING | IRQCHIP, WALK_PORT, 0, 0, { { IO, 1, 0 } } },
	{ "walk-leaf", "CPUID of one leaf after another, and of leaf 0 each tenth time", OP_WALK, ANY_MODE | ANY_RING, WALK_LEAF, 1, 2, { { CPUID, 1, 0 } } },
	{ "random", "[:SEED] CPUID with random leaves and ECX, answers checked", OP_RANDOM, ANY_MODE | ANY_RING, 1, 0, 2, { { CPUID, 1, 0 } } },
	{ "sweep", "[:LEAF[:N]] CPUID, leaves on from LEAF, each with N ECX (1), the same", OP_SWEEP, ANY_RING, 0, 1, 2, { { CPUID, 1, 0 } } },
	{ "monotonic", "reads of the totals, checked", OP_MONOTONIC, ANY_RING, 0, 0, 2, { { CPUID, 1, 0 } } },
	{ "nested", "CPUID by a nested guest, reflected to L1", OP_NESTED, NESTED, 0, 0, 0, { { CPUID, 1, 0 }, { HYPERCALL, 0, 1 } } },
	{ "nested-out", "read of DR7 and OUT by a nested guest, passed by L1", OP_NESTED_OUT, NESTED | IRQCHIP, 0, 0, 0, { { DEBUG_REG, 1, 0 }, { IO, 1, 0 }, { HYPERCALL, 0, 1 } } },
	{ "nested-leaf", ":LEAF=ECX,A-B,... leaf by a nested guest, asked by L1", OP_NESTED_LEAF, NESTED, 0, 0, 0, { { CPUID, 2, 0 }, { HYPERCALL, 1, 0 } } },
	{ "nested-leaf-pass", ":LEAF=ECX,A-B,... the same, not intercepted by L1", OP_NESTED_LEAF, NESTED | ONLY_SVM, 0, 0, 0, { { CPUID, 1, 0 }, { HYPERCALL, 1, 0 } } },
	{ "nested-random", "[:SEED] random by a nested guest, asked by L1", OP_NESTED_RANDOM, NESTED, 1, 0, 0, { { CPUID, 2, 0 }, { HYPERCALL, 1, 0 } } },
	{ "nested-random-pass", "[:SEED] the same, not intercepted by L1", OP_NESTED_RANDOM, NESTED | ONLY_SVM, 1, 0, 0, { { CPUID, 1, 0 }, { HYPERCALL, 1, 0 } } },
	{ "ud", "UD2, which the guest skips", OP_UD, 0, 0, 0, 2, { { EXCEPTION, 1, 0 } } },
	{ "dr7", "CPUID, then a read of DR7: only the first one after another exit exits", OP_DR7, 0, 0, 0, 0, { { CPUID, 1, 0 }, { DEBUG_REG, 1, 0 } } },
	{ "cr4", "write of CR4 that turns MCE over", OP_CR4, 0, 0, 0, 0, { { CONTROL_REG, 1, 0 } } },
	{ "invd", "INVD, which KVM skips", OP_INVD, 0, 0, 0, 0, { { CACHE, 1, 0 } } },
	{ "triple", "triple fault; the last step", OP_TRIPLE, 0, 0, 0, 0, { { TRIPLE, 1, 0 } } },
	{ }
};

struct script scripts[MAX_SCRIPTS];
int nscripts = 1;
uint32_t needs, fresh;

bool number(const char **s, uint32_t *value)
{
	unsigned long long v;
	char *rest;

	errno = 0;
	v = strtoull(*s, &rest, 0);
	if (rest == *s || **s == '-' || errno || v > UINT32_MAX)
		return false;
	*value = v;
	*s = rest;
	return true;
}

static void add_step(struct script *script, int op, uint32_t count, uint32_t a, uint32_t b)
{
	struct step *s = &script->step[script->steps];

	if (script->steps == MAX_STEPS - 1)
		errx(EX_MISUSE, "more than %d steps", MAX_STEPS - 1);
	*s = (struct step){ .op = ops[op].op, .count = count, .a = a, .b = b, .skip = ops[op].skip };
	s->pass = !!(ops[op].needs & ONLY_SVM);
	script->op[script->steps++] = op;
	needs |= ops[op].needs;
	if (s->op == OP_LEAF || s->op == OP_NESTED_LEAF) {
		if (count > MAX_LEAVES - script->leaves)
			errx(EX_MISUSE, "more than %d leaves to keep", MAX_LEAVES);
		script->leaves += count;
	}
	if (s->op == OP_EPT && ops[op].b) {	/* again */
		s->b = script->last;
	} else if (s->op == OP_EPT || s->op == OP_COW || s->op == OP_OUTS) {
		s->b = script->last = script->fresh;
		if (count > 100000)
			errx(EX_MISUSE, "ept: more than 100000 pages");
		script->fresh += s->op == OP_OUTS ? 2 * count : count + 1;
		if (script->fresh > fresh)
			fresh = script->fresh;
	}
}

/* LEAF of every ECX in the list, as one step a range. */
static bool add_leaves(struct script *script, int op, uint32_t leaf, const char *list)
{
	uint32_t from, to;

	do {
		if (!number(&list, &from))
			return false;
		to = from;
		if (*list == '-') {
			list++;
			if (!number(&list, &to) || to < from || to - from >= MAX_LEAVES)
				return false;
		}
		add_step(script, op, to - from + 1, leaf, from);
	} while (*list++ == ',');
	return list[-1] == '\0';
}

static int find_op(const char *name, size_t length)
{
	for (int i = 0; ops[i].name; i++)
		if (strlen(ops[i].name) == length && !strncmp(ops[i].name, name, length))
			return i;
	return -1;
}

/* Whether what follows the name is b: a is what the step is. */
static bool takes_b(int op)
{
	return ops[op].op == OP_ASK || (ops[op].op == OP_OUT && ops[op].a >= PORT_SLEEP);
}

bool parse_step(struct script *script, const char *text)
{
	const char *s = text + strcspn(text, ":=");
	int op = find_op(text, s - text);
	uint32_t a, b, count;

	if (!strncmp(text, "leaves=", 7)) {	/* all four */
		op = find_op("leaf", 4);
		add_step(script, op, 1, 0x4fffffff, 0);
		add_step(script, op, 1, 0x4ffffffe, 0);
		return add_leaves(script, op, 0x4ffffffd, text + 7) && add_leaves(script, op, 0x4ffffffc, text + 7);
	}
	if (op < 0)
		return false;
	a = ops[op].a;
	b = ops[op].b;
	if (*s == ':') {
		s++;
		if (!number(&s, takes_b(op) ? &b : &a))
			return false;
		if (*s == ':') {
			s++;
			if (!number(&s, &b))
				return false;
		}
	}
	if (*s++ != '=')
		return false;
	if (ops[op].op == OP_SWEEP && !b)
		return false;
	if (ops[op].op == OP_LEAF || ops[op].op == OP_NESTED_LEAF)
		return add_leaves(script, op, a, s);
	if (!number(&s, &count) || *s)
		return false;
	add_step(script, op, count, a, b);
	return true;
}
