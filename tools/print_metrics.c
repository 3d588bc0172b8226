// SPDX-License-Identifier: GPL-2.0-only
/*
 * print_metrics.c - the counters for Prometheus, in its text format. The last line,
 * "# EOF", is OpenMetrics' end and a comment in the text format, so Prometheus can read
 * it as either. The TYPE lines of counters keep the suffix _total. Strict OpenMetrics
 * has none there, but without it node_exporter's textfile collector makes untyped
 * series. All series are of one level (host, VM or vCPU), so that sums over them are
 * right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "keys.h"
#include "view.h"

static const struct key_metric {
	const char *name, *column, *help;
	enum key key;
	enum split until;	/* shown up to this level */
} key_metrics[] = {
	{ "kvm_vcpus", "vcpus", "vCPUs counted.", K_VCPUS, SPLIT_VMS },
	{ "kvm_vms", "vms", "VMs counted.", K_VMS, SPLIT_NONE },
};

enum { N_KEY_METRICS = sizeof(key_metrics) / sizeof(*key_metrics) };

/* The labels of each line, such as `vm="1-2",reason="HLT"`. All its series have them. */
struct labels {
	struct out text;
	size_t *ends;
};

/* metrics_have() - whether a column of --output is a metric or a label here. */
bool metrics_have(const struct column *col)
{
	static const char *const labels[] = { "vm", "vmname", "vcpu", "reason", "name", "vcpus" };

	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++) {
		if (!strcmp(col->name, labels[i]))
			return true;
	}
	return col->metric;
}

static bool wanted(const struct options *opt, const char *column)
{
	if (!options_columns(opt))
		return true;
	for (size_t i = 0; i < opt->ncols; i++) {
		if (!strcmp(opt->cols[i]->name, column))
			return true;
	}
	return false;
}

static void label(struct out *to, size_t start, const char *key, const char *value)
{
	if (to->len > start)
		out_char(to, ',');
	out_text(to, key);
	out_text(to, "=\"");
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			out_char(to, '\\');
		out_char(to, *value);
	}
	out_char(to, '"');
}

static void add_labels(struct labels *labels, size_t i, const struct part *part,
		       const struct row *row)
{
	struct out *to = &labels->text;
	size_t start = to->len;
	char key[24];

	if (*part->vm)
		label(to, start, "vm", part->vm);
	if (*part->vmname)
		label(to, start, "vmname", part->vmname);
	if (part->vcpu >= 0) {
		if (to->len > start)
			out_char(to, ',');
		out_text(to, "vcpu=\"");
		out_number(to, part->vcpu);
		out_char(to, '"');
	}
	if (row && row->key.reason != REASON_SUM)
		label(to, start, "reason", row->name);
	if (row && part->account.keyed) {
		snprintf(key, sizeof(key), row->key.key == KEY_REST ? "-" : "0x%lx", row->key.key);
		label(to, start, "key", key);
		label(to, start, "what", key_name(row));
	}
	labels->ends[i + 1] = to->len;
}

static struct labels labels_of_lines(const struct view *view)
{
	struct labels labels = { .text.fd = -1 };

	labels.ends = need(calloc(view->nlines + 1, sizeof(*labels.ends)));
	for (size_t i = 0; i < view->nlines; i++)
		add_labels(&labels, i, view->lines[i].part, view->lines[i].row);
	return labels;
}

static struct labels labels_of_parts(const struct view *view)
{
	struct labels labels = { .text.fd = -1 };

	labels.ends = need(calloc(view->sample->nparts + 1, sizeof(*labels.ends)));
	for (size_t i = 0; i < view->sample->nparts; i++)
		add_labels(&labels, i, &view->sample->parts[i], NULL);
	return labels;
}

static void free_labels(struct labels *labels)
{
	out_free(&labels->text);
	free(labels->ends);
}

static void series(struct out *to, const char *name, const char *suffix,
		   const struct labels *labels, size_t i, uint64_t n)
{
	size_t len = labels->ends[i + 1] - labels->ends[i];

	out_text(to, name);
	out_text(to, suffix);
	if (len) {
		out_char(to, '{');
		out_bytes(to, labels->text.text + labels->ends[i], len);
		out_char(to, '}');
	}
	out_char(to, ' ');
	out_number(to, n);
	out_char(to, '\n');
}

static void head(struct out *to, const char *name, const char *type, const char *help)
{
	out_format(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *type_of(const char *name)
{
	size_t len = strlen(name);

	return len > 6 && !strcmp(name + len - 6, "_total") ? "counter" : "gauge";
}

static void print_column(const struct view *view, struct out *to, const struct column *col,
			 const struct labels *lines, const struct labels *parts)
{
	bool whole = col->flags & COLUMN_WHOLE;
	struct line line = view->total;

	head(to, col->metric, type_of(col->metric), col->metric_help);
	for (size_t i = 0; i < (whole ? view->sample->nparts : view->nlines); i++) {
		if (whole)
			line.part = &view->sample->parts[i];
		else
			line = view->lines[i];
		series(to, col->metric, "", whole ? parts : lines, i,
		       col->get(&line, col->arg).n);
	}
}

/*
 * The end of a bucket's labels. The bound is printed as Go prints a float, because
 * node_exporter is written in Go: the series then are the same with and without it. No
 * bound ends in 0, as it is 2^n - 1. The last bucket has no bound but +Inf.
 */
static int bound_label(char *to, size_t size, int bucket)
{
	uint64_t bound = bucket_high(bucket);
	int digits;

	if (bucket == BUCKETS - 1)
		return snprintf(to, size, "le=\"+Inf\"} ");
	digits = snprintf(NULL, 0, "%lu", bound);
	if (digits > 6)
		return snprintf(to, size, "le=\"%.*e\"} ", digits - 1, (double)bound);
	return snprintf(to, size, "le=\"%lu\"} ", bound);
}

static void print_buckets(const struct view *view, struct out *to, const struct labels *lines)
{
	static const char name[] = "kvm_exit_latency_cycles";
	struct out begin = { .fd = -1 };
	const struct row *row;
	char bounds[BUCKETS][32];
	int lengths[BUCKETS];
	uint64_t below;

	for (int b = 0; b < BUCKETS; b++)
		lengths[b] = bound_label(bounds[b], sizeof(bounds[b]), b);
	head(to, name, "histogram", "TSC cycles from exit to the next entry, but for stops.");
	for (size_t i = 0; i < view->nlines; i++) {
		row = view->lines[i].row;
		if (!row->hist)
			continue;
		begin.len = 0;
		out_text(&begin, "kvm_exit_latency_cycles_bucket{");
		out_bytes(&begin, lines->text.text + lines->ends[i], lines->ends[i + 1] - lines->ends[i]);
		if (lines->ends[i + 1] > lines->ends[i])
			out_char(&begin, ',');
		below = 0;
		for (int b = 0; b < BUCKETS; b++) {
			below += row->hist[b];
			out_bytes(to, begin.text, begin.len);
			out_bytes(to, bounds[b], lengths[b]);
			out_number(to, below);
			out_char(to, '\n');
		}
		series(to, name, "_sum", lines, i, row->n[C_TOTAL] - row->n[C_STOP]);
		series(to, name, "_count", lines, i, below);
	}
	out_free(&begin);
}

static void print_keys(const struct view *view, struct out *to, const struct labels *parts)
{
	const struct account *all = &view->all.account;
	const struct key_metric *m;

	for (m = key_metrics; m < key_metrics + N_KEY_METRICS; m++) {
		if (!account_knows(all, m->key) || view->opt.pick.split > m->until ||
		    !wanted(&view->opt, m->column))
			continue;
		head(to, m->name, "gauge", m->help);
		for (size_t i = 0; i < view->sample->nparts; i++)
			series(to, m->name, "", parts, i,
			       view->sample->parts[i].account.key[m->key]);
	}
}

/*
 * Keys have metrics of their own, so that a sum over reasons does not count them again.
 * They are gauges: a replaced key starts at 0 again, and its exits move to the rest.
 */
static void print_by_key(const struct view *view, struct out *to, const struct labels *lines)
{
	static const struct {
		const char *name, *help;
		enum counter counter;
	} counters[] = {
		{ "kvm_key_exits", "VM exits by key.", C_EXITS },
		{ "kvm_key_handler_cycles", "TSC cycles in the exit handler.", C_CYCLES },
		{ "kvm_key_cycles", "TSC cycles from exit to entry.", C_TOTAL },
	};

	for (size_t c = 0; c < sizeof(counters) / sizeof(*counters); c++) {
		if (!account_has(&view->all.account, counters[c].counter))
			continue;
		head(to, counters[c].name, "gauge", counters[c].help);
		for (size_t i = 0; i < view->nlines; i++)
			series(to, counters[c].name, "", lines, i,
			       view->lines[i].row->n[counters[c].counter]);
	}
}

static void print_accounts(const struct view *view, struct out *to, const struct labels *lines,
			   const struct labels *parts)
{
	const struct account *all = &view->all.account;

	for (size_t i = 0; i < ncolumns; i++) {
		if (columns[i].metric && wanted(&view->opt, columns[i].name) &&
		    column_known(&columns[i], all))
			print_column(view, to, &columns[i], lines, parts);
	}
	if (view->opt.buckets)
		print_buckets(view, to, lines);
	print_keys(view, to, parts);
	if (view->tsc_khz) {
		head(to, "kvm_tsc_hertz", "gauge", "Frequency of the TSC.");
		out_format(to, "kvm_tsc_hertz %lu000\n", view->tsc_khz);
	}
	if (*all->tsc) {
		head(to, "kvm_tsc_stable", "gauge", "1 if the TSCs of all CPUs agree.");
		out_format(to, "kvm_tsc_stable %d\n", !strcmp(all->tsc, "stable"));
	}
	if (view->opt.pick.bpf) {
		head(to, "kvm_exits_uncounted_total", "counter", "VM exits that BPF missed, wholly or in part.");
		out_format(to, "kvm_exits_uncounted_total %lu\n", view->sample->uncounted);
	}
}

/* print_metrics() - print all counters, always in cycles. */
void print_metrics(const struct view *view, struct out *to)
{
	struct labels lines = labels_of_lines(view), parts = labels_of_parts(view);

	if (view->opt.pick.keys)
		print_by_key(view, to, &lines);
	else
		print_accounts(view, to, &lines, &parts);
	out_text(to, "# EOF\n");
	free_labels(&lines);
	free_labels(&parts);
}
