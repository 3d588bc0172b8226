# SPDX-License-Identifier: GPL-2.0-only
# bench.awk - turns the output of scripts/bench.sh --csv into data for bars. For each lab
# it writes a file to FOLDER: the smallest round trips of exits in instructions, fields
# between tabs, with a heading. Prints the names of these files.
#
# Usage: awk -v folder=FOLDER -v kind=ways|patched -f csv.awk -f bench.awk CSV
#
#	ways	EXIT OFF ON HIST EVENTS BPF PERF	what each way adds to stock
#	patched	EXIT STOCK OFF ON			the round trips themselves

FNR == 1 {
	csv_heading($0, "part lab way item metric value")
	ways = split(kind == "ways" ? "off on hist events bpf perf" : "stock off on", way, " ")
	next
}

{
	csv_line($0)
	if (field[column["part"]] != "exits" || field[column["metric"]] != "smallest")
		next
	lab = plain(field[column["lab"]])
	item = plain(field[column["item"]])
	if (!(lab in items))
		order[++labs] = lab
	if (!((lab, item) in seen)) {
		seen[lab, item]
		what[lab, ++items[lab]] = item
	}
	value[lab, item, field[column["way"]]] = csv_number("value")
}

END {
	if (died)
		exit 1
	if (!labs)
		die("no round trips in it (scripts/bench.sh --csv exits measures them)")
	for (i = 1; i <= labs; i++)
		table(order[i])
}

function table(lab,    i, j, file, item) {
	file = lab
	gsub(/[^A-Za-z0-9.]/, "-", file)
	print file
	file = folder "/" file
	printf "%s", lab >file
	for (j = 1; j <= ways; j++)
		printf "\t%s", way[j] >file
	print "" >file
	for (i = 1; i <= items[lab]; i++) {
		item = what[lab, i]
		printf "%s", item >file
		for (j = 1; j <= ways; j++)
			printf "\t%.17g", get(lab, item, way[j]) - (kind == "ways" ? get(lab, item, "stock") : 0) >file
		print "" >file
	}
	close(file)
}

function get(lab, item, way_) {
	if (!((lab, item, way_) in value))
		die(lab ": no figure for " item " under " way_)
	return value[lab, item, way_]
}
