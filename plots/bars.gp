# A number of each point on a logarithmic axis, a lane for each structure of a layer: speedup over
# dense, or (WHAT is excess) bytes read over those that must be. Groups FIRST..LAST.
here = ARG0[1:strlen(ARG0) - strlen('bars.gp')]
kind = ARG1
output = ARG2
title_text = ARG3
subtitle_text = ARG4
data = ARG5
excess = ARG9 eq 'excess'
points = data.(excess ? 'excess' : 'bars').ARG6.'.tsv'
lanes = data.(excess ? 'excess' : 'bar').'_lanes'.ARG6.'.tsv'
layers = data.(excess ? 'excess' : 'bar').'_layers'.ARG6.'.tsv'
first = int(ARG7)
last = int(ARG8)
load here.'common.gp'

# What there is to show: lanes run downwards
array FROM[4096]
array TO[4096]
array LAYER[4096]
longest = 0
stats layers using (FROM[int(column(1))] = column(2), TO[int(column(1))] = column(3), \
    LAYER[int(column(1))] = strcol(4), column(1)) nooutput
do for [g = first:last] { longest = strlen(LAYER[g]) > longest ? strlen(LAYER[g]) : longest }
lanes_len = TO[last] - FROM[first] + 1
shown(g) = g >= first && g <= last
stats points using (shown(int(column(1))) ? (USED[int(column(5))] = 1, column(7)) : NaN) nooutput
x_low = STATS_min < 1 ? STATS_min : 1
x_high = STATS_max > 1 ? STATS_max : 1
x_low = 2 ** (floor(2 * log2(x_low)) / 2.0 - 0.1)
x_high = 2 ** (ceil(2 * log2(x_high)) / 2.0)
x_high = x_high * (x_high / x_low) ** 0.09

width = 1000
bottom = 60
height = lanes_len * 13
height = height < 160 ? 160 : height
height = height < legend_height ? legend_height : height
height = bottom + height + 104
top = height - 104
left = 24 + 7.5 * longest
right = 760
load here.'terminal.gp'
set lmargin at screen real(left) / width
set rmargin at screen real(right) / width
set tmargin at screen real(top) / height
set bmargin at screen real(bottom) / height
set border 5
set logscale x 2
set xrange [x_low:x_high]
set yrange [TO[last] + 1:FROM[first] - 1]
set xlabel excess ? 'Bytes read from DRAM over inputs and weights read once (logarithmic)' : \
    'Times as fast as dense (logarithmic)'
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
set label 1003 excess ? 'less than once ←' : 'slower than dense ←' at 1, graph 1 \
    right offset -0.8, 2.4 font ',12' tc rgb GREY
set label 1004 excess ? '→ read again' : '→ faster than dense' at 1, graph 1 left offset 0.8, 2.4 \
    font ',12' tc rgb GREY
set arrow 2000 from 1, graph 0 to 1, graph 1 nohead front lc rgb GREY lw 1.6

mine(s) = shown(int(column(1))) && column(5) == s
# beside the last marker and the line at 1; that of the layer's greatest in black
right_end(v) = v > 1 ? v : 1
plot lanes using (shown(int($1)) ? 1 : NaN):2:($6 - 1):(0):(0x90 << 24 | int(RGB[int($3)])) \
        with vectors nohead lw 6 lc rgb variable, \
    lanes using (shown(int($1)) ? $4 : NaN):2:($5 - $4):(0) with vectors nohead lw 0.8 \
        lc rgb 0xB0B0B0, \
    for [s = 1:series_len] points using (mine(s) ? $7 : NaN):2 with points \
        pt POINT[s] ps 0.9 * marker lc rgb RGB[s], \
    lanes using (shown(int($1)) ? right_end($5) : NaN):2:7:($8 == 1 ? 0x000000 : 0x707070) with labels \
        left offset 0.8, 0 font ',10' tc rgb variable, \
    for [s = 1:series_len] keyentry with points pt USED[s] ? POINT[s] : 0 ps 1.2 * marker \
        lc rgb RGB[s] title USED[s] ? NAME[s] : '', \
    points using (shown(int(column(1))) ? $7 : NaN):2:8 @TELL
