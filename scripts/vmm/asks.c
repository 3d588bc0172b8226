// SPDX-License-Identifier: GPL-2.0-only
/*
 * asks.c - what a guest asks for that must not exit: it spins on a word of its
 * memory, and a thread of the monitor looks at that.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "monitor.h"

#define SWITCH		"/sys/module/kvm/parameters/exit_cycles"

void write_file(const char *path, const char *value)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);

	if (file < 0 && errno == ENOENT)
		errx(EX_UNSUPPORTED, "%s: no such file (a kernel with fault injection?)", path);
	if (file < 0 || write(file, value, strlen(value)) < 0)
		err(EX_FAILED, "%s: %s", path, value);
	close(file);
}

/* How long the handler of ASK_SIGNAL takes. */
static volatile sig_atomic_t signal_us;

void on_usr1(int signal)
{
	(void)signal;
	usleep(signal_us);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* A thread above all others, so that what it does is one step to its CPU. */
static void answer(struct vcpu *v)
{
	uint64_t begin = now_ns();
	char path[64];

	pin(pthread_self(), v->g->ask == ASK_HOG ? v->index : v->index + 1);
	switch (v->g->ask) {
	case ASK_RESET:
		snprintf(path, sizeof(path), DEBUGFS "kvm/%d-%d/exit_cycles_reset", getpid(), v->vm->fd);
		write_file(path, "0");
		usleep(v->g->ask_b);
		break;
	case ASK_SWITCH:
		write_file(SWITCH, "N");
		usleep(v->g->ask_b);
		write_file(SWITCH, "Y");
		break;
	case ASK_SIGNAL:
		signal_us = v->g->ask_b * 1000;
		pthread_kill(v->thread, SIGUSR1);
		usleep(signal_us);
		break;
	case ASK_HOG:
		while (now_ns() - begin < v->g->ask_b * 1000000ull)
			;
	}
	__atomic_store_n(&v->g->ask, 0, __ATOMIC_SEQ_CST);
}

void *answer_asks(void *arg)
{
	struct sched_param first = { .sched_priority = 1 };
	struct vm *vm = arg;

	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &first))
		errx(EX_FAILED, "SCHED_FIFO");
	while (__atomic_load_n(&vm->running, __ATOMIC_SEQ_CST)) {
		usleep(1000);
		for (int i = 0; i < opt.vcpus; i++)
			if (__atomic_load_n(&vm->vcpu[i].g->ask, __ATOMIC_SEQ_CST))
				answer(&vm->vcpu[i]);
	}
	return NULL;
}
