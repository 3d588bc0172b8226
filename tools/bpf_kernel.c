// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf_kernel.c - what the BPF program can use in the running kernel and its KVM: the BTF,
 * the offsets of KVM's data, and which exits have a key.
 */
#ifdef HAVE_BPF

#include <asm/svm.h>
#include <asm/vmx.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bpf_kernel.h"
#include "fail.h"
#include "guest.h"

#define MODULES "/sys/module"
#define BTF_DIR "/sys/kernel/btf"

static bool there(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return !access(path, F_OK);
}

/* Whether any line of the file has this text. */
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

/* The effective capabilities of this process. */
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

/* Load the BTF of KVM, which may be a module or built in, and find its vendor. */
static int load_btf(struct bpf_kernel *k, struct btf **vmlinux, struct btf **kvm, struct btf **vendor)
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
	if (intel && amd)	/* both are built in: ask the CPU */
		cpuid(0x80000001, 0, regs);
	if (amd && (!intel || regs[2] & 4))
		module = "kvm_amd";
	else if (intel)
		module = "kvm_intel";
	if (module)
		strcpy(k->vendor, strcmp(module, "kvm_amd") ? "vmx" : "svm");
	if (module && there(BTF_DIR, module))
		*vendor = btf__load_module_btf(module, *vmlinux);
	return 0;
}

/* Whether a tracepoint has n arguments or more, a pointer first. Its type has one more in front. */
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

/* The offset in bits of a member "name" or "name.name" of a structure, or -1. */
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

/* The type of that name: the module's own first, as the kernel's may be a different one. */
static int find_type(const struct btf *btf, const char *name, uint32_t kind)
{
	const struct btf *base = btf__base_btf(btf);
	const struct btf_type *type;

	for (uint32_t id = base ? btf__type_cnt(base) : btf__type_cnt(btf); id < btf__type_cnt(btf); id++) {
		type = btf__type_by_id(btf, id);
		if (btf_kind(type) == kind && !strcmp(btf__name_by_offset(btf, type->name_off), name))
			return id;
	}
	return btf__find_by_name_kind(btf, name, kind);
}

static uint32_t offset_of(const struct btf *btf, const char *type, const char *path)
{
	int id = find_type(btf, type, BTF_KIND_STRUCT);
	int64_t bits = id < 0 ? -1 : member_at(btf, btf__type_by_id(btf, id), path);

	return bits < 0 ? NO_OFFSET : bits / 8;
}

/* The value of an enum's name, or `otherwise`. */
static uint32_t enum_value(const struct btf *btf, const char *type, const char *name, uint32_t otherwise)
{
	int id = find_type(btf, type, BTF_KIND_ENUM);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, id);

	for (unsigned int i = 0; t && i < btf_vlen(t); i++) {
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), name))
			return btf_enum(t)[i].val;
	}
	return otherwise;
}

/* The offset of a member of vcpu_vmx. From Linux 6.16 on it is in vcpu_vmx.vt. */
static uint32_t vmx_offset_of(const struct btf *vendor, const char *name)
{
	char path[64];
	uint32_t at;

	snprintf(path, sizeof(path), "vt.%s", name);
	at = offset_of(vendor, "vcpu_vmx", path);
	return at == NO_OFFSET ? offset_of(vendor, "vcpu_vmx", name) : at;
}

static void find_svm_offsets(struct kvm_offsets *at, const struct btf *vendor)
{
	at->vmcb = offset_of(vendor, "vcpu_svm", "vmcb");
	at->l2_vmcb = offset_of(vendor, "vcpu_svm", "nested.vmcb02.ptr");
	at->reason = offset_of(vendor, "vmcb", "control.exit_code");
	at->info_1 = offset_of(vendor, "vmcb", "control.exit_info_1");
	at->info_2 = offset_of(vendor, "vmcb", "control.exit_info_2");
	at->rip = offset_of(vendor, "vmcb", "save.rip");
}

static void find_vmx_offsets(struct kvm_offsets *at, const struct btf *kvm, const struct btf *vendor)
{
	at->vmcb = offset_of(vendor, "vcpu_vmx", "loaded_vmcs");
	at->l2_vmcb = offset_of(vendor, "vcpu_vmx", "nested.vmcs02");
	at->reason = vmx_offset_of(vendor, "exit_reason");
	at->qual = vmx_offset_of(vendor, "exit_qualification");
	at->vector = vmx_offset_of(vendor, "exit_intr_info");
	at->qual_bit = enum_value(kvm, "kvm_reg", "VCPU_EXREG_EXIT_INFO_1", NO_OFFSET);
	at->vector_bit = enum_value(kvm, "kvm_reg", "VCPU_EXREG_EXIT_INFO_2", NO_OFFSET);
}

/* False if an offset is missing that the program always needs. */
static bool find_offsets(struct bpf_kernel *k, const struct btf *kvm, const struct btf *vendor)
{
	struct kvm_offsets *at = &k->at;

	memset(at, 0xff, sizeof(*at));	/* all NO_OFFSET */
	at->vcpu_id = offset_of(kvm, "kvm_vcpu", "vcpu_id");
	at->mp_state = offset_of(kvm, "kvm_vcpu", "arch.mp_state");
	at->poll_success = offset_of(kvm, "kvm_vcpu", "stat.generic.halt_poll_success_ns");
	at->poll_fail = offset_of(kvm, "kvm_vcpu", "stat.generic.halt_poll_fail_ns");
	at->kvm = offset_of(kvm, "kvm_vcpu", "kvm");
	at->dentry = offset_of(kvm, "kvm", "debugfs_dentry");
	at->regs = offset_of(kvm, "kvm_vcpu", "arch.regs");
	at->regs_avail = offset_of(kvm, "kvm_vcpu", "arch.regs_avail");
	if (!strcmp(k->vendor, "svm"))
		find_svm_offsets(at, vendor);
	else if (!strcmp(k->vendor, "vmx"))
		find_vmx_offsets(at, kvm, vendor);
	return at->vcpu_id != NO_OFFSET && at->kvm != NO_OFFSET && at->dentry != NO_OFFSET &&
		at->poll_success != NO_OFFSET && at->poll_fail != NO_OFFSET && at->mp_state != NO_OFFSET &&
		(!*k->vendor || (at->vmcb != NO_OFFSET && at->reason != NO_OFFSET));
}

/* The same keys as the patches have, except those that BPF cannot see on this kernel. */
static void find_keys(struct bpf_kernel *k)
{
	static const uint8_t svm[PLACES] = {
		[SVM_EXIT_CPUID] = FROM_EAX, [SVM_EXIT_VMMCALL] = FROM_EAX, [SVM_EXIT_IOIO] = FROM_VMCB_IO,
		[SVM_EXIT_MSR] = FROM_VMCB_MSR, [PLACE_HIGH] = FROM_VMCB_FAULT,	/* NPF */
		[PLACE_HIGH + 2] = FROM_VMCB_AVIC,	/* AVIC_UNACCELERATED_ACCESS */
	};
	static const uint8_t vmx[PLACES] = {
		[EXIT_REASON_CPUID] = FROM_EAX, [EXIT_REASON_VMCALL] = FROM_EAX,
		[EXIT_REASON_MSR_READ] = FROM_ECX, [EXIT_REASON_MSR_WRITE] = FROM_ECX,
		[EXIT_REASON_IO_INSTRUCTION] = FROM_QUAL_IO, [EXIT_REASON_EPT_VIOLATION] = FROM_QUAL_FAULT,
		[EXIT_REASON_CR_ACCESS] = FROM_QUAL_CR, [EXIT_REASON_DR_ACCESS] = FROM_QUAL_DR,
		[EXIT_REASON_APIC_ACCESS] = FROM_QUAL_APIC, [EXIT_REASON_APIC_WRITE] = FROM_QUAL_APIC,
		[EXIT_REASON_EOI_INDUCED] = FROM_QUAL_APIC, [EXIT_REASON_EXTERNAL_INTERRUPT] = FROM_VECTOR,
		[EXIT_REASON_EXCEPTION_NMI] = FROM_VECTOR, [EXIT_REASON_EPT_MISCONFIG] = FROM_MMIO,
	};
	const struct kvm_offsets *at = &k->at;
	uint8_t *from = k->key_from;

	if (*k->vendor)
		memcpy(from, strcmp(k->vendor, "svm") ? vmx : svm, PLACES);
	for (int i = 0; i < PLACES; i++) {
		if (((from[i] == FROM_EAX || from[i] == FROM_ECX || from[i] == FROM_VMCB_MSR) && at->regs == NO_OFFSET) ||
		    (from[i] >= FROM_VMCB_MSR && from[i] <= FROM_VMCB_AVIC && (at->info_1 == NO_OFFSET || at->info_2 == NO_OFFSET)) ||
		    (from[i] >= FROM_QUAL_IO && from[i] <= FROM_QUAL_APIC && (at->qual == NO_OFFSET || at->qual_bit > 63)) ||
		    (from[i] == FROM_VECTOR && (at->vector == NO_OFFSET || at->vector_bit > 63)))
			k->key_lacks[i] = from[i], from[i] = FROM_NOWHERE;
	}
}

/* The frequency by which the kernel converts the TSC to time. If it does not, measure 20 ms. */
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

/* bpf_kernel_find() - fill in all of *k. 0, or -1 with the reason in `failure`. */
int bpf_kernel_find(struct bpf_kernel *k)
{
	struct btf *vmlinux = NULL, *kvm = NULL, *vendor = NULL;
	int ret;

	if (check_kernel())
		return -1;
	ret = load_btf(k, &vmlinux, &kvm, &vendor);
	k->handler = !*k->vendor ? NULL : strcmp(k->vendor, "svm") ? "vmx_handle_exit" : "svm_handle_exit";
	if (!vendor || (k->handler && btf__find_by_name_kind(vendor, k->handler, BTF_KIND_FUNC) < 0))
		k->handler = NULL;
	if (!ret && !(has_arguments(kvm, "btf_trace_kvm_exit", 2) && has_arguments(kvm, "btf_trace_kvm_entry", 1)))
		ret = fail("--bpf: the tracepoints of this kernel's kvm are older than Linux 5.17's");
	if (!ret && !find_offsets(k, kvm, vendor ?: vmlinux))
		ret = fail("--bpf: this exitdump does not know this kernel's kvm (its structures differ)");
	if (vendor != vmlinux)
		btf__free(vendor);
	if (kvm != vmlinux)
		btf__free(kvm);
	btf__free(vmlinux);
	if (ret)
		return ret;
	k->admin = capable(CAP_SYS_ADMIN);
	find_keys(k);
	k->tsc_khz = find_tsc_khz();
	return 0;
}

#endif
