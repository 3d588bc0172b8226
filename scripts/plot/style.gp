# SPDX-License-Identifier: GPL-2.0-only
# style.gp - shared by all pictures: the output file, and fills that differ by lightness and
# pattern, so that they can be told apart in grey too. Loaded by the others.
#
# Set before, by gnuplot -e: data (a file or a folder), out, format (svg or png), width,
# height, head (a title, or empty).

if (format eq 'svg') {
	set terminal svg size width, height dynamic noenhanced font 'sans-serif,13' background '#ffffff'
} else {
	set terminal pngcairo size 2 * width, 2 * height noenhanced fontscale 2 linewidth 2 font 'sans,11' background '#ffffff'
}
set output out
set datafile separator tab
set border 3 lc rgb '#555555'
set tics nomirror textcolor rgb '#222222'
set grid lc rgb '#dddddd' lt 1
set style fill solid 1 border rgb '#333333'
set key textcolor rgb '#222222'
if (strlen(head)) {
	set title head
}

# From dark to light; solid and patterned fills by turns.
FILLS = 8
array colour[FILLS] = ['#1b3a5c', '#b8480a', '#5d8a2c', '#3f9bc4', '#8c4a9e', '#c99a1a', '#777777', '#e8e3d8']
array pattern[FILLS] = [3, 4, 1, 3, 5, 2, 6, 3]

# name(i): line i of the file `names`.
name(i) = system(sprintf("sed -n %dp names", i))
