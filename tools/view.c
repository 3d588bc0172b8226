// SPDX-License-Identifier: GPL-2.0-only
/* view.c - choosing and sorting the lines and columns of a sample. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "recorded.h"
#include "view.h"

/* The columns for programs without --output: all counters, also those that tables leave out. */
#define PROGRAMS "exits,rate,cycles,total,halt,poll,user,sched,hsched,stop,slow,max,lost,share"

static const char *default_columns(const struct options *opt, bool interval)
{
	bool people = options_people(opt);

	if (opt->pick.slow)
		return people ? "time,lost,mostly,vm,vmname,vcpu,name,key,what,rip,cycles,user,sched,other" :
			"time,perf,vm,vmname,vcpu,cpu,reason,name,key,what,rip,mostly,total,lost,cycles,halt,user,sched,hsched,stop,other";
	if (opt->pick.keys)
		return !people ? "time,vm,vmname,vcpu,name,key,what,exits,rate,cycles,total,max,share" :
			opt->diff ? "vm,vmname,vcpu,name,key,what,exits,gexits,total,share,cycles" :
			interval ? "vm,vmname,vcpu,name,key,what,exits,rate,total,share,cycles" :
				   "vm,vmname,vcpu,name,key,what,exits,total,share,cycles,max";
	if (opt->list)
		return interval ? "time,vm,vmname,vcpus,rate,overhead,vcpucpu,vmmcpu,irqs,busiest" :
				  "vm,vmname,vcpus,exits,overhead";
	switch (opt->pick.split) {
	case SPLIT_VMS:
		return !people ? "time,vm,vmname," PROGRAMS ",guest,overhead" :
			interval && opt->pick.outside ?
				"vm,vmname,rate,lost,overhead,user,sched,vcpucpu,vmmcpu,irqs" :
			interval ? "vm,vmname,rate,lost,overhead,share,cycles,user,sched,halt" :
				   "vm,vmname,exits,lost,overhead,share,cycles,user,sched,halt";
	case SPLIT_VCPUS:
		return !people ? "time,vm,vmname,vcpu," PROGRAMS ",guest,overhead" :
			interval ? "vm,vmname,vcpu,rate,lost,overhead,cycles,user,sched,halt" :
				   "vm,vmname,vcpu,exits,lost,overhead,cycles,user,sched,halt";
	default:
		return !people ? "time,name," PROGRAMS :
			opt->diff ? "name,exits,gexits,lost,glost,share,user,sched,halt" :
			interval ? "name,exits,rate,lost,share,cycles,user,sched,halt" :
				   "name,exits,lost,share,cycles,avg,user,sched,halt";
	}
}

/* Whether any of the accounts can fill the column. True if there are no accounts. */
static bool fillable(const struct column *col, const struct sample *sample)
{
	for (size_t i = 0; i < sample->nparts; i++) {
		if (column_known(col, &sample->parts[i].account))
			return true;
	}
	return !sample->nparts;
}

/* Whether the column is useful: vm and vcpu need lines that are of one VM or vCPU each. */
static bool place_column(const struct column *col, const struct pick *pick)
{
	enum split split = pick->slow ? SPLIT_VCPUS : pick->split;

	if (!strcmp(col->name, "vcpu"))
		return split == SPLIT_VCPUS;
	return strncmp(col->name, "vm", 2) || split != SPLIT_NONE;
}

/*
 * layout_choose() - choose the columns by the first sample. A default column that its
 * accounts cannot fill is left out, except in JSON; a column of --output never is.
 */
void layout_choose(struct layout *layout, const struct options *opt,
		   const struct sample *first, bool interval)
{
	const char *names = options_columns(opt) ? "" : default_columns(opt, interval);
	bool time = (interval && !options_people(opt)) || opt->pick.slow;
	const struct column *col;
	char name[16];
	size_t len;

	layout->ncols = 0;
	layout->interval = interval;
	for (; *names; names += len + !!names[len]) {
		len = strcspn(names, ",");
		snprintf(name, sizeof(name), "%.*s", (int)len, names);
		col = column_find(name);
		if (!place_column(col, &opt->pick) || (col->flags & COLUMN_INTERVAL && !interval) ||
		    (!strcmp(name, "time") && !time) ||
		    (opt->format != FORMAT_JSON && !fillable(col, first)))
			continue;
		layout->cols[layout->ncols++] = col;
	}
	for (size_t i = 0; i < opt->ncols; i++)
		layout->cols[layout->ncols++] = opt->cols[i];
}

/* The sum of the picked rows, as one row. */
static struct row sum_picked(const struct part *part, const char *reasons)
{
	struct row picked = row_of_sums();

	if (!reasons)
		row_add(&picked, &part->account.sum);
	for (size_t i = 0; reasons && i < part->account.nrows; i++) {
		if (reason_picked(reasons, &part->account.rows[i]))
			row_add(&picked, &part->account.rows[i]);
	}
	return picked;
}

/*
 * A cleared part is left out, so that the sum of the others is still known. A part that is
 * itself a sum has the counters of those that were not cleared.
 */
static void add_all(struct view *view, const struct part *part, const struct row *picked)
{
	if (part->cleared && !part->account.counters)
		return;
	account_add_head(&view->all.account, &part->account);
	row_add(&view->all.account.sum, &part->account.sum);
	row_add(&view->all_picked, picked);
}

static void add_up(struct view *view)
{
	const struct sample *sample = view->sample;

	view->all = (struct part){ .vcpu = -1 };
	view->all.account.sum = row_of_sums();
	view->all_picked = row_of_sums();
	view->picked = need(calloc(sample->nparts + 1, sizeof(*view->picked)));
	for (size_t i = 0; i < sample->nparts; i++) {
		view->picked[i] = sum_picked(&sample->parts[i], view->opt.reasons);
		add_all(view, &sample->parts[i], &view->picked[i]);
	}
	if (!view->all.account.counters && sample->nparts)	/* all were cleared */
		account_add_head(&view->all.account, &sample->parts[0].account);
	sample_count(sample, &view->all.account);
}

static void add_line(struct view *view, const struct part *part, const struct row *row)
{
	view->lines = need_room(view->lines, view->nlines, sizeof(*view->lines));
	view->lines[view->nlines++] = (struct line){ .sample = view->sample, .part = part, .row = row };
}

/* Whether a slow exit lost more than --than. */
static bool long_enough(const struct view *view, const struct part *part, const struct row *row)
{
	return !view->opt.than || (unsigned __int128)row_lost(row, &part->account) * 1000000 >
		(unsigned __int128)view->opt.than * view->tsc_khz;
}

static void add_lines(struct view *view)
{
	const struct options *opt = &view->opt;
	const struct part *part;
	bool rows = options_by_reason(opt);
	uint64_t lost;

	for (size_t i = 0; i < view->sample->nparts; i++) {
		part = &view->sample->parts[i];
		for (size_t r = 0; rows && r < part->account.nrows; r++) {
			if ((!opt->reasons || reason_picked(opt->reasons, &part->account.rows[r])) &&
			    long_enough(view, part, &part->account.rows[r]))
				add_line(view, part, &part->account.rows[r]);
		}
		if (!rows)
			add_line(view, part, &view->picked[i]);
	}
	lost = row_lost(&view->all.account.sum, &view->all.account);
	for (size_t i = 0; i < view->nlines; i++) {
		part = view->lines[i].part;
		if (account_has_lost(&part->account) == account_has_lost(&view->all.account))
			view->lines[i].lost_by_all = lost;
	}
	view->total = (struct line){ view->sample, &view->all, &view->all_picked, lost, NULL };
}

static int compare_by(const struct sort_key *sort, const struct line *x, const struct line *y)
{
	struct cell p = sort->col->get(x, sort->col->arg);
	struct cell q = sort->col->get(y, sort->col->arg);
	int ret;

	if (sort->col->flags & COLUMN_NUMBERS && p.kind == CELL_TEXT && q.kind == CELL_TEXT)
		ret = strverscmp(p.text, q.text);
	else
		ret = cell_compare(&p, &q);
	/* Unknown values stay last in both directions. */
	if (sort->reversed && p.kind != CELL_NONE && q.kind != CELL_NONE)
		ret = -ret;
	return ret;
}

/* Order: by --sort, then by lost cycles, exits, and reason number. */
static int compare_lines(const void *a, const void *b, void *arg)
{
	const struct line *x = a, *y = b;
	const struct options *opt = arg;
	uint64_t m, n;
	int ret = 0;

	for (size_t i = 0; i < opt->nsorts && !ret; i++)
		ret = compare_by(&opt->sorts[i], x, y);
	if (ret)
		return ret;
	if (x->row->slow && x->row->slow->time != y->row->slow->time)
		return x->row->slow->time < y->row->slow->time ? 1 : -1;
	m = row_lost(x->row, &x->part->account);
	n = row_lost(y->row, &y->part->account);
	if (m == n) {
		m = x->row->n[C_EXITS];
		n = y->row->n[C_EXITS];
	}
	if (m != n)
		return m < n ? 1 : -1;
	ret = row_key_compare(x->row->key, y->row->key);
	if (!ret && x->part != y->part)
		ret = x->part < y->part ? -1 : 1;
	return ret ?: (x->row > y->row) - (x->row < y->row);
}

/* view_sorted_by() - the column that the lines are sorted by first; NULL: they are not sorted. */
const struct column *view_sorted_by(const struct view *view)
{
	const struct column *lost = column_find("lost");

	if (view->opt.format == FORMAT_HIST && !view->opt.reasons)
		return NULL;
	if (view->opt.nsorts)
		return view->opt.sorts[0].col;
	if (view->opt.list)
		return NULL;
	if (view->opt.pick.slow)
		return column_find("time");
	if (view->opt.pick.keys)
		return column_find("total");
	return column_known(lost, &view->all.account) || !view->all.account.counters ?
		lost : column_find("cycles");
}

static int choose_unit(struct view *view)
{
	const struct options *opt = &view->opt;

	view->tsc_khz = opt->tsc_khz ?: view->all.account.key[K_TSC_KHZ];
	view->unit = opt->unit;
	if (view->unit == UNIT_DEFAULT)
		view->unit = view->tsc_khz && options_people(opt) ? UNIT_AUTO : UNIT_CYCLES;
	if (view->unit != UNIT_CYCLES && !view->tsc_khz && view->sample->nparts)
		return fail("--unit: the TSC's frequency is not known here (--tsc-khz tells it)");
	if (opt->than && !view->tsc_khz && view->sample->nparts)
		return fail("--than: the TSC's frequency is not known here (--tsc-khz tells it)");
	if (opt->than && view->all.account.counters && !account_has_lost(&view->all.account))
		return fail("--than: what these exits lost is not known (no column halt or stop)");
	return 0;
}

/*
 * view_make() - make the lines of a sample; its parts are merged. The sample must outlive
 * the view. 0, or -1 with the reason in `failure` if a unit of time needs an unknown TSC frequency.
 */
int view_make(struct view *view, struct sample *sample, const struct options *opt,
	      const struct layout *layout)
{
	*view = (struct view){ .opt = *opt, .layout = *layout, .sample = sample };
	if (opt->pick.slow)
		recorded_by_vm(sample, &opt->pick);
	else
		sample_merge(sample, opt->pick.split);
	for (size_t i = 0; opt->tsc_khz && i < sample->nparts; i++)
		sample->parts[i].account.key[K_TSC_KHZ] = opt->tsc_khz;
	add_up(view);
	if (choose_unit(view)) {
		view_free(view);
		return -1;
	}
	add_lines(view);
	if (view->nlines && view_sorted_by(view) &&
	    (opt->format != FORMAT_METRICS || opt->pick.keys))
		qsort_r(view->lines, view->nlines, sizeof(*view->lines),
			compare_lines, &view->opt);
	if (opt->limit && view->nlines > opt->limit)
		view->nlines = opt->limit;
	return 0;
}

/* print_view() - print in the chosen format. `first`: it is the first of several views. */
void print_view(const struct view *view, struct out *to, bool first)
{
	bool people = options_people(&view->opt);

	if (people && !first)
		out_char(to, '\n');
	switch (view->opt.format) {
	case FORMAT_TABLE:
		print_table(view, to);
		break;
	case FORMAT_HIST:
		print_hist(view, to);
		break;
	case FORMAT_JSON:
		print_json(view, to);
		break;
	case FORMAT_METRICS:
		print_metrics(view, to);
		break;
	default:
		print_text(view, to, first);
	}
}

/* view_free() - free the lines, but not the sample. */
void view_free(struct view *view)
{
	for (size_t i = 0; view->picked && i < view->sample->nparts; i++)
		free(view->picked[i].hist);
	free(view->picked);
	free(view->lines);
	free(view->all.account.sum.hist);
	free(view->all_picked.hist);
	memset(view, 0, sizeof(*view));
}
