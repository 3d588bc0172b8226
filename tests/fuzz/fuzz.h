/* SPDX-License-Identifier: GPL-2.0-only */
/* fuzz.h - the functions of accounts.c that parser.c calls. */
#ifndef FUZZ_H
#define FUZZ_H

#include "sample.h"

/* Where all output goes. */
extern struct out sink;

/* check_printable() - abort unless a terminal may show the text as it is. */
void check_printable(const char *text);
/* print_formats() - the sample, in the formats from `first` to `last`. */
void print_formats(struct sample *sample, int first, int last);
/* sample_of() - a sample of one part that holds the file; false if the file is refused. */
bool sample_of(struct sample *sample, char *text, size_t len, long second);
/* try_account() - up to three files, separated by NUL bytes: a table, a later one, a histogram. */
void try_account(char *copy, size_t left);

#endif
