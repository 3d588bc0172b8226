undef $/; $_ = <STDIN>;
# --- C file
s#static noinline void close_exit\(struct kvm_exit_stamps \*stamps, u64 now\)\n\{.*?\n\tu64 total, parts, sched, hsched;\n#/* Close an exit that has parts, or is a new maximum, or is long. */
static void close_exit(struct kvm_exit_stamps *stamps, u64 now)
{
	struct kvm_exit_cycles *account = stamps->account;
	struct kvm_exit_cycles_row *row = stamps->row;
	u64 exit = stamps->exit & ~(KVM_EXIT_CYCLES_SLOW | KVM_EXIT_CYCLES_PARTS);
	u64 handler = elapsed(stamps->start, stamps->end);
	u64 total, parts, sched, hsched;
#s;
s#/\*\n \* Close an exit that has parts, or is a new maximum, or is long; or there was none\n.*?\n\tstamps->entry = now;\n\}\n#/*
 * Close an exit that needs more than most; or there was none since counting began.
 * Exits to user space are frequent, so do what those need at once.
 */
void kvm_exit_cycles_close_slow(struct kvm_vcpu *vcpu, u64 now)
{
	struct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;
	struct kvm_exit_cycles *account = stamps->account;
	struct kvm_exit_cycles_row *row = stamps->row;
	u64 exit = stamps->exit & ~KVM_EXIT_CYCLES_SLOW;
	u64 handler = stamps->end - stamps->start;
	u64 total = now - exit;

	/* KVM_EXIT_CYCLES_PARTS is above any limit. */
	if (likely(total < row->limit && handler + account->user <= total)) {
		local64_inc(&row->counter[EC_EXITS]);
		local64_add(total, &row->counter[EC_TOTAL]);
		local64_add(handler, &row->counter[EC_CYCLES]);
		local64_add(account->user, &row->counter[EC_USER]);
		local64_inc(&account->exits);
		local64_add(handler, &account->cycles);
		local64_add(exit - stamps->entry, &account->guest);
		local64_inc(&row->counter[EC_HIST + fls64(total)]);
		account->user = 0;
	} else if (row != &no_row) {
		close_exit(stamps, now);
	} else {
		/* What has been noted so far belongs to no exit. */
		drop_exit(stamps);
	}
	stamps->entry = now;
}
#s;
s#(account->halt_tsc = 0;\n\tstamps->exit \|= KVM_EXIT_CYCLES_SLOW)#$1 | KVM_EXIT_CYCLES_PARTS#;
s#(account->hsched \+= wait;\n\tstamps->exit \|= KVM_EXIT_CYCLES_SLOW)#$1 | KVM_EXIT_CYCLES_PARTS#;
s#\(stamps->exit & ~KVM_EXIT_CYCLES_SLOW\) <= stamps->start#(stamps->exit & ~(KVM_EXIT_CYCLES_SLOW | KVM_EXIT_CYCLES_PARTS)) <= stamps->start#;
s#\tif \(account->left_for\)\n\t\t\*account->left_for \+= elapsed\(account->left_tsc, rdtsc\(\)\);\n\taccount->left_for = NULL;\n\taccount->run_delay = current->sched_info.run_delay;\n\tstamps->exit \|= KVM_EXIT_CYCLES_SLOW;#	account->run_delay = current->sched_info.run_delay;
	left = elapsed(account->left_tsc, rdtsc());
	if (likely(account->left_with != -EINTR)) {
		account->user += left;
	} else {
		account->stop += left;
		stamps->exit |= KVM_EXIT_CYCLES_PARTS;
	}
	account->left_tsc = 0;
	stamps->exit |= KVM_EXIT_CYCLES_SLOW;#;
s#(void kvm_exit_cycles_run_begin.*?account = stamps->account;\n)#$1\tu64 left;\n#s;
s#(run_begin\(struct kvm_vcpu \*vcpu\)\n.*?if \(!static_branch_likely\(&kvm_exit_cycles_close\))\)#$1 || !account->left_tsc)#s;
s#\taccount->left_for = &account->user;\n\tif \(unlikely\(ret == -EINTR\)\)\n\t\taccount->left_for = &account->stop;\n#\taccount->left_with = ret;\n#;
s#\|\| account->left_for\)#|| account->left_tsc)#;
s#\taccount->left_for = NULL;\n#\taccount->left_tsc = 0;\n#;
s#\taccount->left_for = &account->user;\n\taccount->left_tsc = rdtsc\(\);\n#\taccount->left_tsc = rdtsc();\n#;
# leaf
s#(/\* The counter at \@offset of each account in \@scope. \*/\n)static u64 read_scope\(.*?\n\}\n\nstatic u64 read_host\(unsigned int offset, const u64 \*gone_counter\)\n\{\n\tint seq = 0;\n\tu64 sum;\n#/* The counter at \@offset of the account. */
static u64 read_account(struct kvm_exit_cycles *account, unsigned int offset)
{
	u64 value = local64_read((local64_t *)((void *)account + offset));

	/* Pairs with the release in kvm_exit_cycles_serve(). */
	return likely(smp_load_acquire(&account->reset_done) == READ_ONCE(account->reset_posted)) ?
	       value : 0;
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

static noinline u64 read_host(unsigned int offset, const u64 *gone_counter)
{
	struct kvm_exit_cycles *account;
	int seq = 0;
	u64 sum;
#s;
s#\tsum = READ_ONCE\(\*gone_counter\) \+ read_scope\(&host_scope, offset\);\n#\tsum = READ_ONCE(*gone_counter);
	rcu_read_lock();
	list_for_each_entry_rcu(account, &accounts, list)
		sum += read_account(account, offset);
	rcu_read_unlock();
#;
s#read_scope\(&vcpu->kvm->arch.exit_scope, offset\)#read_vm(vcpu->kvm, offset)#;
print;
