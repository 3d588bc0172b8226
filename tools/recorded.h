/* SPDX-License-Identifier: GPL-2.0-only */
/* recorded.h - the slow exits of a sample, and the VMs that they belong to. */
#ifndef RECORDED_H
#define RECORDED_H

#include "sample.h"

int recorded_of_gone(struct sample *s, const struct pick *pick);
void recorded_by_vm(struct sample *s, const struct pick *pick);

#endif
