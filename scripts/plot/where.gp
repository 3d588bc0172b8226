# SPDX-License-Identifier: GPL-2.0-only
# where.gp - where the time went, in percent: a bar for all and one for each exit reason,
# from reasons.awk. See style.gp. unit is the unit of the sums.

set yrange [rows + 0.6 : 0.4]
set xrange [0 : 100]
set xlabel 'share of the time, % (in brackets all of it, '.unit.')'
set border 1
set ytics scale 0
unset grid
up = strlen(head) ? 26 : 0
set key at screen 0.99, screen 1 - (12.0 + up) / height right top horizontal maxrows 1 samplen 2 width -1
set tmargin at screen 1 - (38.0 + up) / height
set title offset 0, 1.6
array part[5] = ['guest', 'exit handler', 'halted', 'user space', 'other']
array shade[5] = ['#e8e3d8', '#1b3a5c', '#8a8a8a', '#b8480a', '#3f9bc4']
array hatch[5] = [3, 3, 1, 4, 3]
plot for [p = guest ? 1 : 2:5] data using (0) : ($0 + 1) : (p == 1 ? 0 : column(p)) : (column(p + 1)) : ($0 + 0.65) : ($0 + 1.35) : ytic(1) \
	with boxxyerror lc rgb shade[p] fs pattern hatch[p] border rgb '#333333' title part[p]
