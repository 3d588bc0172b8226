# SPDX-License-Identifier: GPL-2.0-only
# facts.awk - turns the output of the bench's parts into one number a line.
#
# Usage: awk -v part=exits|any|reads|boot|scale|model -v lab=NAME -f facts.awk OUTPUT
#
# Prints lines of fields between tabs: part, lab, way, item, metric, value. It turns the
# kernel's and perf's names of the reasons that vmm knows into their numbers.

BEGIN {
	FS = OFS = "\t"
	split("CPUID 10 IO_INSTRUCTION 30 HLT 12 MSR_WRITE 32 MSR_READ 31 cpuid 114 io 123 hlt 120 msr 124", f, " ")
	for (i = 1; i in f; i += 2)
		number[f[i]] = f[i + 1]
}

function fact(way, item, metric, value) {
	print part, lab, way, item, metric, value
}

part ~ /^(exits|any)$/ && $2 == "step" {
	smallest[$1, $5] = $7
	mean[$1, $5] = $8
	if (!(($1, $5) in seen)) {
		seen[$1, $5]
		step[++steps] = $1 SUBSEP $5
	}
}
part == "exits" && !($1 in way_seen) { way_seen[$1]; ways[++nways] = $1 }
part == "exits" && $2 == "virtual" { virtual = $3 }
part == "exits" && $2 == "known" { known[$1, $5] += $6 }
# When a timer interrupts, vmm cannot tell whether an EOI is an exit: that is decided here.
part == "exits" && $2 == "made" && $5 == "eoi" { timers[$1] += $6 }
part == "exits" && $2 == "made" && $5 ~ /^(rd|wr)msr$/ { msrs[$1] += $6 }
part == "exits" && $2 == "counted" {
	reason = $3 in number ? number[$3] : $3
	counted[$1, reason] += $4
	counts[$1]
}
part == "exits" && $2 == "key" { fact($1, "0x8b", "counted", $3) }
part == "exits" && $2 == "lost" { fact($1, "-", "lost", $3) }
part == "exits" && $2 == "bytes" { fact($1, "-", "bytes", $3 / $4) }

function missing(way,   key, pair, sum, all, d) {
	for (key in known) {
		split(key, pair, SUBSEP)
		if (pair[1] != way || pair[2] == 31 || pair[2] == 32 || pair[2] == 124)
			continue
		d = known[key] - counted[way, pair[2]]
		sum += d < 0 ? -d : d
		all += known[key]
	}
	d = msrs[way] + (virtual == "Y" || virtual == "1" ? 0 : timers[way])
	all += d
	d -= counted[way, 31] + counted[way, 32] + counted[way, 124]
	sum += d < 0 ? -d : d
	fact(way, "-", "known", all)
	fact(way, "-", "wrong", sum + 0)
}

part == "reads" { fact("on", $1, $2, $3) }
part == "boot" && $1 != "exits" { fact($1, ++rounds[$1], "ticks", $2) }
part == "boot" && $1 == "exits" { fact("on", "-", "exits", $2) }
part == "scale" && $1 != "slow" { fact($1, $2, "cycles", $3) }
part == "scale" && $1 == "slow" { fact("account", $2, "slow", $3) }
part == "model" { fact("account", $1, $2, $3) }

END {
	for (i = 1; i <= steps; i++) {
		split(step[i], pair, SUBSEP)
		fact(pair[1], pair[2], "smallest", smallest[step[i]])
		fact(pair[1], pair[2], "mean", mean[step[i]])
	}
	for (i = 1; i <= nways; i++)
		if (ways[i] in counts)
			missing(ways[i])
}
