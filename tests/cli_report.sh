# report and predict from the command line: what they write, and what they refuse.
. tests/tap.sh

root=${BLROOF_ROOT:-.}
run=$scratch/run other=$scratch/other
cp -r "$root/tests/fixtures/run_gpu" "$run"
cp -r "$root/tests/fixtures/run_cpu" "$other"

if command -v gnuplot >/dev/null; then
    ok "two runs, the paper's tables" "$BLROOF" report --paper --latex "$run" "$other"
    for file in index.html index.md paper.md claims.csv claims.tex speedup.csv table2.tex models.csv passes.svg roofline.pdf; do
        ok "report/$file" test -s "$run/report/$file"
    done
    ok "the other run has a page too" grep -q "<h2>Side by side" "$other/report/index.html"
    cp "$run/report/index.html" "$scratch/before.html"
    ok "a report again" "$BLROOF" report --paper --latex "$run" "$other"
    ok "is the same" cmp "$scratch/before.html" "$run/report/index.html"
else
    skip "reports" "no gnuplot"
fi

ok "no run directory" fails 2 "needs a run directory" "$BLROOF" report --paper
ok "no file of another tool" fails 2 "none.csv" "$BLROOF" report --peer "$scratch/none.csv" "$run"
ok "not a file of another tool" fails 2 "points.csv:1" "$BLROOF" report --peer "$run/points.csv" "$run"

ok "predict nothing" fails 2 "needs a device profile and a workload" "$BLROOF" predict a40
ok "no such profile" fails 2 "'a41': expected one of a100, a40" "$BLROOF" predict a41 quick
ok "no such workload" fails 2 'unknown workload "quik"' "$BLROOF" predict a40 quik
if "$BLROOF" list variants | grep -q '^cuda'; then
    ok "predict" sh -c "$BLROOF predict a40 paper_layers -o $scratch/a40 >$scratch/a40.md"
    ok "prints the claims" grep -q '^| A40 | llama7b, 1024 tokens | monarch/unfused .*| reproduced |' "$scratch/a40.md"
    ok "keeps a run directory" test -s "$scratch/a40/points.csv"
    ok "does not replace it" fails 2 "already holds points" "$BLROOF" predict a40 quick -o "$scratch/a40"
    ok "against itself" sh -c "$BLROOF predict a40 paper_layers --against $scratch/a40 | grep -q 'predicted/measured 1.00'"
    ok "against another workload" fails 2 "has no point of this workload" \
        "$BLROOF" predict a40 quick --against "$run"
else
    ok "predict without CUDA" fails 4 "built without CUDA" "$BLROOF" predict a40 quick
fi
plan
