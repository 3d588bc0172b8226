// SPDX-License-Identifier: GPL-2.0-only
/*
 * print_metrics.c - the counters for Prometheus. Names and types are such that
 * its text format, OpenMetrics parsers and node_exporter's textfile collector
 * all take them. One level of accounts at a time, so that sums are sums.
 */
#include "view.h"

static const struct metric {
	const char *name, *type, *help;
	enum counter counter;
} metrics[] = {
	{ "kvm_exits_total", "counter", "VM exits.", C_EXITS },
	{ "kvm_exit_handler_cycles_total", "counter",
	  "TSC cycles in the exit handler.", C_CYCLES },
	{ "kvm_exit_lost_cycles_total", "counter",
	  "TSC cycles from exit to the next entry.", C_TOTAL },
	{ "kvm_exit_halt_cycles_total", "counter",
	  "TSC cycles of lost_cycles halted or waiting.", C_HALT },
	{ "kvm_exit_user_cycles_total", "counter",
	  "TSC cycles of lost_cycles in user space.", C_USER },
	{ "kvm_exit_max_cycles", "gauge",
	  "TSC cycles of the longest exit so far.", C_MAX },
};

static const struct key_metric {
	const char *name, *type, *help;
	enum key key;
	enum split until;	/* shown up to this level */
} key_metrics[] = {
	{ "kvm_guest_cycles_total", "counter", "TSC cycles inside the guest.", K_GUEST, SPLIT_VCPUS },
	{ "kvm_exit_open", "gauge", "Exits without their entry so far.", K_OPEN, SPLIT_VCPUS },
	{ "kvm_vcpus", "gauge", "vCPUs counted.", K_VCPUS, SPLIT_VMS },
	{ "kvm_vms", "gauge", "VMs counted.", K_VMS, SPLIT_NONE },
};

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
	if (row)
		label(to, &before, "reason", row->name);
	if (le)
		label(to, &before, "le", le);
	fputs(*before == ',' ? "} " : " ", to);
}

static void head(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
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
			snprintf(le, sizeof(le), "%lu", bucket_high(b));
			series(to, name, "_bucket", line->part, line->row,
			       b == BUCKETS - 1 ? "+Inf" : le);
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

	for (size_t m = 0; m < sizeof(metrics) / sizeof(*metrics); m++) {
		if (!account_has(all, metrics[m].counter))
			continue;
		head(to, metrics[m].name, metrics[m].type, metrics[m].help);
		for (size_t i = 0; i < view->nlines; i++) {
			series(to, metrics[m].name, "", view->lines[i].part,
			       view->lines[i].row, NULL);
			fprintf(to, "%lu\n", view->lines[i].row->n[metrics[m].counter]);
		}
	}
	if (view->opt->buckets)
		print_buckets(view, to);
	for (size_t m = 0; m < sizeof(key_metrics) / sizeof(*key_metrics); m++) {
		if (!account_knows(all, key_metrics[m].key) ||
		    view->opt->pick.split > key_metrics[m].until)
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
	fputs("# EOF\n", to);
}
