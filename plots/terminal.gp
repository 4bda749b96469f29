# Opens `output` as `kind` (svg or png), width x height. A PNG has half as many pixels again.
if (kind eq 'svg') {
    set terminal svg size width,height font 'Arial,13' background 'white' noenhanced
} else {
    set terminal pngcairo size 1.5 * width, 1.5 * height font 'Arial,10' fontscale 1.5 \
        linewidth 1.5 pointscale 1.5 background 'white' noenhanced
}
set output output
