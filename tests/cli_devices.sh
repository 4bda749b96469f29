# Several devices in one sweep: stand-ins for GPUs, of which the second is half as fast.
. tests/tap.sh
export OMP_NUM_THREADS=1 FAULTY_DEVICES=2
faulty=${BUILD:-build}/tests/blroof_faulty
cat >"$scratch/w.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,64,96,"1..16x2",1,
m,l,lowrank,64,96,"1..16x2",1,16
m,l,blast,64,96,"1..16x2",4,16
END
points=15
sweep() { "$faulty" sweep "$scratch/w.csv" -d cpu:all --variant openblas,unfused --budget 0.002 "$@"; }
fields() { # fields FILE NAME...: these columns, no commas inside cells
    file=$1
    shift
    awk -F, -v names="$*" '
        NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; n = split(names, name, " "); next}
        {for (i = 1; i <= n; i++) printf "%s%s", $at[name[i]], i < n ? "," : "\n"}' "$file"
}
# Each shape on one device alone, and both devices at work.
together() { # together DIR
    fields "$1/points.csv" tokens device | sort -u >"$scratch/shapes"
    cat "$scratch/shapes"
    [ "$(wc -l <"$scratch/shapes")" -eq 5 ] && [ "$(cut -d, -f2 "$scratch/shapes" | sort -u | wc -l)" -eq 2 ]
}
each_once() { # each_once DIR ROWS NAME...: so many rows, all different in these columns, as many samples as they say
    dir=$1 wanted=$2
    shift 2
    [ "$(rows "$dir/points.csv")" -eq "$wanted" ] || { rows "$dir/points.csv"; return 1; }
    [ "$(fields "$dir/points.csv" "$@" | sort -u | wc -l)" -eq "$wanted" ] || return 1
    fields "$dir/points.csv" "$@" samples | sort >"$scratch/said"
    fields "$dir/samples.csv" "$@" | sort | uniq -c | awk '{print $2 "," $1}' | sort | diff "$scratch/said" -
}
point="structure variant tokens"

ok "a sweep over all devices" sweep -o "$scratch/a"
ok "measures every point once" each_once "$scratch/a" $points $point
ok "all of a shape on one device" together "$scratch/a"
ok "rows say which GPU it was" sh -c "! cut -d, -f2 $scratch/a/points.csv | tail -n +2 | grep -v '^cpu:[01]$'"
ok "by its uuid too" test "$(fields "$scratch/a/points.csv" device gpu_uuid | sort -u | xargs)" = "cpu:0,GPU-of-test-0 cpu:1,GPU-of-test-1"
ok "every device has its ceilings" test "$(fields "$scratch/a/ceilings.csv" device | uniq -c | awk '{print $1}' | sort -u | wc -l)" -eq 1
ok "of both" test "$(fields "$scratch/a/ceilings.csv" device | uniq | xargs)" = "cpu:0 cpu:1"
ok "all rows are counted" test "$(fields "$scratch/a/points.csv" counter_status | sort -u)" = ok
ok "run.csv has both" grep -qx 'gpu_uuid,GPU-of-test-0 | GPU-of-test-1' "$scratch/a/run.csv"
# A row's roof is that of its device: where ceilings are 1000 times as high, it is so much lower.
cp -r "$scratch/a" "$scratch/fast"
awk -F, -v OFS=, 'NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i} NR > 1 && $at["device"] == "cpu:1" {$at["value"] = $at["unit"] == "us" ? $at["value"] / 1000 : $at["value"] * 1000} 1' \
    "$scratch/a/ceilings.csv" >"$scratch/fast/ceilings.csv"
cp "$scratch/a/run.csv" "$scratch/fast/run.csv"
rm "$scratch/fast/points.csv" "$scratch/fast/samples.csv"
ok "a sweep with other ceilings of the second" sweep --resume -o "$scratch/fast"
ok "every row has the roof of its device" sh -c "awk -F, '
    NR == 1 {for (i = 1; i <= NF; i++) at[\$i] = i; next}
    {d = \$at[\"device\"]; if (!(d in most) || \$at[\"roof_us\"] > most[d]) most[d] = \$at[\"roof_us\"]}
    END {exit !(most[\"cpu:0\"] > 50 * most[\"cpu:1\"] && most[\"cpu:1\"] > 0)}' $scratch/fast/points.csv"

# Going on: what one device began, it ends.
cp -r "$scratch/a" "$scratch/r"
for table in points samples; do
    awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i} NR == 1 || $at["structure"] == "dense"' \
        "$scratch/a/$table.csv" >"$scratch/r/$table.csv"
done
fields "$scratch/r/points.csv" tokens device | sort >"$scratch/begun"
ok "resume" sweep --resume -o "$scratch/r"
ok "measures what is left" each_once "$scratch/r" $points $point
ok "all of a shape where it was begun" sh -c "sort -u $scratch/begun >$scratch/b; awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) at[\$i] = i; next} {print \$at[\"tokens\"] \",\" \$at[\"device\"]}' $scratch/r/points.csv | sort -u | cmp - $scratch/b"
cp "$scratch/r/points.csv" "$scratch/before.csv"
ok "resume of a whole sweep" sweep --resume -o "$scratch/r"
ok "changes nothing" cmp "$scratch/before.csv" "$scratch/r/points.csv"
ok "as a sweep of one device" fails 2 'was measured on cpu:all, not cpu' "$faulty" sweep "$scratch/w.csv" -d cpu --resume -o "$scratch/r"
ok "with --pin-point" fails 2 'was measured with --pin-point: no, not yes' sweep --pin-point --resume -o "$scratch/r"
ok "on fewer devices" fails 2 'was measured on the GPU GPU-of-test-0 . GPU-of-test-1, not GPU-of-test-0' \
    env FAULTY_DEVICES=1 "$faulty" sweep "$scratch/w.csv" -d cpu:all --resume -o "$scratch/r"

# Every point on every device.
ok "pinned" sweep --pin-point -o "$scratch/p"
ok "every device measures every point" each_once "$scratch/p" $((2 * points)) $point device
head -n 20 "$scratch/p/points.csv" >"$scratch/head"
cp -r "$scratch/p" "$scratch/q"
cp "$scratch/head" "$scratch/q/points.csv"
ok "resume" sweep --pin-point --resume -o "$scratch/q"
ok "of each device what it lacks" each_once "$scratch/q" $((2 * points)) $point device
ok "two runs of it are compared device by device" sh -c "$BLROOF compare $scratch/p $scratch/q --markdown $scratch/c.md >/dev/null && grep -q 'm/l on cpu:1' $scratch/c.md"
ok "pinned to one device" fails 2 'add -d cuda:all' "$faulty" sweep quick -d cpu --pin-point -o "$scratch/n"
ok "pinned shards" fails 2 'would find each point twice' sweep --pin-point --shard 0/2 -o "$scratch/n"

# A device that fails costs its own row, and the other goes on meanwhile.
cat >"$scratch/f.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,64,96,"1..8x2",1,
END
ok "faults on several devices" "$faulty" sweep "$scratch/f.csv" -d cpu:all --variant openblas,fault_crash,fault_sticky,well_again --budget 0.002 -o "$scratch/f"
ok "are rows of their own" test "$(fields "$scratch/f/points.csv" variant status | sort | uniq -c | awk '{print $1 ":" $2}' | xargs)" = "4:fault_crash,error 4:fault_sticky,error 4:openblas,ok 4:well_again,ok"

# One that cannot be opened again after a crash leaves its shapes; the other one measures the rest.
mkdir "$scratch/g"
cp "$scratch/a/ceilings.csv" "$scratch/g"
lost="$faulty sweep $scratch/f.csv -d cpu:all --variant openblas,fault_crash,well_again --budget 0.002"
ok "a device that is lost" fails 4 'the GPU has fallen off the bus' env FAULTY_GONE="$scratch/gone" $lost -o "$scratch/g"
ok "is named" grep -q '^warning: cpu:1 is left out: the GPU has fallen' "$scratch/.err"
ok "what it began is left" grep -q ', 1 left$' "$scratch/.err"
ok "what it did not is measured" test "$(fields "$scratch/g/points.csv" device | sort | uniq -c | awk '{print $1 $2}' | xargs)" = "9cpu:0 2cpu:1"
ok "and the rest when it is back" $lost --resume -o "$scratch/g"
ok "on the same device" test "$(fields "$scratch/g/points.csv" device | sort | uniq -c | awk '{print $1 $2}' | xargs)" = "9cpu:0 3cpu:1"

# kill -9, a dozen times, of the parent or of its whole group.
kills=0 tries=0
cp -r "$scratch/a" "$scratch/k"
rm "$scratch/k/points.csv" "$scratch/k/samples.csv"
while [ $kills -lt 12 ] && [ $tries -lt 60 ]; do
    tries=$((tries + 1))
    setsid "$faulty" sweep "$scratch/w.csv" -d cpu:all --variant openblas,unfused --budget 0.05 --resume -o "$scratch/k" >/dev/null 2>&1 &
    pid=$!
    sleep "0.$((tries % 5 + 1))"
    if [ $((tries % 2)) = 0 ]; then kill -9 -$pid 2>/dev/null; else kill -9 $pid 2>/dev/null; fi
    wait $pid 2>/dev/null
    [ $? -eq 137 ] && kills=$((kills + 1))
    [ "$(rows "$scratch/k/points.csv")" -lt $points ] || { rm "$scratch/k/points.csv" "$scratch/k/samples.csv"; }
done
echo "# $kills kills"
ok "killed" test $kills -ge 6
ok "and resumed" sweep --resume -o "$scratch/k"
ok "every point is there once" each_once "$scratch/k" $points $point
ok "all of a shape on one device" test "$(fields "$scratch/k/points.csv" tokens device | sort -u | wc -l)" -eq 5

# Reports say what is of which device.
if command -v gnuplot >/dev/null; then
    ok "report" "$BLROOF" report "$scratch/a"
    ok "one section for all devices" test "$(grep -c '^## .*(cpu:all, several GPUs)' "$scratch/a/report/index.md")" -eq 1
    ok "which says who measured what" grep -q '^Points were shared out among cpu:[01] GPU-of-test-[01] (\(3\|6\|9\|12\)), cpu' "$scratch/a/report/index.md"
    ok "and that no ratio crosses" grep -q '^Every speedup is a ratio of times of one device' "$scratch/a/report/index.md"
    cp -r "$scratch/a" "$scratch/x"
    sed -i '/dense/s/GPU-of-test-./GPU-of-test-9/' "$scratch/x/points.csv"
    ok "report of shapes that are parted" "$BLROOF" report "$scratch/x"
    ok "says that ratios cross" grep -q '^\*\*10 ratios are of times of two devices' "$scratch/x/report/index.md"
    ok "and marks them" grep -q 'us, [0-9.]*x†' "$scratch/x/report/speedup.md"
    ok "report of a pinned sweep" "$BLROOF" report "$scratch/p"
    ok "has a section for each device" test "$(grep -c '^## .*(cpu:[01])' "$scratch/p/report/index.md")" -eq 2
    ok "and how they differ" grep -q '^15 points were measured on several devices' "$scratch/p/report/index.md"
    ok "largest first" sh -c "tail -n +2 $scratch/p/report/spread.csv | sed 's/.*,//' >$scratch/s && sort -rg $scratch/s | cmp - $scratch/s"
else
    skip "reports" "no gnuplot"
fi
plan
