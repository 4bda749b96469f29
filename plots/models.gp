# End-to-end latency, a bar for each model and structure, made of its operators. Bars FIRST..LAST of
# models<SUFFIX>.tsv.
here = ARG0[1:strlen(ARG0) - strlen('models.gp')]
kind = ARG1
output = ARG2
title_text = ARG3
subtitle_text = ARG4
data = ARG5
bars = data.'models'.ARG6.'.tsv'
parts = data.'model_parts'.ARG6.'.tsv'
operators = data.'operators'.ARG6.'.tsv'
first = int(ARG7)
last = int(ARG8)

array LANE[4096]
array PART[512]
array COLOUR[512]
set datafile separator tab
set datafile columnheaders
longest = 0
longest_ms = 0
stats bars using (LANE[int(column(1))] = strcol(2), longest_ms = column(3) > longest_ms ? column(3) \
    : longest_ms, column(1)) nooutput
do for [l = first:last] { longest = strlen(LANE[l]) > longest ? strlen(LANE[l]) : longest }
parts_len = 0
stats operators using (parts_len = parts_len + 1, PART[parts_len] = strcol(2), \
    COLOUR[parts_len] = column(3), column(1)) nooutput

width = 1000
bottom = 52
height = 92 + bottom + (last - first + 1) * 22
height = height < 140 + 20 * parts_len ? 140 + 20 * parts_len : height
left = 24 + 7.2 * longest
right = 790
load here.'common.gp'
load here.'terminal.gp'
set lmargin at screen real(left) / width
set rmargin at screen real(right) / width
set tmargin at screen (height - 72.0) / height
set bmargin at screen real(bottom) / height
set border 1
set xrange [0:longest_ms * 1.22]
set yrange [last + 0.7:first - 0.7]
set xlabel 'latency (ms)'
unset ytics
set grid noy x
set style fill solid 1 border rgb 0xFFFFFF
set key at screen (right + 20.0) / width, screen (height - 72.0) / height left top Left reverse \
    samplen 1 spacing 1.25 noautotitle
do for [l = first:last] {
    set label l LANE[l] at graph 0, first l right offset -1, 0 font ',12'
}
plot for [p = 1:parts_len] parts using ($4 == p ? 0.5 * ($2 + $3) : NaN):1:2:3:($1 - 0.36):($1 + 0.36) \
        with boxxyerror fc rgb COLOUR[p], \
    bars using 3:1:4 with labels left offset 0.6, 0 font ',11' tc rgb 0x303030, \
    for [p = 1:parts_len] keyentry with boxes fc rgb COLOUR[p] title PART[p], \
    parts using (0.5 * ($2 + $3)):1:5 @TELL
