# A report of 100,000 points: memory, and the processor time that lets two cores do it in 10 s.
. tests/tap.sh

fixture=${BLROOF_ROOT:-.}/tests/fixtures/run_gpu
run=$scratch/run
mkdir "$run"
cp "$fixture/run.csv" "$fixture/ceilings.csv" "$run"
# 50 layers of 8 (structure, variant) at 250 token counts, from the rows of a run
awk -F, -v OFS=, 'NR == 1 {for (i = 1; i <= NF; i++) c[$i] = i; print; next}
    $c["status"] == "ok" {row[rows++] = $0}
    END {
        for (layer = 0; layer < 50; layer++)
            for (tokens = 1; tokens <= 250; tokens++)
                for (v = 0; v < 8; v++) {
                    $0 = row[v % rows]
                    if (v >= rows / 2 && $c["structure"] != "dense") $c["variant"] = $c["variant"] v
                    $c["layer"] = "m/layer_" layer
                    $c["tokens"] = 8 * tokens
                    $c["time_us"] *= 1 + tokens / 10 + (v * 7 + layer) % 5 / 10
                    print
                }
    }' "$fixture/points.csv" >"$run/points.csv"
ok "100,000 points" test "$(rows "$run/points.csv")" -eq 100000

cat >"$scratch/limits.py" <<'PY'
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds, megabytes = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6
print(f"exit code {code}, {seconds:.1f} s of processor time, {megabytes:.0f} MB")
sys.exit(code != 0 or seconds > 20 or megabytes > 500)
PY
if command -v gnuplot >/dev/null && command -v python3 >/dev/null; then
    ok "a report within 20 s of processor time and 500 MB" python3 "$scratch/limits.py" "$BLROOF" report "$run"
    ok "with its page" test -s "$run/report/index.html"
else
    skip "a report of them" "no gnuplot or no python3"
fi
plan
