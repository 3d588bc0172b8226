/* SPDX-License-Identifier: GPL-2.0-only */
/* symbols.h - names for the guest's addresses. */
#ifndef SYMBOLS_H
#define SYMBOLS_H

#include <stdint.h>

int symbols_read(const char *path);
const char *symbol_name(uint64_t address);

#endif
