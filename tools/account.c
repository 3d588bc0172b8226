// SPDX-License-Identifier: GPL-2.0-only
/*
 * account.c - reads the text of exit_cycles and exit_cycles_hist, and counts
 * with what they hold.
 *
 *	# exit_cycles 1 <TAB> vendor=vmx <TAB> tsc_khz=2904000 ...
 *	reason <TAB> name <TAB> exits <TAB> cycles ...
 *	10 <TAB> CPUID <TAB> 23 <TAB> 46000 ...
 *	- <TAB> OTHER ...
 *	- <TAB> TOTAL ...
 *
 * Columns and keys go by name; what is not known here is passed over. All
 * else that strays from the format is refused: a wrong number is worse than
 * none.
 */
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "fail.h"

enum {
	MAX_COLUMNS = 128,
	MAX_ROWS = 4096,	/* SVM's codes end at 0x403 */
	COL_BUCKET = N_COUNTERS,	/* 32 of them */
	COL_REASON = COL_BUCKET + BUCKETS, COL_NAME, COL_UNKNOWN,
	COL_BEYOND,	/* a bucket of a longer histogram, whose others mean something else */
};

static const char *const counter_names[N_COUNTERS] = {
	[C_EXITS] = "exits", [C_CYCLES] = "cycles", [C_TOTAL] = "total",
	[C_HALT] = "halt", [C_USER] = "user", [C_MAX] = "max",
};

static const char *const key_names[N_KEYS] = {
	[K_TSC_KHZ] = "tsc_khz", [K_VMS] = "vms", [K_VCPUS] = "vcpus",
	[K_OPEN] = "open", [K_GUEST] = "guest",
};

static const char foreign[] = "not an exit_cycles file";
static const char cut_off[] = "cut off before its TOTAL row (copy it again)";
static const char bad_sums[] =
	"the rows do not add up to its TOTAL row (copy it again)";
static const char key_twice[] = "a key that stands there twice";
static const char bad_number[] = "a number that does not fit 64 bits, or none";

/*
 * The field at *rest as a decimal number, up to a tab or the end; *rest is what
 * follows then, or NULL. Up to 19 digits always fit.
 */
static bool next_number(char **rest, uint64_t *value)
{
	const char *s = *rest;
	unsigned int digit;
	uint64_t v = 0;
	int n;

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

/* A number and nothing else. */
static bool parse_u64(const char *s, uint64_t *value)
{
	char *rest = (char *)s;

	return next_number(&rest, value) && !rest;
}

static bool parse_reason(const char *s, int64_t *reason)
{
	uint64_t v;

	if (!strcmp(s, "-")) {
		*reason = REASON_OTHER;
		return true;
	}
	if (!parse_u64(s, &v) || v > UINT32_MAX)
		return false;
	*reason = v;
	return true;
}

/* Printable ASCII that fits: names end up on terminals. */
static bool copy_word(char *to, size_t size, const char *from)
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

/* The next line or, by tabs, the next field, as a string; NULL at the end. */
static char *next_part(char **rest, char end)
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
		if (!copy_word(words[i].to, words[i].size, value))
			return "a vendor, tsc or scope that is no word";
	}
	for (int k = 0; k < N_KEYS; k++) {
		if (strcmp(key, key_names[k]))
			continue;
		if (account_knows(a, k))
			return key_twice;
		if (!parse_u64(value, &a->key[k]))
			return bad_number;
		a->keys |= 1u << k;
	}
	return NULL;
}

static const char *parse_head(struct account *a, char *line)
{
	char *field = next_part(&line, '\t'), *value;
	const char *why = NULL;
	uint64_t version;

	if (strncmp(field, "# exit_cycles ", 14) ||
	    !parse_u64(field + 14, &version))
		return foreign;
	if (version != 1)
		return "a later version of the format (a newer exitdump reads it)";

	while (!why && (field = next_part(&line, '\t'))) {
		value = strchr(field, '=');
		if (!value)
			return "a first line of another kind than key=value";
		*value++ = '\0';
		why = parse_key(a, field, value);
	}
	return why;
}

static int column_kind(const char *name)
{
	uint64_t bucket;

	if (!strcmp(name, "reason"))
		return COL_REASON;
	if (!strcmp(name, "name"))
		return COL_NAME;
	for (int c = 0; c < N_COUNTERS; c++) {
		if (!strcmp(name, counter_names[c]))
			return c;
	}
	if (parse_u64(name, &bucket))
		return bucket < BUCKETS ? COL_BUCKET + (int)bucket : COL_BEYOND;
	return COL_UNKNOWN;
}

/* A table has the column exits, a histogram all of its buckets. */
static const char *parse_columns(struct account *a, char *line,
				 unsigned char *columns, int *ncolumns)
{
	const uint64_t buckets = ((1ULL << BUCKETS) - 1) << COL_BUCKET;
	const uint64_t labels = 1ULL << COL_REASON | 1ULL << COL_NAME;
	uint64_t seen = 0;
	char *field;
	int n = 0, c;

	while ((field = next_part(&line, '\t'))) {
		if (n == MAX_COLUMNS)
			return "more columns than any exit_cycles file has";
		c = column_kind(field);
		if (c == COL_BEYOND)
			return "a histogram of more than 32 buckets (a newer exitdump reads it)";
		if (c != COL_UNKNOWN && seen & 1ULL << c)
			return "a column that stands there twice";
		if (c != COL_UNKNOWN)
			seen |= 1ULL << c;
		columns[n++] = c;
	}
	a->has_hist = (seen & buckets) == buckets;
	if (seen & buckets && !a->has_hist)
		return "a histogram of fewer than 32 buckets";
	if ((seen & labels) != labels || !(seen & 1 || a->has_hist))
		return "no columns reason, name and exits";
	a->counters = seen & ((1u << N_COUNTERS) - 1);
	*ncolumns = n;
	return NULL;
}

static const char *parse_field(struct row *row, int column, char **rest)
{
	const char *field;

	if (column < COL_REASON)
		return next_number(rest, column < N_COUNTERS ? &row->n[column] :
				   &row->hist[column - COL_BUCKET]) ? NULL : bad_number;
	field = next_part(rest, '\t');
	if (column == COL_REASON && !parse_reason(field, &row->reason))
		return "a reason that is no 32-bit number";
	if (column == COL_NAME && !copy_word(row->name, sizeof(row->name), field))
		return "a name that is none";
	return NULL;
}

static const char *parse_row(struct row *row, char *line,
			     const unsigned char *columns, int ncolumns)
{
	const char *why = NULL;
	int n;

	for (n = 0; !why && line; n++) {
		if (n == ncolumns)
			return "a row with more fields than columns";
		why = parse_field(row, columns[n], &line);
	}
	if (!why && n < ncolumns)
		why = "a row with fewer fields than columns (copy it again)";
	if (row->reason == REASON_OTHER && !strcmp(row->name, "TOTAL"))
		row->reason = REASON_SUM;
	return why;
}

static void copy_hist(struct row *to, const uint64_t *from)
{
	to->hist = need(malloc(BUCKETS * sizeof(*to->hist)));
	memcpy(to->hist, from, BUCKETS * sizeof(*to->hist));
}

/* Room for one more at `at`, zeroed. It doubles when full: 16, 32, ... */
static struct row *insert_row(struct account *a, size_t at)
{
	size_t n = a->nrows;

	if (!n || (n >= 16 && !(n & (n - 1))))
		a->rows = need(reallocarray(a->rows, n ? n * 2 : 16,
					    sizeof(*a->rows)));
	memmove(&a->rows[at + 1], &a->rows[at], (n - at) * sizeof(*a->rows));
	a->nrows++;
	return memset(&a->rows[at], 0, sizeof(*a->rows));
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

	while ((line = next_part(&text, '\n'))) {
		if (!text)
			return cut_off;		/* its newline is missing */
		row = (struct row){ .hist = a->has_hist ? row_hist : NULL };
		why = parse_row(&row, line, columns, ncolumns);
		if (why)
			return *text ? why : cut_off;
		if (row.reason == REASON_SUM && *text)
			return "more lines behind its TOTAL row";
		if (row.reason == REASON_SUM && !same_numbers(&row, &sum))
			return bad_sums;
		if (a->nrows && row.reason <= a->rows[a->nrows - 1].reason)
			return "reasons that do not rise";
		if (a->nrows == MAX_ROWS)
			return "more rows than there are reasons";
		to = row.reason == REASON_SUM ? &a->sum : insert_row(a, a->nrows);
		*to = row;
		if (row.hist)
			copy_hist(to, row.hist);
		if (row.reason == REASON_SUM)
			return NULL;
		row_add(&sum, &row);
	}
	return cut_off;
}

/*
 * account_parse() - read a file's text (len bytes and a NUL behind them; it
 * is cut up on the way). 0, or -1 and in `why` what the file is, to stand
 * behind its name; the account is empty then.
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
	line = next_part(&text, '\n');
	*why = parse_head(a, line);
	if (!*why) {
		line = next_part(&text, '\n');
		*why = line && text ? parse_columns(a, line, columns, &ncolumns) :
			cut_off;
	}
	if (!*why)
		*why = parse_rows(a, text, columns, ncolumns);
	if (!*why)
		return 0;
	account_free(a);
	return -1;
}

/* account_free() - give back its rows; the account is empty after it. */
void account_free(struct account *a)
{
	for (size_t i = 0; i < a->nrows; i++)
		free(a->rows[i].hist);
	free(a->sum.hist);
	free(a->rows);
	memset(a, 0, sizeof(*a));
}

/* account_copy() - one of its own, to be freed. */
void account_copy(struct account *a, const struct account *from)
{
	struct row *row;

	*a = *from;
	a->rows = NULL;
	a->nrows = 0;
	for (size_t i = 0; i < from->nrows; i++) {
		row = insert_row(a, i);
		*row = from->rows[i];
		if (row->hist)
			copy_hist(row, row->hist);
	}
	if (a->sum.hist)
		copy_hist(&a->sum, a->sum.hist);
}

/* account_row() - the row of a reason; with a name, made where it is missing. */
struct row *account_row(struct account *a, int64_t reason, const char *name)
{
	size_t low = 0, high = a->nrows, mid;
	struct row *row;

	while (low < high) {
		mid = (low + high) / 2;
		if (a->rows[mid].reason == reason)
			return &a->rows[mid];
		if (a->rows[mid].reason < reason)
			low = mid + 1;
		else
			high = mid;
	}
	if (!name)
		return NULL;
	row = insert_row(a, low);
	row->reason = reason;
	strncpy(row->name, name, sizeof(row->name) - 1);
	return row;
}

/*
 * account_take_hist() - move the histograms of a second file to the rows of
 * the first. A reason that happened between the two readings has none.
 */
void account_take_hist(struct account *a, struct account *from)
{
	struct row *row;

	for (size_t i = 0; i < from->nrows; i++) {
		row = account_row(a, from->rows[i].reason, NULL);
		if (!row || row->hist)
			continue;
		row->hist = from->rows[i].hist;
		from->rows[i].hist = NULL;
	}
	if (!a->sum.hist) {
		a->sum.hist = from->sum.hist;
		from->sum.hist = NULL;
	}
	a->has_hist = true;
}

/* account_add() - add another account, reason by reason. */
void account_add(struct account *a, const struct account *from)
{
	if (!a->counters) {
		memcpy(a->vendor, from->vendor, sizeof(a->vendor));
		memcpy(a->tsc, from->tsc, sizeof(a->tsc));
		memcpy(a->scope, from->scope, sizeof(a->scope));
		a->key[K_TSC_KHZ] = from->key[K_TSC_KHZ];
		a->keys = from->keys;
		a->counters = from->counters;
		a->has_hist = from->has_hist;
		a->sum.reason = REASON_SUM;
		strcpy(a->sum.name, "TOTAL");
	}
	a->keys &= from->keys;
	a->counters &= from->counters;
	a->has_hist &= from->has_hist;
	for (int k = K_VMS; k < N_KEYS; k++)
		a->key[k] += from->key[k];
	for (size_t i = 0; i < from->nrows; i++)
		row_add(account_row(a, from->rows[i].reason, from->rows[i].name),
			&from->rows[i]);
	row_add(&a->sum, &from->sum);
}

/*
 * n -= before. False where it had grown smaller: cleared meanwhile. Only what
 * stood in the last quarter of 64 bits can have wrapped instead.
 */
static bool subtract(uint64_t *n, uint64_t before)
{
	bool grown = *n >= before || *n - before < 1ULL << 62;

	*n -= before;
	return grown;
}

/* Of the counters that both have. */
static bool row_subtract(struct row *row, const struct row *before, unsigned int counters)
{
	bool grown = true;

	for (int c = 0; c < C_MAX; c++) {
		if (counters & 1u << c)
			grown &= subtract(&row->n[c], before->n[c]);
	}
	if (counters & 1u << C_MAX)
		grown &= row->n[C_MAX] >= before->n[C_MAX];
	if (row->n[C_MAX] == before->n[C_MAX]) {	/* it happened earlier */
		row->hidden = row->n[C_TOTAL] ? row->n[C_MAX] : 0;
		row->n[C_MAX] = 0;
	}
	if (!before->hist) {		/* it was not read then */
		free(row->hist);
		row->hist = NULL;
	}
	for (int i = 0; row->hist && i < BUCKETS; i++)
		grown &= subtract(&row->hist[i], before->hist[i]);
	return grown;
}

static bool row_idle(const struct row *row)
{
	for (int c = 0; c < N_COUNTERS; c++) {
		if (row->n[c])
			return false;
	}
	return true;
}

/*
 * account_subtract() - make it the difference to an earlier reading: what
 * happened in between. A `max` that did not rise is not known. False where
 * the counters were cleared meanwhile: then nothing is known and no row left.
 */
bool account_subtract(struct account *a, const struct account *before)
{
	size_t left = 0;
	bool grown = true;
	struct row *row;

	a->counters &= before->counters;
	for (size_t i = 0; i < before->nrows; i++) {
		row = account_row(a, before->rows[i].reason, NULL);
		grown = row && row_subtract(row, &before->rows[i], a->counters) && grown;
	}
	grown &= row_subtract(&a->sum, &before->sum, a->counters);
	if (!account_knows(before, K_GUEST))
		a->keys &= ~(1u << K_GUEST);
	if (account_knows(a, K_GUEST))
		grown &= subtract(&a->key[K_GUEST], before->key[K_GUEST]);

	for (size_t i = 0; i < a->nrows; i++) {
		if (!grown || row_idle(&a->rows[i]))
			free(a->rows[i].hist);
		else
			a->rows[left++] = a->rows[i];
	}
	a->nrows = left;
	if (!grown) {
		memset(a->sum.n, 0, sizeof(a->sum.n));
		a->sum.hidden = 0;
		free(a->sum.hist);
		a->sum.hist = NULL;
		free(a->rows);
		a->rows = NULL;
		a->key[K_GUEST] = 0;
		a->keys &= ~(1u << K_GUEST);
	}
	return grown;
}

/* row_add() - add the counters of one row to another's. */
void row_add(struct row *to, const struct row *from)
{
	for (int c = 0; c < C_MAX; c++)
		to->n[c] += from->n[c];
	if (from->n[C_MAX] > to->n[C_MAX])
		to->n[C_MAX] = from->n[C_MAX];
	if (from->hidden > to->hidden)
		to->hidden = from->hidden;
	if (!from->hist)
		return;
	if (!to->hist) {
		copy_hist(to, from->hist);
		return;
	}
	for (int i = 0; i < BUCKETS; i++)
		to->hist[i] += from->hist[i];
}

/*
 * row_lost() - cycles that the guest lost to these exits: total without the
 * time it halted of its own will. Before files had totals, the handler's.
 */
uint64_t row_lost(const struct row *row, const struct account *a)
{
	if (!account_has(a, C_TOTAL))
		return row->n[C_CYCLES];
	if (row->n[C_TOTAL] < row->n[C_HALT])
		return 0;
	return row->n[C_TOTAL] - row->n[C_HALT];
}

/*
 * row_max() - the largest total, or 0 where it is not known: as of a difference in
 * which one that is no larger than an earlier one may be the largest.
 */
uint64_t row_max(const struct row *row)
{
	return row->n[C_MAX] >= row->hidden ? row->n[C_MAX] : 0;
}

/*
 * row_percentile() - the bucket that holds the total of so many of 100000 closed
 * exits; -1 where there is no histogram or nothing in it.
 */
int row_percentile(const struct row *row, unsigned int per_100000)
{
	unsigned __int128 all = 0, below = 0;
	int last = -1;

	for (int i = 0; row->hist && i < BUCKETS; i++)
		all += row->hist[i];
	for (int i = 0; all && i < BUCKETS; i++) {
		if (!row->hist[i])
			continue;
		last = i;
		below += row->hist[i];
		if (below * 100000 >= all * per_100000)
			break;
	}
	return last;
}
