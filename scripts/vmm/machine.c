// SPDX-License-Identifier: GPL-2.0-only
/*
 * machine.c - opens KVM, makes a VM with its memory, and puts its vCPUs into the state in
 * which their guests start.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "monitor.h"

extern char __executable_start[], end[];

bool svm;
static int kvm, run_size;
static struct kvm_cpuid2 *cpuid;

int call(int fd, unsigned long request, void *arg, const char *what)
{
	int r = ioctl(fd, request, arg);

	if (r < 0)
		err(EX_FAILED, "%s", what);
	return r;
}

void open_kvm(void)
{
	struct kvm_cpuid_entry2 *e;
	bool nested = false;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		errx(EX_UNSUPPORTED, "/dev/kvm: %s (is a kvm module loaded?)", strerror(errno));
	if ((uintptr_t)end > 1 << 30)
		errx(EX_FAILED, "linked too high for its guests (build with -static -no-pie)");
	run_size = CALL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(*e));
	if (!cpuid)
		err(EX_FAILED, "calloc");
	cpuid->nent = 248;
	CALL(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	svm = true;
	for (e = cpuid->entries; e < cpuid->entries + cpuid->nent; e++) {
		if (e->function == 0)
			svm = e->ebx != 0x756e6547;	/* "Genu" */
		if (e->function == 1) {
			nested |= e->ecx >> 5 & 1;
			e->ecx |= 1 << 21 | 1 << 24;	/* x2APIC, TSC deadline */
		}
		if (e->function == 0x80000001)
			nested |= e->ecx >> 2 & 1;
	}
	memcpy(cpuid->entries + cpuid->nent, opt.entry, opt.entries * sizeof(*e));
	cpuid->nent += opt.entries;

	if (needs & NESTED && !nested)
		errx(EX_UNSUPPORTED, "nested: KVM offers no virtualization to guests (module parameter nested=0?)");
	if (needs & ONLY_SVM && !svm)
		errx(EX_UNSUPPORTED, "nested-leaf-pass: on VMX every CPUID of a nested guest goes to L1");
	if (opt.irqchip && ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) <= 0)
		errx(EX_UNSUPPORTED, "KVM has no TSC deadline timer");
}

void add_memory(struct vm *vm, int slot, uint64_t gpa, void *memory, size_t size, int flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .guest_phys_addr = gpa, .flags = flags,
		.userspace_addr = (uintptr_t)memory, .memory_size = size,
	};

	if (size)
		CALL(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(EX_FAILED, "mmap of %zu bytes", size);
	return p;
}

static void build_tables(struct vm *vm)
{
	uint64_t *pml4 = (uint64_t *)(vm->low + PAGE_TABLES);
	uint64_t *idt = (uint64_t *)(vm->low + IDT);
	const uint64_t flags = 0x67;		/* present, written, any ring, A, D */
	uint64_t fault = blob32_fault - blob32;
	int i;

	pml4[0] = (PAGE_TABLES + 0x1000) | flags;
	for (i = 0; i < 4; i++)
		pml4[512 + i] = (PAGE_TABLES + 0x2000 + 0x1000 * i) | flags;
	for (i = 0; i < 4 * 512; i++)
		pml4[1024 + i] = (uint64_t)i << 21 | 0x80 | flags;

	for (i = 0; i < VECTORS; i++) {
		uint64_t rip = guest_vectors[i];

		idt[2 * i] = (rip & 0xffff) | GDT_CODE(0) << 16 | (i < 32 ? 1ull << 32 : 0) | 0x8eull << 40 |
			     (rip >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = rip >> 32;
	}
	if (opt.mode == PROTECTED) {
		memcpy(vm->low + BLOB, blob32, blob32_end - blob32);
		idt[13] = (fault & 0xffff) | GDT_CODE(opt.ring) << 16 | 0x8eull << 40;
	} else if (opt.mode != LONG)
		memcpy(vm->low + BLOB, blob16, blob16_end - blob16);
}

/* --page-in: gives the pages that are asked for at the file, as a post-copy migration does. */
static void *page_server(void *file)
{
	struct uffd_msg message;

	if (opt.page_hog)
		come_first();
	while (read((int)(intptr_t)file, &message, sizeof(message)) == sizeof(message)) {
		struct uffdio_zeropage page = { .range = { message.arg.pagefault.address & -4096ull, 4096 } };

		usleep(opt.page_in * 1000);
		CALL((int)(intptr_t)file, UFFDIO_ZEROPAGE, &page);
		keep_cpu(opt.page_hog);
	}
	err(EX_FAILED, "userfaultfd");
}

/* Have the pages that nobody has touched come late. */
static void send_pages_late(struct vm *vm)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register all = {
		.range = { (uintptr_t)vm->fresh, vm->fresh_size },
		.mode = UFFDIO_REGISTER_MODE_MISSING
	};
	int file = syscall(SYS_userfaultfd, O_CLOEXEC);
	pthread_t thread;

	if (file < 0)
		err(EX_UNSUPPORTED, "userfaultfd");
	CALL(file, UFFDIO_API, &api);
	CALL(file, UFFDIO_REGISTER, &all);
	errno = pthread_create(&thread, NULL, page_server, (void *)(intptr_t)file);
	if (errno)
		err(EX_FAILED, "pthread_create");
}

void create_vm(struct vm *vm, int index)
{
	uintptr_t image = (uintptr_t)__executable_start & -4096ul;
	uint64_t identity = 0xfffbc000;

	*vm = (struct vm){ .number = index, .running = opt.vcpus };
	vm->fd = CALL(kvm, KVM_CREATE_VM, 0);
	CALL(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	CALL(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (opt.irqchip)
		CALL(vm->fd, KVM_CREATE_IRQCHIP, 0);

	vm->low_size = (size_t)GUEST_SIZE * (opt.vcpus + 1);
	vm->low = memory(vm->low_size);
	vm->fresh_size = (size_t)fresh * opt.vcpus << 12;
	vm->fresh = memory(vm->fresh_size + 4096);
	madvise(vm->fresh, vm->fresh_size, MADV_NOHUGEPAGE);	/* EINVAL: no huge pages at all */
	if (opt.populate && madvise(vm->fresh, vm->fresh_size, MADV_POPULATE_WRITE))
		err(EX_FAILED, "MADV_POPULATE_WRITE");
	if (opt.page_in)
		send_pages_late(vm);
	build_tables(vm);
	add_memory(vm, 0, 0, vm->low, vm->low_size, 0);
	add_memory(vm, 1, image, (void *)image, ((uintptr_t)end - image + 4095) & -4096ul, KVM_MEM_READONLY);
	add_memory(vm, 2, FRESH, vm->fresh, vm->fresh_size, 0);

	vm->vcpu = calloc(opt.vcpus + opt.spare, sizeof(*vm->vcpu));
	if (!vm->vcpu)
		err(EX_FAILED, "calloc");
	pthread_barrier_init(&vm->start, NULL, opt.late ? 1 : opt.vcpus);
}

static void set_msr(struct vcpu *v, uint32_t index, uint64_t data)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} msrs = { .header.nmsrs = 1, .entry = { .index = index, .data = data } };

	if (CALL(v->fd, KVM_SET_MSRS, &msrs) != 1)
		errx(EX_FAILED, "KVM_SET_MSRS: MSR %#x cannot be set to %#" PRIx64, index, data);
}

static void init_guest(struct vcpu *v)
{
	struct guest *g = v->g;
	uint64_t gpa = (uint64_t)(v->index + 1) << GUEST_SHIFT;
	uint64_t stack = gpa + offsetof(struct guest, interrupt_stack) + sizeof(g->interrupt_stack);
	int i;

	g->svm = svm;
	g->apic_id = v->index;
	g->done_mmio = opt.done_mmio;
	g->digest = NO_DIGEST;
	memcpy(g->step, v->script->step, sizeof(g->step));
	for (i = 0; i < v->script->steps; i++) {
		g->result[i].min = UINT64_MAX;
		if (g->step[i].op == OP_EPT || g->step[i].op == OP_COW || g->step[i].op == OP_OUTS)
			g->step[i].b += v->index * fresh;
	}
	for (i = 0; i < 4; i++) {
		g->gdt[GDT_CODE(i) / 8] = 0x00af9b000000ffff | (uint64_t)i << 45;
		g->gdt[GDT_DATA(i) / 8] = 0x00cf93000000ffff | (uint64_t)i << 45;
	}
	if (opt.mode == PROTECTED)			/* for its own ring only */
		g->gdt[GDT_CODE(opt.ring) / 8] = 0x00cf9b000000ffff | (uint64_t)opt.ring << 45 | (uint64_t)BLOB << 16;
	memcpy(g->tss + 0x04, &stack, 8);		/* RSP0 */
	memcpy(g->tss + 0x24, &stack, 8);		/* IST1 */
}

static void init_sregs(struct vcpu *v)
{
	uint64_t gpa = (uint64_t)(v->index + 1) << GUEST_SHIFT;
	struct kvm_segment data, code;
	struct kvm_sregs s;

	CALL(v->fd, KVM_GET_SREGS, &s);
	data = (struct kvm_segment){ .limit = 0xffffffff, .type = 3, .present = 1, .s = 1,
				     .db = 1, .g = 1, .dpl = opt.ring };
	if (opt.mode <= PROTECTED) {
		s.gdt.base = gpa + offsetof(struct guest, gdt);
		s.gdt.limit = sizeof(v->g->gdt) - 1;
		s.idt.base = IDT;
		s.idt.limit = 0xfff;
	}
	if (opt.mode == LONG) {
		data.selector = GDT_DATA(opt.ring);
		code = data;
		code.selector = GDT_CODE(opt.ring);
		code.l = 1;
		code.db = opt.bad_entry;
		s.gs = data;
		s.gs.base = gpa;
		s.cr0 = 0x80010033;			/* PG WP NE ET MP PE */
		s.cr3 = PAGE_TABLES;
		s.cr4 = 1 << 5 | (needs & NESTED && !svm ? 1 << 13 : 0);
		s.efer = 1 << 8 | 1 << 10 | (needs & NESTED && svm ? 1 << 12 : 0);
		s.tr = (struct kvm_segment){ .base = gpa + offsetof(struct guest, tss), .limit = 0x67,
					     .selector = GDT_TSS, .type = 11, .present = 1 };
		s.ds = s.es = s.fs = s.ss = data;
	} else if (opt.mode == PROTECTED) {
		data.selector = GDT_DATA(opt.ring);
		s.es = s.fs = s.gs = data;
		data.base = gpa;
		s.ds = s.ss = data;
		code = data;
		code.selector = GDT_CODE(opt.ring);
		code.base = BLOB;
		s.cr0 |= 0x31;
	} else {
		data = (struct kvm_segment){ .base = gpa, .selector = gpa >> 4, .limit = 0xffff,
					     .type = 3, .present = 1, .s = 1 };
		s.ds = s.es = s.fs = s.gs = s.ss = data;
		if (opt.mode == BIGREAL) {		/* no state for virtual-8086 mode */
			s.fs.limit = 0xffffffff;
			s.fs.g = 1;
		}
		code = data;
		code.base = BLOB;
		code.selector = BLOB >> 4;
	}
	code.type = 11;
	s.cs = code;
	if (opt.irqchip)
		s.apic_base = 0xfee00000 | 3 << 10 | (v->index ? 0 : 1 << 8);	/* x2APIC */
	CALL(v->fd, KVM_SET_SREGS, &s);
}

static void init_vcpu(struct vcpu *v)
{
	uint64_t gpa = (uint64_t)(v->index + 1) << GUEST_SHIFT;
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_regs regs = { .rflags = 2 | (opt.ring ? 3 << 12 : 0) };
	struct kvm_lapic_state lapic;
	struct kvm_cpuid_entry2 *e;
	struct kvm_cpuid2 *mine;
	size_t size = sizeof(*cpuid) + cpuid->nent * sizeof(*e);

	v->g = (struct guest *)(v->vm->low + gpa);
	init_guest(v);

	mine = malloc(size);
	if (!mine)
		err(EX_FAILED, "malloc");
	memcpy(mine, cpuid, size);
	for (e = mine->entries; e < mine->entries + mine->nent; e++) {
		if (e->function == 1)
			e->ebx = (e->ebx & 0xffffff) | (uint32_t)v->index << 24;
		if (e->function == 0xb || e->function == 0x1f)
			e->edx = v->index;
	}
	CALL(v->fd, KVM_SET_CPUID2, mine);
	free(mine);

	if (needs & NESTED && !svm)
		set_msr(v, 0x3a, 5);		/* VMX allowed, locked */
	if (opt.cpuid_fault)
		set_msr(v, 0x140, 1);
	if (opt.tsc)
		CALL(v->fd, KVM_SET_TSC_KHZ, (uint64_t)CALL(v->fd, KVM_GET_TSC_KHZ, 0) * opt.tsc / 100);
	init_sregs(v);

	if (opt.mode == LONG) {
		regs.rip = (uintptr_t)guest_main;
		regs.rdi = gpa;
		regs.rsp = gpa + G_STACK - 8;
	} else {
		regs.rsp = G_STACK;
	}
	CALL(v->fd, KVM_SET_REGS, &regs);

	if (opt.irqchip) {
		CALL(v->fd, KVM_GET_LAPIC, &lapic);
		*(uint32_t *)(lapic.regs + 0x0f0) = 0x1ff;			/* on */
		*(uint32_t *)(lapic.regs + 0x320) = VECTOR_TIMER | 2 << 17;	/* TSC deadline */
		CALL(v->fd, KVM_SET_LAPIC, &lapic);
		CALL(v->fd, KVM_SET_MP_STATE, &runnable);
	}
}

void create_vcpu(struct vm *vm, int i)
{
	int top = CALL(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID) - 1;
	struct vcpu *v = &vm->vcpu[i];

	v->vm = vm;
	v->index = i;
	v->script = &scripts[i % nscripts];
	v->fd = CALL(vm->fd, KVM_CREATE_VCPU, opt.high_ids ? top - i : i);
	v->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		err(EX_FAILED, "mmap of vCPU %d", i);
	if (i < opt.vcpus)
		init_vcpu(v);
}

void create_vcpus(struct vm *vm)
{
	for (int i = 0; i < opt.vcpus + opt.spare; i++)
		create_vcpu(vm, i);
	/* KVM finds out after it has made the vCPU */
	if (opt.taken && (ioctl(vm->fd, KVM_CREATE_VCPU, 0) >= 0 || errno != EEXIST))
		errx(EX_FAILED, "two vCPUs have the number 0");
}

void destroy_vm(struct vm *vm)
{
	int i;

	for (i = 0; i < opt.vcpus + opt.spare; i++) {
		munmap(vm->vcpu[i].run, run_size);
		close(vm->vcpu[i].fd);
	}
	close(vm->fd);
	munmap(vm->low, vm->low_size);
	munmap(vm->fresh, vm->fresh_size + 4096);
	pthread_barrier_destroy(&vm->start);
	free(vm->vcpu);
}
