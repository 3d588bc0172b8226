// SPDX-License-Identifier: GPL-2.0-only
/* cell.c - printing and sorting one value of the output. */
#include <strings.h>
#include <time.h>

#include "cell.h"

const char *const unit_names[] = {
	[UNIT_DEFAULT] = "", [UNIT_CYCLES] = "cycles", [UNIT_NS] = "ns", [UNIT_US] = "us", [UNIT_AUTO] = "auto",
};

/* cell_compare() - compare for sorting: large numbers first, texts by the alphabet, unknown last. */
int cell_compare(const struct cell *a, const struct cell *b)
{
	if (a->kind == CELL_NONE || b->kind == CELL_NONE)
		return (a->kind == CELL_NONE) - (b->kind == CELL_NONE);
	if (a->kind != b->kind)		/* an address with a name, and one without */
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == CELL_TEXT)
		return strcasecmp(a->text, b->text);
	if (a->n != b->n)
		return a->n < b->n ? 1 : -1;
	return a->d < b->d ? 1 : a->d > b->d ? -1 : 0;
}

/* n / by, rounded up or to the nearest. */
static unsigned __int128 divide(unsigned __int128 n, uint64_t by, bool up)
{
	return (n + (up ? by - 1 : by / 2)) / by;
}

/* Round to the nearest. From 2^64 on the conversion would be undefined. */
static uint64_t nearest(double d)
{
	return d >= 0x1p64 ? UINT64_MAX : (uint64_t)(d + 0.5);
}

/* Print n with its last `behind` digits behind the point. */
static void put_digits(struct out *to, uint64_t n, int behind, const char *unit)
{
	uint64_t one = behind == 6 ? 1000000 : behind == 3 ? 1000 : behind == 2 ? 100 : behind ? 10 : 1;
	uint64_t part = n % one;

	out_number(to, n / one);
	if (behind)
		out_char(to, '.');
	while ((one /= 10)) {
		out_char(to, '0' + part / one);
		part %= one;
	}
	out_text(to, unit);
}

/* At most six characters: whole numbers up to 999999, then 1.000M to 18.45E. */
static void show_number(struct out *to, uint64_t n, bool up)
{
	static const char *const suffixes[] = { "", "k", "M", "G", "T", "P", "E" };
	uint64_t step = 1;
	int cut = 0;		/* digits */

	if (n < 1000000) {
		out_number(to, n);
		return;
	}
	for (; divide(n, step, up) > 9999; step *= 10)
		cut++;
	put_digits(to, divide(n, step, up), 3 - cut % 3, suffixes[cut / 3 + 1]);
}

/* n is in hundredths of a ns. At most six characters: 0.34ns to 99999s, then days and years. */
static void show_time(struct out *to, unsigned __int128 n, bool up)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	const uint64_t day = 8640000000000000, year = 3155760000000000000;
	uint64_t step = 1, half;
	int i;

	if (!n) {
		out_char(to, '0');
		return;
	}
	/* Find the step in which n has at most three digits, or five for seconds. */
	for (i = 0; i < 12; i++, step *= 10) {
		half = up ? step - 1 : step / 2;
		if (n + half < (i == 11 ? 100000 : 1000) * (unsigned __int128)step)
			break;
	}
	if (i < 12)
		put_digits(to, divide(n, step, up), 2 - i % 3, units[i / 3]);
	else if (divide(n, day, up) < 100000)
		put_digits(to, divide(n, day, up), 0, "d");
	else
		put_digits(to, divide(n, year, up), 0, "y");
}

static bool rounds_up(const struct cell *cell)
{
	return cell->kind == CELL_BOUND && !cell->is_max;
}

/* In ns or us: whole ns, us with three digits behind the point. An average always has three. */
static void put_time(struct out *to, const struct cell *cell, enum unit unit,
		     uint64_t tsc_khz)
{
	unsigned __int128 ns = divide((unsigned __int128)cell->n * 1000000, tsc_khz, rounds_up(cell));
	double one = unit == UNIT_US ? 1e3 : 1;

	if (cell->kind == CELL_AVERAGE)
		out_fixed(to, cell->d * 1e6 / tsc_khz / one, 3);
	else if (ns > UINT64_MAX)	/* the TSC's frequency is absurdly low */
		out_format(to, "%.*f", unit == UNIT_US ? 3 : 0, (double)ns / one);
	else
		put_digits(to, ns, unit == UNIT_US ? 3 : 0, "");
}

static void show_cycles(struct out *to, const struct cell *cell, enum unit unit,
			uint64_t tsc_khz)
{
	bool average = cell->kind == CELL_AVERAGE, up = rounds_up(cell);

	if (unit == UNIT_NS || unit == UNIT_US)
		put_time(to, cell, unit, tsc_khz);
	else if (unit == UNIT_CYCLES)
		show_number(to, average ? nearest(cell->d) : cell->n, up);
	else if (average)
		show_time(to, nearest(cell->d * 1e8 / tsc_khz), false);
	else
		show_time(to, divide((unsigned __int128)cell->n * 100000000, tsc_khz, up), up);
}

static void show_share(struct out *to, double d)
{
	if (d >= 0.9995)
		put_digits(to, nearest(d * 100), 0, "%");
	else
		put_digits(to, nearest(d * 1000), 1, "%");
}

/* Local time, to the ms. */
static void show_when(struct out *to, uint64_t ns)
{
	time_t seconds = ns / 1000000000;
	char text[40];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	out_text(to, text);
	out_format(to, ".%03u", (unsigned int)(ns % 1000000000 / 1000000));
}

/* Seconds, to the us. */
static void put_clock(struct out *to, uint64_t ns)
{
	put_digits(to, divide(ns, 1000, false), 6, "");
}

/* cell_show() - print for people. Numbers have at most six characters, except in ns and us. */
void cell_show(struct out *to, const struct cell *cell, enum unit unit, uint64_t tsc_khz)
{
	switch (cell->kind) {
	case CELL_NONE:
		out_char(to, '-');
		break;
	case CELL_TEXT:
		out_text(to, cell->text);
		break;
	case CELL_KEY:
		out_format(to, "%s0x%lx", cell->n >> 63 ? "L2:" : "", cell->n << 1 >> 1);
		break;
	case CELL_COUNT:
		show_number(to, cell->n, false);
		break;
	case CELL_BOUND:
		out_text(to, "<=");
		show_cycles(to, cell, unit, tsc_khz);
		break;
	case CELL_CYCLES:
	case CELL_AVERAGE:
		show_cycles(to, cell, unit, tsc_khz);
		break;
	case CELL_RATE:
		if (cell->d >= 99.95)
			show_number(to, nearest(cell->d), false);
		else
			put_digits(to, nearest(cell->d * 10), 1, "");
		break;
	case CELL_SHARE:
		show_share(to, cell->d);
		break;
	case CELL_CHANGE:
		out_char(to, cell->d < 0 ? '-' : '+');
		show_share(to, cell->d < 0 ? -cell->d : cell->d);
		break;
	case CELL_FACTOR:
		out_char(to, 'x');
		if (cell->d >= 99.95)
			show_number(to, nearest(cell->d), false);
		else
			put_digits(to, nearest(cell->d * (cell->d < 9.995 ? 100 : 10)), cell->d < 9.995 ? 2 : 1, "");
		break;
	case CELL_TIME:
		out_fixed(to, cell->d, 3);
		break;
	case CELL_HEX:
		out_format(to, "0x%lx", cell->n);
		break;
	case CELL_WHEN:
		show_when(to, cell->n);
		break;
	case CELL_CLOCK:
		put_clock(to, cell->n);
		break;
	}
}

/* cell_put() - print for programs: plain numbers, a share as a part of 1, nothing if unknown. */
void cell_put(struct out *to, const struct cell *cell, enum unit unit, uint64_t tsc_khz)
{
	switch (cell->kind) {
	case CELL_NONE:
		break;
	case CELL_TEXT:
		out_text(to, cell->text);
		break;
	case CELL_KEY:
	case CELL_HEX:
		out_format(to, "0x%lx", cell->n);
		break;
	case CELL_WHEN:
	case CELL_CLOCK:
		put_clock(to, cell->n);
		break;
	case CELL_COUNT:
		out_number(to, cell->n);
		break;
	case CELL_BOUND:
	case CELL_CYCLES:
	case CELL_AVERAGE:
		if (unit != UNIT_CYCLES)
			put_time(to, cell, unit, tsc_khz);
		else if (cell->kind == CELL_AVERAGE)
			out_fixed(to, cell->d, 2);
		else
			out_number(to, cell->n);
		break;
	case CELL_RATE:
	case CELL_TIME:
		out_fixed(to, cell->d, 3);
		break;
	case CELL_CHANGE:
	case CELL_FACTOR:
	case CELL_SHARE:
		out_fixed(to, cell->d, 6);
		break;
	}
}
