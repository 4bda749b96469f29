# Speedup over dense, a bar for each series of each layer. Groups FIRST..LAST of bars<SUFFIX>.tsv.
here = ARG0[1:strlen(ARG0) - strlen('bars.gp')]
kind = ARG1
output = ARG2
title_text = ARG3
subtitle_text = ARG4
data = ARG5
bars = data.'bars'.ARG6.'.tsv'
layers = data.'bar_layers'.ARG6.'.tsv'
first = int(ARG7)
last = int(ARG8)

# What there is to show: lanes run downwards
array FROM[4096]
array TO[4096]
array LAYER[4096]
set datafile separator tab
set datafile columnheaders
longest = 0
stats layers using (FROM[int(column(1))] = column(2), TO[int(column(1))] = column(3), \
    LAYER[int(column(1))] = strcol(4), column(1)) nooutput
do for [g = first:last] { longest = strlen(LAYER[g]) > longest ? strlen(LAYER[g]) : longest }
lanes = TO[last] - FROM[first] + 1

width = 1000
bottom = 60
height = bottom + lanes * 7 + 122
height = height < 340 ? 340 : height
top = height - 104
left = 24 + 7.5 * longest
right = 760
load here.'common.gp'
shown(g) = g >= first && g <= last
stats bars using (shown(int(column(1))) ? (USED[int(column(5))] = 1, column(7)) : NaN) nooutput
x_low = STATS_min < 1 ? STATS_min : 1
x_high = STATS_max > 1 ? STATS_max : 1
x_low = 2 ** (floor(2 * log2(x_low)) / 2.0 - 0.1)
x_high = 2 ** (ceil(2 * log2(x_high)) / 2.0 + 0.4)

load here.'terminal.gp'
set lmargin at screen real(left) / width
set rmargin at screen real(right) / width
set tmargin at screen real(top) / height
set bmargin at screen real(bottom) / height
set border 5
set logscale x 2
set xrange [x_low:x_high]
set yrange [TO[last] + 1:FROM[first] - 1]
set xlabel 'Times as fast as dense (logarithmic)'
set logscale x2 2
set x2range [x_low:x_high]
set x2tics nomirror out scale 0.6
set format x '%g×'
set format x2 '%g×'
unset ytics
set grid noy x
set key at screen (right + 20.0) / width, screen real(top) / height left top Left reverse \
    samplen 1 spacing 1.25 noautotitle

do for [g = first:last] {
    set label g LAYER[g] at graph 0, first (FROM[g] + TO[g]) / 2.0 right offset -1, 0 font ',12'
    if (g > first) {
        set arrow g from graph 0, first FROM[g] - 1 to graph 1, first FROM[g] - 1 nohead \
            back lc rgb 0xE6E6E6
    }
}
set label 1003 'slower than dense ←' at 1, graph 1 right offset -0.8, 2.4 font ',12' tc rgb GREY
set label 1004 '→ faster than dense' at 1, graph 1 left offset 0.8, 2.4 font ',12' tc rgb GREY
set arrow 2000 from 1, graph 0 to 1, graph 1 nohead front lc rgb GREY lw 1.6

mine(s) = shown(int(column(1))) && column(5) == s
plot for [s = 1:series_len] bars using (mine(s) ? 1 : NaN):2:($7 - 1):(0) with vectors nohead \
        lw 4 lc rgb (0x60 << 24) + RGB[s], \
    for [s = 1:series_len] bars using (mine(s) ? $7 : NaN):2 with points \
        pt POINT[s] ps 0.8 * marker lc rgb RGB[s], \
    bars using (shown(int(column(1))) ? ($7 > 1 ? $7 : 1) : NaN):2:8 with labels left \
        offset 0.8, 0 font ',10' \
        tc rgb 0x303030, \
    for [s = 1:series_len] keyentry with points pt USED[s] ? POINT[s] : 0 ps 1.2 * marker \
        lc rgb RGB[s] title USED[s] ? NAME[s] : '', \
    bars using (shown(int(column(1))) ? $7 : NaN):2:9 @TELL
