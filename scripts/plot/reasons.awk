# SPDX-License-Identifier: GPL-2.0-only
# reasons.awk - turns exitdump --csv into the bars of a picture: a line for each exit
# reason, fields between tabs.
#
# Usage: awk -v kind=cycles|where [-v guest=CYCLES] -f csv.awk -f reasons.awk CSV
#
#	cycles	NAME CYCLES LABEL		the most costly first
#	where	NAME GUEST HANDLER HALT USER OTHER	the bounds of the parts, in
#						percent; the bar of all reasons first
#
# Lines of the same reason from several VMs are added up. Reasons after the first TOP share
# one line.

BEGIN {
	TOP = 14
	needed = kind == "where" ? "name exits cycles total halt user" : "name exits cycles"
}

FNR == 1 {
	csv_heading($0, needed)
	next
}

{
	csv_line($0)
	name = plain(field[column["name"]])
	if (!(name in exits))
		order[++n] = name
	exits[name] += csv_number("exits")
	add(name)
	add("all exits")
}

function add(to) {
	cycles[to] += csv_number("cycles")
	if (kind != "where")
		return
	total[to] += csv_number("total")
	halt[to] += csv_number("halt")
	user[to] += csv_number("user")
}

END {
	if (died)
		exit 1
	if (!n)
		die("no exits in it, nothing to draw")
	if (kind == "where")
		where()
	else
		bars()
}

function bars(    i, rest, all) {
	all = cycles["all exits"]
	by_size(cycles, order, n)
	for (i = 1; i <= n && (i < TOP || n == TOP); i++)
		bar(order[i], cycles[order[i]], all)
	for (; i <= n; i++)
		rest += cycles[order[i]]
	if (n > TOP)
		bar((n - TOP + 1) " others", rest, all)
}

function bar(name, value, all) {
	printf "%s\t%.17g\t%s, %.1f %%\n", name, value, short(value), all ? 100 * value / all : 0
}

function where(    i) {
	if (!total["all exits"])
		die("no exit has ended in it, nothing to draw")
	if (guest != "")
		parts("guest and exits", "all exits", guest + 0)
	parts("all exits", "all exits", 0)
	by_size(total, order, n)
	for (i = 1; i <= n; i++) {
		if (!total[order[i]])
			continue
		if (i < TOP || n == TOP)
			parts(order[i], order[i], 0)
		else
			merge(order[i])
	}
	if ("others" in total)
		parts("others", "others", 0)
}

function merge(from) {
	cycles["others"] += cycles[from]
	total["others"] += total[from]
	halt["others"] += halt[from]
	user["others"] += user[from]
}

# parts TITLE NAME INSIDE: returns the line of one bar. An exit that has not ended has cycles
# but no total yet: its parts are cut where the total ends.
function parts(title, name, inside,    whole, at) {
	whole = inside + total[name]
	printf "%s (%s)", title, short(whole)
	at = inside
	printf "\t%.6g", 100 * at / whole
	at = bound(at + cycles[name], whole)
	printf "\t%.6g", 100 * at / whole
	at = bound(at + halt[name], whole)
	printf "\t%.6g", 100 * at / whole
	at = bound(at + user[name], whole)
	printf "\t%.6g\t100\n", 100 * at / whole
}

function bound(a, b) {
	return a < b ? a : b
}
