# SPDX-License-Identifier: GPL-2.0-only
# plot.gp - what each way adds to an exit, as bars: a panel a lab.
#
# Usage: gnuplot -e "data='FOLDER'; labs='vmx-6.1 ...'; out='FILE.svg'" plot.gp
#
# FOLDER has a file for each lab: a line of headings, then for each exit its name
# and the instructions that off, on, hist, events, bpf and perf add.

n = words(labs)
set terminal svg size 800, 60 + 300 * n enhanced font 'sans-serif,13' background '#ffffff'
set output out
set multiplot layout n, 1
set style data histograms
set style histogram clustered gap 1
set style fill solid 1 border rgb '#333333'
set boxwidth 0.9
set logscale y
set yrange [1:10000]
set ylabel 'instructions added to an exit'
set grid ytics lc rgb '#cccccc'
set xtics scale 0
set key above horizontal samplen 1.5
# From dark to light, so that grey tells them apart as well.
array colour[6] = ['#1b3a5c', '#d95f0e', '#7a9e3f', '#5fa8c9', '#e3b94f', '#e8e3d8']
do for [i = 1:n] {
	lab = word(labs, i)
	set title lab.': smallest round trip a guest sees, above stock (1 and less drawn as 1)'
	plot for [c = 2:7] data.'/'.lab using (column(c) < 1 ? 1.0001 : column(c)):xtic(1) lc rgb colour[c - 1] title columnheader(c)
}
unset multiplot
