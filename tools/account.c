// SPDX-License-Identifier: GPL-2.0-only
/*
 * account.c - reads the text of an exit_cycles file into a struct account.
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
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"

enum {
	MAX_COLUMNS = 64,
	MAX_ROWS = 4096,	/* SVM's codes end at 0x403 */
	COL_REASON = N_COUNTERS, COL_NAME, COL_UNKNOWN,
};

const char *const counter_names[N_COUNTERS] = {
	"exits", "cycles", "total", "halt", "user", "max"
};

const char *const key_names[N_KEYS] = {
	"tsc_khz", "vms", "vcpus", "open", "guest"
};

static const char foreign[] = "not an exit_cycles file";
static const char cut_off[] = "cut off before its TOTAL row (copy it again)";
static const char bad_sums[] =
	"the rows do not add up to its TOTAL row (copy it again)";
static const char bad_number[] = "a number that does not fit 64 bits, or none";

/* A decimal number and nothing else. */
static bool parse_u64(const char *s, uint64_t *value)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' ||
		    __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, *s - '0', &v))
			return false;
	}
	*value = v;
	return true;
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

static const char *parse_head(struct account *a, char *line)
{
	char *field = next_part(&line, '\t'), *value;
	uint64_t version;

	if (strncmp(field, "# exit_cycles ", 14) ||
	    !parse_u64(field + 14, &version))
		return foreign;
	if (version != 1)
		return "a later version of the format (a newer exitdump reads it)";

	while ((field = next_part(&line, '\t'))) {
		value = strchr(field, '=');
		if (!value)
			return "a first line of another kind than key=value";
		*value++ = '\0';
		if (!strcmp(field, "vendor")) {
			if (!copy_word(a->vendor, sizeof(a->vendor), value))
				return "no name behind vendor=";
		} else if (!strcmp(field, "tsc")) {
			if (!copy_word(a->tsc, sizeof(a->tsc), value))
				return "no word behind tsc=";
		} else if (!strcmp(field, "scope")) {
			if (!copy_word(a->scope, sizeof(a->scope), value))
				return "no word behind scope=";
		}
		for (int k = 0; k < N_KEYS; k++) {
			if (strcmp(field, key_names[k]))
				continue;
			if (!parse_u64(value, &a->key[k]))
				return bad_number;
			a->keys |= 1u << k;
		}
	}
	return NULL;
}

static const char *parse_columns(struct account *a, char *line,
				 unsigned char *columns, int *ncolumns)
{
	unsigned int seen = 0;
	char *field;
	int n = 0, c;

	while ((field = next_part(&line, '\t'))) {
		if (n == MAX_COLUMNS)
			return "more columns than any exit_cycles file has";
		if (!strcmp(field, "reason"))
			c = COL_REASON;
		else if (!strcmp(field, "name"))
			c = COL_NAME;
		else
			for (c = 0; c < N_COUNTERS; c++)
				if (!strcmp(field, counter_names[c]))
					break;
		if (c == N_COUNTERS && strcmp(field, "reason"))
			c = COL_UNKNOWN;
		if (c != COL_UNKNOWN && seen & 1u << c)
			return "a column that stands there twice";
		seen |= 1u << c;
		columns[n++] = c;
	}
	if (!(seen & 1u << COL_REASON) || !(seen & 1u << COL_NAME) ||
	    !(seen & 1u << C_EXITS))
		return "no columns reason, name and exits";
	a->counters = seen & ((1u << N_COUNTERS) - 1);
	*ncolumns = n;
	return NULL;
}

static const char *parse_row(struct row *row, char *line,
			     const unsigned char *columns, int ncolumns)
{
	char *field;
	int n;

	for (n = 0; (field = next_part(&line, '\t')); n++) {
		if (n == ncolumns)
			return "a row with more fields than columns";
		if (columns[n] == COL_REASON) {
			if (!parse_reason(field, &row->reason))
				return "a reason that is no 32-bit number";
		} else if (columns[n] == COL_NAME) {
			if (!copy_word(row->name, sizeof(row->name), field))
				return "a name that is none";
		} else if (columns[n] < N_COUNTERS &&
			   !parse_u64(field, &row->n[columns[n]])) {
			return bad_number;
		}
	}
	if (n < ncolumns)
		return "a row with fewer fields than columns (copy it again)";
	if (row->reason == REASON_OTHER && !strcmp(row->name, "TOTAL"))
		row->reason = REASON_SUM;
	return NULL;
}

static void row_add(struct row *to, const struct row *from)
{
	for (int c = 0; c < C_MAX; c++)
		to->n[c] += from->n[c];
	if (from->n[C_MAX] > to->n[C_MAX])
		to->n[C_MAX] = from->n[C_MAX];
}

static struct row *new_row(struct account *a)
{
	struct row *rows;

	/* Room doubles: 16, 32, ... */
	if (a->nrows < 16 ? !a->nrows : !(a->nrows & (a->nrows - 1))) {
		rows = reallocarray(a->rows, a->nrows ? a->nrows * 2 : 16,
				    sizeof(*rows));
		if (!rows)
			return NULL;
		a->rows = rows;
	}
	return memset(&a->rows[a->nrows++], 0, sizeof(struct row));
}

static const char *parse_rows(struct account *a, char *text,
			      const unsigned char *columns, int ncolumns)
{
	struct row row, sum = { 0 }, *to;
	const char *why;
	char *line;

	while ((line = next_part(&text, '\n'))) {
		if (!text)
			return cut_off;		/* its newline is missing */
		memset(&row, 0, sizeof(row));
		why = parse_row(&row, line, columns, ncolumns);
		if (why)
			return text && *text ? why : cut_off;
		if (row.reason == REASON_SUM) {
			if (*text)
				return "more lines behind its TOTAL row";
			if (memcmp(row.n, sum.n, sizeof(sum.n)))
				return bad_sums;
			a->sum = row;
			return NULL;
		}
		if (a->nrows && row.reason <= a->rows[a->nrows - 1].reason)
			return "reasons that do not rise";
		if (a->nrows == MAX_ROWS)
			return "more rows than there are reasons";
		to = new_row(a);
		if (!to)
			return "no memory left for it";
		*to = row;
		row_add(&sum, &row);
	}
	return cut_off;
}

/*
 * account_parse() - read a file's text (len bytes and a NUL behind them; it
 * is cut up on the way). 0, or -1 and in `why` what the file is, to stand
 * behind its name. What was read so far is freed then.
 */
int account_parse(struct account *a, char *text, size_t len, const char **why)
{
	unsigned char columns[MAX_COLUMNS];
	char *line;
	int ncolumns;

	memset(a, 0, sizeof(*a));
	if (!len) {
		*why = "empty";
		return -1;
	}
	if (strlen(text) != len) {
		*why = foreign;
		return -1;
	}
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
