// SPDX-License-Identifier: GPL-2.0-only
/*
 * parse.c - reads the text of exit_cycles, exit_cycles_hist, exit_cycles_keys and
 * exit_cycles_slow.
 *
 *	# exit_cycles 1 <TAB> vendor=vmx <TAB> tsc_khz=2904000 ...
 *	reason <TAB> name <TAB> exits <TAB> cycles ...
 *	10 <TAB> CPUID <TAB> 23 <TAB> 46000 ...
 *	- <TAB> OTHER ...
 *	- <TAB> TOTAL ...
 *
 * A file of keys has a column key, which is "0x..." or "-" for the rest of the reason,
 * several rows for a reason, the largest total first, and no row TOTAL.
 *
 * A file of slow exits has a row per exit, the newest first, a column time, and
 * the clocks in its first line.
 *
 * Columns and keys are found by name; unknown ones are skipped. A file that differs
 * from the format in any other way is refused: a wrong number is worse than none.
 */
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "fields.h"

enum {
	MAX_COLUMNS = 128,
	MAX_ROWS = 4096,	/* far more than there are reasons */
	COL_BUCKET = N_COUNTERS,	/* 32 of them */
	COL_REASON = COL_BUCKET + BUCKETS, COL_NAME, COL_KEY,
	COL_TIME, COL_VM, COL_VCPU, COL_CPU, COL_RIP, COL_UNKNOWN,
	COL_BEYOND,	/* a bucket of a longer histogram, in which all buckets mean something else */
};

#define COUNTER_NAME(id, name, ...) [C_##id] = name,
static const char *const counter_names[N_COUNTERS] = { COUNTERS(COUNTER_NAME) };

static const char *const key_names[N_KEYS] = {
	[K_TSC_KHZ] = "tsc_khz", [K_VMS] = "vms", [K_VCPUS] = "vcpus",
	[K_GUEST] = "guest", [K_REPLACED] = "replaced", [K_THRESHOLD] = "threshold",
	[K_LOST] = "lost", [K_KEYS] = "keys", [K_KEPT] = "kept", [K_PERF] = "perf",
	[K_MONOTONIC] = "monotonic", [K_REALTIME] = "realtime",
};

static const char foreign[] = "not an exit_cycles file";
static const char crlf[] = "has lines that end in CR LF (copy it again, not as text)";
static const char cut_off[] = "cut off (copy it again)";
static const char bad_sums[] =
	"its rows do not add up to its row TOTAL (copy it again)";
static const char key_twice[] = "has a key twice";
static const char bad_number[] = "has a number that does not fit 64 bits, or a field that is not a number";

static bool parse_reason(const char *s, int64_t *reason)
{
	uint64_t v;

	if (!strcmp(s, "-")) {
		*reason = REASON_OTHER;
		return true;
	}
	if (!field_u64(s, &v) || v > UINT32_MAX)
		return false;
	*reason = v;
	return true;
}

static const char *parse_key(struct account *a, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} words[] = {
		{ "vendor", a->vendor, sizeof(a->vendor) },
		{ "tsc", a->tsc, sizeof(a->tsc) },
		{ "scope", a->scope, sizeof(a->scope) },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(key, words[i].key))
			continue;
		if (*words[i].to)
			return key_twice;
		if (!field_word(words[i].to, words[i].size, value))
			return "its vendor, tsc or scope is not a word";
	}
	for (int k = 0; k < N_KEYS; k++) {
		if (strcmp(key, key_names[k]))
			continue;
		if (account_knows(a, k))
			return key_twice;
		if (!field_u64(value, &a->key[k]))
			return bad_number;
		a->keys |= 1u << k;
	}
	return NULL;
}

static const char *parse_head(struct account *a, char *line)
{
	char *field = field_next(&line, '\t'), *value;
	const char *why = NULL;
	uint64_t version;

	if (strncmp(field, "# exit_cycles ", 14) ||
	    !field_u64(field + 14, &version))
		return foreign;
	if (!version)
		return foreign;
	if (version != 1)
		return "has a later version of the format (a newer exitdump reads it)";

	while (!why && (field = field_next(&line, '\t'))) {
		value = strchr(field, '=');
		if (!value)
			return "its first line has a field that is not key=value";
		*value++ = '\0';
		why = parse_key(a, field, value);
	}
	return why;
}

static int column_kind(const char *name)
{
	static const char *const names[] = {
		"reason", "name", "key", "time", "vm", "vcpu", "cpu", "rip",
	};
	uint64_t bucket;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(name, names[i]))
			return COL_REASON + (int)i;
	}
	for (int c = 0; c < N_COUNTERS; c++) {
		if (!strcmp(name, counter_names[c]))
			return c;
	}
	if (field_u64(name, &bucket))
		return bucket < BUCKETS ? COL_BUCKET + (int)bucket : COL_BEYOND;
	return COL_UNKNOWN;
}

/* Parse the heading. A table has the column exits, a histogram all of its buckets. */
static const char *parse_columns(struct account *a, char *line,
				 unsigned char *columns, int *ncolumns)
{
	const uint64_t buckets = ((1ULL << BUCKETS) - 1) << COL_BUCKET;
	const uint64_t labels = 1ULL << COL_REASON | 1ULL << COL_NAME;
	const uint64_t slow = ((1ULL << COL_UNKNOWN) - (1ULL << COL_REASON)) | 1ULL << C_TOTAL;
	uint64_t seen = 0;
	char *field;
	int n = 0, c;

	while ((field = field_next(&line, '\t'))) {
		if (n == MAX_COLUMNS)
			return "has more columns than any exit_cycles file";
		c = column_kind(field);
		if (c == COL_BEYOND)
			return "its histogram has more than 32 buckets (a newer exitdump reads it)";
		if (seen & 1ULL << c)
			return "has a column twice";
		if (c != COL_UNKNOWN)
			seen |= 1ULL << c;
		columns[n++] = c;
	}
	a->has_hist = (seen & buckets) == buckets;
	a->recorded = seen & 1ULL << COL_TIME;
	a->keyed = seen & 1ULL << COL_KEY && !a->recorded;
	if (seen & buckets && !a->has_hist)
		return "its histogram has fewer than 32 buckets";
	if (seen & buckets && (a->keyed || a->recorded))
		return "has a histogram of keys or slow exits, which do not exist";
	if (a->recorded && (seen & slow) != slow)
		return "lacks one of the columns time, vm, vcpu, cpu, reason, name, key, rip and total";
	if (!a->recorded && ((seen & labels) != labels || !(seen & 1 || a->has_hist)))
		return "lacks one of the columns reason, name and exits";
	a->counters = seen & ((1u << N_COUNTERS) - 1);
	*ncolumns = n;
	return NULL;
}

static bool parse_key_of_row(const char *s, uint64_t *key)
{
	if (strcmp(s, "-"))
		return field_hex(s, key) && *key != KEY_REST;
	*key = KEY_REST;
	return true;
}

static const char *parse_slow_field(struct slow *slow, int column, const char *field)
{
	if (column == COL_TIME && !field_u64(field, &slow->time))
		return bad_number;
	if ((column == COL_VM && !field_u32(field, &slow->vm)) ||
	    (column == COL_VCPU && !field_u32(field, &slow->vcpu)) ||
	    (column == COL_CPU && !field_u32(field, &slow->cpu)))
		return "has a vm, vcpu or cpu that is not a 32-bit number";
	if (column == COL_RIP && !field_hex(field, &slow->rip))
		return "has a rip that is not a hexadecimal number";
	return NULL;
}

static const char *parse_field(struct row *row, int column, char **rest)
{
	const char *field;

	if (column == C_MAX && row->key.key == KEY_REST && **rest == '-')
		return strcmp(field_next(rest, '\t'), "-") ? bad_number : NULL;
	if (column < COL_REASON)
		return field_next_number(rest, column < N_COUNTERS ? &row->n[column] :
				   &row->hist[column - COL_BUCKET]) ? NULL : bad_number;
	field = field_next(rest, '\t');
	if (column == COL_REASON && !parse_reason(field, &row->key.reason))
		return "has a reason that is not a 32-bit number";
	if (column == COL_NAME && !field_word(row->name, sizeof(row->name), field))
		return "has a name that is empty, too long or not printable";
	if (column == COL_KEY && !parse_key_of_row(field, &row->key.key))
		return "has a key that is not a hexadecimal number";
	return row->slow ? parse_slow_field(row->slow, column, field) : NULL;
}

static const char *parse_row(struct row *row, char *line,
			     const unsigned char *columns, int ncolumns)
{
	const char *why = NULL;
	int n;

	for (n = 0; !why && line; n++) {
		if (n == ncolumns)
			return "has a row with more fields than columns";
		why = parse_field(row, columns[n], &line);
	}
	if (!why && n < ncolumns)
		why = "has a row with fewer fields than columns (copy it again)";
	if (row->key.reason == REASON_OTHER && !strcmp(row->name, "TOTAL"))
		row->key.reason = REASON_SUM;
	return why;
}

static bool same_numbers(const struct row *a, const struct row *b)
{
	return !memcmp(a->n, b->n, sizeof(a->n)) &&
		(!a->hist || !memcmp(a->hist, b->hist, BUCKETS * sizeof(*a->hist)));
}

static const char *parse_rows(struct account *a, char *text,
			      const unsigned char *columns, int ncolumns)
{
	uint64_t row_hist[BUCKETS], sum_hist[BUCKETS] = { 0 };
	struct row row, sum = { .hist = a->has_hist ? sum_hist : NULL }, *to;
	const char *why;
	char *line;

	while ((line = field_next(&text, '\n'))) {
		if (!text)
			return cut_off;		/* the newline is missing */
		row = (struct row){ .hist = a->has_hist ? row_hist : NULL };
		why = parse_row(&row, line, columns, ncolumns);
		if (why)
			return *text ? why : cut_off;
		if (row.key.reason == REASON_SUM && *text)
			return "has lines behind its row TOTAL";
		if (row.key.reason == REASON_SUM && !same_numbers(&row, &sum))
			return bad_sums;
		if (a->nrows && row_key_compare(row.key, a->rows[a->nrows - 1].key) <= 0)
			return "its reasons are not in rising order";
		if (a->nrows == MAX_ROWS)
			return "has more rows than there are reasons";
		to = row.key.reason == REASON_SUM ? &a->sum : account_insert(a, a->nrows);
		*to = row;
		if (row.hist)
			row_hist_copy(to, row.hist);
		if (row.key.reason == REASON_SUM)
			return NULL;
		row_add(&sum, &row);
	}
	return cut_off;
}

/* What is wrong with a row of keys that follows the row `before`, or NULL. */
static const char *check_order(const struct row *row, const struct row *before)
{
	if (row->key.reason == REASON_SUM)
		return "has a row TOTAL among keys";
	if (!before || row->key.reason > before->key.reason)
		return NULL;
	if (row->key.reason < before->key.reason || before->key.key == KEY_REST)
		return "its reasons are not in rising order";
	if (strcmp(row->name, before->name))
		return "has two names for a reason";
	if (row->key.key != KEY_REST && row->n[C_TOTAL] > before->n[C_TOTAL])
		return "its keys are not in order of their totals";
	return NULL;
}

static const char *parse_keys(struct account *a, char *text,
			      const unsigned char *columns, int ncolumns)
{
	uint64_t keys = 0;
	size_t rows;
	const char *why;
	struct row row;
	char *line;

	while (text && *text) {
		line = field_next(&text, '\n');
		if (!text)
			return cut_off;
		row = (struct row){ 0 };
		why = parse_row(&row, line, columns, ncolumns) ?:
			check_order(&row, a->nrows ? &a->rows[a->nrows - 1] : NULL);
		if (why)
			return why;
		if (row.key.key == KEY_REST)
			row.hidden = UINT64_MAX;
		else
			keys++;
		*account_insert(a, a->nrows) = row;
	}
	if (account_knows(a, K_KEYS) && a->key[K_KEYS] != keys)
		return cut_off;
	rows = a->nrows;
	keys_settle(a);
	if (a->nrows != rows)
		return key_twice;
	keys_sum(a);
	return NULL;
}

static const char *parse_slow(struct account *a, char *text,
			      const unsigned char *columns, int ncolumns)
{
	struct slow slow;
	struct row row;
	const char *why;
	char *line;

	if (!account_knows(a, K_MONOTONIC) || !account_knows(a, K_REALTIME))
		return "has slow exits, but not the clocks that tell their time";
	while (text && *text) {
		line = field_next(&text, '\n');
		if (!text)
			return cut_off;
		row = (struct row){ .slow = &slow };
		why = parse_row(&row, line, columns, ncolumns);
		if (why)
			return why;
		if (row.key.reason == REASON_SUM)
			return "has a row TOTAL among slow exits";
		row_slow_copy(&row, &slow);
		*account_insert(a, a->nrows) = row;
	}
	if (account_knows(a, K_KEPT) && a->key[K_KEPT] != a->nrows)
		return cut_off;
	a->sum = row_of_sums();
	return NULL;
}

/*
 * account_parse() - parse a file's text, which has len bytes and then a NUL, and is
 * changed. Returns 0; or -1, what is wrong in *why, to be printed after the file's
 * name, and an empty account.
 */
int account_parse(struct account *a, char *text, size_t len, const char **why)
{
	unsigned char columns[MAX_COLUMNS];
	char *line;
	int ncolumns;

	memset(a, 0, sizeof(*a));
	*why = !len ? "empty" : strlen(text) != len ? foreign : NULL;
	if (*why)
		return -1;
	line = field_next(&text, '\n');
	*why = *line && line[strlen(line) - 1] == '\r' ? crlf : parse_head(a, line);
	if (!*why) {
		line = field_next(&text, '\n');
		*why = line && text ? parse_columns(a, line, columns, &ncolumns) :
			cut_off;
	}
	if (!*why)
		*why = (a->recorded ? parse_slow : a->keyed ? parse_keys : parse_rows)(a, text, columns, ncolumns);
	if (!*why)
		return 0;
	account_free(a);
	return -1;
}

