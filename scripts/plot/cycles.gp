# SPDX-License-Identifier: GPL-2.0-only
# cycles.gp - cycles by exit reason, a bar for each, from reasons.awk. See style.gp. unit is
# the unit of the values, most the largest value.

set yrange [rows + 0.6 : -0.6 + 1]
set format x '%.0s%c'
set xlabel "time in KVM's exit handler, ".unit
set border 1
set ytics scale 0
unset grid
set grid xtics lc rgb '#dddddd' lt 1
set xrange [0 : most > 0 ? most * 1.22 : 1]
plot data using (0) : ($0 + 1) : (0) : 2 : ($0 + 0.65) : ($0 + 1.35) : ytic(1) with boxxyerror lc rgb colour[4] fs solid 1 border rgb '#333333' notitle, \
	data using 2 : ($0 + 1) : 3 with labels left offset 0.7, 0 textcolor rgb '#222222' notitle
