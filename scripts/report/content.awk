# SPDX-License-Identifier: GPL-2.0-only
# content.awk - what the report says, for markdown.awk and html.awk to write down.
#
# Usage: awk -f csv.awk -f content.awk ABOUT RUNS CSV
#
# ABOUT has lines KEY TAB VALUE; RUNS is of runs.awk; CSV is the host's last table,
# of exitdump --csv with the columns of tables() below. A line a thing, fields
# between tabs:
#	title|section|text|item|code TEXT
#	head|row|sum CELL...	a table's, from head to end; "12 (+3)" is a cell
#	end
#	picture NAME TEXT	NAME.svg, and what it shows

BEGIN {
	FS = "\t"
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
file == 2 && $1 == "check" {
	checked = $2
	outside = $3
}
file == 2 && $1 == "never" {
	never = $2
}
file == 2 && ($1 == "row" || $1 == "total") {
	if ($1 == "row")
		reason[++rows] = $2
	key = $1 == "row" ? $2 : "all"
	name[key] = $3
	boot[key] = $4
	reads = NF - 4
	for (i = 1; i <= reads; i++)
		read[key, i] = $(i + 4)
}
file == 2 {
	next
}
FNR == 1 {
	csv_heading($0, "reason name exits cycles avg total halt user other max p50 p99 share")
	next
}
{
	csv_line($0)
	last[++lasts] = $0
	exits += csv_number("exits")
	cycles += csv_number("cycles")
	total += csv_number("total")
	halt += csv_number("halt")
	user += csv_number("user")
	other += csv_number("other")
}

END {
	if (died)
		exit 1
	say("title", "Where a virtual machine's time goes: its boot, and cpuid " times())
	say("text", "A VM with " about["vCPUs"] " vCPUs booted Linux. Then the ordinary cpuid program read KVM's exit_cycles leaves in it, " \
		"all of them, " times() (reads > 1 ? " in a row" : "") ". QEMU stopped the VM after its boot and after each run, and the host's table was taken " \
		"while it stood still. A cycle is a tick of the TSC" ticks() ".")
	short_list()
	runs_table()
	cycles_table()
	time_spent()
	say("section", "How long exits take")
	say("text", "From the exit to the next entry, for the reasons that cost the guest most, boot and all runs together. HLT includes the time halted.")
	picture("latency", "A histogram for each exit reason: exits by the cycles from exit to entry, in powers of two")
	say("section", "Where it was")
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

function picture(file, text) {
	say("picture", file "\t" text)
}

function times() {
	return reads == 1 ? "once" : word[reads] " times"
}

# What a tick is depends on the machine.
function ticks() {
	if (about["machine"] ~ /Bochs/)
		return ", here an instruction, since the host is emulated by Bochs"
	if (about["machine"] ~ /TCG/)
		return "; the host here is emulated by QEMU's TCG, so they say what emulating each exit took, not what hardware takes"
	return ""
}

# group NUMBER: 1,234,567
function group(n,    text) {
	n = sprintf("%.0f", n)
	while (n ~ /[0-9][0-9][0-9][0-9]/) {
		text = "," substr(n, length(n) - 2) text
		n = substr(n, 1, length(n) - 3)
	}
	return n text
}

function percent(part, whole) {
	return sprintf("%.1f %%", whole ? 100 * part / whole : 0)
}

# ranking VALUE FROM TO: names and numbers of the reasons at these ranks.
function ranking(value, from, to,    i, text) {
	for (i = from; i <= to; i++)
		text = text (text == "" ? "" : ", ") name[ranked[i]] " " group(value[ranked[i]])
	return text
}

function short_list(    i, r, low, high, n) {
	say("section", "In short")
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
	say("item", "The guest ran " percent(about["guest cycles"], about["guest cycles"] + total) " of its time; without the time it had halted, " \
		percent(about["guest cycles"], about["guest cycles"] + total - halt) ".")
	if (outside)
		say("item", "NOT consistent: of " checked " numbers that the guest read, " outside " do not lie between what the host's table said before and after the run.")
	else
		say("item", "Consistent: all " checked " numbers that the guest read lie between what the host's table said before and after the run.")
}

function runs_table(    i, r, text) {
	say("section", "Exits in each run")
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
	say("text", "What each run cost, by the host's tables before and after it:")
	picture("runs", "Exits in each run, stacked by reason")
}

function runs_row(kind, key, number,    r, text, more) {
	text = name[key] "\t" number "\t" group(boot[key])
	for (r = 1; r <= reads; r++) {
		more = r > 1 && read[key, r] != "-" ? " (" sprintf("%+.0f", read[key, r] - read[key, r - 1]) ")" : ""
		text = text "\t" (read[key, r] == "-" ? "-" : group(read[key, r])) more
	}
	say(kind, text)
}

function cycles_table(    i, c, n, text, cell) {
	say("section", "Cycles by reason")
	say("text", "Of the boot and all runs, the reason that cost the guest most first. Cycles are those in KVM's exit handler, total is from the exit to the next entry; " \
		"halted, in user space (QEMU) and other are parts of it. Share leaves out the time halted.")
	say("head", "name\treason\texits\tcycles\teach\ttotal\thalted\tuser\tother\tlongest\t99 % at most\tshare")
	n = split("cycles avg total halt user other max p99", cell, " ")
	for (i = 1; i <= lasts; i++) {
		csv_line(last[i])
		text = plain(field[column["name"]]) "\t" field[column["reason"]] "\t" group(csv_number("exits"))
		for (c = 1; c <= n; c++)
			text = text "\t" (field[column[cell[c]]] == "" ? "-" : short(csv_number(cell[c])))
		say("row", text "\t" percent(field[column["share"]], 1))
	}
	say("sum", "all\t\t" group(exits) "\t" short(cycles) "\t" short(exits ? int(cycles / exits) : 0) "\t" short(total) "\t" short(halt) "\t" short(user) "\t" short(other) "\t\t\t")
	say("end", "")
	picture("cycles", "Cycles in KVM's exit handler by reason")
}

function time_spent(    all, text) {
	all = about["guest cycles"] + total
	say("section", "Where the time went")
	say("text", "Of all cycles of the VM's vCPUs from their first entry on, boot and all runs together:")
	say("head", "part\tcycles\tshare")
	say("row", "in the guest\t" group(about["guest cycles"]) "\t" percent(about["guest cycles"], all))
	say("row", "KVM's exit handlers\t" group(cycles) "\t" percent(cycles, all))
	say("row", "halted\t" group(halt) "\t" percent(halt, all))
	say("row", "user space (QEMU)\t" group(user) "\t" percent(user, all))
	say("row", "other (interrupts, scheduling, entry)\t" group(other) "\t" percent(other, all))
	say("end", "")
	picture("where", "Parts of the time from exit to entry, in percent, for all and by exit reason")
}
