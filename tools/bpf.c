// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf.c - the source that needs no patches: bpf/exits.bpf.c counts while exitdump runs.
 * In the kernel it holds only file descriptors (links and maps). The kernel closes them
 * when the process ends, however it ends.
 */
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "source.h"

#ifndef HAVE_BPF

int bpf_attach(bool keys)
{
	(void)keys;
	return fail("--bpf: this exitdump was built without it (to see what is missing: make clean tool)");
}

int bpf_explain(void)
{
	return bpf_attach(true);
}

static int begin(struct sample *s, const struct pick *pick)
{
	(void)s;
	(void)pick;
	return bpf_attach(false);
}

const struct source source_bpf = { .begin = begin };

#else

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf_state.h"
#include "exits.skel.h"

struct bpf_state bpf;

static char complaint[256];	/* libbpf's last warning */

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(complaint, sizeof(complaint), format, args);
	complaint[strcspn(complaint, "\n")] = '\0';
	return 0;
}

/* Trace both the entry and the end of a function, or neither. */
static void trace(struct bpf_program *entry, struct bpf_program *end, bool wanted)
{
	bpf_program__set_autoload(entry, wanted);
	bpf_program__set_autoload(end, wanted);
}

static void detach(void)
{
	if (bpf.threads)
		munmap((void *)bpf.threads, MAX_THREADS * sizeof(*bpf.threads));
	if (bpf.rows)
		munmap((void *)bpf.rows, MAX_ROWS * sizeof(*bpf.rows));
	if (bpf.keys)
		munmap((void *)bpf.keys, MAX_KEYS * sizeof(*bpf.keys));
	if (bpf.slows)
		munmap((void *)bpf.slows, MAX_THREADS * sizeof(*bpf.slows));
	exits__destroy(bpf.skel);
	account_free(&bpf.gone_keys);
	account_free(&bpf.gone_slow);
	memset(&bpf, 0, sizeof(bpf));
}

/* Load and attach it, with KVM's functions (also the handler, if named), or only with tracepoints. */
static int load(const char *handler, bool functions)
{
	struct exits *skel = exits__open();
	int error = 0;

	if (!skel)
		return -errno;
	bpf.skel = skel;
	skel->rodata->svm = !strcmp(bpf.kernel.vendor, "svm");
	skel->rodata->cycle_mult = (bpf.kernel.tsc_khz << CYCLE_SHIFT) / 1000000;
	skel->rodata->at = bpf.kernel.at;
	skel->rodata->with_keys = bpf.with_keys;
	memcpy((void *)skel->rodata->key_from, bpf.kernel.key_from, sizeof(bpf.kernel.key_from));
	skel->rodata->slow_ns = SLOW_US * 1000;
	trace(skel->progs.on_handler, skel->progs.on_handled, functions && handler);
	trace(skel->progs.on_run, skel->progs.on_left, functions);
	trace(skel->progs.on_block, skel->progs.on_blocked, functions);
	trace(skel->progs.on_mmio, skel->progs.on_fast_mmio, bpf.with_keys);
	bpf_program__set_autoload(skel->progs.on_userspace, !functions);
	if (functions && handler)
		error = bpf_program__set_attach_target(skel->progs.on_handler, 0, handler) ?:
			bpf_program__set_attach_target(skel->progs.on_handled, 0, handler);
	error = error ?: exits__load(skel) ?: exits__attach(skel);
	if (error) {
		exits__destroy(skel);
		bpf.skel = NULL;
		return error;
	}
	bpf.functions = functions;
	bpf.counters = 1u << C_EXITS | 1u << C_TOTAL | 1u << C_HALT | 1u << C_USER |
		1u << C_SCHED | 1u << C_STOP | 1u << C_SLOW | 1u << C_MAX | 1u << C_POLL;
	if (functions && handler)
		bpf.counters |= 1u << C_CYCLES | 1u << C_HSCHED;
	return 0;
}

static const void *map_at(int fd, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* Find the maps that are read, and map some into memory. False, with errno, if that fails. */
static bool find_maps(const struct exits *skel)
{
	bpf.fd.threads = bpf_map__fd(skel->maps.threads);
	bpf.fd.rows = bpf_map__fd(skel->maps.rows);
	bpf.fd.keys = bpf_map__fd(skel->maps.keys);
	bpf.fd.slows = bpf_map__fd(skel->maps.slows);
	bpf.fd.thread_ids = bpf_map__fd(skel->maps.thread_ids);
	bpf.fd.key_ids = bpf_map__fd(skel->maps.key_ids);
	bpf.fd.free_threads = bpf_map__fd(skel->maps.free_threads);
	bpf.fd.free_rows = bpf_map__fd(skel->maps.free_rows);
	bpf.fd.free_keys = bpf_map__fd(skel->maps.free_keys);
	bpf.threads_used = &skel->bss->threads_used;
	bpf.rows_used = &skel->bss->rows_used;
	bpf.keys_used = &skel->bss->keys_used;
	bpf.gone_guest = (const volatile uint64_t *)&skel->bss->gone_guest;
	bpf.threads = map_at(bpf.fd.threads, MAX_THREADS * sizeof(*bpf.threads));
	bpf.rows = map_at(bpf.fd.rows, MAX_ROWS * sizeof(*bpf.rows));
	bpf.keys = map_at(bpf.fd.keys, MAX_KEYS * sizeof(*bpf.keys));
	bpf.slows = map_at(bpf.fd.slows, MAX_THREADS * sizeof(*bpf.slows));
	return bpf.threads && bpf.rows && bpf.keys && bpf.slows;
}

/* bpf_attach() - start to count, with or without keys. 0, or -1 with the reason in `failure`. */
int bpf_attach(bool keys)
{
	int error;

	if (bpf.skel && (bpf.with_keys || !keys))
		return 0;
	if (bpf.skel)
		detach();
	libbpf_set_print(keep_complaint);
	if (bpf_kernel_find(&bpf.kernel))
		return -1;
	bpf.with_keys = keys;
	error = load(bpf.kernel.handler, true);
	if (error && bpf.kernel.handler)
		error = load(NULL, true);
	if (error)
		error = load(NULL, false);
	if (error)
		return fail("--bpf: this kernel refuses its program: %s (%s)", strerror(-error), complaint);
	if (find_maps(bpf.skel))
		return 0;
	fail("--bpf: its counters cannot be read: %s", strerror(errno));
	detach();
	return -1;
}

/* next_thread() - the next thread from *n on that has had an exit, or NULL. */
const struct exit_thread *next_thread(uint32_t *n)
{
	uint32_t used = *bpf.threads_used;

	for (; *n < used && *n < MAX_THREADS; ++*n) {
		if (bpf.threads[*n].tid && bpf.threads[*n].pid)
			return &bpf.threads[(*n)++];
	}
	return NULL;
}

/* vm_of() - the name of a thread's VM in debugfs; "PID-0" if it is not known. */
void vm_of(char *vm, size_t size, const struct exit_thread *t)
{
	if (*t->vm)
		snprintf(vm, size, "%.23s", t->vm);
	else
		snprintf(vm, size, "%u-0", t->pid);
}

/*
 * How often the kernel skipped a program, because the same program was interrupted on that
 * CPU and had not finished.
 */
static uint64_t skipped(void)
{
	struct bpf_program *program;
	uint64_t n = 0;

	bpf_object__for_each_program(program, bpf.skel->obj) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size))
			n += info.recursion_misses;
	}
	return n;
}

static int begin(struct sample *s, const struct pick *pick)
{
	if (pick->once && !bpf.skel)
		return fail("--bpf: starts to count now, so it needs an interval (exitdump --bpf 1), top or run");
	if (bpf_attach(pick->keys || pick->slow))
		return -1;
	bpf_fold_ended();
	s->uncounted = bpf.skel->bss->lost + skipped();
	return 0;
}

static enum read_result read_bpf(const struct pick *pick, const char *dir, enum read_what what,
				 struct account *a)
{
	(void)pick;
	return bpf_read(dir, what, a);
}

/* The VMs in KVM's debugfs; if that cannot be read, those that have had an exit. */
static int bpf_vms(const struct pick *pick, struct vm_id **vms, size_t *n)
{
	const struct exit_thread *t;
	struct vm_id vm;
	char name[24];
	size_t k;

	if (!list_vm_dirs(pick->root, vms, n))
		return 0;
	for (uint32_t i = 0; (t = next_thread(&i)); ) {
		vm_of(name, sizeof(name), t);
		if (sscanf(name, "%u-%u", &vm.pid, &vm.fd) != 2)
			continue;
		for (k = 0; k < *n && ((*vms)[k].pid != vm.pid || (*vms)[k].fd != vm.fd); k++)
			;
		if (k < *n)
			continue;
		*vms = need_room(*vms, *n, sizeof(**vms));
		(*vms)[(*n)++] = vm;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return x < y ? -1 : x > y;
}

static enum read_result bpf_vcpus(const struct pick *pick, struct vm_id vm, unsigned int **vcpus,
				  size_t *n)
{
	const struct exit_thread *t;
	char name[24];
	size_t k;

	if (!list_vcpus(pick->root, vm, vcpus, n))
		return READ_OK;
	snprintf(name, sizeof(name), "%u-%u", vm.pid, vm.fd);
	for (uint32_t i = 0; (t = next_thread(&i)); ) {
		for (k = 0; k < *n && (*vcpus)[k] != t->vcpu_id; k++)
			;
		if (k < *n || !is_of(t, name))	/* two threads may run a vCPU in turn */
			continue;
		*vcpus = need_room(*vcpus, *n, sizeof(**vcpus));
		(*vcpus)[(*n)++] = t->vcpu_id;
	}
	if (*n)
		qsort(*vcpus, *n, sizeof(**vcpus), by_number);
	return *n ? READ_OK : READ_GONE;
}

static void explain(const char *what, bool told, const char *why)
{
	if (!told)
		printf("%-8s -  %s\n", what, why);
}

/* bpf_explain() - print what BPF cannot tell on this kernel, and why. 0, or -1 as bpf_attach(). */
int bpf_explain(void)
{
	const struct bpf_kernel *k = &bpf.kernel;
	const char *handler, *no_functions;
	char user[128], halt[128];
	bool cycles, svm;

	if (bpf_attach(true))
		return -1;
	cycles = bpf.counters & 1u << C_CYCLES;
	svm = !strcmp(k->vendor, "svm");
	no_functions = k->admin ? "this kernel cannot trace functions" : "to trace a module's functions takes CAP_SYS_ADMIN";
	handler = k->handler ? no_functions :
		"KVM's exit handler is in no BTF (CONFIG_DEBUG_INFO_BTF_MODULES)";
	printf("%s, %s: all columns are counted, but\n", *k->vendor ? k->vendor : "kvm_intel or kvm_amd is not loaded",
	       cycles ? "by tracepoints and both ends of the exit handler" :
	       bpf.functions ? "by tracepoints and both ends of KVM's own functions" : "by tracepoints");
	explain("cycles", cycles, handler);
	explain("hsched", cycles, handler);
	snprintf(user, sizeof(user), "lasts up to the next entry: %s", no_functions);
	snprintf(halt, sizeof(halt), "lacks the wait to be started: %s", no_functions);
	explain("user", bpf.functions, user);
	explain("halt", bpf.functions, halt);
	explain("reason", *k->vendor, "kvm_intel or kvm_amd is not loaded");
	explain("total", !svm, "0 for what a fast path handles on Linux 6.1, which traces exits in the handler");
	explain("rip", svm && k->at.rip != NO_OFFSET, svm ? "not in this kernel's BTF" : "KVM has changed it by the next entry");
	explain("perf", false, "BPF has no clock that perf and ftrace have");
	for (int place = 0; place < PLACES; place++) {
		char name[48];

		if (k->key_lacks[place]) {
			name_place(name, sizeof(name), place);
			printf("%-8s -  of %s: not in this kernel's BTF\n", "key", name);
		}
	}
	explain("key", false, "beyond the first 64 of a vCPU");
	return 0;
}

const struct source source_bpf = {
	.begin = begin, .read = read_bpf, .vms = bpf_vms, .vcpus = bpf_vcpus,
};

#endif
