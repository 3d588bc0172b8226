# SPDX-License-Identifier: GPL-2.0-only
# runs.awk - puts the guest's reads in its runs beside the host's tables before and after
# each run, into a line for each exit reason. Fields between tabs.
#
# Usage: awk -v runs=N -f csv.awk -f runs.awk READS BOOT READY RUN1... RUNN
#
# READS is written by the guest. The others are the host's tables from exitdump --csv -o
# reason,name,exits,cycles. Prints
#	row REASON NAME AFTER-BOOT READ1... READN	exits of the reasons that ever happened;
#							the most frequent at the end first
#	total - all AFTER-BOOT READ1... READN		exits of all reasons
#	cost REASON EXITS1... EXITSN	exits in each run, by the host's tables
#	sum EXITS CYCLES	the host's last table
#	never N			reasons that the kernel names and that never happened
#	check N OUTSIDE		N: how many exits and cycles the guest read; OUTSIDE: how many of
#				them do not lie between the host's tables before and after the run

FNR == 1 {
	file++
	if (file > 1)
		csv_heading($0, "reason name exits cycles")
	if (file > 1)
		next
}

# run 1
file == 1 && /^run [0-9]+$/ {
	if ($2 != run + 1)
		die("the guest's run " $2 " does not follow its run " run + 0)
	run = $2
	next
}
file == 1 && /^end$/ {
	ended = 1
}
#    0x4ffffffd 0x0a: eax=0x00000017 ebx=0x00000017 ecx=0x00000000 edx=0x00000000
file == 1 && run && /^ *0x4fffff/ {
	if (!match($0, /0x4fffff[a-f0-9]+ 0x[0-9a-f]+: eax=0x[0-9a-f]+ ebx=0x[0-9a-f]+ ecx=0x[0-9a-f]+ edx=0x00000000$/))
		die("the guest read what is no answer of a leaf: " plain($0))
	split(substr($0, RSTART), word, /[ :=]+/)
	leaf = word[1]
	reason = leaf ~ /[ef]$/ ? "all" : hex(word[2])
	what = leaf ~ /[df]$/ ? "exits" : "cycles"
	if ((run, reason, what) in read)
		die("the guest read " leaf " of " reason " twice in run " run)
	read[run, reason, what] = hex(word[6]) + 4294967296 * hex(word[8])
	if (run == 1 && what == "exits" && reason != "all")
		asked[reason]
	next
}
file == 1 {
	next
}

# 114,cpuid,9784,1183613671; OTHER has no number and is in no leaf
{
	csv_line($0)
	reason = field[column["reason"]]
	reason = reason == "" ? "-" : reason
	if (!(reason in name))
		order[++n] = reason
	name[reason] = plain(field[column["name"]])
	host[file, reason, "exits"] = csv_number("exits")
	host[file, reason, "cycles"] = csv_number("cycles")
	host[file, "all", "exits"] += csv_number("exits")
	host[file, "all", "cycles"] += csv_number("cycles")
}

END {
	if (died)
		exit 1
	if (!ended || run != runs)
		die("the guest wrote " run + 0 " of " runs " runs, or no end")
	if (file != runs + 3)
		die(runs + 2 " tables are needed, and there are " file - 1)
	for (i = 1; i <= n; i++)
		size[order[i]] = host[file, order[i], "exits"]
	by_size(size, order, n)
	for (i = 1; i <= n; i++) {
		line("row", order[i], name[order[i]])
		costs(order[i])
	}
	line("total", "all", "all")
	for (reason in asked)
		never += !(reason in name)
	printf "sum\t%.0f\t%.0f\n", host[runs + 3, "all", "exits"], host[runs + 3, "all", "cycles"]
	print "never\t" never + 0
	for (key in read)
		check(key)
	print "check\t" checked "\t" outside + 0
}

function line(kind, reason, title,    i) {
	printf "%s\t%s\t%s\t%.0f", kind, reason == "all" ? "-" : reason, title, host[2, reason, "exits"]
	for (i = 1; i <= runs; i++)
		if ((i, reason, "exits") in read)
			printf "\t%.0f", read[i, reason, "exits"]
		else
			printf "\t-"
	print ""
}

function costs(reason,    i) {
	printf "cost\t%s", reason
	for (i = 1; i <= runs; i++)
		printf "\t%.0f", host[i + 3, reason, "exits"] - host[i + 2, reason, "exits"]
	print ""
}

# check KEY: run r lies between the tables of files r + 2 and r + 3.
function check(key,    part, r) {
	split(key, part, SUBSEP)
	r = part[1]
	checked++
	if (read[key] < host[r + 2, part[2], part[3]] + 0 || read[key] > host[r + 3, part[2], part[3]] + 0)
		outside++
}

function hex(digits,    i, n) {
	n = 0
	for (i = 3; i <= length(digits); i++)
		n = n * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
	return n
}
