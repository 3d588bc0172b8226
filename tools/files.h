/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * files.h - where KVM keeps its accounts, and the files read:
 *
 *	/sys/kernel/debug/kvm/exit_cycles		the host's
 *	/sys/kernel/debug/kvm/PID-FD/exit_cycles	a VM's
 *	/sys/kernel/debug/kvm/PID-FD/vcpuN/exit_cycles	a vCPU's
 *
 * and beside each exit_cycles_hist; SWITCH is N where none is counted. `root` is a folder to see as "/", or "".
 */
#ifndef FILES_H
#define FILES_H

#include "account.h"

#define KVM_DIR "/sys/kernel/debug/kvm"
#define SWITCH "/sys/module/kvm/parameters/exit_cycles"
#define GONE 1			/* the VM or vCPU ended meanwhile */

struct vm_id {
	unsigned int pid, fd;
};

int read_account(const char *path, bool saved, bool hist, struct account *a);
int read_dir_account(const char *root, const char *dir, bool hist,
		     struct account *a);
int list_vms(const char *root, struct vm_id **vms, size_t *n);
int list_vcpus(const char *root, struct vm_id vm, unsigned int **vcpus, size_t *n);
bool switched_off(const char *root);
void printable(char *name);
void guest_name(const char *root, unsigned int pid, char *name, size_t size);

#endif
