// SPDX-License-Identifier: GPL-2.0-only
/* commands.c - the commands that print counters: so far, or over intervals. */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "fail.h"
#include "fields.h"
#include "source.h"

/* no_metrics() - refuse --openmetrics for a span of time: -1 with the reason in `failure`, or 0. */
int no_metrics(const struct options *opt)
{
	if (opt->format != FORMAT_METRICS)
		return 0;
	return fail("--openmetrics: not for a span of time: it prints the counters so far");
}

static int fail_reason(const struct options *opt)
{
	return fail("%s: no such exit %sso far (exitdump %s lists all)", opt->reasons,
		    opt->pick.keys ? "with keys " : opt->pick.slow ? "that was slow " : "",
		    opt->pick.keys ? "why" : opt->pick.slow ? "slow" : "-o name");
}

/* warn_absent() - warn if --reason matches nothing: the name may be mistyped. */
void warn_absent(const struct options *opt, const struct sample *sample)
{
	if (!opt->reasons || reason_there(opt->reasons, sample))
		return;
	fail_reason(opt);
	warnx("%s", failure);
}

/* check_hist() - bars need a histogram of each account: 0, or -1 with the reason in `failure`. */
int check_hist(const struct options *opt, const struct sample *sample)
{
	bool all = true;

	if (opt->format != FORMAT_HIST)
		return 0;
	for (size_t i = 0; i < sample->nparts; i++)
		all &= !!sample->parts[i].account.sum.hist;
	if (!all)
		return fail("no histogram (it is in exit_cycles_hist, beside exit_cycles)");
	return 0;
}

/* take_snapshot() - read the counters so far, and only those that the output needs. */
int take_snapshot(struct sample *sample, const struct options *opt)
{
	struct pick pick = opt->pick;

	pick.once = true;
	pick.sums = !opt->reasons && !options_by_reason(opt);
	return sample_first(sample, &pick);
}

static int snapshot(const struct options *opt)
{
	struct layout layout;
	struct sample sample;
	int ret = take_snapshot(&sample, opt);

	if (ret)
		return ret;
	layout_choose(&layout, opt, &sample, false);
	ret = check_hist(opt, &sample);
	if (!ret && opt->format == FORMAT_HIST && opt->reasons && !reason_there(opt->reasons, &sample))
		ret = fail_reason(opt);
	ret = ret ?: print_sample(opt, &layout, &sample, true);
	if (!ret)
		warn_absent(opt, &sample);
	sample_free(&sample);
	return ret;
}

/* later() - the moment `seconds` after `t`. */
struct timespec later(struct timespec t, double seconds)
{
	t.tv_sec += (time_t)seconds;
	t.tv_nsec += (seconds - (time_t)seconds) * 1e9;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

/* sleep_until() - sleep until `interval` seconds after *next, or after now if that has passed; set *next. */
void sleep_until(struct timespec *next, double interval)
{
	struct timespec now;

	*next = later(*next, interval);
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec > next->tv_sec ||
	    (now.tv_sec == next->tv_sec && now.tv_nsec > next->tv_nsec))
		*next = later(now, interval);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL);
}

/*
 * Print the differences from one sample to the next; count 0 means forever. A process
 * that was stopped for some intervals prints one long interval.
 */
static int watch(const struct options *opt, double interval, uint64_t count)
{
	struct sample before, after, between;
	struct layout layout;
	struct timespec next;
	int ret = sample_first(&before, &opt->pick);

	if (ret)
		return ret;
	warn_absent(opt, &before);
	layout_choose(&layout, opt, &before, true);
	ret = check_hist(opt, &before);
	next = before.clock;
	for (uint64_t i = 0; !ret && (!count || i < count); i++) {
		sleep_until(&next, interval);
		ret = sample_take(&after, &opt->pick);
		if (ret)
			break;
		sample_between(&between, &after, &before);
		ret = print_sample(opt, &layout, &between, !i);
		sample_free(&between);
		sample_free(&before);
		before = after;
	}
	sample_free(&before);
	return ret;
}

/* interval_seconds() - the interval that `arg` gives; a wrong one ends the program. */
double interval_seconds(const char *arg)
{
	char *end;
	double seconds = strtod(arg, &end);

	if (*end || !(seconds >= 0.01 && seconds <= 86400))
		die("%s: neither a command nor an interval of 0.01 to 86400 seconds (see --help)",
		    arg);
	return seconds;
}

/* cmd_show() - [INTERVAL [COUNT]] */
int cmd_show(struct options *opt, int argc, char **argv)
{
	double interval;
	uint64_t count = 0;

	if (!argc)
		return snapshot(opt);
	interval = interval_seconds(argv[0]);
	if (argc > 2)
		return fail("%s: one argument too many (see --help)", argv[2]);
	if (argc == 2 && (!field_u64(argv[1], &count) || !count))
		return fail("%s: not a number of intervals", argv[1]);
	if (no_metrics(opt))
		return -1;
	source_for_span(&opt->pick);
	return watch(opt, interval, count);
}

/* cmd_list() - [INTERVAL [COUNT]]; the VMs, by pid. */
int cmd_list(struct options *opt, int argc, char **argv)
{
	if (opt->pick.input || opt->pick.guest || opt->format == FORMAT_METRICS ||
	    opt->format == FORMAT_HIST)
		return fail("list: not with --input, --guest, --hist or --openmetrics");
	if (opt->pick.vcpu || opt->pick.split == SPLIT_VCPUS)
		return fail("list: shows whole VMs: not with --vcpu or --all-vcpus");
	opt->list = true;
	opt->pick.split = SPLIT_VMS;
	opt->pick.vcpu_lists = true;
	opt->pick.outside |= argc && !options_columns(opt);
	return cmd_show(opt, argc, argv);
}

/* Take the first argument of hist and why, a list of reasons. TOTAL means all reasons. */
static int take_reasons(struct options *opt, const char *command, int argc, char **argv)
{
	if (argc && !reasons_valid(argv[0]))
		return fail("%s: '%s': not a list of names, numbers and patterns", command, argv[0]);
	if (!argc || !strcasecmp(argv[0], "TOTAL"))
		return 0;
	if (opt->reasons)
		return fail("%s: takes reasons as its argument or by --reason, not both", command);
	opt->reasons = argv[0];
	return 0;
}

/* cmd_hist() - [REASON [INTERVAL [COUNT]]] */
int cmd_hist(struct options *opt, int argc, char **argv)
{
	if (take_reasons(opt, "hist", argc, argv))
		return -1;
	if (opt->format != FORMAT_TABLE && opt->format != FORMAT_JSON && opt->format != FORMAT_HIST)
		return fail("hist: prints bars or --json (for --openmetrics there is --buckets)");
	if (opt->format == FORMAT_TABLE)
		opt->format = FORMAT_HIST;
	options_check(opt);
	return cmd_show(opt, argc ? argc - 1 : 0, argv + 1);
}

/* cmd_why() - [REASON [INTERVAL [COUNT]]] */
int cmd_why(struct options *opt, int argc, char **argv)
{
	return take_reasons(opt, "why", argc, argv) ?:
		cmd_show(opt, argc ? argc - 1 : 0, argv + 1);
}
