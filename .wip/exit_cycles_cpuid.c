// SPDX-License-Identifier: GPL-2.0-only
/* What CPUID answers a guest of the accounts of its VM, or of all. */

#include <linux/kvm_host.h>
#include <linux/moduleparam.h>
#include <linux/rculist.h>

#include "exit_cycles.h"
#include "trace.h"

/* No exit has this code: what it maps to is the row of all that have no name. */
#define NO_CODE			(KVM_EXIT_CYCLES_MASK - 1)

/* The first of the four leaves. */
#define EXIT_CYCLES_LEAF	0x4ffffffc

enum guest_scope {
	GUEST_OFF,
	GUEST_VM,
	GUEST_HOST,
};

static const char * const guest_scopes[] = {
	[GUEST_OFF] = "off",
	[GUEST_VM] = "vm",
	[GUEST_HOST] = "host",
};

static enum guest_scope guest_scope = GUEST_VM;

/* The counter at @offset of the account. */
static u64 read_account(struct kvm_exit_cycles *account, unsigned int offset)
{
	u32 posted;
	u64 value;

	if (unlikely(kvm_exit_cycles_is_reset(account, &posted)))
		return 0;

	value = local64_read((local64_t *)((void *)account + offset));
	/* Pairs with the request: clearing comes after posting. */
	smp_rmb();
	return posted == READ_ONCE(account->reset_posted) ? value : 0;
}

static u64 read_vm(struct kvm *kvm, unsigned int offset)
{
	struct kvm_exit_cycles *account;
	u64 sum = 0;

	rcu_read_lock();
	list_for_each_entry_rcu(account, &kvm->arch.exit_accounts, vm_list)
		sum += read_account(account, offset);
	rcu_read_unlock();
	return sum;
}

static noinline u64 read_host(unsigned int offset)
{
	static const struct kvm_exit_scope host_scope;
	struct kvm_exit_cycles *account = NULL;
	int seq = 0;
	u64 sum;

again:
	read_seqbegin_or_lock(&kvm_exit_cycles_lock, &seq);
	sum = 0;
	rcu_read_lock();
	while ((account = kvm_exit_cycles_next(&host_scope, account)))
		sum += read_account(account, offset);
	rcu_read_unlock();
	if (need_seqretry(&kvm_exit_cycles_lock, seq)) {
		seq = 1;
		goto again;
	}
	done_seqretry(&kvm_exit_cycles_lock, seq);
	return sum;
}

/* Answer the leaves 0x4ffffffc to 0x4fffffff; false if it is another. */
bool kvm_exit_cycles_cpuid(struct kvm_vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	enum guest_scope scope = READ_ONCE(guest_scope);
	u32 function = *eax, index = *ecx;
	bool cycles = !(function & 1);
	unsigned int offset = cycles ? offsetof(struct kvm_exit_cycles, cycles) :
				       offsetof(struct kvm_exit_cycles, exits);
	u64 value = 0;

	if (function - EXIT_CYCLES_LEAF > 3 || scope == GUEST_OFF ||
	    !static_branch_likely(&kvm_exit_cycles_close))
		return false;

	*edx = 0;
	if (function < EXIT_CYCLES_LEAF + 2) {
		/* The mask bounds what comes from a guest, speculation included. */
		offset = kvm_exit_cycles_map[index & KVM_EXIT_CYCLES_MASK];
		if (offset == kvm_exit_cycles_map[NO_CODE] ||
		    (index >= KVM_EXIT_CYCLES_MASK && index != ~0U)) {
			*edx = ~0U;
			goto out;
		}
		if (cycles)
			offset += EC_CYCLES * sizeof(local64_t);
	}

	value = scope == GUEST_VM ? read_vm(vcpu->kvm, offset) :
				    read_host(offset);
out:
	*eax = cycles ? 0 : value;
	*ebx = value;
	*ecx = value >> 32;
	trace_kvm_cpuid(function, index, *eax, *ebx, *ecx, *edx, true, false);
	return true;
}

static int set_guest_scope(const char *val, const struct kernel_param *kp)
{
	int scope = sysfs_match_string(guest_scopes, val);

	if (scope < 0)
		return scope;

	WRITE_ONCE(guest_scope, scope);
	return 0;
}

static int get_guest_scope(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", guest_scopes[guest_scope]);
}

static const struct kernel_param_ops guest_scope_ops = {
	.set = set_guest_scope,
	.get = get_guest_scope,
};

module_param_cb(exit_cycles_guest, &guest_scope_ops, NULL, 0644);
__MODULE_PARM_TYPE(exit_cycles_guest, "charp");
MODULE_PARM_DESC(exit_cycles_guest,
		 "What CPUID answers a guest: off, vm (its own VM) or host (all VMs; default: vm)");
