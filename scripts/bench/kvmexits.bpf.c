// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmexits.bpf.c - does the same as kvmexits.bt. At an exit it stores the time and the
 * reason for the thread. At the entry it adds the nanoseconds to a log2 histogram of that
 * reason.
 *
 * The map of histograms is per CPU, as bpftrace makes it.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "kvmexits.h"
#include "counts.bpf.h"

/* The tracepoint's record, as its format file describes it. */
struct kvm_exit_record {
	__u64 common;
	__u32 exit_reason;
};

struct exit {
	__u64 ns;
	__u32 reason;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct exit);
} open SEC(".maps");

static __always_inline __u32 log2(__u64 v)
{
	__u32 bit, result = 0;

	for (bit = 32; bit; bit /= 2)
		if (v >> bit) {
			v >>= bit;
			result += bit;
		}
	return result;
}

SEC("tracepoint/kvm/kvm_exit")
int on_exit(struct kvm_exit_record *record)
{
	struct exit e = { .ns = bpf_ktime_get_ns(), .reason = record->exit_reason };
	__u32 tid = bpf_get_current_pid_tgid();

	if (bpf_map_update_elem(&open, &tid, &e, BPF_ANY))
		lose();
	return 0;
}

SEC("tracepoint/kvm/kvm_entry")
int on_entry(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct exit *e = bpf_map_lookup_elem(&open, &tid);
	struct slot slot = {};

	if (!e)
		return 0;
	slot.reason = e->reason;
	slot.log2 = log2(bpf_ktime_get_ns() - e->ns);
	bpf_map_delete_elem(&open, &tid);
	count(&slot);
	return 0;
}

const char gpl[] SEC("license") = "GPL";
