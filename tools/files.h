/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * files.h - where KVM keeps its accounts, and reading these files:
 *
 *	/sys/kernel/debug/kvm/exit_cycles		the host's
 *	/sys/kernel/debug/kvm/PID-FD/exit_cycles	a VM's
 *	/sys/kernel/debug/kvm/PID-FD/vcpuN/exit_cycles	a vCPU's
 *
 * Beside each are exit_cycles_hist, exit_cycles_keys and exit_cycles_slow. SWITCH is N while KVM
 * counts nothing, SWITCH_KEYS while it counts no keys. `root` is a folder to use as "/", or "".
 */
#ifndef FILES_H
#define FILES_H

#include <sys/types.h>

#include "account.h"

#define KVM_DIR "/sys/kernel/debug/kvm"
#define SWITCH "/sys/module/kvm/parameters/exit_cycles"
#define SWITCH_KEYS SWITCH "_keys"

/* What to read: the table, table and histogram, the keys, or the slow exits. */
enum read_what { READ_TABLE, READ_HIST, READ_KEYS, READ_SLOW };

enum read_result {
	READ_OK,
	READ_ABSENT,	/* there is no such file; `failure` says so */
	READ_GONE,	/* the file's VM or vCPU has ended meanwhile */
	READ_FAILED,	/* `failure` has the reason */
};

struct vm_id {
	unsigned int pid, fd;
};

enum read_result read_account(const char *path, enum read_what what, struct account *a);
enum read_result read_dir_account(const char *root, const char *dir, enum read_what what,
				  struct account *a);
int list_vm_dirs(const char *root, struct vm_id **vms, size_t *n);
int list_vms(const char *root, struct vm_id **vms, size_t *n);
enum read_result list_vcpus(const char *root, struct vm_id vm, unsigned int **vcpus,
			    size_t *n);
const char *switched_off(const char *root, enum read_what what);
bool file_there(const char *path);
int fail_absent(const char *path);
ssize_t read_small(const char *path, char *text, size_t size);
int fail_errno(const char *path);

/* names.c */
void printable(char *name);
void guest_name(const char *root, unsigned int pid, char *name, size_t size);

#endif
