// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <string.h>

#include "columns.h"

static const struct cell none = { .kind = CELL_NONE };

static struct cell text(const char *s)
{
	return *s ? (struct cell){ .kind = CELL_TEXT, .text = s } : none;
}

static struct cell cycles(uint64_t n)
{
	return (struct cell){ .kind = CELL_CYCLES, .n = n };
}

static struct cell get_time(const struct line *line, int arg)
{
	(void)arg;
	return (struct cell){ .kind = CELL_TIME, .d = line->sample->when.tv_sec +
		line->sample->when.tv_nsec / 1e9 };
}

static struct cell get_vm(const struct line *line, int arg)
{
	(void)arg;
	return text(line->part->vm);
}

static struct cell get_vmname(const struct line *line, int arg)
{
	(void)arg;
	return text(line->part->vmname);
}

static struct cell get_vcpu(const struct line *line, int arg)
{
	(void)arg;
	if (line->part->vcpu < 0)
		return none;
	return (struct cell){ .kind = CELL_COUNT, .n = line->part->vcpu };
}

static struct cell get_vcpus(const struct line *line, int arg)
{
	(void)arg;
	return line->part->vcpus ? text(line->part->vcpus) : none;
}

static struct cell get_reason(const struct line *line, int arg)
{
	(void)arg;
	if (line->row->reason >= REASON_OTHER)
		return none;
	return (struct cell){ .kind = CELL_COUNT, .n = line->row->reason };
}

static struct cell get_name(const struct line *line, int arg)
{
	(void)arg;
	return text(line->row->name);
}

static struct cell get_counter(const struct line *line, int c)
{
	if (!account_has(&line->part->account, c))
		return none;
	if (c == C_MAX && !row_max(line->row))
		return none;
	return (struct cell){ .kind = c == C_EXITS ? CELL_COUNT : CELL_CYCLES,
			      .n = line->row->n[c] };
}

static struct cell get_rate(const struct line *line, int arg)
{
	(void)arg;
	if (line->sample->seconds <= 0)
		return none;
	return (struct cell){ .kind = CELL_RATE,
			      .d = line->row->n[C_EXITS] / line->sample->seconds };
}

static struct cell get_average(const struct line *line, int c)
{
	if (!line->row->n[C_EXITS] || !account_has(&line->part->account, c))
		return none;
	return (struct cell){ .kind = CELL_AVERAGE,
			      .d = (double)line->row->n[c] / line->row->n[C_EXITS] };
}

/* The open exit has cycles already, but no total: never below 0. */
static struct cell get_other(const struct line *line, int arg)
{
	const uint64_t *n = line->row->n;
	uint64_t known = n[C_CYCLES] + n[C_HALT] + n[C_USER];

	(void)arg;
	if (!account_has(&line->part->account, C_TOTAL))
		return none;
	return cycles(n[C_TOTAL] > known ? n[C_TOTAL] - known : 0);
}

/* The last bucket has no upper bound but the largest total, where that is known. */
static struct cell get_percentile(const struct line *line, int per_100000)
{
	int bucket = row_percentile(line->row, per_100000);
	uint64_t bound;

	if (bucket < 0)
		return none;
	bound = bucket_high(bucket);
	if (bucket == BUCKETS - 1) {
		bound = row_max(line->row);
		if (bound < bucket_low(bucket))
			return none;
	}
	return (struct cell){ .kind = CELL_BOUND, .n = bound };
}

static struct cell get_share(const struct line *line, int arg)
{
	uint64_t lost = row_lost(line->row, &line->part->account);

	(void)arg;
	return (struct cell){ .kind = CELL_SHARE, .d = line->lost_by_all ?
		(double)lost / line->lost_by_all : 0 };
}

static bool whole(const struct line *line)
{
	return line->row->reason == REASON_SUM &&
		account_knows(&line->part->account, K_GUEST);
}

static struct cell get_guest(const struct line *line, int arg)
{
	(void)arg;
	return whole(line) ? cycles(line->part->account.key[K_GUEST]) : none;
}

static struct cell get_kept(const struct line *line, int arg)
{
	const struct account *a = &line->part->account;
	double all = (double)a->key[K_GUEST] + a->sum.n[C_TOTAL];

	(void)arg;
	if (!whole(line) || !account_has(a, C_TOTAL) || all <= 0)
		return none;
	return (struct cell){ .kind = CELL_SHARE, .d = a->key[K_GUEST] / all };
}

const struct column columns[] = {
	{ "time", "when it was read, seconds since 1970", get_time, 0, COLUMN_WHOLE },
	{ "vm", "the VM: PID-FD of its process", get_vm, 0, COLUMN_LEFT },
	{ "vmname", "the VM's guest name, as QEMU's -name gave it", get_vmname, 0, COLUMN_LEFT | COLUMN_CUT },
	{ "vcpu", "the vCPU's number", get_vcpu, 0, 0 },
	{ "vcpus", "the numbers of the VM's vCPUs", get_vcpus, 0, COLUMN_LEFT | COLUMN_VCPUS | COLUMN_WHOLE },
	{ "reason", "the exit reason's number", get_reason, 0, COLUMN_REASON },
	{ "name", "the exit reason's name", get_name, 0, COLUMN_REASON | COLUMN_LEFT },
	{ "exits", "how many", get_counter, C_EXITS, 0 },
	{ "rate", "exits a second, over an interval", get_rate, 0, 0 },
	{ "cycles", "time in KVM's exit handler", get_counter, C_CYCLES, 0 },
	{ "avg", "cycles / exits", get_average, C_CYCLES, 0 },
	{ "total", "time from exit to the next entry", get_counter, C_TOTAL, COLUMN_TOTAL },
	{ "avgtotal", "total / exits", get_average, C_TOTAL, COLUMN_TOTAL },
	{ "halt", "of total: halted or waiting", get_counter, C_HALT, COLUMN_TOTAL },
	{ "user", "of total: in user space (QEMU)", get_counter, C_USER, COLUMN_TOTAL },
	{ "other", "of total: the rest (interrupts, scheduling, entry)", get_other, 0, COLUMN_TOTAL },
	{ "max", "the largest single total; over an interval, where it rose", get_counter, C_MAX, COLUMN_TOTAL },
	{ "p50", "half of the totals are at most this: a bucket's upper bound", get_percentile, 50000, COLUMN_HIST },
	{ "p90", "90 % are", get_percentile, 90000, COLUMN_HIST },
	{ "p99", "99 % are", get_percentile, 99000, COLUMN_HIST },
	{ "p99.9", "99.9 % are", get_percentile, 99900, COLUMN_HIST },
	{ "share", "of all time lost to exits: of total, halt aside", get_share, 0, 0 },
	{ "guest", "time inside the guest", get_guest, 0, COLUMN_WHOLE | COLUMN_GUEST },
	{ "kept", "share of its time that the guest ran: guest / (guest + total)", get_kept, 0, COLUMN_WHOLE | COLUMN_GUEST },
};

const size_t ncolumns = sizeof(columns) / sizeof(*columns);

/* column_find() - NULL where there is no such column. */
const struct column *column_find(const char *name)
{
	for (size_t i = 0; i < ncolumns; i++) {
		if (!strcasecmp(columns[i].name, name))
			return &columns[i];
	}
	return NULL;
}

/* cell_compare() - for sorting: large numbers first, texts by the alphabet. */
int cell_compare(const struct cell *a, const struct cell *b)
{
	if (a->kind == CELL_NONE || b->kind == CELL_NONE)
		return (a->kind == CELL_NONE) - (b->kind == CELL_NONE);
	if (a->kind == CELL_TEXT)
		return strcasecmp(a->text, b->text);
	if (a->n != b->n)
		return a->n < b->n ? 1 : -1;
	return a->d < b->d ? 1 : a->d > b->d ? -1 : 0;
}

/* n / by, rounded to the nearest or up. */
static unsigned __int128 divide(unsigned __int128 n, uint64_t by, bool up)
{
	return (n + (up ? by - 1 : by / 2)) / by;
}

/* n with so many of its digits behind the point. */
static void format_digits(char *to, size_t size, uint64_t n, int behind,
			  const char *unit)
{
	uint64_t one = 1;

	for (int i = 0; i < behind; i++)
		one *= 10;
	if (behind)
		snprintf(to, size, "%lu.%0*lu%s", n / one, behind, n % one, unit);
	else
		snprintf(to, size, "%lu%s", n, unit);
}

/* At most six characters: 999999 as it is, then 1.000M to 18.45E. */
static void format_short(char *to, size_t size, uint64_t n, bool up)
{
	static const char *const suffixes[] = { "", "k", "M", "G", "T", "P", "E" };
	uint64_t step = 1;
	int cut = 0;		/* digits */

	if (n >= 1000000) {
		for (; divide(n, step, up) > 9999; step *= 10)
			cut++;
	}
	format_digits(to, size, divide(n, step, up), cut ? 3 - cut % 3 : 0,
		      suffixes[cut ? cut / 3 + 1 : 0]);
}

/* Hundredths of a ns, at most six characters: 0.34ns to 99999s, then days. */
static void format_auto(char *to, size_t size, unsigned __int128 n, bool up)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	const char *unit = units[0];
	uint64_t one = 100, part = 100;
	int behind = 2;

	for (int i = 1; i < 4 && divide(n, one, up) > 999; i++) {
		unit = units[i];
		one *= 1000;
	}
	if (divide(n, one, up) > 99999) {
		unit = "d";
		one *= 86400;
	}
	for (; behind && (!n || divide(n * part, one, up) > 999); behind--)
		part /= 10;
	format_digits(to, size, divide(n * part, one, up), behind, unit);
}

/* A length of time in a unit of time; a bound is rounded up, so that it stays one. */
static void format_time(char *to, size_t size, const struct cell *cell,
			enum unit unit, uint64_t tsc_khz)
{
	unsigned __int128 ms_khz = (unsigned __int128)cell->n * 1000000;
	bool average = cell->kind == CELL_AVERAGE, up = cell->kind == CELL_BOUND;
	unsigned __int128 rounded = divide(ms_khz, tsc_khz, up);
	double ns = cell->d * 1e6 / tsc_khz;
	int behind = unit == UNIT_US ? 3 : 0;

	if (unit == UNIT_AUTO)
		format_auto(to, size, average ? (unsigned __int128)(ns * 100 + 0.5) :
			    divide(ms_khz * 100, tsc_khz, up), up);
	else if (average)
		snprintf(to, size, "%.3f", behind ? ns / 1e3 : ns);
	else if (rounded <= UINT64_MAX)
		format_digits(to, size, rounded, behind, "");
	else		/* of a TSC slower than any */
		snprintf(to, size, "%.*f", behind, (double)rounded / (behind ? 1e3 : 1));
}

/* The nearest, without what is undefined from 2^64 on. */
static uint64_t nearest(double d)
{
	return d >= 0x1p64 ? UINT64_MAX : (uint64_t)(d + 0.5);
}

static void format_cycles(char *to, size_t size, const struct cell *cell,
			  enum unit unit, uint64_t tsc_khz, bool table)
{
	bool average = cell->kind == CELL_AVERAGE;

	if (unit > UNIT_CYCLES)
		format_time(to, size, cell, unit, tsc_khz);
	else if (unit == UNIT_SHORT && table)
		format_short(to, size, average ? nearest(cell->d) : cell->n,
			     cell->kind == CELL_BOUND);
	else if (average)
		snprintf(to, size, table ? "%.0f" : "%.2f", cell->d);
	else
		snprintf(to, size, "%lu", cell->n);
}

/*
 * cell_format() - a cell as text, for people's tables or for machines: those
 * get plain numbers, shares of 1, and nothing where nothing is known.
 */
void cell_format(char *to, size_t size, const struct cell *cell,
		 enum unit unit, uint64_t tsc_khz, bool table)
{
	switch (cell->kind) {
	case CELL_NONE:
		snprintf(to, size, "%s", table ? "-" : "");
		break;
	case CELL_TEXT:
		if ((size_t)snprintf(to, size, "%s", cell->text) >= size && size > 3)
			strcpy(to + size - 4, "...");
		break;
	case CELL_COUNT:
		if (table && (unit == UNIT_SHORT || unit == UNIT_AUTO))
			format_short(to, size, cell->n, false);
		else
			snprintf(to, size, "%lu", cell->n);
		break;
	case CELL_BOUND:
		if (table && size > 2) {
			memcpy(to, "<=", 3);
			to += 2;
			size -= 2;
		}
		format_cycles(to, size, cell, unit, tsc_khz, table);
		break;
	case CELL_CYCLES:
	case CELL_AVERAGE:
		format_cycles(to, size, cell, unit, tsc_khz, table);
		break;
	case CELL_RATE:
		if (table && cell->d >= 99.95)
			format_short(to, size, nearest(cell->d), false);
		else
			snprintf(to, size, table ? "%.1f" : "%.3f", cell->d);
		break;
	case CELL_SHARE:
		snprintf(to, size, table ? "%.1f%%" : "%.6f", table ? cell->d * 100 : cell->d);
		break;
	case CELL_TIME:
		snprintf(to, size, "%.3f", cell->d);
		break;
	}
}
