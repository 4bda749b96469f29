# Speedup over dense by blocks and rank, a panel for each structure and token count. Panels
# FIRST..LAST of heatmap_panels<SUFFIX>.tsv, in rows of four.
here = ARG0[1:strlen(ARG0) - strlen('heatmap.gp')]
kind = ARG1
output = ARG2
title_text = ARG3
subtitle_text = ARG4
data = ARG5
cells = data.'heatmap'.ARG6.'.tsv'
titles = data.'heatmap_panels'.ARG6.'.tsv'
first = int(ARG7)
last = int(ARG8)

count = last - first + 1
columns = count < 4 ? count : 4
lines = (count + columns - 1) / columns
panel_width = 270
panel_height = 220
legend_width = 90
head = 56
width = columns * panel_width + legend_width
width = width < 640 ? 640 : width
height = head + lines * panel_height
load here.'common.gp'

array TITLE[4096]
array RANKS[4096]
array BLOCKS[4096]
array RANK[4096]
array BLOCK[4096]
stats titles using (TITLE[int(column(1))] = strcol(2), RANKS[int(column(1))] = column(3), \
    BLOCKS[int(column(1))] = column(4), column(1)) nooutput
mine(p) = int(column(1)) == p

load here.'terminal.gp'
set multiplot
unset border
unset grid
set tics scale 0
set style fill solid 1 noborder
# Red to blue through white: told apart by those who do not see red and green alike
set palette defined (-2 '#B2182B', -1 '#EF8A62', -0.15 '#FBE3D8', 0 '#F7F7F7', 0.15 '#DCEAF3', \
    1 '#67A9CF', 2 '#2166AC')
set cbrange [-2:2]
clip(v) = v < -2 ? -2 : v > 2 ? 2 : v
ink(v) = abs(v) > 1.3 ? 0xFFFFFF : 0x202020

do for [p = first:last] {
    column_at = (p - first) % columns
    line_at = (p - first) / columns
    x_pixel = column_at * panel_width
    y_pixel = height - head - line_at * panel_height
    set lmargin at screen (x_pixel + 62.0) / width
    set rmargin at screen (x_pixel + panel_width - 8.0) / width
    set tmargin at screen (y_pixel - 26.0) / height
    set bmargin at screen (y_pixel - panel_height + 46.0) / height
    set title TITLE[p] font ',11' offset 0, -0.7
    set xlabel 'rank' offset 0, 0.6
    set ylabel (column_at == 0 ? 'blocks' : '') offset 0, 0
    set xrange [-0.5:RANKS[p] - 0.5]
    set yrange [-0.5:BLOCKS[p] - 0.5]
    set xtics (' ' -9)
    set ytics (' ' -9)
    do for [i = 1:RANKS[p]] { RANK[i] = 0 }
    do for [i = 1:BLOCKS[p]] { BLOCK[i] = 0 }
    stats cells using (mine(p) ? (RANK[int($2) + 1] = $10, BLOCK[int($3) + 1] = $9, 1) : NaN) nooutput
    do for [i = 1:RANKS[p]] { set xtics add (short(RANK[i]) i - 1) }
    do for [i = 1:BLOCKS[p]] { set ytics add (short(BLOCK[i]) i - 1) }
    # the scale once, beside the last panel of the first row
    if (p - first == columns - 1) {
        set colorbox user origin screen (columns * panel_width + 14.0) / width, \
            screen (y_pixel - panel_height + 46.0) / height \
            size screen 14.0 / width, screen (panel_height - 72.0) / height noborder
        set cbtics ('¼×' -2, '½×' -1, '1×' 0, '2×' 1, '4×' 2) scale 0
    } else {
        unset colorbox
    }
    plot cells using (mine(p) ? $2 : NaN):3:($2 - 0.48):($2 + 0.48):($3 - 0.47):($3 + 0.47): \
            (clip(log2($4))) with boxxyerror fc palette notitle, \
        cells using (mine(p) ? $2 : NaN):3:5:(ink(log2($4))) with labels tc rgb variable \
            font ',10' notitle, \
        cells using (mine(p) ? $2 : NaN):3:12 @TELL
    unset label 1001
    unset label 1002
}
unset multiplot
