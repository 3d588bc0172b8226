# SPDX-License-Identifier: GPL-2.0-only
# spans.awk - turns the output of exitdump --csv INTERVAL into stacked bars: a line for each
# span of time, with its place and width on the axis and a number for each reason. Fields
# between tabs, with a heading.
#
# Usage: awk [-v steps=N] -f csv.awk -f spans.awk CSV
#
# With steps, the column time counts steps from 1 to N. Else it is in seconds, and the place
# is in seconds since the first span began. Reasons after the first TOP share one column.

BEGIN {
	TOP = 8
}

FNR == 1 {
	csv_heading($0, "time name exits")
	next
}

{
	csv_line($0)
	name = plain(field[column["name"]])
	at = csv_number("time")
	if (spans && at < time[spans])
		die("line " FNR ": the time goes back")
	if (!spans || at != time[spans])
		time[++spans] = at
	if (!(name in sum))
		order[++n] = name
	sum[name] += csv_number("exits")
	exits[spans, name] += field[column["exits"]]
}

END {
	if (died)
		exit 1
	if (!n)
		die("no exits in it, nothing to draw")
	by_size(sum, order, n)
	shown = n > TOP ? TOP - 1 : n
	printf "place\twidth"
	for (i = 1; i <= shown; i++)
		printf "\t%s", order[i]
	print (n > TOP ? "\t" (n - shown) " others" : "")

	width = 1
	for (i = 2; i <= spans; i++)
		if (steps == "" && (i == 2 || time[i] - time[i - 1] < width))
			width = time[i] - time[i - 1]
	if (steps == "")
		for (i = 1; i <= spans; i++)
			span(i, time[i] - time[1] + width / 2)
	else
		for (at = i = 1; at <= steps; at++)
			span(i <= spans && time[i] == at ? i++ : 0, at)
}

function span(i, place,    j, rest) {
	printf "%.6f\t%.6f", place, width
	for (j = 1; j <= n; j++)
		if (j <= shown)
			printf "\t%.17g", exits[i, order[j]]
		else
			rest += exits[i, order[j]]
	print (n > TOP ? sprintf("\t%.17g", rest) : "")
}
