/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * monitor.h - shared by the files of the monitor: options, scripts, machines, and the
 * functions that one file has for the others.
 */
#ifndef MONITOR_H
#define MONITOR_H

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "guest.h"

#define MAX_SCRIPTS	8
#define MAX_SETS	4

#define DEBUGFS		"/sys/kernel/debug/"

#define NO_DIGEST	0xcbf29ce484222325	/* where FNV-1a begins */

#define EX_FAILED	1
#define EX_MISUSE	2
#define EX_UNSUPPORTED	77

/* What a guest's instruction can be, for the account of what was made. */
enum kind { CPUID, IO, RDMSR, WRMSR, EOI, HLT, HYPERCALL, EPT, MMIO_ACCESS, EXCEPTION, DEBUG_REG, CONTROL_REG, CACHE, TRIPLE, KINDS };

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

struct op {
	const char *name, *help;
	uint32_t op, needs, a, b, skip;
	struct made made[3];
};

/* vCPU n runs script n, and round again. */
struct script {
	struct step step[MAX_STEPS];
	int op[MAX_STEPS];		/* index into ops */
	int steps;
	uint32_t leaves, fresh, last;	/* of the pages: how many, and the first of the last step */
};

enum mode { LONG, PROTECTED, REAL, BIGREAL };

struct opt {
	int vms, vcpus, spare, ring, page_in, page_hog, tsc;
	enum mode mode;
	bool together, taken, pin, migrate, stats, hold, high_ids, quiet, loop, cpuid_fault, bad_entry, irqchip,
	     done_mmio, fail, late, populate, wait_elsewhere;
	uint64_t rounds;
	const char *before, *after, *at, *set[MAX_SETS];
	int sets;
	struct kvm_cpuid_entry2 entry[8];
	int entries;
};

/* What a return of KVM_RUN was. */
enum user { U_IO, U_SLEEP, U_SHELL, U_SET, U_WAIT, U_LOG, U_REFUSED, U_DONE, U_MMIO, U_HLT, U_SHUTDOWN, U_FAIL_ENTRY, U_INTR, USERS };

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
	uint32_t refused;		/* KVM_RUN will be; milliseconds until the next */
	uint32_t pending;		/* so many KVM_RUNs will find a signal */
};

struct vm {
	struct vcpu *vcpu;
	pthread_t asked;
	pthread_barrier_t start;
	uint8_t *low, *fresh;
	size_t low_size, fresh_size;
	int fd, number, running;
};

/* vmm.c: whether a signal wants an end */
extern volatile sig_atomic_t stop;

/* options.c */
extern struct opt opt;
void parse(int argc, char **argv);

/* script.c: all steps there are, up to one without a name; those of the command line */
extern const struct op ops[];
extern struct script scripts[MAX_SCRIPTS];
extern int nscripts;
extern uint32_t needs, fresh;		/* of any script; the most pages of one */
bool number(const char **s, uint32_t *value);
bool parse_step(struct script *script, const char *text);

/* machine.c */
extern bool svm;
int call(int fd, unsigned long request, void *arg, const char *what);
#define CALL(fd, request, arg) call(fd, request, (void *)(uintptr_t)(arg), #request)
void open_kvm(void);
void add_memory(struct vm *vm, int slot, uint64_t gpa, void *memory, size_t size, int flags);
void create_vm(struct vm *vm, int index);
void create_vcpu(struct vm *vm, int i);
void create_vcpus(struct vm *vm);
void destroy_vm(struct vm *vm);

/* run.c */
void find_cpus(void);
void pin(pthread_t thread, int n);
void shell(const char *command, uint64_t at);
void start_vm(struct vm *vm);
void migrate(struct vm *vm, int vms);

/* asks.c */
void write_file(const char *path, const char *value);
void on_usr1(int signal);
void come_first(void);
void keep_cpu(uint32_t ms);
void *answer_asks(void *arg);

/* fails.c */
void fail_creations(struct vm *vm);

/* print.c */
void print_vm(const struct vm *vm);

#endif
