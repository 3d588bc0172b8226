// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fail.h"
#include "out.h"

enum { MUCH = 1 << 16 };

/* out_grow() - make room for `more` bytes: write what is there, or allocate memory. */
void out_grow(struct out *to, size_t more)
{
	if (to->fd >= 0 && to->len >= MUCH)
		out_flush(to);
	if (to->room - to->len >= more)
		return;
	to->room = to->room + more + 2 * MUCH;
	to->text = need(realloc(to->text, to->room));
}

/* out_number() - n in base 10. Most numbers are 0, so one digit is quick. */
void out_number(struct out *to, uint64_t n)
{
	char digits[20];
	int at = sizeof(digits);

	if (n < 10) {
		out_char(to, '0' + n);
		return;
	}
	for (; n; n /= 10)
		digits[--at] = '0' + n % 10;
	out_bytes(to, digits + at, sizeof(digits) - at);
}

/* out_fixed() - d with 2, 3 or 6 digits behind the point. Rounds as printf() does, except ties. */
void out_fixed(struct out *to, double d, int behind)
{
	uint64_t one = behind == 2 ? 100 : behind == 3 ? 1000 : 1000000, n, part;

	if (!(d >= 0 && d < 1e12)) {
		out_format(to, "%.*f", behind, d);
		return;
	}
	n = (uint64_t)(d * one + 0.5);
	out_number(to, n / one);
	out_char(to, '.');
	for (part = n % one; one > 1; part %= one) {
		one /= 10;
		out_char(to, '0' + part / one);
	}
}

void out_format(struct out *to, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	out_bytes(to, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* out_string() - the text in memory, with a NUL that `len` does not count. */
const char *out_string(struct out *to)
{
	out_char(to, '\0');
	to->len--;
	return to->text;
}

/* out_flush() - write all text. Returns 0, or -1 with errno in `error` if any write has failed. */
int out_flush(struct out *to)
{
	size_t done = 0;
	ssize_t n;

	while (done < to->len && !to->error) {
		n = TEMP_FAILURE_RETRY(write(to->fd, to->text + done, to->len - done));
		if (n < 0)
			to->error = errno;
		else
			done += n;
	}
	to->len = 0;
	return to->error ? -1 : 0;
}

void out_free(struct out *to)
{
	free(to->text);
	to->text = NULL;
	to->len = to->room = 0;
}
