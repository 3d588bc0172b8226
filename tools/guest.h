/* SPDX-License-Identifier: GPL-2.0-only */
/* guest.h - the account that KVM shows to its guest through CPUID. */
#ifndef GUEST_H
#define GUEST_H

#include "account.h"

extern unsigned long guest_own_exits;	/* made by guest_read(), in the last CPUID row */

int guest_read(struct account *a);

/* cpuid() - read a leaf into EAX, EBX, ECX, EDX. Tests link a function of their own. */
void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

#endif
