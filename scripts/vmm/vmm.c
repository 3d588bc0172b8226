// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm.c - a virtual machine monitor whose guest makes a known number of exits
 * of a known kind, and nothing else.
 *
 *	scripts/vmm/build.sh vmm
 *	vmm cpuid=23 out-kernel=17 leaf:0x4ffffffd=0-100,0xdead
 *
 * Each vCPU executes the steps in order. The result is lines of fields between
 * tabs, the first three the kind of line, the VM's and the vCPU's number:
 *
 *	vm VM - DIR VENDOR		its folder in /sys/kernel/debug/kvm
 *	step VM VCPU NAME N MIN MEAN MAX	TSC ticks round each iteration,
 *				as the guest reads them
 *	leaf VM VCPU LEAF ECX EAX EBX ECX EDX	what CPUID answered;
 *				all but LEAF in decimal
 *	made VM VCPU KIND N	intercepted instructions executed, by kind
 *	known VM VCPU REASON N	exits of that reason number that ended with an
 *				entry: exactly so many, for kinds that have a row
 *				of their own (in real mode only with
 *				unrestricted_guest=1)
 *	user VM VCPU KIND N	returns of KVM_RUN, by kind
 *	time VM VCPU run|user CYCLES	first KVM_RUN to last return, and the part
 *				of it between a return and the next KVM_RUN
 *	fault VM VCPU - N	#GP and #UD the guest took and skipped
 *	bad VM VCPU - N		answers that break the rules of the leaves
 *	digest VM VCPU - N	of all answers to the steps `random` and `sweep`
 *	fail VM - HOW FAILED CREATED	creations of a vCPU that failed, and those that
 *				did not (--fail)
 *	stat VM VCPU NAME N...	KVM's own statistics (--stats), of a histogram all
 *				buckets
 *
 * Exit status: 0; 1 failed; 2 usage; 77 this host's KVM cannot do it.
 */
#define _GNU_SOURCE
#include <err.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include "monitor.h"

volatile sig_atomic_t stop;

static void name_vms(const struct vm *vm, int vms)
{
	char dirs[4096], *p = dirs;

	*p = '\0';
	for (int i = 0; i < vms; i++) {
		if (!opt.quiet)
			printf("vm\t%d\t-\t%d-%d\t%s\n", vm[i].number, getpid(), vm[i].fd, svm ? "svm" : "vmx");
		if (dirs + sizeof(dirs) - p > 32)
			p += sprintf(p, "%s%d-%d", i ? " " : "", getpid(), vm[i].fd);
	}
	setenv("VMM_DIRS", dirs, 1);
	fflush(stdout);
}

/* Ends a KVM_RUN, which is all. */
static void on_alarm(int signal)
{
	(void)signal;
}

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

/* Until the end of standard input, or a signal; none is lost before ppoll(). */
static void hold(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	sigset_t none, signals;
	char buffer[256];

	printf("hold\n");
	fflush(stdout);
	sigemptyset(&none);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	while (!stop)
		if (ppoll(&in, 1, NULL, &none) > 0 && read(STDIN_FILENO, buffer, sizeof(buffer)) <= 0)
			break;
}

/* `vms` machines, at once: made, run, looked at, ended. */
static void run_vms(int first, int vms)
{
	struct vm *vm = calloc(vms, sizeof(*vm));
	int i, j;

	if (!vm)
		err(EX_FAILED, "calloc");
	for (i = 0; i < vms; i++) {
		create_vm(&vm[i], first + i);
		if (opt.fail)
			fail_creations(&vm[i]);
		if (opt.late)
			create_vcpu(&vm[i], 0);
		else
			create_vcpus(&vm[i]);
	}
	name_vms(vm, vms);
	shell(opt.before, 0);
	for (i = 0; i < vms; i++)
		start_vm(&vm[i]);
	if (opt.migrate)
		migrate(vm, vms);
	for (i = 0; i < vms; i++) {
		for (j = 0; j < opt.vcpus; j++)
			pthread_join(vm[i].vcpu[j].thread, NULL);
		if (needs & ASKS)
			pthread_join(vm[i].asked, NULL);
	}
	for (i = 0; i < vms && !opt.quiet; i++)
		print_vm(&vm[i]);
	shell(opt.after, 0);
	if (opt.hold)
		hold();
	for (i = 0; i < vms; i++)
		destroy_vm(&vm[i]);
	free(vm);
}

int main(int argc, char **argv)
{
	/* a second signal kills */
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
	const struct sigaction wake = { .sa_handler = on_alarm }, handle = { .sa_handler = on_usr1 };
	int i, batch;

	parse(argc, argv);
	find_cpus();
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGALRM, &wake, NULL);
	sigaction(SIGUSR1, &handle, NULL);
	sigaction(SIGINT, &action, NULL);
	open_kvm();

	batch = opt.together ? opt.vms : 1;
	for (i = 0; i < opt.vms && !stop; i += batch)
		run_vms(i, batch);
	if (fflush(stdout) || ferror(stdout))
		err(EX_FAILED, "standard output");
	return 0;
}
