# SPDX-License-Identifier: GPL-2.0-only
# bench.gp - round trips of exits as bars, a panel for each lab, from bench.awk's files (the
# variable labs). See style.gp.
#
# kind is ways (what each way to watch adds to an exit) or patched (patched modules beside
# stock ones).

set multiplot layout words(labs), 1 title head font ',15'
unset title
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
unset grid
set grid ytics lc rgb '#dddddd' lt 1
set xtics scale 0
set bmargin 3.5
set key above horizontal samplen 1.5
if (kind eq 'ways') {
	last = 7
	set logscale y
	set yrange [1:10000]
	set ylabel 'instructions added to an exit'
	about = ': smallest round trip a guest sees, above stock (1 and less drawn as 1)'
	bar(c) = column(c) < 1.0001 ? 1.0001 : column(c)
	tic(n) = strcol(1)
} else {
	last = 4
	set yrange [0:140]
	set ylabel '% of stock'
	about = ': smallest round trip a guest sees (below: stock, above: added; instructions)'
	bar(c) = 100 * column(c) / column(2)
	tic(n) = strcol(1).sprintf("\n%d", $2)
}
do for [i = 1:words(labs)] {
	lab = word(labs, i)
	set title lab.about
	plot for [c = 2:last] lab using (bar(c)) : xtic(tic(0)) fs pattern pattern[c - 1] border rgb '#333333' lc rgb colour[c - 1] title columnheader(c), \
		for [c = 3:(kind eq 'ways' ? 2 : 4)] lab skip 1 using ($0 + (c - 3) * 0.25) : (bar(c)) : (sprintf('%+d', column(c) - $2)) with labels offset c == 3 ? -0.4 : 0.9, 0.7 font ',10' notitle
}
unset multiplot
