// SPDX-License-Identifier: GPL-2.0-only
/* reasons.c - the names of exit reasons in the kernel headers that exitdump is built with. */
#include <asm/kvm.h>
#include <asm/svm.h>
#include <asm/vmx.h>
#include <stdio.h>

#include "reasons.h"

struct name {
	uint32_t reason;
	const char *name;
};

static const struct name vmx_names[] = { VMX_EXIT_REASONS };
static const struct name svm_names[] = { SVM_EXIT_REASONS };

/* reason_name() - the name of a reason, or "reason N" if these headers have none. */
void reason_name(char *to, size_t size, bool svm, uint32_t reason)
{
	const struct name *names = svm ? svm_names : vmx_names;
	size_t n = svm ? sizeof(svm_names) / sizeof(*svm_names) :
		sizeof(vmx_names) / sizeof(*vmx_names);

	for (size_t i = 0; i < n; i++) {
		if (names[i].reason == reason) {
			snprintf(to, size, "%s", names[i].name);
			return;
		}
	}
	snprintf(to, size, "reason %u", reason);
}
