// SPDX-License-Identifier: GPL-2.0-only
/*
 * print_json.c - a sample as one JSON object in one line, as exitdump(8)
 * describes it. Every key is always there; what is not known is null.
 */
#include "view.h"

static void json_text(FILE *to, const char *text)
{
	putc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', to);
		putc(*text, to);
	}
	putc('"', to);
}

static void json_word(FILE *to, const char *key, const char *text)
{
	fprintf(to, ",\"%s\":", key);
	if (*text)
		json_text(to, text);
	else
		fputs("null", to);
}

static void json_number(FILE *to, const char *key, bool known, uint64_t n)
{
	if (known)
		fprintf(to, ",\"%s\":%lu", key, n);
	else
		fprintf(to, ",\"%s\":null", key);
}

static void json_hist(FILE *to, const uint64_t *hist)
{
	fputs(",\"hist\":", to);
	for (int i = 0; hist && i < BUCKETS; i++)
		fprintf(to, "%c%lu", i ? ',' : '[', hist[i]);
	fputs(hist ? "]" : "null", to);
}

/* All columns but the time and those with one of the flags `without`. */
static void json_line(FILE *to, const struct view *view, const struct line *line,
		      unsigned int without)
{
	const char *before = "";
	struct cell cell;
	char text[128];

	for (size_t i = 0; i < ncolumns; i++) {
		if (columns[i].flags & without)
			continue;
		cell = columns[i].get(line, columns[i].arg);
		if (cell.kind == CELL_TIME)
			continue;	/* stands in front of all */
		cell_format(text, sizeof(text), &cell, view->opt->unit,
			    view->tsc_khz, false);
		fprintf(to, "%s\"%s\":", before, columns[i].name);
		if (cell.kind == CELL_TEXT)
			json_text(to, cell.text);
		else
			fputs(*text ? text : "null", to);
		before = ",";
	}
	json_hist(to, line->row->hist);
}

static void json_total(FILE *to, const struct view *view, const struct part *part)
{
	const struct account *a = &part->account;
	struct line line = view->total;

	line.part = part;
	line.row = &part->picked;
	putc('{', to);
	json_line(to, view, &line, COLUMN_REASON);
	json_number(to, "open", account_knows(a, K_OPEN), a->key[K_OPEN]);
	fprintf(to, ",\"cleared\":%s}", part->cleared ? "true" : "false");
}

/* print_json() - the view; its columns are not chosen. */
void print_json(const struct view *view, FILE *to)
{
	static const char *const units[] = {
		[UNIT_SHORT] = "cycles", [UNIT_CYCLES] = "cycles",
		[UNIT_NS] = "ns", [UNIT_US] = "us",
	};
	const struct sample *sample = view->sample;
	const struct account *a = &view->all.account;

	fprintf(to, "{\"version\":1,\"time\":%.3f,\"interval\":",
		sample->when.tv_sec + sample->when.tv_nsec / 1e9);
	if (sample->seconds > 0)
		fprintf(to, "%.3f", sample->seconds);
	else
		fputs("null", to);
	json_word(to, "vendor", a->vendor);
	json_word(to, "scope", a->scope);
	json_word(to, "tsc", a->tsc);
	json_number(to, "tsc_khz", view->tsc_khz, view->tsc_khz);
	json_word(to, "unit", units[view->opt->unit]);
	json_number(to, "vms", account_knows(a, K_VMS), a->key[K_VMS]);
	json_number(to, "vcpus", account_knows(a, K_VCPUS), a->key[K_VCPUS]);
	fprintf(to, ",\"off\":%s", sample->off ? "true" : "false");
	fprintf(to, ",\"gone\":%zu,\"own_exits\":%lu,\"rows\":[", sample->gone, sample->own_exits);
	for (size_t i = 0; i < view->nlines; i++) {
		fputs(i ? ",{" : "{", to);
		json_line(to, view, &view->lines[i], COLUMN_WHOLE);
		putc('}', to);
	}
	fputs("],\"totals\":[", to);
	for (size_t i = 0; i < sample->nparts; i++) {
		if (i)
			putc(',', to);
		json_total(to, view, &sample->parts[i]);
	}
	fputs("]}\n", to);
}
