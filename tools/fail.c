// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <stdarg.h>
#include <stdio.h>

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
