/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * threads.bpf.h - finding, adding and naming threads that run vCPUs, and their rows. The
 * reader frees the entries of threads that have ended.
 */
#ifndef THREADS_BPF_H
#define THREADS_BPF_H

__u32 threads_used;
__u32 rows_used;
__u64 gone_guest;	/* ns in the guest of vCPUs whose thread now runs another */
__u64 lost;		/* exits not counted, as there was no room */

/* The index in threads of each thread ID. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_THREADS);
	__type(key, __u32);
	__type(value, __u32);
} thread_ids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_THREADS);
	__type(key, __u32);
	__type(value, struct exit_thread);
} threads SEC(".maps");

/* Entries of threads that have ended; the reader puts them here. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, MAX_THREADS);
	__type(value, __u32);
} free_threads SEC(".maps");

/* The thread last looked for on each CPU: its ID in the high half, its index in the low half. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} on_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_ROWS);
	__type(key, __u32);
	__type(value, struct exit_row);
} rows SEC(".maps");

/* Rows of threads that have ended; the reader puts them here. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, MAX_ROWS);
	__type(value, __u32);
} free_rows SEC(".maps");

static __always_inline __u64 polled(__u64 vcpu)
{
	return read_u64(vcpu, at.poll_success) + read_u64(vcpu, at.poll_fail);
}

static __always_inline struct exit_row *row_at(__u32 n)
{
	return bpf_map_lookup_elem(&rows, &n);
}

/* The row of the thread's current place: its index, from 1 on; 0: there is no room. */
static __always_inline __u32 find_row(struct exit_thread *t)
{
	__u32 place = *(volatile __u32 *)&t->place;	/* read only once: the check must hold */
	struct exit_row *row;
	__u32 n = 0;

	if (place >= PLACES)
		return 0;
	if (t->row[place])
		return t->row[place];
	if (bpf_map_pop_elem(&free_rows, &n)) {
		if (rows_used >= MAX_ROWS)
			return 0;
		n = __sync_fetch_and_add(&rows_used, 1);
	}
	row = row_at(n);
	if (!row)
		return 0;
	row->place = place;
	t->row[place] = n + 1;
	return n + 1;
}

static __always_inline struct exit_thread *thread_at(__u32 n)
{
	return bpf_map_lookup_elem(&threads, &n);
}

/* The current thread's entry, or NULL. It is nearly always the last one on this CPU. */
static __always_inline struct exit_thread *find_thread(void)
{
	__u32 tid = bpf_get_current_pid_tgid(), cpu = bpf_get_smp_processor_id(), *n;
	__u64 *last = bpf_map_lookup_elem(&on_cpu, &cpu), was = 0;
	struct exit_thread *t;

	if (last)	/* NULL: more CPUs than on_cpu has entries */
		was = *(volatile __u64 *)last;
	if (was >> 32 == tid) {
		t = thread_at(was);
		if (t && t->tid == tid)
			return t;
	}
	n = bpf_map_lookup_elem(&thread_ids, &tid);
	if (!n)
		return NULL;
	if (last)
		*(volatile __u64 *)last = (__u64)tid << 32 | *n;
	return thread_at(*n);
}

static __always_inline void drop_parts(struct exit_thread *t)
{
	t->exit = 0;
	t->start = 0;
	t->left = 0;
	t->block = 0;
	t->handler = 0;
	t->halt = 0;
	t->poll = 0;
	t->user = 0;
	t->stop = 0;
	t->hsched = 0;
	t->away = 0;
}

/* The thread runs this vCPU from now on: start anew. */
static __always_inline void name_thread(struct exit_thread *t, __u64 vcpu)
{
	struct dentry *dentry = (void *)read_u64(read_u64(vcpu, at.kvm), at.dentry);

	if (t->guest)
		__sync_fetch_and_add(&gone_guest, t->guest);
	drop_parts(t);
	__builtin_memset(t->row, 0, sizeof(t->row));
	t->keys = 0;
	t->guest = 0;
	t->entry = 0;
	t->vcpu = vcpu;
	t->pid = bpf_get_current_pid_tgid() >> 32;
	t->vcpu_id = read_u64(vcpu, at.vcpu_id);
	t->polled = polled(vcpu);
	if (bpf_probe_read_kernel_str(t->vm, sizeof(t->vm), BPF_CORE_READ(dentry, d_name.name)) < 0)
		t->vm[0] = '\0';
}

static __noinline int add_thread(__u32 tid)
{
	struct exit_thread *t;
	__u32 n = 0;

	if (bpf_map_pop_elem(&free_threads, &n)) {
		if (threads_used >= MAX_THREADS)
			return -1;
		n = __sync_fetch_and_add(&threads_used, 1);
	}
	t = thread_at(n);
	if (!t)
		return -1;
	t->tid = tid;
	t->number = n;
	return bpf_map_update_elem(&thread_ids, &tid, &n, BPF_ANY);
}

static __always_inline struct exit_thread *make_thread(__u64 vcpu)
{
	struct exit_thread *t = find_thread();

	if (!t) {
		t = add_thread(bpf_get_current_pid_tgid()) ? NULL : find_thread();
		if (!t) {
			__sync_fetch_and_add(&lost, 1);
			return NULL;
		}
	}
	if (t->vcpu != vcpu)
		name_thread(t, vcpu);
	return t;
}

#endif
