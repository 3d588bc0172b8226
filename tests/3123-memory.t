#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: an account takes at most 28 KiB for each vCPU on VMX and 40 KiB on SVM.
# This is what the kernel's own counters show for 64 more vCPUs. All of it is freed later, and
# reads leave no memory behind, nor does a module that is loaded again.
# The five debugfs files of a vCPU take slab memory in addition; a note tells how much.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
counters() {
	section "$1"
	echo 2 >/proc/sys/vm/drop_caches
	grep -E '^(Slab|VmallocUsed):' /proc/meminfo
	sed "s/^/dentries /" /proc/sys/fs/dentry-state
	awk '/kvm_exit_cycles_create/ && match($0, /pages=[0-9]+/) {
			n++
			pages += substr($0, RSTART + 6, RLENGTH - 6)
		}
		END { print "accounts", n + 0; print "pages", pages + 0 }' /proc/vmallocinfo
}

# settle N: waits until there are N accounts. They are freed after a grace period, in batches.
# The stock modules have no accounts.
settle() {
	wanted=$1
	[ $series = patched ] || wanted=0
	tries=0
	while [ "$(grep -c kvm_exit_cycles_create /proc/vmallocinfo)" != $wanted ] && [ $tries -lt 300 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
}

# Reads each file of the host 100 times.
read_all() {
	for file in exit_cycles exit_cycles_hist exit_cycles_keys exit_cycles_slow; do
		cat $(yes $K/$file | head -n 100) >/dev/null
	done
}

for series in stock patched; do
	lab-modules unload
	lab-modules load $series
	# twice, so that at the count no slab is new
	for n in 1 2; do
		hold few --spare 1 cpuid=1
		settle 2
		counters $series-few
		release
		settle 0
		hold many --spare 65 cpuid=1
		settle 66
		counters $series-many
		release
		settle 0
	done
	counters $series-none
done
# more keys and slow exits than a reader first has room for
hold wide --vcpus 2 walk-leaf=200 sleep-user:2=20 / walk-port=200 sleep-user:2=20
read_all
counters patched-unread
read_all
counters patched-read
account wide
release
counters loaded
vendor_module=kvm-amd
[ $vendor = svm ] || vendor_module=kvm-intel
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	rmmod $vendor_module
	insmod "$LAB_MODULES/$vendor_module.ko"
done
counters loaded-again
EOF

# counter SECTION NAME: prints its last value.
counter() {
	sed -n "s/^$2:* *\\([0-9]*\\).*/\\1/p" "$F/$1" | tail -n 1
}

# growth SERIES COUNTER: prints the growth with 64 more vCPUs.
growth() {
	echo $(($(counter "$1-many" "$2") - $(counter "$1-few" "$2")))
}

for one in $LABS; do
	boot "$one" -c 1 || continue
	limit=28
	[[ $vendor == vmx ]] || limit=40
	pages=$(growth patched pages)
	is "$lab 64 vCPUs more have 64 accounts more" "$(growth patched accounts)" 64
	ok "$lab an account takes $((pages * 4 / 64)) KiB, at most $limit" test "$pages" -le $((limit * 64 / 4)) -a "$pages" -gt 64
	note "$lab a vCPU takes $(((growth=$(growth patched Slab) + $(growth patched VmallocUsed) - $(growth stock Slab) - $(growth stock VmallocUsed)) / 64)) KiB more than with the stock modules, slab included ($growth KiB for 64)"
	grown=$(($(counter patched-read Slab) + $(counter patched-read VmallocUsed) - $(counter patched-unread Slab) - $(counter patched-unread VmallocUsed)))
	ok "$lab of $(key wide_keys keys) keys and $(key wide_slow kept) slow exits" test "$(key wide_keys keys)" -gt 64 -a "$(key wide_slow kept)" -gt 16
	ok "$lab 400 reads leave less than 150 KiB: $grown" test "$grown" -lt 150
	is "$lab all accounts are given back" "$(sed -n 's/^accounts //p' "$F/patched-none")" 0
	grown=$(($(counter loaded-again dentries) - $(counter loaded dentries)))
	ok "$lab to load the vendor's module again 20 times leaves less than 15 dentries: $grown" test "$grown" -lt 15
done
done_testing
