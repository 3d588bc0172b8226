/* SPDX-License-Identifier: GPL-2.0-only */
/* guest.h - the account that KVM shows to its guest through CPUID. */
#ifndef GUEST_H
#define GUEST_H

#include "account.h"

extern unsigned long guest_own_exits;	/* in the CPUID row last read */

int guest_read(struct account *a);

/* cpuid() - EAX, EBX, ECX, EDX of a leaf; tests link another one. */
void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

#endif
