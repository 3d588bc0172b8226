/* SPDX-License-Identifier: GPL-2.0-only */
/* bpf_kernel.h - what the running kernel and its KVM have for the BPF program to count by. */
#ifndef BPF_KERNEL_H
#define BPF_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/exits.h"

struct bpf_kernel {
	char vendor[16];		/* "" where it is neither */
	const char *handler;		/* the vendor's, or NULL where it cannot be traced */
	bool admin;			/* so that functions of modules can be traced */
	uint64_t tsc_khz;
	struct kvm_offsets at;
	uint8_t key_from[PLACES];	/* enum key_from */
	bool key_lacks[PLACES];		/* it has one, which cannot be found here */
};

int bpf_kernel_find(struct bpf_kernel *k);

#endif
