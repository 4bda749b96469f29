# A sweep on the CPU from end to end: rows, resume, interruption, shards, full disk.
. tests/tap.sh
export OMP_NUM_THREADS=2
cat >"$scratch/w.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,96,192,"1,17",1,
m,l,lowrank,96,192,"1,17",1,16
m,l,monarch,96,192,"1,17",4,16
m,l,blast,96,192,"1,17",4,16
END
points=12 # two token counts; one variant of dense and lowrank, two of monarch and blast
sweep() { "$BLROOF" sweep "$scratch/w.csv" -d cpu --budget 0.02 "$@"; }
identities() { cut -d, -f3-12 "$1"; }

ok "ceilings" "$BLROOF" ceilings -d cpu -o "$scratch/c"
cp -r "$scratch/c" "$scratch/a"
ok "sweep reuses the ceilings" sweep -o "$scratch/a"
ok "ceilings are unchanged" cmp "$scratch/c/ceilings.csv" "$scratch/a/ceilings.csv"
ok "every point has its row" test "$(rows "$scratch/a/points.csv")" -eq $points
ok "all rows are ok" test "$(column "$scratch/a/points.csv" status | sort -u)" = ok
ok "every row has a time" sh -c "! grep -n ',ok,[^,]*,rotate,stream,[0-9]*,[a-z]*,,' $scratch/a/points.csv"
ok "samples are on file" test "$(rows "$scratch/a/samples.csv")" -ge $((3 * points))
ok "a second sweep is refused" fails 2 "already holds a sweep" sweep -o "$scratch/a"
cp "$scratch/a/points.csv" "$scratch/before.csv"
ok "resume of a whole run" sweep --resume -o "$scratch/a"
ok "measures nothing twice" cmp "$scratch/before.csv" "$scratch/a/points.csv"
sweep --resume --json -o "$scratch/a" >"$scratch/rows.json" 2>/dev/null
ok "rows as JSON" test "$(grep -c '^{"run_id":".*,"tokens":[0-9]*,.*,"status":"ok",.*,"power_w":null,.*}$' "$scratch/rows.json")" -eq $points

# Cut in the middle of a row, as an interruption would.
cp -r "$scratch/a" "$scratch/b"
head -c $(($(wc -c <"$scratch/a/points.csv") * 3 / 5)) "$scratch/a/points.csv" >"$scratch/b/points.csv"
kept=$(rows "$scratch/b/points.csv")
ok "resume after a torn row" sweep --resume -o "$scratch/b"
identities "$scratch/a/points.csv" >"$scratch/a.ids"
identities "$scratch/b/points.csv" >"$scratch/b.ids"
ok "gives exactly the rows of the whole run" cmp "$scratch/a.ids" "$scratch/b.ids"
head -n "$kept" "$scratch/a/points.csv" >"$scratch/a.head"
head -n "$kept" "$scratch/b/points.csv" >"$scratch/b.head"
ok "and keeps the rows from before" cmp "$scratch/a.head" "$scratch/b.head"
ok "no samples of a point stand twice" sh -c "cut -d, -f2-13 $scratch/b/samples.csv | sort | uniq -d | wc -l | grep -qx 0"

# A row that someone took out, to have it measured again.
sed -i 5d "$scratch/b/points.csv"
ok "resume after a row was taken out" sweep --resume -o "$scratch/b"
identities "$scratch/b/points.csv" | sort >"$scratch/b.ids"
ok "gives the rows of the whole run" sh -c "sort $scratch/a.ids | cmp - $scratch/b.ids"
ok "and its old samples are gone" sh -c "cut -d, -f2-13 $scratch/b/samples.csv | sort | uniq -d | wc -l | grep -qx 0"

# Ctrl-C.
cp -r "$scratch/c" "$scratch/i"
"$BLROOF" sweep "$scratch/w.csv" -d cpu --budget 0.5 -o "$scratch/i" >/dev/null 2>"$scratch/i.err" &
pid=$!
tries=0
until [ "$(wc -l 2>/dev/null <"$scratch/i/points.csv" || echo 0)" -ge 3 ] || [ $tries -ge 600 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $pid
wait $pid
code=$?
ok "Ctrl-C exits 130" test $code -eq 130
ok "and says how to go on" grep -q -- '--resume' "$scratch/i.err"
ok "report of what there is" sh -c "'$BLROOF' report '$scratch/i' >/dev/null 2>&1; grep -q '^- \*\*The sweep is not at its end:\*\* [0-9]* of its points are missing' '$scratch/i/report/index.md'"
ok "what there is is whole" sh -c "tail -c1 $scratch/i/points.csv | od -An -c | grep -q '\\\\n'"
ok "resume after Ctrl-C" sweep --resume -o "$scratch/i"
identities "$scratch/i/points.csv" >"$scratch/i.ids"
ok "gives the rows of the whole run" cmp "$scratch/a.ids" "$scratch/i.ids"
ok "run.csv says how many they are" grep -qx "points,$points" "$scratch/i/run.csv"
ok "and its report no longer misses any" sh -c "'$BLROOF' report '$scratch/i' >/dev/null 2>&1; ! grep -q 'not at its end' '$scratch/i/report/index.md'"

# Shards tile the sweep.
for shard in 0 1 2; do
    cp -r "$scratch/c" "$scratch/s$shard"
    ok "shard $shard/3" sweep --shard $shard/3 -o "$scratch/s$shard"
done
for shard in 0 1 2; do identities "$scratch/s$shard/points.csv" | tail -n +2; done | sort >"$scratch/s.ids"
tail -n +2 "$scratch/a.ids" | sort >"$scratch/a.sorted"
ok "three shards are the whole" cmp "$scratch/s.ids" "$scratch/a.sorted"

# A full disk: the file size limit stops a write in the middle of a row, as a full disk does.
cp -r "$scratch/c" "$scratch/f"
full() { (ulimit -f 4; trap '' XFSZ; sweep -o "$scratch/f"); }
ok "full disk" fails 2 'cannot write .*(points|samples).csv: File too large' full
ok "no torn row is left" sh -c "tail -c1 $scratch/f/points.csv | od -An -c | grep -q '\\\\n'"
ok "resume once there is room" sweep --resume -o "$scratch/f"
identities "$scratch/f/points.csv" >"$scratch/f.ids"
ok "gives the rows of the whole run" cmp "$scratch/a.ids" "$scratch/f.ids"

# What does not fit is a row.
cat >"$scratch/big.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,large,dense,1048576,1048576,1,1,
m,absurd,monarch,1099511627776,1099511627776,1099511627776,1024,1024
m,l,dense,96,192,17,1,
END
cp -r "$scratch/c" "$scratch/o"
ok "a layer that does not fit" "$BLROOF" sweep "$scratch/big.csv" -d cpu --budget 0.02 -o "$scratch/o"
column "$scratch/o/points.csv" status | sort | uniq -c | awk '{print $2 "=" $1}' | xargs >"$scratch/o.status"
ok "is a row oom and the others go on" grep -qx 'ok=1 oom=3' "$scratch/o.status"

# Cells changed by someone: a run directory is input too.
cp -r "$scratch/a" "$scratch/x"
sed -i '2s/,cpu,/,cpu,"/' "$scratch/x/points.csv"
ok "a broken points.csv is refused" fails 2 'points.csv:[0-9]+:.*never closed' sweep --resume -o "$scratch/x"
ok "and left as it was" test "$(rows "$scratch/x/points.csv")" -eq $points
cp -r "$scratch/a" "$scratch/z"
sed -i '3s/,17,/,seventeen,/' "$scratch/z/points.csv"
ok "a wrong cell is named" fails 2 'points.csv:3:tokens: ' sweep --resume -o "$scratch/z"
cp -r "$scratch/a" "$scratch/y"
sed -i 's/^device_name,.*/device_name,another CPU/' "$scratch/y/run.csv"
ok "a run of another machine is refused" fails 2 'was measured on another CPU, not ' sweep --resume -o "$scratch/y"

# Ten thousand points, of which only the last two can be computed: rows are filed as they come, and resuming finds
# all but one of them on file.
{
    echo model,layer,structure,in_features,out_features,tokens,blocks,rank
    echo 'm,a,monarch,33,64,"1..2500+1",4,16'
    echo 'm,b,monarch,33,64,"1..2499+1",4,16'
    echo m,l,monarch,32,64,1,4,16
} >"$scratch/large.csv"
cp -r "$scratch/c" "$scratch/n"
large() { "$BLROOF" sweep "$scratch/large.csv" -d cpu --budget 0.02 --counters off -o "$scratch/n" "$@"; }
ok "ten thousand points" large
ok "every one has its row" test "$(rows "$scratch/n/points.csv")" -eq 10000
cp "$scratch/n/points.csv" "$scratch/n.csv"
head -n 10000 "$scratch/n.csv" >"$scratch/n/points.csv"
ok "resume measures the one that is missing" large --resume
cut -d, -f3-14 "$scratch/n.csv" >"$scratch/n.ids"
ok "and no other" sh -c "cut -d, -f3-14 $scratch/n/points.csv | cmp - $scratch/n.ids"
plan
