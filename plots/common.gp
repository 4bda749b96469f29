# Shared by the templates, which say: here = their own directory. To draw a picture again:
#   gnuplot -d -c TEMPLATE.gp svg|png OUTPUT TITLE SUBTITLE DATA_DIR/ SUFFIX FIRST LAST [WHAT]
set encoding utf8
GREY = 0x606060
set datafile separator tab
set datafile columnheaders
set datafile missing NaN
set datafile commentschars ""
set style line 1 lc rgb 0x404040 lw 1
set border 3 ls 1
set tics nomirror out scale 0.6
set grid back lc rgb 0xD8D8D8 lw 0.7 dt 1

array RGB[512]
array POINT[512]
array NAME[512]
array USED[512]
series_len = 0
if (!exists('series_file')) { series_file = 'series.tsv' }
stats data.series_file using (series_len = series_len + 1, RGB[series_len] = column(3), \
    POINT[series_len] = column(4), NAME[series_len] = strcol(2), USED[series_len] = 0, column(1)) \
    nooutput
# Room for all of them in a legend, in pixels: gnuplot breaks one that is higher than its plot
legend_height = 20 * series_len + 10

# Numbers of tics: 0.25, 1024, 16384, 131k, 2.1M
short(v) = v >= 1e6 ? sprintf('%.2gM', v / 1e6) : v >= 1e5 ? sprintf('%.3gk', v / 1e3) : \
    sprintf('%.5g', v)
log2(x) = log(x) / log(2)

# Points that say their row to who points at them (in SVG) and are not seen
TELL = 'with labels hypertext point pt 7 ps 1.6 lc rgb 0xFF000000 notitle'
