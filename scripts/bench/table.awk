# SPDX-License-Identifier: GPL-2.0-only
# table.awk - prints the bench's numbers (from facts.awk) as tables to read.
#
# Usage: awk -f table.awk FACTS

BEGIN {
	FS = "\t"
	WATCHERS = split("off on hist events bpf perf", watcher, " ")
	BY_KEY = split("off on keys keyhist keybpf perf", by_key, " ")
	ANYWHERE = split("bpf exitdump exitdumpkeys", anywhere, " ")
	split("rdmsr wrmsr-slow wrmsr-fast out-kernel", f, " ")
	for (i in f) has_key[f[i]]
}

{
	v[$1, $2, $3, $4, $5] = $6
	if ($1 == "exits" && !($2 in lab_seen)) { lab_seen[$2]; lab[++labs] = $2 }
	if ($1 == "exits" && $3 == "stock" && $5 == "smallest") item[$2, ++items[$2]] = $4
	if ($1 == "any" && $3 == "stock" && $5 == "smallest") { if (!($2 in any_items)) any[++anys] = $2; any_item[$2, ++any_items[$2]] = $4 }
	if ($1 == "reads" && $5 == "absent") { if (!($2 in reads)) reader[++readers] = $2; vcpus[$2, ++reads[$2]] = $4 }
	if ($1 == "reads" && $5 == "beside") vms[$2, ++besides[$2]] = $4
	if ($1 == "boot" && $5 == "ticks") { if (!($2 in boots)) { boots[$2]; boot[++nboots] = $2 } }
	parts[$1]
}

function get(part, where, way, what, metric) {
	return v[part, where, way, what, metric]
}

function show_heading(ways, n,   i) {
	printf "%-11s %9s", "exit", "stock"
	for (i = 1; i <= n; i++)
		printf " %8s", ways[i]
	print ""
}

function show_row(where, what, metric, ways, n,   i) {
	printf "%-11s %9d", what, get("exits", where, "stock", what, metric)
	for (i = 1; i <= n; i++)
		printf " %+8d", get("exits", where, ways[i], what, metric) - get("exits", where, "stock", what, metric)
	print ""
}

function show_exits(where, metric, words,   j) {
	printf "\n%s: %s round trip of an exit, in instructions, and what each way adds\n", where, words
	show_heading(watcher, WATCHERS)
	for (j = 1; j <= items[where]; j++)
		show_row(where, item[where, j], metric, watcher, WATCHERS)
}

function show_by_key(where,   j) {
	printf "\n%s: the same by MSR and port, smallest round trip\n", where
	show_heading(by_key, BY_KEY)
	for (j = 1; j <= items[where]; j++)
		if (item[where, j] in has_key)
			show_row(where, item[where, j], "smallest", by_key, BY_KEY)
}

function show_any(where,   i, j) {
	printf "\n%s, Debian's own kernel: smallest round trip, in instructions, and what counting by BPF adds\n", where
	printf "%-11s %9s %12s %15s %15s\n", "exit", "stock", "kvmexits.bt", "exitdump --bpf", "and its keys"
	for (j = 1; j <= any_items[where]; j++) {
		printf "%-11s %9d", any_item[where, j], get("any", where, "stock", any_item[where, j], "smallest")
		for (i = 1; i <= ANYWHERE; i++)
			printf " %+*d", i == 1 ? 12 : 15, get("any", where, anywhere[i], any_item[where, j], "smallest") - get("any", where, "stock", any_item[where, j], "smallest")
		print ""
	}
}

function added(where, way) {
	return get("exits", where, way, "cpuid", "smallest") - get("exits", where, "stock", "cpuid", "smallest")
}

function show_yield(where,   i, way) {
	printf "\n%s: what each way has to show for it\n", where
	printf "%-8s %13s %15s %25s %14s\n", "way", "events lost", "bytes an exit", "wrong, of known exits", "x the account"
	for (i = 2; i <= WATCHERS; i++) {
		way = watcher[i]
		printf "%-8s %13d %15.1f %16d of %5d %14.1f\n", way, get("exits", where, way, "-", "lost"), get("exits", where, way, "-", "bytes"),
			get("exits", where, way, "-", "wrong"), get("exits", where, way, "-", "known"), added(where, way) / added(where, "on")
	}
}

function show_reads(where,   i, n) {
	printf "\n%s: reading, in instructions, by vCPUs of the VM\n", where
	printf "%8s %15s %15s %15s %12s %12s\n", "vCPUs", "absent leaf", "leaf, all", "leaf, a reason", "VM's file", "host's file"
	for (i = 1; i <= reads[where]; i++) {
		n = vcpus[where, i]
		printf "%8d %15d %+15d %+15d %12d %12d\n", n, get("reads", where, "on", n, "absent"),
			get("reads", where, "on", n, "total") - get("reads", where, "on", n, "absent"),
			get("reads", where, "on", n, "row") - get("reads", where, "on", n, "absent"),
			get("reads", where, "on", n, "vm"), get("reads", where, "on", n, "host")
	}
	printf "%12s %12s\n", "VMs around", "file of a VM of 4 vCPUs"
	for (i = 1; i <= besides[where]; i++)
		printf "%12d %12d\n", vms[where, i], get("reads", where, "on", vms[where, i], "beside")
}

# middle WHERE WAY: the median of the rounds.
function middle(where, way,   n, i, j, a, t) {
	for (n = 0; ("boot", where, way, n + 1, "ticks") in v; n++)
		a[n + 1] = get("boot", where, way, n + 1, "ticks")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && a[j] < a[j - 1]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
	least = a[1]; most = a[n]; rounds = n
	return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}

function show_boot(   i, stock, spread, on) {
	print "\nA Linux guest from QEMU's start to its power off, millions of instructions of the machine"
	printf "%-9s %12s %12s %9s   %s\n", "lab", "stock", "on", "adds", "rounds, exits, stock's own spread"
	for (i = 1; i <= nboots; i++) {
		stock = middle(boot[i], "stock")
		spread = (most - least) / stock * 100
		on = middle(boot[i], "on")
		printf "%-9s %12.2f %12.2f %+8.3f%%   %d, %d, %.3f%%\n", boot[i], stock / 1e6, on / 1e6, (on / stock - 1) * 100,
			rounds, get("boot", boot[i], "on", "-", "exits"), spread
	}
}

function scaled(way, n) {
	return get("scale", "host", way, n, "cycles")
}

function show_scale(   i, way, n) {
	print "\nThe accounting step on this machine's CPUs, cycles an exit, with its RDTSCs"
	printf "%-30s %10s %10s %8s\n", "", "1 thread", "2 threads", "ratio"
	split("none|account|global", n, "|")
	split("the loop and one RDTSC|exit_cycles, one a vCPU|one global array of atomics", way, "|")
	for (i = 1; i <= 3; i++)
		printf "%-30s %10.1f %10.1f %8.2f\n", way[i], scaled(n[i], 1), scaled(n[i], 2), scaled(n[i], 2) / scaled(n[i], 1)
}

function show_model(   i, rdtsc, lines, n) {
	rdtsc = get("model", "host", "account", "slow-path", "rdtsc") - 1
	lines = get("model", "host", "account", "slow-path", "written")
	print "\nWhat instruction counts leave out, by exit: RDTSC costs some 25 cycles on current"
	print "hardware and here one instruction; a cache line costs nothing here, wherever it is."
	printf "%-30s %10s %10s\n", "", "ordinary", "fast path"
	printf "%-30s %10d %10d\n", "RDTSCs added", rdtsc, get("model", "host", "account", "fast-path", "rdtsc")
	printf "%-30s %10d %10d\n", "cache lines written, its own", lines, get("model", "host", "account", "fast-path", "written")
	printf "%-30s %10d %10d\n", "cache lines only read, shared", 1, 1
	for (i = 1; i <= labs; i++) {
		n = added(lab[i], "on")
		printf "model, %s: %d instructions at 2 a cycle + %d x 25 = %d cycles; with all %d lines from L2 (14) %d, from L3 (50) %d\n",
			lab[i], n, rdtsc, n / 2 + rdtsc * 25, lines + 1, n / 2 + rdtsc * 25 + (lines + 1) * 14, n / 2 + rdtsc * 25 + (lines + 1) * 50
	}
}

END {
	if (labs)
		print "off, on, keys: the patched modules, switched so; the others: on stock ones\n" \
			"  hist     ftrace's hist:keys=exit_reason on kvm_exit     events  kvm_exit and kvm_entry, unread\n" \
			"  bpf      what kvmexits.bt does                         perf    perf kvm stat record -a\n" \
			"  keyhist  hist:keys=ecx on kvm_msr, keys=port on kvm_pio: counts only\n" \
			"  keybpf   the same counts in a BPF map"
	for (i = 1; i <= labs; i++) {
		show_exits(lab[i], "smallest", "smallest")
		show_exits(lab[i], "mean", "mean")
		show_by_key(lab[i])
		show_yield(lab[i])
	}
	for (i = 1; i <= anys; i++)
		show_any(any[i])
	for (i = 1; i <= readers; i++)
		show_reads(reader[i])
	if (nboots)
		show_boot()
	if ("scale" in parts)
		show_scale()
	if ("model" in parts)
		show_model()
}
