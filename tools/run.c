// SPDX-License-Identifier: GPL-2.0-only
/* run.c - what happens while a command runs, and between two captures. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "commands.h"
#include "fail.h"

extern char **environ;

static volatile pid_t command;

/*
 * The command shall end, by a signal that somebody sent to exitdump. Those of the
 * keyboard the terminal has sent to both already.
 */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (command > 0 && info->si_code <= 0)
		kill(command, signal);
}

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

/* Its status as a shell tells it. */
static int wait_for(pid_t pid)
{
	int status;

	command = pid;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return 1;
	}
	command = 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* As a shell: 127 where there is no such command, 126 where it cannot be run. */
static int run_command(char **argv)
{
	struct sigaction action = { .sa_sigaction = pass_on, .sa_flags = SA_SIGINFO };
	struct sigaction before;
	posix_spawnattr_t attr;
	sigset_t set, old;
	pid_t pid;
	int error;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(*passed_on); i++)
		sigaddset(&set, passed_on[i]);
	/* One that comes before the command is there reaches it behind that. */
	sigprocmask(SIG_BLOCK, &set, &old);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(*passed_on); i++) {
		sigaction(passed_on[i], NULL, &before);
		if (before.sa_handler != SIG_IGN)
			sigaction(passed_on[i], &action, NULL);
	}
	signal(SIGCHLD, SIG_DFL);	/* whoever started us may have it ignored */
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &old);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	error = posix_spawnp(&pid, argv[0], NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	if (!error)
		command = pid;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (!error)
		return wait_for(pid);
	fail("%s: %s", argv[0], strerror(error));
	return -(error == ENOENT ? 127 : 126);
}

/* cmd_run() - -- COMMAND; ends with its status. */
int cmd_run(struct options *opt, int argc, char **argv)
{
	struct sample before, after, between;
	struct layout layout;
	int ret, status;

	if (!argc)
		return fail("run: takes a command");
	ret = no_metrics(opt) ?: sample_first(&before, &opt->pick);
	if (ret)
		return ret;
	layout_choose(&layout, opt, &before, true);
	output_open(opt);
	status = run_command(argv);
	ret = status < 0 ? status : sample_take(&after, &opt->pick);
	if (ret) {
		sample_free(&before);
		return ret;
	}
	sample_between(&between, &after, &before);
	ret = print_sample(opt, &layout, &between, true);
	if (!ret)
		warn_absent(opt, &after);
	sample_free(&between);
	sample_free(&after);
	sample_free(&before);
	if (!ret)
		exit(status);
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
	struct layout layout;
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
	layout_choose(&layout, opt, &between, false);
	if (!ret)
		ret = print_sample(opt, &layout, &between, true);
	if (!ret)
		warn_absent(opt, &b);
	sample_free(&between);
	sample_free(&b);
	sample_free(&a);
	return ret;
}
