/* SPDX-License-Identifier: GPL-2.0-only */
/* exits.h - what the BPF program exits.bpf.c keeps, for it and for its reader. */
#ifndef EXITS_H
#define EXITS_H

#include <linux/types.h>

#define MAX_THREADS	4096	/* of vCPUs that run at once */
#define MAX_ROWS	16384
#define MAX_KEYS	65536

/*
 * A place for each reason that either vendor has: VMX's basic reasons and SVM's codes
 * stand at their number, SVM's high codes behind them, and all others in the last.
 */
#define PLACE_HIGH	0xb0	/* SVM's 0x400 to 0x40f */
#define PLACE_ERROR	0xc0	/* SVM's -1 */
#define PLACE_OTHER	0xc1
#define PLACES		0xc2

#define EXIT_BUCKETS	32
#define CYCLE_SHIFT	20	/* cycles are ns * cycle_mult >> CYCLE_SHIFT */

#define KEYS_A_VCPU	64	/* the first that it has; later ones are in none */
#define SLOW_A_VCPU	16	/* the last ones */
#define NO_KEY		-1ULL	/* it cannot be told, or the reason has none */
#define L2_KEY		(1ULL << 63)

/* Where the key of an exit is: of which register, or of what in the VMCB or the VMCS. */
enum key_from {
	FROM_NOWHERE,
	FROM_EAX,
	FROM_ECX,
	FROM_VMCB_MSR,		/* and whether it was written */
	FROM_VMCB_IO,
	FROM_VMCB_FAULT,
	FROM_VMCB_AVIC,
	FROM_QUAL_IO,
	FROM_QUAL_FAULT,
	FROM_QUAL_CR,
	FROM_QUAL_DR,
	FROM_QUAL_APIC,
	FROM_VECTOR,
	FROM_MMIO,		/* the page, of KVM's tracepoints */
};

/* Of one reason of one vCPU, written by the vCPU's thread alone. Times are in ns. */
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
	__u64 hist[EXIT_BUCKETS];	/* of cycles */
	__u64 recent;		/* the key of its last exit, */
	__u32 recent_at;	/* and where that is among keys, from 1 on */
	__u32 place;
};

/* A key inside a row. */
struct exit_key {
	__u64 key;		/* as KVM with the patches shows it */
	__u64 exits;
	__u64 handler;
	__u64 total;
	__u64 max;
	__u32 row;		/* from 1 on; 0: it is free */
	__u32 unused;
};

/* An exit that lost more than slow_ns. Whole where both numbers are the same. */
struct exit_slow {
	__u64 begun;		/* its number, from 1 on; 0: none */
	__u64 vcpu;		/* as of its thread, which may run another by now */
	__u64 time;		/* when the guest went on */
	__u64 key;
	__u64 rip;		/* 0: it cannot be told */
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
	__u64 vcpu;		/* its address: which of them, if there are more */
	__u64 guest;		/* time in the guest */
	__u64 entry;		/* when the guest went on last, or 0 */
	__u64 exit;		/* when this exit began; 0: there is none */
	__u64 start;		/* the handler, while it runs */
	__u64 left;		/* KVM_RUN, while out of it */
	__u64 block;		/* the wait to be started, while in it */
	__u64 delay;		/* the thread's run_delay at each of these */
	__u64 start_delay;
	__u64 left_delay;
	__u64 mark_delay;	/* when last looked, within the exit */
	__u64 polled;		/* all of the vCPU's polling that is counted */
	__u64 handler;		/* what there has been of each part */
	__u64 halt;
	__u64 poll;
	__u64 user;
	__u64 stop;
	__u64 hsched;
	__u64 away;		/* run_delay that is none of KVM's: out of KVM_RUN */
	__u64 key;
	__u64 slows;		/* how many there have been */
	__u32 tid;		/* 0: none, or it is being named */
	__u32 pid;
	__u32 vcpu_id;
	__u32 place;
	__u32 left_by_signal;
	__u32 l2;		/* the exit is from a guest inside the guest */
	__u32 keys;		/* how many it has */
	__u32 number;		/* its own, among threads */
	char vm[24];		/* PID-FD; "" where KVM has no debugfs */
	__u16 row[PLACES];	/* in the array, from 1 on; 0: none so far */
};

/* Where KVM keeps what is read, in bytes. */
struct kvm_offsets {
	__u32 reason;		/* in vcpu_vmx, or in the VMCB; NO_OFFSET: neither */
	__u32 vcpu_id;		/* from here on in kvm_vcpu and kvm */
	__u32 mp_state;
	__u32 poll_success;
	__u32 poll_fail;
	__u32 kvm;
	__u32 dentry;
	__u32 regs;
	__u32 regs_avail;
	__u32 vmcb;		/* in vcpu_svm, or in vcpu_vmx loaded_vmcs */
	__u32 l2_vmcb;		/* in vcpu_svm, a pointer, or in vcpu_vmx the VMCS itself */
	__u32 info_1;		/* in the VMCB */
	__u32 info_2;
	__u32 rip;
	__u32 qual;		/* in vcpu_vmx */
	__u32 vector;
	__u32 qual_bit;		/* of regs_avail, whether these are of this exit */
	__u32 vector_bit;
};

#define NO_OFFSET	-1U

#endif
