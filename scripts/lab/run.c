// SPDX-License-Identifier: GPL-2.0-only
/*
 * run.c - runs the lab's command and sends its output through the machine's parallel port,
 * byte by byte, at once.
 *
 *	lab-run COMMAND [ARGUMENT]...
 *
 * Both Bochs and QEMU write each byte of a parallel port to a file at once, and nothing
 * else. A serial port takes thousands of instructions a byte. At the end lab-run writes to
 * the kernel's console "lab: exit STATUS": the command's status, 128 + N if signal N ended
 * it, 127 if it was not found, 126 if it could not be run. If the command could not be
 * tried, it writes "lab: failed: WHY".
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DATA = 0x378, CONTROL = DATA + 2 };
enum { STROBE = 1, INIT = 4, SELECT = 8 };

static void say(const char *what, const char *why)
{
	FILE *console = fopen("/dev/kmsg", "w");

	if (!console || fprintf(console, "lab: %s %s\n", what, why) < 0 || fclose(console))
		err(1, "/dev/kmsg");
}

static void fail(const char *what)
{
	char why[256];

	snprintf(why, sizeof(why), "%s: %s", what, strerror(errno));
	say("failed:", why);
	exit(1);
}

static void emit(const unsigned char *bytes, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++) {
		outb(bytes[i], DATA);
		outb(SELECT | INIT | STROBE, CONTROL);
		outb(SELECT | INIT, CONTROL);
	}
}

/* Sends at most max bytes from the pipe. Returns false at the pipe's end. */
static int drain(int fd, size_t max)
{
	unsigned char bytes[4096];
	ssize_t n = read(fd, bytes, max < sizeof(bytes) ? max : sizeof(bytes));

	emit(bytes, n);
	return n > 0 ? n : n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void command(char **argv, int out)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		_exit(126);
	execvp(argv[0], argv);
	warn("%s", argv[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

int main(int argc, char **argv)
{
	int ends[2], child_ended, status, more = 1, left = 0;
	char code[16];
	sigset_t chld;
	pid_t pid;

	if (argc < 2)
		errx(1, "usage: lab-run COMMAND [ARGUMENT]...");
	if (ioperm(DATA, 3, 1))
		fail("ioperm");
	outb(SELECT | INIT, CONTROL);

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	child_ended = signalfd(-1, &chld, SFD_CLOEXEC);
	if (child_ended < 0 || pipe2(ends, O_CLOEXEC))
		fail("pipe");

	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid)
		command(argv + 1, ends[1]);
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);

	/* The command's end counts: a process that it left running may hold the pipe open. */
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = child_ended, .events = POLLIN },
			{ .fd = more ? ends[0] : -1, .events = POLLIN },
		};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			fail("poll");
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		if (fds[1].revents)
			more = drain(ends[0], SIZE_MAX);
		if (fds[0].revents) {
			struct signalfd_siginfo info;

			if (read(child_ended, &info, sizeof(info)) < 0)
				fail("signalfd");
		}
	}
	for (ioctl(ends[0], FIONREAD, &left); left > 0; left -= more)
		if ((more = drain(ends[0], left)) <= 0)
			break;
	snprintf(code, sizeof(code), "%d",
		 WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	say("exit", code);
	return 0;
}
