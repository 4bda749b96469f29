# Time of whole models, a panel for each model, phase and size, a stacked bar for each structure.
# Panels FIRST..LAST of passes_panels.tsv, in rows of up to three.
here = ARG0[1:strlen(ARG0) - strlen('model_passes.gp')]
kind = ARG1
output = ARG2
title_text = ARG3
subtitle_text = ARG4
data = ARG5
rows = data.'passes.tsv'
first = int(ARG7)
last = int(ARG8)
series_file = 'passes_parts.tsv'

count = last - first + 1
columns = count < 3 ? count : 3
lines = (count + columns - 1) / columns
panel_width = columns == 1 ? 620 : columns == 2 ? 440 : 360
panel_height = 338
legend_width = 190
head = 60
width = columns * panel_width + legend_width
height = head + lines * panel_height
load here.'common.gp'

array TITLE[4096]
array BARS[4096]
stats data.'passes_panels.tsv' using (TITLE[int(column(1))] = strcol(2), \
    BARS[int(column(1))] = column(3), column(1)) nooutput
array TOP[4096]
do for [p = first:last] {
    stats rows using (int(column(1)) == p ? column(7 + series_len) : NaN) nooutput
    TOP[p] = STATS_max
}
parts = series_len
cut(title, n) = strlen(title) > n ? title[1:n - 1].'…' : title

load here.'terminal.gp'
set multiplot
unset key
set border 3
set grid noxtics ytics
set style fill solid 1 border rgb 0xFFFFFF
set boxwidth 0.62
half = 0.31
below(k) = k == 0 ? 0 : sum [i = 1:k] column(6 + i)
mine(p) = int(column(1)) == p
do for [p = first:last] {
    place = p - first
    left = (place % columns) * panel_width
    top = head + (place / columns) * panel_height
    set lmargin at screen (left + 66.0) / width
    set rmargin at screen (left + panel_width - 14.0) / width
    set tmargin at screen 1 - (top + 46.0) / height
    set bmargin at screen 1 - (top + panel_height - 52.0) / height
    size = BARS[p] > 4 ? ',9' : ',11'
    set title cut(TITLE[p], panel_width / 6.6) font ',12' offset 0, 0.9
    set xrange [0.4:BARS[p] + 0.6]
    set yrange [0:1.22 * TOP[p]]
    set ylabel place % columns == 0 ? 'ms a pass' : ''
    unset xtics
    plot for [k = 1:parts] rows using (mine(p) ? $2 : NaN):(below(k - 1)):(column(2) - half): \
            (column(2) + half):(below(k - 1)):(below(k)) with boxxyerror lc rgb RGB[k], \
        rows using (mine(p) ? $2 : NaN):(0):(strcol(3)) with labels offset 0, -0.9 font size, \
        rows using (mine(p) ? $2 : NaN):(0):(strcol(8 + parts)) with labels offset 0, -2.0 font size \
            tc rgb GREY, \
        rows using (mine(p) ? $2 : NaN):(column(7 + parts)):(strcol(5)) with labels offset 0, 0.7 \
            font ',11', \
        rows using (mine(p) ? $2 : NaN):(column(7 + parts)):(strcol(6)) with labels offset 0, 1.8 font ',11' \
            tc rgb GREY
    unset label 1001
    unset label 1002
}

# The legend, beside the panels
set lmargin at screen real(columns * panel_width) / width
set rmargin at screen 1
set tmargin at screen 1 - real(head) / height
set bmargin at screen 1 - real(head + panel_height) / height
unset border
unset tics
unset grid
unset title
unset ylabel
set key at graph 0.05, graph 0.9 left top Left reverse samplen 1 spacing 1.3 invert
set xrange [0:1]
set yrange [0:1]
plot 2 with lines notitle, for [k = 1:parts] keyentry with boxes lc rgb RGB[k] title NAME[k]
unset multiplot
