/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * counts.bpf.h - the maps in which the bench's BPF programs count, as bpftrace would make
 * them: a map per CPU, and a counter of the exits that found no room in it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct slot);
	__type(value, __u64);
} hist SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* Counts an exit that found no room. */
static __always_inline void lose(void)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&lost, &zero);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline void count(const struct slot *slot)
{
	__u64 one = 1, *n = bpf_map_lookup_elem(&hist, slot);

	if (n)
		(*n)++;
	else if (bpf_map_update_elem(&hist, slot, &one, BPF_NOEXIST))
		lose();
}
