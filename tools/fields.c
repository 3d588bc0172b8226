// SPDX-License-Identifier: GPL-2.0-only
/*
 * fields.c - parsing the words and numbers of the kernel's files.
 */
#include <string.h>

#include "fields.h"

/*
 * field_next_number() - parse the field at *rest, up to a tab or the end, as a decimal
 * number, and move *rest behind it, or to NULL at the end. False if it is no 64-bit number.
 */
bool field_next_number(char **rest, uint64_t *value)
{
	const char *s = *rest;
	unsigned int digit;
	uint64_t v = 0;
	int n;

	/* 19 digits always fit */
	for (n = 0; n < 19 && (digit = (unsigned char)s[n] - '0') <= 9; n++)
		v = v * 10 + digit;
	for (; (digit = (unsigned char)s[n] - '0') <= 9; n++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return false;
	}
	if (!n || (s[n] && s[n] != '\t'))
		return false;
	*rest = s[n] ? *rest + n + 1 : NULL;
	*value = v;
	return true;
}

/* field_u64(), field_u32() - parse s as a decimal number. False if it is not one of so many bits. */
bool field_u64(const char *s, uint64_t *value)
{
	char *rest = (char *)s;

	return field_next_number(&rest, value) && !rest;
}

bool field_u32(const char *s, uint32_t *value)
{
	uint64_t v;

	if (!field_u64(s, &v) || v > UINT32_MAX)
		return false;
	*value = v;
	return true;
}

/* field_hex() - parse "0x" and a hexadecimal number, as the kernel writes it. False if it is not one. */
bool field_hex(const char *s, uint64_t *value)
{
	int digit, n;

	*value = 0;
	if (strncmp(s, "0x", 2) || (s[2] == '0' && s[3]))
		return false;
	for (n = 0, s += 2; *s && n < 16; n++, s++) {
		digit = *s >= '0' && *s <= '9' ? *s - '0' : *s >= 'a' && *s <= 'f' ? *s - 'a' + 10 : -1;
		if (digit < 0)
			return false;
		*value = *value << 4 | digit;
	}
	return n && !*s;
}

/* field_word() - copy a word. False if it does not fit or, as terminals show it, is not printable ASCII. */
bool field_word(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (!len || len >= size)
		return false;
	for (const char *p = from; *p; p++) {
		if (*p < ' ' || *p > '~')
			return false;
	}
	memcpy(to, from, len + 1);
	return true;
}

/* field_next() - cut the part of *rest up to `end`, a tab or a newline, off as a string; NULL: none left. */
char *field_next(char **rest, char end)
{
	char *part = *rest, *stop;

	if (!part)
		return NULL;
	stop = strchr(part, end);
	if (stop)
		*stop++ = '\0';
	*rest = stop;
	return part;
}
