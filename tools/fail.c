// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fail.h"

char failure[512];

/* fail() - keep the line for whoever prints it; always -1. */
int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(failure, sizeof(failure), format, args);
	va_end(args);
	return -1;
}

/* need() - what malloc() and its kin returned; without it the program ends. */
void *need(void *memory)
{
	if (!memory)
		err(1, "memory");
	return memory;
}

/* need_room() - the array of n items with room for one more; it doubles when full. */
void *need_room(void *array, size_t n, size_t size)
{
	if (n & (n - 1))
		return array;
	return need(reallocarray(array, n ? n * 2 : 1, size));
}
