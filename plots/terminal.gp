# Opens `output` as `kind` (svg, png or pdf), width x height; a PNG has half as many pixels again.
# All come out alike: SVG counts fonts in pixels, not points, and draws markers larger.
if (kind eq 'svg') {
    set terminal svg size width,height font 'Arial,10' fontscale 1.33 background 'white' noenhanced
    marker = 0.72
}
if (kind eq 'pdf') {
    # a point a pixel; lines of a PDF are half a point wide
    set terminal pdfcairo size width / 72.0 in, height / 72.0 in font 'Arial,10' fontscale 1 \
        linewidth 2 pointscale 1 background 'white' noenhanced
    marker = 1.0
}
if (kind eq 'png') {
    set terminal pngcairo size 1.5 * width, 1.5 * height font 'Arial,10' fontscale 1.5 \
        linewidth 1.5 pointscale 1.5 background 'white' noenhanced
    marker = 1.0
}
set output output

# What each template puts above its plot, in pixels from the top.
set label 1001 title_text at screen 16.0 / width, screen 1 - 20.0 / height left font ',17'
set label 1002 subtitle_text at screen 16.0 / width, screen 1 - 43.0 / height left font ',12' \
    tc rgb 0x505050
