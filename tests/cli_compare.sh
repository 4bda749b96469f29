# Comparisons from end to end: verdicts as exit codes, files, commands run in turn.
. tests/tap.sh
export OMP_NUM_THREADS=2 TMPDIR="$scratch"
fixture=$(dirname "$0")/fixtures/run_cpu
gpu=$(dirname "$0")/fixtures/run_gpu

edit() { # edit FROM TO AWK: a copy of a run; AWK sees a row with cell(NAME) and put(NAME, VALUE)
    cp -r "$1" "$2"
    awk -F, -v OFS=, "function cell(n) {return \$c[n]}
        function put(n, v) {\$c[n] = v}
        function scale(n, f) {if (cell(n) != \"\") put(n, cell(n) * f)}
        function slower(f) {scale(\"time_us\", f); scale(\"time_ci_low_us\", f); scale(\"time_ci_high_us\", f)}
        NR == 1 {for (i = 1; i <= NF; i++) c[\$i] = i; print; next}
        {$3; print}" "$1/points.csv" >"$2/points.csv"
}

exits() { # exits CODE PATTERN COMMAND...: and prints PATTERN
    code=$1 pattern=$2
    shift 2
    "$@" >"$scratch/.out" 2>&1
    got=$?
    cat "$scratch/.out"
    [ "$got" -eq "$code" ] || { echo "exit code $got, not $code"; return 1; }
    grep -qE -- "$pattern" "$scratch/.out" || { echo "output lacks: $pattern"; return 1; }
}
compare() { "$BLROOF" compare "$@"; }

mkdir "$scratch/none"
edit "$fixture" "$scratch/same" ''
edit "$fixture" "$scratch/slower" 'slower(1.1)'
edit "$fixture" "$scratch/faster" 'slower(0.9)'
edit "$fixture" "$scratch/unclear" 'if (NR == 2) slower(1.04)'
edit "$fixture" "$scratch/vague" 'if (NR == 2) slower(1.035)'
edit "$fixture" "$scratch/right" 'if (cell("status") == "mismatch") next'
edit "$fixture" "$scratch/wrong" 'if (NR == 2) put("status", "mismatch")'
edit "$gpu" "$scratch/bytes" 'if (NR == 2) scale("l2_bytes", 1.25)'
edit "$gpu" "$scratch/launches" 'if (NR == 2) put("kernels", 7)'
head -n 3 "$fixture/points.csv" >"$scratch/few.csv"
cp -r "$fixture" "$scratch/few"
cp "$scratch/few.csv" "$scratch/few/points.csv"

ok "identical data is the same" exits 0 '^SAME: of 41 points' compare "$fixture" "$scratch/same" --gate
ok "10 % slower is a regression" exits 1 '^blroof: regression: .* slower' compare "$fixture" "$scratch/slower" --gate
ok "and says so without a gate" exits 0 '^SLOWER: ' compare "$fixture" "$scratch/slower"
ok "10 % faster passes" exits 0 '^FASTER: ' compare "$fixture" "$scratch/faster" --gate
ok "4 % is unclear" exits 3 '^blroof: inconclusive: ' compare "$fixture" "$scratch/unclear" --gate
ok "but not with less noise" exits 1 'SLOWER: 1$' compare "$fixture" "$scratch/unclear" --gate --noise 0.5
ok "nor with a higher threshold" exits 0 '^SAME: ' compare "$fixture" "$scratch/unclear" --gate --threshold 5
ok "a wrong result is a regression" exits 1 '1 broken' compare "$fixture" "$scratch/wrong" --gate
ok "extra bytes are a regression" exits 1 'bytes at the L2' compare "$gpu" "$scratch/bytes" --gate
ok "extra launches are a regression" exits 1 'kernels launched: . -> 7' compare "$gpu" "$scratch/launches" --gate
ok "missing points leave it open" exits 3 'missing in NEW' compare "$fixture" "$scratch/few" --gate
ok "more points than before are fine" exits 0 'only in NEW' compare "$scratch/few" "$scratch/right" --gate
ok "unless one is wrong" exits 1 'not there -> mismatch' compare "$scratch/few" "$fixture" --gate
ok "other machines are refused" fails 4 'device: Fixture CPU and Fixture GPU' compare "$fixture" "$gpu" --gate
ok "other dtypes too" fails 4 'dtype: fp32 and bf16' compare "$fixture" "$gpu" --gate
cp -r "$fixture" "$scratch/other"
sed -i 's/Fixture CPU/Another CPU/' "$scratch/other/run.csv"
ok "unless forced, which is said" exits 0 'not comparable, forced: device: Fixture CPU and Another CPU' compare "$fixture" "$scratch/other" --gate --force
ok "null comparisons of recorded runs" exits 0 '^null: 5 comparisons .* 0 false alarms' compare "$fixture" --null 5 --gate

ok "files" compare "$fixture" "$scratch/slower" --markdown "$scratch/o.md" --junit "$scratch/o.xml" --json "$scratch/o.json"
ok "Markdown" grep -q '^### blroof compare: SLOWER' "$scratch/o.md"
ok "JUnit XML" grep -q '<failure message="SLOWER' "$scratch/o.xml"
ok "JSON" grep -q '"verdict": "SLOWER"' "$scratch/o.json"
if command -v python3 >/dev/null; then
    ok "JUnit XML is well-formed" python3 -c "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])" "$scratch/o.xml"
    ok "JSON is well-formed" python3 -c "import json, sys; assert len(json.load(open(sys.argv[1]))['points']) == 41" "$scratch/o.json"
else
    skip "JUnit XML is well-formed" "no python3"
    skip "JSON is well-formed" "no python3"
fi
ok "unwritable file" fails 2 'cannot write /proc/none/x' compare "$fixture" "$scratch/same" --json /proc/none/x

# Commands: copies of recorded runs cannot be disturbed by other load.
run() { compare --run "$@"; }
cp="cp -r $scratch/same/. {}" new="cp -r $scratch/slower/. {}"
ok "commands that measure the same" exits 0 '^SAME: ' run "$cp" "$cp" -n 2 --gate -o "$scratch/r"
ok "ran as often as asked" test "$(ls -d "$scratch"/r/base/? "$scratch"/r/new/? | wc -l)" -eq 4
ok "can be compared again" exits 0 '^SAME: ' compare "$scratch/r/base" "$scratch/r/new" --gate
ok "a slower command" exits 1 '^SLOWER: ' run "$cp" "$new" -n 5 --gate
ok "an unclear one runs three times as often" exits 3 'after 2 processes a side: 1 more' run "$cp" "cp -r $scratch/vague/. {}" -n 1 --gate -o "$scratch/u"
ok "and no more" test "$(ls -d "$scratch"/u/new/? | wc -l)" -eq 3
ok "null comparisons of a command" exits 0 '^null: 2 comparisons .* 0 false alarms, 0 inconc' run "$cp" --null 2 -n 2 --gate
ok "a directory that is taken" fails 2 'already holds a comparison' run "$cp" "$cp" -o "$scratch/r"
ok "no shell" fails 2 "cannot run 'true;touch'" run "true;touch $scratch/shell" "$cp" -n 1
ok "has run anything" test ! -e "$scratch/shell"
ok "a command that is not there" fails 2 "cannot run './none'" run ./none ./none -n 1
ok "a command that fails" fails 4 'exit code 1: .*No such file' run "cp /none/x {}" "cp /none/x {}" -n 1
ok "a command that measures nothing" fails 2 'left no .*points.csv' run true true -n 1
ok "an open quote" fails 2 'quote is never closed' run "a 'b" true

# Ctrl-C reaches the process that is running.
"$BLROOF" compare --run "sh -c 'echo \$\$ && exec sleep 60' {}" "sh -c 'echo \$\$ && exec sleep 60' {}" -o "$scratch/i" 2>"$scratch/i.err" &
pid=$!
tries=0
until [ -s "$scratch/i/base/1.log" ] || [ -s "$scratch/i/new/1.log" ] || [ $tries -ge 600 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $pid
wait $pid
code=$?
child=$(cat "$scratch"/i/*/1.log)
ok "Ctrl-C exits 130" test $code -eq 130
ok "and says that it was interrupted" grep -q '^blroof: interrupted' "$scratch/i.err"
ok "and ends the process" sh -c "test -n '$child' && ! kill -0 $child"

# Real processes; how long they take is not judged.
printf 'model,layer,structure,in_features,out_features,tokens,blocks,rank\nm,l,dense,32,32,1,1,\n' >"$scratch/w.csv"
sweep="$BLROOF sweep $scratch/w.csv -d cpu --budget 0.01"
ok "sweeps run in turn" exits 0 'of 1 points' run "$sweep" "$sweep -o {}" -n 2 -o "$scratch/s"
ok "share the ceilings of the first" cmp "$scratch/s/new/1/ceilings.csv" "$scratch/s/new/2/ceilings.csv"
ok "and are the processes of their side" exits 0 'SAME|FASTER|INCONCLUSIVE|SLOWER' compare "$scratch/s/base" "$scratch/s/new"

# An intermediate that is written once more shows in the bytes alone: the new run is given the times of the old one.
faulty=${BUILD:-build}/tests/blroof_faulty
printf 'model,layer,structure,in_features,out_features,tokens,blocks,rank\nm,l,lowrank,64,64,64,1,48\n' >"$scratch/l.csv"
bytes="$faulty sweep $scratch/l.csv --variant planted --budget 0.02"
ok "an intermediate written twice" run "$bytes -d cpu" "env FAULTY_EXTRA_WRITE=1 $bytes -d cpu" -n 1 -o "$scratch/w"
awk -F, -v OFS=, 'NR == FNR {if (FNR == 1) for (i = 1; i <= NF; i++) at[$i] = i; else split($0, old); next}
    FNR > 1 {for (name in at) if (name ~ /^time_|^sm_clock/) $at[name] = old[at[name]]} 1' \
    "$scratch/w/base/1/points.csv" "$scratch/w/new/1/points.csv" >"$scratch/w/points.csv"
mv "$scratch/w/points.csv" "$scratch/w/new/1/points.csv"
rm "$scratch"/w/*/1/samples.csv
ok "is a regression" fails 1 'regression: 1 of 1 points regress' compare "$scratch/w/base" "$scratch/w/new" --gate
ok "of bytes" sh -c "$BLROOF compare $scratch/w/base $scratch/w/new | grep -q 'modelled bytes: .*(+'"
ok "and none the other way round" exits 0 'of 1 points' compare "$scratch/w/new" "$scratch/w/base" --gate
if "$faulty" devices | grep -q '^cuda:[0-9]' && "$faulty" doctor --counters >/dev/null 2>&1; then
    printf 'model,layer,structure,in_features,out_features,tokens,blocks,rank\nm,l,lowrank,768,3072,8192,1,192\n' >"$scratch/l.csv"
    ok "bytes that a GPU counts" exits 1 'bytes (at the L2|read from DRAM)' run "$bytes -d cuda" "env FAULTY_EXTRA_WRITE=1 $bytes -d cuda" -n 1 --gate
else
    skip "bytes that a GPU counts" "no GPU with counters"
fi

ok "one side alone" fails 2 'needs BASE and NEW' compare "$fixture"
ok "three sides" fails 2 "is a third" compare "$fixture" "$fixture" "$fixture"
ok "a directory without a run" fails 2 'holds no run' compare "$scratch/none" "$fixture"
ok "a bad number" fails 2 '--threshold is a number' compare "$fixture" "$fixture" --threshold x
ok "a bad count" fails 2 '-n is a whole number' run "$cp" "$cp" -n 0
ok "-n of recorded runs" fails 2 'go with --run' compare "$fixture" "$fixture" -n 3
ok "a malformed run" sh -c "mkdir $scratch/m && echo 'run_id,time_us' >$scratch/m/points.csv && echo 'x,fast' >>$scratch/m/points.csv"
ok "is named" fails 2 'points.csv:2:time_us' compare "$scratch/m" "$fixture" --force
plan
