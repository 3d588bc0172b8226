/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * outside.h - what a VM does outside the exits of its vCPUs: the CPU time of its threads,
 * from /proc, and the interrupts injected into it, from KVM's own statistics.
 */
#ifndef OUTSIDE_H
#define OUTSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thread {
	unsigned int tid;
	bool vcpu;		/* it runs a vCPU */
	bool kernel;		/* a kernel thread that works for the VM */
	char name[20];
	uint64_t ticks;		/* of CPU time; a second has sysconf(_SC_CLK_TCK) */
};

struct outside {
	bool known;		/* the process was seen; in a difference: both times */
	bool has_irqs;
	bool has_vcpus;		/* in a difference: no thread of a vCPU ended */
	uint64_t all_ticks;	/* the process, also of ended threads; in a difference with its kernel threads */
	uint64_t vcpu_ticks;	/* in a difference: the threads of its vCPUs */
	uint64_t irqs;		/* injected */
	size_t nthreads;
	struct thread *threads;	/* in a difference without those of vCPUs */
	char busiest[64];	/* in a difference: "worker 12.0%, vhost-71 3.1%" */
};

void outside_read(struct outside *o, const char *root, unsigned int pid, const char *vm);
void outside_copy(struct outside *o, const struct outside *from);
void outside_subtract(struct outside *o, const struct outside *before, double seconds);
double outside_cpus(uint64_t ticks, double seconds);
void outside_free(struct outside *o);

#endif
