// SPDX-License-Identifier: GPL-2.0-only
/*
 * print_metrics.c - the counters for Prometheus, in its text format. The last
 * line is OpenMetrics' and a comment elsewhere, so that Prometheus reads it by
 * either name. Counters are called _total in their TYPE line as well: strict
 * OpenMetrics leaves it out there, but node_exporter's textfile collector would
 * make untyped series of them then. One level of accounts at a time, so that
 * sums are sums.
 */
#include <string.h>

#include "view.h"

/* Each is shown unless --output lists columns, and its is not among them. */
static const struct metric {
	const char *name, *type, *column, *help;
	enum counter counter;
} metrics[] = {
	{ "kvm_exits_total", "counter", "exits", "VM exits.", C_EXITS },
	{ "kvm_exit_handler_cycles_total", "counter", "cycles",
	  "TSC cycles in the exit handler.", C_CYCLES },
	{ "kvm_exit_lost_cycles_total", "counter", "total",
	  "TSC cycles from exit to the next entry.", C_TOTAL },
	{ "kvm_exit_halt_cycles_total", "counter", "halt",
	  "TSC cycles of lost_cycles halted or waiting.", C_HALT },
	{ "kvm_exit_user_cycles_total", "counter", "user",
	  "TSC cycles of lost_cycles in user space.", C_USER },
	{ "kvm_exit_max_cycles", "gauge", "max",
	  "TSC cycles of the longest exit so far.", C_MAX },
};

static const struct key_metric {
	const char *name, *type, *column, *help;
	enum key key;
	enum split until;	/* shown up to this level */
} key_metrics[] = {
	{ "kvm_guest_cycles_total", "counter", "guest",
	  "TSC cycles inside the guest.", K_GUEST, SPLIT_VCPUS },
	{ "kvm_exit_open", "gauge", "open",
	  "Exits without their entry so far.", K_OPEN, SPLIT_VCPUS },
	{ "kvm_vcpus", "gauge", "vcpus", "vCPUs counted.", K_VCPUS, SPLIT_VMS },
	{ "kvm_vms", "gauge", "vms", "VMs counted.", K_VMS, SPLIT_NONE },
};

enum {
	N_METRICS = sizeof(metrics) / sizeof(*metrics),
	N_KEY_METRICS = sizeof(key_metrics) / sizeof(*key_metrics),
};

/* metrics_have() - whether a column of --output is a metric or a label here. */
bool metrics_have(const struct column *col)
{
	static const char *const labels[] = { "vm", "vmname", "vcpu", "reason", "name" };

	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++) {
		if (!strcmp(col->name, labels[i]))
			return true;
	}
	for (size_t i = 0; i < N_METRICS; i++) {
		if (!strcmp(col->name, metrics[i].column))
			return true;
	}
	for (size_t i = 0; i < N_KEY_METRICS; i++) {
		if (!strcmp(col->name, key_metrics[i].column))
			return true;
	}
	return false;
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

static void label(FILE *to, const char **before, const char *key, const char *value)
{
	fprintf(to, "%s%s=\"", *before, key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putc('\\', to);
		putc(*value, to);
	}
	putc('"', to);
	*before = ",";
}

/* name{vm="",vmname="",vcpu="",reason="",le=""}, those that there are. */
static void series(FILE *to, const char *name, const char *suffix,
		   const struct part *part, const struct row *row, const char *le)
{
	const char *before = "{";
	char vcpu[24];

	fprintf(to, "%s%s", name, suffix);
	if (*part->vm)
		label(to, &before, "vm", part->vm);
	if (*part->vmname)
		label(to, &before, "vmname", part->vmname);
	if (part->vcpu >= 0) {
		snprintf(vcpu, sizeof(vcpu), "%ld", (long)part->vcpu);
		label(to, &before, "vcpu", vcpu);
	}
	if (row && row->reason != REASON_SUM)
		label(to, &before, "reason", row->name);
	if (le)
		label(to, &before, "le", le);
	fputs(*before == ',' ? "} " : " ", to);
}

static void head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/*
 * A bucket's bound as Go prints a float, and so node_exporter: series are the
 * same whichever way they came. 2^n - 1 does not end in 0.
 */
static void format_bound(char *to, size_t size, int bucket)
{
	int digits;

	if (bucket == BUCKETS - 1) {
		snprintf(to, size, "+Inf");
		return;
	}
	digits = snprintf(to, size, "%lu", bucket_high(bucket));
	if (digits > 6)
		snprintf(to, size, "%.*e", digits - 1, (double)bucket_high(bucket));
}

/* The last bucket's bound is none: it is in +Inf. */
static void print_buckets(const struct view *view, FILE *to)
{
	const char *name = "kvm_exit_latency_cycles";
	const struct line *line;
	uint64_t below;
	char le[24];

	head(to, name, "histogram", "TSC cycles from exit to the next entry.");
	for (size_t i = 0; i < view->nlines; i++) {
		line = &view->lines[i];
		if (!line->row->hist)
			continue;
		below = 0;
		for (int b = 0; b < BUCKETS; b++) {
			below += line->row->hist[b];
			format_bound(le, sizeof(le), b);
			series(to, name, "_bucket", line->part, line->row, le);
			fprintf(to, "%lu\n", below);
		}
		series(to, name, "_sum", line->part, line->row, NULL);
		fprintf(to, "%lu\n", line->row->n[C_TOTAL]);
		series(to, name, "_count", line->part, line->row, NULL);
		fprintf(to, "%lu\n", below);
	}
}

/* print_metrics() - all that is counted; in cycles, whatever the unit. */
void print_metrics(const struct view *view, FILE *to)
{
	const struct account *all = &view->all.account;
	const struct part *parts = view->sample->parts;
	const struct options *opt = view->opt;

	for (size_t m = 0; m < N_METRICS; m++) {
		if (!account_has(all, metrics[m].counter) || !wanted(opt, metrics[m].column))
			continue;
		head(to, metrics[m].name, metrics[m].type, metrics[m].help);
		for (size_t i = 0; i < view->nlines; i++) {
			series(to, metrics[m].name, "", view->lines[i].part,
			       view->lines[i].row, NULL);
			fprintf(to, "%lu\n", view->lines[i].row->n[metrics[m].counter]);
		}
	}
	if (opt->buckets)
		print_buckets(view, to);
	for (size_t m = 0; m < N_KEY_METRICS; m++) {
		if (!account_knows(all, key_metrics[m].key) ||
		    opt->pick.split > key_metrics[m].until ||
		    !wanted(opt, key_metrics[m].column))
			continue;
		head(to, key_metrics[m].name, key_metrics[m].type, key_metrics[m].help);
		for (size_t i = 0; i < view->sample->nparts; i++) {
			series(to, key_metrics[m].name, "", &parts[i], NULL, NULL);
			fprintf(to, "%lu\n", parts[i].account.key[key_metrics[m].key]);
		}
	}
	if (view->tsc_khz) {
		head(to, "kvm_tsc_hertz", "gauge", "Frequency of the TSC.");
		fprintf(to, "kvm_tsc_hertz %lu000\n", view->tsc_khz);
	}
	if (*all->tsc) {
		head(to, "kvm_tsc_stable", "gauge", "1 where the TSCs of all CPUs agree.");
		fprintf(to, "kvm_tsc_stable %d\n", !strcmp(all->tsc, "stable"));
	}
	fputs("# EOF\n", to);
}
