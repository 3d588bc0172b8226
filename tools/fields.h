/* SPDX-License-Identifier: GPL-2.0-only */
/* fields.h - parsing the words and numbers of the kernel's files. */
#ifndef FIELDS_H
#define FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

char *field_next(char **rest, char end);
bool field_next_number(char **rest, uint64_t *value);
bool field_u64(const char *s, uint64_t *value);
bool field_u32(const char *s, uint32_t *value);
bool field_hex(const char *s, uint64_t *value);
bool field_word(char *to, size_t size, const char *from);

#endif
