/* SPDX-License-Identifier: GPL-2.0-only */
/* exits.h - what the BPF program exits.bpf.c keeps, for it and for its reader. */
#ifndef EXITS_H
#define EXITS_H

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
	__u64 max;
	__u64 hist[EXIT_BUCKETS];	/* of cycles */
	__u32 place;
	__u32 unused;
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
	__u32 pid;
	__u32 vcpu_id;
	__u32 place;
	__u32 left_by_signal;
	char vm[24];		/* PID-FD; "" where KVM has no debugfs */
	__u16 row[PLACES];	/* in the array, from 1 on; 0: none so far */
};

/* Where KVM keeps what is read, in bytes. */
struct kvm_offsets {
	__u32 reason;		/* in vcpu_vmx, or in the VMCB; NO_OFFSET: neither */
	__u32 vmcb;		/* the others are in kvm_vcpu and kvm */
	__u32 vcpu_id;
	__u32 mp_state;
	__u32 poll_success;
	__u32 poll_fail;
	__u32 kvm;
	__u32 dentry;
};

#define NO_OFFSET	-1U

#endif
