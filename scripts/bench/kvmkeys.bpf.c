// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmkeys.bpf.c - what bpftrace makes of
 *
 *	tracepoint:kvm:kvm_msr { @[args->ecx] = count(); }
 *	tracepoint:kvm:kvm_pio { @[args->port] = count(); }
 *
 * that is, counts by key and nothing else: a map per CPU, no time.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "kvmexits.h"

/* How both tracepoints' records begin, as their format files describe them. */
struct key_record {
	__u64 common;
	__u32 write;
	__u32 key;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct slot);
	__type(value, __u64);
} hist SEC(".maps");

/* Exits that found no room. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline int count(struct key_record *record)
{
	struct slot slot = { .reason = record->key };
	__u64 one = 1, *n = bpf_map_lookup_elem(&hist, &slot);
	__u32 zero = 0;

	if (n) {
		(*n)++;
	} else if (bpf_map_update_elem(&hist, &slot, &one, BPF_NOEXIST)) {
		n = bpf_map_lookup_elem(&lost, &zero);
		if (n)
			__sync_fetch_and_add(n, 1);
	}
	return 0;
}

SEC("tracepoint/kvm/kvm_msr")
int on_msr(struct key_record *record)
{
	return count(record);
}

SEC("tracepoint/kvm/kvm_pio")
int on_pio(struct key_record *record)
{
	return count(record);
}

const char gpl[] SEC("license") = "GPL";
