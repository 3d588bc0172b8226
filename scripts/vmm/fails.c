// SPDX-License-Identifier: GPL-2.0-only
/*
 * fails.c - creation of vCPUs that fails (--fail), by the kernel's fault injection,
 * at each allocation in turn.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "monitor.h"

/* How a creation fails: only at its nth allocation, or at all after so much. */
static const struct {
	const char *name, *knob, *space;
	int step;
} fails[] = {
	{ "once", "/proc/thread-self/fail-nth", NULL, 1 },
	{ "slab", "/proc/thread-self/make-it-fail", DEBUGFS "failslab/space", 512 },
	{ "pages", "/proc/thread-self/make-it-fail", DEBUGFS "fail_page_alloc/space", 1 },
};

static void prepare_fails(void)
{
	static const char *const knobs[][2] = {
		{ "ignore-gfp-wait", "N" }, { "task-filter", "Y" }, { "verbose", "0" },
		{ "interval", "1" }, { "times", "-1" }, { "probability", "100" },
	};
	static const char *const kinds[] = { "failslab", "fail_page_alloc" };
	char path[64];

	for (size_t i = 0; i < 2 * sizeof(knobs) / sizeof(knobs[0]); i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s", kinds[i & 1], knobs[i / 2][0]);
		write_file(path, knobs[i / 2][1]);
	}
	write_file(DEBUGFS "fail_page_alloc/min-order", "0");
	write_file(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N");
}

/*
 * A vCPU that was created, though debugfs may have failed to make its folder or any
 * file there: what is there has to work.
 */
static void check_files(const char *folder)
{
	static const char *const names[] = {
		"exit_cycles_reset", "exit_cycles", "exit_cycles_hist", "exit_cycles_keys", "exit_cycles_slow"
	};
	char path[128], text[32];
	int file;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		file = open(path, (i ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
		if (file < 0 && errno == ENOENT)
			continue;
		if (file < 0)
			err(EX_FAILED, "%s", path);
		if (i ? read(file, text, sizeof(text)) != sizeof(text) ||
		    strncmp(text, "# exit_cycles 1\t", 16) : write(file, "0", 1) != 1)
			errx(EX_FAILED, "%s: half-made", path);
		close(file);
	}
}

/*
 * KVM_CREATE_VCPU with every failure of a kind, until there is none left to
 * fail. What failed has to leave no folder, and what did not none that is
 * half-made; `id` is the next that is free.
 */
static void fail_kind(struct vm *vm, int kind, int *id)
{
	int knob = open(fails[kind].knob, O_RDWR | O_CLOEXEC);
	int n, fd, error, failed = 0, created = 0;
	char text[16], path[96];
	struct stat st;

	if (knob < 0)
		errx(EX_UNSUPPORTED, "%s: %s (a kernel with fault injection?)", fails[kind].knob, strerror(errno));
	for (n = !fails[kind].space; ; n++) {
		snprintf(text, sizeof(text), "%d", n * fails[kind].step);
		if (fails[kind].space) {
			write_file(DEBUGFS "failslab/space", "1000000000");
			write_file(DEBUGFS "fail_page_alloc/space", "1000000000");
			write_file(fails[kind].space, text);
			strcpy(text, "1");
		}
		if (pwrite(knob, text, strlen(text), 0) < 0)
			err(EX_FAILED, "%s", fails[kind].knob);
		fd = ioctl(vm->fd, KVM_CREATE_VCPU, *id);
		error = errno;
		memset(text, 0, sizeof(text));
		if (pread(knob, text, sizeof(text) - 1, 0) < 0 || pwrite(knob, "0", 1, 0) < 0)
			err(EX_FAILED, "%s", fails[kind].knob);

		snprintf(path, sizeof(path), DEBUGFS "kvm/%d-%d/vcpu%d", getpid(), vm->fd, *id);
		if (fd < 0) {
			if (error != ENOMEM)
				errx(EX_FAILED, "KVM_CREATE_VCPU, %s %d: %s", fails[kind].name, n, strerror(error));
			if (!stat(path, &st))
				errx(EX_FAILED, "%s: is there, though its vCPU is not", path);
			failed++;
			continue;
		}
		check_files(path);
		close(fd);
		++*id;
		created++;
		/* fail-nth counts down: above 0, there were fewer allocations */
		if (fails[kind].space ? created == 8 : atoi(text))
			break;
	}
	close(knob);
	printf("fail\t%d\t-\t%s\t%d\t%d\n", vm->number, fails[kind].name, failed, created);
}

void fail_creations(struct vm *vm)
{
	int id = MAX_VCPUS;

	prepare_fails();
	for (size_t kind = 0; kind < sizeof(fails) / sizeof(fails[0]); kind++)
		fail_kind(vm, kind, &id);
}
