// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm.c - a virtual machine monitor whose guest makes a known number of exits
 * of a known kind, and nothing else.
 *
 *	gcc -static -no-pie -O2 -o vmm vmm.c vmm-guest.c vmm-guest.S -pthread
 *	vmm cpuid=23 out-kernel=17 leaf:0x4ffffffd=0-100,0xdead
 *
 * Each vCPU executes the steps in order. The result is lines of fields between
 * tabs, the first three the kind of line, the VM's and the vCPU's number:
 *
 *	vm VM - DIR VENDOR		its folder in /sys/kernel/debug/kvm
 *	step VM VCPU NAME N MIN MEAN MAX	TSC ticks round each iteration,
 *				as the guest reads them
 *	leaf VM VCPU LEAF ECX EAX EBX ECX EDX	what CPUID answered;
 *				all but LEAF in decimal
 *	made VM VCPU KIND N	intercepted instructions executed, by kind
 *	known VM VCPU REASON N	exits of that reason number that ended with an
 *				entry: exactly so many, for kinds that have a row
 *				of their own (in real mode only with
 *				unrestricted_guest=1)
 *	user VM VCPU KIND N	returns of KVM_RUN, by kind
 *	time VM VCPU run|user CYCLES	first KVM_RUN to last return, and the part
 *				of it between a return and the next KVM_RUN
 *	fault VM VCPU - N	#GP and #UD the guest took and skipped
 *	bad VM VCPU - N		answers that break the rules of the leaves
 *	digest VM VCPU - N	of all answers to the steps `random` and `sweep`
 *	fail VM - HOW FAILED CREATED	creations of a vCPU that failed, and those that
 *				did not (--fail)
 *	stat VM VCPU NAME N...	KVM's own statistics (--stats), of a histogram all
 *				buckets
 *
 * Exit status: 0; 1 failed; 2 usage; 77 this host's KVM cannot do it.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "vmm.h"

#define MAX_SCRIPTS	8
#define MAX_SETS	4

#define DEBUGFS		"/sys/kernel/debug/"
#define SWITCH		"/sys/module/kvm/parameters/exit_cycles"

#define NO_DIGEST	0xcbf29ce484222325	/* where FNV-1a begins */

#define EX_FAILED	1
#define EX_MISUSE	2
#define EX_UNSUPPORTED	77

/* What a guest's instruction can be, for the account of what was made. */
enum kind { CPUID, IO, RDMSR, WRMSR, EOI, HLT, HYPERCALL, EPT, MMIO_ACCESS, TRIPLE, KINDS };

static const struct {
	const char *name;
	int vmx, svm;			/* reason, if the kind is all that reason has */
} kinds[KINDS] = {
	[CPUID]		= { "cpuid", 10, 0x72 },
	[IO]		= { "io", 30, 0x7b },
	[RDMSR]		= { "rdmsr", -1, -1 },
	[WRMSR]		= { "wrmsr", -1, -1 },
	[EOI]		= { "eoi", -1, -1 },
	[HLT]		= { "hlt", 12, 0x78 },
	[HYPERCALL]	= { "hypercall", 18, 0x81 },
	[EPT]		= { "ept", -1, -1 },
	[MMIO_ACCESS]	= { "mmio", -1, -1 },
	[TRIPLE]	= { "triple", 2, 0x7f },
};

enum mode { LONG, PROTECTED, REAL, BIGREAL };
static const char *const modes[] = { "long", "protected", "real", "bigreal" };

/* What a step needs. */
#define ANY_MODE	0x01
#define ANY_RING	0x02
#define IRQCHIP		0x04
#define NO_IRQCHIP	0x08
#define NESTED		0x10
#define ONLY_SVM	0x20
#define ASKS		0x40

struct made {
	enum kind kind;
	int each, once;			/* exits per iteration, per step */
};

static const struct {
	const char *name, *help;
	uint32_t op, needs, a, b, skip;
	struct made made[3];
} ops[] = {
	{ "cpuid", "[:LEAF[:ECX]] CPUID", OP_CPUID, ANY_MODE | ANY_RING, 0, 0, 2, { { CPUID, 1, 0 } } },
	{ "leaf", ":LEAF=ECX,A-B,... CPUID, printed", OP_LEAF, ANY_MODE | ANY_RING, 0, 0, 2, { { CPUID, 1, 0 } } },
	{ "out-kernel", "[:PORT] OUT to the slave PIC, handled in the kernel", OP_OUT, ANY_MODE | ANY_RING | IRQCHIP, PORT_KERNEL, 0xff, 0, { { IO, 1, 0 } } },
	{ "in", "[:PORT] IN from the slave PIC, handled in the kernel", OP_IN, ANY_MODE | ANY_RING | IRQCHIP, PORT_KERNEL, 0, 0, { { IO, 1, 0 } } },
	{ "ins", "[:PORT] the same by a string instruction", OP_INS, ANY_RING | IRQCHIP, PORT_KERNEL, 0, 0, { { IO, 1, 0 } } },
	{ "out-user", "OUT, handled in user space", OP_OUT, ANY_MODE | ANY_RING, PORT_USER, 0, 0, { { IO, 1, 0 } } },
	{ "sleep-user", "[:MS] OUT, for which the monitor sleeps (50)", OP_OUT, ANY_MODE | ANY_RING, PORT_SLEEP, 50, 0, { { IO, 1, 0 } } },
	{ "shell", "OUT, for which the monitor runs --at COMMAND", OP_OUT, ANY_MODE | ANY_RING, PORT_SHELL, 0, 0, { { IO, 1, 0 } } },
	{ "set", ":N OUT, for which the monitor writes the Nth --set", OP_OUT, ANY_MODE | ANY_RING, PORT_SET, 0, 0, { { IO, 1, 0 } } },
	{ "wait-uninit", "[:MS] OUT, then KVM_RUN uninitialised, for MS (100)", OP_OUT, ANY_RING | IRQCHIP, PORT_UNINIT, 100, 0, { { IO, 1, 0 } } },
	{ "wait-sipi", "[:MS] OUT, then KVM_RUN waiting for SIPI, for MS (100)", OP_OUT, ANY_RING | IRQCHIP, PORT_SIPI, 100, 0, { { IO, 1, 0 } } },
	{ "rdmsr", "[:MSR] RDMSR (0x8b)", OP_RDMSR, ANY_MODE, 0x8b, 0, 2, { { RDMSR, 1, 0 } } },
	{ "wrmsr-slow", "[:MSR[:VALUE]] WRMSR (0x8b)", OP_WRMSR, ANY_MODE, 0x8b, 0, 2, { { WRMSR, 1, 0 } } },
	{ "wrmsr-fast", "WRMSR to the TSC deadline, far ahead", OP_DEADLINE_FAR, IRQCHIP, 0, 0, 0, { { WRMSR, 1, 1 } } },
	{ "ipi", "WRMSR to the x2APIC's ICR, to itself", OP_IPI, IRQCHIP, 0, 0, 0, { { WRMSR, 1, 0 }, { EOI, 0, 1 } } },
	{ "deadline", "[:TICKS] TSC deadline, taken (20000)", OP_DEADLINE, IRQCHIP, 20000, 0, 0, { { WRMSR, 1, 0 }, { EOI, 1, 0 } } },
	{ "hlt", "[:TICKS] HLT, woken by the TSC deadline (100000)", OP_HLT, IRQCHIP, 100000, 0, 0, { { HLT, 1, 0 }, { WRMSR, 1, 0 }, { EOI, 1, 0 } } },
	{ "hlt-late", "[:TICKS:MS] HLT, woken while a thread above all others has the CPU for MS (20000000, 50)", OP_HLT, IRQCHIP | ASKS, 20000000, 50, 0, { { HLT, 1, 0 }, { WRMSR, 1, 0 }, { EOI, 1, 0 } } },
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
	{ "nested-out", "OUT by a nested guest, passed by L1", OP_NESTED_OUT, NESTED | IRQCHIP, 0, 0, 0, { { IO, 1, 0 }, { HYPERCALL, 0, 1 } } },
	{ "nested-leaf", ":LEAF=ECX,A-B,... leaf by a nested guest, asked by L1", OP_NESTED_LEAF, NESTED, 0, 0, 0, { { CPUID, 2, 0 }, { HYPERCALL, 1, 0 } } },
	{ "nested-leaf-pass", ":LEAF=ECX,A-B,... the same, not intercepted by L1", OP_NESTED_LEAF, NESTED | ONLY_SVM, 0, 0, 0, { { CPUID, 1, 0 }, { HYPERCALL, 1, 0 } } },
	{ "nested-random", "[:SEED] random by a nested guest, asked by L1", OP_NESTED_RANDOM, NESTED, 1, 0, 0, { { CPUID, 2, 0 }, { HYPERCALL, 1, 0 } } },
	{ "nested-random-pass", "[:SEED] the same, not intercepted by L1", OP_NESTED_RANDOM, NESTED | ONLY_SVM, 1, 0, 0, { { CPUID, 1, 0 }, { HYPERCALL, 1, 0 } } },
	{ "triple", "triple fault; the last step", OP_TRIPLE, 0, 0, 0, 0, { { TRIPLE, 1, 0 } } },
};
#define OPS (sizeof(ops) / sizeof(ops[0]))

enum user { U_IO, U_SLEEP, U_SHELL, U_SET, U_WAIT, U_LOG, U_DONE, U_MMIO, U_HLT, U_SHUTDOWN, U_FAIL_ENTRY, U_INTR, USERS };
static const char *const users[USERS] = { "io", "sleep", "shell", "set", "wait", "log", "done", "mmio", "hlt", "shutdown", "fail-entry", "intr" };

static struct {
	int vms, vcpus, spare, ring, page_in, tsc;
	enum mode mode;
	bool together, pin, migrate, stats, hold, high_ids, quiet, loop, cpuid_fault, bad_entry, irqchip,
	     done_mmio, fail, late, populate;
	uint64_t rounds;
	const char *before, *after, *at, *set[MAX_SETS];
	int sets;
	struct kvm_cpuid_entry2 entry[8];
	int entries;
} opt = { .vms = 1, .vcpus = 1, .irqchip = true, .rounds = 1 };

/* vCPU n runs script n, and round again. */
struct script {
	struct step step[MAX_STEPS];
	int op[MAX_STEPS];		/* index into ops */
	int steps;
	uint32_t leaves, fresh, last;	/* of the pages: how many, and the first of the last step */
};

static struct script scripts[MAX_SCRIPTS];
static int nscripts = 1;
static uint32_t needs, fresh;		/* of any script; the most pages of one */

struct vcpu {
	struct vm *vm;
	const struct script *script;
	struct guest *g;
	struct kvm_run *run;
	pthread_t thread;
	int index, fd;
	uint64_t rounds, user[USERS];
	uint64_t run_cycles, user_cycles;
	bool waits;			/* not runnable, until a signal */
};

struct vm {
	struct vcpu *vcpu;
	pthread_t asked;
	pthread_barrier_t start;
	uint8_t *low, *fresh;
	size_t low_size, fresh_size;
	int fd, number, running;
};

extern char __executable_start[], end[];

static int kvm, run_size;
static bool svm;
static struct kvm_cpuid2 *cpuid;
static volatile sig_atomic_t stop;

static __attribute__((format(printf, 1, 2), noreturn)) void unsupported(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vwarnx(format, ap);
	va_end(ap);
	exit(EX_UNSUPPORTED);
}

static uint64_t rdtsc(void)
{
	return __builtin_ia32_rdtsc();
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int call(int fd, unsigned long request, void *arg, const char *what)
{
	int r = ioctl(fd, request, arg);

	if (r < 0)
		err(EX_FAILED, "%s", what);
	return r;
}
#define CALL(fd, request, arg) call(fd, request, (void *)(uintptr_t)(arg), #request)

/* --- the script --- */

static bool number(const char **s, uint32_t *value)
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
	} else if (s->op == OP_EPT || s->op == OP_COW) {
		s->b = script->last = script->fresh;
		if (count > 100000)
			errx(EX_MISUSE, "ept: more than 100000 pages");
		script->fresh += count + 1;
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
	for (size_t i = 0; i < OPS; i++)
		if (strlen(ops[i].name) == length && !strncmp(ops[i].name, name, length))
			return i;
	return -1;
}

/* Whether what follows the name is b: a is what the step is. */
static bool takes_b(int op)
{
	return ops[op].op == OP_ASK || (ops[op].op == OP_OUT && ops[op].a >= PORT_SLEEP);
}

static bool parse_step(struct script *script, const char *text)
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

/* --- the machine --- */

static void open_kvm(void)
{
	struct kvm_cpuid_entry2 *e;
	bool nested = false;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		unsupported("/dev/kvm: %s (is a kvm module loaded?)", strerror(errno));
	if ((uintptr_t)end > 1 << 30)
		errx(EX_FAILED, "linked too high for its guests (build with -static -no-pie)");
	run_size = CALL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(*e));
	if (!cpuid)
		err(EX_FAILED, "calloc");
	cpuid->nent = 248;
	CALL(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	svm = true;
	for (e = cpuid->entries; e < cpuid->entries + cpuid->nent; e++) {
		if (e->function == 0)
			svm = e->ebx != 0x756e6547;	/* "Genu" */
		if (e->function == 1) {
			nested |= e->ecx >> 5 & 1;
			e->ecx |= 1 << 21 | 1 << 24;	/* x2APIC, TSC deadline */
		}
		if (e->function == 0x80000001)
			nested |= e->ecx >> 2 & 1;
	}
	memcpy(cpuid->entries + cpuid->nent, opt.entry, opt.entries * sizeof(*e));
	cpuid->nent += opt.entries;

	if (needs & NESTED && !nested)
		unsupported("nested: KVM offers no virtualization to guests (module parameter nested=0?)");
	if (needs & ONLY_SVM && !svm)
		unsupported("nested-leaf-pass: on VMX every CPUID of a nested guest goes to L1");
	if (opt.irqchip && ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) <= 0)
		unsupported("KVM has no TSC deadline timer");
}

static void add_memory(struct vm *vm, int slot, uint64_t gpa, void *memory, size_t size, int flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .guest_phys_addr = gpa, .flags = flags,
		.userspace_addr = (uintptr_t)memory, .memory_size = size,
	};

	if (size)
		CALL(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(EX_FAILED, "mmap of %zu bytes", size);
	return p;
}

static void build_tables(struct vm *vm)
{
	uint64_t *pml4 = (uint64_t *)(vm->low + PAGE_TABLES);
	uint64_t *idt = (uint64_t *)(vm->low + IDT);
	const uint64_t flags = 0x67;		/* present, written, any ring, A, D */
	uint64_t fault = blob32_fault - blob32;
	int i;

	pml4[0] = (PAGE_TABLES + 0x1000) | flags;
	for (i = 0; i < 4; i++)
		pml4[512 + i] = (PAGE_TABLES + 0x2000 + 0x1000 * i) | flags;
	for (i = 0; i < 4 * 512; i++)
		pml4[1024 + i] = (uint64_t)i << 21 | 0x80 | flags;

	for (i = 0; i < VECTORS; i++) {
		uint64_t rip = guest_vectors[i];

		idt[2 * i] = (rip & 0xffff) | GDT_CODE(0) << 16 | 1ull << 32 | 0x8eull << 40 |
			     (rip >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = rip >> 32;
	}
	if (opt.mode == PROTECTED) {
		memcpy(vm->low + BLOB, blob32, blob32_end - blob32);
		idt[13] = (fault & 0xffff) | GDT_CODE(opt.ring) << 16 | 0x8eull << 40;
	} else if (opt.mode != LONG)
		memcpy(vm->low + BLOB, blob16, blob16_end - blob16);
}

/* --page-in: gives the pages that are asked for at the file, as a post-copy migration does. */
static void *page_server(void *file)
{
	struct uffd_msg message;

	while (read((int)(intptr_t)file, &message, sizeof(message)) == sizeof(message)) {
		struct uffdio_zeropage page = { .range = { message.arg.pagefault.address & -4096ull, 4096 } };

		usleep(opt.page_in * 1000);
		CALL((int)(intptr_t)file, UFFDIO_ZEROPAGE, &page);
	}
	err(EX_FAILED, "userfaultfd");
}

/* Have the pages that nobody has touched come late. */
static void send_pages_late(struct vm *vm)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register all = {
		.range = { (uintptr_t)vm->fresh, vm->fresh_size },
		.mode = UFFDIO_REGISTER_MODE_MISSING
	};
	int file = syscall(SYS_userfaultfd, O_CLOEXEC);
	pthread_t thread;

	if (file < 0)
		err(EX_UNSUPPORTED, "userfaultfd");
	CALL(file, UFFDIO_API, &api);
	CALL(file, UFFDIO_REGISTER, &all);
	errno = pthread_create(&thread, NULL, page_server, (void *)(intptr_t)file);
	if (errno)
		err(EX_FAILED, "pthread_create");
}

static void create_vm(struct vm *vm, int index)
{
	uintptr_t image = (uintptr_t)__executable_start & -4096ul;
	uint64_t identity = 0xfffbc000;

	*vm = (struct vm){ .number = index, .running = opt.vcpus };
	vm->fd = CALL(kvm, KVM_CREATE_VM, 0);
	CALL(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	CALL(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (opt.irqchip)
		CALL(vm->fd, KVM_CREATE_IRQCHIP, 0);

	vm->low_size = (size_t)GUEST_SIZE * (opt.vcpus + 1);
	vm->low = memory(vm->low_size);
	vm->fresh_size = (size_t)fresh * opt.vcpus << 12;
	vm->fresh = memory(vm->fresh_size + 4096);
	madvise(vm->fresh, vm->fresh_size, MADV_NOHUGEPAGE);	/* EINVAL: no huge pages at all */
	if (opt.populate && madvise(vm->fresh, vm->fresh_size, MADV_POPULATE_WRITE))
		err(EX_FAILED, "MADV_POPULATE_WRITE");
	if (opt.page_in)
		send_pages_late(vm);
	build_tables(vm);
	add_memory(vm, 0, 0, vm->low, vm->low_size, 0);
	add_memory(vm, 1, image, (void *)image, ((uintptr_t)end - image + 4095) & -4096ul, KVM_MEM_READONLY);
	add_memory(vm, 2, FRESH, vm->fresh, vm->fresh_size, 0);

	vm->vcpu = calloc(opt.vcpus + opt.spare, sizeof(*vm->vcpu));
	if (!vm->vcpu)
		err(EX_FAILED, "calloc");
	pthread_barrier_init(&vm->start, NULL, opt.late ? 1 : opt.vcpus);
}

static void set_msr(struct vcpu *v, uint32_t index, uint64_t data)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} msrs = { .header.nmsrs = 1, .entry = { .index = index, .data = data } };

	if (CALL(v->fd, KVM_SET_MSRS, &msrs) != 1)
		errx(EX_FAILED, "KVM_SET_MSRS: MSR %#x cannot be set to %#" PRIx64, index, data);
}

static void init_guest(struct vcpu *v)
{
	struct guest *g = v->g;
	uint64_t gpa = (uint64_t)(v->index + 1) << GUEST_SHIFT;
	uint64_t stack = gpa + offsetof(struct guest, interrupt_stack) + sizeof(g->interrupt_stack);
	int i;

	g->svm = svm;
	g->apic_id = v->index;
	g->done_mmio = opt.done_mmio;
	g->digest = NO_DIGEST;
	memcpy(g->step, v->script->step, sizeof(g->step));
	for (i = 0; i < v->script->steps; i++) {
		g->result[i].min = UINT64_MAX;
		if (g->step[i].op == OP_EPT || g->step[i].op == OP_COW)
			g->step[i].b += v->index * fresh;
	}
	for (i = 0; i < 4; i++) {
		g->gdt[GDT_CODE(i) / 8] = 0x00af9b000000ffff | (uint64_t)i << 45;
		g->gdt[GDT_DATA(i) / 8] = 0x00cf93000000ffff | (uint64_t)i << 45;
	}
	if (opt.mode == PROTECTED)			/* for its own ring only */
		g->gdt[GDT_CODE(opt.ring) / 8] = 0x00cf9b000000ffff | (uint64_t)opt.ring << 45 | (uint64_t)BLOB << 16;
	memcpy(g->tss + 0x04, &stack, 8);		/* RSP0 */
	memcpy(g->tss + 0x24, &stack, 8);		/* IST1 */
}

static void init_sregs(struct vcpu *v)
{
	uint64_t gpa = (uint64_t)(v->index + 1) << GUEST_SHIFT;
	struct kvm_segment data, code;
	struct kvm_sregs s;

	CALL(v->fd, KVM_GET_SREGS, &s);
	data = (struct kvm_segment){ .limit = 0xffffffff, .type = 3, .present = 1, .s = 1,
				     .db = 1, .g = 1, .dpl = opt.ring };
	if (opt.mode <= PROTECTED) {
		s.gdt.base = gpa + offsetof(struct guest, gdt);
		s.gdt.limit = sizeof(v->g->gdt) - 1;
		s.idt.base = IDT;
		s.idt.limit = 0xfff;
	}
	if (opt.mode == LONG) {
		data.selector = GDT_DATA(opt.ring);
		code = data;
		code.selector = GDT_CODE(opt.ring);
		code.l = 1;
		code.db = opt.bad_entry;
		s.gs = data;
		s.gs.base = gpa;
		s.cr0 = 0x80010033;			/* PG WP NE ET MP PE */
		s.cr3 = PAGE_TABLES;
		s.cr4 = 1 << 5 | (needs & NESTED && !svm ? 1 << 13 : 0);
		s.efer = 1 << 8 | 1 << 10 | (needs & NESTED && svm ? 1 << 12 : 0);
		s.tr = (struct kvm_segment){ .base = gpa + offsetof(struct guest, tss), .limit = 0x67,
					     .selector = GDT_TSS, .type = 11, .present = 1 };
		s.ds = s.es = s.fs = s.ss = data;
	} else if (opt.mode == PROTECTED) {
		data.selector = GDT_DATA(opt.ring);
		s.es = s.fs = s.gs = data;
		data.base = gpa;
		s.ds = s.ss = data;
		code = data;
		code.selector = GDT_CODE(opt.ring);
		code.base = BLOB;
		s.cr0 |= 0x31;
	} else {
		data = (struct kvm_segment){ .base = gpa, .selector = gpa >> 4, .limit = 0xffff,
					     .type = 3, .present = 1, .s = 1 };
		s.ds = s.es = s.fs = s.gs = s.ss = data;
		if (opt.mode == BIGREAL) {		/* no state for virtual-8086 mode */
			s.fs.limit = 0xffffffff;
			s.fs.g = 1;
		}
		code = data;
		code.base = BLOB;
		code.selector = BLOB >> 4;
	}
	code.type = 11;
	s.cs = code;
	if (opt.irqchip)
		s.apic_base = 0xfee00000 | 3 << 10 | (v->index ? 0 : 1 << 8);	/* x2APIC */
	CALL(v->fd, KVM_SET_SREGS, &s);
}

static void init_vcpu(struct vcpu *v)
{
	uint64_t gpa = (uint64_t)(v->index + 1) << GUEST_SHIFT;
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_regs regs = { .rflags = 2 | (opt.ring ? 3 << 12 : 0) };
	struct kvm_lapic_state lapic;
	struct kvm_cpuid_entry2 *e;
	struct kvm_cpuid2 *mine;
	size_t size = sizeof(*cpuid) + cpuid->nent * sizeof(*e);

	v->g = (struct guest *)(v->vm->low + gpa);
	init_guest(v);

	mine = malloc(size);
	if (!mine)
		err(EX_FAILED, "malloc");
	memcpy(mine, cpuid, size);
	for (e = mine->entries; e < mine->entries + mine->nent; e++) {
		if (e->function == 1)
			e->ebx = (e->ebx & 0xffffff) | (uint32_t)v->index << 24;
		if (e->function == 0xb || e->function == 0x1f)
			e->edx = v->index;
	}
	CALL(v->fd, KVM_SET_CPUID2, mine);
	free(mine);

	if (needs & NESTED && !svm)
		set_msr(v, 0x3a, 5);		/* VMX allowed, locked */
	if (opt.cpuid_fault)
		set_msr(v, 0x140, 1);
	if (opt.tsc)
		CALL(v->fd, KVM_SET_TSC_KHZ, (uint64_t)CALL(v->fd, KVM_GET_TSC_KHZ, 0) * opt.tsc / 100);
	init_sregs(v);

	if (opt.mode == LONG) {
		regs.rip = (uintptr_t)guest_main;
		regs.rdi = gpa;
		regs.rsp = gpa + G_STACK - 8;
	} else {
		regs.rsp = G_STACK;
	}
	CALL(v->fd, KVM_SET_REGS, &regs);

	if (opt.irqchip) {
		CALL(v->fd, KVM_GET_LAPIC, &lapic);
		*(uint32_t *)(lapic.regs + 0x0f0) = 0x1ff;			/* on */
		*(uint32_t *)(lapic.regs + 0x320) = VECTOR_TIMER | 2 << 17;	/* TSC deadline */
		CALL(v->fd, KVM_SET_LAPIC, &lapic);
		CALL(v->fd, KVM_SET_MP_STATE, &runnable);
	}
}

/* --- running --- */

static cpu_set_t allowed;

/* Put a thread on the n-th CPU there is, and round again. */
static void pin(pthread_t thread, int n)
{
	cpu_set_t one;
	int cpu = 0;

	for (n %= CPU_COUNT(&allowed); !CPU_ISSET(cpu, &allowed) || n-- > 0; cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_setaffinity_np(thread, sizeof(one), &one);
}

/*
 * COMMAND sees the folders of the VMs there are in VMM_DIRS, and how often it
 * was called by this vCPU in VMM_AT.
 */
static void shell(const char *command, uint64_t at)
{
	char *text;
	int status;

	if (!command)
		return;
	if (asprintf(&text, "VMM_AT=%" PRIu64 "; %s", at, command) < 0)
		err(EX_FAILED, "asprintf");
	fflush(stdout);
	status = system(text);
	if (status)
		errx(EX_FAILED, "%s: failed (wait status %#x)", command, status);
	free(text);
}

/* Write "FD TEXT", with the vCPU's own FD, to the file of the module set_account. */
static void set_account(const struct vcpu *v, uint32_t n)
{
	int file = open(DEBUGFS "set_account", O_WRONLY | O_CLOEXEC);

	if (n >= (uint32_t)opt.sets)
		errx(EX_FAILED, "set: there is no --set %u", n);
	if (file < 0 || dprintf(file, "%d %s", v->fd, opt.set[n]) < 0)
		err(EX_FAILED, DEBUGFS "set_account: %s (is the module loaded?)", opt.set[n]);
	close(file);
}

static void set_state(struct vcpu *v, uint32_t state)
{
	struct kvm_mp_state mp_state = { .mp_state = state };

	CALL(v->fd, KVM_SET_MP_STATE, &mp_state);
	v->waits = state != KVM_MP_STATE_RUNNABLE;
}

/* The next KVM_RUN is to wait; a signal ends it after so long. */
static void wait_in_kvm(struct vcpu *v, uint32_t state, uint32_t ms)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
	struct itimerspec after = { .it_value.tv_nsec = ms * 1000000l };
	timer_t timer;

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &after, NULL))
		err(EX_FAILED, "timer");
	set_state(v, state);
}

/* As a migration does, once for each of its passes. It is no change to set the flag again. */
static void log_dirty(struct vm *vm)
{
	struct kvm_dirty_log log = { .slot = 2, .dirty_bitmap = calloc(fresh * opt.vcpus / 64 + 1, 8) };

	if (!log.dirty_bitmap)
		err(EX_FAILED, "calloc");
	add_memory(vm, 2, FRESH, vm->fresh, vm->fresh_size, KVM_MEM_LOG_DIRTY_PAGES);
	CALL(vm->fd, KVM_GET_DIRTY_LOG, &log);
	free(log.dirty_bitmap);
}

/* What one return of KVM_RUN was; whatever a script cannot cause is an error. */
static enum user classify(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint32_t value;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.direction == KVM_EXIT_IO_IN)
			return U_IO;
		memcpy(&value, (uint8_t *)run + run->io.data_offset, run->io.size);
		switch (run->io.port) {
		case PORT_USER:
			return U_IO;
		case PORT_SLEEP:
			usleep((value & 0xff) * 1000);
			return U_SLEEP;
		case PORT_SHELL:
			shell(opt.at, v->user[U_SHELL] + 1);
			return U_SHELL;
		case PORT_SET:
			set_account(v, value & 0xff);
			return U_SET;
		case PORT_UNINIT:
			wait_in_kvm(v, KVM_MP_STATE_UNINITIALIZED, value & 0xff);
			return U_WAIT;
		case PORT_SIPI:
			wait_in_kvm(v, KVM_MP_STATE_INIT_RECEIVED, value & 0xff);
			return U_WAIT;
		case PORT_LOG:
			log_dirty(v->vm);
			return U_LOG;
		case PORT_DONE:
			return U_DONE;
		}
		errx(EX_FAILED, "vCPU %d: guest gave up: %#x at port %#x", v->index, value, run->io.port);
	case KVM_EXIT_MMIO:
		return run->mmio.phys_addr == MMIO_DONE ? U_DONE : U_MMIO;
	case KVM_EXIT_HLT:
		return U_HLT;
	case KVM_EXIT_SHUTDOWN:
		if (v->script->steps && v->script->step[v->script->steps - 1].op == OP_TRIPLE)
			return U_SHUTDOWN;
		errx(EX_FAILED, "vCPU %d: triple fault", v->index);
	case KVM_EXIT_FAIL_ENTRY:
		if (opt.bad_entry)
			return U_FAIL_ENTRY;
		errx(EX_FAILED, "vCPU %d: entry failed: %#llx", v->index,
		     run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		errx(EX_FAILED, "vCPU %d: KVM's internal error %u", v->index, run->internal.suberror);
	}
	errx(EX_FAILED, "vCPU %d: unexpected exit %u", v->index, run->exit_reason);
}

/* The script ran once. Whether to run it again, with fresh pages. */
static bool another_round(struct vcpu *v)
{
	size_t share = (size_t)fresh << 12;

	v->rounds++;
	if (stop || (opt.rounds && v->rounds >= opt.rounds))
		return false;
	if (share && madvise(v->vm->fresh + share * v->index, share, MADV_DONTNEED))
		err(EX_FAILED, "madvise");
	return true;
}

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;
	uint64_t begin, left;
	enum user what;

	if (opt.pin)
		pin(pthread_self(), v->index);
	pthread_barrier_wait(&v->vm->start);
	begin = left = rdtsc();
	do {
		v->user_cycles += rdtsc() - left;
		if (ioctl(v->fd, KVM_RUN, 0) == 0)
			what = U_DONE;
		else if (errno == EINTR)
			what = U_INTR;
		else
			err(EX_FAILED, "vCPU %d: KVM_RUN", v->index);
		left = rdtsc();
		if (what != U_INTR)
			what = classify(v);
		else if (v->waits)
			set_state(v, KVM_MP_STATE_RUNNABLE);
		v->user[what]++;
	} while (what != U_SHUTDOWN && what != U_FAIL_ENTRY && (what != U_DONE || another_round(v)));
	v->run_cycles = left - begin;
	__atomic_sub_fetch(&v->vm->running, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* --- what guests ask for that must not exit --- */

static void write_file(const char *path, const char *value)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);

	if (file < 0 && errno == ENOENT)
		unsupported("%s: no such file (a kernel with fault injection?)", path);
	if (file < 0 || write(file, value, strlen(value)) < 0)
		err(EX_FAILED, "%s: %s", path, value);
	close(file);
}

/* How long the handler of ASK_SIGNAL takes. */
static volatile sig_atomic_t signal_us;

static void on_usr1(int signal)
{
	(void)signal;
	usleep(signal_us);
}

/* A thread above all others, so that what it does is one step to its CPU. */
static void answer(struct vcpu *v)
{
	uint64_t begin = now_ns();
	char path[64];

	pin(pthread_self(), v->g->ask == ASK_HOG ? v->index : v->index + 1);
	switch (v->g->ask) {
	case ASK_RESET:
		snprintf(path, sizeof(path), DEBUGFS "kvm/%d-%d/exit_cycles_reset", getpid(), v->vm->fd);
		write_file(path, "0");
		usleep(v->g->ask_b);
		break;
	case ASK_SWITCH:
		write_file(SWITCH, "N");
		usleep(v->g->ask_b);
		write_file(SWITCH, "Y");
		break;
	case ASK_SIGNAL:
		signal_us = v->g->ask_b * 1000;
		pthread_kill(v->thread, SIGUSR1);
		usleep(signal_us);
		break;
	case ASK_HOG:
		while (now_ns() - begin < v->g->ask_b * 1000000ull)
			;
	}
	__atomic_store_n(&v->g->ask, 0, __ATOMIC_SEQ_CST);
}

static void *answer_asks(void *arg)
{
	struct sched_param first = { .sched_priority = 1 };
	struct vm *vm = arg;

	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &first))
		errx(EX_FAILED, "SCHED_FIFO");
	while (__atomic_load_n(&vm->running, __ATOMIC_SEQ_CST)) {
		usleep(1000);
		for (int i = 0; i < opt.vcpus; i++)
			if (__atomic_load_n(&vm->vcpu[i].g->ask, __ATOMIC_SEQ_CST))
				answer(&vm->vcpu[i]);
	}
	return NULL;
}

/* --- creation that fails --- */

/* How a creation fails: only at its nth allocation, or at all after so much. */
static const struct {
	const char *name, *knob, *space;
	int step;
} fails[] = {
	{ "once", "/proc/thread-self/fail-nth", NULL, 1 },
	{ "slab", "/proc/thread-self/make-it-fail", DEBUGFS "failslab/space", 512 },
	{ "pages", "/proc/thread-self/make-it-fail", DEBUGFS "fail_page_alloc/space", 1 },
};

static void prepare_fails(void)
{
	static const char *const knobs[][2] = {
		{ "ignore-gfp-wait", "N" }, { "task-filter", "Y" }, { "verbose", "0" },
		{ "interval", "1" }, { "times", "-1" }, { "probability", "100" },
	};
	static const char *const kinds[] = { "failslab", "fail_page_alloc" };
	char path[64];

	for (size_t i = 0; i < 2 * sizeof(knobs) / sizeof(knobs[0]); i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s", kinds[i & 1], knobs[i / 2][0]);
		write_file(path, knobs[i / 2][1]);
	}
	write_file(DEBUGFS "fail_page_alloc/min-order", "0");
	write_file(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N");
}

/*
 * A vCPU that was created, though debugfs may have failed to make its folder or any
 * file there: what is there has to work.
 */
static void check_files(const char *folder)
{
	static const char *const names[] = {
		"exit_cycles_reset", "exit_cycles", "exit_cycles_hist", "exit_cycles_keys", "exit_cycles_slow"
	};
	char path[128], text[32];
	int file;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		file = open(path, (i ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
		if (file < 0 && errno == ENOENT)
			continue;
		if (file < 0)
			err(EX_FAILED, "%s", path);
		if (i ? read(file, text, sizeof(text)) != sizeof(text) ||
		    strncmp(text, "# exit_cycles 1\t", 16) : write(file, "0", 1) != 1)
			errx(EX_FAILED, "%s: half-made", path);
		close(file);
	}
}

/*
 * KVM_CREATE_VCPU with every failure of a kind, until there is none left to
 * fail. What failed has to leave no folder, and what did not none that is
 * half-made; `id` is the next that is free.
 */
static void fail_kind(struct vm *vm, int kind, int *id)
{
	int knob = open(fails[kind].knob, O_RDWR | O_CLOEXEC);
	int n, fd, error, failed = 0, created = 0;
	char text[16], path[96];
	struct stat st;

	if (knob < 0)
		unsupported("%s: %s (a kernel with fault injection?)", fails[kind].knob, strerror(errno));
	for (n = !fails[kind].space; ; n++) {
		snprintf(text, sizeof(text), "%d", n * fails[kind].step);
		if (fails[kind].space) {
			write_file(DEBUGFS "failslab/space", "1000000000");
			write_file(DEBUGFS "fail_page_alloc/space", "1000000000");
			write_file(fails[kind].space, text);
			strcpy(text, "1");
		}
		if (pwrite(knob, text, strlen(text), 0) < 0)
			err(EX_FAILED, "%s", fails[kind].knob);
		fd = ioctl(vm->fd, KVM_CREATE_VCPU, *id);
		error = errno;
		memset(text, 0, sizeof(text));
		if (pread(knob, text, sizeof(text) - 1, 0) < 0 || pwrite(knob, "0", 1, 0) < 0)
			err(EX_FAILED, "%s", fails[kind].knob);

		snprintf(path, sizeof(path), DEBUGFS "kvm/%d-%d/vcpu%d", getpid(), vm->fd, *id);
		if (fd < 0) {
			if (error != ENOMEM)
				errx(EX_FAILED, "KVM_CREATE_VCPU, %s %d: %s", fails[kind].name, n, strerror(error));
			if (!stat(path, &st))
				errx(EX_FAILED, "%s: is there, though its vCPU is not", path);
			failed++;
			continue;
		}
		check_files(path);
		close(fd);
		++*id;
		created++;
		/* fail-nth counts down: above 0, there were fewer allocations */
		if (fails[kind].space ? created == 8 : atoi(text))
			break;
	}
	close(knob);
	printf("fail\t%d\t-\t%s\t%d\t%d\n", vm->number, fails[kind].name, failed, created);
}

static void fail_creations(struct vm *vm)
{
	int id = MAX_VCPUS;

	prepare_fails();
	for (size_t kind = 0; kind < sizeof(fails) / sizeof(fails[0]); kind++)
		fail_kind(vm, kind, &id);
}

static void create_vcpu(struct vm *vm, int i)
{
	int top = CALL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID) - 1;
	struct vcpu *v = &vm->vcpu[i];

	v->vm = vm;
	v->index = i;
	v->script = &scripts[i % nscripts];
	v->fd = CALL(vm->fd, KVM_CREATE_VCPU, opt.high_ids ? top - i : i);
	v->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		err(EX_FAILED, "mmap of vCPU %d", i);
	if (i < opt.vcpus)
		init_vcpu(v);
}

static void create_vcpus(struct vm *vm)
{
	for (int i = 0; i < opt.vcpus + opt.spare; i++)
		create_vcpu(vm, i);
}

static void start_thread(pthread_t *thread, void *(*function)(void *), void *arg)
{
	int error = pthread_create(thread, NULL, function, arg);

	if (error)
		errx(EX_FAILED, "pthread_create: %s", strerror(error));
}

/* With --late, all but the first are created only now. */
static void start_vm(struct vm *vm)
{
	int i;

	for (i = 0; i < opt.vcpus; i++) {
		if (opt.late && i) {
			usleep(5000);
			create_vcpu(vm, i);
		}
		start_thread(&vm->vcpu[i].thread, run_vcpu, &vm->vcpu[i]);
	}
	if (needs & ASKS)
		start_thread(&vm->asked, answer_asks, vm);
	for (; opt.late && i < opt.vcpus + opt.spare; i++)
		create_vcpu(vm, i);
}

/* Move every vCPU's thread to another CPU, again and again, while any runs. */
static void migrate(struct vm *vm, int vms)
{
	int i, j, running, n = 0;

	do {
		usleep(1000);
		n++;
		for (i = running = 0; i < vms; i++) {
			running += __atomic_load_n(&vm[i].running, __ATOMIC_SEQ_CST);
			for (j = 0; j < opt.vcpus; j++)
				pin(vm[i].vcpu[j].thread, n + j);
		}
	} while (running);
}

static void destroy_vm(struct vm *vm)
{
	int i;

	for (i = 0; i < opt.vcpus + opt.spare; i++) {
		munmap(vm->vcpu[i].run, run_size);
		close(vm->vcpu[i].fd);
	}
	close(vm->fd);
	munmap(vm->low, vm->low_size);
	munmap(vm->fresh, vm->fresh_size + 4096);
	pthread_barrier_destroy(&vm->start);
	free(vm->vcpu);
}

/* --- results --- */

/* Each by itself; they are the same when all are read at once. */
static void print_stats(int fd, int vm, const char *vcpu)
{
	static uint8_t all[1 << 16];
	int stats = CALL(fd, KVM_GET_STATS_FD, 0);
	struct kvm_stats_header header;
	struct kvm_stats_desc *desc;
	size_t size, at;
	uint64_t value;

	if (pread(stats, &header, sizeof(header), 0) != sizeof(header) || pread(stats, all, sizeof(all), 0) < 0)
		err(EX_FAILED, "KVM statistics");
	size = sizeof(*desc) + header.name_size;
	desc = malloc(size);
	if (!desc)
		err(EX_FAILED, "malloc");
	for (uint32_t i = 0; i < header.num_desc; i++) {
		if (pread(stats, desc, size, header.desc_offset + i * size) != (ssize_t)size)
			err(EX_FAILED, "KVM statistics");
		printf("stat\t%d\t%s\t%.*s", vm, vcpu, (int)header.name_size, desc->name);
		for (int j = 0; j < desc->size; j++) {
			at = header.data_offset + desc->offset + j * sizeof(value);
			if (pread(stats, &value, sizeof(value), at) != sizeof(value))
				err(EX_FAILED, "KVM statistics");
			if (memcmp(all + at, &value, sizeof(value)))
				errx(EX_FAILED, "KVM statistics: %s is another when all are read", desc->name);
			printf("\t%" PRIu64, value);
		}
		putchar('\n');
	}
	free(desc);
	close(stats);
}

static void count_made(const struct vcpu *v, uint64_t *made)
{
	const struct step *s;
	const struct made *m;
	int i, j;

	memset(made, 0, KINDS * sizeof(*made));
	if (opt.bad_entry)
		return;
	made[WRMSR] = made[EOI] = v->g->early;	/* again, after an early interrupt */
	made[opt.done_mmio ? MMIO_ACCESS : IO] = v->user[U_DONE];
	for (i = 0; i < v->script->steps; i++) {
		s = &v->script->step[i];
		for (j = 0; j < 3; j++) {
			m = &ops[v->script->op[i]].made[j];
			if (s->count && (m->each || m->once))
				made[m->kind] += ((uint64_t)m->each * s->count + m->once) *
						 (v->rounds + v->user[U_SHUTDOWN]);
		}
	}
}

static void print_known(const struct vcpu *v, uint64_t *made)
{
	/* an EOI need not exit, and a nested guest's setup has more MSRs */
	bool msrs = !made[EOI] && !(needs & NESTED);
	int i, reason;

	if (opt.mode == BIGREAL)	/* emulated, in few exits, or not */
		return;

	/* the vCPU does not enter its guest again after the last */
	if (v->user[U_DONE])
		made[opt.done_mmio ? MMIO_ACCESS : IO]--;
	else if (v->user[U_SHUTDOWN])
		made[TRIPLE]--;

	for (i = 0; i < KINDS; i++) {
		reason = svm ? kinds[i].svm : kinds[i].vmx;
		if (made[i] && reason >= 0)
			printf("known\t%d\t%d\t%d\t%" PRIu64 "\n", v->vm->number, v->index, reason, made[i]);
	}
	if (msrs && svm && made[RDMSR] + made[WRMSR])
		printf("known\t%d\t%d\t%d\t%" PRIu64 "\n", v->vm->number, v->index, 0x7c, made[RDMSR] + made[WRMSR]);
	if (msrs && !svm && made[RDMSR])
		printf("known\t%d\t%d\t31\t%" PRIu64 "\n", v->vm->number, v->index, made[RDMSR]);
	if (msrs && !svm && made[WRMSR])
		printf("known\t%d\t%d\t32\t%" PRIu64 "\n", v->vm->number, v->index, made[WRMSR]);
}

static void print_vcpu(const struct vcpu *v)
{
	const struct guest *g = v->g;
	uint64_t made[KINDS];
	char name[12];
	int i, vm = v->vm->number;

	for (i = 0; i < v->script->steps; i++) {
		const struct result *r = &g->result[i];

		if (r->count)
			printf("step\t%d\t%d\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n",
			       vm, v->index, ops[v->script->op[i]].name, r->count, r->min, r->sum / r->count, r->max);
	}
	for (i = 0; i < (int)g->nleaves; i++) {
		const struct leaf *l = &g->leaf[i];

		printf("leaf\t%d\t%d\t%#x\t%u\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n",
		       vm, v->index, l->leaf, l->ecx, l->reg[0], l->reg[1], l->reg[2], l->reg[3]);
	}
	count_made(v, made);
	for (i = 0; i < KINDS; i++)
		if (made[i])
			printf("made\t%d\t%d\t%s\t%" PRIu64 "\n", vm, v->index, kinds[i].name, made[i]);
	print_known(v, made);
	for (i = 0; i < USERS; i++)
		if (v->user[i])
			printf("user\t%d\t%d\t%s\t%" PRIu64 "\n", vm, v->index, users[i], v->user[i]);
	printf("time\t%d\t%d\trun\t%" PRIu64 "\n", vm, v->index, v->run_cycles);
	printf("time\t%d\t%d\tuser\t%" PRIu64 "\n", vm, v->index, v->user_cycles);
	if (g->faults)
		printf("fault\t%d\t%d\t-\t%" PRIu64 "\n", vm, v->index, g->faults);
	printf("bad\t%d\t%d\t-\t%" PRIu64 "\n", vm, v->index, g->bad);
	if (g->digest != NO_DIGEST)
		printf("digest\t%d\t%d\t-\t%" PRIu64 "\n", vm, v->index, g->digest);
	if (opt.stats) {
		snprintf(name, sizeof(name), "%d", v->index);
		print_stats(v->fd, vm, name);
	}
}

static void print_vm(const struct vm *vm)
{
	int i;

	for (i = 0; i < opt.vcpus; i++)
		print_vcpu(&vm->vcpu[i]);
	if (opt.stats)
		print_stats(vm->fd, vm->number, "-");
}

static void name_vms(const struct vm *vm, int vms)
{
	char dirs[4096], *p = dirs;

	*p = '\0';
	for (int i = 0; i < vms; i++) {
		if (!opt.quiet)
			printf("vm\t%d\t-\t%d-%d\t%s\n", vm[i].number, getpid(), vm[i].fd, svm ? "svm" : "vmx");
		if (dirs + sizeof(dirs) - p > 32)
			p += sprintf(p, "%s%d-%d", i ? " " : "", getpid(), vm[i].fd);
	}
	setenv("VMM_DIRS", dirs, 1);
	fflush(stdout);
}

/* Ends a KVM_RUN, which is all. */
static void on_alarm(int signal)
{
	(void)signal;
}

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

/* Until the end of standard input, or a signal; none is lost before ppoll(). */
static void hold(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	sigset_t none, signals;
	char buffer[256];

	printf("hold\n");
	fflush(stdout);
	sigemptyset(&none);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	while (!stop)
		if (ppoll(&in, 1, NULL, &none) > 0 && read(STDIN_FILENO, buffer, sizeof(buffer)) <= 0)
			break;
}

/* `vms` machines, at once: made, run, looked at, ended. */
static void run_vms(int first, int vms)
{
	struct vm *vm = calloc(vms, sizeof(*vm));
	int i, j;

	if (!vm)
		err(EX_FAILED, "calloc");
	for (i = 0; i < vms; i++) {
		create_vm(&vm[i], first + i);
		if (opt.fail)
			fail_creations(&vm[i]);
		if (opt.late)
			create_vcpu(&vm[i], 0);
		else
			create_vcpus(&vm[i]);
	}
	name_vms(vm, vms);
	shell(opt.before, 0);
	for (i = 0; i < vms; i++)
		start_vm(&vm[i]);
	if (opt.migrate)
		migrate(vm, vms);
	for (i = 0; i < vms; i++) {
		for (j = 0; j < opt.vcpus; j++)
			pthread_join(vm[i].vcpu[j].thread, NULL);
		if (needs & ASKS)
			pthread_join(vm[i].asked, NULL);
	}
	for (i = 0; i < vms && !opt.quiet; i++)
		print_vm(&vm[i]);
	shell(opt.after, 0);
	if (opt.hold)
		hold();
	for (i = 0; i < vms; i++)
		destroy_vm(&vm[i]);
	free(vm);
}

/* --- options --- */

static const char *const mode_help = "long|protected|real|bigreal";

static void usage(FILE *out)
{
	fprintf(out, "Usage: vmm [OPTION]... STEP[:PARAMETER]=COUNT... [/ STEP...]...\n"
		"Run a guest that makes known exits, and print what it made. Scripts after a / are\n"
		"for the next vCPU each, and round again.\n\n"
		"  --after COMMAND   run in a shell when the guests have ended, the VMs still there\n"
		"  --at COMMAND      at each step `shell`; VMM_AT is 1, 2, ...\n"
		"  --bad-entry       a guest state that the processor refuses to enter\n"
		"  --before COMMAND  the same before they start (VMM_DIRS names the VMs' folders)\n"
		"  --cpuid-fault     CPUID above ring 0 is #GP, which the guest skips\n"
		"  --done-mmio       report the end of the script by MMIO, not by OUT\n"
		"  --entry LEAF,EAX,EBX,ECX,EDX  a CPUID entry of user space\n"
		"  --fail            first let KVM_CREATE_VCPU fail at each of its allocations, in turn\n"
		"  --high-ids        vCPUs have the highest numbers that there are, from the top\n"
		"  --hold            keep the VMs until standard input ends or SIGTERM comes\n"
		"  --late            create all vCPUs but the first while those before them run\n"
		"  --loop N          the script N times; 0: until SIGTERM\n"
		"  --migrate         keep moving the vCPUs' threads between CPUs\n"
		"  --mode MODE       %s\n"
		"  --no-irqchip      no interrupt controller in the kernel\n"
		"  --page-in MS      a page that nobody has touched comes after MS\n"
		"  --pin             vCPU n on CPU n\n"
		"  --populate        pages that nobody has touched are there from the start\n"
		"  --quiet           print no results\n"
		"  --ring N          privilege level, 0 to 3\n"
		"  --set TEXT        for the step `set`, N being 0 for the first\n"
		"  --spare N         more vCPUs, that never run\n"
		"  --stats           KVM's binary statistics\n"
		"  --together        all VMs at once, not one after another\n"
		"  --tsc PERCENT     of the host's frequency, at which the guests' TSC runs\n"
		"  --vcpus N         in each VM, all run the script\n"
		"  --vms N\n\nSteps:\n", mode_help);
	for (size_t i = 0; i < OPS; i++)
		fprintf(out, "  %-16s  %s\n", ops[i].name, ops[i].help);
	fprintf(out, "  %-16s  %s\n", "leaves", "=ECX,A-B,... the account's four leaves, printed");
}

static __attribute__((noreturn)) void misuse(const char *what, const char *value)
{
	errx(EX_MISUSE, "%s: %s (see --help)", value, what);
}

static uint32_t parse_number(const char *text, uint32_t max)
{
	const char *s = text;
	uint32_t value;

	if (!number(&s, &value) || *s || value > max)
		misuse("not a number in range", text);
	return value;
}

static void parse_entry(const char *text)
{
	struct kvm_cpuid_entry2 *e = &opt.entry[opt.entries];
	uint32_t *field[] = { &e->function, &e->eax, &e->ebx, &e->ecx, &e->edx };
	const char *s = text;

	if (opt.entries++ == 8)
		misuse("more than 8 entries", text);
	for (int i = 0; i < 5; i++)
		if (!number(&s, field[i]) || *s++ != (i < 4 ? ',' : '\0'))
			misuse("not LEAF,EAX,EBX,ECX,EDX", text);
}

static void add_set(const char *text)
{
	if (opt.sets == MAX_SETS)
		misuse("more than 4", "--set");
	opt.set[opt.sets++] = text;
}

static enum mode parse_mode(const char *text)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(modes[i], text))
			return i;
	misuse("not a mode", text);
}

static void check_script(const struct script *script)
{
	for (int i = 0; i < script->steps; i++) {
		uint32_t op = script->step[i].op, step_needs = ops[script->op[i]].needs;
		const char *name = ops[script->op[i]].name;

		if (opt.mode != LONG && !(step_needs & ANY_MODE))
			misuse("needs --mode long", name);
		if (opt.mode == BIGREAL && op == OP_HYPERCALL)
			misuse("KVM cannot emulate it", name);
		if (opt.ring && !(step_needs & ANY_RING))
			misuse("needs --ring 0", name);
		if (op == OP_TRIPLE && (i != script->steps - 1 || opt.loop))
			misuse("ends the guest: the last step, once", name);
	}
}

static void check(void)
{
	for (int i = 0; i < nscripts; i++)
		check_script(&scripts[i]);
	if (needs & NO_IRQCHIP)
		opt.irqchip = false;
	if (needs & IRQCHIP && !opt.irqchip)
		misuse("one step needs the interrupt controller, another needs it away", "script");
	if (opt.mode >= REAL && opt.ring)
		misuse("real mode has no rings", "--ring");
	if (opt.mode >= REAL && opt.vcpus > MAX_REAL)
		misuse("at most 8 in real mode", "--vcpus");
	if (opt.mode != LONG && (opt.bad_entry || opt.done_mmio))
		misuse("--bad-entry and --done-mmio are for long mode", modes[opt.mode]);
	if ((uint64_t)fresh * opt.vcpus > 0x40000)
		misuse("more than 1 GiB of pages", "ept");
}

enum { O_AFTER, O_AT, O_BAD_ENTRY, O_BEFORE, O_CPUID_FAULT, O_DONE_MMIO, O_ENTRY, O_FAIL, O_HELP, O_HIGH_IDS, O_HOLD, O_LATE, O_LOOP, O_MIGRATE,
       O_MODE, O_NO_IRQCHIP, O_PAGE_IN, O_PIN, O_POPULATE, O_QUIET, O_RING, O_SET, O_SPARE, O_STATS, O_TOGETHER, O_TSC, O_VCPUS, O_VMS };

static const struct option options[] = {
	{ "after", required_argument, NULL, O_AFTER },
	{ "at", required_argument, NULL, O_AT },
	{ "bad-entry", no_argument, NULL, O_BAD_ENTRY },
	{ "before", required_argument, NULL, O_BEFORE },
	{ "cpuid-fault", no_argument, NULL, O_CPUID_FAULT },
	{ "done-mmio", no_argument, NULL, O_DONE_MMIO },
	{ "entry", required_argument, NULL, O_ENTRY },
	{ "fail", no_argument, NULL, O_FAIL },
	{ "help", no_argument, NULL, O_HELP },
	{ "high-ids", no_argument, NULL, O_HIGH_IDS },
	{ "hold", no_argument, NULL, O_HOLD },
	{ "late", no_argument, NULL, O_LATE },
	{ "loop", required_argument, NULL, O_LOOP },
	{ "migrate", no_argument, NULL, O_MIGRATE },
	{ "mode", required_argument, NULL, O_MODE },
	{ "no-irqchip", no_argument, NULL, O_NO_IRQCHIP },
	{ "page-in", required_argument, NULL, O_PAGE_IN },
	{ "pin", no_argument, NULL, O_PIN },
	{ "populate", no_argument, NULL, O_POPULATE },
	{ "quiet", no_argument, NULL, O_QUIET },
	{ "ring", required_argument, NULL, O_RING },
	{ "set", required_argument, NULL, O_SET },
	{ "spare", required_argument, NULL, O_SPARE },
	{ "stats", no_argument, NULL, O_STATS },
	{ "together", no_argument, NULL, O_TOGETHER },
	{ "tsc", required_argument, NULL, O_TSC },
	{ "vcpus", required_argument, NULL, O_VCPUS },
	{ "vms", required_argument, NULL, O_VMS },
	{ }
};

static void parse(int argc, char **argv)
{
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case O_AFTER:		opt.after = optarg; break;
		case O_AT:		opt.at = optarg; break;
		case O_BAD_ENTRY:	opt.bad_entry = true; break;
		case O_BEFORE:		opt.before = optarg; break;
		case O_CPUID_FAULT:	opt.cpuid_fault = true; break;
		case O_DONE_MMIO:	opt.done_mmio = true; break;
		case O_ENTRY:		parse_entry(optarg); break;
		case O_FAIL:		opt.fail = true; break;
		case O_HELP:		usage(stdout); exit(0);
		case O_HIGH_IDS:	opt.high_ids = true; break;
		case O_HOLD:		opt.hold = true; break;
		case O_LATE:		opt.late = true; break;
		case O_LOOP:		opt.rounds = parse_number(optarg, UINT32_MAX); opt.loop = true; break;
		case O_MIGRATE:		opt.migrate = true; break;
		case O_MODE:		opt.mode = parse_mode(optarg); break;
		case O_NO_IRQCHIP:	opt.irqchip = false; break;
		case O_PAGE_IN:		opt.page_in = parse_number(optarg, 10000); break;
		case O_PIN:		opt.pin = true; break;
		case O_POPULATE:	opt.populate = true; break;
		case O_QUIET:		opt.quiet = true; break;
		case O_RING:		opt.ring = parse_number(optarg, 3); break;
		case O_SET:		add_set(optarg); break;
		case O_SPARE:		opt.spare = parse_number(optarg, 4000); break;
		case O_STATS:		opt.stats = true; break;
		case O_TOGETHER:	opt.together = true; break;
		case O_TSC:		opt.tsc = parse_number(optarg, 1000); break;
		case O_VCPUS:		opt.vcpus = parse_number(optarg, MAX_VCPUS); break;
		case O_VMS:		opt.vms = parse_number(optarg, 1000000); break;
		default:		exit(EX_MISUSE);
		}
	}
	for (; optind < argc; optind++) {
		if (strcmp(argv[optind], "/")) {
			if (!parse_step(&scripts[nscripts - 1], argv[optind]))
				misuse("not a step", argv[optind]);
		} else if (nscripts++ == MAX_SCRIPTS) {
			misuse("more than 8 scripts", argv[optind]);
		}
	}
	if (!opt.vcpus || !opt.vms)
		misuse("at least 1", "--vcpus, --vms");
	check();
}

int main(int argc, char **argv)
{
	/* a second signal kills */
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
	const struct sigaction wake = { .sa_handler = on_alarm }, handle = { .sa_handler = on_usr1 };
	int i, batch;

	parse(argc, argv);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGALRM, &wake, NULL);
	sigaction(SIGUSR1, &handle, NULL);
	sigaction(SIGINT, &action, NULL);
	open_kvm();

	batch = opt.together ? opt.vms : 1;
	for (i = 0; i < opt.vms && !stop; i += batch)
		run_vms(i, batch);
	if (fflush(stdout) || ferror(stdout))
		err(EX_FAILED, "standard output");
	return 0;
}
