# Malformed workload files: one line that names file, line and column, exit 2, nothing measured.
. tests/tap.sh
header=model,layer,structure,in_features,out_features,tokens,blocks,rank
good=m,l,dense,64,64,8,1,

refused() { # refused NAME PATTERN: the workload $scratch/w.csv
    ok "$1" fails 2 "$2" "$BLROOF" sweep "$scratch/w.csv" -d cpu -o "$scratch/run"
}
with() { # with LINE...: writes the workload with its header
    { echo $header; printf '%s\n' "$@"; } >"$scratch/w.csv"
}

: >"$scratch/w.csv"
refused "empty file" 'w.csv:1:1: the file is empty'
echo a,b,c >"$scratch/w.csv"
refused "wrong columns" 'w.csv:1:model: .*missing'
echo "model,$header" >"$scratch/w.csv"
refused "a column twice" 'w.csv:1:2: .*twice'
echo $header >"$scratch/w.csv"
refused "no layers" 'w.csv:2:model: no layers'
with $good m,l,dense,64,64
refused "short row" 'w.csv:3:tokens: .*ends here with 5 cells'
with $good,9
refused "long row" 'w.csv:2:9: more cells'
with 'm,"l,dense,64,64,8,1,' $good
refused "open quote" 'w.csv:2:layer: .*never closed'
with 'm,l"x,dense,64,64,8,1,'
refused "quote inside a cell" 'w.csv:2:layer: stray quote'
with m,l,dense,-64,64,8,1,
refused "negative number" 'w.csv:2:in_features: .*not a whole number of 0 or more'
with m,l,dense,64,99999999999999999999,8,1,
refused "overflowing number" 'w.csv:2:out_features: .*too large'
with m,l,dense,64,0x40,8,1,
refused "hexadecimal number" 'w.csv:2:out_features: .*not a whole number'
with m,l,dense,64,64.5,8,1,
refused "broken number" 'w.csv:2:out_features: .*whole number'
with m,l,dense,64,64,99999999999999999999,1,
refused "overflowing list" 'w.csv:2:tokens: .*from 1 to 2.40'
with m,l,dense,64,64,0,1,
refused "zero tokens" 'w.csv:2:tokens: .*from 1 to 2.40'
with m,l,dense,64,64,,1,
refused "no tokens" 'w.csv:2:tokens: empty'
with m,l,densest,64,64,8,1,
refused "unknown structure" 'w.csv:2:structure: unknown structure'
printf '%s\nm,l\0l,dense,64,64,8,1,\n' $header >"$scratch/w.csv"
refused "NUL byte" 'w.csv:2:layer: .*NUL byte'
{ echo $header; head -c 10000000 /dev/zero | tr '\0' x; echo; } >"$scratch/w.csv"
refused "10 MB line" 'w.csv:2:model: .*(too long|longer than)'
head -c 10000000 /dev/zero | tr '\0' x >"$scratch/w.csv"
refused "10 MB without a newline" 'w.csv:1:1: .*(too long|longer than)'
with m,l,lowrank,64,64,8,1,
refused "no rank" 'w.csv:2:rank: empty'
ok "nothing was written" test ! -e "$scratch/run"

# What the mathematics does not allow is a row, not an error.
with m,l,monarch,64,64,8,5,20 m,l,monarch,64,64,8,4,6 m,l,blast,64,60,8,16,4
ok "impossible blocks and ranks are measured as rows" \
    "$BLROOF" sweep "$scratch/w.csv" -d cpu --budget 0.01 -o "$scratch/run"
ok "all are unsupported" test "$(column "$scratch/run/points.csv" status | sort -u)" = unsupported
ok "with reasons" grep -q 'blocks 5 does not divide in_features 64' "$scratch/run/points.csv"
plan
