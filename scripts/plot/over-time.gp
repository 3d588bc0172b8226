# SPDX-License-Identifier: GPL-2.0-only
# over-time.gp - exits in each span of time, stacked by reason, from spans.awk. See
# style.gp. steps is 0 if the axis is in seconds; else name(i) is the label at step i.
# columns is the number of the data's columns.

stats data skip 1 using 1:2 nooutput
series = columns - 2
spans = STATS_records
span = STATS_max_y
first = STATS_min_x - span / 2
set xrange [first : STATS_max_x + span / 2]
set yrange [0 : *]
set format y '%.0s%c'
unset grid
set grid ytics lc rgb '#dddddd' lt 1
set key outside right top vertical Left reverse invert samplen 2
if (steps) {
	set xtics scale 0 ()
	set ylabel 'exits'
	do for [i = 1:steps] { set xtics add (name(i) i) }
} else {
	set xlabel 'time, s'
	set ylabel sprintf('exits in every %.3g s', span)
}
from(c, n) = (n < 3 ? 0 : sum [k = 3:n] column(k))
part = steps ? 0.36 : 0.5
thin = spans > 100
plot for [c = series + 2:3:-1] data using 1 : (0) : ($1 - part * $2) : ($1 + part * $2) : (from(c, c - 1)) : (from(c, c)) \
	with boxxyerror lc rgb colour[c - 2] fs pattern pattern[c - 2] border rgb (thin ? colour[c - 2] : '#333333') title columnheader(c)
