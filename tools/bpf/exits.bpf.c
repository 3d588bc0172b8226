// SPDX-License-Identifier: GPL-2.0-only
/*
 * exits.bpf.c - counts the same as the exit_cycles patches, on a kernel without them.
 *
 *	guest runs | t0 ...irqs... t1 handler t2 ...halt... user space ...run loop... t3 | guest runs
 *
 * t0 and t3 are KVM's tracepoints kvm_exit and kvm_entry, t1 and t2 the begin and end of
 * the vendor's exit handler. An exit is counted once, at t3. Of the kernel's structures,
 * only the members that are read are declared here; libbpf finds their offsets in the
 * BTF of the running kernel. The offsets in KVM, which may be a module, come from
 * bpf_kernel.c: libbpf would need CAP_SYS_ADMIN to find them.
 */
#include <linux/bpf.h>
#include <asm/errno.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "exits.h"

#define HALTED	3	/* KVM_MP_STATE_HALTED */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct sched_info {
	unsigned long long run_delay;
};

struct task_struct {
	struct sched_info sched_info;
};

#pragma clang attribute pop

const volatile bool svm;
const volatile __u64 cycle_mult;
const volatile struct kvm_offsets at;

static __always_inline __u64 run_delay(void)
{
	return bpf_get_current_task_btf()->sched_info.run_delay;
}

static __always_inline __u64 read_u64(__u64 from, __u32 offset)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(from + offset));
	return value;
}

/* The clocks of two CPUs may differ a little, so `now` may be before `then`. */
static __always_inline __u64 since(__u64 then, __u64 now)
{
	return now > then ? now - then : 0;
}

#include "threads.bpf.h"
#include "keys.bpf.h"
#include "slow.bpf.h"

/* The vendor's structure begins with the vCPU. */
static __always_inline __u32 read_reason(__u64 vcpu, __u64 vmcb)
{
	return at.reason == NO_OFFSET ? -1U : (__u32)read_u64(svm ? vmcb : vcpu, at.reason);
}

static __always_inline __u32 place_of(__u32 reason)
{
	if (!svm) {
		reason &= 0xffff;	/* the high bits are flags */
		return reason < 128 ? reason : PLACE_OTHER;
	}
	if (reason < PLACE_HIGH)
		return reason;
	if (reason >= 0x400 && reason < 0x410)
		return reason - 0x400 + PLACE_HIGH;
	return reason == -1U ? PLACE_ERROR : PLACE_OTHER;
}

/* KVM's rule: fls64(). The last bucket has everything from 2^30 on. */
static __always_inline __u32 bucket_of(__u64 cycles)
{
	__u32 bucket = 0;

	if (cycles >> (EXIT_BUCKETS - 2))
		return EXIT_BUCKETS - 1;
	for (__u32 bit = 16; bit; bit /= 2) {
		if (cycles >> bit) {
			cycles >>= bit;
			bucket += bit;
		}
	}
	return bucket + !!cycles;
}

static __always_inline void open_exit(struct exit_thread *t, __u64 vcpu, __u64 now)
{
	__u64 vmcb = svm ? read_u64(vcpu, at.vmcb) : 0;

	if (t->entry)
		t->guest += since(t->entry, now);
	t->place = place_of(read_reason(vcpu, vmcb));
	t->key = NO_KEY;
	if (with_keys)
		open_key(t, vcpu, vmcb);
	t->exit = now;
	t->delay = run_delay();
	t->mark_delay = t->delay;
}

/* As in the patches: the parts never add up to more than the total. */
static __always_inline void close_exit(struct exit_thread *t, __u64 now)
{
	__u32 number = find_row(t);
	struct exit_row *row = number ? row_at(number - 1) : NULL;
	__u64 total = since(t->exit, now);
	__u64 parts = t->handler + t->halt + t->user + t->stop;
	__u64 hsched = t->hsched, sched, max, capped;

	if (!row) {
		__sync_fetch_and_add(&lost, 1);
		return;
	}
	sched = since(t->delay + t->away, run_delay());
	sched = since(hsched, sched);
	if (hsched > t->handler)
		hsched = t->handler;
	if (sched > since(parts, total))
		sched = since(parts, total);
	if (total < parts + sched)
		total = parts + sched;

	row->exits++;
	row->total += total;
	row->handler += t->handler;
	row->halt += t->halt;
	row->poll += t->poll;
	row->user += t->user;
	row->sched += sched + hsched;
	row->hsched += hsched;
	row->stop += t->stop;
	max = total - t->stop;
	if (max > row->max)
		row->max = max;
	/* Times cycle_mult, more than an hour does not fit into 64 bits. */
	capped = max >> 42 ? 1ULL << 42 : max;
	row->hist[bucket_of(capped * cycle_mult >> CYCLE_SHIFT) & (EXIT_BUCKETS - 1)]++;
	if (with_keys) {
		close_key(t);
		count_key(t, row, number, total, max);
	}
	if (max - t->halt > slow_ns) {
		row->slow++;
		keep_slow(t, now, total, sched + hsched);
	}
}

/* KVM_RUN returns `ret` to user space: leave(). User space calls it again: come_back(). */
static __always_inline void leave(struct exit_thread *t, int ret)
{
	t->left = bpf_ktime_get_ns();
	t->left_delay = run_delay();
	t->left_by_signal = ret == -EINTR;
}

static __always_inline void come_back(struct exit_thread *t, __u64 now)
{
	__u64 away = since(t->left, now);

	if (t->left_by_signal)
		t->stop += away;
	else
		t->user += away;
	t->mark_delay = run_delay();
	t->away += since(t->left_delay, t->mark_delay);
	t->left = 0;
}

/* The wait for a CPU after the wake-up is not halt, so it is taken off `ns`. */
static __always_inline __u64 add_halt(struct exit_thread *t, __u64 ns)
{
	__u64 delay = run_delay();

	ns = since(since(t->mark_delay, delay), ns);
	t->halt += ns;
	t->mark_delay = delay;
	return ns;
}

static __always_inline void note_page(__u64 gpa)
{
	struct exit_thread *t = find_thread();

	if (t && t->exit && t->key == NO_KEY && kind_of(t) == FROM_MMIO)
		t->key = gpa >> 12;
}

SEC("raw_tp/kvm_exit")
int BPF_PROG(on_exit, __u64 vcpu)
{
	__u64 now = bpf_ktime_get_ns();
	struct exit_thread *t = make_thread(vcpu);

	if (t && !t->exit)
		open_exit(t, vcpu, now);
	return 0;
}

/*
 * Linux 6.1 traces an SVM exit in its handler, so it does not trace one that a fast path
 * handles. The VMCB still has such an exit at the next entry. It is counted, with 0 ns.
 */
SEC("raw_tp/kvm_entry")
int BPF_PROG(on_entry, __u64 vcpu)
{
	struct exit_thread *t = find_thread();
	__u64 now;

	if (!t || t->vcpu != vcpu)
		return 0;
	now = bpf_ktime_get_ns();
	if (!t->exit && t->entry && svm) {
		open_exit(t, vcpu, now);
		t->exit = now;
	}
	if (t->left)	/* on_run() is not attached */
		come_back(t, now);
	if (t->exit)
		close_exit(t, now);
	drop_parts(t);
	t->entry = now;
	return 0;
}

SEC("fentry")
int BPF_PROG(on_handler, __u64 vcpu)
{
	__u64 now = bpf_ktime_get_ns();
	struct exit_thread *t = make_thread(vcpu);

	if (!t)
		return 0;
	if (!t->exit)
		open_exit(t, vcpu, now);
	t->start = now;
	t->start_delay = run_delay();
	return 0;
}

SEC("fexit")
int BPF_PROG(on_handled, __u64 vcpu)
{
	struct exit_thread *t = find_thread();

	if (!t || !t->start || t->vcpu != vcpu)
		return 0;
	t->handler += since(t->start, bpf_ktime_get_ns());
	t->mark_delay = run_delay();
	t->hsched += since(t->start_delay, t->mark_delay);
	t->start = 0;
	return 0;
}

SEC("fentry/kvm_arch_vcpu_ioctl_run")
int BPF_PROG(on_run, __u64 vcpu)
{
	struct exit_thread *t = find_thread();

	if (t && t->left && t->vcpu == vcpu)
		come_back(t, bpf_ktime_get_ns());
	return 0;
}

SEC("fexit/kvm_arch_vcpu_ioctl_run")
int BPF_PROG(on_left, __u64 vcpu, int ret)
{
	struct exit_thread *t = find_thread();

	if (t && t->exit && t->vcpu == vcpu)
		leave(t, ret);
	return 0;
}

/* Waiting to be started, or for a page. HLT has a tracepoint of its own. */
SEC("fentry/kvm_vcpu_block")
int BPF_PROG(on_block, __u64 vcpu)
{
	struct exit_thread *t = find_thread();

	if (!t || !t->exit || t->vcpu != vcpu || (__u32)read_u64(vcpu, at.mp_state) == HALTED)
		return 0;
	t->block = bpf_ktime_get_ns();
	t->mark_delay = run_delay();
	return 0;
}

SEC("fexit/kvm_vcpu_block")
int BPF_PROG(on_blocked, __u64 vcpu)
{
	struct exit_thread *t = find_thread();

	if (!t || !t->block || t->vcpu != vcpu)
		return 0;
	add_halt(t, since(t->block, bpf_ktime_get_ns()));
	t->block = 0;
	return 0;
}

/* A HLT of `ns` ends, polling included. KVM's statistics have all polling of the vCPU so far. */
SEC("raw_tp/kvm_vcpu_wakeup")
int BPF_PROG(on_wakeup, __u64 ns)
{
	struct exit_thread *t = find_thread();
	__u64 all;

	if (!t || !t->exit)
		return 0;
	all = polled(t->vcpu);
	ns = add_halt(t, ns);
	t->poll += since(t->polled, all) < ns ? since(t->polled, all) : ns;
	t->polled = all;
	return 0;
}

/* Used if functions cannot be traced. User space then ends at the next entry, a little late. */
SEC("raw_tp/kvm_userspace_exit")
int BPF_PROG(on_userspace, __u32 reason, int ret)
{
	struct exit_thread *t = find_thread();

	if (t && t->exit)
		leave(t, ret);
	return 0;
}

/* MMIO of KVM's own devices or of user space; on_fast_mmio() has that of a fast path. */
SEC("raw_tp/kvm_mmio")
int BPF_PROG(on_mmio, int type, int len, __u64 gpa)
{
	note_page(gpa);
	return 0;
}

SEC("raw_tp/kvm_fast_mmio")
int BPF_PROG(on_fast_mmio, __u64 gpa)
{
	note_page(gpa);
	return 0;
}

const char gpl[] SEC("license") = "GPL";
