// SPDX-License-Identifier: GPL-2.0-only
/* commands.c - all commands but the live view: samples in, lines out. */
#include <err.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "commands.h"
#include "fail.h"
#include "view.h"

extern char **environ;

/* One sample's output, complete when it returns; what to know on standard error. */
static int print_sample(const struct options *opt, struct sample *sample, bool first,
			void (*printer)(const struct view *view, FILE *to))
{
	struct view view;
	char notes[256];

	if (view_make(&view, sample, opt))
		return -1;
	switch (opt->format) {
	case FORMAT_TABLE:
		if (!first)
			putchar('\n');
		printer(&view, stdout);
		break;
	case FORMAT_JSON:
		print_json(&view, stdout);
		break;
	case FORMAT_METRICS:
		print_metrics(&view, stdout);
		break;
	default:
		print_text(&view, stdout, first);
	}
	if (fflush(stdout))
		exit(1);	/* which tells why */
	view_notes(&view, notes, sizeof(notes));
	if (*notes && opt->format != FORMAT_JSON)
		warnx("%s", notes);
	view_free(&view);
	return 0;
}

static int no_metrics(const struct options *opt)
{
	if (opt->format != FORMAT_METRICS)
		return 0;
	return fail("--openmetrics: counters as they stand, not for a span of time");
}

/* Of what is asked for by a name that may be mistyped. */
static void warn_absent(const struct options *opt, const struct sample *sample)
{
	if (opt->reasons && !reason_there(opt->reasons, sample))
		warnx("%s: no such exit so far", opt->reasons);
}

static int snapshot(const struct options *opt)
{
	struct sample sample;
	int ret = sample_first(&sample, &opt->pick);

	if (ret)
		return ret;
	ret = print_sample(opt, &sample, true, print_table);
	if (!ret)
		warn_absent(opt, &sample);
	sample_free(&sample);
	return ret;
}

static struct timespec later(struct timespec t, double seconds)
{
	t.tv_sec += (time_t)seconds;
	t.tv_nsec += (seconds - (time_t)seconds) * 1e9;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

/*
 * The differences from one sample to the next; count 0 is without end. What was
 * missed, as by a process that was stopped, is one long interval.
 */
static int watch(const struct options *opt, double interval, uint64_t count)
{
	struct sample before, after, between;
	struct timespec next, now;
	int ret = sample_first(&before, &opt->pick);

	if (ret)
		return ret;
	warn_absent(opt, &before);
	next = before.clock;
	for (uint64_t i = 0; !ret && (!count || i < count); i++) {
		next = later(next, interval);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > next.tv_sec ||
		    (now.tv_sec == next.tv_sec && now.tv_nsec > next.tv_nsec))
			next = later(now, interval);
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
		ret = sample_take(&after, &opt->pick);
		if (ret)
			break;
		sample_between(&between, &after, &before);
		ret = print_sample(opt, &between, !i, print_table);
		sample_free(&between);
		sample_free(&before);
		before = after;
	}
	sample_free(&before);
	return ret;
}

/* interval_seconds() - from an argument; ends the program where it is none. */
double interval_seconds(const char *arg)
{
	char *end;
	double seconds = strtod(arg, &end);

	if (*end || end == arg || !(seconds >= 0.01 && seconds <= 86400))
		errx(1, "%s: neither a command nor an interval of 0.01 to 86400 seconds (see --help)",
		     arg);
	return seconds;
}

/* cmd_show() - [INTERVAL [COUNT]] */
int cmd_show(struct options *opt, int argc, char **argv)
{
	double interval;
	char *end;
	unsigned long long count = 0;

	if (!argc)
		return snapshot(opt);
	interval = interval_seconds(argv[0]);
	if (argc > 2)
		return fail("%s: one argument too many (see --help)", argv[2]);
	if (argc == 2) {
		count = strtoull(argv[1], &end, 10);
		if (*end || *argv[1] < '0' || *argv[1] > '9' || !count)
			return fail("%s: not a number of intervals", argv[1]);
	}
	return no_metrics(opt) ?: watch(opt, interval, count);
}

/* cmd_list() - the VMs, by pid. */
int cmd_list(struct options *opt, int argc, char **argv)
{
	if (argc)
		return fail("%s: list takes options only", argv[0]);
	if (opt->pick.input || opt->pick.guest || opt->format == FORMAT_METRICS)
		return fail("list: not with --input, --guest or --openmetrics");
	if (opt->pick.vcpu || opt->pick.split == SPLIT_VCPUS)
		return fail("list: of VMs, with all their vCPUs: not with --vcpu or --all-vcpus");
	opt->list = true;
	opt->pick.split = SPLIT_VMS;
	opt->pick.vcpu_lists = true;
	return snapshot(opt);
}

/* cmd_hist() - [REASON] */
int cmd_hist(struct options *opt, int argc, char **argv)
{
	struct sample sample;
	int ret;

	if (argc > 1)
		return fail("%s: hist takes one reason (a list is one: CPUID,HLT)", argv[1]);
	if (argc && !reasons_valid(argv[0]))
		return fail("hist: '%s': not a list of names, numbers and patterns", argv[0]);
	if (argc)
		opt->reasons = argv[0];
	if (opt->pick.split != SPLIT_NONE)
		return fail("hist: of one account, so not with --all-vms or --all-vcpus");
	if (opt->format != FORMAT_TABLE && opt->format != FORMAT_JSON)
		return fail("hist: bars or --json (--openmetrics has --buckets)");
	opt->pick.hist = true;
	ret = sample_first(&sample, &opt->pick);
	if (ret)
		return ret;
	sample_merge(&sample, SPLIT_NONE);
	if (!sample.nparts || !sample.parts[0].account.has_hist)
		ret = fail("no histogram there (an exit_cycles_hist beside exit_cycles)");
	if (!ret && opt->reasons && !reason_there(opt->reasons, &sample))
		ret = fail("%s: no such exit so far", opt->reasons);
	if (!ret)
		ret = print_sample(opt, &sample, true, print_hist);
	sample_free(&sample);
	return ret;
}

static int take_capture(struct sample *sample, const struct pick *pick, const char *path)
{
	struct pick capture = *pick;
	struct stat st;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		capture.root = path;
	else if (pick->vm || pick->vcpu || pick->split != SPLIT_NONE)
		return fail("%s: one file holds one account: no choice of VMs", path);
	else
		capture.input = path;
	return sample_take(sample, &capture);
}

/* 0 where both are of one kind, as far as both tell; or the failure is told. */
static int comparable(char **paths, const struct account *a, const struct account *b)
{
	const struct { const char *a, *b; } words[] = {
		{ a->vendor, b->vendor }, { a->scope, b->scope },
	};
	uint64_t x = a->key[K_TSC_KHZ], y = b->key[K_TSC_KHZ];

	for (int i = 0; i < 2; i++) {
		if (*words[i].a && *words[i].b && strcmp(words[i].a, words[i].b))
			return fail("%s, %s: one is of %s, the other of %s", paths[0],
				    paths[1], words[i].a, words[i].b);
	}
	if (x && y && x != y)
		return fail("%s, %s: one is of a TSC of %lu kHz, the other of %lu kHz",
			    paths[0], paths[1], x, y);
	return 0;
}

/* cmd_diff() - A B */
int cmd_diff(struct options *opt, int argc, char **argv)
{
	struct sample a, b, between;
	int ret;

	if (argc != 2)
		return fail("diff: takes two captures, the earlier first");
	if (opt->pick.input || opt->pick.guest || *opt->pick.root)
		return fail("diff: not with --input, --guest or --sysroot");
	ret = no_metrics(opt) ?: take_capture(&a, &opt->pick, argv[0]);
	if (ret)
		return ret;
	ret = take_capture(&b, &opt->pick, argv[1]);
	if (ret) {
		sample_free(&a);
		return ret;
	}
	sample_between(&between, &b, &a);
	between.seconds = 0;	/* the files do not tell */
	if (!a.nparts && !b.nparts && opt->pick.vcpu)
		ret = fail("%s, %s: no vCPU %s in any VM", argv[0], argv[1], opt->pick.vcpu);
	if (a.nparts && b.nparts)
		ret = comparable(argv, &a.parts[0].account, &b.parts[0].account);
	for (size_t i = 0; !ret && i < between.nparts; i++) {
		if (between.parts[i].cleared)
			ret = fail("%s: counters lower than in %s (the earlier first? cleared in between?)",
				   argv[1], argv[0]);
	}
	if (!ret)
		ret = print_sample(opt, &between, true, print_table);
	if (!ret)
		warn_absent(opt, &b);
	sample_free(&between);
	sample_free(&b);
	sample_free(&a);
	return ret;
}

/* Its status as a shell tells it, or -1. Signals from the keyboard are for it alone. */
static int run_command(char **argv)
{
	posix_spawnattr_t attr;
	sigset_t set;
	pid_t pid;
	int error, status;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);	/* whoever started us may have it ignored */
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	error = posix_spawnp(&pid, argv[0], NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	if (error)
		return fail("%s: %s", argv[0], strerror(error));
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return fail("%s: %s", argv[0], strerror(errno));
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* cmd_run() - -- COMMAND; ends with its status. */
int cmd_run(struct options *opt, int argc, char **argv)
{
	struct sample before, after, between;
	int ret, status;

	if (!argc)
		return fail("run: takes a command");
	ret = no_metrics(opt) ?: sample_first(&before, &opt->pick);
	if (ret)
		return ret;
	status = run_command(argv);
	ret = status < 0 ? status : sample_take(&after, &opt->pick);
	if (ret) {
		sample_free(&before);
		return ret;
	}
	sample_between(&between, &after, &before);
	ret = print_sample(opt, &between, true, print_table);
	if (!ret)
		warn_absent(opt, &after);
	sample_free(&between);
	sample_free(&after);
	sample_free(&before);
	if (!ret)
		exit(status);
	return ret;
}
