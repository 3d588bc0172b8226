/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * out.h - text that goes to a file, or is kept in memory. It is written when it has
 * grown large, and by out_flush(). stdio would take a lock for each character.
 */
#ifndef OUT_H
#define OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct out {
	char *text;		/* without a NUL: see out_string() */
	size_t len, room;
	int fd;			/* -1: keep the text in memory */
	int error;		/* errno of the first write that failed */
};

void out_grow(struct out *to, size_t more);
void out_number(struct out *to, uint64_t n);
void out_fixed(struct out *to, double d, int behind);
void out_format(struct out *to, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
const char *out_string(struct out *to);
int out_flush(struct out *to);
void out_free(struct out *to);

static inline void out_bytes(struct out *to, const char *bytes, size_t n)
{
	if (to->room - to->len < n)
		out_grow(to, n);
	memcpy(to->text + to->len, bytes, n);
	to->len += n;
}

static inline void out_text(struct out *to, const char *text)
{
	out_bytes(to, text, strlen(text));
}

static inline void out_char(struct out *to, char c)
{
	out_bytes(to, &c, 1);
}

#endif
