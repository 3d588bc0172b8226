// SPDX-License-Identifier: GPL-2.0-only
/*
 * ticks.c - measures in TSC ticks, which are instructions in an exact lab.
 *
 *	ticks run COMMAND [ARGUMENT]...	the ticks of a command, from start to end
 *	ticks read FILE			the fewest of 20 times open, read to
 *					the end and close
 *
 * One number on standard error (run) or standard output (read). Exit status: the
 * command's; 1 failed; 2 usage.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t rdtsc(void)
{
	return __builtin_ia32_rdtsc();
}

static int run(char **argv)
{
	uint64_t begin = rdtsc();
	pid_t pid = fork();
	int status;

	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		execvp(argv[0], argv);
		err(127, "%s", argv[0]);
	}
	if (waitpid(pid, &status, 0) < 0)
		err(1, "waitpid");
	fprintf(stderr, "%llu\n", (unsigned long long)(rdtsc() - begin));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static uint64_t read_once(const char *name)
{
	static char buffer[1 << 16];
	uint64_t begin = rdtsc();
	int fd = open(name, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		err(1, "%s", name);
	do {
		n = read(fd, buffer, sizeof(buffer));
	} while (n > 0);
	if (n < 0)
		err(1, "%s", name);
	close(fd);
	return rdtsc() - begin;
}

int main(int argc, char **argv)
{
	uint64_t ticks, least = UINT64_MAX;

	if (argc > 2 && !strcmp(argv[1], "run"))
		return run(argv + 2);
	if (argc != 3 || strcmp(argv[1], "read"))
		errx(2, "usage: ticks run COMMAND... | ticks read FILE");
	for (int i = 0; i < 20; i++) {
		ticks = read_once(argv[2]);
		if (ticks < least)
			least = ticks;
	}
	printf("%llu\n", (unsigned long long)least);
	return 0;
}
