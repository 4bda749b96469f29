# One poisoned point costs its row, not the sweep: variants that go wrong, each in its own way.
. tests/tap.sh
export OMP_NUM_THREADS=1 # threads that wait for each other on a busy machine would pass the limit
. tests/fault_rows.sh

ok "a sweep over every fault" "$faulty" sweep "$scratch/w.csv" -d cpu --budget 0.02 --limit 10 -o "$scratch/a"
ok "has every row once" test "$(cut -d, -f6,8 "$scratch/a/points.csv" | sort -u | wc -l)" -eq $((1 + 2 * 11))
ok "and no row twice" test "$(rows "$scratch/a/points.csv")" -eq $((2 * 11))
ok "a crash is a row" row "$scratch/a" fault_crash error 'crashed: Segmentation fault'
ok "a crash while it is timed is a row" row "$scratch/a" fault_crash_late error 'crashed: Segmentation fault'
ok "a hang is a row" row "$scratch/a" fault_hang error 'no answer within 10 s'
ok "a process that is killed is a row" row "$scratch/a" fault_killed error 'crashed: Killed'
ok "a process that exits is a row" row "$scratch/a" fault_leave error 'exit code 3'
ok "a lost device is a row" row "$scratch/a" fault_sticky error 'illegal memory access'
ok "NaN is a mismatch" row "$scratch/a" fault_nan mismatch 'error nan '
ok "a wrong result is a mismatch" row "$scratch/a" fault_wrong mismatch 'over the tolerance'
ok "no memory is oom" row "$scratch/a" fault_oom oom 'do not fit'
ok "those before and after are measured" row "$scratch/a" openblas ok '.*'
ok "and so are those at the end" row "$scratch/a" well_again ok '.*'
ok "no process is left" none_left "$scratch/a"
cp "$scratch/a/points.csv" "$scratch/before.csv"
ok "resume" "$faulty" sweep "$scratch/w.csv" -d cpu --budget 0.02 --limit 10 --resume -o "$scratch/a"
ok "does not try them again" cmp "$scratch/before.csv" "$scratch/a/points.csv"

# Ctrl-C while a point hangs: at once, and the point is not filed.
mkdir "$scratch/i"
cp "$scratch/a/run.csv" "$scratch/a/ceilings.csv" "$scratch/i"
"$faulty" sweep "$scratch/w.csv" -d cpu --variant fault_hang -o "$scratch/i" 2>"$scratch/i.err" &
pid=$!
tries=0
until [ -s "$scratch/i/points.csv" ] || [ $tries -ge 600 ]; do sleep 0.1; tries=$((tries + 1)); done
sleep 0.3
kill -INT $pid
wait $pid
code=$?
ok "Ctrl-C while a point hangs exits 130" test $code -eq 130
ok "and files no row for it" test "$(rows "$scratch/i/points.csv")" -eq 0
ok "and leaves no process" none_left "$scratch/i"

# A monitor that tells of heat and of another process: at first, or all the time.
cat >"$scratch/t.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,96,192,"1,2,3",1,
END
cells() { # cells DIR NAME...: of all rows
    awk -F, -v names="${*#"$1"}" '
        NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; n = split(names, name, " "); next}
        {for (i = 1; i <= n; i++) printf "%s%s", $at[name[i]], i < n ? "," : "\n"}' "$1/points.csv"
}
mkdir "$scratch/h" "$scratch/p"
cp "$scratch/a/ceilings.csv" "$scratch/h"
cp "$scratch/a/ceilings.csv" "$scratch/p"
# one reading after the ceilings, two for each time that samples are taken
ok "throttled at first" sh -c "FAULTY_THROTTLE=3 \"$faulty\" sweep $scratch/t.csv -d cpu --variant openblas --budget 1 -o $scratch/h 2>$scratch/h.err"
ok "is sampled again" test "$(cells "$scratch/h" remeasured throttle | xargs)" = "1,none 0,none 0,none"
ok "and not flagged then" test "$(cells "$scratch/h" flags | grep -c disturbed)" -eq 0
ok "which is said" grep -q '^1 points were sampled again' "$scratch/h.err"
ok "throttled all the time" sh -c "FAULTY_THROTTLE=999 \"$faulty\" sweep $scratch/t.csv -d cpu --variant openblas --budget 1 -o $scratch/p 2>$scratch/p.err"
ok "is recorded" test "$(cells "$scratch/p" throttle | sort -u)" = hw_thermal+other_process
ok "and flagged" test "$(cells "$scratch/p" flags | grep -c disturbed)" -eq 3
ok "after another try" sh -c "! grep -q '^0' <<X
$(cells "$scratch/p" remeasured)
X"
ok "which is said too" grep -q 'others or heat slowed the device at 3 points' "$scratch/p.err"
if command -v gnuplot >/dev/null; then
    ok "report" "$BLROOF" report "$scratch/p"
    ok "names the points" test "$(grep -c '| hw_thermal+other_process | [1-9]' "$scratch/p/report/index.md")" -eq 3
    ok "and says what it was" grep -q 'Another process was on the GPU\*\* during 3 of 3 points' "$scratch/p/report/index.md"
    ok "report of what was sampled again" "$BLROOF" report "$scratch/h"
    ok "says that it was in peace then" grep -q '^- 1 points were sampled again.*; 1 of them in peace' "$scratch/h/report/index.md"
    ok "and names no point" sh -c "! grep -q '^## Disturbed' $scratch/h/report/index.md"
fi
plan
