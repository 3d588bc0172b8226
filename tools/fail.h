/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fail.h - why something failed, in one line, kept until somebody prints it:
 * exitdump on standard error, its live view on the screen. And memory, without
 * which the program ends.
 */
#ifndef FAIL_H
#define FAIL_H

#include <stddef.h>

extern char failure[512];

int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *need(void *memory);
void *need_room(void *array, size_t n, size_t size);

#endif
