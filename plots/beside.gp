# Times of another run against those of this one, beside<SUFFIX>.tsv.
here = ARG0[1:strlen(ARG0) - strlen('beside.gp')]
kind = ARG1
output = ARG2
title_text = ARG3
subtitle_text = ARG4
data = ARG5
points = data.'beside'.ARG6.'.tsv'

width = 800
height = 560
left = 80
right = 560
top = 490
bottom = 60
load here.'common.gp'
stats points using (USED[int(column(1))] = 1, column(2)) nooutput
low = STATS_min
high = STATS_max
stats points using 3 nooutput
low = (STATS_min < low ? STATS_min : low) / 1.3
high = (STATS_max > high ? STATS_max : high) * 1.3

load here.'terminal.gp'
set lmargin at screen real(left) / width
set rmargin at screen real(right) / width
set tmargin at screen real(top) / height
set bmargin at screen real(bottom) / height
set logscale xy
set xrange [low:high]
set yrange [low:high]
set format xy '%g'
set xlabel 'time in this run (µs)'
set ylabel 'time in the other run (µs)'
set key at screen (right + 20.0) / width, screen real(top) / height left top Left reverse \
    samplen 1 spacing 1.25 noautotitle
set arrow from low, low to high, high nohead back lc rgb GREY lw 1.6
plot for [s = 1:series_len] points using ($1 == s ? $2 : NaN):3 with points pt POINT[s] \
        ps 1.0 * marker lc rgb (0x30 << 24) + RGB[s], \
    for [s = 1:series_len] keyentry with points pt USED[s] ? POINT[s] : 0 ps 1.2 * marker \
        lc rgb RGB[s] title USED[s] ? NAME[s] : '', \
    points using 2:3:4 @TELL
