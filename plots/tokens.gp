# Time or speedup (WHAT) against tokens, a panel for each layer. Panels FIRST..LAST of
# panels<SUFFIX>.tsv, in rows of up to three.
here = ARG0[1:strlen(ARG0) - strlen('tokens.gp')]
kind = ARG1
output = ARG2
title_text = ARG3
subtitle_text = ARG4
data = ARG5
rows(p) = sprintf('%stokens_p%d%s.tsv', data, p, ARG6)
titles = data.'panels'.ARG6.'.tsv'
turns(p) = sprintf('%scrossings_p%d%s.tsv', data, p, ARG6)
first = int(ARG7)
last = int(ARG8)
speedup = ARG9 eq 'speedup'
value = speedup ? 9 : 6

count = last - first + 1
columns = count == 1 ? 1 : count <= 4 ? 2 : 3
lines = (count + columns - 1) / columns
panel_width = columns == 1 ? 640 : columns == 2 ? 400 : 310
panel_height = columns == 1 ? 420 : 270
legend_width = 210
head = 60
width = columns * panel_width + legend_width
load here.'common.gp'
height = lines * panel_height
height = head + (height < legend_height ? legend_height : height)

array TITLE[4096]
stats titles using (TITLE[int(column(1))] = strcol(2), column(1)) nooutput

# The least and greatest of all panels, and of the time of each
array LOW[4096]
array HIGH[4096]
x_low = 1e99
x_high = 0
y_low = 1e99
y_high = 0
do for [p = first:last] {
    stats rows(p) using (USED[int(column(3))] = 1, column(5)) nooutput
    x_low = STATS_min < x_low ? STATS_min : x_low
    x_high = STATS_max > x_high ? STATS_max : x_high
    stats rows(p) using 6 nooutput
    LOW[p] = STATS_min
    HIGH[p] = STATS_max
    STATS_records = 0
    stats rows(p) using value nooutput
    if (STATS_records > 0) {
        y_low = STATS_min < y_low ? STATS_min : y_low
        y_high = STATS_max > y_high ? STATS_max : y_high
    }
}
# A time axis in microseconds, or in milliseconds where those read better
unit = !speedup && y_high > 1e4 ? 1e3 : 1

y_text = speedup ? 'times as fast as dense' : unit > 1 ? 'time (ms)' : 'time (µs)'

load here.'terminal.gp'
set multiplot
set logscale x 2
x_room = (x_high / x_low) ** 0.04
set xrange [x_low / x_room:x_high * x_room]
# powers of two, as many as there is room for
log2_low = ceil(log2(x_low) - 1e-9)
step = ceil((log2(x_high) - log2_low) / (columns == 3 ? 5.0 : 8.0))
step = step < 1 ? 1 : step
set xtics (short(2 ** log2_low) 2 ** log2_low)
do for [e = log2_low + step:floor(log2(x_high) + 1e-9):step] {
    set xtics add (short(2 ** e) 2 ** e)
}

if (speedup) {
    set logscale y 2
    y_low = 2 ** (floor(2 * log2(y_low < 0.8 ? y_low : 0.8)) / 2.0)
    y_high = 2 ** (ceil(2 * log2(y_high > 1.25 ? y_high : 1.25)) / 2.0)
    set yrange [y_low:y_high]
    # powers of two and 1, as many as there is room for
    times(e) = e < 0 ? sprintf('1/%g×', 2.0 ** -e) : sprintf('%g×', 2.0 ** e)
    log2_low = ceil(log2(y_low) - 1e-9)
    log2_high = floor(log2(y_high) + 1e-9)
    step = ceil((log2_high - log2_low) / 6.0)
    step = step < 1 ? 1 : step
    set ytics (times(0) 1)
    do for [e = 0:log2_high:step] { set ytics add (times(e) 2.0 ** e) }
    do for [e = 0:-log2_low:step] { set ytics add (times(-e) 2.0 ** -e) }
} else {
    set logscale y 10
}

mine(s) = int(column(3)) == s
mine_turn(s) = int(column(2)) == s
unset key

do for [p = first:last] {
    column_at = (p - first) % columns
    line_at = (p - first) / columns
    x_pixel = column_at * panel_width
    y_pixel = height - head - line_at * panel_height
    set lmargin at screen (x_pixel + 80.0) / width
    set rmargin at screen (x_pixel + panel_width - 14.0) / width
    set tmargin at screen (y_pixel - 28.0) / height
    set bmargin at screen (y_pixel - panel_height + 50.0) / height
    set title TITLE[p] font (columns == 3 ? ',10' : ',11') offset 0, -0.6
    set xlabel 'tokens' offset 0, 0.5
    set ylabel (column_at == 0 ? y_text : '') offset (speedup ? 0.5 : 0), 0
    if (!speedup) {
        set yrange [LOW[p] / unit / 1.3:HIGH[p] / unit * 1.3]
        set ytics (short(HIGH[p]) HIGH[p] * 1e9)
        # 1, 2, 5, 10 where that leaves room, else powers of ten
        do for [e = floor(log10(LOW[p] / unit)) - 1:ceil(log10(HIGH[p] / unit))] {
            set ytics add (short(10.0 ** e) 10.0 ** e)
            if (log10(HIGH[p] / LOW[p]) < 2) {
                set ytics add (short(2 * 10.0 ** e) 2 * 10.0 ** e)
                set ytics add (short(5 * 10.0 ** e) 5 * 10.0 ** e)
            }
        }
    }
    plot (speedup ? 1 : NaN) with lines lc rgb GREY lw 1.6, \
        for [s = 1:(speedup ? 0 : series_len)] rows(p) using \
            (mine(s) ? $5 : NaN):($6 / unit):($7 / unit):($8 / unit) \
            with yerrorbars pt 0 lc rgb RGB[s], \
        for [s = 1:series_len] rows(p) using \
            (mine(s) ? $5 : NaN):(column(value) / unit) with linespoints \
            pt POINT[s] ps 0.9 * marker lw 1.4 lc rgb RGB[s], \
        for [s = 1:series_len] turns(p) using (mine_turn(s) ? $3 : NaN):(speedup ? 1 : $4 / unit) \
            with points pt 6 ps 1.9 * marker lw 1.6 lc rgb RGB[s], \
        rows(p) using 5:(column(value) / unit):10 @TELL, \
        turns(p) using 3:(speedup ? 1 : $4 / unit):5 @TELL
    unset label 1001
    unset label 1002
}
# The legend, in a plot of its own that is as high as the picture
set lmargin at screen columns * panel_width / real(width)
set rmargin at screen 1
set tmargin at screen 1 - head / real(height)
set bmargin at screen 0
unset border
unset tics
unset title
unset xlabel
unset ylabel
unset logscale
set key at graph 0.05, graph 1 left top Left reverse samplen 2 spacing 1.25 noautotitle
plot [0:1] [0:1] -1, \
    for [s = 1:series_len] keyentry with linespoints pt USED[s] ? POINT[s] : 0 ps 1.1 * marker \
        lw USED[s] ? 1.4 : 0 lc rgb RGB[s] title USED[s] ? NAME[s] : ''
unset multiplot
