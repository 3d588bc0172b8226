# SPDX-License-Identifier: GPL-2.0-only
# latency.gp - the histogram of each exit reason's totals, a panel for each reason, from
# latency.awk. See style.gp. panels is their number, low and high are the first and the last
# bucket that is not empty, khz is the TSC's frequency or 0.

set multiplot layout panels, 1 title head font ',15' margins screen 0.1, 0.97, (khz ? 78.0 : 60.0) / height, 1 - 50.0 / height spacing screen 0, 44.0 / height
unset title
set xrange [low - 0.5 : high + 0.5]
set ylabel 'exits'
unset grid
set boxwidth 1

# Bucket b ends below 2^b; the last one, 31, has no end.
human(c) = c < 1e3 ? sprintf('%.2g ns', c) : c < 1e6 ? sprintf('%.3g us', c / 1e3) : c < 1e9 ? sprintf('%.3g ms', c / 1e6) : sprintf('%.3g s', c / 1e9)
edge(b) = b < 0 ? '0' : b > 30 ? '' : gprintf('%.0s%c', 2.0 ** b).(khz ? "\n".human(2.0 ** b * 1e6 / khz) : '')
step = high - low > 9 ? 2 : 1
set xtics scale 0.5 out ()
do for [p = 1:panels] {
	do for [b = low - 1:high:step] {
		set xtics add ((p == panels ? edge(b) : '') b + 0.5)
	}
	if (p == panels) { set xlabel 'from exit to entry, TSC cycles (bars are powers of two)' offset 0, khz ? -0.6 : 0 }
	set yrange [*:*]
	stats data index p - 1 using 2 nooutput
	top = STATS_max
	set yrange [0 : top * 1.1]
	set ytics (0, (top < 1e4 ? sprintf('%d', top) : gprintf('%.1s%c', top)) top)
	set label 1 name(p) at graph 0, 1.16 left
	plot data index p - 1 using 1 : 2 with boxes lc rgb colour[4] fs solid 1 border rgb '#333333' notitle
}
unset multiplot
