/* SPDX-License-Identifier: GPL-2.0-only */
/* symbols.h - the guest's addresses in words. */
#ifndef SYMBOLS_H
#define SYMBOLS_H

#include <stdint.h>

int symbols_read(const char *path);
const char *symbol_name(uint64_t address);

#endif
