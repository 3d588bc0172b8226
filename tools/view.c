// SPDX-License-Identifier: GPL-2.0-only
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "files.h"
#include "view.h"

/* reasons_valid() - whether it is a list, with something in each of its places. */
bool reasons_valid(const char *reasons)
{
	return *reasons && *reasons != ',' && !strstr(reasons, ",,") &&
		reasons[strlen(reasons) - 1] != ',';
}

/* reason_picked() - whether a list of names, numbers and patterns has the row. */
bool reason_picked(const char *reasons, const struct row *row)
{
	char word[128], *end;
	long long number;
	size_t len;
	bool hex;

	for (; reasons; reasons = reasons[len] ? reasons + len + 1 : NULL) {
		len = strcspn(reasons, ",");
		snprintf(word, sizeof(word), "%.*s", (int)len, reasons);
		hex = !strncasecmp(word, "0x", 2);
		number = strtoll(word, &end, hex ? 16 : 10);
		if (*word && !*end ? number == row->reason && number <= UINT32_MAX :
		    !fnmatch(word, row->name, FNM_CASEFOLD))
			return true;
	}
	return false;
}

/* reason_there() - whether any of the list has happened, so that it has a row. */
bool reason_there(const char *reasons, const struct sample *s)
{
	for (size_t i = 0; i < s->nparts; i++) {
		for (size_t r = 0; r < s->parts[i].account.nrows; r++) {
			if (reason_picked(reasons, &s->parts[i].account.rows[r]))
				return true;
		}
	}
	return false;
}

static const char *default_columns(const struct options *opt, bool interval)
{
	if (opt->list)
		return "vm,vmname,vcpus,exits,kept";
	switch (opt->pick.split) {
	case SPLIT_VMS:
		return interval ? "vm,vmname,rate,total,halt,user,share,kept" :
				  "vm,vmname,exits,total,halt,user,share,kept";
	case SPLIT_VCPUS:
		return interval ? "vm,vmname,vcpu,rate,total,halt,user,share,kept" :
				  "vm,vmname,vcpu,exits,total,halt,user,share,kept";
	default:
		return interval ? "name,exits,rate,avg,total,halt,user,share" :
				  "name,exits,cycles,avg,total,halt,user,share";
	}
}

/* Whether the files can fill it. */
static bool fillable(const struct column *col, const struct account *a)
{
	if (col->flags & COLUMN_TOTAL)
		return !a->counters || account_has(a, C_TOTAL);
	if (col->flags & COLUMN_GUEST)
		return !a->counters || account_knows(a, K_GUEST);
	return true;
}

static void choose_columns(struct view *view)
{
	const struct options *opt = view->opt;
	bool interval = view->sample->seconds > 0;
	bool text = opt->format == FORMAT_RAW || opt->format == FORMAT_CSV;
	const struct column *col;
	const char *names;
	char name[16];

	if (interval && text && (!opt->ncols || opt->more_cols))
		view->cols[view->ncols++] = column_find("time");
	names = options_columns(opt) ? "" : default_columns(opt, interval);
	for (; *names; names += strcspn(names, ",") + !!strchr(names, ',')) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(names, ","), names);
		col = column_find(name);
		if (fillable(col, &view->all.account))
			view->cols[view->ncols++] = col;
	}
	for (size_t i = 0; i < opt->ncols; i++)
		view->cols[view->ncols++] = opt->cols[i];
}

/* The counters of the rows that are picked, as one row. */
static void sum_picked(struct part *part, const char *reasons)
{
	struct row *picked = &part->picked;

	free(picked->hist);
	memset(picked, 0, sizeof(*picked));
	picked->reason = REASON_SUM;
	strcpy(picked->name, "TOTAL");
	if (!reasons)
		row_add(picked, &part->account.sum);
	for (size_t i = 0; reasons && i < part->account.nrows; i++) {
		if (reason_picked(reasons, &part->account.rows[i]))
			row_add(picked, &part->account.rows[i]);
	}
}

static void add_all(struct part *all, const struct part *part)
{
	const struct account *from = &part->account;
	struct account *a = &all->account;

	if (!a->counters) {
		*a = (struct account){ .keys = from->keys, .counters = from->counters };
		memcpy(a->vendor, from->vendor, sizeof(a->vendor));
		memcpy(a->tsc, from->tsc, sizeof(a->tsc));
		memcpy(a->scope, from->scope, sizeof(a->scope));
		a->key[K_TSC_KHZ] = from->key[K_TSC_KHZ];
	}
	a->keys &= from->keys;
	a->counters &= from->counters;
	for (int k = K_VMS; k < N_KEYS; k++)
		a->key[k] += from->key[k];
	row_add(&a->sum, &from->sum);
	row_add(&all->picked, &part->picked);
	all->cleared |= part->cleared;
}

static void add_line(struct view *view, const struct part *part,
		     const struct row *row)
{
	size_t n = view->nlines++;

	if (!(n & (n - 1)))
		view->lines = need(reallocarray(view->lines, n ? n * 2 : 1,
						sizeof(*view->lines)));
	view->lines[n] = (struct line){ view->sample, part, row, 0 };
}

static bool by_reason(const struct view *view)
{
	const struct options *opt = view->opt;
	bool metrics = opt->format == FORMAT_METRICS;

	if (opt->format == FORMAT_JSON || (metrics && !options_columns(opt)))
		return true;
	for (size_t i = 0; i < view->ncols; i++) {
		if (view->cols[i]->flags & COLUMN_REASON)
			return true;
	}
	return opt->pick.split == SPLIT_NONE && !metrics;
}

/* By the column that is asked for, then by what is lost, exits, and number. */
static int compare_lines(const void *a, const void *b, void *arg)
{
	const struct line *x = a, *y = b;
	const struct options *opt = arg;
	struct cell p, q;
	uint64_t m, n;
	int ret = 0;

	if (opt->sort) {
		p = opt->sort->get(x, opt->sort->arg);
		q = opt->sort->get(y, opt->sort->arg);
		ret = cell_compare(&p, &q);
	}
	if (ret)
		return ret;
	m = row_lost(x->row, &x->part->account);
	n = row_lost(y->row, &y->part->account);
	if (m == n) {
		m = x->row->n[C_EXITS];
		n = y->row->n[C_EXITS];
	}
	if (m != n)
		return m < n ? 1 : -1;
	if (x->row->reason != y->row->reason)
		return x->row->reason < y->row->reason ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

/*
 * view_make() - the lines of a sample, whose parts it merges on the way. The
 * sample must outlive the view. -1 and the failure told where a unit of time cannot be had.
 */
int view_make(struct view *view, struct sample *sample, const struct options *opt)
{
	const struct part *part;
	uint64_t lost;

	*view = (struct view){ .opt = opt, .sample = sample };
	view->all.vcpu = -1;
	view->all.picked = (struct row){ .reason = REASON_SUM, .name = "TOTAL" };
	sample_merge(sample, opt->pick.split);
	for (size_t i = 0; i < sample->nparts; i++) {
		sum_picked(&sample->parts[i], opt->reasons);
		add_all(&view->all, &sample->parts[i]);
	}
	sample_count(sample, &view->all.account);
	view->tsc_khz = opt->tsc_khz ?: view->all.account.key[K_TSC_KHZ];
	if (opt->unit > UNIT_CYCLES && !view->tsc_khz && sample->nparts) {
		view_free(view);
		return fail("--unit: the TSC's frequency is not known here (--tsc-khz tells it)");
	}

	choose_columns(view);
	for (size_t i = 0; i < sample->nparts; i++) {
		part = &sample->parts[i];
		for (size_t r = 0; by_reason(view) && r < part->account.nrows; r++) {
			if (!opt->reasons || reason_picked(opt->reasons, &part->account.rows[r]))
				add_line(view, part, &part->account.rows[r]);
		}
		if (!by_reason(view))
			add_line(view, part, &part->picked);
	}
	lost = row_lost(&view->all.account.sum, &view->all.account);
	for (size_t i = 0; i < view->nlines; i++)
		view->lines[i].lost_by_all = lost;
	view->total = (struct line){ sample, &view->all, &view->all.picked, lost };

	if (view->nlines && (!opt->list || opt->sort) && opt->format != FORMAT_METRICS)
		qsort_r(view->lines, view->nlines, sizeof(*view->lines),
			compare_lines, (void *)opt);
	if (opt->limit && view->nlines > opt->limit)
		view->nlines = opt->limit;
	return 0;
}

static void count(FILE *out, const char **before, uint64_t n, const char *what)
{
	fprintf(out, "%s%lu %s%s", *before, n, what, n == 1 ? "" : "s");
	*before = ", ";
}

/* view_headline() - of what and when the lines are, in one line; or "". */
void view_headline(const struct view *view, char *to, size_t size)
{
	const struct sample *sample = view->sample;
	const struct part *part = sample->nparts == 1 ? &sample->parts[0] : &view->all;
	const struct account *a = &part->account;
	const struct column *kept = column_find("kept");
	struct cell cell = kept->get(&view->total, kept->arg);
	FILE *out = need(fmemopen(to, size, "w"));
	const char *before = "";
	char when[32];
	struct tm tm;

	*to = '\0';
	if (sample->seconds > 0) {
		localtime_r(&sample->when.tv_sec, &tm);
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
		fprintf(out, "%s +%.3f s: ", when, sample->seconds);
	}
	if (part->vcpu >= 0)
		fprintf(out, "vCPU %ld of ", (long)part->vcpu);
	if (*part->vm)
		fprintf(out, "VM %s", part->vm);
	else if (!strcmp(a->scope, "host"))
		fputs("host", out);
	if (*part->vmname)
		fprintf(out, " (%s)", part->vmname);
	if (*part->vm || !strcmp(a->scope, "host"))
		before = ", ";
	if (!*part->vm && account_knows(a, K_VMS))
		count(out, &before, a->key[K_VMS], "VM");
	if (part->vcpu < 0 && account_knows(a, K_VCPUS))
		count(out, &before, a->key[K_VCPUS], "vCPU");
	if (*a->vendor)
		fprintf(out, "%s%s", before, a->vendor);
	if (*a->tsc && strcmp(a->tsc, "stable"))
		fprintf(out, ", TSC %s", a->tsc);
	if (cell.kind == CELL_SHARE)
		fprintf(out, "; ran %.1f%% of its time", cell.d * 100);
	if (view->opt->unit == UNIT_NS || view->opt->unit == UNIT_US)
		fprintf(out, "; in %s", view->opt->unit == UNIT_NS ? "ns" : "us");
	fclose(out);
}

/* Another note, behind those there are. */
static void note(char *to, size_t size, const char *format, ...)
{
	size_t length = strlen(to);
	va_list args;

	if (length && length + 2 < size)
		length += snprintf(to + length, size - length, "; ");
	va_start(args, format);
	vsnprintf(to + length, size - length, format, args);
	va_end(args);
}

/* view_notes() - what is missing in it, in one line; or "". */
void view_notes(const struct view *view, char *to, size_t size)
{
	const struct sample *sample = view->sample;
	const struct pick *pick = &view->opt->pick;
	bool by_vcpu = pick->vcpu || pick->split == SPLIT_VCPUS;
	const char *kind = by_vcpu ? "vCPU" : "VM";
	const struct part *one = NULL;
	size_t cleared = 0;
	char of[64] = "";

	for (size_t i = 0; i < sample->nparts; i++) {
		if (!sample->parts[i].cleared)
			continue;
		cleared++;
		one = &sample->parts[i];
	}
	if (one && one->vcpu >= 0)
		snprintf(of, sizeof(of), " of vCPU %ld of VM %s", (long)one->vcpu, one->vm);
	else if (one && *one->vm)
		snprintf(of, sizeof(of), " of VM %s", one->vm);
	*to = '\0';
	if (cleared == 1)
		note(to, size, "counters%s were cleared in this interval, so its figures are left out",
		     of);
	else if (cleared)
		note(to, size, "counters of %zu %ss were cleared in this interval, so their figures are left out",
		     cleared, sample->parts[0].vcpu >= 0 ? "vCPU" : "VM");
	if (sample->gone)
		note(to, size, "%zu %s%s ended in this interval, %s last figures are lost",
		     sample->gone, kind, sample->gone == 1 ? "" : "s",
		     sample->gone == 1 ? "its" : "their");
	if (sample->off)
		note(to, size, "nothing is counted at present (" SWITCH " is N)");
	if (sample->own_exits)
		note(to, size, "%lu of the CPUID exits are this reading's own",
		     sample->own_exits);
}

/* view_free() - give back the lines; the sample stays. */
void view_free(struct view *view)
{
	free(view->lines);
	free(view->all.account.sum.hist);
	free(view->all.picked.hist);
	memset(view, 0, sizeof(*view));
}
