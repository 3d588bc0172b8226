# SPDX-License-Identifier: GPL-2.0-only
# latency.awk - turns the histograms in exitdump --json into panels. Each reason gets lines
# BUCKET EXITS (a tab between), then two empty lines, and a line in the file of names.
#
# Usage: awk -v names=FILE -f csv.awk -f latency.awk JSON
#
# Bucket 0 is a total of 0 cycles. Bucket b goes from 2^(b-1) to 2^b - 1; the last one has
# all from 2^30 up. Reasons are sorted by the time lost to them; those after the first TOP
# share one panel. Several accounts and intervals are added up.

BEGIN {
	RS = "}"
	TOP = 8
	LAST = 31
}

# {"vm":null,...,"name":"CPUID",...,"total":58475,"halt":0,...,"hist":[0,0,3,...]
/"name":"/ && /"hist":\[/ {
	name = plain(value("name"))
	if (!match($0, /"hist":\[[0-9,]*\]/) || split(substr($0, RSTART + 8, RLENGTH - 9), bucket, ",") != LAST + 1)
		die("a histogram in it has not " (LAST + 1) " buckets")
	if (!(name in lost))
		order[++n] = name
	lost[name] += value("total") - value("halt")
	for (i = 0; i <= LAST; i++)
		exits[name, i] += bucket[i + 1]
}

function value(key) {
	if (!match($0, "\"" key "\":(\"[^\"]*\"|[0-9]+)"))
		die("no " key " of a reason in it")
	return unquote(substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3))
}

function unquote(text) {
	gsub(/"/, "", text)
	return text
}

END {
	if (died)
		exit 1
	by_size(lost, order, n)
	for (i = 1; i <= n; i++)
		if (sum(order[i]))
			order[++shown] = order[i]
	if (!shown)
		die("no histogram with exits in it, nothing to draw (exit_cycles_hist must lie beside exit_cycles)")
	for (i = TOP; shown > TOP && i <= shown; i++) {
		for (j = 0; j <= LAST; j++)
			exits["others", j] += exits[order[i], j]
	}
	for (i = 1; i <= shown && (i < TOP || shown == TOP); i++)
		panel(order[i], order[i])
	if (shown > TOP)
		panel((shown - TOP + 1) " others", "others")
}

function sum(name,    j, all) {
	for (j = 0; j <= LAST; j++)
		all += exits[name, j]
	return all
}

# bound NAME SHARE: returns the upper bound that this share of the exits does not pass.
function bound(name, share,    j, seen, all) {
	all = sum(name)
	for (j = 0; j < LAST; j++)
		if ((seen += exits[name, j]) >= all * share)
			return "below " short(2 ^ j)
	return "above " short(2 ^ (LAST - 1))
}

function panel(title, name,    j) {
	printf "%s: %s exit%s, half of them %s, 99 %% %s\n", title, short(sum(name)), sum(name) == 1 ? "" : "s", bound(name, 0.5), bound(name, 0.99) >names
	for (j = 0; j <= LAST; j++)
		printf "%d\t%.17g\n", j, exits[name, j]
	print "\n"
}
