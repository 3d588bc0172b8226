// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often each VM-exit reason happened, and where the time of exits went
 *
 * Every vCPU has an account of its own, to which nobody else writes.  An exit is
 * stamped while it happens, and closed once, at the next entry.  Sums over a VM
 * or the host are made by those who read them.
 */

#include <linux/debugfs.h> //@10
#include <linux/kvm_host.h>
#include <linux/moduleparam.h> //@12
#include <linux/rculist.h>
#include <linux/seq_file.h> //@10
#include <linux/vmalloc.h>

#include <asm/svm.h>
#include <asm/vmx.h>

#include "exit_cycles.h"
#include "trace.h"

/* How often a copy of a row starts over when the vCPU closes an exit meanwhile. */
#define MAX_TRIES	1000

DEFINE_STATIC_KEY_TRUE(kvm_exit_cycles_stamp);
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_exit_cycles_stamp);
DEFINE_STATIC_KEY_TRUE(kvm_exit_cycles_close);

u16 kvm_exit_cycles_map[KVM_EXIT_CYCLES_MASK + 1] __read_mostly;
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_exit_cycles_map);

struct exit_name {
	/* SVM's are of 64 bits in newer kernels, the -1 as well. */
	u64 code;
	const char *name;
};

static const struct exit_name vmx_names[] = { VMX_EXIT_REASONS };
static const struct exit_name svm_names[] = { SVM_EXIT_REASONS };

/* A row for each name, and one for all codes that have none. */
#define MAX_ROWS	(1 + (ARRAY_SIZE(vmx_names) > ARRAY_SIZE(svm_names) ?	\
			      ARRAY_SIZE(vmx_names) : ARRAY_SIZE(svm_names)))

/* The names of the vendor module that is loaded. */
static struct exit_name exit_names[MAX_ROWS];
unsigned int kvm_exit_cycles_nr_rows;
static bool vmx; //@10

/* What vCPUs without an exit in progress point to.  Its limit of 0 catches all. */
static struct kvm_exit_cycles_row no_row;

/*
 * What vCPUs that are gone had counted, and the head of the list of all accounts,
 * each VM's side by side.  Under the lock an account goes from the list into this.
 * Readers of the host's start over if one did.
 */
static union {
	struct kvm_exit_cycles account;
	u8 size[sizeof(struct kvm_exit_cycles) + MAX_ROWS * sizeof(struct kvm_exit_cycles_row)];
} gone = { .account.list = LIST_HEAD_INIT(gone.account.list) };

DEFINE_SEQLOCK(kvm_exit_cycles_lock);

/* The time from one stamp to another, or 0 if TSCs that differ make it negative. */
static u64 elapsed(u64 from, u64 to)
{
	return (s64)(to - from) > 0 ? to - from : 0;
}

/* Drop the exit in progress: none is closed that begins before this. */
static void drop_exit(struct kvm_exit_stamps *stamps)
{
	struct kvm_exit_cycles *account = stamps->account;

	stamps->row = &no_row;
	stamps->key = NULL; //@13
	memset(&account->parts, 0, sizeof(account->parts));
	account->left_tsc = 0;
	account->halt_tsc = 0;
	account->run_delay = current->sched_info.run_delay;
}

/* Close an exit that has parts, or is a new maximum, or is long. */
static void close_exit(struct kvm_exit_stamps *stamps, u64 now)
{
	struct kvm_exit_cycles *account = stamps->account;
	struct kvm_exit_cycles_row *row = stamps->row;
	u64 exit = stamps->exit & ~(KVM_EXIT_CYCLES_SLOW | KVM_EXIT_CYCLES_PARTS);
	u64 handler = elapsed(stamps->start, stamps->end);
	u64 total, parts, sched, hsched;

	if (account->parts.fastpath_exit) {
		exit = account->parts.fastpath_exit;
		handler += account->parts.fastpath_cycles;
	}
	total = elapsed(exit, now);
	parts = handler + account->parts.halt + account->parts.user + account->parts.stop;
	/* The scheduler's clock is another one. */
	hsched = min(account->parts.hsched, handler);
	sched = min(account->parts.sched - account->parts.hsched, elapsed(parts, total));
	total = max(total, parts + sched);

	local64_inc(&row->counter[EC_EXITS]);
	local64_add(total, &row->counter[EC_TOTAL]);
	local64_add(handler, &row->counter[EC_CYCLES]);
	local64_add(account->parts.halt, &row->counter[EC_HALT]);
	local64_add(account->parts.user, &row->counter[EC_USER]);
	local64_add(account->parts.poll, &row->counter[EC_POLL]);
	local64_add(sched + hsched, &row->counter[EC_SCHED]);
	local64_add(hsched, &row->counter[EC_HSCHED]);
	local64_add(account->parts.stop, &row->counter[EC_STOP]);
	local64_inc(&account->exits);
	local64_add(handler, &account->cycles);
	local64_add(elapsed(stamps->entry, exit), &account->guest);

	total -= account->parts.stop;
	if (total > local64_read(&row->counter[EC_MAX]))
		local64_set(&row->counter[EC_MAX], total);
	row->limit = min_t(u64, local64_read(&row->counter[EC_MAX]) + 1,
			   BIT_ULL(KVM_EXIT_CYCLES_BUCKETS - 2));
	local64_inc(&row->counter[EC_HIST + min(fls64(total), KVM_EXIT_CYCLES_BUCKETS - 1)]);
	if (stamps->key) //@13
		kvm_exit_cycles_count_key(stamps, handler, total + account->parts.stop, //@13
					  account->parts.stop); //@13

	memset(&account->parts, 0, sizeof(account->parts));
}

/*
 * Close an exit that needs more than most; or there was none since counting began.
 * Exits to user space are frequent, so do what those need at once.
 */
void kvm_exit_cycles_close_slow(struct kvm_vcpu *vcpu, u64 now)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;
	struct kvm_exit_cycles *account = stamps->account;
	struct kvm_exit_cycles_row *row = stamps->row;
	u64 exit = stamps->exit & ~KVM_EXIT_CYCLES_SLOW;
	u64 handler = stamps->end - stamps->start;
	u64 total = now - exit;

	/* KVM_EXIT_CYCLES_PARTS is above any limit. */
	if (likely(total < row->limit && handler + account->parts.user <= total)) {
		local64_inc(&row->counter[EC_EXITS]);
		local64_add(total, &row->counter[EC_TOTAL]);
		local64_add(handler, &row->counter[EC_CYCLES]);
		local64_add(account->parts.user, &row->counter[EC_USER]);
		local64_inc(&account->exits);
		local64_add(handler, &account->cycles);
		local64_add(exit - stamps->entry, &account->guest);
		local64_inc(&row->counter[EC_HIST + fls64(total)]);
		if (stamps->key) //@13
			kvm_exit_cycles_count_key(stamps, handler, total, 0); //@13
		account->parts.user = 0;
	} else if (row != &no_row) {
		close_exit(stamps, now);
	} else {
		/* What has been noted so far belongs to no exit. */
		drop_exit(stamps);
	}
	stamps->entry = now;
}

/*
 * Begin the exit where the fast path did, and add its cycles to the handler's.
 * KVM is going to stamp the exit anew, so have its row refuse a quick close.
 */
void kvm_exit_cycles_fastpath_handled(struct kvm_vcpu *vcpu)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;

	if (!static_branch_likely(&kvm_exit_cycles_stamp))
		return;

	stamps->account->parts.fastpath_exit = stamps->start;
	stamps->account->parts.fastpath_cycles = elapsed(stamps->start, stamps->end);
	stamps->row->limit = 0;
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_exit_cycles_fastpath_handled);

//@{5
static u64 ns_to_cycles(u64 ns)
{
	return mul_u64_u32_div(ns, tsc_khz, USEC_PER_SEC);
}

static u64 polled_ns(struct kvm_vcpu *vcpu)
{
	return vcpu->stat.generic.halt_poll_success_ns +
	       vcpu->stat.generic.halt_poll_fail_ns;
}

void kvm_exit_cycles_halt_begin(struct kvm_vcpu *vcpu)
{
	struct kvm_exit_cycles *account = vcpu->arch.exit_stamps.account;

	if (!static_branch_likely(&kvm_exit_cycles_close))
		return;

	account->halt_poll_ns = polled_ns(vcpu);
	account->halt_sched = account->parts.sched;
	account->halt_tsc = rdtsc();
}

/* The vCPU goes on.  Its wait for a CPU is no part of the halt. */
void kvm_exit_cycles_halt_end(struct kvm_vcpu *vcpu)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;
	struct kvm_exit_cycles *account = stamps->account;
	u64 halt, sched, poll;

	if (!static_branch_likely(&kvm_exit_cycles_close) || !account->halt_tsc)
		return;

	halt = elapsed(account->halt_tsc, rdtsc());
	sched = min(account->parts.sched - account->halt_sched, halt);
	poll = ns_to_cycles(elapsed(account->halt_poll_ns, polled_ns(vcpu)));
	account->parts.halt += halt - sched;
	account->parts.poll += min(poll, halt - sched);
	account->parts.sched = account->halt_sched + sched;
	account->halt_tsc = 0;
	stamps->exit |= KVM_EXIT_CYCLES_SLOW | KVM_EXIT_CYCLES_PARTS;
}

void kvm_exit_cycles_run_begin(struct kvm_vcpu *vcpu)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;
	struct kvm_exit_cycles *account = stamps->account;
	u64 left;

	if (!static_branch_likely(&kvm_exit_cycles_close) || !account->left_tsc)
		return;

	account->run_delay = current->sched_info.run_delay;
	left = elapsed(account->left_tsc, rdtsc());
	if (likely(account->left_with != -EINTR)) {
		account->parts.user += left;
	} else {
		account->parts.stop += left;
		stamps->exit |= KVM_EXIT_CYCLES_PARTS;
	}
	account->left_tsc = 0;
	stamps->exit |= KVM_EXIT_CYCLES_SLOW;
}

/* KVM_RUN returns @ret: because of a signal, or because of the exit. */
void kvm_exit_cycles_run_end(struct kvm_vcpu *vcpu, int ret)
{
	struct kvm_exit_cycles *account = vcpu->arch.exit_stamps.account;

	if (!static_branch_likely(&kvm_exit_cycles_close))
		return;

	kvm_exit_cycles_store_tsc(&account->left_tsc);
	account->left_with = ret;
}

//@}
//@{6
/*
 * The vCPU's thread was switched out, and is back.  Maybe on another CPU, so have
 * the exit closed slowly even if it did not wait: TSCs may differ.
 */
void kvm_exit_cycles_sched_in(struct kvm_vcpu *vcpu)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;
	struct kvm_exit_cycles *account = stamps->account;
	u64 wait;

	/* In another ioctl than KVM_RUN, this may not be the vCPU's thread. */
	if (!static_branch_likely(&kvm_exit_cycles_close) || account->left_tsc)
		return;

	wait = ns_to_cycles(current->sched_info.run_delay - account->run_delay);
	account->run_delay = current->sched_info.run_delay;
	account->parts.sched += wait;
	/* In the handler, the end is older than the start, and the exit as well. */
	if (stamps->end < stamps->start &&
	    (stamps->exit & ~(KVM_EXIT_CYCLES_SLOW | KVM_EXIT_CYCLES_PARTS)) <= stamps->start)
		account->parts.hsched += wait;
	stamps->exit |= KVM_EXIT_CYCLES_SLOW | KVM_EXIT_CYCLES_PARTS;
}

//@}
/*
 * Copy a row, all of it of the same moment.  An exit is counted first and gets into
 * the histogram last.  So if the histogram, which is read first, has as many as
 * there are exits, which are read last, then none was being closed in between.
 * A vCPU that can't be caught like that still has no parts above the total.
 */
static void copy_row(u64 *copy, struct kvm_exit_cycles_row *row)
{
	unsigned int i, tries = MAX_TRIES;
	u64 closed;

	/* On x86 volatile loads are in order, and so are stores. */
	do {
		closed = 0;
		for (i = NR_EXIT_COUNTERS - 1; i > EC_TOTAL; i--) {
			copy[i] = local64_read(&row->counter[i]);
			closed += i >= EC_HIST ? copy[i] : 0;
		}
		copy[EC_CYCLES] = local64_read(&row->counter[EC_CYCLES]);
		copy[EC_TOTAL] = local64_read(&row->counter[EC_TOTAL]);
	} while (closed != local64_read(&row->counter[EC_EXITS]) && --tries);
	copy[EC_EXITS] = closed;
}

/* Writes are seen by readers that are going to start over. */
static void add_counters(u64 *sum, const u64 *counters)
{
	unsigned int i;

	for (i = 0; i < NR_EXIT_COUNTERS; i++) {
		u64 value = READ_ONCE(counters[i]);

		WRITE_ONCE(sum[i], i == EC_MAX ? max(sum[i], value) : sum[i] + value);
	}
}

static void add_account(struct kvm_exit_cycles_sum *sum, struct kvm_exit_cycles *account)
{
	u64 copy[NR_EXIT_COUNTERS];
	unsigned int i;
	u32 posted; //@11
 //@11
	/* One that is posted from here on makes readers start over. */ //@11
	if (kvm_exit_cycles_is_reset(account, &posted)) //@11
		return; //@11
 //@14
	/* Before the rows: a row never has less than its keys. */ //@14
	kvm_exit_cycles_copy_keys(sum, account); //@14

	for (i = 0; i < kvm_exit_cycles_nr_rows; i++) {
		/* Most reasons never happen. */
		if (!local64_read(&account->rows[i].counter[EC_EXITS]))
			continue;

		copy_row(copy, &account->rows[i]);
		if (sum->rows)
			add_counters((u64 *)sum->rows[i].counter, copy);
		add_counters(sum->all, copy);
	}
	WRITE_ONCE(sum->guest, sum->guest + local64_read(&account->guest));
}

//@{8
/*
 * What follows @account in @scope; the first after NULL, and NULL after the last.
 * The host's first one is that of vCPUs that are gone.
 */
struct kvm_exit_cycles *kvm_exit_cycles_next(const struct kvm_exit_scope *scope,
					     struct kvm_exit_cycles *account)
{
	struct list_head *head;

	if (scope->vcpu)
		return account ? NULL : scope->vcpu->arch.exit_stamps.account;

	if (!scope->kvm)
		return !account ? &gone.account :
		       list_next_or_null_rcu(&gone.account.list, &account->list,
					     struct kvm_exit_cycles, list);

	head = &scope->kvm->arch.exit_accounts;
	return list_next_or_null_rcu(head, account ? &account->vm_list : head,
				     struct kvm_exit_cycles, vm_list);
}

/* The second time round, no account goes. */
void kvm_exit_cycles_sum_scope(struct kvm_exit_cycles_sum *sum, const struct kvm_exit_scope *scope)
{
	struct kvm_exit_cycles *account = NULL;
	struct kvm *last;
	int seq = 0;

again:
	read_seqbegin_or_lock(&kvm_exit_cycles_lock, &seq);
	memset(sum, 0, offsetof(struct kvm_exit_cycles_sum, rows));
	sum->vms = !!scope->kvm;
	last = scope->kvm;
	if (sum->rows)
		memset(sum->rows, 0, kvm_exit_cycles_nr_rows * sizeof(*sum->rows));

	rcu_read_lock();
	while ((account = kvm_exit_cycles_next(scope, account))) {
		/* Those that are gone are of no VM. */
		sum->vcpus += !!account->scope.kvm;
		sum->vms += account->scope.kvm != last;
		last = account->scope.kvm;
		add_account(sum, account);
	}
	rcu_read_unlock();
	if (need_seqretry(&kvm_exit_cycles_lock, seq)) {
		seq = 1;
		goto again;
	}
	done_seqretry(&kvm_exit_cycles_lock, seq);
}

/*
 * The sums of @vcpu for those who read its statistics, if what they read has any.
 * Nothing is allocated: debugfs reads the host's under kvm_lock, for which the
 * shrinker of shadow pages waits.
 */
void kvm_arch_vcpu_update_stats(struct kvm_vcpu *vcpu, size_t offset, size_t size)
{
	struct kvm_exit_cycles *account = vcpu->arch.exit_stamps.account;
	struct kvm_vcpu_stat *stat = &vcpu->stat;
	struct kvm_exit_cycles_sum sum = {};
	unsigned int i;

	BUILD_BUG_ON(ARRAY_SIZE(stat->exit_total_cycles_hist) != KVM_EXIT_CYCLES_BUCKETS);

	if (offset + size <= offsetof(struct kvm_vcpu_stat, exit_handler_cycles) ||
	    offset >= offsetofend(struct kvm_vcpu_stat, exit_total_cycles_hist))
		return;

	/* One at a time, or old sums could follow newer ones. */
	mutex_lock(&account->stats_lock);
	kvm_exit_cycles_sum_scope(&sum, &account->scope);
	WRITE_ONCE(stat->exit_handler_cycles, sum.all[EC_CYCLES]);
	WRITE_ONCE(stat->exit_total_cycles, sum.all[EC_TOTAL]);
	WRITE_ONCE(stat->exit_halt_cycles, sum.all[EC_HALT]);
	WRITE_ONCE(stat->exit_user_cycles, sum.all[EC_USER]);
	WRITE_ONCE(stat->exit_poll_cycles, sum.all[EC_POLL]);
	WRITE_ONCE(stat->exit_sched_cycles, sum.all[EC_SCHED]);
	WRITE_ONCE(stat->exit_handler_sched_cycles, sum.all[EC_HSCHED]);
	WRITE_ONCE(stat->exit_stop_cycles, sum.all[EC_STOP]);
	WRITE_ONCE(stat->guest_cycles, sum.guest);
	for (i = 0; i < KVM_EXIT_CYCLES_BUCKETS; i++)
		WRITE_ONCE(stat->exit_total_cycles_hist[i], sum.all[EC_HIST + i]);
	mutex_unlock(&account->stats_lock);
}

//@}
//@{10
static void show_row(struct seq_file *m, const u64 *counters, bool hist)
{
	unsigned int i = hist ? EC_HIST : 0;
	unsigned int end = hist ? NR_EXIT_COUNTERS : NR_EXIT_COLUMNS;

	for (; i < end; i++)
		seq_printf(m, "\t%llu", counters[i]);
	seq_putc(m, '\n');
}

/* The first line of a file. */
void kvm_exit_cycles_show_head(struct seq_file *m, const struct kvm_exit_scope *scope,
			       const struct kvm_exit_cycles_sum *sum)
{
	seq_printf(m, "# exit_cycles 1\tvendor=%s\ttsc_khz=%u\ttsc=%s\tscope=%s",
		   vmx ? "vmx" : "svm", tsc_khz, check_tsc_unstable() ? "unstable" : "stable",
		   scope->vcpu ? "vcpu" : scope->kvm ? "vm" : "host");
	seq_printf(m, "\tvms=%u\tvcpus=%u\tguest=%llu", sum->vms, sum->vcpus, sum->guest);
}

/* The number and the name of a row's reason. */
void kvm_exit_cycles_show_reason(struct seq_file *m, unsigned int row)
{
	if (row < kvm_exit_cycles_nr_rows - 1)
		seq_printf(m, "%u\t%s", (u32)exit_names[row].code, exit_names[row].name);
	else
		seq_puts(m, "-\tOTHER");
}

static int show_scope(struct seq_file *m, bool hist)
{
	unsigned int columns = hist ? KVM_EXIT_CYCLES_BUCKETS : NR_EXIT_COLUMNS;
	const struct kvm_exit_scope *scope = m->private;
	struct kvm_exit_cycles_sum sum;
	unsigned int i;

	/* Ask for a buffer that holds all, or all would be summed up for each size. */
	if (m->size < (kvm_exit_cycles_nr_rows + 3) * (64 + columns * sizeof("\t18446744073709551615"))) {
		seq_commit(m, -1);
		return 0;
	}

	sum.rows = kvmalloc_array(kvm_exit_cycles_nr_rows, sizeof(*sum.rows), GFP_KERNEL);
	if (!sum.rows)
		return -ENOMEM;

	kvm_exit_cycles_sum_scope(&sum, scope);

	kvm_exit_cycles_show_head(m, scope, &sum);
	seq_puts(m, "\nreason\tname");
	for (i = 0; hist && i < KVM_EXIT_CYCLES_BUCKETS; i++)
		seq_printf(m, "\t%u", i);
	seq_puts(m, hist ? "\n" :
		 "\texits\tcycles\ttotal\thalt\tuser\tmax\tpoll\tsched\thsched\tstop\n");

	for (i = 0; i < kvm_exit_cycles_nr_rows; i++) {
		const u64 *counters = (u64 *)sum.rows[i].counter;

		if (!counters[EC_EXITS])
			continue;

		kvm_exit_cycles_show_reason(m, i);
		show_row(m, counters, hist);
	}
	seq_puts(m, "-\tTOTAL");
	show_row(m, sum.all, hist);

	kvfree(sum.rows);
	return 0;
}

static int exit_cycles_show(struct seq_file *m, void *unused)
{
	return show_scope(m, false);
}
DEFINE_SHOW_ATTRIBUTE(exit_cycles);

static int exit_cycles_hist_show(struct seq_file *m, void *unused)
{
	return show_scope(m, true);
}
DEFINE_SHOW_ATTRIBUTE(exit_cycles_hist);
DEFINE_SHOW_ATTRIBUTE(kvm_exit_cycles_keys); //@14

//@}
static void clear_account(struct kvm_exit_cycles *account)
{
	u64 *word = (u64 *)account->rows, *end = (u64 *)&account->rows[kvm_exit_cycles_nr_rows];

	/* Not memset(): others may be reading. */
	while (word < end)
		WRITE_ONCE(*word++, 0);
	local64_set(&account->exits, 0);
	local64_set(&account->cycles, 0);
	local64_set(&account->guest, 0);
	kvm_exit_cycles_clear_keys(account); //@13
}

//@{11
/* KVM_REQ_EXIT_CYCLES: drop the exit in progress, and do the reset that is posted. */
void kvm_exit_cycles_serve(struct kvm_vcpu *vcpu)
{
	struct kvm_exit_cycles *account = vcpu->arch.exit_stamps.account;
	u32 posted = READ_ONCE(account->reset_posted);

	drop_exit(&vcpu->arch.exit_stamps);
	vcpu->arch.exit_stamps.entry = rdtsc();
	kvm_exit_cycles_switch_keys(account); //@14
	if (posted == account->reset_done)
		return;

	clear_account(account);
	/* Pairs with the acquire in kvm_exit_cycles_is_reset(). */
	smp_store_release(&account->reset_done, posted);
}

/*
 * Have the vCPUs of @scope serve KVM_REQ_EXIT_CYCLES before they enter the guest
 * again, and those that are in the guest, or about to enter it, leave it now.
 * One that is halted need not wake up for it.
 */
void kvm_exit_cycles_request_scope(const struct kvm_exit_scope *scope)
{
	DECLARE_BITMAP(vcpus, KVM_MAX_VCPUS) = {};
	struct kvm *kvm;

	if (scope->vcpu) {
		__set_bit(scope->vcpu->vcpu_idx, vcpus);
		kvm_make_vcpus_request_mask(scope->kvm, KVM_REQ_EXIT_CYCLES, vcpus);
	} else if (scope->kvm) {
		kvm_make_all_cpus_request(scope->kvm, KVM_REQ_EXIT_CYCLES);
	} else {
		mutex_lock(&kvm_lock);
		list_for_each_entry(kvm, &vm_list, vm_list)
			kvm_make_all_cpus_request(kvm, KVM_REQ_EXIT_CYCLES);
		mutex_unlock(&kvm_lock);
	}
}

/* Clear the scope, in one step to readers of the files. */
static int exit_cycles_reset(void *data, u64 value)
{
	const struct kvm_exit_scope *scope = data;
	struct kvm_exit_cycles *account = NULL;

	if (value)
		return -EINVAL;

	rcu_read_lock();
	write_seqlock(&kvm_exit_cycles_lock);
	while ((account = kvm_exit_cycles_next(scope, account))) {
		if (account == &gone.account)
			clear_account(account);
		else
			WRITE_ONCE(account->reset_posted, account->reset_posted + 1);
	}
	write_sequnlock(&kvm_exit_cycles_lock);
	rcu_read_unlock();

	kvm_exit_cycles_request_scope(scope);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(exit_cycles_reset_fops, NULL, exit_cycles_reset, "%llu\n");

//@}
//@{10
struct kvm_exit_scope kvm_exit_cycles_host;

/*
 * The files of a vCPU, of a VM or, without both, of the host: those go with all that
 * is in KVM's directory.  debugfs answers -EIO for a file that was removed, even if
 * it is open, and waits for those being read: none needs a reference to its VM.
 */
void kvm_exit_cycles_create_debugfs(struct kvm *kvm, struct kvm_vcpu *vcpu, struct dentry *dir)
{
	struct kvm_exit_scope *scope = vcpu ? &vcpu->arch.exit_stamps.account->scope :
				       kvm ? &kvm->arch.exit_scope : &kvm_exit_cycles_host;
	struct dentry *kvm_dir = dir ? NULL : debugfs_lookup("kvm", NULL);

	dir = dir ?: kvm_dir;
	if (IS_ERR_OR_NULL(dir))
		return;

	/* Lockdown lets only files of exactly this mode be read. */
	debugfs_create_file("exit_cycles", 0444, dir, scope, &exit_cycles_fops);
	debugfs_create_file("exit_cycles_hist", 0444, dir, scope, &exit_cycles_hist_fops);
	debugfs_create_file("exit_cycles_keys", 0444, dir, scope, &kvm_exit_cycles_keys_fops); //@14
	debugfs_create_file("exit_cycles_reset", 0200, dir, scope, &exit_cycles_reset_fops); //@11
	dput(kvm_dir);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_exit_cycles_create_debugfs);

//@}
void kvm_exit_cycles_init_vm(struct kvm *kvm)
{
	kvm->arch.exit_scope.kvm = kvm;
	INIT_LIST_HEAD(&kvm->arch.exit_accounts);
}

/* Open the vCPU's account.  Returns 0 or -ENOMEM. */
int kvm_exit_cycles_create(struct kvm_vcpu *vcpu)
{
	struct list_head *vm_list = &vcpu->kvm->arch.exit_accounts;
	struct kvm_exit_cycles *account, *sibling;

	/* In pages: kmalloc() would take the next power of two. */
	account = __vmalloc(struct_size(account, rows, kvm_exit_cycles_nr_rows),
			    GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!account)
		return -ENOMEM;

	account->scope = (struct kvm_exit_scope){ vcpu->kvm, vcpu };
	mutex_init(&account->stats_lock); //@8
	vcpu->arch.exit_stamps.account = account;
	drop_exit(&vcpu->arch.exit_stamps);
	kvm_exit_cycles_clear_keys(account); //@13
	/* Not in KVM_RUN yet. */
	account->left_tsc = rdtsc();

	read_seqlock_excl(&kvm_exit_cycles_lock);
	sibling = list_first_entry_or_null(vm_list, struct kvm_exit_cycles, vm_list);
	list_add_tail_rcu(&account->list, sibling ? &sibling->list : &gone.account.list);
	list_add_rcu(&account->vm_list, vm_list);
	read_sequnlock_excl(&kvm_exit_cycles_lock);
	return 0;
}

void kvm_exit_cycles_destroy(struct kvm_vcpu *vcpu)
{
	struct kvm_exit_cycles *account = vcpu->arch.exit_stamps.account;
	struct kvm_exit_cycles_sum sum = { .rows = gone.account.rows };

	write_seqlock(&kvm_exit_cycles_lock);
	list_del_rcu(&account->list);
	list_del_rcu(&account->vm_list);
	add_account(&sum, account);
	kvm_exit_cycles_fold_keys(&gone.account, account); //@13
	local64_add(sum.all[EC_EXITS], &gone.account.exits);
	local64_add(sum.all[EC_CYCLES], &gone.account.cycles);
	local64_add(sum.guest, &gone.account.guest);
	write_sequnlock(&kvm_exit_cycles_lock);

	vcpu->arch.exit_stamps.account = NULL;
	kvfree_rcu(account, rcu);
}

/* Begin anew, with the names and codes of the vendor module being loaded. */
void kvm_exit_cycles_init(u32 isa)
{
	const struct exit_name *names = isa == KVM_ISA_VMX ? vmx_names : svm_names;
	unsigned int i, n = isa == KVM_ISA_VMX ? ARRAY_SIZE(vmx_names) : ARRAY_SIZE(svm_names);
	u32 code;

	BUILD_BUG_ON(offsetof(struct kvm_exit_cycles, scope) <=
		     offsetof(struct kvm_exit_cycles, run_delay));

	vmx = isa == KVM_ISA_VMX; //@10
	kvm_exit_cycles_nr_rows = 0;
	for (i = 0; i < n; i++) {
		code = names[i].code;
		/* Codes that SVM's software made up are in no exit. */
		if (code < KVM_EXIT_CYCLES_MASK || code == ~0U)
			exit_names[kvm_exit_cycles_nr_rows++] = names[i];
	}

	for (i = 0; i <= KVM_EXIT_CYCLES_MASK; i++)
		kvm_exit_cycles_map[i] = offsetof(struct kvm_exit_cycles, rows[kvm_exit_cycles_nr_rows]);
	for (i = 0; i < kvm_exit_cycles_nr_rows; i++)
		kvm_exit_cycles_map[exit_names[i].code & KVM_EXIT_CYCLES_MASK] =
			offsetof(struct kvm_exit_cycles, rows[i]);

	kvm_exit_cycles_nr_rows++;
	kvm_exit_cycles_init_keys(isa); //@13
	clear_account(&gone.account);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_exit_cycles_init);
//@{12

static bool enabled = true;

/*
 * Sites of a key change one after another, and vCPUs have exits in progress.  So
 * begin with the stamps; have all vCPUs drop the exit that they are in; and close
 * exits from then on.  A request is served before the next close, or its vCPU is
 * waited for.
 */
static int set_enabled(const char *val, const struct kernel_param *kp)
{
	bool was = enabled;
	int ret = param_set_bool(val, kp);

	if (ret || enabled == was)
		return ret;

	if (enabled) {
		static_branch_enable(&kvm_exit_cycles_stamp);
		kvm_exit_cycles_request_scope(&kvm_exit_cycles_host);
		static_branch_enable(&kvm_exit_cycles_close);
	} else {
		static_branch_disable(&kvm_exit_cycles_close);
		static_branch_disable(&kvm_exit_cycles_stamp);
	}
	return 0;
}

static const struct kernel_param_ops enabled_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_enabled,
	.get = param_get_bool,
};

module_param_cb(exit_cycles, &enabled_ops, &enabled, 0644);
__MODULE_PARM_TYPE(exit_cycles, "bool");
MODULE_PARM_DESC(exit_cycles, "Count VM-exits and their cycles (default: Y)");
//@}
