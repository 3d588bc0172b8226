// SPDX-License-Identifier: GPL-2.0-only
/*
 * parser.c - the function that the fuzzer calls. An input is up to three files, separated by
 * NUL bytes: a table, a later one of the same account, and its histogram. They are parsed,
 * and the result goes through sums, differences and every printer. Beside crashes it finds
 * wrong numbers: sums that differ from the sums of their rows.
 *
 * An input that begins with '{' stands for the answers of QEMU's socket, when it is asked for
 * its map of owners; one that begins with "FlatView" is that map.
 *
 * With -DREPLAY it has a main() of its own that takes files, for regressions.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "account.h"
#include "fail.h"
#include "out.h"
#include "owners.h"
#include "qmp.h"
#include "sample.h"
#include "view.h"

static struct out sink;

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
		for (const char *c = a->rows[i].name; *c; c++)
			if (*c < ' ' || *c > '~')
				abort();
	}
	for (int c = 0; c < C_MAX; c++)
		if (sum.n[c] != a->sum.n[c])
			abort();
	if (one_file && a->sum.hist && sum.hist &&
	    memcmp(sum.hist, a->sum.hist, BUCKETS * sizeof(*sum.hist)))
		abort();
	free(sum.hist);
}

static void print_all(struct sample *sample)
{
	struct options opt = { .pick.root = "", .buckets = true,
			       .pick.input = "x", .pick.keys = sample->parts[0].account.keyed,
			       .pick.slow = sample->parts[0].account.recorded };
	struct layout layout;
	struct view view;
	char line[256];

	for (size_t i = 0; i < ncolumns; i++)
		opt.cols[opt.ncols++] = &columns[i];
	opt.nsorts = 1;
	for (int i = FORMAT_TABLE; i <= FORMAT_METRICS; i++) {
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
		view_notes(&view, line, sizeof(line));
		print_view(&view, &sink, i & 2);
		view_free(&view);
	}
}

/* A sample of one part that holds the file; false where it is refused. */
static bool sample_of(struct sample *sample, char *text, size_t len, long second)
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
			check_sums(&first.parts[0].account, false);
		}
		sample_free(&between);
		sample_free(&later);
	}
	sample_free(&first);
}

/* Some ports and pages, and the ends of all. */
static void try_map(char *map)
{
	static const uint64_t at[] = { 0, 0x70, 0x510, 0xc040, 0xffff, 0xfee00000, ~0xfffULL };
	char name[40];

	*failure = '\0';
	if (owners_parse("map", map)) {
		if (!*failure)
			abort();
		return;
	}
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		for (int space = 0; space < N_SPACES; space++) {
			owners_name(space, at[i], at[i] | 0xfff, name, sizeof(name));
			if (!*name)
				abort();
			for (const char *c = name; *c; c++)
				if (*c < ' ' || *c > '~')
					abort();
		}
	}
}

/* The socket takes it all at once, as libFuzzer's inputs are small. */
static void try_socket(const char *text, size_t len)
{
	int ends[2];
	char *map;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) || write(ends[0], text, len) < 0)
		err(1, "socketpair");
	shutdown(ends[0], SHUT_WR);
	*failure = '\0';
	map = qmp_ask(ends[1], "socket", "info");
	if (!map && !*failure)
		abort();
	if (map)
		try_map(map);
	close(ends[0]);
	close(ends[1]);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char *copy = need(malloc(size + 1)), *text[3];
	size_t len[3], left = size;

	sink.fd = -1;
	sink.len = 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	if (*copy == '{') {
		try_socket(copy, size);
		free(copy);
		return 0;
	}
	if (!strncmp(copy, "FlatView", 8)) {
		try_map(copy);
		return 0;
	}
	text[0] = copy;
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
	free(copy);
	return 0;
}

#ifdef REPLAY
int main(int argc, char **argv)
{
	static unsigned char data[1 << 20];
	size_t size;
	FILE *from;

	for (int i = 1; i < argc; i++) {
		from = fopen(argv[i], "r");
		if (!from)
			err(1, "%s", argv[i]);
		size = fread(data, 1, sizeof(data), from);
		fclose(from);
		LLVMFuzzerTestOneInput(data, size);
	}
	printf("%d inputs\n", argc - 1);
	return 0;
}
#endif
