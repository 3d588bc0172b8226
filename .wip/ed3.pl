undef $/; $_ = <STDIN>;
s#static u64 read_account\(.*?\n\}\n#static u64 read_account(struct kvm_exit_cycles *account, unsigned int offset)
{
	u32 posted;
	u64 value;

	if (unlikely(account_is_reset(account, &posted)))
		return 0;

	value = local64_read((local64_t *)((void *)account + offset));
	/* Pairs with the request: clearing comes after posting. */
	smp_rmb();
	return posted == READ_ONCE(account->reset_posted) ? value : 0;
}
#s;
s#static noinline u64 read_host\(unsigned int offset, const u64 \*gone_counter\)\n#/* What vCPUs that are gone had where an account has its counter at \@offset. */
static u64 read_gone(unsigned int offset)
{
	unsigned int row, counter;

	if (offset < row_to_offset(0))
		return READ_ONCE(gone.all[offset == offsetof(struct kvm_exit_cycles, exits) ?
					  EC_EXITS : EC_CYCLES]);

	row = (offset - row_to_offset(0)) / sizeof(struct kvm_exit_cycles_row);
	counter = (offset - row_to_offset(row)) / sizeof(local64_t);
	return READ_ONCE(gone.rows[row][counter]);
}

static noinline u64 read_host(unsigned int offset)
#;
s#sum = READ_ONCE\(\*gone_counter\);#sum = read_gone(offset);#;
s#\tenum kvm_exit_counter counter = cycles \? EC_CYCLES : EC_EXITS;\n##;
s#\tconst u64 \*gone_counter = &gone.all\[counter\];\n##;
s#\t\tunsigned int row = kvm_exit_cycles_map\[index & KVM_EXIT_CYCLES_MASK\];\n\n#\t\toffset = kvm_exit_cycles_map[index & KVM_EXIT_CYCLES_MASK];\n#;
s#if \(row == row_to_offset\(nr_rows - 1\)#if (offset == row_to_offset(nr_rows - 1)#;
s#\t\toffset = row \+ counter \* sizeof\(local64_t\);\n.*?\[counter\];\n#\t\tif (cycles)\n\t\t\toffset += EC_CYCLES * sizeof(local64_t);\n#s;
s#read_host\(offset, gone_counter\)#read_host(offset)#;
print;
