# SPDX-License-Identifier: GPL-2.0-only
# account.awk - turns an account into the content of a page; html.awk and markdown.awk write
# this content down.
#
# Usage: awk [-v told=1] -f csv.awk -f account.awk LINES
#
# LINES come from scripts/report.sh: a kind and its cells, between tabs, after a line
# `columns KIND NAME...`. `-` means not known. told: a story brings the title. Prints one
# line for each element, fields between tabs:
#	title|section|text|item|code TEXT
#	lead BEFORE NUMBER BEHIND	the sentence that everybody should read
#	fact NAME TEXT
#	head|row|sum|group CELL...	lines of a table, from head to end; "12 (+3)" is a cell
#	end
#	caption TEXT			the caption of bars
#	colour CLASS TEXT		the meaning of a colour, in bars and before this text in tables
#	bar NAME TEXT SHARE CLASS=PERCENT...	a bar with its parts and their lengths
#	columns NAME TEXT FROM MIDDLE TO PERCENT=TEXT...	a histogram
#	picture NAME TEXT		NAME.svg, if pictures lie beside the page
# CLASS is a class in style.css.

BEGIN {
	FS = "\t"
	PANELS = 9		# histograms
	LONGEST = 8		# keys of a reason
	LAST = 32		# slow exits, VMs
	COLUMNS = "name exits:n lost:t share:% cycles:t avg:t user:t sched:t other:t halt:t max:t p99:b slow:n"
	split("guest kvm user sched other halt stop", part, " ")
	title_of["guest"] = "in the guest"
	title_of["kvm"] = "KVM's exit handler"
	title_of["user"] = "user space (QEMU)"
	title_of["sched"] = "no CPU"
	title_of["other"] = "interrupts or entry"
	title_of["halt"] = "halted"
	title_of["stop"] = "stopped"
}

$1 == "columns" {
	kind = $2
	for (i = 3; i <= NF; i++)
		name[i - 1] = $i
	next
}
$1 == "none" {
	none[$2] = 1
	next
}
{
	n = ++many[$1]
	for (i = 2; i <= NF; i++)
		cell[$1, n, name[i]] = $i
}
$1 == "row" {
	total_of[cell["row", n, "name"]] = cell["row", n, "total"]
	split_up("row", n)
}
$1 == "total" {
	cell["total", n, "name"] = "TOTAL"
	split_up("total", n)
}

END {
	khz = fact("tsc_khz")
	lost = cell["total", 1, "lost"]
	if (cell["total", 1, "other"] == "-")
		title_of["other"] = "not told apart"
	if (!told)
		say_title()
	facts()
	lead()
	where()
	vms()
	reasons()
	histograms()
	keys()
	slow()
}

function say(what, text) {
	print what "\t" text
}

function fact(key) {
	return cell["fact", 1, key]
}

# split_up KIND N: splits a row's time into parts. Some of them add up to `lost`, if it is known.
function split_up(kind, n,    p, rest) {
	rest = cell[kind, n, "lost"] == "-" ? cell[kind, n, "total"] - cell[kind, n, "halt"] : cell[kind, n, "lost"]
	p = cell[kind, n, "cycles"] - cell[kind, n, "hsched"]
	rest -= time[kind, n, "kvm"] = p > 0 ? p : 0
	rest -= time[kind, n, "user"] = cell[kind, n, "user"] + 0
	rest -= time[kind, n, "sched"] = cell[kind, n, "sched"] + 0
	time[kind, n, "other"] = rest > 0 ? rest : 0
	time[kind, n, "halt"] = cell[kind, n, "halt"] + 0
	time[kind, n, "stop"] = cell[kind, n, "stop"] + 0
}

# long CYCLES UP: returns a time as exitdump's tables print it, from 0.34ns to 99999s. UP
# rounds up, for an upper bound. If the TSC's frequency is not known, returns short cycles.
function long(cycles, up,    n, i, step, unit) {
	if (cycles == "-" || khz == "-")
		return shorten(cycles, up)
	n = divide(cycles * 100000000, khz, up)
	if (!n)
		return "0"
	split("ns us ms s", unit, " ")
	step = 1
	for (i = 0; i < 12 && divide(n, step, up) >= (i == 11 ? 100000 : 1000); i++)
		step *= 10
	if (i < 12)
		return sprintf("%." (2 - i % 3) "f%s", divide(n, step, up) / (10 ^ (2 - i % 3)), unit[int(i / 3) + 1])
	n /= 8640000000000000
	return n < 99999.5 ? sprintf("%.0fd", n) : sprintf("%.0fy", n / 365.25)
}

# shorten NUMBER UP: returns numbers up to 999999 in full, larger ones as 1.000M to 18.45E.
function shorten(n, up,    step, cut) {
	if (n == "-" || n < 1000000)
		return n == "-" ? n : sprintf("%.0f", n)
	for (step = 1; divide(n, step, up) > 9999; step *= 10)
		cut++
	return sprintf("%." (3 - cut % 3) "f%s", divide(n, step, up) / (10 ^ (3 - cut % 3)), substr("kMGTPE", int(cut / 3) + 1, 1))
}

function divide(n, by, up,    whole) {
	whole = int(n / by + (up ? 0 : 0.5))
	return up && whole < n / by ? whole + 1 : whole
}

function percent(share) {
	return share == "-" ? share : sprintf(share >= 0.9995 ? "%.0f%%" : "%.1f%%", int(share * (share >= 0.9995 ? 100 : 1000) + 0.5) / (share >= 0.9995 ? 1 : 10))
}

function ratio(some, all) {
	return all > 0 ? some / all : 0
}

# bound KIND N COLUMN: returns a percentile, rounded up; one that is max is rounded as max is.
function bound(kind, n, column) {
	return long(cell[kind, n, column], cell[kind, n, column] != cell[kind, n, "max"])
}

# cells KIND N LIST: returns the cells COLUMN:FORMAT..., with a tab before each.
function cells(kind, n, list,    i, c, word, value, text) {
	c = split(list, word, " ")
	for (i = 1; i <= c; i++) {
		split(word[i], format, ":")
		value = cell[kind, n, format[1]]
		text = text "\t" (format[2] == "n" ? group(value) : format[2] == "t" ? long(value) : format[2] == "b" ? bound(kind, n, format[1]) : format[2] == "%" ? percent(value) : \
			format[2] == "k" ? short_key(value) : value)
	}
	return text
}

function plural(n, text) {
	return n == "-" ? "- " text "s" : n " " text (n == 1 ? "" : "s")
}

function what_is(    vendor) {
	vendor = fact("vendor")
	vendor = vendor == "vmx" ? "Intel VMX" : vendor == "svm" ? "AMD SVM" : vendor
	return (fact("scope") == "vcpu" ? "one vCPU" : plural(fact("vms"), "VM") ", " plural(fact("vcpus"), "vCPU")) " on " vendor
}

function say_title() {
	say("title", fact("title") == "-" ? "VM exits: " what_is() : fact("title"))
}

function facts(    tsc) {
	tsc = khz == "-" ? "-" : khz < 1000000 ? sprintf("%.1f MHz", khz / 1000) : sprintf("%.3f GHz", khz / 1000000)
	if (told || fact("title") != "-")
		say("fact", "Of\t" what_is())
	say("fact", "Kernel\t" fact("kernel"))
	say("fact", "TSC\t" tsc ", " fact("tsc"))
	say("fact", "Exits\t" group(cell["total", 1, "exits"] == "" ? 0 : cell["total", 1, "exits"]))
	say("fact", "Capture\t" fact("capture"))
}

# ranking: returns the reasons that lost the most time.
function ranking(    i, text, last) {
	last = many["row"] < 3 ? many["row"] : 3
	for (i = 1; i <= last; i++)
		text = text (i == 1 ? "" : i == last ? " and " : ", ") cell["row", i, "name"] " (" percent(cell["row", i, "share"]) ")"
	return text
}

function lead(    most, i, halt, who, they, were) {
	who = fact("vms") == 1 ? "The guest" : "The guests"
	they = fact("vms") == 1 ? "it" : "they"
	were = they == "it" ? "was" : "were"
	if (!lost || lost == "-") {
		say("lead", !lost ? who " lost\tno\ttime to exits." : \
			"It is\tnot known\thow much " tolower(who) " lost: the account lacks a column for that.")
		return
	}
	if (fact("overhead") == "-")
		say("lead", who " lost\t" long(lost) "\tto exits; how long " they " ran is not known.")
	else
		say("lead", who " lost\t" percent(fact("overhead")) "\tof the time that " they " wanted to run.")
	for (i = 2; i <= 5; i++)
		if (most == "" || time["total", 1, part[i]] > time["total", 1, most])
			most = part[i]
	halt = time["total", 1, "halt"]
	say("text", "That is " long(lost) (khz == "-" ? " cycles" : "") ", most of it to " ranking() ". The largest part of it, " \
		percent(ratio(time["total", 1, most], lost)) ", was " words(most) "." \
		(halt ? " Besides, " they " " were " halted, that is idle, for " long(halt) "." : ""))
}

function words(p) {
	return p == "kvm" ? "work of KVM itself" : p == "user" ? "spent in user space, that is in QEMU" : \
		p == "sched" ? "waiting for a CPU of the host" : "interrupts of the host and the way back into the guest"
}

# bar LABEL TEXT SHARE KIND N FROM TO WHOLE: prints a bar of the parts FROM to TO.
function bar(label, text, share, kind, n, from, to, whole,    i, line) {
	for (i = from; i <= to; i++)
		if (time[kind, n, part[i]] > 0)
			line = line sprintf("\t%s=%.3f", part[i], 100 * ratio(time[kind, n, part[i]], whole))
	say("bar", label "\t" text "\t" share line)
}

function where(    i, all) {
	say("section", "Where the time went")
	time["total", 1, "guest"] = fact("guest") + 0
	for (i = 1; i <= 7; i++) {
		all += time["total", 1, part[i]]
		say("colour", part[i] "\t" title_of[part[i]])
	}
	if (khz == "-")
		say("text", "Times are in cycles of the TSC, whose frequency is not known.")
	bar(unknown("guest") ? "all exits" : "all of the time", long(all), "", "total", 1, 1, 7, all)
	say("head", "part\ttime\tof all\tof lost")
	for (i = 1; i <= 7; i++)
		say("row", title_of[part[i]] "\t" (unknown(part[i]) ? "-\t-" : long(time["total", 1, part[i]]) "\t" percent(ratio(time["total", 1, part[i]], all))) \
			"\t" (i == 1 || i > 5 ? "" : unknown(part[i]) || lost == "-" ? "-" : percent(ratio(time["total", 1, part[i]], lost))))
	say("end", "")
	if (!lost)
		return
	if (lost != "-")
		bars()
	say("picture", "where\tParts of the time from exit to entry, in percent, for all and by exit reason")
}

function bars(    i, few) {
	say("caption", "What was lost, by exit reason:")
	for (i = 1; i <= many["row"]; i++)
		if (cell["row", i, "share"] < 0.005)
			few++
		else
			bar(cell["row", i, "name"], long(cell["row", i, "lost"]), percent(cell["row", i, "share"]), "row", i, 2, 5, cell["row", 1, "lost"])
	if (few)
		say("caption", "And " plural(few, "more reason") ", less than 0.5%" (few > 1 ? " each" : "") ".")
}

# unknown PART: whether the kernel is too old to count this part; its time is in `other`.
function unknown(p) {
	return p == "guest" ? fact("guest") == "-" : p != "other" && cell["total", 1, p] == "-"
}

function vms(    i) {
	if (many["vm"] < 2)
		return
	say("section", "VMs")
	say("head", "vm\tguest\tvCPUs\texits\tlost\toverhead\tshare\tKVM\tuser\tsched\thalt")
	for (i = 1; i <= many["vm"] && i <= LAST; i++)
		print "row" cells("vm", i, "vm vmname vcpus exits:n lost:t overhead:% share:% cycles:t user:t sched:t halt:t")
	say("end", "")
	more(many["vm"], LAST, "VM")
}

function more(n, shown, what) {
	if (n > shown)
		say("text", "And " plural(n - shown, "more " what) " that " (n - shown == 1 ? "is" : "are") " not shown.")
}

function reasons(    i) {
	say("section", "Exits by reason")
	say("head", "name\texits\tlost\tshare\tKVM\tavg\tuser\tsched\tother\thalt\tmax\tp99\tslow")
	for (i = 1; i <= many["row"]; i++)
		print "row" cells("row", i, COLUMNS)
	print "sum" cells("total", 1, COLUMNS)
	say("end", "")
	say("text", "KVM is the time in its exit handler, avg the same for one exit. Lost is the time from the exit to the next entry, without the time halted or stopped. User (in user " \
		"space, QEMU), sched (without a CPU) and other are parts of it. Max is the longest exit, halted or not; 99 in 100 exits took at most p99.")
	say("picture", "cycles\tCycles in KVM's exit handler by reason")
}

# Bucket b has totals from 2^(b-1) to 2^b - 1; the last one has all from 2^30 up.
function histograms(    i, b, n, low, high, count, shown) {
	say("section", "How long exits take")
	low = 33
	for (i = 1; i <= many["row"]; i++)
		if (split(cell["row", i, "hist"], count, " ") == 32)
			for (b = 0; b < 32; b++)
				if (count[b + 1] > 0) {
					low = b < low ? b : low
					high = b > high ? b : high
				}
	if (low == 33) {
		say("text", "Not known here: there is no exit_cycles_hist beside this account, or it is empty.")
		return
	}
	say("text", "The time from the exit to the next entry; for HLT it includes the time halted. Each column covers twice the range of the one before it. Half of the exits took at most p50, and 99 in 100 at most p99.")
	if ((high - low) % 2 == 0)
		high < 31 ? high++ : low--
	for (i = 1; i <= many["row"]; i++)
		if (split(cell["row", i, "hist"], count, " ") == 32 && shown++ < PANELS)
			panel(i, count, low, high)
	more(shown, PANELS, "reason")
	say("picture", "latency\tA histogram for each exit reason: exits by the time from exit to entry, in powers of two")
}

function panel(n, count, low, high,    b, most, share, line) {
	for (b = low; b <= high; b++)
		most = count[b + 1] > most ? count[b + 1] : most
	for (b = low; b <= high; b++) {
		share = most ? 100 * count[b + 1] / most : 0
		# one exit of very many is not none
		if (share && share < 0.01)
			share = 0.01
		line = line sprintf("\t%.2f=%s to %s: %s", share, edge(b - 1), b < 31 ? edge(b) : "more", plural(group(count[b + 1]), "exit"))
	}
	say("columns", cell["row", n, "name"] "\t" plural(group(cell["row", n, "exits"]), "exit") ", p50 " bound("row", n, "p50") ", p99 " bound("row", n, "p99") "\t" edge(low - 1) "\t" edge((low + high - 1) / 2) "\t" (high < 31 ? edge(high) : "more") line)
}

function edge(b) {
	return b < 0 ? "0" : long(2 ^ b)
}

function keys(    i, seen) {
	say("section", "Why: the keys inside reasons")
	if (none["keys"]) {
		say("text", "Not known here: there is no exit_cycles_keys beside this account. Its kernel's patches are older than keys, or it was not copied.")
		return
	}
	if (!many["key"]) {
		say("text", "No exit had a key.")
		return
	}
	say("text", "The MSR, port, page or kind of access. Total is the time from the exit to the next entry, share the part of the reason's total.")
	say("head", "key\twhat\texits\ttotal\tshare\tKVM\tmax")
	for (i = 1; i <= many["key"]; i++)
		if (!seen[cell["key", i, "name"]]++)
			keys_of(cell["key", i, "name"])
	say("end", "")
	if (cell["of_keys", 1, "replaced"] > 0)
		say("text", plural(group(cell["of_keys", 1, "replaced"]), "key") " replaced; their exits may be in the rest (-).")
}

function keys_of(reason,    i, n) {
	for (i = 1; i <= many["key"]; i++) {
		if (cell["key", i, "name"] != reason || n++ >= LONGEST)
			continue
		if (n == 1)
			say("group", reason)
		print "row" cells("key", i, "key:k what exits:n total:t") "\t" (reason in total_of ? percent(ratio(cell["key", i, "total"], total_of[reason])) : "-") cells("key", i, "cycles:t max:t")
	}
	if (n > LONGEST)
		say("row", "...\t" n - LONGEST " more\t\t\t\t\t")
}

# short_key KEY: returns L2:0x6e0 for 0x80000000000006e0
function short_key(key,    digit) {
	if (key !~ /^0x[89a-f]/ || length(key) != 18)
		return key
	digit = index("89abcdef", substr(key, 3, 1)) - 1
	key = digit substr(key, 4)
	sub(/^0+/, "", key)
	return "L2:0x" (key == "" ? 0 : key)
}

function slow(    i, over) {
	say("section", "Slow exits")
	if (none["slow"]) {
		say("text", "Not known here: there is no exit_cycles_slow beside this account. Its kernel's patches are older than slow exits, or it was not copied.")
		return
	}
	over = cell["of_slow", 1, "threshold"]
	if (over == "0" && !many["slow"]) {
		say("text", "None were recorded: the recorder was off (exitdump set slow).")
		return
	}
	over = over == "0" ? "The recorder is off now; these were recorded before" : "Of each vCPU, KVM keeps the last 16 exits that lost more than " \
		(over % 1000 ? over "us" : over / 1000 "ms")
	if (!many["slow"]) {
		say("text", over ": there were none.")
		return
	}
	say("text", over ". The newest is first; times are UTC." \
		(cell["of_slow", 1, "overwritten"] > 0 ? " Overwritten since: " group(cell["of_slow", 1, "overwritten"]) "." : ""))
	say("head", "when\tlost\tmostly\tvm\tvCPU\tname\tkey\twhat\tKVM\tuser\tsched\tother\trip")
	for (i = 1; i <= many["slow"] && i <= LAST; i++) {
		if (cell["slow", i, "vmname"] != "-")
			cell["slow", i, "vm"] = cell["slow", i, "vm"] " (" cell["slow", i, "vmname"] ")"
		print "row" cells("slow", i, "time lost:t mostly vm vcpu name key:k what cycles:t user:t sched:t other:t rip")
	}
	say("end", "")
	more(many["slow"], LAST, "slow exit")
}
