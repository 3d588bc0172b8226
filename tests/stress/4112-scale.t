#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: 32 vCPUs in a VM, vCPUs of the highest numbers that KVM has (16383 where it
# can have 4096 vCPUs), and 1,000 VMs at once: each folder has the right name, each account
# is exact, sums are the sums of their accounts, and exitdump shows all of them.
# Stress: svm svm:rt svm:clang
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

VMS=$(size 1000 100)

in_lab <<EOF
vms=$VMS
EOF
cat >>"$T/commands" <<'EOF'
ulimit -n 20000

# dump NAME ARGUMENT...: of exitdump.
dump() {
	section "$1"
	shift
	exitdump "$@"
}

# look NAME: at what is held.
look() {
	VMM_DIRS=$held
	accounts "$1"
	dump "$1-vcpus" -v "$held" --all-vcpus -r cpuid --raw -o vcpu,exits
	dump "$1-vm" -v "$held" -r cpuid --json
	dump "$1-interval" -v "$held" 1 1 --raw
	release
}

hold wide --vcpus 32 cpuid=211 out-kernel=23
look wide
hold high --high-ids --no-irqchip --vcpus 32 cpuid=101 out-user=7
look high
account before
hold many --vms $vms --together cpuid=23 out-user=3
account many-host
dump many-list list --raw -o vm,vcpus
dump many-vms -a -r cpuid --raw -o vm,exits
dump many-json -a -r cpuid --json
section many-memory
awk '$1 ~ /^Mem(Total|Available):/' /proc/meminfo
release
account after
EOF

# judge_vcpus NAME FIRST: whose vCPUs have the numbers FIRST to FIRST+31.
judge_vcpus() {
	local name=$1 first=$2 i vcpu wrong=''
	is "$lab $name: all that was made is counted" "$(account_says "$name" "$name.vm")" "$(vmm_says "$name")"
	is "$lab $name: of 32 vCPUs" "$(key "$name.vm" vcpus)" 32
	is "$lab $name: the account agrees with itself" "$(contradictions "$name.vm")" ''
	for ((i = 0; i < 32; i++)); do
		vcpu=$((first + i))
		# --high-ids counts from the top
		awk -v vcpu=$((first ? 31 - i : i)) '$3 == vcpu' "$F/$name" >"$F/only"
		[[ -s $F/$name.$vcpu && $(account_says only "$name.$vcpu") == "$(vmm_says only)" ]] || wrong+=" $vcpu"
	done
	is "$lab $name: each vCPU, $first to $((first + 31)), has its own" "$wrong" ''
	is "$lab $name: exitdump shows each" "$(sort -n "$F/$name-vcpus" | awk -F'\t' '{ print $1, $2 }')" \
		"$(for ((i = first; i < first + 32; i++)); do echo "$i $(cell "$name.$i" 114 exits)"; done)"
	is "$lab $name: and their sum" "$(jq -r '.vcpus, .rows[].exits' "$F/$name-vm" | xargs)" "32 $(cell "$name.vm" 114 exits)"
	is "$lab $name: in an interval they are idle" "$(awk '$3 ~ /cpuid/' "$F/$name-interval")" ''
}

judge() {
	local most
	most=$(sed -n "s/^CONFIG_KVM_MAX_NR_VCPUS=//p" "$CACHE/$kernel/$debug/src/.config")
	judge_vcpus wide 0
	judge_vcpus high $((4 * ${most:-1024} - 32))

	is "$lab many: $VMS VMs" "$(key many-host vms):$(key many-host vcpus)" "$VMS:$VMS"
	is "$lab many: the host has what all made" "$(account_says many many-host before)" "$(vmm_says many)"
	is "$lab many: and keeps it" "$(account_says many after before):$(key after vms)" "$(vmm_says many):0"
	is "$lab many: its account agrees with itself" "$(contradictions many-host)" ''
	is "$lab many: exitdump lists each by its name" "$(cut -f 1 "$F/many-list" | sort)" "$(awk '$1 == "vm" { print $4 }' "$F/many" | sort)"
	is "$lab many: each with its exits" "$(cut -f 2 "$F/many-vms" | sort | uniq -c | xargs)" "$VMS 23"
	is "$lab many: as JSON, too" "$(jq -r '.vms, .vcpus, (.rows | length), ([.rows[].exits] | add)' "$F/many-json" | xargs)" \
		"$VMS $VMS $VMS $((23 * VMS))"
	note "$(<"$F/many-memory")"
	tried VMs $((VMS + 2))
}

make -s -C "$TOP/tools" >/dev/null
for one in $LABS; do
	stress "$one" -t 3000 -a "$TOP/tools/exitdump" || continue
	judge
done
done_testing
