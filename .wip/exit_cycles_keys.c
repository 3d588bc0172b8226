// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why VM-exits happened, inside their reasons: which MSR, which port, ...
 *
 * Beside its rows, an account has a small table of keys.  Guests choose most keys, so
 * what seldom happens gives way to others.  Its exits are in the row, and in no key.
 */

#include <linux/hash.h>
#include <linux/kvm_host.h>
#include <linux/log2.h>
#include <linux/moduleparam.h> //@14
#include <linux/seq_file.h> //@14
#include <linux/sort.h> //@14

#include <asm/svm.h>
#include <asm/vmx.h>

#include "exit_cycles.h"
#include "kvm_cache_regs.h"
#include "trace.h"

/* A key is in one of so many slots, which are side by side. */
#define GROUP_SIZE	4
#define NR_GROUPS	(KVM_EXIT_CYCLES_KEYS / GROUP_SIZE)

/* The reasons that have keys, beside those that the kernel's table does not name. */
static const u32 vmx_keyed[] = {
	EXIT_REASON_EXCEPTION_NMI,
	EXIT_REASON_EXTERNAL_INTERRUPT,
	EXIT_REASON_CPUID,
	EXIT_REASON_VMCALL,
	EXIT_REASON_CR_ACCESS,
	EXIT_REASON_DR_ACCESS,
	EXIT_REASON_IO_INSTRUCTION,
	EXIT_REASON_MSR_READ,
	EXIT_REASON_MSR_WRITE,
	EXIT_REASON_APIC_ACCESS,
	EXIT_REASON_EOI_INDUCED,
	EXIT_REASON_EPT_VIOLATION,
	EXIT_REASON_EPT_MISCONFIG,
	EXIT_REASON_APIC_WRITE,
#ifdef EXIT_REASON_MSR_READ_IMM
	EXIT_REASON_MSR_READ_IMM,
	EXIT_REASON_MSR_WRITE_IMM,
#endif
};

static const u32 svm_keyed[] = {
	SVM_EXIT_CPUID,
	SVM_EXIT_IOIO,
	SVM_EXIT_MSR,
	SVM_EXIT_VMMCALL,
	SVM_EXIT_NPF,
	SVM_EXIT_AVIC_UNACCELERATED_ACCESS,
	SVM_EXIT_VMGEXIT,
};

/* By the row's number. */
static DECLARE_BITMAP(keyed, KVM_EXIT_CYCLES_MASK + 1);
//@{14

/* Rows whose keys are shown in another form than they are kept in. */
static unsigned int io_row, fault_row;
static bool vmx;
//@}

static bool enabled = true;

/* Stands for the last key of a reason that had none yet.  No exit has this one. */
static struct kvm_exit_cycles_key no_key = { .key = KVM_EXIT_CYCLES_NO_KEY - 1 };

/*
 * The slot of @group that gives way: a free one, or where the fewest exits were since
 * others were asked to, these counting half as much each time.  What is frequent stays,
 * whoever walks past, and what no longer happens goes.
 */
static struct kvm_exit_cycles_key *give_way(struct kvm_exit_cycles *account,
					    struct kvm_exit_cycles_key *group)
{
	struct kvm_exit_cycles_key *slot, *victim = NULL;
	struct kvm_exit_cycles_row *row;
	u32 exits, recent, least = 0;

	for (slot = group; slot < group + GROUP_SIZE; slot++) {
		if (!slot->row)
			return slot;

		exits = local64_read(&slot->exits);
		recent = exits - slot->mark;
		slot->mark += DIV_ROUND_UP(recent, 2);
		if (!victim || recent < least ||
		    (recent == least && exits < (u32)local64_read(&victim->exits))) {
			victim = slot;
			least = recent;
		}
	}

	row = &account->rows[victim->row - 1];
	if (row->recent == victim)
		row->recent = &no_key;
	WRITE_ONCE(account->replaced, account->replaced + 1);
	return victim;
}

/* The slot of @key, with @row's other keys.  Bounded, whatever the guest does. */
struct kvm_exit_cycles_key *find_key(struct kvm_exit_cycles *account,
						     struct kvm_exit_cycles_row *row, u64 key)
{
	u32 number = row - account->rows + 1;
	struct kvm_exit_cycles_key *group, *slot;

	if (key == KVM_EXIT_CYCLES_NO_KEY)
		return NULL;

	group = account->keys +
		hash_64(key ^ ((u64)number << 48), ilog2(NR_GROUPS)) * GROUP_SIZE;
	for (slot = group; slot < group + GROUP_SIZE; slot++)
		if (slot->row == number && slot->key == key)
			goto found;

	slot = give_way(account, group);
	/* Readers see it free until it is the new key's. */
	WRITE_ONCE(slot->row, 0);
	smp_wmb();
	local64_set(&slot->exits, 0);
	local64_set(&slot->cycles, 0);
	local64_set(&slot->total, 0);
	WRITE_ONCE(slot->max, 0);
	WRITE_ONCE(slot->key, key);
	slot->mark = 0;
	smp_store_release(&slot->row, number);
found:
	if (row->recent)
		row->recent = slot;
	return slot;
}

/*
 * The slot of @key for the exit in progress, or NULL.  Those of L2 are latched when KVM
 * finds out that they are.
 */
struct kvm_exit_cycles_key *kvm_exit_cycles_latch_key(struct kvm_vcpu *vcpu, u64 key)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;

	return is_guest_mode(vcpu) ? NULL : find_key(stamps->account, stamps->row, key);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_exit_cycles_latch_key);

/* The exit is L2's: of any reason, its key says so. */
void kvm_exit_cycles_nested(struct kvm_vcpu *vcpu, u32 code,
			    u64 (*get_key)(struct kvm_vcpu *vcpu, u32 code))
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;
	u64 key = stamps->row->recent ? get_key(vcpu, code) : 0;

	if (static_branch_likely(&kvm_exit_cycles_stamp) && READ_ONCE(enabled))
		stamps->key = find_key(stamps->account, stamps->row,
						       key | KVM_EXIT_CYCLES_L2);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_exit_cycles_nested);

/* The key of an exit whose handler had to find it out. */
void kvm_exit_cycles_late_key(struct kvm_vcpu *vcpu, u64 key)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;

	if (static_branch_likely(&kvm_exit_cycles_stamp) && stamps->row->recent)
		stamps->key = find_key(stamps->account, stamps->row, key);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_exit_cycles_late_key);

/* Take up what the parameter says.  Keys that were counted stay. */
void kvm_exit_cycles_switch_keys(struct kvm_exit_cycles *account)
{
	unsigned int i;

	for (i = 0; i < kvm_exit_cycles_nr_rows; i++)
		account->rows[i].recent = READ_ONCE(enabled) && test_bit(i, keyed) ? &no_key : NULL;
}

void kvm_exit_cycles_clear_keys(struct kvm_exit_cycles *account)
{
	unsigned int i;

	for (i = 0; i < KVM_EXIT_CYCLES_KEYS; i++)
		WRITE_ONCE(account->keys[i].row, 0);
	WRITE_ONCE(account->replaced, 0);
	kvm_exit_cycles_switch_keys(account);
}

/* Leave the keys of an account that goes to those that are gone. */
void kvm_exit_cycles_fold_keys(struct kvm_exit_cycles *gone, struct kvm_exit_cycles *account)
{
	struct kvm_exit_cycles_key *from, *to;

	for (from = account->keys; from < account->keys + KVM_EXIT_CYCLES_KEYS; from++) {
		if (!from->row || !local64_read(&from->exits))
			continue;

		to = find_key(gone, &gone->rows[from->row - 1], from->key);
		local64_add(local64_read(&from->exits), &to->exits);
		local64_add(local64_read(&from->cycles), &to->cycles);
		local64_add(local64_read(&from->total), &to->total);
		WRITE_ONCE(to->max, max(to->max, from->max));
	}
	WRITE_ONCE(gone->replaced, gone->replaced + account->replaced);
}

static unsigned int row_of(u32 code)
{
	return (kvm_exit_cycles_map[code & KVM_EXIT_CYCLES_MASK] -
		offsetof(struct kvm_exit_cycles, rows)) / sizeof(struct kvm_exit_cycles_row);
}

void kvm_exit_cycles_init_keys(u32 isa)
{
	const u32 *codes = isa == KVM_ISA_VMX ? vmx_keyed : svm_keyed;
	unsigned int i, n = isa == KVM_ISA_VMX ? ARRAY_SIZE(vmx_keyed) : ARRAY_SIZE(svm_keyed);

	bitmap_zero(keyed, KVM_EXIT_CYCLES_MASK + 1);
	for (i = 0; i < n; i++)
		__set_bit(row_of(codes[i]), keyed);
	/* Of those without a name. */
	__set_bit(kvm_exit_cycles_nr_rows - 1, keyed);
 //@14
	vmx = isa == KVM_ISA_VMX; //@14
	io_row = row_of(vmx ? EXIT_REASON_IO_INSTRUCTION : SVM_EXIT_IOIO); //@14
	fault_row = row_of(vmx ? EXIT_REASON_EPT_VIOLATION : SVM_EXIT_NPF); //@14
}
//@{14

/* Add the account's keys to @sum, as far as there is room; count them all. */
void kvm_exit_cycles_copy_keys(struct kvm_exit_cycles_sum *sum, struct kvm_exit_cycles *account)
{
	struct kvm_exit_cycles_key *slot, *copy;
	u32 row;

	for (slot = account->keys; slot < account->keys + KVM_EXIT_CYCLES_KEYS; slot++) {
		row = smp_load_acquire(&slot->row);
		if (!row || !local64_read(&slot->exits))
			continue;
		if (sum->nr_keys++ >= sum->max_keys)
			continue;

		copy = &sum->keys[sum->nr_keys - 1];
		copy->row = row;
		copy->key = READ_ONCE(slot->key);
		copy->max = READ_ONCE(slot->max);
		local64_set(&copy->total, local64_read(&slot->total));
		local64_set(&copy->cycles, local64_read(&slot->cycles));
		local64_set(&copy->exits, local64_read(&slot->exits));
		smp_rmb();
		/* It gave way meanwhile. */
		if (READ_ONCE(slot->row) != row || READ_ONCE(slot->key) != copy->key)
			sum->nr_keys--;
	}
	sum->replaced += READ_ONCE(account->replaced);
}

static int compare(u64 a, u64 b)
{
	return a < b ? -1 : a > b;
}

static int by_key(const void *one, const void *other)
{
	const struct kvm_exit_cycles_key *a = one, *b = other;

	return a->row != b->row ? compare(a->row, b->row) : compare(a->key, b->key);
}

static int by_total(const void *one, const void *other)
{
	const struct kvm_exit_cycles_key *a = one, *b = other;

	if (a->row != b->row)
		return compare(a->row, b->row);
	return compare(local64_read(&b->total), local64_read(&a->total)) ?: compare(a->key, b->key);
}

/* A port, and above it whether it is read, and by a string. */
static u64 shown_io(u64 key)
{
	u64 in = vmx ? key & BIT(3) : key & SVM_IOIO_TYPE_MASK;
	u64 string = vmx ? key & BIT(4) : key & SVM_IOIO_STR_MASK;

	return (u16)(key >> 16) | (in ? BIT(16) : 0) | (string ? BIT(17) : 0);
}

/* The kind of an access, and whether the page was mapped; or a page of MMIO. */
static u64 shown_fault(u64 key)
{
	if (vmx)
		return (key & VMX_EPT_RWX_MASK) | (key & VMX_EPT_RWX_MASK << 3 ? BIT(3) : 0);
	if (key & KVM_EXIT_CYCLES_SVM_MMIO)
		return key & ~KVM_EXIT_CYCLES_SVM_MMIO;
	return (key & PFERR_FETCH_MASK ? BIT(2) : key & PFERR_WRITE_MASK ? BIT(1) : BIT(0)) |
	       (key & PFERR_PRESENT_MASK ? BIT(3) : 0);
}

/* One line of each key.  Returns how many there are. */
static unsigned int merge_keys(struct kvm_exit_cycles_key *keys, unsigned int n)
{
	struct kvm_exit_cycles_key *last = keys, *key;
	u64 l2;

	for (key = keys; key < keys + n; key++) {
		l2 = key->key & KVM_EXIT_CYCLES_L2;
		if (key->row - 1 == io_row)
			key->key = l2 | shown_io(key->key & ~KVM_EXIT_CYCLES_L2);
		else if (key->row - 1 == fault_row)
			key->key = l2 | shown_fault(key->key & ~KVM_EXIT_CYCLES_L2);
	}

	sort(keys, n, sizeof(*keys), by_key, NULL);
	for (key = keys + 1; key < keys + n; key++) {
		if (by_key(last, key)) {
			*++last = *key;
			continue;
		}
		local64_add(local64_read(&key->exits), &last->exits);
		local64_add(local64_read(&key->cycles), &last->cycles);
		local64_add(local64_read(&key->total), &last->total);
		last->max = max(last->max, key->max);
	}
	if (n)
		n = last - keys + 1;
	sort(keys, n, sizeof(*keys), by_total, NULL);
	return n;
}

/* The keys of a reason, and last what the row has beyond them. */
static const struct kvm_exit_cycles_key *show_keys(struct seq_file *m,
						   const struct kvm_exit_cycles_sum *sum,
						   unsigned int row,
						   const struct kvm_exit_cycles_key *key)
{
	const struct kvm_exit_cycles_key *end = sum->keys + sum->nr_keys;
	const u64 *counters = (u64 *)sum->rows[row].counter;
	u64 exits = counters[EC_EXITS], cycles = counters[EC_CYCLES], total = counters[EC_TOTAL];
	bool has = test_bit(row, keyed);

	for (; key < end && key->row == row + 1; key++) {
		has = true;
		exits -= local64_read(&key->exits);
		cycles -= local64_read(&key->cycles);
		total -= local64_read(&key->total);
		kvm_exit_cycles_show_reason(m, row);
		seq_printf(m, "\t0x%llx\t%llu\t%llu\t%llu\t%llu\n", key->key,
			   (u64)local64_read(&key->exits), (u64)local64_read(&key->cycles),
			   (u64)local64_read(&key->total), key->max);
	}
	if (has && exits) {
		kvm_exit_cycles_show_reason(m, row);
		seq_printf(m, "\t-\t%llu\t%llu\t%llu\t-\n", exits, cycles, total);
	}
	return key;
}

int kvm_exit_cycles_keys_show(struct seq_file *m, void *unused)
{
	const struct kvm_exit_scope *scope = m->private;
	const struct kvm_exit_cycles_key *key;
	struct kvm_exit_cycles_sum sum = {};
	unsigned int i;
	int ret = -ENOMEM;

	sum.rows = kvmalloc_array(kvm_exit_cycles_nr_rows, sizeof(*sum.rows), GFP_KERNEL);
	if (!sum.rows)
		return ret;

	/* There may be more by the time that there is room for them. */
	do {
		kvfree(sum.keys);
		sum.max_keys = sum.nr_keys + KVM_EXIT_CYCLES_KEYS;
		sum.keys = kvmalloc_array(sum.max_keys, sizeof(*sum.keys), GFP_KERNEL);
		if (!sum.keys)
			goto out;
		kvm_exit_cycles_sum_scope(&sum, scope);
	} while (sum.nr_keys > sum.max_keys);

	sum.nr_keys = merge_keys(sum.keys, sum.nr_keys);
	kvm_exit_cycles_show_head(m, scope, &sum);
	seq_printf(m, "\treplaced=%u\nreason\tname\tkey\texits\tcycles\ttotal\tmax\n", sum.replaced);
	key = sum.keys;
	for (i = 0; i < kvm_exit_cycles_nr_rows; i++)
		key = show_keys(m, &sum, i, key);
	ret = 0;
out:
	kvfree(sum.keys);
	kvfree(sum.rows);
	return ret;
}

static int set_enabled(const char *val, const struct kernel_param *kp)
{
	bool was = enabled;
	int ret = param_set_bool(val, kp);

	if (!ret && enabled != was)
		kvm_exit_cycles_request_scope(&kvm_exit_cycles_host);
	return ret;
}

static const struct kernel_param_ops enabled_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_enabled,
	.get = param_get_bool,
};

module_param_cb(exit_cycles_keys, &enabled_ops, &enabled, 0644);
__MODULE_PARM_TYPE(exit_cycles_keys, "bool");
MODULE_PARM_DESC(exit_cycles_keys, "Count VM-exits by the keys inside their reasons (default: Y)");
//@}
