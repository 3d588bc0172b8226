/* SPDX-License-Identifier: GPL-2.0-only */
/* reasons.h - the names of exit reasons, for sources that know only their numbers. */
#ifndef REASONS_H
#define REASONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void reason_name(char *to, size_t size, bool svm, uint32_t reason);

#endif
