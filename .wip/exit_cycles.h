/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __KVM_X86_EXIT_CYCLES_H
#define __KVM_X86_EXIT_CYCLES_H

#include <linux/jump_label.h>
#include <linux/kvm_host.h>
#include <linux/seqlock.h>

#include <asm/local64.h>
#include <asm/tsc.h>

#ifdef CONFIG_KVM_EXIT_CYCLES

/*
 * All of VMX's exit reasons and SVM's exit codes that the kernel names are below
 * this mask, except for SVM's -1, which so has an index of its own.
 */
#define KVM_EXIT_CYCLES_MASK	0x7ff

#define KVM_EXIT_CYCLES_BUCKETS	32
 //@13
/* How many keys of its exits a vCPU has room for. */ //@13
#define KVM_EXIT_CYCLES_KEYS	64 //@13
 //@13
/* A key of none: what it is can't be told. */ //@13
#define KVM_EXIT_CYCLES_NO_KEY	(~0ULL) //@13
 //@13
/* In a key: the exit was from L2. */ //@13
#define KVM_EXIT_CYCLES_L2	BIT_ULL(63) //@13
//@{13

/*
 * What of VMX's and SVM's description of an I/O instruction is its key, and the mark of
 * a page of MMIO among SVM's page faults.  Those who show keys put them into one form.
 */
#define KVM_EXIT_CYCLES_VMX_IO		0xffff0018
#define KVM_EXIT_CYCLES_SVM_IO		0xffff0005
#define KVM_EXIT_CYCLES_SVM_MMIO	BIT_ULL(62)
//@}

/* What is counted of each exit reason.  The files have it in this order. */
enum kvm_exit_counter {
	EC_EXITS,
	EC_CYCLES,	/* in the exit handler */
	EC_TOTAL,	/* from exit to entry */
	EC_HALT,	/* of the total: blocked */
	EC_USER,	/* of the total: in user space, because of the exit */
	EC_MAX,		/* the largest total without stop */
	EC_POLL,	/* of halt: polling */
	EC_SCHED,	/* of the total: ready to run, but without a CPU */
	EC_HSCHED,	/* of sched: within the exit handler */
	EC_STOP,	/* of the total: out of KVM_RUN because of a signal */
	NR_EXIT_COLUMNS,
	/* Totals without stop, by fls64(); the last has all from 2^30 up. */
	EC_HIST = NR_EXIT_COLUMNS,
	NR_EXIT_COUNTERS = EC_HIST + KVM_EXIT_CYCLES_BUCKETS
};

/*
 * The counters of one exit reason.  Only the holder of vcpu->mutex writes them,
 * hence local64_t: an add is one instruction without a lock prefix, and readers
 * on any CPU see whole 64-bit values.
 */
struct kvm_exit_cycles_row {
	local64_t counter[NR_EXIT_COUNTERS];
	/* Totals from here on are a new maximum, or belong into the last bucket. */
	u64 limit;
	/* The key of the reason's last exit, NULL if the reason has no keys. */ //@13
	struct kvm_exit_cycles_key *recent; //@13
};

//@{13
/* The counters of a key inside a reason, such as an MSR.  Who writes: see above. */
struct kvm_exit_cycles_key {
	u64 key;
	local64_t exits;
	local64_t cycles;
	local64_t total;
	u64 max;
	/* What exits was when the slot was last asked to give way. */
	u32 mark;
	/* The row's number and one; 0: the slot is free. */
	u32 row;
};

//@}
/* The account of one vCPU.  What exits write is in the first two lines and rows. */
struct kvm_exit_cycles {
	/* The sums of all rows, and the cycles in the guest. */
	local64_t exits;
	local64_t cycles;
	local64_t guest;

	/* Of the exit in progress.  Any of these has it closed out of line. */
	struct {
		u64 user;
		u64 halt;
		u64 poll;
		u64 sched;
		u64 hsched;
		u64 stop;
		/* Of a fast path that handled it, but did not enter the guest again. */
		u64 fastpath_exit;
		u64 fastpath_cycles;
	} parts;

	/* When the vCPU left KVM_RUN, 0 within it, and what that returned. */
	u64 left_tsc;
	int left_with;
	/* When the vCPU blocked, and what it had polled and waited until then. */
	u64 halt_tsc;
	u64 halt_poll_ns;
	u64 halt_sched;
	/* How much of the thread's sched_info.run_delay is accounted. */
	u64 run_delay;

	/* What readers need to find the account is on lines that no exit writes. */
	struct kvm_exit_scope scope ____cacheline_aligned;
	struct list_head list;
	struct list_head vm_list;
	struct rcu_head rcu;
	/* Resets that others posted and that the vCPU has done; it reads 0 between. */ //@11
	u32 reset_posted; //@11
	u32 reset_done; //@11
	struct mutex stats_lock; /* one reader of statistics at a time */ //@8
	u32 replaced; /* keys that gave way to others */ //@13
 //@13
	struct kvm_exit_cycles_key keys[KVM_EXIT_CYCLES_KEYS] ____cacheline_aligned; //@13

	struct kvm_exit_cycles_row rows[] ____cacheline_aligned;
};

/* What readers sum up. */
struct kvm_exit_cycles_sum {
	unsigned int vms;
	unsigned int vcpus;
	u64 guest;
	u64 all[NR_EXIT_COUNTERS];
	u32 replaced; //@14
	/* Keys that were found; those that had room are in keys. */ //@14
	unsigned int nr_keys; //@14
	/* Of each reason, unless NULL. */
	struct kvm_exit_cycles_row *rows;
	unsigned int max_keys; //@14
	struct kvm_exit_cycles_key *keys; //@14
};

/* In the stamp of an exit: close it out of line.  No TSC reaches these bits. */
#define KVM_EXIT_CYCLES_SLOW	BIT_ULL(63)
/* Likewise, and it has other parts than user. */
#define KVM_EXIT_CYCLES_PARTS	BIT_ULL(62)

/* Exits are stamped while the first is on, and closed while the second is. */
DECLARE_STATIC_KEY_TRUE(kvm_exit_cycles_stamp);
DECLARE_STATIC_KEY_TRUE(kvm_exit_cycles_close);

/* From an exit code to its row's offset within the account. */
extern u16 kvm_exit_cycles_map[KVM_EXIT_CYCLES_MASK + 1];

void kvm_exit_cycles_init(u32 isa);
void kvm_exit_cycles_init_vm(struct kvm *kvm);
int kvm_exit_cycles_create(struct kvm_vcpu *vcpu);
void kvm_exit_cycles_destroy(struct kvm_vcpu *vcpu);
void kvm_exit_cycles_close_slow(struct kvm_vcpu *vcpu, u64 now);
void kvm_exit_cycles_fastpath_handled(struct kvm_vcpu *vcpu);
void kvm_exit_cycles_halt_begin(struct kvm_vcpu *vcpu); //@5
void kvm_exit_cycles_halt_end(struct kvm_vcpu *vcpu); //@5
void kvm_exit_cycles_run_begin(struct kvm_vcpu *vcpu); //@5
void kvm_exit_cycles_run_end(struct kvm_vcpu *vcpu, int ret); //@5
void kvm_exit_cycles_sched_in(struct kvm_vcpu *vcpu); //@6
struct kvm_exit_cycles_key *kvm_exit_cycles_latch_key(struct kvm_vcpu *vcpu, u64 key); //@13
void kvm_exit_cycles_nested(struct kvm_vcpu *vcpu, u32 code, //@13
			    u64 (*get_key)(struct kvm_vcpu *vcpu, u32 code)); //@13
void kvm_exit_cycles_late_key(struct kvm_vcpu *vcpu, u64 key); //@13
void kvm_exit_cycles_create_debugfs(struct kvm *kvm, struct kvm_vcpu *vcpu, struct dentry *dir); //@10
void kvm_exit_cycles_serve(struct kvm_vcpu *vcpu); //@11
bool kvm_exit_cycles_cpuid(struct kvm_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx); //@17

/* For those who read accounts. */
extern seqlock_t kvm_exit_cycles_lock;
struct kvm_exit_cycles *kvm_exit_cycles_next(const struct kvm_exit_scope *scope, //@8
					     struct kvm_exit_cycles *account); //@8
extern unsigned int kvm_exit_cycles_nr_rows; //@13
void kvm_exit_cycles_sum_scope(struct kvm_exit_cycles_sum *sum, //@8
			       const struct kvm_exit_scope *scope); //@8
void kvm_exit_cycles_show_head(struct seq_file *m, const struct kvm_exit_scope *scope, //@10
			       const struct kvm_exit_cycles_sum *sum); //@10
void kvm_exit_cycles_show_reason(struct seq_file *m, unsigned int row); //@10
//@{13

/* For exit_cycles.c, of exit_cycles_keys.c. */
void kvm_exit_cycles_init_keys(u32 isa);
void kvm_exit_cycles_clear_keys(struct kvm_exit_cycles *account);
void kvm_exit_cycles_switch_keys(struct kvm_exit_cycles *account);
void kvm_exit_cycles_fold_keys(struct kvm_exit_cycles *gone, struct kvm_exit_cycles *account);
//@}
void kvm_exit_cycles_copy_keys(struct kvm_exit_cycles_sum *sum, struct kvm_exit_cycles *account); //@14
int kvm_exit_cycles_keys_show(struct seq_file *m, void *unused); //@14
void kvm_exit_cycles_request_scope(const struct kvm_exit_scope *scope); //@11
extern struct kvm_exit_scope kvm_exit_cycles_host; //@11
//@{11

/*
 * Whether a reset is posted that the vCPU has not done yet: the account reads as
 * zero then, whatever is in it.  @posted tells one reset from the next.
 */
static inline bool kvm_exit_cycles_is_reset(struct kvm_exit_cycles *account, u32 *posted)
{
	*posted = READ_ONCE(account->reset_posted);
	/* Pairs with the release in kvm_exit_cycles_serve(). */
	return *posted != smp_load_acquire(&account->reset_done);
}
//@}

/*
 * The exit, or rather the first TSC that KVM reads after it.  Store it always: to
 * test the key costs as much.
 */
static __always_inline u64 kvm_exit_cycles_exit(struct kvm_vcpu *vcpu, u64 tsc)
{
	vcpu->arch.exit_stamps.exit = tsc;
	return tsc;
}

/*
 * Store the TSC in the halves that RDTSC has it in: to put it together first is
 * another instruction.  It is read much later, when both are in the cache.
 */
static __always_inline void kvm_exit_cycles_store_tsc(u64 *stamp)
{
	asm volatile("rdtsc" : "=a" (((u32 *)stamp)[0]), "=d" (((u32 *)stamp)[1]));
}

//@{-13
static __always_inline void kvm_exit_cycles_set_row(struct kvm_exit_stamps *stamps, u32 code)
{
	stamps->row = (void *)stamps->account +
		      kvm_exit_cycles_map[code & KVM_EXIT_CYCLES_MASK];
}
//@}
//@{13
/*
 * Latch the reason, and its key: handlers may rewrite both.  @get_key may read what is
 * of this exit only.  The last key of the reason is likely to be this one again.
 */
static __always_inline void kvm_exit_cycles_set_row(struct kvm_vcpu *vcpu, u32 code,
						    u64 (*get_key)(struct kvm_vcpu *vcpu, u32 code))
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;
	struct kvm_exit_cycles_key *recent;
	struct kvm_exit_cycles_row *row;
	u64 key;

	row = (void *)stamps->account + kvm_exit_cycles_map[code & KVM_EXIT_CYCLES_MASK];
	stamps->row = row;
	if (!row->recent)
		return;

	/* Load it anew: to keep it costs exits without a key an instruction. */
	barrier();
	key = get_key(vcpu, code);
	recent = row->recent;
	stamps->key = likely(recent->key == key) ? recent : kvm_exit_cycles_latch_key(vcpu, key);
}
//@}

//@{-13
/* The start of the exit handler.  Latch the reason: handlers may rewrite it. */
//@}
/* The start of the exit handler. */ //@13
static __always_inline void kvm_exit_cycles_start(struct kvm_vcpu *vcpu, u32 code) //@-13
static __always_inline void kvm_exit_cycles_start(struct kvm_vcpu *vcpu, u32 code, //@13
						  u64 (*get_key)(struct kvm_vcpu *vcpu, u32 code)) //@13
{
	if (!static_branch_likely(&kvm_exit_cycles_stamp))
		return;

	kvm_exit_cycles_set_row(&vcpu->arch.exit_stamps, code); //@-13
	kvm_exit_cycles_set_row(vcpu, code, get_key); //@13
	kvm_exit_cycles_store_tsc(&vcpu->arch.exit_stamps.start);
}

/* The end of the exit handler. */
static __always_inline void kvm_exit_cycles_end(struct kvm_vcpu *vcpu)
{
	if (static_branch_likely(&kvm_exit_cycles_stamp))
		kvm_exit_cycles_store_tsc(&vcpu->arch.exit_stamps.end);
}

/* A fast path looks at an exit: stamp the exit before its handler has run. */
static __always_inline void kvm_exit_cycles_fastpath_start(struct kvm_vcpu *vcpu, u32 code) //@-13
static __always_inline void kvm_exit_cycles_fastpath_start(struct kvm_vcpu *vcpu, u32 code, //@13
							   u64 (*get_key)(struct kvm_vcpu *vcpu, u32 code)) //@13
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;

	if (!static_branch_likely(&kvm_exit_cycles_stamp))
		return;

	kvm_exit_cycles_set_row(stamps, code); //@-13
	kvm_exit_cycles_set_row(vcpu, code, get_key); //@13
	/* Load flags anew: to keep them costs other exits an instruction. */
	barrier();
	stamps->exit = rdtsc();
	stamps->start = stamps->exit;
}

static __always_inline fastpath_t kvm_exit_cycles_fastpath_end(struct kvm_vcpu *vcpu,
							       fastpath_t ret)
{
	if (!static_branch_likely(&kvm_exit_cycles_stamp))
		return ret;

	kvm_exit_cycles_store_tsc(&vcpu->arch.exit_stamps.end);
	/* What the fast path leaves to the exit handler is stamped there anew. */
	if (ret != EXIT_FASTPATH_REENTER_GUEST && ret != EXIT_FASTPATH_NONE)
		kvm_exit_cycles_fastpath_handled(vcpu);
	return ret;
}

//@{13
/* Count an exit of a key, after its row, so that its keys never exceed a row. */
static __always_inline void kvm_exit_cycles_count_key(struct kvm_exit_stamps *stamps,
						      u64 cycles, u64 total, u64 stop)
{
	struct kvm_exit_cycles_key *key = stamps->key;

	local64_inc(&key->exits);
	local64_add(cycles, &key->cycles);
	local64_add(total, &key->total);
	if (total - stop > key->max)
		WRITE_ONCE(key->max, total - stop);
	stamps->key = NULL;
}

//@}
/*
 * Just before the next entry: close the exit.  Count it first and put it into the
 * histogram last, see copy_row().  The thread was not switched out since the last
 * entry, or the exit was marked: all stamps are of this CPU's TSC, in order.
 */
static __always_inline void kvm_exit_cycles_entry(struct kvm_vcpu *vcpu)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;
	struct kvm_exit_cycles *account;
	struct kvm_exit_cycles_row *row;
	u64 now, total, cycles;

	if (!static_branch_likely(&kvm_exit_cycles_close))
		return;

	row = stamps->row;
	now = rdtsc();
	total = now - stamps->exit;
	if (unlikely(total >= row->limit)) {
		kvm_exit_cycles_close_slow(vcpu, now);
		return;
	}

	account = stamps->account;
	cycles = stamps->end - stamps->start;
	local64_inc(&row->counter[EC_EXITS]);
	local64_add(cycles, &row->counter[EC_CYCLES]);
	local64_add(total, &row->counter[EC_TOTAL]);
	local64_inc(&account->exits);
	local64_add(cycles, &account->cycles);
	local64_add(stamps->exit - stamps->entry, &account->guest);
	stamps->entry = now;
	if (stamps->key) //@13
		kvm_exit_cycles_count_key(stamps, cycles, total, 0); //@13
	/* BSR leaves its destination alone where the source is 0, see fls64(). */
	asm("bsrq %0, %0" : "+r" (total) : : "cc");
	local64_inc(&row->counter[EC_HIST + 1 + total]);
}

#else /* !CONFIG_KVM_EXIT_CYCLES */

static inline u64 kvm_exit_cycles_exit(struct kvm_vcpu *vcpu, u64 tsc) { return tsc; }
static inline int kvm_exit_cycles_create(struct kvm_vcpu *vcpu) { return 0; }

static inline fastpath_t kvm_exit_cycles_fastpath_end(struct kvm_vcpu *vcpu, fastpath_t ret)
{
	return ret;
}
 //@17
static inline bool kvm_exit_cycles_cpuid(struct kvm_vcpu *vcpu, u32 *eax, //@17
					 u32 *ebx, u32 *ecx, u32 *edx) //@17
{ //@17
	return false; //@17
} //@17

static inline void kvm_exit_cycles_init(u32 isa) {}
static inline void kvm_exit_cycles_init_vm(struct kvm *kvm) {}
static inline void kvm_exit_cycles_destroy(struct kvm_vcpu *vcpu) {}
static inline void kvm_exit_cycles_start(struct kvm_vcpu *vcpu, u32 code) {} //@-13
static inline void kvm_exit_cycles_start(struct kvm_vcpu *vcpu, u32 code, //@13
					 u64 (*get_key)(struct kvm_vcpu *vcpu, u32 code)) {} //@13
static inline void kvm_exit_cycles_nested(struct kvm_vcpu *vcpu, u32 code, //@13
					  u64 (*get_key)(struct kvm_vcpu *vcpu, u32 code)) {} //@13
static inline void kvm_exit_cycles_late_key(struct kvm_vcpu *vcpu, u64 key) {} //@13
static inline void kvm_exit_cycles_end(struct kvm_vcpu *vcpu) {}
static inline void kvm_exit_cycles_fastpath_start(struct kvm_vcpu *vcpu, u32 code) {} //@-13
static inline void kvm_exit_cycles_fastpath_start(struct kvm_vcpu *vcpu, u32 code, //@13
						  u64 (*get_key)(struct kvm_vcpu *vcpu, u32 code)) {} //@13
static inline void kvm_exit_cycles_fastpath_handled(struct kvm_vcpu *vcpu) {}
static inline void kvm_exit_cycles_entry(struct kvm_vcpu *vcpu) {}
static inline void kvm_exit_cycles_halt_begin(struct kvm_vcpu *vcpu) {} //@5
static inline void kvm_exit_cycles_halt_end(struct kvm_vcpu *vcpu) {} //@5
static inline void kvm_exit_cycles_run_begin(struct kvm_vcpu *vcpu) {} //@5
static inline void kvm_exit_cycles_run_end(struct kvm_vcpu *vcpu, int ret) {} //@5
static inline void kvm_exit_cycles_sched_in(struct kvm_vcpu *vcpu) {} //@6
static inline void kvm_exit_cycles_create_debugfs(struct kvm *kvm, struct kvm_vcpu *vcpu, //@10
						  struct dentry *dir) {} //@10
static inline void kvm_exit_cycles_serve(struct kvm_vcpu *vcpu) {} //@11

#endif /* CONFIG_KVM_EXIT_CYCLES */

#endif /* __KVM_X86_EXIT_CYCLES_H */
