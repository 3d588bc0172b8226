/* SPDX-License-Identifier: GPL-2.0-only */
/* slow.bpf.h - the last exits of each vCPU that lost more than a threshold. */
#ifndef SLOW_BPF_H
#define SLOW_BPF_H

const volatile __u64 slow_ns;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_THREADS);	/* the same index as in threads */
	__type(key, __u32);
	__type(value, struct exit_slows);
} slows SEC(".maps");

/* The VMCB keeps the exit's RIP until the next entry. VMX has changed it by then. */
static __always_inline __u64 exit_rip(__u64 vcpu)
{
	return svm && at.rip != NO_OFFSET ? read_u64(read_u64(vcpu, at.vmcb), at.rip) : 0;
}

static __noinline int keep_slow(struct exit_thread *t, __u64 now, __u64 total, __u64 sched)
{
	__u32 n = t->number;
	struct exit_slows *all = bpf_map_lookup_elem(&slows, &n);
	struct exit_slow *slow;

	if (!all)
		return 0;
	slow = &all->last[t->slows++ % SLOW_A_VCPU];
	*(volatile __u64 *)&slow->begun = t->slows;
	slow->time = now;
	slow->vcpu = t->vcpu;
	slow->pid = t->pid;
	slow->vcpu_id = t->vcpu_id;
	slow->key = t->key;
	slow->rip = exit_rip(t->vcpu);
	slow->total = total;
	slow->handler = t->handler;
	slow->halt = t->halt;
	slow->user = t->user;
	slow->sched = sched;
	slow->hsched = t->hsched < t->handler ? t->hsched : t->handler;
	slow->stop = t->stop;
	slow->place = t->place;
	slow->cpu = bpf_get_smp_processor_id();
	*(volatile __u64 *)&slow->done = t->slows;
	return 0;
}

#endif
