// SPDX-License-Identifier: GPL-2.0-only
/* run.c - what happens while a command runs. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "commands.h"
#include "fail.h"
#include "source.h"

extern char **environ;

static volatile pid_t command;

/*
 * Pass a signal that somebody sent to exitdump on to the command. A signal from the
 * keyboard is not passed on: the terminal has sent it to both already.
 */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (command > 0 && info->si_code <= 0)
		kill(command, signal);
}

static const int passed_on[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

/* Wait for the command; its exit status as a shell would give it. */
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

/* The exit status; if it fails, as in a shell, -127 for an unknown command, -126 for others. */
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
	/* A signal that comes before the command has started is passed on afterwards. */
	sigprocmask(SIG_BLOCK, &set, &old);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(*passed_on); i++) {
		sigaction(passed_on[i], NULL, &before);
		if (before.sa_handler != SIG_IGN)
			sigaction(passed_on[i], &action, NULL);
	}
	signal(SIGCHLD, SIG_DFL);	/* the caller may have set it to be ignored */
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

/* cmd_run() - -- COMMAND; ends with the command's status. */
int cmd_run(struct options *opt, int argc, char **argv)
{
	struct sample before, after, between;
	struct layout layout;
	int ret, status;

	if (!argc)
		return fail("run: takes a command");
	if (no_metrics(opt))
		return -1;
	source_for_span(&opt->pick);
	ret = sample_first(&before, &opt->pick);
	if (ret)
		return ret;
	layout_choose(&layout, opt, &before, true);
	if (check_hist(opt, &before)) {
		sample_free(&before);
		return -1;
	}
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

