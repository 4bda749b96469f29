# Points under the measured ceilings: filled where their bytes were counted, hollow where the model
# puts them, joined by a line. FIRST..LAST are the rows of roofline_ceilings<SUFFIX>.tsv. WHAT is l2
# for bytes of the L2 (roofline_l2...), models for all bytes that operators of models touch, else they
# are of DRAM.
here = ARG0[1:strlen(ARG0) - strlen('roofline.gp')]
kind = ARG1
output = ARG2
title_text = ARG3
subtitle_text = ARG4
data = ARG5
stem = ARG9 eq '' ? 'roofline' : 'roofline_'.ARG9
if (ARG9 eq 'models') { series_file = 'passes_parts.tsv' }
points = data.stem.ARG6.'.tsv'
roofs = data.stem.'_ceilings'.ARG6.'.tsv'
roofs_len = int(ARG8)

width = 1000
height = 620
left = 80
right = 760
top = 555
bottom = 60
load here.'common.gp'

# What there is to show
stats points using (USED[int(column(1))] = 1, column(5)) nooutput
x_low = STATS_min
x_high = STATS_max
points_len = STATS_records
stats points using 8 nooutput
if (STATS_records > 0) {
    x_low = STATS_min < x_low ? STATS_min : x_low
    x_high = STATS_max > x_high ? STATS_max : x_high
}
stats points using 10 nooutput
counted = STATS_max > 0
modelled = STATS_min == 0 || counted
stats points using 6 nooutput
y_low = STATS_min
y_high = STATS_max

array BANDWIDTH[16]
array RATE[16]
array LABEL[16]
best_compute = 0
best_bandwidth = 0
least_bandwidth = 1e99
if (roofs_len > 0) {
    stats roofs using (BANDWIDTH[int($0) + 1] = column(1), RATE[int($0) + 1] = column(2), \
        LABEL[int($0) + 1] = strcol(3), column(1)) nooutput
    do for [i = 1:roofs_len] {
        if (BANDWIDTH[i]) {
            best_bandwidth = RATE[i] > best_bandwidth ? RATE[i] : best_bandwidth
            least_bandwidth = RATE[i] < least_bandwidth ? RATE[i] : least_bandwidth
        } else {
            best_compute = RATE[i] > best_compute ? RATE[i] : best_compute
        }
    }
}

# Axes: room for the ridge, for labels at the left of the slopes and above the flat roofs
y_high = best_compute > y_high ? best_compute : y_high
unit = y_high >= 1e12 ? 1e12 : 1e9
if (best_compute > 0 && best_bandwidth > 0) {
    ridge = best_compute / least_bandwidth
    x_high = ridge * 2.5 > x_high ? ridge * 2.5 : x_high
}
x_low = 10 ** (floor(4 * log10(x_low)) / 4.0 - 0.75)
x_high = 10 ** (ceil(4 * log10(x_high)) / 4.0 + 0.1)
y_low = 10 ** (floor(4 * log10(y_low)) / 4.0 - 0.25)
y_high = 10 ** (log10(y_high) + 0.3)
x_decades = log10(x_high / x_low)
y_decades = log10(y_high / y_low)
slope = atan((top - bottom) / y_decades / ((right - left) / x_decades))

load here.'terminal.gp'
set lmargin at screen real(left) / width
set rmargin at screen real(right) / width
set tmargin at screen real(top) / height
set bmargin at screen real(bottom) / height
set logscale xy
set xrange [x_low:x_high]
set yrange [y_low / unit:y_high / unit]
set xlabel 'Arithmetic intensity (FLOP per byte '.(ARG9 eq 'l2' ? 'of L2 traffic)' : \
    ARG9 eq 'models' ? 'read or written)' : 'of DRAM traffic)')
set ylabel unit == 1e12 ? 'Performance (TFLOP/s)' : 'Performance (GFLOP/s)'
set format xy '%g'
set key at screen (right + 20.0) / width, screen real(top) / height left top Left reverse \
    samplen 1 spacing 1.25 noautotitle

# x pixels to the right and y pixels up, as factors of the axes
x_shift(px) = 10 ** (px * x_decades / (right - left))
y_shift(px) = 10 ** (px * y_decades / (top - bottom))

# Pixels between the line of this rate and the next one above it
gap(rate) = best_bandwidth > rate ? log10(best_bandwidth / rate) / y_decades * (top - bottom) * \
    cos(slope) : 1e9
flat_start(rate) = best_bandwidth > 0 ? rate / best_bandwidth : x_low
do for [i = 1:roofs_len] {
    if (BANDWIDTH[i]) {
        x_from = x_low > y_low / RATE[i] ? x_low : y_low / RATE[i]
        x_to = best_compute > 0 ? best_compute / RATE[i] : x_high
        x_to = x_to < x_high ? x_to : x_high
        set arrow i from x_from, x_from * RATE[i] / unit to x_to, x_to * RATE[i] / unit nohead \
            front lc rgb GREY lw 1.6
        # above the line, where few points are, unless the next line leaves no room
        side = gap(RATE[i]) < 26 ? -1 : 1
        x_text = x_from * x_shift(24 * cos(slope) - side * 12 * sin(slope))
        y_text = x_from * RATE[i] / unit * y_shift(24 * sin(slope) + side * 12 * cos(slope))
        set label i LABEL[i] at x_text, y_text left rotate by slope * 180 / pi front \
            font ',11' tc rgb 0x303030
    } else {
        x_from = flat_start(RATE[i]) > x_low ? flat_start(RATE[i]) : x_low
        set arrow i from x_from, RATE[i] / unit to x_high, RATE[i] / unit nohead front \
            lc rgb GREY lw 1.6
        # left of the slopes, where no point can be; at the far right where that has no room
        x_text = x_from / x_shift(8)
        y_text = RATE[i] / unit
        if (x_text < x_low * x_shift(7.1 * strlen(LABEL[i]))) {
            x_text = x_high / x_shift(6)
            y_text = RATE[i] / unit * y_shift(10)
        }
        set label i LABEL[i] at x_text, y_text right front font ',11' tc rgb 0x303030
    }
}

# Many points: smaller and more transparent
size = points_len > 300 ? 0.6 : points_len > 80 ? 0.9 : 1.2
alpha = points_len > 300 ? 0x80 : points_len > 80 ? 0x50 : 0x20
faint = 0x90
model_alpha = counted ? faint : alpha
key_hollow = counted ? 0 : 1
filled_type = counted ? 7 : 0
hollow_type = modelled ? 6 : 0
filled_text = counted ? 'filled: bytes counted' : ''
hollow_text = modelled ? 'hollow: bytes modelled' : ''
plot for [s = 1:series_len] points using ($1 == s && $10 == 1 ? $8 : NaN):($6 / unit):($5 - $8):(0) \
        with vectors nohead lw 0.8 lc rgb (faint << 24) + RGB[s], \
    for [s = 1:series_len] points using ($1 == s ? $8 : NaN):($6 / unit) with points \
        pt (POINT[s] - 1) ps size * marker lc rgb (model_alpha << 24) + RGB[s], \
    for [s = 1:series_len] points using ($1 == s && $10 == 1 ? $5 : NaN):($6 / unit) with points \
        pt POINT[s] ps size * marker lc rgb (alpha << 24) + RGB[s], \
    for [s = 1:series_len] keyentry with points pt USED[s] ? (POINT[s] - key_hollow) : 0 \
        ps 1.2 * marker lc rgb RGB[s] title USED[s] ? NAME[s] : '', \
    keyentry with points pt filled_type ps 1.2 * marker lc rgb GREY title filled_text, \
    keyentry with points pt hollow_type ps 1.2 * marker lc rgb GREY title hollow_text, \
    points using 5:($6 / unit):9 @TELL
