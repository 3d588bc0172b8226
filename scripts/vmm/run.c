// SPDX-License-Identifier: GPL-2.0-only
/*
 * run.c - the threads of vCPUs: they call KVM_RUN in a loop, and serve the exits to user
 * space by which a guest asks for something.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "monitor.h"

static cpu_set_t allowed;

/* Those that this program may have, now. */
void find_cpus(void)
{
	sched_getaffinity(0, sizeof(allowed), &allowed);
}

/* Put a thread on the n-th CPU there is, and round again. */
void pin(pthread_t thread, int n)
{
	cpu_set_t one;
	int cpu = 0;

	for (n %= CPU_COUNT(&allowed); !CPU_ISSET(cpu, &allowed) || n-- > 0; cpu++)
		;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_setaffinity_np(thread, sizeof(one), &one);
}

/*
 * COMMAND sees the folders of the VMs there are in VMM_DIRS, and how often it
 * was called by this vCPU in VMM_AT.
 */
void shell(const char *command, uint64_t at)
{
	char *text;
	int status;

	if (!command)
		return;
	if (asprintf(&text, "VMM_AT=%" PRIu64 "; %s", at, command) < 0)
		err(EX_FAILED, "asprintf");
	fflush(stdout);
	status = system(text);
	if (status)
		errx(EX_FAILED, "%s: failed (wait status %#x)", command, status);
	free(text);
}

/* Write "FD TEXT", with the vCPU's own FD, to the file of the module set_account. */
static void set_account(const struct vcpu *v, uint32_t n)
{
	int file = open(DEBUGFS "set_account", O_WRONLY | O_CLOEXEC);

	if (n >= (uint32_t)opt.sets)
		errx(EX_FAILED, "set: there is no --set %u", n);
	if (file < 0 || dprintf(file, "%d %s", v->fd, opt.set[n]) < 0)
		err(EX_FAILED, DEBUGFS "set_account: %s (is the module loaded?)", opt.set[n]);
	close(file);
}

static void set_state(struct vcpu *v, uint32_t state)
{
	struct kvm_mp_state mp_state = { .mp_state = state };

	CALL(v->fd, KVM_SET_MP_STATE, &mp_state);
	v->waits = state != KVM_MP_STATE_RUNNABLE;
}

static void start_thread(pthread_t *thread, void *(*function)(void *), void *arg)
{
	int error = pthread_create(thread, NULL, function, arg);

	if (error)
		errx(EX_FAILED, "pthread_create: %s", strerror(error));
}

/* The next KVM_RUN is to wait; a signal ends it after so long. */
static void wait_in_kvm(struct vcpu *v, uint32_t state, uint32_t ms)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM };
	struct itimerspec after = { .it_value.tv_nsec = ms * 1000000l };
	timer_t timer;

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &after, NULL))
		err(EX_FAILED, "timer");
	set_state(v, state);
}

/* Likewise, but another thread has that KVM_RUN, after the command of --at. */
static void *wait_elsewhere(void *arg)
{
	struct vcpu *v = arg;

	shell(opt.at, 0);
	wait_in_kvm(v, KVM_MP_STATE_UNINITIALIZED, 100);
	if (ioctl(v->fd, KVM_RUN, 0) == 0 || errno != EINTR)
		err(EX_FAILED, "vCPU %d: KVM_RUN elsewhere", v->index);
	set_state(v, KVM_MP_STATE_RUNNABLE);
	return NULL;
}

static sigset_t only_usr2(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return set;
}

/*
 * The next two KVM_RUNs serve what KVM was asked to do, and end before they enter the guest:
 * a signal is pending, which is blocked everywhere else.
 */
static void keep_signal(struct vcpu *v)
{
	const sigset_t kept = only_usr2();
	uint32_t none_blocked[3] = { 8 };	/* a struct kvm_signal_mask: its length, and the mask */

	pthread_sigmask(SIG_BLOCK, &kept, NULL);
	CALL(v->fd, KVM_SET_SIGNAL_MASK, none_blocked);
	pthread_kill(pthread_self(), SIGUSR2);
	v->pending = 2;
}

static void after_pending(struct vcpu *v)
{
	const sigset_t kept = only_usr2();
	int signal;

	if (!--v->pending)
		sigwait(&kept, &signal);
}

/* As a migration does, once for each of its passes. It is no change to set the flag again. */
static void log_dirty(struct vm *vm)
{
	struct kvm_dirty_log log = { .slot = 2, .dirty_bitmap = calloc(fresh * opt.vcpus / 64 + 1, 8) };

	if (!log.dirty_bitmap)
		err(EX_FAILED, "calloc");
	add_memory(vm, 2, FRESH, vm->fresh, vm->fresh_size, KVM_MEM_LOG_DIRTY_PAGES);
	CALL(vm->fd, KVM_GET_DIRTY_LOG, &log);
	free(log.dirty_bitmap);
}

/* What one return of KVM_RUN was; whatever a script cannot cause is an error. */
static enum user classify(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	pthread_t other;
	uint32_t value;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.direction == KVM_EXIT_IO_IN)
			return U_IO;
		memcpy(&value, (uint8_t *)run + run->io.data_offset, run->io.size);
		switch (run->io.port) {
		case PORT_USER:
			return U_IO;
		case PORT_SLEEP:
			usleep((value & 0xff) * 1000);
			return U_SLEEP;
		case PORT_SHELL:
			shell(opt.at, v->user[U_SHELL] + 1);
			return U_SHELL;
		case PORT_SET:
			set_account(v, value & 0xff);
			return U_SET;
		case PORT_UNINIT:
			if (opt.wait_elsewhere) {
				start_thread(&other, wait_elsewhere, v);
				pthread_join(other, NULL);
			} else {
				wait_in_kvm(v, KVM_MP_STATE_UNINITIALIZED, value & 0xff ?: 100);
			}
			return U_WAIT;
		case PORT_SIPI:
			wait_in_kvm(v, KVM_MP_STATE_INIT_RECEIVED, value & 0xff);
			return U_WAIT;
		case PORT_LOG:
			log_dirty(v->vm);
			return U_LOG;
		case PORT_REFUSED:
			v->refused = value & 0xff;
			run->kvm_valid_regs = ~0ull;
			return U_IO;
		case PORT_PENDING:
			shell(opt.at, v->user[U_SHELL] + 1);
			keep_signal(v);
			return U_IO;
		case PORT_DONE:
			return U_DONE;
		}
		errx(EX_FAILED, "vCPU %d: guest gave up: %#x at port %#x", v->index, value, run->io.port);
	case KVM_EXIT_MMIO:
		return run->mmio.phys_addr == MMIO_DONE ? U_DONE : U_MMIO;
	case KVM_EXIT_HLT:
		return U_HLT;
	case KVM_EXIT_SHUTDOWN:
		if (v->script->steps && v->script->step[v->script->steps - 1].op == OP_TRIPLE)
			return U_SHUTDOWN;
		errx(EX_FAILED, "vCPU %d: triple fault", v->index);
	case KVM_EXIT_FAIL_ENTRY:
		if (opt.bad_entry)
			return U_FAIL_ENTRY;
		errx(EX_FAILED, "vCPU %d: entry failed: %#llx", v->index,
		     run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		errx(EX_FAILED, "vCPU %d: KVM's internal error %u", v->index, run->internal.suberror);
	}
	errx(EX_FAILED, "vCPU %d: unexpected exit %u", v->index, run->exit_reason);
}

/* The script ran once. Whether to run it again, with fresh pages. */
static bool another_round(struct vcpu *v)
{
	size_t share = (size_t)fresh << 12;

	v->rounds++;
	if (stop || (opt.rounds && v->rounds >= opt.rounds))
		return false;
	if (share && madvise(v->vm->fresh + share * v->index, share, MADV_DONTNEED))
		err(EX_FAILED, "madvise");
	return true;
}

static uint64_t rdtsc(void)
{
	return __builtin_ia32_rdtsc();
}

static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;
	uint64_t begin, left;
	enum user what;

	if (opt.pin)
		pin(pthread_self(), v->index);
	pthread_barrier_wait(&v->vm->start);
	begin = left = rdtsc();
	do {
		v->user_cycles += rdtsc() - left;
		if (ioctl(v->fd, KVM_RUN, 0) == 0)
			what = U_DONE;
		else if (errno == EINTR)
			what = U_INTR;
		else if (errno == EINVAL && v->run->kvm_valid_regs)
			what = U_REFUSED;
		else
			err(EX_FAILED, "vCPU %d: KVM_RUN", v->index);
		left = rdtsc();
		if (what == U_REFUSED) {
			usleep(v->refused * 1000);
			v->run->kvm_valid_regs = 0;
		} else if (what != U_INTR) {
			what = classify(v);
		} else if (v->pending) {
			after_pending(v);
		} else if (v->waits) {
			set_state(v, KVM_MP_STATE_RUNNABLE);
		}
		v->user[what]++;
	} while (what != U_SHUTDOWN && (what != U_FAIL_ENTRY || v->user[what] < 2) && (what != U_DONE || another_round(v)));
	v->run_cycles = left - begin;
	__atomic_sub_fetch(&v->vm->running, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* With --late, all but the first are created only now. */
void start_vm(struct vm *vm)
{
	int i;

	for (i = 0; i < opt.vcpus; i++) {
		if (opt.late && i) {
			usleep(5000);
			create_vcpu(vm, i);
		}
		start_thread(&vm->vcpu[i].thread, run_vcpu, &vm->vcpu[i]);
	}
	if (needs & ASKS)
		start_thread(&vm->asked, answer_asks, vm);
	for (; opt.late && i < opt.vcpus + opt.spare; i++)
		create_vcpu(vm, i);
}

/* Move every vCPU's thread to another CPU, again and again, while any runs. */
void migrate(struct vm *vm, int vms)
{
	int i, j, running, n = 0;

	do {
		usleep(1000);
		n++;
		for (i = running = 0; i < vms; i++) {
			running += __atomic_load_n(&vm[i].running, __ATOMIC_SEQ_CST);
			for (j = 0; j < opt.vcpus; j++)
				pin(vm[i].vcpu[j].thread, n + j);
		}
	} while (running);
}
