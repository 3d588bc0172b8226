/* SPDX-License-Identifier: GPL-2.0-only */
/* kvmexits.h - shared by kvmexits.bpf.c and its loader, bpf-exits.c. */
#ifndef KVMEXITS_H
#define KVMEXITS_H

/* A bucket of a reason's histogram: 2^log2 ns and up. */
struct slot {
	__u32 reason;
	__u32 log2;
};

#endif
