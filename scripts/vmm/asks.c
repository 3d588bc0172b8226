// SPDX-License-Identifier: GPL-2.0-only
/*
 * asks.c - serves a guest that asks the monitor for something without an exit, such as a
 * reset of its VM. The guest writes the request into its memory and spins there; a thread
 * of the monitor polls that word.
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

/* This thread comes before all others. */
void come_first(void)
{
	struct sched_param first = { .sched_priority = 1 };

	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &first))
		errx(EX_FAILED, "SCHED_FIFO");
}

void keep_cpu(uint32_t ms)
{
	uint64_t begin = now_ns();

	while (now_ns() - begin < ms * 1000000ull)
		;
}

/* A thread above all others, so that what it does is one step to its CPU. */
static void answer(struct vcpu *v)
{
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
		keep_cpu(v->g->ask_b);
	}
	__atomic_store_n(&v->g->ask, 0, __ATOMIC_SEQ_CST);
}

void *answer_asks(void *arg)
{
	struct vm *vm = arg;

	come_first();
	while (__atomic_load_n(&vm->running, __ATOMIC_SEQ_CST)) {
		usleep(1000);
		for (int i = 0; i < opt.vcpus; i++)
			if (__atomic_load_n(&vm->vcpu[i].g->ask, __ATOMIC_SEQ_CST))
				answer(&vm->vcpu[i]);
	}
	return NULL;
}
