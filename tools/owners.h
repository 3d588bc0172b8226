/* SPDX-License-Identifier: GPL-2.0-only */
/* owners.h - which of QEMU's memory regions an I/O port or a page belongs to. */
#ifndef OWNERS_H
#define OWNERS_H

#include "sample.h"

enum space { SPACE_MEMORY, SPACE_PORTS, N_SPACES };

int owners_ask(struct pick *pick, const char *socket);
int owners_parse(const char *socket, char *text);
void owners_name(enum space space, uint64_t from, uint64_t to, char *name, size_t size);

#endif
