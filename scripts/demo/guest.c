// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest.c - the demo's part in the guest: runs the ordinary cpuid program, which reads one
 * leaf at a time, and makes QEMU stop the VM right before and right after each read.
 *
 *	READS=LEAF[:REASON],... guest-reads
 *
 * Two things happen between the CPUID instruction that reads the leaf and the stop: the
 * cpuid program prints, and an OUT instruction runs. To let nothing else happen there, this
 * program waits for cpuid's output on the same CPU with a higher priority: the first byte
 * of output wakes it. It repeats all reads until QEMU is ended.
 *
 * A write to the port of QEMU's pvpanic device stops the VM (-action panic=pause). The port
 * of QEMU's debug console takes one line a read: leaf, reason, printed text. The ports are
 * written through /dev/port, because a guest's program cannot use a port itself when the
 * host is emulated by QEMU's TCG (a busy TSS fails TCG's check of the I/O bitmap).
 *
 * The other vCPUs are taken offline first: QEMU needs a moment to stop them, and they would
 * cause exits in that moment.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PVPANIC = 0x505, DEBUGCON = 0xe9 };
enum { MAX_READS = 64 };
enum { SETTLE = 100 * 1000 };	/* us: timers that ran out while we stood still */

struct read {
	char *leaf, *reason;
};

static int ports;

static void out(unsigned char byte, int port)
{
	if (pwrite(ports, &byte, 1, port) != 1)
		err(1, "/dev/port: %#x", port);
}

static void stop(void)
{
	out(1, PVPANIC);
}

static void say(const char *text)
{
	while (*text)
		out(*text++, DEBUGCON);
}

/* Stores cpuid's output, at most size - 1 bytes. The first write of cpuid ends the wait. */
static void print_leaf(const struct read *read_, char *text, size_t size)
{
	char *argv[] = { "cpuid", "-1", "-l", read_->leaf, "-s", read_->reason, NULL };
	int ends[2];
	ssize_t n;

	if (!*read_->reason)
		argv[4] = NULL;
	if (pipe(ends))
		err(1, "pipe");
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execvp(argv[0], argv);
		err(127, "%s", argv[0]);
	}
	n = read(ends[0], text, size - 1);
	stop();

	text[n < 0 ? 0 : n] = '\0';
	close(ends[0]);
	close(ends[1]);
	wait(NULL);
}

/* Takes all other vCPUs offline: nothing may run on them while QEMU stops the VM. */
static void sleep_others(void)
{
	char path[64];
	long cpu, n = sysconf(_SC_NPROCESSORS_CONF);

	for (cpu = 1; cpu < n; cpu++) {
		FILE *online;

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%ld/online", cpu);
		online = fopen(path, "w");
		if (!online || fputs("0", online) < 0 || fclose(online))
			err(1, "%s", path);
	}
}

static int parse(char *list, struct read *reads)
{
	char *item;
	int n = 0;

	while ((item = strsep(&list, ",")) && n < MAX_READS) {
		reads[n].leaf = strsep(&item, ":");
		reads[n++].reason = item ? item : "";
	}
	return n;
}

int main(void)
{
	struct sched_param priority = { .sched_priority = 1 };
	struct read reads[MAX_READS];
	char *list = getenv("READS");
	char text[1024], line[2048];
	cpu_set_t first;
	int i, n;

	if (!list)
		errx(1, "READS is not set");
	n = parse(list, reads);

	sleep_others();
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first) ||
	    sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority))
		err(1, "sched_setscheduler");
	ports = open("/dev/port", O_WRONLY | O_CLOEXEC);
	if (ports < 0)
		err(1, "/dev/port");

	for (i = 0;; i = (i + 1) % n) {
		char *answer;

		stop();
		usleep(SETTLE);
		print_leaf(&reads[i], text, sizeof(text));

		/* "CPU:\n   0x4ffffffe 0x00: eax=... edx=...\n" */
		answer = strstr(text, "0x");
		if (!answer)
			answer = text;
		answer[strcspn(answer, "\n")] = '\0';
		snprintf(line, sizeof(line), "%s\t%s\t%s\n", reads[i].leaf,
			 *reads[i].reason ? reads[i].reason : "-", answer);
		say(line);
	}
}
