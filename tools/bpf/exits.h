/* SPDX-License-Identifier: GPL-2.0-only */
/* exits.h - the data of the BPF program exits.bpf.c, for the program and its reader. */
#ifndef EXITS_H
#define EXITS_H

#include <linux/types.h>

#define MAX_THREADS	4096	/* threads of vCPUs at the same time */
#define MAX_ROWS	16384
#define MAX_KEYS	65536

/*
 * Each reason has a place. VMX's basic reasons and SVM's codes have their own number as
 * place, SVM's high codes come behind them, and all other reasons share the last place.
 */
#define PLACE_HIGH	0xb0	/* SVM's 0x400 to 0x40f */
#define PLACE_ERROR	0xc0	/* SVM's -1 */
#define PLACE_OTHER	0xc1
#define PLACES		0xc2

#define EXIT_BUCKETS	32
#define CYCLE_SHIFT	20	/* cycles are ns * cycle_mult >> CYCLE_SHIFT */

#define KEYS_A_VCPU	64	/* the first ones are kept; later keys are not counted */
#define SLOW_A_VCPU	16	/* the last ones are kept */
#define NO_KEY		-1ULL	/* it is not known, or the reason has no keys */
#define L2_KEY		(1ULL << 63)

/* Where the key of an exit comes from: a register, the VMCB, the VMCS or a tracepoint. */
enum key_from {
	FROM_NOWHERE,
	FROM_EAX,
	FROM_ECX,
	FROM_VMCB_MSR,		/* ECX, and whether the MSR was written */
	FROM_VMCB_IO,
	FROM_VMCB_FAULT,
	FROM_VMCB_AVIC,
	FROM_QUAL_IO,
	FROM_QUAL_FAULT,
	FROM_QUAL_CR,
	FROM_QUAL_DR,
	FROM_QUAL_APIC,
	FROM_VECTOR,
	FROM_MMIO,		/* the page, from KVM's tracepoints */
};

/* The counters of one reason of one vCPU. Only the vCPU's thread writes them. Times are in ns. */
struct exit_row {
	__u64 exits;
	__u64 handler;
	__u64 total;
	__u64 halt;
	__u64 poll;
	__u64 user;
	__u64 sched;
	__u64 hsched;
	__u64 stop;
	__u64 slow;
	__u64 max;
	__u64 hist[EXIT_BUCKETS];	/* in cycles, not ns */
	__u64 recent;		/* the key of the last exit, */
	__u32 recent_at;	/* and its index in keys, from 1 on */
	__u32 place;
};

/* A key inside a row. */
struct exit_key {
	__u64 key;		/* in the form of the patched KVM */
	__u64 exits;
	__u64 handler;
	__u64 total;
	__u64 max;
	__u32 row;		/* from 1 on; 0: this entry is free */
	__u32 unused;
};

/* An exit that lost more than slow_ns. It is complete if `begun` and `done` are equal. */
struct exit_slow {
	__u64 begun;		/* its number, from 1 on; 0: no exit */
	__u64 vcpu;		/* the thread may run another vCPU by now */
	__u64 time;		/* when the guest ran again */
	__u64 key;
	__u64 rip;		/* 0: not known */
	__u64 total;
	__u64 handler;
	__u64 halt;
	__u64 user;
	__u64 sched;
	__u64 hsched;
	__u64 stop;
	__u32 pid;
	__u32 vcpu_id;
	__u32 place;
	__u32 cpu;
	__u64 done;
};

struct exit_slows {
	struct exit_slow last[SLOW_A_VCPU];
};

/* A thread that runs a vCPU, and the exit that it is in. */
struct exit_thread {
	__u64 vcpu;		/* the address of its struct kvm_vcpu */
	__u64 guest;		/* time in the guest */
	__u64 entry;		/* time of the last entry, or 0 */
	__u64 exit;		/* when this exit began; 0: the guest runs */
	__u64 start;		/* when the handler began, while it runs */
	__u64 left;		/* when KVM_RUN returned, while in user space */
	__u64 block;		/* when the wait to be started began, while it lasts */
	__u64 delay;		/* the thread's run_delay at `exit`, ... */
	__u64 start_delay;	/* ... at `start`, ... */
	__u64 left_delay;	/* ... at `left`, ... */
	__u64 mark_delay;	/* ... and when it was last read in this exit */
	__u64 polled;		/* the vCPU's polling that is already counted */
	__u64 handler;		/* the parts of this exit so far */
	__u64 halt;
	__u64 poll;
	__u64 user;
	__u64 stop;
	__u64 hsched;
	__u64 away;		/* run_delay outside KVM_RUN: not counted */
	__u64 key;
	__u64 slows;		/* how many slow exits there have been */
	__u32 tid;		/* 0: no thread yet */
	__u32 pid;
	__u32 vcpu_id;
	__u32 place;
	__u32 left_by_signal;
	__u32 l2;		/* the exit came from a nested guest */
	__u32 keys;		/* how many keys it has */
	__u32 number;		/* its index in threads */
	char vm[24];		/* PID-FD; "" if KVM has no debugfs */
	__u16 row[PLACES];	/* index in rows, from 1 on; 0: no row yet */
};

/* The offsets of KVM's members that are read, in bytes. */
struct kvm_offsets {
	__u32 reason;		/* in vcpu_vmx, or in the VMCB; NO_OFFSET: not known */
	__u32 vcpu_id;		/* from here on in kvm_vcpu and struct kvm */
	__u32 mp_state;
	__u32 poll_success;
	__u32 poll_fail;
	__u32 kvm;
	__u32 dentry;
	__u32 regs;
	__u32 regs_avail;
	__u32 vmcb;		/* in vcpu_svm; on VMX loaded_vmcs in vcpu_vmx */
	__u32 l2_vmcb;		/* in vcpu_svm, a pointer; in vcpu_vmx, the VMCS itself */
	__u32 info_1;		/* in the VMCB */
	__u32 info_2;
	__u32 rip;
	__u32 qual;		/* in vcpu_vmx */
	__u32 vector;
	__u32 qual_bit;		/* bits of regs_avail: whether these two are of this exit */
	__u32 vector_bit;
};

#define NO_OFFSET	-1U

#endif
