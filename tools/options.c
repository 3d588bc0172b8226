// SPDX-License-Identifier: GPL-2.0-only
/* options.c - the command line. A wrong option ends the program with a message. */
#include <err.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "fail.h"
#include "fields.h"
#include "files.h"
#include "keys.h"
#include "symbols.h"
#include "view.h"

enum {
	OPT_ALL_VCPUS = 256, OPT_BPF, OPT_BUCKETS, OPT_CSV, OPT_EXPLAIN, OPT_FOLLOW, OPT_HIST, OPT_JSON, OPT_KEYS, OPT_NAMES,
	OPT_OPENMETRICS, OPT_OUTPUT, OPT_QMP, OPT_RAW, OPT_SYMBOLS, OPT_THAN, OPT_TSC_KHZ,
};

static const char letters[] = "+:ac:ghi:n:o:O:r:s:S:u:v:V";

static const struct option long_options[] = {
	{ "all-vcpus", no_argument, NULL, OPT_ALL_VCPUS },
	{ "all-vms", no_argument, NULL, 'a' },
	{ "bpf", no_argument, NULL, OPT_BPF },
	{ "buckets", no_argument, NULL, OPT_BUCKETS },
	{ "csv", no_argument, NULL, OPT_CSV },
	{ "explain", no_argument, NULL, OPT_EXPLAIN },
	{ "follow", no_argument, NULL, OPT_FOLLOW },
	{ "guest", no_argument, NULL, 'g' },
	{ "help", no_argument, NULL, 'h' },
	{ "hist", no_argument, NULL, OPT_HIST },
	{ "input", required_argument, NULL, 'i' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "keys", no_argument, NULL, OPT_KEYS },
	{ "limit", required_argument, NULL, 'n' },
	{ "names", required_argument, NULL, OPT_NAMES },
	{ "openmetrics", no_argument, NULL, OPT_OPENMETRICS },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "output-file", required_argument, NULL, 'O' },
	{ "qmp", required_argument, NULL, OPT_QMP },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "reason", required_argument, NULL, 'r' },
	{ "sort", required_argument, NULL, 's' },
	{ "symbols", required_argument, NULL, OPT_SYMBOLS },
	{ "sysroot", required_argument, NULL, 'S' },
	{ "than", required_argument, NULL, OPT_THAN },
	{ "tsc-khz", required_argument, NULL, OPT_TSC_KHZ },
	{ "unit", required_argument, NULL, 'u' },
	{ "vcpu", required_argument, NULL, 'c' },
	{ "version", no_argument, NULL, 'V' },
	{ "vm", required_argument, NULL, 'v' },
	{ }
};

/* A number from 1 to max and nothing else. */
static uint64_t number(const char *option, const char *arg, uint64_t max)
{
	uint64_t n;

	if (!field_u64(arg, &n) || !n || n > max)
		die("%s: %s: not a number from 1 to %lu", option, arg, max);
	return n;
}

static const struct column *column(const char *option, const char *name)
{
	const struct column *col = column_find(name);

	if (!col)
		die("%s: %s: no such column (exitdump --help lists them)", option, name);
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
			die("--output: more than %d columns", MAX_CHOSEN);
		opt->cols[opt->ncols++] = column("--output", name);
	}
}

/*
 * The output file of `run -o`, as in perf stat. Elsewhere -o chooses columns, so a
 * name that is a list of columns is refused: it may be a mistake.
 */
static const char *parse_file(const char *arg)
{
	char *list = need(strdup(arg)), *rest = list;
	const char *name;
	bool known = true;

	while (known && (name = strsep(&rest, ",")))
		known = column_find(name);
	free(list);
	if (known || *arg == '+')
		die("run: -o %s: here -o names the output file (for columns: --output %s; for a file of that name: -O)", arg, arg);
	return arg;
}

static void parse_sort(struct options *opt, char *list)
{
	const char *name;
	struct sort_key *sort;

	opt->nsorts = 0;
	while ((name = strsep(&list, ","))) {
		if (opt->nsorts == MAX_SORTS)
			die("--sort: more than %d columns", MAX_SORTS);
		sort = &opt->sorts[opt->nsorts++];
		sort->reversed = *name == '-';
		sort->col = column("--sort", name + sort->reversed);
	}
}

static enum unit parse_unit(const char *name)
{
	for (int i = UNIT_CYCLES; i <= UNIT_AUTO; i++) {
		if (!strcmp(name, unit_names[i]))
			return i;
	}
	die("--unit: %s: not one of cycles, ns, us, auto", name);
}

/* time_ns() - a number such as 5 or 1.5, and its unit; 0 if it is wrong. */
uint64_t time_ns(const char *arg)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };
	size_t len = strspn(arg, "0123456789"), behind;
	double n;

	if (len && arg[len] == '.') {
		behind = strspn(arg + len + 1, "0123456789");
		len = behind ? len + 1 + behind : 0;
	}
	for (int i = 0; len && i < 3; i++) {
		n = strtod(arg, NULL) * units[i].ns;
		if (!strcmp(arg + len, units[i].name) && n >= 1 && n < 1e18)
			return n + 0.5;
	}
	return 0;
}

static void set_format(struct options *opt, enum format format)
{
	if (opt->format != FORMAT_TABLE && opt->format != format)
		die("--csv, --hist, --json, --openmetrics, --raw: only one of them");
	opt->format = format;
}

/* The options that choose what to read. */
static void parse_pick(struct pick *pick, int c, char *arg)
{
	switch (c) {
	case 'a':
		pick->split = SPLIT_VMS;
		break;
	case OPT_ALL_VCPUS:
		pick->split = SPLIT_VCPUS;
		break;
	case OPT_BPF:
		pick->bpf = true;
		break;
	case 'c':
		if (!pick_vcpus_valid(arg))
			die("--vcpu: %s: not a list of numbers and ranges like 0,2-3", arg);
		pick->vcpu = arg;
		break;
	case 'g':
		pick->guest = true;
		break;
	case 'i':
		pick->input = arg;
		break;
	case OPT_KEYS:
		pick->keys = true;
		break;
	case 'S':
		pick->root = arg;
		break;
	case 'v':
		printable(arg);
		pick->vm = arg;
		break;
	}
}

static void parse_option(struct options *opt, int c, char *arg, enum stage stage)
{
	switch (c) {
	case 'h':
		usage();
		exit(0);
	case 'n':
		opt->limit = number("--limit", arg, SIZE_MAX);
		break;
	case 'o':
		if (stage == STAGE_RUN)
			opt->file = parse_file(arg);
		else
			parse_columns(opt, arg);
		break;
	case 'O':
		opt->file = arg;
		break;
	case 'r':
		if (!reasons_valid(arg))
			die("--reason: '%s': not a list of names, numbers and patterns", arg);
		opt->reasons = arg;
		break;
	case 's':
		parse_sort(opt, arg);
		break;
	case 'u':
		opt->unit = parse_unit(arg);
		break;
	case 'V':
		version();
		exit(0);
	case OPT_BUCKETS:
		opt->buckets = true;
		break;
	case OPT_CSV:
		set_format(opt, FORMAT_CSV);
		break;
	case OPT_EXPLAIN:
		opt->explain = true;
		break;
	case OPT_FOLLOW:
		opt->follow = true;
		break;
	case OPT_HIST:
		set_format(opt, FORMAT_HIST);
		break;
	case OPT_JSON:
		set_format(opt, FORMAT_JSON);
		break;
	case OPT_NAMES:
		if (key_names_read(arg))
			errx(1, "%s", failure);
		break;
	case OPT_OPENMETRICS:
		set_format(opt, FORMAT_METRICS);
		break;
	case OPT_OUTPUT:
		parse_columns(opt, arg);
		break;
	case OPT_QMP:
		opt->qmp = arg;
		break;
	case OPT_RAW:
		set_format(opt, FORMAT_RAW);
		break;
	case OPT_SYMBOLS:
		if (symbols_read(arg))
			errx(1, "%s", failure);
		opt->symbols = true;
		break;
	case OPT_THAN:
		opt->than = time_ns(arg);
		if (!opt->than)
			die("--than: %s: not a time such as 500us, 5ms or 1.5s", arg);
		break;
	case OPT_TSC_KHZ:
		opt->tsc_khz = number("--tsc-khz", arg, UINT32_MAX);
		break;
	default:
		parse_pick(&opt->pick, c, arg);
	}
}

/* Report an option that getopt refused: `c` is ':' for a missing value, else '?'. */
static void refuse_option(int c, const char *word)
{
	char letter[] = { '-', optopt > 0 ? optopt : '?', '\0' };

	for (const struct option *o = long_options; c == '?' && o->name; o++) {
		if (o->val == optopt)
			die("--%s: takes no value", o->name);
	}
	/* In a word of several letters (-ab) only getopt knows which letter it was. */
	if (optopt && (c == '?' || word[1] != '-'))
		word = letter;
	die(c == ':' ? "%s: its value is missing (exitdump --help shows them)" :
	    "%s: no such option (exitdump --help lists them)", word);
}

/* options_parse() - take the options up to the first argument, or all of them behind a command. */
void options_parse(struct options *opt, int *argc, char ***argv, enum stage stage)
{
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(*argc, *argv, letters + (stage == STAGE_COMMAND), long_options, NULL)) != -1) {
		if (c == '?' || c == ':')
			refuse_option(c, (*argv)[optind - 1]);
		/* Mostly a variable of the shell that is not set. */
		if (optarg && !*optarg)
			die("%s: its value is empty", (*argv)[optind - 1][0] ? (*argv)[optind - 1] : (*argv)[optind - 2]);
		parse_option(opt, c, optarg, stage);
	}
	*argc -= optind;
	*argv += optind;
}

/* Prometheus keeps every series that it has ever seen, so the keys must be few. */
static void check_keys(const struct options *opt)
{
	if (opt->pick.guest || opt->format == FORMAT_HIST || opt->buckets)
		die("--keys, why: not with --guest, --hist or --buckets: only the host has keys, and they have no histograms");
	if (opt->format == FORMAT_METRICS && (!opt->limit || opt->ncols))
		die("--keys, why: --openmetrics needs --limit, and takes no --output");
}

static void check_slow(const struct options *opt)
{
	const struct pick *pick = &opt->pick;

	if (!pick->slow && (opt->follow || opt->symbols || opt->than))
		die("--follow, --symbols, --than: only with slow");
	if (pick->slow && (pick->keys || pick->guest || pick->split != SPLIT_NONE || opt->buckets ||
			   opt->format == FORMAT_HIST || opt->format == FORMAT_METRICS))
		die("slow: not with --keys, --guest, --all-vms, --all-vcpus, --buckets, --hist or --openmetrics");
	if (opt->follow && (pick->input || opt->limit || opt->nsorts))
		die("slow: --follow prints exits as they happen: not with --input, --limit or --sort");
}

static void check_format(const struct options *opt)
{
	if (opt->unit == UNIT_AUTO && !options_people(opt))
		die("--unit auto: only for tables");
	if (opt->unit != UNIT_DEFAULT && opt->format == FORMAT_METRICS)
		die("--unit: not with --openmetrics, which is in cycles");
	if ((opt->limit || opt->nsorts) && opt->format == FORMAT_METRICS && !opt->pick.keys)
		die("--limit, --sort: not with --openmetrics, where each scrape must have the same series (choose by --reason, --output)");
	if (opt->buckets && opt->format != FORMAT_METRICS)
		die("--buckets: only with --openmetrics (for other formats: exitdump hist)");
	for (size_t i = 0; i < opt->ncols; i++) {
		if (opt->cols[i]->flags & COLUMN_KEY && !opt->pick.keys && !opt->pick.slow)
			die("--output: %s: only with why, slow or --keys", opt->cols[i]->name);
		if (opt->cols[i]->flags & COLUMN_SLOW && !opt->pick.slow)
			die("--output: %s: only with slow", opt->cols[i]->name);
		if (opt->format == FORMAT_METRICS && !metrics_have(opt->cols[i]))
			die("--output: %s: not with --openmetrics, which has counters (exits, cycles, lost, halt, poll, user, sched, hsched, stop, slow, max, guest, vcpus)",
			    opt->cols[i]->name);
	}
	if (opt->format == FORMAT_JSON && opt->ncols)
		die("--output: not with --json, which has all columns");
	if (opt->format == FORMAT_HIST && (opt->ncols || opt->pick.split != SPLIT_NONE))
		die("hist: shows one account, without columns: not with --output, --all-vms or --all-vcpus");
}

/* options_check() - refuse options that exclude each other; set in opt->pick what must be read. */
void options_check(struct options *opt)
{
	struct pick *pick = &opt->pick;
	bool vms = pick->vm || pick->vcpu || pick->split != SPLIT_NONE;

	if (!!pick->input + pick->guest + (vms || *pick->root) > 1)
		die("--input, --guest: only one of them, and not with --sysroot, --vm, --vcpu, --all-vms or --all-vcpus");
	if (pick->bpf && (pick->input || pick->guest || *pick->root))
		die("--bpf: counts on this host: not with --input, --guest or --sysroot");
	if (opt->explain && !pick->bpf)
		die("--explain: only with --bpf: it tells what BPF cannot measure on this kernel");
	if (opt->explain && (opt->file || opt->format != FORMAT_TABLE))
		die("--explain: prints text on standard output: not with --output-file or a format");
	check_slow(opt);
	check_format(opt);
	if (pick->keys)
		check_keys(opt);
	if (opt->qmp && ((!pick->keys && !pick->slow) || pick->input))
		die("--qmp: only with why, slow or --keys, and not with --input: it asks a VM that runs");
	pick->hist |= opt->format == FORMAT_JSON || opt->format == FORMAT_HIST || opt->buckets;
	pick->vcpu_lists |= opt->format == FORMAT_JSON;
	for (size_t i = 0; i < opt->nsorts; i++)
		pick_column(pick, opt->sorts[i].col);
	for (size_t i = 0; i < opt->ncols; i++)
		pick_column(pick, opt->cols[i]);
}
