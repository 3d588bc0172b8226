/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * keys.bpf.h - finding the key of an exit inside its reason, such as an MSR, and counting
 * by it. Keys have the same form as in the patched KVM.
 */
#ifndef KEYS_BPF_H
#define KEYS_BPF_H

const volatile bool with_keys;
const volatile __u8 key_from[256];	/* enum key_from, by place */

__u32 keys_used;

struct key_id {
	__u64 key;
	__u32 row;
	__u32 unused;
};

/* The index in keys of each key. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_KEYS);
	__type(key, struct key_id);
	__type(value, __u32);
} key_ids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_KEYS);
	__type(key, __u32);
	__type(value, struct exit_key);
} keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, MAX_KEYS);
	__type(value, __u32);
} free_keys SEC(".maps");

/* Read `place` again, so that the verifier sees its bounds. */
static __always_inline __u8 kind_of(struct exit_thread *t)
{
	return key_from[*(volatile __u32 *)&t->place & 0xff];
}

static __always_inline __u32 register_of(__u64 vcpu, __u32 number)
{
	return read_u64(vcpu, at.regs + number * 8);
}

/* The keys that must be read when the exit begins: handlers may change these registers. */
static __always_inline __u64 early_key(struct exit_thread *t, __u64 vcpu, __u64 vmcb)
{
	__u64 info;

	switch (kind_of(t)) {
	case FROM_EAX:
		return register_of(vcpu, 0);
	case FROM_ECX:
		return register_of(vcpu, 1);
	case FROM_VMCB_MSR:
		return register_of(vcpu, 1) | read_u64(vmcb, at.info_1) << 32;
	case FROM_VMCB_IO:
		info = read_u64(vmcb, at.info_1);
		return (info >> 16 & 0xffff) | (info & 1) << 16 | (info >> 2 & 1) << 17;
	case FROM_VMCB_FAULT:
		info = read_u64(vmcb, at.info_1);
		if (info & 8)	/* a reserved bit is set: MMIO */
			return read_u64(vmcb, at.info_2) >> 12;
		return (info & 16 ? 4 : info & 2 ? 2 : 1) | (info & 1) << 3;
	case FROM_VMCB_AVIC:
		return read_u64(vmcb, at.info_1) & 0xff0;
	}
	return NO_KEY;
}

/* The keys from the VMCS, which BPF cannot read: KVM has a copy if a handler has read it. */
static __always_inline __u64 late_key(struct exit_thread *t)
{
	__u64 qual, vcpu = t->vcpu, available = read_u64(vcpu, at.regs_avail);
	__u8 kind = kind_of(t);

	if (kind == FROM_VECTOR)
		return available >> (at.vector_bit & 63) & 1 ? read_u64(vcpu, at.vector) & 0xff : NO_KEY;
	if (!(available >> (at.qual_bit & 63) & 1))
		return NO_KEY;
	qual = read_u64(vcpu, at.qual);
	switch (kind) {
	case FROM_QUAL_IO:
		return (qual >> 16 & 0xffff) | (qual >> 3 & 1) << 16 | (qual >> 4 & 1) << 17;
	case FROM_QUAL_FAULT:
		return (qual & 7) | (qual & 0x38 ? 8 : 0);
	case FROM_QUAL_CR:
		return qual & 0x3f;
	case FROM_QUAL_DR:
		return qual & 0x17;
	case FROM_QUAL_APIC:
		return qual & 0xfff;
	}
	return NO_KEY;
}

static __always_inline void open_key(struct exit_thread *t, __u64 vcpu, __u64 vmcb)
{
	__u64 l2;

	t->key = early_key(t, vcpu, vmcb);
	l2 = at.l2_vmcb == NO_OFFSET ? 0 : svm ? read_u64(vcpu, at.l2_vmcb) : vcpu + at.l2_vmcb;
	t->l2 = l2 && l2 == (svm ? vmcb : read_u64(vcpu, at.vmcb));
}

static __always_inline void close_key(struct exit_thread *t)
{
	if (t->key == NO_KEY && !svm)
		t->key = late_key(t);
	if (!t->l2)
		return;
	/* Exits from L2 are marked, also those of reasons without keys. */
	if (t->key != NO_KEY)
		t->key |= L2_KEY;
	else if (!kind_of(t))
		t->key = L2_KEY;
}

static __always_inline struct exit_key *key_at(__u32 n)
{
	return bpf_map_lookup_elem(&keys, &n);
}

/* Find or add a key; from 1 on, 0: no room. A guest may cause any number of keys, so a vCPU has a limit. */
static __noinline __u32 find_key(struct exit_thread *t, struct exit_row *row, __u32 row_number, __u64 key)
{
	struct key_id id = { .key = key, .row = row_number };
	struct exit_key *new;
	__u32 *known, n = 0;

	known = bpf_map_lookup_elem(&key_ids, &id);
	if (known) {
		n = *known;
	} else {
		if (t->keys >= KEYS_A_VCPU)
			return 0;
		if (bpf_map_pop_elem(&free_keys, &n)) {
			if (keys_used >= MAX_KEYS)
				return 0;
			n = __sync_fetch_and_add(&keys_used, 1);
		}
		new = key_at(n);
		if (!new || bpf_map_update_elem(&key_ids, &id, &n, BPF_NOEXIST))
			return 0;
		new->key = key;
		new->row = row_number;
		t->keys++;
	}
	row->recent = key;
	row->recent_at = n + 1;
	return n + 1;
}

/* Count the key after its row, so that a row never has fewer exits than its keys. */
static __always_inline void count_key(struct exit_thread *t, struct exit_row *row, __u32 row_number,
				      __u64 total, __u64 max)
{
	struct exit_key *key;
	__u32 n;

	if (t->key == NO_KEY)
		return;
	n = row->recent_at && row->recent == t->key ? row->recent_at : find_key(t, row, row_number, t->key);
	if (!n)
		return;
	key = key_at(n - 1);
	if (!key)
		return;
	key->exits++;
	key->handler += t->handler;
	key->total += total;
	if (max > key->max)
		key->max = max;
}

#endif
