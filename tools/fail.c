// SPDX-License-Identifier: GPL-2.0-only
/* fail.c - the reason for a failure, and allocation of memory. */
#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fail.h"

char failure[PATH_MAX + 256];

/* What the user wrote may have control characters. A line must stay one line. */
static void keep(const char *format, va_list args)
{
	vsnprintf(failure, sizeof(failure), format, args);
	for (char *c = failure; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == '\x7f')
			*c = '?';
	}
}

/* fail() - keep a line in `failure`, to be printed later. Always returns -1. */
int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	keep(format, args);
	va_end(args);
	return -1;
}

/* die() - print such a line, and end the program. */
void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	keep(format, args);
	va_end(args);
	errx(1, "%s", failure);
}

/* need() - return `memory`, the result of malloc() or the like; end the program if it is NULL. */
void *need(void *memory)
{
	if (!memory)
		err(1, "memory");
	return memory;
}

/* need_room() - return the array of n items with room for one more. It doubles when full. */
void *need_room(void *array, size_t n, size_t size)
{
	if (n & (n - 1))
		return array;
	return need(reallocarray(array, n ? n * 2 : 1, size));
}
