// SPDX-License-Identifier: GPL-2.0-only
/*
 * print_json.c - a sample as one JSON object in one line, as exitdump(8)
 * describes it. Every key is always there; an unknown value is null.
 */
#include <stdio.h>

#include "view.h"

/* json_text() - printable text, in quotes. */
void json_text(struct out *to, const char *text)
{
	out_char(to, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			out_char(to, '\\');
		out_char(to, *text);
	}
	out_char(to, '"');
}

/* json_cell() - a value. */
void json_cell(struct out *to, const struct view *view, const struct cell *cell)
{
	if (cell->kind == CELL_TEXT)
		json_text(to, cell->text);
	else if (cell->kind == CELL_KEY || cell->kind == CELL_HEX)	/* a double cannot hold 64 bits */
		out_format(to, "\"0x%lx\"", cell->n);
	else if (cell->kind == CELL_NONE)
		out_text(to, "null");
	else
		cell_put(to, cell, view->unit, view->tsc_khz);
}

static void json_word(struct out *to, const char *key, const char *text)
{
	out_format(to, ",\"%s\":", key);
	if (*text)
		json_text(to, text);
	else
		out_text(to, "null");
}

static void json_number(struct out *to, const char *key, bool known, uint64_t n)
{
	if (known)
		out_format(to, ",\"%s\":%lu", key, n);
	else
		out_format(to, ",\"%s\":null", key);
}

static void json_hist(struct out *to, const uint64_t *hist)
{
	out_text(to, ",\"hist\":");
	if (!hist) {
		out_text(to, "null");
		return;
	}
	for (int i = 0; i < BUCKETS; i++) {
		out_char(to, i ? ',' : '[');
		out_number(to, hist[i]);
	}
	out_char(to, ']');
}

/* What is printed in front of each column's value: `,"name":`. */
static struct {
	char text[24];
	int len;
} keys[64];

static void make_keys(void)
{
	for (size_t i = 0; i < ncolumns; i++)
		keys[i].len = snprintf(keys[i].text, sizeof(keys[i].text), ",\"%s\":", columns[i].name);
}

/* All columns except the time and those with one of the flags `without`. */
static void json_line(struct out *to, const struct view *view, const struct line *line,
		      unsigned int without)
{
	bool first = true;
	struct cell cell;

	if (!line->part->account.keyed)
		without |= COLUMN_KEY;
	without |= COLUMN_SLOW;
	for (size_t i = 0; i < ncolumns; i++) {
		if (columns[i].flags & without)
			continue;
		cell = columns[i].get(line, columns[i].arg);
		if (cell.kind == CELL_TIME)
			continue;	/* it is in the head */
		out_bytes(to, keys[i].text + first, keys[i].len - first);
		json_cell(to, view, &cell);
		first = false;
	}
	json_hist(to, line->row->hist);
}

/* Slow exits print only the layout's columns. */
static void json_slow(struct out *to, const struct view *view, const struct line *line)
{
	const struct column *col;
	struct cell cell;

	for (size_t i = 0; i < view->layout.ncols; i++) {
		col = view->layout.cols[i];
		cell = col->get(line, col->arg);
		out_bytes(to, keys[col - columns].text + !i, keys[col - columns].len - !i);
		json_cell(to, view, &cell);
	}
}

static void json_total(struct out *to, const struct view *view, size_t i)
{
	const struct part *part = &view->sample->parts[i];
	struct line line = view->total;

	line.part = part;
	line.row = &view->picked[i];
	out_char(to, '{');
	json_line(to, view, &line, COLUMN_REASON);
	out_format(to, ",\"cleared\":%s}", part->cleared ? "true" : "false");
}

/* json_opening() - the begin of every object about a sample. */
void json_opening(struct out *to, const struct sample *sample)
{
	out_format(to, "{\"version\":2,\"time\":%.3f,\"interval\":",
		   sample->when.tv_sec + sample->when.tv_nsec / 1e9);
	if (sample->seconds > 0)
		out_format(to, "%.3f", sample->seconds);
	else
		out_text(to, "null");
}

/* json_unit() - the unit of all times. */
void json_unit(struct out *to, const struct view *view)
{
	json_word(to, "unit", unit_names[view->unit]);
}

static void json_head(struct out *to, const struct view *view)
{
	const struct sample *sample = view->sample;
	const struct account *a = &view->all.account;

	json_opening(to, sample);
	json_word(to, "vendor", a->vendor);
	json_word(to, "scope", a->scope);
	json_word(to, "tsc", a->tsc);
	json_number(to, "tsc_khz", view->tsc_khz, view->tsc_khz);
	json_unit(to, view);
	json_number(to, "vms", account_knows(a, K_VMS), a->key[K_VMS]);
	json_number(to, "vcpus", account_knows(a, K_VCPUS), a->key[K_VCPUS]);
	out_format(to, ",\"off\":%s", sample->off ? "true" : "false");
	if (view->opt.pick.keys)
		json_number(to, "replaced", account_knows(a, K_REPLACED), a->key[K_REPLACED]);
	if (view->opt.pick.slow) {
		json_number(to, "threshold", account_knows(a, K_THRESHOLD), a->key[K_THRESHOLD]);
		json_number(to, "overwritten", account_knows(a, K_LOST), a->key[K_LOST]);
	}
	out_format(to, ",\"gone\":%zu,\"own_exits\":%lu", sample->gone, sample->own_exits);
}

/* print_json() - print the view, always with all columns. A list has VMs, but no rows. */
void print_json(const struct view *view, struct out *to)
{
	const struct options *opt = &view->opt;
	size_t totals = opt->list ? view->nlines : opt->pick.slow ? 0 : view->sample->nparts;

	make_keys();
	json_head(to, view);
	out_text(to, ",\"rows\":[");
	for (size_t i = 0; i < view->nlines && !opt->list; i++) {
		out_text(to, i ? ",{" : "{");
		if (opt->pick.slow)
			json_slow(to, view, &view->lines[i]);
		else
			json_line(to, view, &view->lines[i], COLUMN_WHOLE);
		out_char(to, '}');
	}
	out_text(to, "],\"totals\":[");
	for (size_t i = 0; i < totals; i++) {
		if (i)
			out_char(to, ',');
		json_total(to, view, opt->list ? (size_t)(view->lines[i].part - view->sample->parts) : i);
	}
	out_text(to, "]}\n");
}
