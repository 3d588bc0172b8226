// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf.c - the source that needs no patches: bpf/exits.bpf.c counts while exitdump runs.
 * Its links and maps are file descriptors and nothing else, so they go with the process,
 * however that ends.
 */
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "source.h"

#ifndef HAVE_BPF

int bpf_attach(void)
{
	return fail("--bpf: this exitdump was built without it (make clean tool says what is missing)");
}

static int begin(struct sample *s, const struct pick *pick)
{
	(void)s;
	(void)pick;
	return bpf_attach();
}

const struct source source_bpf = { .begin = begin };

#else

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bpf/exits.h"
#include "exits.skel.h"
#include "guest.h"
#include "reasons.h"

#define MODULES "/sys/module"
#define BTF_DIR "/sys/kernel/btf"

static struct {
	struct exits *skel;
	const struct exit_row *rows;	/* as the kernel writes them */
	uint32_t max_rows;
	char vendor[16];		/* "" where it is neither */
	uint64_t tsc_khz;
	unsigned int counters;
	struct kvm_offsets at;
	/* Of the sample that is being taken. */
	struct exit_thread *threads;
	size_t nthreads;
	/* Of threads that have ended. */
	struct exit_row gone[PLACES];
	uint64_t gone_guest;
} bpf;

static char complaint[256];	/* the last of libbpf's */

static int keep_complaint(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(complaint, sizeof(complaint), format, args);
	complaint[strcspn(complaint, "\n")] = '\0';
	return 0;
}

static bool there(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !access(path, F_OK);
}

/* Whether a line of a file of the kernel has this in it. */
static bool file_has(const char *path, const char *text)
{
	FILE *from = fopen(path, "re");
	char line[256];
	bool has = false;

	while (from && !has && fgets(line, sizeof(line), from))
		has = strstr(line, text);
	if (from)
		fclose(from);
	return has;
}

/* The capabilities that count, of this process. */
static uint64_t capabilities(void)
{
	FILE *from = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	while (from && fgets(line, sizeof(line), from))
		sscanf(line, "CapEff: %llx", &caps);
	if (from)
		fclose(from);
	return caps;
}

static bool capable(int cap)
{
	return capabilities() >> cap & 1;
}

static int check_kernel(void)
{
	union bpf_attr attr = { 0 };

	if (syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)) < 0 && errno == ENOSYS)
		return fail("--bpf: this kernel has no BPF (CONFIG_BPF_SYSCALL)");
	if (!capable(CAP_SYS_ADMIN) && !(capable(CAP_BPF) && capable(CAP_PERFMON)))
		return fail("--bpf: needs root, or the capabilities CAP_BPF and CAP_PERFMON");
	if (!there(MODULES, "kvm"))
		return fail("--bpf: kvm is not loaded");
	if (!there(BTF_DIR, "vmlinux"))
		return fail("--bpf: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
	if (file_has("/sys/kernel/security/lockdown", "[confidentiality]"))
		return fail("--bpf: this kernel is locked down (confidentiality), so BPF may not read its memory");
	return 0;
}

/* That of KVM, which may be a module or built in; and which vendor's it is. */
static int load_btf(struct btf **vmlinux, struct btf **kvm, struct btf **vendor)
{
	const char *module = NULL;
	uint32_t regs[4] = { 0 };
	bool intel = there(MODULES, "kvm_intel"), amd = there(MODULES, "kvm_amd");

	*vmlinux = btf__load_vmlinux_btf();
	if (!*vmlinux)
		return fail("--bpf: the BTF of this kernel cannot be read: %s", strerror(errno));
	*kvm = *vendor = *vmlinux;
	if (there(BTF_DIR, "kvm"))
		*kvm = btf__load_module_btf("kvm", *vmlinux);
	if (!*kvm || btf__find_by_name_kind(*kvm, "btf_trace_kvm_exit", BTF_KIND_TYPEDEF) < 0)
		return fail("--bpf: this kernel's kvm has no BTF (CONFIG_DEBUG_INFO_BTF_MODULES)");
	if (intel && amd)	/* built in, both */
		cpuid(0x80000001, 0, regs);
	if (amd && (!intel || regs[2] & 4))
		module = "kvm_amd";
	else if (intel)
		module = "kvm_intel";
	if (module)
		strcpy(bpf.vendor, strcmp(module, "kvm_amd") ? "vmx" : "svm");
	if (module && there(BTF_DIR, module))
		*vendor = btf__load_module_btf(module, *vmlinux);
	return 0;
}

/* Whether a tracepoint has so many arguments, of which KVM passes one more. */
static bool has_arguments(const struct btf *btf, const char *tracepoint, unsigned int n)
{
	const struct btf_type *type;
	int id = btf__find_by_name_kind(btf, tracepoint, BTF_KIND_TYPEDEF);

	if (id < 0)
		return false;
	type = btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
	type = btf__type_by_id(btf, type->type);
	return btf_is_func_proto(type) && btf_vlen(type) >= n + 1 &&
		btf_is_ptr(btf__type_by_id(btf, btf_params(type)[1].type));
}

/* Where a member is within a structure, by "name" or "name.name", in bits; -1: nowhere. */
static int64_t member_at(const struct btf *btf, const struct btf_type *type, const char *path)
{
	const struct btf_member *m;
	size_t len = strcspn(path, ".");
	const char *name;
	int64_t within;

	while (btf_is_mod(type) || btf_is_typedef(type))
		type = btf__type_by_id(btf, type->type);
	if (!btf_is_composite(type))
		return -1;
	m = btf_members(type);
	for (unsigned int i = 0; i < btf_vlen(type); i++, m++) {
		name = btf__name_by_offset(btf, m->name_off);
		if (!*name)
			within = member_at(btf, btf__type_by_id(btf, m->type), path);
		else if (strlen(name) != len || strncmp(name, path, len))
			continue;
		else if (!path[len])
			within = 0;
		else
			within = member_at(btf, btf__type_by_id(btf, m->type), path + len + 1);
		if (within >= 0)
			return btf_member_bit_offset(type, i) + within;
	}
	return -1;
}

static uint32_t offset_of(const struct btf *btf, const char *type, const char *path)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	int64_t bits = id < 0 ? -1 : member_at(btf, btf__type_by_id(btf, id), path);

	return bits < 0 ? NO_OFFSET : bits / 8;
}

/* False where the kernel does not have what all of it needs. */
static bool find_offsets(struct kvm_offsets *at, const struct btf *kvm, const struct btf *vendor)
{
	*at = (struct kvm_offsets){
		.reason = NO_OFFSET,
		.vcpu_id = offset_of(kvm, "kvm_vcpu", "vcpu_id"),
		.mp_state = offset_of(kvm, "kvm_vcpu", "arch.mp_state"),
		.poll_success = offset_of(kvm, "kvm_vcpu", "stat.generic.halt_poll_success_ns"),
		.poll_fail = offset_of(kvm, "kvm_vcpu", "stat.generic.halt_poll_fail_ns"),
		.kvm = offset_of(kvm, "kvm_vcpu", "kvm"),
		.dentry = offset_of(kvm, "kvm", "debugfs_dentry"),
	};
	if (!strcmp(bpf.vendor, "svm")) {
		at->vmcb = offset_of(vendor, "vcpu_svm", "vmcb");
		at->reason = offset_of(vendor, "vmcb", "control.exit_code");
	} else if (!strcmp(bpf.vendor, "vmx")) {
		at->reason = offset_of(vendor, "vcpu_vmx", "vt.exit_reason");	/* from 6.16 on */
		if (at->reason == NO_OFFSET)
			at->reason = offset_of(vendor, "vcpu_vmx", "exit_reason");
	}
	return at->vcpu_id != NO_OFFSET && at->kvm != NO_OFFSET && at->dentry != NO_OFFSET &&
		at->poll_success != NO_OFFSET && at->poll_fail != NO_OFFSET && at->mp_state != NO_OFFSET &&
		at->vmcb != NO_OFFSET && (!*bpf.vendor || at->reason != NO_OFFSET);
}

/* What the kernel's own clock makes of the TSC, or else of its own. */
static uint64_t find_tsc_khz(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr),
					.config = PERF_COUNT_SW_DUMMY };
	long page = sysconf(_SC_PAGESIZE);
	struct perf_event_mmap_page *p;
	struct timespec from, to;
	uint64_t khz = 0, tsc;
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	p = fd < 0 ? MAP_FAILED : mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED) {
		if (p->cap_user_time && p->time_mult)
			khz = ((unsigned __int128)1000000 << p->time_shift) / p->time_mult;
		munmap(p, page);
	}
	if (fd >= 0)
		close(fd);
	if (khz)
		return khz;
	clock_gettime(CLOCK_MONOTONIC, &from);
	tsc = __rdtsc();
	usleep(20000);
	clock_gettime(CLOCK_MONOTONIC, &to);
	tsc = __rdtsc() - tsc;
	return tsc * 1000000 / ((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec);
}

/* Both ends of a function are traced, or neither. */
static void trace(struct bpf_program *entry, struct bpf_program *end, bool wanted)
{
	bpf_program__set_autoload(entry, wanted);
	bpf_program__set_autoload(end, wanted);
}

/* With both ends of functions, of the handler where it has a name, or tracepoints alone. */
static int load(const char *handler, bool functions)
{
	struct exits *skel = exits__open();
	int error = 0;

	if (!skel)
		return -errno;
	bpf.skel = skel;
	skel->rodata->svm = !strcmp(bpf.vendor, "svm");
	skel->rodata->cycle_mult = (bpf.tsc_khz << CYCLE_SHIFT) / 1000000;
	skel->rodata->max_rows = bpf.max_rows;
	skel->rodata->at = bpf.at;
	trace(skel->progs.on_handler, skel->progs.on_handled, functions && handler);
	trace(skel->progs.on_run, skel->progs.on_left, functions);
	trace(skel->progs.on_block, skel->progs.on_blocked, functions);
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
	bpf.counters = 1u << C_EXITS | 1u << C_TOTAL | 1u << C_HALT | 1u << C_USER |
		1u << C_SCHED | 1u << C_STOP | 1u << C_MAX | 1u << C_POLL;
	if (functions && handler)
		bpf.counters |= 1u << C_CYCLES | 1u << C_HSCHED;
	return 0;
}

/* Whether this kernel has what the programs ask for; and the name of the handler, or NULL. */
static int check_kvm(const char **handler)
{
	struct btf *vmlinux = NULL, *kvm = NULL, *vendor = NULL;
	int ret = load_btf(&vmlinux, &kvm, &vendor);

	*handler = !*bpf.vendor ? NULL : strcmp(bpf.vendor, "svm") ? "vmx_handle_exit" : "svm_handle_exit";
	if (!vendor || (*handler && btf__find_by_name_kind(vendor, *handler, BTF_KIND_FUNC) < 0))
		*handler = NULL;
	if (!ret && !(has_arguments(kvm, "btf_trace_kvm_exit", 2) && has_arguments(kvm, "btf_trace_kvm_entry", 1)))
		ret = fail("--bpf: the tracepoints of this kernel's kvm are older than Linux 5.17's");
	if (!ret && !find_offsets(&bpf.at, kvm, vendor ?: vmlinux))
		ret = fail("--bpf: this kernel's kvm is unlike those that this exitdump knows");
	if (vendor != vmlinux)
		btf__free(vendor);
	if (kvm != vmlinux)
		btf__free(kvm);
	btf__free(vmlinux);
	return ret;
}

/* bpf_attach() - from now on it counts. 0, or -1 with the failure told. */
int bpf_attach(void)
{
	const char *handler;
	void *rows;
	int error;

	if (bpf.skel)
		return 0;
	libbpf_set_print(keep_complaint);
	if (check_kernel() || check_kvm(&handler))
		return -1;
	bpf.tsc_khz = find_tsc_khz();
	bpf.max_rows = 16384;
	error = load(handler, true);
	if (error && handler)
		error = load(NULL, true);
	if (error)
		error = load(NULL, false);
	if (error)
		return fail("--bpf: this kernel refuses its program: %s (%s)", strerror(-error), complaint);
	rows = mmap(NULL, bpf.max_rows * sizeof(*bpf.rows), PROT_READ, MAP_SHARED,
		    bpf_map__fd(bpf.skel->maps.rows), 0);
	if (rows != MAP_FAILED) {
		bpf.rows = rows;
		return 0;
	}
	fail("--bpf: its counters cannot be read: %s", strerror(errno));
	exits__destroy(bpf.skel);
	bpf.skel = NULL;
	return -1;
}

/* A row that nobody writes any more: its counts go to those of its place, and it is free. */
static void fold_row(uint32_t n)
{
	static const struct exit_row zero;
	const struct exit_row *row = &bpf.rows[n];
	struct exit_row *to = &bpf.gone[row->place < PLACES ? row->place : PLACE_OTHER];
	const __u64 *from = (const __u64 *)row;
	__u64 max = to->max > row->max ? to->max : row->max;

	for (size_t i = 0; i < offsetof(struct exit_row, place) / sizeof(*from); i++)
		((__u64 *)to)[i] += from[i];
	to->max = max;
	bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.rows), &n, &zero, BPF_ANY);
	bpf_map_update_elem(bpf_map__fd(bpf.skel->maps.free_rows), NULL, &n, BPF_ANY);
}

/* A vCPU's thread that has ended makes room for others. */
static void fold_thread(uint32_t tid, const struct exit_thread *t)
{
	for (int i = 0; i < PLACES; i++) {
		if (t->row[i] && t->row[i] <= bpf.max_rows)
			fold_row(t->row[i] - 1);
	}
	bpf.gone_guest += t->guest;
	bpf_map_delete_elem(bpf_map__fd(bpf.skel->maps.threads), &tid);
}

static bool has_ended(uint32_t tid, uint32_t pid)
{
	char task[64];

	snprintf(task, sizeof(task), "/proc/%u/task/%u", pid, tid);
	return access(task, F_OK);
}

static void read_threads(void)
{
	int fd = bpf_map__fd(bpf.skel->maps.threads);
	uint32_t tid, next;
	struct exit_thread t;
	int more = bpf_map_get_next_key(fd, NULL, &next);

	bpf.nthreads = 0;
	while (!more) {
		tid = next;
		more = bpf_map_get_next_key(fd, &tid, &next);
		if (bpf_map_lookup_elem(fd, &tid, &t))
			continue;
		if (has_ended(tid, t.pid)) {
			fold_thread(tid, &t);
			continue;
		}
		if (!*t.vm)
			snprintf(t.vm, sizeof(t.vm), "%u-0", t.pid);
		bpf.threads = need_room(bpf.threads, bpf.nthreads, sizeof(*bpf.threads));
		bpf.threads[bpf.nthreads++] = t;
	}
}

static int begin(struct sample *s, const struct pick *pick)
{
	if (pick->keys || pick->slow)
		return fail("--bpf: neither keys nor slow exits are counted");
	if (pick->once && !bpf.skel)
		return fail("--bpf: counts from now on, so give it an interval (exitdump --bpf 1), top or run");
	if (bpf_attach())
		return -1;
	read_threads();
	s->uncounted = bpf.skel->bss->lost;
	return 0;
}

static uint64_t cycles(uint64_t ns)
{
	return (unsigned __int128)ns * bpf.tsc_khz / 1000000;
}

static int64_t reason_at(uint32_t place)
{
	return place < PLACE_HIGH ? place : place < PLACE_ERROR ? 0x400 + place - PLACE_HIGH :
		place == PLACE_ERROR ? UINT32_MAX : REASON_OTHER;
}

/*
 * All of one moment: the exits, which are counted first, are as many as there are in the
 * histogram, which is last, if none was counted in between. They are read in that order
 * backwards.
 */
static void copy_row(struct exit_row *to, const struct exit_row *from)
{
	const volatile __u64 *source = (const volatile __u64 *)from;
	__u64 *copy = (__u64 *)to, counted;
	int tries = 1000;

	do {
		counted = 0;
		for (int i = (int)(offsetof(struct exit_row, place) / sizeof(*copy)) - 1; i > 0; i--) {
			copy[i] = source[i];
			if (i >= (int)(offsetof(struct exit_row, hist) / sizeof(*copy)))
				counted += copy[i];
		}
		to->exits = counted;
	} while (source[0] != counted && --tries);
}

static void add_row(struct account *a, const struct exit_row *from, uint32_t place)
{
	int64_t reason;
	struct exit_row r;
	struct row one = { 0 }, *row;
	char name[48] = "OTHER";

	copy_row(&r, from);
	if (!r.exits)
		return;
	reason = reason_at(place);
	if (reason != REASON_OTHER)
		reason_name(name, sizeof(name), !strcmp(bpf.vendor, "svm"), reason);
	row = account_row(a, (struct row_key){ .reason = reason }, name);
	one.n[C_EXITS] = r.exits;
	one.n[C_CYCLES] = cycles(r.handler);
	one.n[C_TOTAL] = cycles(r.total);
	one.n[C_HALT] = cycles(r.halt);
	one.n[C_POLL] = cycles(r.poll);
	one.n[C_USER] = cycles(r.user);
	one.n[C_SCHED] = cycles(r.sched);
	one.n[C_HSCHED] = cycles(r.hsched);
	one.n[C_STOP] = cycles(r.stop);
	one.n[C_MAX] = cycles(r.max);
	one.hist = (uint64_t *)r.hist;
	row_add(row, &one);
	row_add(&a->sum, &one);
}

/* Whether a thread's exits are of this folder's account. */
static bool is_of(const struct exit_thread *t, const char *dir)
{
	char vcpu[64];

	snprintf(vcpu, sizeof(vcpu), "%s/vcpu%u", t->vm, t->vcpu_id);
	return !strcmp(dir, t->vm) || !strcmp(dir, vcpu);
}

static uint64_t add_thread(struct account *a, const struct exit_thread *t)
{
	for (int i = 0; i < PLACES; i++) {
		if (t->row[i] && t->row[i] <= bpf.max_rows)
			add_row(a, &bpf.rows[t->row[i] - 1], i);
	}
	return t->guest;
}

/* The numbers of VMs and vCPUs that have had an exit. */
static void count_host(struct account *a)
{
	for (size_t i = 0; i < bpf.nthreads; i++) {
		bool seen = false;

		a->key[K_VCPUS]++;
		for (size_t k = 0; k < i; k++)
			seen |= !strcmp(bpf.threads[k].vm, bpf.threads[i].vm);
		a->key[K_VMS] += !seen;
	}
	a->keys |= 1u << K_VMS | 1u << K_VCPUS;
}

static enum read_result read_bpf(const struct pick *pick, const char *dir, enum read_what what,
				 struct account *a)
{
	uint32_t used = bpf.skel->bss->rows_used;
	static const uint64_t none[BUCKETS];
	uint64_t guest = 0;

	(void)pick;
	(void)what;
	memset(a, 0, sizeof(*a));
	strcpy(a->vendor, bpf.vendor);
	strcpy(a->scope, !*dir ? "host" : strchr(dir, '/') ? "vcpu" : "vm");
	a->counters = bpf.counters;
	a->has_hist = true;
	a->sum = row_of_sums();
	row_hist_copy(&a->sum, none);
	for (uint32_t n = 0; !*dir && n < used && n < bpf.max_rows; n++)
		add_row(a, &bpf.rows[n], bpf.rows[n].place);
	for (uint32_t i = 0; !*dir && i < PLACES; i++)
		add_row(a, &bpf.gone[i], i);
	for (size_t i = 0; i < bpf.nthreads; i++) {
		if (!*dir)
			guest += bpf.threads[i].guest;
		else if (is_of(&bpf.threads[i], dir))
			guest += add_thread(a, &bpf.threads[i]);
	}
	if (!*dir) {
		guest += bpf.skel->bss->gone_guest + bpf.gone_guest;
		count_host(a);
	}
	a->key[K_GUEST] = cycles(guest);
	a->key[K_TSC_KHZ] = bpf.tsc_khz;
	a->keys |= 1u << K_GUEST | 1u << K_TSC_KHZ;
	return READ_OK;
}

/* What KVM's debugfs shows, and where that cannot be read who had an exit. */
static int bpf_vms(const struct pick *pick, struct vm_id **vms, size_t *n)
{
	struct vm_id vm;
	size_t k;

	if (!list_vm_dirs(pick->root, vms, n))
		return 0;
	for (size_t i = 0; i < bpf.nthreads; i++) {
		if (sscanf(bpf.threads[i].vm, "%u-%u", &vm.pid, &vm.fd) != 2)
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
	char name[24];

	if (!list_vcpus(pick->root, vm, vcpus, n))
		return READ_OK;
	snprintf(name, sizeof(name), "%u-%u", vm.pid, vm.fd);
	for (size_t i = 0; i < bpf.nthreads; i++) {
		if (strcmp(bpf.threads[i].vm, name))
			continue;
		*vcpus = need_room(*vcpus, *n, sizeof(**vcpus));
		(*vcpus)[(*n)++] = bpf.threads[i].vcpu_id;
	}
	if (*n)
		qsort(*vcpus, *n, sizeof(**vcpus), by_number);
	return *n ? READ_OK : READ_GONE;
}

const struct source source_bpf = {
	.begin = begin, .read = read_bpf, .vms = bpf_vms, .vcpus = bpf_vcpus,
};

#endif
