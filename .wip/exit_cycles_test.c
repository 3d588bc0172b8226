// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test of exit cycles: a guest makes known numbers of exits, and debugfs has
 * exactly those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <asm/svm.h>
#include <asm/vmx.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"
#include "apic.h"
#include "svm_util.h"
#include "vmx.h"

#define NR_CPUID		23
#define NR_PIO			17
#define NR_HALTS		5
#define NR_ICR			29
#define NR_NESTED		31
#define SLEEP_US		20000

/* Not every kernel's apic.h has them. */
#ifndef APIC_LVTT
#define APIC_LVTT		0x320
#define APIC_TMICT		0x380
#define APIC_TDCR		0x3e0
#endif
#ifndef APIC_TDR_DIV_1
#define APIC_TDR_DIV_1		0xb
#endif

#define TIMER_VECTOR		0x20
#define IPI_VECTOR		0x21

#define LEAF_REASON_CYCLES	0x4ffffffc //@17
#define LEAF_REASON_EXITS	0x4ffffffd //@17
#define LEAF_ALL_CYCLES		0x4ffffffe //@17
#define LEAF_ALL_EXITS		0x4fffffff //@17
 //@17
/* No vendor has a name for it. */ //@17
#define NO_REASON		0xfffffffe //@17
 //@17
enum stage {
	STAGE_PIO,
	STAGE_SLEEP,
	STAGE_BEGIN,
	STAGE_END,
	STAGE_RESET,
	STAGE_NESTED,
	STAGE_CPUID, //@17
};

/* A row of the table. */
struct row {
	unsigned long exits, cycles, total, halt, user, max, poll, sched, hsched, stop;
};

static uint32_t reason_cpuid, reason_pio, reason_halt, reason_msr, reason_nested;
static uint64_t nested; /* what L1 needs for an L2, 0 if it can't have one */
static bool leaves; /* of this VM: a parameter says so */ //@17

static void guest_irq(struct ex_regs *regs)
{
	x2apic_write_reg(APIC_EOI, 0);
}

/* L1 lets it execute the same instruction again and again. */
static void l2_svm(void)
{
	asm volatile("1: vmmcall; jmp 1b");
}

static void l2_vmx(void)
{
	asm volatile("1: vmcall; jmp 1b");
}

static void guest_nested(void)
{
	unsigned long l2_stack[64]; //K6
	struct svm_test_data *svm = (void *)nested;
	struct vmx_pages *vmx = (void *)nested;
	int i;

	if (reason_nested == SVM_EXIT_VMMCALL) {
		generic_svm_setup(svm, l2_svm, &l2_stack[64]); //K6
		generic_svm_setup(svm, l2_svm); //K7
		for (i = 0; i < NR_NESTED; i++) {
			run_guest(svm->vmcb, svm->vmcb_gpa);
			GUEST_ASSERT(svm->vmcb->control.exit_code == SVM_EXIT_VMMCALL);
		}
		return;
	}

	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_vmx, &l2_stack[64]); //K6
	prepare_vmcs(vmx, l2_vmx); //K7
	for (i = 0; i < NR_NESTED; i++) {
		GUEST_ASSERT(!(i ? vmresume() : vmlaunch()));
		GUEST_ASSERT(vmreadz(VM_EXIT_REASON) == EXIT_REASON_VMCALL);
	}
}

//@{17
static uint64_t guest_leaf(uint32_t function, uint32_t reason)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid(function, reason, &eax, &ebx, &ecx, &edx);
	GUEST_ASSERT(edx == 0);
	GUEST_ASSERT(eax == (function & 1 ? ebx : 0));
	return ebx | (uint64_t)ecx << 32;
}

static void guest_leaves(void)
{
	uint32_t i, eax, ebx, ecx, edx;
	uint64_t before, after;

	/* A read does not see the exit that it makes, the next one does. */
	before = guest_leaf(LEAF_REASON_EXITS, reason_cpuid);
	for (i = 0; i < NR_CPUID; i++)
		__cpuid(0, 0, &eax, &ebx, &ecx, &edx);
	after = guest_leaf(LEAF_REASON_EXITS, reason_cpuid);
	GUEST_ASSERT(after - before == NR_CPUID + 1);

	before = guest_leaf(LEAF_ALL_EXITS, 0);
	GUEST_ASSERT(guest_leaf(LEAF_ALL_EXITS, NO_REASON) > before);
	before = guest_leaf(LEAF_ALL_CYCLES, 0);
	GUEST_ASSERT(guest_leaf(LEAF_ALL_CYCLES, NO_REASON) > before);
	before = guest_leaf(LEAF_REASON_CYCLES, reason_cpuid);
	GUEST_ASSERT(guest_leaf(LEAF_REASON_CYCLES, reason_cpuid) > before);

	__cpuid(LEAF_REASON_EXITS, NO_REASON, &eax, &ebx, &ecx, &edx);
	GUEST_ASSERT(!eax && !ebx && !ecx && edx == -1U);

	GUEST_SYNC_ARGS(STAGE_CPUID, guest_leaf(LEAF_REASON_EXITS, reason_cpuid) + 1, 0, 0, 0);
}

//@}
static void guest_code(void)
{
	uint32_t eax, ebx, ecx, edx;
	int i;

	x2apic_enable();
	x2apic_write_reg(APIC_LVTT, TIMER_VECTOR);
	x2apic_write_reg(APIC_TDCR, APIC_TDR_DIV_1);

	GUEST_SYNC(STAGE_BEGIN);
	for (i = 0; i < NR_CPUID; i++)
		__cpuid(0, 0, &eax, &ebx, &ecx, &edx);
	for (i = 0; i < NR_PIO; i++)
		GUEST_SYNC(STAGE_PIO);
	/* A fast path takes these, where there is one. */
	for (i = 0; i < NR_ICR; i++)
		x2apic_write_reg(APIC_ICR, (0x10ULL << 32) | APIC_DM_FIXED | IPI_VECTOR);
	GUEST_SYNC(STAGE_END);

	for (i = 0; i < NR_HALTS; i++) {
		x2apic_write_reg(APIC_TMICT, 1000000);
		asm volatile("sti; hlt; cli" : : : "memory");
	}
	GUEST_SYNC(STAGE_SLEEP);
	GUEST_SYNC(STAGE_END);
	GUEST_SYNC(STAGE_RESET);
	if (nested) {
		guest_nested();
		GUEST_SYNC(STAGE_NESTED);
	}
	if (leaves) //@17
		guest_leaves(); //@17
	GUEST_DONE();
}

static FILE *open_file(struct kvm_vm *vm, const char *name, const char *mode)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/%s", getpid(), vm->fd, name);
	return fopen(path, mode);
}

/* The VM's row of @reason; zeros if there is none. */
static struct row read_row(struct kvm_vm *vm, uint32_t reason)
{
	FILE *file = open_file(vm, "exit_cycles", "r");
	struct row row = {}, r;
	unsigned int number;
	char line[512];

	TEST_ASSERT(file, "Can't read exit_cycles");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%u %*s %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu", &number,
			   &r.exits, &r.cycles, &r.total, &r.halt, &r.user, &r.max,
			   &r.poll, &r.sched, &r.hsched, &r.stop) != 11)
			continue;
		TEST_ASSERT(r.cycles - r.hsched + r.halt + r.user + r.sched + r.stop <= r.total &&
			    r.poll <= r.halt && r.hsched <= r.sched && r.max <= r.total,
			    "The parts do not add up: %s", line);
		if (number == reason)
			row = r;
	}
	fclose(file);
	return row;
}

static void check_exits(struct kvm_vm *vm, uint32_t reason, unsigned long before,
			unsigned long expected, const char *what)
{
	unsigned long exits = read_row(vm, reason).exits - before;

	TEST_ASSERT(exits == expected, "%s: %lu exits, expected %lu", what, exits, expected);
}

static void reset(struct kvm_vm *vm)
{
	FILE *file = open_file(vm, "exit_cycles_reset", "w");

	TEST_ASSERT(file && fputs("0", file) >= 0 && !fclose(file), "Can't reset");
	TEST_ASSERT(!read_row(vm, reason_pio).exits, "Not zero at once");
}

int main(int argc, char *argv[])
{
	struct row pio = {}, cpuid = {}, msr = {}, row;
	bool vmx = this_cpu_has(X86_FEATURE_VMX);
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;
	int ends = 0;
	FILE *file;

	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	file = open_file(vm, "exit_cycles", "r");
	__TEST_REQUIRE(file, "No exit_cycles in this KVM, or no debugfs");
	fclose(file);

	reason_cpuid = vmx ? EXIT_REASON_CPUID : SVM_EXIT_CPUID;
	reason_pio = vmx ? EXIT_REASON_IO_INSTRUCTION : SVM_EXIT_IOIO;
	reason_halt = vmx ? EXIT_REASON_HLT : SVM_EXIT_HLT;
	reason_msr = vmx ? EXIT_REASON_MSR_WRITE : SVM_EXIT_MSR;
	reason_nested = vmx ? EXIT_REASON_VMCALL : SVM_EXIT_VMMCALL;
	if (kvm_cpu_has(X86_FEATURE_VMX))
		vcpu_alloc_vmx(vm, &nested);
	if (kvm_cpu_has(X86_FEATURE_SVM))
		vcpu_alloc_svm(vm, &nested);
	sync_global_to_guest(vm, nested);
	sync_global_to_guest(vm, reason_nested);
	sync_global_to_guest(vm, reason_cpuid);
	file = fopen("/sys/module/kvm/parameters/exit_cycles_guest", "r"); //@17
	leaves = file && fgetc(file) == 'v'; //@17
	sync_global_to_guest(vm, leaves); //@17
	vm_init_descriptor_tables(vm); //K61
	vcpu_init_descriptor_tables(vcpu); //K61
	vm_install_exception_handler(vm, TIMER_VECTOR, guest_irq);

	for (;;) {
		vcpu_run(vcpu);
		switch (get_ucall(vcpu, &uc)) {
		case UCALL_SYNC:
			break;
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(uc);
			break;
		case UCALL_DONE:
			kvm_vm_free(vm);
			return 0;
		default:
			TEST_FAIL("Unknown ucall %lu", (unsigned long)uc.cmd);
		}

		switch (uc.args[1]) {
		case STAGE_BEGIN:
			pio = read_row(vm, reason_pio);
			cpuid = read_row(vm, reason_cpuid);
			msr = read_row(vm, reason_msr);
			/* Counting may be switched off, or the CPU's TSC. */
			__TEST_REQUIRE(msr.exits, "Nothing is counted");
			break;
		case STAGE_SLEEP:
			usleep(SLEEP_US);
			break;
		case STAGE_END:
			row = read_row(vm, reason_pio);
			if (!ends++) {
				/* The exit of the STAGE_BEGIN has ended, this one has not. */
				check_exits(vm, reason_pio, pio.exits, NR_PIO + 1, "PIO");
				check_exits(vm, reason_cpuid, cpuid.exits, NR_CPUID, "CPUID");
				check_exits(vm, reason_msr, msr.exits, NR_ICR, "MSR");
				TEST_ASSERT(row.user > pio.user, "No time in user space");
				break;
			}
			TEST_ASSERT(row.user > pio.user && row.max <= row.total, "PIO");
			row = read_row(vm, reason_halt);
			TEST_ASSERT(row.exits == NR_HALTS && row.halt, "%lu halts", row.exits);
			break;
		case STAGE_RESET:
			reset(vm);
			break;
		case STAGE_NESTED:
			check_exits(vm, reason_nested, 0, NR_NESTED, "Exits of L2");
			break;
//@{17
		case STAGE_CPUID:
			check_exits(vm, reason_cpuid, 0, uc.args[2], "CPUID leaves");
			break;
//@}
		}
	}
}
