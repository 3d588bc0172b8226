/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf_kernel.h - what the BPF program can use in the running kernel and its KVM. */
#ifndef BPF_KERNEL_H
#define BPF_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/exits.h"

struct bpf_kernel {
	char vendor[16];		/* "vmx" or "svm"; "" if neither is loaded */
	const char *handler;		/* name of the exit handler; NULL if it cannot be traced */
	bool admin;			/* has CAP_SYS_ADMIN: may trace functions of modules */
	uint64_t tsc_khz;
	struct kvm_offsets at;
	uint8_t key_from[PLACES];	/* enum key_from */
	bool key_lacks[PLACES];		/* exits have a key, but BPF cannot find it here */
};

int bpf_kernel_find(struct bpf_kernel *k);

#endif
