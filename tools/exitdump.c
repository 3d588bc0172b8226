// SPDX-License-Identifier: GPL-2.0-only
/*
 * exitdump - shows where the time of a KVM host, a VM or a vCPU goes, by exit
 * reason: reads the accounts that the exit_cycles patches add to KVM.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "fail.h"
#include "files.h"
#include "view.h"

#define VERSION "0.1"

static const struct command {
	const char *name, *arguments, *help;
	int (*run)(struct options *opt, int argc, char **argv);
} commands[] = {
	{ "diff", "A B", "what happened between two captures: files or folders", cmd_diff },
	{ "hist", "[REASON]", "the histogram of a reason's totals, or of all", cmd_hist },
	{ "list", "", "the VMs and vCPUs there are", cmd_list },
	{ "run", "-- COMMAND...", "what happens while a command runs", cmd_run },
	{ "top", "[INTERVAL]", "a live view; ? shows its keys", cmd_top },
};

enum { N_COMMANDS = sizeof(commands) / sizeof(*commands) };

enum {
	OPT_ALL_VCPUS = 256, OPT_BUCKETS, OPT_CSV, OPT_JSON, OPT_OPENMETRICS,
	OPT_RAW, OPT_TSC_KHZ,
};

static const struct option long_options[] = {
	{ "all-vcpus", no_argument, NULL, OPT_ALL_VCPUS },
	{ "all-vms", no_argument, NULL, 'a' },
	{ "buckets", no_argument, NULL, OPT_BUCKETS },
	{ "csv", no_argument, NULL, OPT_CSV },
	{ "guest", no_argument, NULL, 'g' },
	{ "help", no_argument, NULL, 'h' },
	{ "input", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "limit", required_argument, NULL, 'n' },
	{ "openmetrics", no_argument, NULL, OPT_OPENMETRICS },
	{ "output", required_argument, NULL, 'o' },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "reason", required_argument, NULL, 'r' },
	{ "sort", required_argument, NULL, 's' },
	{ "sysroot", required_argument, NULL, 'S' },
	{ "tsc-khz", required_argument, NULL, OPT_TSC_KHZ },
	{ "unit", required_argument, NULL, 'u' },
	{ "vcpu", required_argument, NULL, 'c' },
	{ "version", no_argument, NULL, 'V' },
	{ "vm", required_argument, NULL, 'v' },
	{ }
};

static void usage(void)
{
	puts("Usage: exitdump [OPTION...] [INTERVAL [COUNT]]\n"
	     "       exitdump COMMAND [OPTION...] [ARGUMENT...]\n"
	     "Shows what a KVM host, VM or vCPU spends its time on, by exit reason.\n"
	     "With INTERVAL, in seconds, what happens from one to the next.\n\n"
	     "Commands:");
	for (int i = 0; i < N_COMMANDS; i++)
		printf("  %-4s %-14s %s\n", commands[i].name, commands[i].arguments,
		       commands[i].help);
	puts("\nOptions:\n"
	     "  -a, --all-vms         a line per VM\n"
	     "      --all-vcpus       a line per vCPU\n"
	     "      --buckets         with --openmetrics: the histograms too\n"
	     "  -c, --vcpu LIST       these vCPUs: 0,2-3\n"
	     "      --csv             comma-separated, with a heading\n"
	     "  -g, --guest           in a guest: its own account, through CPUID\n"
	     "  -h, --help            this text\n"
	     "  -i, --input FILE      a saved exit_cycles (FILE_hist beside it is read too)\n"
	     "      --json            one object a line\n"
	     "  -n, --limit N         the first N lines\n"
	     "      --openmetrics     for Prometheus\n"
	     "  -o, --output [+]LIST  these columns; with + behind the usual ones\n"
	     "  -r, --reason LIST     these reasons: names, numbers or patterns\n"
	     "      --raw             tab-separated, without a heading\n"
	     "  -s, --sort COLUMN     largest first\n"
	     "  -S, --sysroot DIR     a folder to see as /\n"
	     "      --tsc-khz KHZ     the TSC's frequency, in place of the file's\n"
	     "  -u, --unit UNIT       cycles, ns, us or auto; plain cycles are cut to 4 digits\n"
	     "  -v, --vm VM           this VM: PID, PID-FD, or guest name or pattern\n"
	     "  -V, --version         the version\n\n"
	     "Columns:");
	for (size_t i = 0; i < ncolumns; i++)
		printf("  %-8s  %s\n", columns[i].name, columns[i].help);
	puts("\nExamples:\n"
	     "  exitdump                          what costs this host most\n"
	     "  exitdump --vm web -u auto 1       the VM \"web\", every second, as times\n"
	     "  exitdump --all-vms -s user        VMs side by side, by what QEMU takes\n"
	     "  exitdump -r 'EPT_*' -o +p99,max   page faults and their tail\n"
	     "  exitdump run -- sleep 10          ten seconds of everything");
}

/* A number from 1 to max and nothing else; ends the program. */
static uint64_t number(const char *option, const char *arg, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || errno || !n || n > max)
		errx(1, "%s: %s: not a number from 1 to %lu", option, arg, max);
	return n;
}

static const struct column *column(const char *option, const char *name)
{
	const struct column *col = column_find(name);

	if (!col)
		errx(1, "%s: %s: no such column (exitdump --help lists them)",
		     option, name);
	return col;
}

static void parse_columns(struct options *opt, char *list)
{
	const char *name;

	opt->ncols = 0;
	opt->more_cols = *list == '+';
	list += opt->more_cols;
	while ((name = strsep(&list, ","))) {
		if (opt->ncols == MAX_CHOSEN)
			errx(1, "--output: more than %d columns", MAX_CHOSEN);
		opt->cols[opt->ncols++] = column("--output", name);
	}
}

static enum unit parse_unit(const char *name)
{
	static const char *const names[] = {
		[UNIT_SHORT] = "", [UNIT_CYCLES] = "cycles", [UNIT_NS] = "ns",
		[UNIT_US] = "us", [UNIT_AUTO] = "auto",
	};

	for (int i = UNIT_CYCLES; i <= UNIT_AUTO; i++) {
		if (!strcmp(name, names[i]))
			return i;
	}
	errx(1, "--unit: %s: not one of cycles, ns, us, auto", name);
}

static void set_format(struct options *opt, enum format format)
{
	if (opt->format != FORMAT_TABLE && opt->format != format)
		errx(1, "--csv, --json, --openmetrics, --raw: only one of them");
	opt->format = format;
}

static void parse_option(struct options *opt, int c, char *arg)
{
	struct pick *pick = &opt->pick;

	switch (c) {
	case 'a':
		pick->split = SPLIT_VMS;
		break;
	case 'c':
		if (!pick_vcpus_valid(arg))
			errx(1, "--vcpu: %s: not a list of numbers and ranges like 0,2-3", arg);
		pick->vcpu = arg;
		break;
	case 'g':
		pick->guest = true;
		break;
	case 'h':
		usage();
		exit(0);
	case 'i':
		pick->input = arg;
		break;
	case 'n':
		opt->limit = number("--limit", arg, SIZE_MAX);
		break;
	case 'o':
		parse_columns(opt, arg);
		break;
	case 'r':
		if (!reasons_valid(arg))
			errx(1, "--reason: '%s': not a list of names, numbers and patterns", arg);
		opt->reasons = arg;
		break;
	case 's':
		opt->sort = column("--sort", arg);
		break;
	case 'S':
		pick->root = arg;
		break;
	case 'u':
		opt->unit = parse_unit(arg);
		break;
	case 'v':
		if (!*arg)
			errx(1, "--vm: '': no PID, PID-FD, guest name or pattern");
		printable(arg);
		pick->vm = arg;
		break;
	case 'V':
		puts("exitdump " VERSION);
		exit(0);
	case OPT_ALL_VCPUS:
		pick->split = SPLIT_VCPUS;
		break;
	case OPT_BUCKETS:
		opt->buckets = true;
		break;
	case OPT_CSV:
		set_format(opt, FORMAT_CSV);
		break;
	case OPT_JSON:
		set_format(opt, FORMAT_JSON);
		break;
	case OPT_OPENMETRICS:
		set_format(opt, FORMAT_METRICS);
		break;
	case OPT_RAW:
		set_format(opt, FORMAT_RAW);
		break;
	case OPT_TSC_KHZ:
		opt->tsc_khz = number("--tsc-khz", arg, UINT32_MAX);
		break;
	}
}

/* What getopt did not take, which is '?' or a value that is missing ':'. */
static void refuse_option(int c, const char *word)
{
	char letter[] = { '-', optopt, '\0' };

	/* Within letters that share a word only getopt knows which. */
	if (word[0] == '-' && word[1] != '-' && optopt > 0 && optopt < 256)
		word = letter;
	errx(1, c == ':' ? "%s: its value is missing (exitdump --help shows them)" :
	     "%s: no such option (exitdump --help lists them)", word);
}

/* Up to the first word that is no option, or where they may mix all of them. */
static void parse_options(struct options *opt, int *argc, char ***argv, bool mix)
{
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(*argc, *argv, mix ? ":ac:ghi:n:o:r:s:S:u:v:V" :
				"+:ac:ghi:n:o:r:s:S:u:v:V", long_options, NULL)) != -1) {
		if (c == '?' || c == ':')
			refuse_option(c, (*argv)[optind - 1]);
		parse_option(opt, c, optarg);
	}
	*argc -= optind;
	*argv += optind;
}

static void check_options(struct options *opt)
{
	struct pick *pick = &opt->pick;
	bool vms = pick->vm || pick->vcpu || pick->split != SPLIT_NONE;

	if (!!pick->input + pick->guest + (vms || *pick->root) > 1)
		errx(1, "--input, --guest: neither goes with the other, nor with --sysroot, --vm, --vcpu, --all-vms, --all-vcpus");
	if (opt->unit == UNIT_AUTO && opt->format != FORMAT_TABLE)
		errx(1, "--unit auto: only for tables");
	if (opt->unit != UNIT_SHORT && opt->format == FORMAT_METRICS)
		errx(1, "--unit: --openmetrics is in cycles");
	if ((opt->limit || opt->sort) && opt->format == FORMAT_METRICS)
		errx(1, "--limit, --sort: not with --openmetrics, whose series shall stay the same (--reason and --output choose)");
	if (opt->buckets && opt->format != FORMAT_METRICS)
		errx(1, "--buckets: only with --openmetrics (others: exitdump hist)");
	pick->hist = opt->format == FORMAT_JSON || opt->buckets ||
		(opt->sort && opt->sort->flags & COLUMN_HIST);
	for (size_t i = 0; i < opt->ncols; i++) {
		if (opt->format == FORMAT_METRICS && !metrics_have(opt->cols[i]))
			errx(1, "--output: %s: not with --openmetrics, which has counters (exits, cycles, total, halt, user, max, guest, vcpus)",
			     opt->cols[i]->name);
		pick->hist |= opt->cols[i]->flags & COLUMN_HIST;
		pick->vcpu_lists |= opt->cols[i]->flags & COLUMN_VCPUS;
	}
	pick->vcpu_lists |= opt->format == FORMAT_JSON;
	if (opt->format == FORMAT_JSON && opt->ncols)
		errx(1, "--output: not with --json, which has all columns");
}

/* Output that did not arrive is an error; reported once. None is none. */
static void close_stdout(void)
{
	bool some = __fpending(stdout) > 0;

	if (ferror(stdout) || (fclose(stdout) && (some || errno != EBADF))) {
		warn("standard output");
		_exit(1);
	}
}

int main(int argc, char **argv)
{
	struct options opt = { .pick.root = "" };
	int (*run)(struct options *opt, int argc, char **argv) = cmd_show;

	atexit(close_stdout);
	parse_options(&opt, &argc, &argv, false);
	for (int i = 0; argc && i < N_COMMANDS; i++) {
		if (!strcmp(argv[0], commands[i].name))
			run = commands[i].run;
	}
	/* Behind the command or the interval options may stand as well. */
	if (argc) {
		if (run == cmd_show)
			argv--, argc++;
		parse_options(&opt, &argc, &argv, run != cmd_run);
	}
	check_options(&opt);
	if (run(&opt, argc, argv))
		errx(1, "%s", failure);
	return 0;
}
