/* SPDX-License-Identifier: GPL-2.0-only */
/* keys.h - the names of keys inside reasons. */
#ifndef KEYS_H
#define KEYS_H

#include "account.h"

const char *key_name(const struct row *row);
int key_names_read(const char *path);

#endif
