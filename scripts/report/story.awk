# SPDX-License-Identifier: GPL-2.0-only
# story.awk - the part of a boot's page that is not its account: what was done, where, and
# the cost of each run. Prints account.awk's format, for scripts/report.sh -s.
#
# Usage: awk -f csv.awk -f story.awk ABOUT RUNS
#
# ABOUT has lines KEY TAB VALUE; RUNS is the output of runs.awk.

BEGIN {
	FS = "\t"
	COLOURS = 5
	split("one two three four five six seven eight nine", word, " ")
}

FNR == 1 {
	file++
}
file == 1 {
	about[$1] = plain($2)
	about_order[++abouts] = $1
	next
}
$1 == "check" {
	checked = $2
	outside = $3
}
$1 == "never" {
	never = $2
}
$1 == "sum" {
	exits = $2
	cycles = $3
}
$1 == "row" || $1 == "total" {
	if ($1 == "row")
		reason[++rows] = $2
	key = $1 == "row" ? $2 : "all"
	name[key] = $3
	boot[key] = $4
	reads = NF - 4
	for (i = 1; i <= reads; i++)
		read[key, i] = $(i + 4)
}
$1 == "cost" {
	for (i = 3; i <= NF; i++) {
		cost[$2, i - 2] = $i
		all_cost[$2] += $i
		run_cost[i - 2] += $i
	}
}

END {
	if (died)
		exit 1
	say("title", "Where a virtual machine's time goes: its boot, and cpuid " times())
	say("text", "A VM with " about["vCPUs"] " vCPUs booted Linux. Then the ordinary cpuid program read KVM's exit_cycles leaves in it, " \
		"all of them, " times() (reads > 1 ? " in a row" : "") ". QEMU stopped the VM after its boot and after each run, and the host's account was taken " \
		"while it stood still. Times are by the TSC" ticks() ".")
	short_list()
	runs_table()
	say("section", "Where this ran")
	say("head", "what\twhich")
	for (i = 1; i <= abouts; i++)
		say("row", about_order[i] "\t" about[about_order[i]])
	say("end", "")
	say("text", "The same again, on such a machine, and this page again from its recording:")
	say("code", about["command"])
	say("code", "scripts/boot-report.sh -i recording")
}

function say(what, text) {
	print what "\t" text
}

function times() {
	return reads == 1 ? "once" : word[reads] " times"
}

# ticks: returns the meaning of a tick, which depends on the machine.
function ticks() {
	if (about["machine"] ~ /Bochs/)
		return ", one tick an instruction, since the host is emulated by Bochs"
	if (about["machine"] ~ /TCG/)
		return "; the host here is emulated by QEMU's TCG, so they say what emulating each exit took, not what hardware takes"
	return ""
}

# ranking VALUE FROM TO: returns the names and numbers of the reasons at these ranks.
function ranking(value, from, to,    i, text) {
	for (i = from; i <= to; i++)
		text = text (text == "" ? "" : ", ") name[ranked[i]] " " group(value[ranked[i]])
	return text
}

function short_list(    i, r, low, high, n) {
	say("section", "The boot and the runs")
	say("item", "After boot: " group(boot["all"]) " exits. After run " reads ": " group(exits) " exits and " group(cycles) " cycles in KVM's exit handlers.")
	for (i = 1; i <= rows; i++)
		if (boot[reason[i]] > 0)
			ranked[++n] = reason[i]
	by_size(boot, ranked, n)
	if (n) {
		say("item", "Most frequent after boot: " ranking(boot, 1, n < 3 ? n : 3) ".")
		say("item", "Least frequent, of the " n " reasons that happened: " ranking(boot, n < 4 ? 1 : n - 2, n) \
			"; " never " more that the kernel names never happened.")
	}
	for (r = 2; r <= reads; r++) {
		i = read["all", r] - read["all", r - 1]
		if (r == 2 || i < low)
			low = i
		if (r == 2 || i > high)
			high = i
	}
	if (reads > 1)
		say("item", "From run to run " (low == high ? group(low) : group(low) " to " group(high)) \
			" exits: every start of the cpuid program executes CPUID, faults pages in and is scheduled.")
	if (outside)
		say("item", "NOT consistent: of " checked " numbers that the guest read, " outside " do not lie between what the host's table said before and after the run.")
	else
		say("item", "Consistent: all " checked " numbers that the guest read lie between what the host's table said before and after the run.")
}

function runs_table(    i, r, text) {
	say("section", "Exits in each run")
	say("text", "What each run cost, by the host's tables before and after it:")
	bars()
	say("picture", "runs\tExits in each run, stacked by reason")
	say("text", "What the guest itself read (leaf 0x4ffffffd, and 0x4fffffff for all), and behind it how much more than in the run before. " \
		"Each number is of the moment it was read, so that the rows do not add up to all, which each run read first. After boot: the host's table.")
	text = "name\treason\tafter boot"
	for (r = 1; r <= reads; r++)
		text = text "\trun " r
	say("head", text)
	for (i = 1; i <= rows; i++)
		runs_row("row", reason[i], reason[i])
	runs_row("sum", "all", "")
	say("end", "")
}

# bars: the reasons with the highest cost get colours, the others are one part.
function bars(    i, r, n, most, part, rest, line) {
	for (i = 1; i <= rows; i++)
		ranked[i] = reason[i]
	by_size(all_cost, ranked, rows)
	for (i = 1; i <= rows && i <= COLOURS; i++)
		say("colour", "r" i "\t" name[ranked[i]])
	say("colour", "rest\tothers")
	for (r = 1; r <= reads; r++)
		most = run_cost[r] > most ? run_cost[r] : most
	for (r = 1; r <= reads; r++) {
		line = "run " r "\t" group(run_cost[r]) "\t"
		rest = run_cost[r]
		for (i = 1; i <= rows && i <= COLOURS; i++) {
			part = cost[ranked[i], r]
			rest -= part
			line = line sprintf("\tr%d=%.3f", i, most ? 100 * part / most : 0)
		}
		say("bar", line sprintf("\trest=%.3f", most ? 100 * rest / most : 0))
	}
}

function runs_row(kind, key, number,    r, text, more) {
	text = name[key] "\t" number "\t" group(boot[key])
	for (r = 1; r <= reads; r++) {
		more = r > 1 && read[key, r] != "-" ? " (" sprintf("%+.0f", read[key, r] - read[key, r - 1]) ")" : ""
		text = text "\t" (read[key, r] == "-" ? "-" : group(read[key, r])) more
	}
	say(kind, text)
}
