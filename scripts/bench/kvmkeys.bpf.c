// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmkeys.bpf.c - does the same as this bpftrace program:
 *
 *	tracepoint:kvm:kvm_msr { @[args->ecx] = count(); }
 *	tracepoint:kvm:kvm_pio { @[args->port] = count(); }
 *
 * It counts by key and nothing else: a map per CPU, no time.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "kvmexits.h"
#include "counts.bpf.h"

/* The beginning of both tracepoints' records, as their format files describe it. */
struct key_record {
	__u64 common;
	__u32 write;
	__u32 key;
};

static __always_inline int count_key(const struct key_record *record)
{
	struct slot slot = { .reason = record->key };

	count(&slot);
	return 0;
}

SEC("tracepoint/kvm/kvm_msr")
int on_msr(struct key_record *record)
{
	return count_key(record);
}

SEC("tracepoint/kvm/kvm_pio")
int on_pio(struct key_record *record)
{
	return count_key(record);
}

const char gpl[] SEC("license") = "GPL";
