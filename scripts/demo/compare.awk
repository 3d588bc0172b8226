# SPDX-License-Identifier: GPL-2.0-only
# compare.awk - compares the guest's reads through CPUID with the host's table of the same
# moment.
#
# Usage: awk -v show=1 -f compare.awk READS
#
# READS holds for each read a line `read LEAF REASON ANSWER` (tabs between), then `before`
# and `after`, each followed by the host's table before and after the read. QEMU stops the
# guest right before and right after a read. Only one exit between these two stops is
# missing in the read's answer: the CPUID exit that fetches the answer, since an exit is
# counted when the guest continues. The script counts this exit in the tables and does not
# assume it: a read with any other exit in it is not identical. Such a read is made again,
# and the first identical read counts. The OUT instruction that stops the guest is in
# neither view yet.
# Exit status: 0 all identical, 1 not, 3 the file is not READS, 4 the leaves do not exist.

BEGIN {
	FS = "\t"
}

# read	0x4ffffffc	10	0x4ffffffc 0x0a: eax=0x00000000 ebx=0x0001e240 ...
$1 == "read" {
	finish()
	leaf = $2
	reason = $3
	answer = $4
	split("", row)
	next
}
$1 == "before" || $1 == "after" {
	when = $1
	next
}
# # exit_cycles 1	vendor=vmx	tsc_khz=...
/^# exit_cycles / {
	vendor = /vendor=svm/ ? "svm" : "vmx"
	next
}
# reason	name	exits	cycles ...
$1 == "reason" {
	for (i = 1; i <= NF; i++)
		column[$i] = i
	next
}
# 10	CPUID	1234	567890 ...
NF >= 4 {
	key = $column["name"] == "TOTAL" ? "TOTAL" : $column["reason"]
	name[key] = $column["name"]
	row[when, key, "exits"] = $column["exits"]
	row[when, key, "cycles"] = $column["cycles"]
}

END {
	finish()
	if (!keys && !absent) {
		print "compare: no reads"
		exit 3
	}
	report()
}

function hex(digits,    i, n) {
	n = 0
	for (i = 1; i <= length(digits); i++)
		n = n * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
	return n
}

# register R: the value of register R in an answer; -1 if the answer does not have it.
function register(r) {
	if (!match(answer, r "=0x[0-9a-f]+"))
		return -1
	return hex(substr(answer, RSTART + 6, RLENGTH - 6))
}

# growth KEY COLUMN: how much the host's number grew from the stop before to the stop after.
function growth(key, what) {
	return row["after", key, what] - row["before", key, what]
}

# finish: judges the read whose lines are now complete.
function finish(    id, what, cpuid, io, guest, host, own, out) {
	if (leaf == "")
		return
	cpuid = vendor == "svm" ? 114 : 10
	io = vendor == "svm" ? 123 : 30

	if (reason == "0xfffffffe") {
		absent = register("edx") != 4294967295 || register("ebx") != 0
		return
	}
	what = leaf ~ /[ce]$/ ? "cycles" : "exits"
	key = leaf ~ /[ef]$/ ? "TOTAL" : reason
	id = key SUBSEP what
	if (!(key in order)) {
		order[key] = ++keys
		by_order[keys] = key
	}
	tries[id]++
	if (same[id])
		return

	guest = register("ebx") + 4294967296 * register("ecx")
	host = row["after", key, what] + 0
	own = 0
	if (key == cpuid || key == "TOTAL")
		own = what == "exits" ? 1 : host - guest

	same[id] = register("ebx") >= 0 && host == guest + own && growth(io, "exits") == 1 && plausible(own, what, cpuid)
	guests[id] = guest
	hosts[id] = host
	why[id] = own ? sprintf("%.0f a", own) : "0"
}

# plausible OWN COLUMN CPUID: whether the growth OWN can be the read's own CPUID exit. There
# must be exactly one, and it must cost as much as the other CPUID exits of the same program
# (including reads of a leaf). All other reasons must not grow.
function plausible(own, what, cpuid) {
	if (key != cpuid && key != "TOTAL")
		return own == 0
	if (what == "exits")
		return own == 1
	return own > 0 && own <= 4 * growth(cpuid, "cycles") / growth(cpuid, "exits")
}

function report(    i, id, key, what, n, bad, unit) {
	if (absent) {
		print "The leaves are not there: this guest's CPUID answers as a stock KVM does."
		exit 4
	}
	for (i = 1; i <= keys; i++)
		for (unit = 0; unit < 2; unit++) {
			id = by_order[i] SUBSEP (unit ? "cycles" : "exits")
			n++
			bad += !same[id]
		}
	if (show) {
		line("", "", "guest", "host", "host - guest")
		for (unit = 0; unit < 2; unit++) {
			what = unit ? "cycles" : "exits"
			for (i = 1; i <= keys; i++) {
				key = by_order[i]
				id = key SUBSEP what
				line(what, (key == "TOTAL" ? "" : key " ") (key in name ? name[key] : "(never happened)"),
					sprintf("%.0f", guests[id]), sprintf("%.0f", hosts[id]),
					same[id] ? why[id] : sprintf("%.0f, not %s", hosts[id] - guests[id], why[id]))
			}
		}
		print ""
		print "a  the CPUID exit that fetched the answer: counted when the guest goes on"
		print "Each line is a read of its own, with the guest standing still right after it."
		print ""
	}
	if (bad) {
		printf "NOT identical: %d of %d reads differ by more than that\n", bad, n
		exit 1
	}
	printf "identical: all %d reads, but for the exit named\n", n
	exit 0
}

function line(what, name_, guest, host, difference) {
	printf "%-7s %-22s %16s %16s   %s\n", what, name_, guest, host, difference
}
