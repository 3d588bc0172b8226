// SPDX-License-Identifier: GPL-2.0-only
/*
 * failures.c - repeats an operation. In each pass another one of the kernel's allocations fails,
 * until a pass has no allocation left to fail.
 *
 *	failures vm			a VM whose guest makes 23 CPUID exits, whole, from the
 *					opening of /dev/kvm to the end
 *	failures read FILE		reads a file of the account. Then once more, with all
 *					allocations of pages failing from one on, because some
 *					code tries another way if only one fails
 *	failures write FILE TEXT [OLD]	writes TEXT; if that fails, the file must still have OLD
 *	failures load MODULE.ko LAST	loads the vendor's module; only its last LAST
 *					allocations fail, up to the first that ends the load
 *
 * An operation that fails must fail with ENOMEM, and leave nothing half-done. KVM_RUN is called
 * again after a failure. The guest's exits are counted exactly, also in the host's file.
 * Anything else is reported on standard error, and the exit status is 1. At the end it prints
 * lines of "NAME N": what happened how often.
 *
 * The kernel is one with fault injection, whose knobs are set (4111-allocations.t).
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KVM	"/sys/kernel/debug/kvm"
#define HOST	KVM "/exit_cycles"
#define CPUIDS	23
#define SPACE	"/sys/kernel/debug/fail_page_alloc/space"
#define MANY	1000000

static int knob, pages_fail;
static bool all_pages;
static bool bad;
static unsigned long passes, failed;

#define complain(...) (warnx(__VA_ARGS__), bad = true)

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), saved;
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	saved = errno;
	close(fd);
	errno = saved;
	return done;
}

/* The nth allocation from here on fails; 0: none. */
static void fail_nth(unsigned long n)
{
	char text[24];

	if (all_pages) {
		snprintf(text, sizeof(text), "%lu", n - 1);
		if (n && !write_file(SPACE, text))
			err(1, SPACE);
		if (pwrite(pages_fail, n ? "1" : "0", 1, 0) < 0)
			err(1, "make-it-fail");
		return;
	}
	snprintf(text, sizeof(text), "%lu", n);
	if (pwrite(knob, text, strlen(text), 0) < 0)
		err(1, "fail-nth");
}

/* How many more it would have taken for one to fail: 0 if that has happened. None fails now. */
static unsigned long left(void)
{
	char text[24] = "";
	int saved = errno;

	if (!all_pages && pread(knob, text, sizeof(text) - 1, 0) < 0)
		err(1, "fail-nth");
	fail_nth(0);
	errno = saved;
	return strtoul(text, NULL, 10);
}

/* What a pass came to: whether another one has to follow. */
static bool judge(const char *what, bool done, unsigned long nth)
{
	bool again = !left();

	if (all_pages)
		again = !done;
	if (!done) {
		failed++;
		if (errno != ENOMEM || !again)
			complain("%s: allocation %lu: %s", what, nth, strerror(errno));
	}
	passes++;
	return again;
}

/* All of a file; NULL, and errno, where it cannot be read. */
static const char *read_file(const char *path)
{
	static char text[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC), saved;
	size_t size = 0;
	ssize_t n;

	if (fd < 0)
		return NULL;
	while ((n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += n;
	saved = errno;
	close(fd);
	errno = saved;
	text[size] = '\0';
	return n < 0 ? NULL : text;
}

/* The CPUID exits of an account, and its vCPUs; false if it has no file. */
static bool count(const char *path, long *exits, long *vcpus)
{
	const char *text = read_file(path), *row;

	if (!text && errno != ENOENT)
		complain("%s: %s", path, strerror(errno));
	if (!text)
		return false;
	row = strstr(text, "\tvcpus=");
	if (!row || sscanf(row, "\tvcpus=%ld", vcpus) != 1)
		complain("%s: no account: %s", path, text);
	row = strstr(text, "\n114\t");
	*exits = 0;
	if (row)
		sscanf(row, "\n114\t%*s\t%ld", exits);
	return true;
}

static uint8_t memory[4096] __attribute__((aligned(4096))) = {
	0xbf, CPUIDS, 0,	/*	mov	$23, %di */
	0x0f, 0xa2,		/* 1:	cpuid */
	0x4f,			/*	dec	%di */
	0x75, 0xfb,		/*	jnz	1b */
	0xf4,			/*	hlt */
};

/* Up to its guest's end; false, and errno, if something failed before it began. */
static bool run_guest(int kvm, int vm, int vcpu, long *retried)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = 0x1000, .memory_size = sizeof(memory), .userspace_addr = (uintptr_t)memory,
	};
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2 };
	struct kvm_sregs sregs;
	struct kvm_run *run;
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) || ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return false;
	sregs.cs.base = sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		return false;
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return false;
	if (ioctl(vcpu, KVM_RUN, 0)) {
		/* no memory for a page of the guest's is EFAULT */
		if (errno != ENOMEM && errno != EFAULT)
			complain("KVM_RUN: %s", strerror(errno));
		fail_nth(0);
		++*retried;
		if (ioctl(vcpu, KVM_RUN, 0))
			complain("KVM_RUN once more: %s", strerror(errno));
	}
	if (run->exit_reason != KVM_EXIT_HLT)
		complain("KVM_RUN: exit reason %u", run->exit_reason);
	munmap(run, size);
	return true;
}

static void end(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void fail_vm(void)
{
	long retried = 0, without = 0, before = 0, after = 0, vcpus = 0, idle = 0, exits = 0;
	int kvm, vm, vcpu;
	bool ran, again;
	char path[64];

	if (!count(HOST, &before, &idle))
		errx(1, "no account");
	do {
		fail_nth(passes + 1);
		vm = vcpu = -1;
		ran = false;
		kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
		if (kvm >= 0)
			vm = ioctl(kvm, KVM_CREATE_VM, 0);
		if (vm >= 0)
			vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
		if (vcpu >= 0)
			ran = run_guest(kvm, vm, vcpu, &retried);
		again = judge("VM", ran, passes + 1);
		snprintf(path, sizeof(path), KVM "/%d-%d/exit_cycles", getpid(), vm);
		if (ran && !count(path, &exits, &vcpus))
			without++;
		else if (ran && (exits != CPUIDS || vcpus != 1))
			complain("allocation %lu: %ld CPUID exits of %ld vCPUs", passes, exits, vcpus);
		end(vcpu);
		end(vm);
		end(kvm);
		count(HOST, &after, &vcpus);
		if (after - before != (ran ? CPUIDS : 0) || vcpus != idle)
			complain("allocation %lu: then the host has %ld CPUID exits more, %ld vCPUs", passes, after - before, vcpus);
		before = after;
	} while (again);
	printf("retried %ld\nwithout-file %ld\n", retried, without);
}

static void fail_read(const char *path)
{
	unsigned long n = 0;
	const char *text;
	bool again;

	do {
		fail_nth(++n);
		text = read_file(path);
		again = judge(path, text, n);
		if (text && (strncmp(text, "# exit_cycles 1\t", 16) || text[strlen(text) - 1] != '\n'))
			complain("%s: allocation %lu: not whole", path, passes);
	} while (again);
}

static void fail_write(const char *path, const char *text, const char *old)
{
	const char *now;
	bool done, again;

	do {
		if (old && !write_file(path, old))
			err(1, "%s", path);
		fail_nth(passes + 1);
		done = write_file(path, text);
		again = judge(path, done, passes + 1);
		now = old ? read_file(path) : NULL;
		if (now && strncmp(now, done ? text : old, strlen(done ? text : old)))
			complain("%s: allocation %lu: %s", path, passes, now);
	} while (again);
}

/* The module's own init as well: fail-nth is the thread's, and that is this one. */
static bool load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), saved;
	bool done;

	if (fd < 0)
		return false;
	done = !syscall(SYS_finit_module, fd, "", 0);
	saved = errno;
	close(fd);
	errno = saved;
	return done;
}

static void fail_load(const char *path, unsigned long last)
{
	unsigned long n, all, without = 0;
	bool done, again;

	fail_nth(MANY);
	done = load(path);
	all = MANY - left();
	if (!done || syscall(SYS_delete_module, "kvm_amd", O_NONBLOCK))
		err(1, "%s", path);
	for (n = all - last, again = true; again; n++) {
		fail_nth(n);
		done = load(path);
		/* KVM that cannot be started leaves its folder, also without the series: no more then */
		again = judge(path, done, n) && done;
		if (done && access(HOST, R_OK))
			without++;
		if (done && syscall(SYS_delete_module, "kvm_amd", O_NONBLOCK))
			err(1, "delete_module");
		if (!access(HOST, F_OK))
			complain("%s: allocation %lu: left a file", path, n);
	}
	printf("allocations %lu\nwithout-file %lu\n", all, without);
}

int main(int argc, char **argv)
{
	knob = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (knob < 0)
		err(1, "fail-nth");
	pages_fail = open("/proc/thread-self/make-it-fail", O_RDWR | O_CLOEXEC);
	if (argc == 2 && !strcmp(argv[1], "vm"))
		fail_vm();
	else if (argc == 3 && !strcmp(argv[1], "read")) {
		fail_read(argv[2]);
		all_pages = true;
		fail_read(argv[2]);
	} else if ((argc == 4 || argc == 5) && !strcmp(argv[1], "write"))
		fail_write(argv[2], argv[3], argv[4]);
	else if (argc == 4 && !strcmp(argv[1], "load"))
		fail_load(argv[2], strtoul(argv[3], NULL, 10));
	else
		errx(2, "usage: failures vm | read FILE | write FILE TEXT [OLD] | load MODULE.ko LAST");
	printf("passes %lu\nfailed %lu\n", passes, failed);
	return bad;
}
