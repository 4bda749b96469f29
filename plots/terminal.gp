# Opens `output` as `kind` (svg or png), width x height; a PNG has half as many pixels again.
# Both come out alike: SVG counts fonts in pixels, not points, and draws markers larger.
if (kind eq 'svg') {
    set terminal svg size width,height font 'Arial,10' fontscale 1.33 background 'white' noenhanced
    marker = 0.72
} else {
    set terminal pngcairo size 1.5 * width, 1.5 * height font 'Arial,10' fontscale 1.5 \
        linewidth 1.5 pointscale 1.5 background 'white' noenhanced
    marker = 1.0
}
set output output
