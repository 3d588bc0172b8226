// SPDX-License-Identifier: GPL-2.0-only
/*
 * set_account.c - a module for tests only: sets the counters of one exit reason of a vCPU, and
 * the account's sums, to any value, so that a test need not wait for 2^32 exits.
 *
 *	echo "FD REASON EXITS CYCLES [MAX SPINS]" >/sys/kernel/debug/set_account
 *
 * FD is a vCPU of the writing process. The module holds vcpu->mutex, so it writes like the vCPU
 * itself. With MAX, total and slow become 0; then it executes SPINS instructions, at least one.
 * -EBADF: FD is not a vCPU; -EINVAL: not four or six numbers.
 */
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/kvm_host.h>
#include <linux/module.h>

#include <asm/svm.h>
#include <asm/vmx.h>

#include "exit_cycles.h"

static struct dentry *dentry;

static const struct { u64 code; const char *name; }
	vmx_names[] = { VMX_EXIT_REASONS }, svm_names[] = { SVM_EXIT_REASONS };

/*
 * Returns the row of a reason, 0xffff being those without a name: the rows are in the order
 * of the codes, without those that SVM's software made up. KVM's own map of rows cannot be
 * used: on new kernels KVM exports it only to its own modules.
 */
static unsigned int row_of(u32 code)
{
	bool vmx = boot_cpu_has(X86_FEATURE_VMX);
	unsigned int i, row = 0;
	u64 name;

	for (i = 0; i < (vmx ? ARRAY_SIZE(vmx_names) : ARRAY_SIZE(svm_names)); i++) {
		name = (vmx ? vmx_names : svm_names)[i].code;
		row += (u32)name >> 16 != 0x8000 && (code == 0xffff || name < code);
	}
	return row;
}

static int set_account(struct kvm_vcpu *vcpu, u32 code, u64 exits, u64 cycles, u64 *max)
{
	struct kvm_exit_cycles *account = vcpu->arch.exit_stamps.account;
	struct kvm_exit_cycles_row *row = &account->rows[row_of(code)];

	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;

	/*
	 * Readers expect as many exits in the histogram: add the difference to its first
	 * bucket.
	 */
	local64_add(exits - local64_read(&row->counter[EC_EXITS]), &row->counter[EC_HIST]);
	local64_set(&row->counter[EC_EXITS], exits);
	local64_set(&row->counter[EC_CYCLES], cycles);
	local64_set(&account->exits, exits);
	local64_set(&account->cycles, cycles);
	if (max) {
		local64_set(&row->counter[EC_TOTAL], 0);
		local64_set(&row->counter[EC_SLOW], 0);
		local64_set(&row->counter[EC_MAX], *max);
		row->limit = *max + 1;
	}
	mutex_unlock(&vcpu->mutex);
	return 0;
}

static ssize_t set_account_write(struct file *file, const char __user *user,
				 size_t size, loff_t *pos)
{
	struct file *vcpu_file;
	char text[128] = "";
	u64 exits, cycles, max, spins = 1;
	int numbers, ret = -EBADF;
	unsigned int fd;
	u32 code;

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, user, size))
		return -EFAULT;
	numbers = sscanf(text, "%u %u %llu %llu %llu %llu", &fd, &code, &exits, &cycles, &max,
			 &spins);
	if ((numbers != 4 && numbers != 6) || !spins)
		return -EINVAL;

	vcpu_file = fget(fd);
	if (!vcpu_file)
		return -EBADF;
	if (!strncmp(vcpu_file->f_path.dentry->d_name.name, "kvm-vcpu:", 9))
		ret = set_account(vcpu_file->private_data, code, exits, cycles,
				  numbers == 6 ? &max : NULL);
	fput(vcpu_file);
	asm volatile("1: loop 1b" : "+c" (spins));
	return ret ?: size;
}

static const struct file_operations set_account_fops = {
	.owner = THIS_MODULE,
	.write = set_account_write,
};

static int __init set_account_init(void)
{
	dentry = debugfs_create_file("set_account", 0200, NULL, NULL, &set_account_fops);
	return 0;
}
module_init(set_account_init);

static void __exit set_account_exit(void)
{
	debugfs_remove(dentry);
}
module_exit(set_account_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Sets the exit_cycles account of a vCPU, for tests");
