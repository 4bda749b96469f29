# doctor, and --counters on a CPU: exit codes, and that nothing is counted where nothing can be.
. tests/tap.sh
export OMP_NUM_THREADS=2

"$BLROOF" doctor -d cpu >"$scratch/screen"
ok "doctor of the CPU exits 0" test $? -eq 0
ok "every line has a mark" sh -c "! grep -vE '^(ok      |warning |-       ) |^                         [^ ]|^cpu can measure.$|^$' $scratch/screen"
ok "and at most 96 columns" sh -c "! grep -nE '^.{97}' $scratch/screen"
ok "it is one screen" test "$(wc -l <"$scratch/screen")" -le 40
for name in driver GPU CPU governor pinning OpenBLAS gnuplot; do
    ok "it speaks of $name" grep -qE "^(ok|warning|-) +$name " "$scratch/screen"
done
ok "without gnuplot it names the package" sh -c "PATH=/nonexistent $BLROOF doctor -d cpu | grep -A1 '^warning  gnuplot' | grep -q 'apt-get install gnuplot-nox'"
ok "an unknown device" fails 2 "no device 'tpu'" "$BLROOF" doctor -d tpu
ok "an argument too many" fails 2 "takes no argument 'now'" "$BLROOF" doctor now
ok "counters that a CPU lacks" fails 4 "cpu has no counters" "$BLROOF" doctor -d cpu --counters
if "$BLROOF" devices | grep -q '^cuda:0'; then
    ok "doctor of the GPU exits 0" "$BLROOF" doctor -d cuda
else
    ok "a device that is not there" fails 4 "(cuda|CUDA)" "$BLROOF" doctor -d cuda
    ok "doctor without a GPU exits 0" "$BLROOF" doctor
    "$BLROOF" doctor >"$scratch/screen"
    ok "and says why there is none" grep -qE '^warning  GPU +[^ ]' "$scratch/screen"
fi

cat >"$scratch/w.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,96,192,"1,17",1,
END
sweep() { "$BLROOF" sweep "$scratch/w.csv" -d cpu --budget 0.02 "$@"; }
ok "--counters of another name" fails 2 "--counters is auto, off or require" sweep --counters on -o "$scratch/a"
ok "--counters require exits 4" fails 4 "--counters require: unsupported" sweep --counters require -o "$scratch/a"
ok "and writes nothing" test ! -e "$scratch/a"
ok "--counters require cannot be cold" fails 2 "cannot count --cache cold" sweep --counters require --cache cold -o "$scratch/a"
ok "--counters auto measures" sweep --counters auto -o "$scratch/a"
ok "and rows say that nothing was counted" test "$(column "$scratch/a/points.csv" counter_status | sort -u)" = unsupported
ok "and why" grep -q ',ok,not counted: ' "$scratch/a/points.csv"
ok "an unknown count is empty, not 0" test -z "$(column "$scratch/a/points.csv" dram_read_bytes | tr -d '\n')"
ok "run.csv says so too" grep -qx 'counter_status,unsupported' "$scratch/a/run.csv"
ok "--counters off measures" sweep --counters off -o "$scratch/b"
ok "and rows say off" test "$(column "$scratch/b/points.csv" counter_status | sort -u)" = off
ok "without a reason" sh -c "! grep -q 'not counted' $scratch/b/points.csv"
plan
