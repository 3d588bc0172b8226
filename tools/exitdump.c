// SPDX-License-Identifier: GPL-2.0-only
/*
 * exitdump - shows where the time of a KVM host, a VM or a vCPU goes, by exit
 * reason. It reads the accounts that the exit_cycles patches add to KVM.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "fail.h"
#include "owners.h"
#include "source.h"

#define VERSION "0.3"

static const struct command {
	const char *name, *arguments, *help;
	int (*run)(struct options *opt, int argc, char **argv);
} commands[] = {
	{ "compare", "A B [INTERVAL]", "two VMs, vCPUs or captures side by side", cmd_compare },
	{ "diff", "A B", "what happened between two captures", cmd_diff },
	{ "hist", "[REASON [INTERVAL]]", "one reason's totals, or all, as a histogram", cmd_hist },
	{ "list", "[INTERVAL [COUNT]]", "the VMs, and what they do", cmd_list },
	{ "off", "", "stop KVM's counting", cmd_off },
	{ "on", "", "start KVM's counting", cmd_on },
	{ "reset", "", "clear the counters of the host, --vm or --vcpu", cmd_reset },
	{ "run", "-- COMMAND...", "what happens while a command runs", cmd_run },
	{ "serve", "[[ADDRESS:]PORT]", "metrics for Prometheus over HTTP", cmd_serve },
	{ "set", "[NAME VALUE]", "guest, keys, slow: what KVM shows and keeps", cmd_set },
	{ "slow", "[INTERVAL]", "the last slow exits: when, where, why", cmd_slow },
	{ "top", "[INTERVAL]", "a live view; ? shows its keys", cmd_top },
	{ "why", "[REASON [INTERVAL]]", "the keys inside reasons: which MSR, port, ...", cmd_why },
};

enum { N_COMMANDS = sizeof(commands) / sizeof(*commands) };

/* usage() - --help. */
void usage(void)
{
	puts("Usage: exitdump [OPTION...] [INTERVAL [COUNT]]\n"
	     "       exitdump COMMAND [OPTION...] [ARGUMENT...]\n"
	     "Shows what a KVM host, VM or vCPU spends its time on, by exit reason.\n"
	     "With INTERVAL, in seconds, it shows what happened in each interval.\n\n"
	     "Commands:");
	for (int i = 0; i < N_COMMANDS; i++)
		printf("  %-7s %-19s %s\n", commands[i].name, commands[i].arguments,
		       commands[i].help);
	puts("\nOptions:\n"
	     "  -a, --all-vms           a line per VM\n"
	     "      --all-vcpus         a line per vCPU\n"
	     "      --bpf               count by BPF, on a kernel without the patches\n"
	     "      --buckets           with --openmetrics: the histograms too\n"
	     "  -c, --vcpu LIST         these vCPUs: 0,2-3\n"
	     "      --csv               comma-separated, with a heading\n"
	     "      --explain           with --bpf: what BPF cannot tell here, and why\n"
	     "      --follow            with slow: print new slow exits each second\n"
	     "  -g, --guest             in a guest: read its own account by CPUID\n"
	     "  -h, --help              this text\n"
	     "      --hist              histograms instead of a table\n"
	     "  -i, --input FILE        a saved exit_cycles; - is standard input\n"
	     "      --json              one object a line\n"
	     "      --keys              a line per key inside a reason, as why does\n"
	     "  -n, --limit N           the first N lines\n"
	     "      --names FILE        names for keys, before the built-in ones\n"
	     "      --openmetrics       for Prometheus\n"
	     "  -o, --output [+]LIST    these columns; + adds them to the usual ones\n"
	     "  -O, --output-file FILE  write the output to FILE (with run, -o does too)\n"
	     "      --qmp SOCKET        with why, slow: ask QEMU who owns ports and pages\n"
	     "  -r, --reason LIST       these reasons: names, numbers or patterns\n"
	     "      --raw               tab-separated, without a heading\n"
	     "  -s, --sort LIST         by these columns, largest first; -COLUMN: smallest\n"
	     "      --symbols FILE      with slow: the guest's System.map or kallsyms\n"
	     "  -S, --sysroot DIR       use this folder in place of /\n"
	     "      --than TIME         with slow: only those that lost more: 500us, 5ms, 1s\n"
	     "      --tsc-khz KHZ       the TSC's frequency, instead of the file's\n"
	     "  -u, --unit UNIT         cycles, ns, us or auto\n"
	     "  -v, --vm VM             this VM: PID, PID-FD, or guest name or pattern\n"
	     "  -V, --version           the version\n\n"
	     "Columns:");
	for (size_t i = 0; i < ncolumns; i++)
		printf("  %-8s  %s%s%s\n", columns[i].name, columns[i].help,
		       columns[i].title ? ": in tables " : "", columns[i].title ?: "");
	puts("\nExamples:\n"
	     "  exitdump                          what costs this host most?\n"
	     "  exitdump --vm web 1               what does the VM \"web\" do, each second?\n"
	     "  exitdump --all-vms -s user        which VM does QEMU hold up most?\n"
	     "  exitdump -r 'EPT_*' -o +p99,max   how long do page faults take at worst?\n"
	     "  exitdump why --qmp /run/web.qmp   whose ports and pages does \"web\" use?\n"
	     "  exitdump slow --than 10ms         when did a VM freeze, where and why?\n"
	     "  exitdump run -- sleep 10          what happens in ten seconds?");
}

/* version() - --version. */
void version(void)
{
	puts("exitdump " VERSION);
}

/* Losing the help text is an error. A closed standard output is none if nothing was printed. */
static void close_stdout(void)
{
	bool some = __fpending(stdout) > 0;

	if (ferror(stdout) || (fclose(stdout) && (some || errno != EBADF))) {
		warn("standard output");
		_exit(1);
	}
}

/* A closed standard stream stays one that cannot be written to, but no other file gets its number. */
static void hold_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

int main(int argc, char **argv)
{
	struct options opt = { .pick.root = "" };
	int (*run)(struct options *opt, int argc, char **argv) = cmd_show;
	int ret;

	hold_streams();
	atexit(close_stdout);
	options_parse(&opt, &argc, &argv, STAGE_FRONT);
	for (int i = 0; argc && i < N_COMMANDS; i++) {
		if (!strcmp(argv[0], commands[i].name))
			run = commands[i].run;
	}
	/* Options may also stand behind the command or the interval. */
	if (argc) {
		if (run == cmd_show)
			argv--, argc++;
		options_parse(&opt, &argc, &argv, run == cmd_run ? STAGE_RUN : STAGE_COMMAND);
	}
	opt.pick.keys |= run == cmd_why;
	opt.pick.slow = run == cmd_slow;
	if (run == cmd_serve && opt.format == FORMAT_TABLE)
		opt.format = FORMAT_METRICS;
	if (opt.pick.keys && !opt.pick.slow && run != cmd_show && run != cmd_why && run != cmd_diff && run != cmd_run &&
	    run != cmd_serve)
		errx(1, "--keys: only with why, diff, run, serve or no command");
	if (opt.qmp && run == cmd_diff)
		errx(1, "--qmp: not with diff: it asks a VM that runs");
	options_check(&opt);
	ret = opt.qmp ? owners_ask(&opt.pick, opt.qmp) : 0;
	ret = ret ?: opt.explain ? bpf_explain() : run(&opt, argc, argv);
	if (ret)
		errx(ret < -1 ? -ret : 1, "%s", failure);
	return 0;
}
