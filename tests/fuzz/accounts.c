// SPDX-License-Identifier: GPL-2.0-only
/* accounts.c - parses the fuzzer's accounts, and checks their sums and their printed form. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "fail.h"
#include "fuzz.h"
#include "recorded.h"

struct out sink;

/* As a terminal may be shown it. */
void check_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			abort();
}

/* Of slow exits there are no sums, and each has its moment. */
static void check_slow(const struct account *a)
{
	for (size_t i = 0; i < a->nrows; i++) {
		if (!a->rows[i].slow || a->rows[i].hist)
			abort();
	}
}

/* A histogram from another file is of another moment: then they may differ. */
static void check_sums(const struct account *a, bool one_file)
{
	struct row sum = { 0 };

	if (a->recorded) {
		check_slow(a);
		return;
	}
	for (size_t i = 0; i < a->nrows; i++) {
		row_add(&sum, &a->rows[i]);
		if (i && row_key_compare(a->rows[i].key, a->rows[i - 1].key) <= 0)
			abort();
		check_printable(a->rows[i].name);
	}
	for (int c = 0; c < C_MAX; c++)
		if (sum.n[c] != a->sum.n[c])
			abort();
	if (one_file && a->sum.hist && sum.hist &&
	    memcmp(sum.hist, a->sum.hist, BUCKETS * sizeof(*sum.hist)))
		abort();
	free(sum.hist);
}

void print_formats(struct sample *sample, int first, int last)
{
	struct options opt = { .pick.root = "", .buckets = true,
			       .pick.input = "x", .pick.keys = sample->parts[0].account.keyed,
			       .pick.slow = sample->parts[0].account.recorded };
	struct layout layout;
	struct view view;
	char line[NOTES];

	for (size_t i = 0; i < ncolumns; i++)
		opt.cols[opt.ncols++] = &columns[i];
	opt.nsorts = 1;
	for (int i = first; i <= last; i++) {
		opt.format = i;
		opt.unit = UNIT_CYCLES + i % 4;
		if (i >= FORMAT_RAW && opt.unit == UNIT_AUTO)
			opt.unit = UNIT_DEFAULT;
		opt.tsc_khz = 1 + i * 999999;
		opt.sorts[0] = (struct sort_key){ &columns[i * 4], i & 1 };
		opt.reasons = i & 1 ? "*a*,3-9,0x1f,OTHER" : NULL;
		opt.than = opt.pick.slow && i & 2 ? 1000000 : 0;
		layout_choose(&layout, &opt, sample, i & 1);
		if (view_make(&view, sample, &opt, &layout))
			continue;
		view_notes(&view, line);
		print_view(&view, &sink, i & 2);
		view_free(&view);
	}
}

static void print_all(struct sample *sample)
{
	print_formats(sample, FORMAT_TABLE, FORMAT_METRICS);
}

/* A sample of one part that holds the file; false where it is refused. */
bool sample_of(struct sample *sample, char *text, size_t len, long second)
{
	struct account account;
	const char *why = NULL;

	memset(sample, 0, sizeof(*sample));
	if (account_parse(&account, text, len, &why)) {
		if (!why || !*why)
			abort();
		return false;
	}
	check_sums(&account, true);
	sample->clock.tv_sec = second;
	sample->parts = need(calloc(1, sizeof(*sample->parts)));
	sample->parts[0] = (struct part){ .vcpu = -1, .account = account };
	sample->nparts = 1;
	return true;
}

static void try_files(char *text[3], const size_t len[3])
{
	struct sample first, later, hist, between;

	if (!sample_of(&first, text[0], len[0], 1))
		return;
	if (sample_of(&hist, text[2], len[2], 1)) {
		if (hist.parts[0].account.has_hist)
			account_take_hist(&first.parts[0].account,
					  &hist.parts[0].account);
		sample_free(&hist);
	}
	print_all(&first);
	if (sample_of(&later, text[1], len[1], 3)) {
		sample_between(&between, &later, &first);
		if (between.parts[0].cleared && between.parts[0].account.nrows)
			abort();
		print_all(&between);
		if (!first.parts[0].account.recorded && !later.parts[0].account.recorded) {
			account_add(&first.parts[0].account, &later.parts[0].account);
			keys_settle(&first.parts[0].account);
			check_sums(&first.parts[0].account, false);
		}
		sample_free(&between);
		sample_free(&later);
	}
	if (first.parts[0].account.recorded) {
		recorded_by_vm(&first, &(struct pick){ .root = "." });
		print_all(&first);
	}
	sample_free(&first);
}

void try_account(char *copy, size_t left)
{
	char *text[3] = { copy };
	size_t len[3];

	for (int i = 0; i < 3; i++) {
		/* The last takes the rest, NUL bytes and all. */
		len[i] = i < 2 ? strnlen(text[i], left) : left;
		left -= len[i];
		if (i == 2)
			break;
		text[i + 1] = text[i] + len[i] + !!left;
		left -= !!left;
	}
	try_files(text, len);
}
