// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest.c - reading CPUID leaves 0x4ffffffc and 0x4ffffffd inside a guest. They know
 * reasons only by number, so the names come from the kernel's headers. Which reasons
 * the host has is found by asking for every number.
 */
#include <string.h>

#include "fail.h"
#include "guest.h"
#include "reasons.h"

#define LEAF_CYCLES_OF	0x4ffffffcu
#define LEAF_EXITS_OF	0x4ffffffdu
#define NO_REASON	0xfffffffeu	/* named by neither vendor */
#define VMX_CPUID	10u
#define SVM_CPUID	0x72u		/* named on SVM alone */

struct range {
	uint32_t from, to;
};

static const struct range vmx_ranges[] = { { 0, 127 } };
static const struct range svm_ranges[] = {
	{ 0, 0xaf }, { 0x400, 0x40f }, { UINT32_MAX, UINT32_MAX }
};

static unsigned long asked;		/* CPUIDs executed so far; each one is an exit */
unsigned long guest_own_exits;		/* how many of them the last CPUID row includes */

/* False if the host's table does not have the reason. */
static bool ask(uint32_t leaf, uint32_t reason, uint64_t *value)
{
	uint32_t regs[4];

	asked++;
	cpuid(leaf, reason, regs);
	*value = (uint64_t)regs[2] << 32 | regs[1];
	return regs[3] != UINT32_MAX;
}

static bool leaves_there(void)
{
	uint32_t regs[4];

	asked++;
	cpuid(LEAF_EXITS_OF, NO_REASON, regs);
	return !regs[0] && !regs[1] && !regs[2] && regs[3] == UINT32_MAX;
}

static void read_range(struct account *a, const struct range *range, bool svm)
{
	uint32_t reason = range->from;
	uint64_t exits, cycles;
	struct row *row;
	char name[48];

	do {
		if (reason == (svm ? SVM_CPUID : VMX_CPUID))
			guest_own_exits = asked;
		if (!ask(LEAF_EXITS_OF, reason, &exits) || !exits ||
		    !ask(LEAF_CYCLES_OF, reason, &cycles))
			continue;
		reason_name(name, sizeof(name), svm, reason);
		row = account_row(a, (struct row_key){ .reason = reason }, name);
		row->n[C_EXITS] = exits;
		row->n[C_CYCLES] = cycles;
		row_add(&a->sum, row);
	} while (reason++ != range->to);
}

/*
 * guest_read() - read the account of the guest that runs this. Rows are read one after
 * the other, and the sum is made from them. 0, or -1 with the reason in `failure`.
 */
int guest_read(struct account *a)
{
	uint64_t exits;

	memset(a, 0, sizeof(*a));
	if (!leaves_there())
		return fail("CPUID leaf 0x4ffffffd: no answer (not a KVM guest, the host is not patched, or its exit_cycles or exit_cycles_guest is off)");

	a->counters = 1u << C_EXITS | 1u << C_CYCLES;
	a->sum = row_of_sums();
	if (ask(LEAF_EXITS_OF, SVM_CPUID, &exits)) {
		strcpy(a->vendor, "svm");
		for (size_t i = 0; i < sizeof(svm_ranges) / sizeof(*svm_ranges); i++)
			read_range(a, &svm_ranges[i], true);
	} else {
		strcpy(a->vendor, "vmx");
		for (size_t i = 0; i < sizeof(vmx_ranges) / sizeof(*vmx_ranges); i++)
			read_range(a, &vmx_ranges[i], false);
	}
	return 0;
}
