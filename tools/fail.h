/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fail.h - the reason for a failure, one line, kept until it is printed: by main()
 * on standard error, by the live view on the screen. Also allocation of memory; the
 * program ends if there is none left.
 */
#ifndef FAIL_H
#define FAIL_H

#include <limits.h>
#include <stddef.h>

extern char failure[PATH_MAX + 256];

int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void *need(void *memory);
void *need_room(void *array, size_t n, size_t size);

#endif
