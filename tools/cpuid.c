// SPDX-License-Identifier: GPL-2.0-only
/* cpuid.c - the CPUID instruction, alone so that tests can replace it. */
#include <cpuid.h>

#include "guest.h"

void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	__cpuid_count(leaf, subleaf, regs[0], regs[1], regs[2], regs[3]);
}
