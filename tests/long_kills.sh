# kill -9 at any moment, rows torn as by a power cut, and --resume: in the end there are the rows of an
# undisturbed run, none lost, none twice, none torn. SEED=N and KILLS=N choose other moments and more of them.
. tests/tap.sh
export OMP_NUM_THREADS=1
# Its counters are made up, so that kills hit the counting of rows too.
killed=${BUILD:-build}/tests/blroof_faulty
seed=${SEED:-1} kills=${KILLS:-200} early=20
cat >"$scratch/w.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,32,64,"1,3",1,
m,l,lowrank,32,64,"1,3",1,16
m,l,monarch,32,64,"1,3",4,16
m,l,blast,32,64,"1,3",4,16
m,never,monarch,33,64,"1,3",4,16
END
variants=openblas,unfused,fused
sweep() { # sweep DIR COMMAND...: COMMAND may be a prefix of the program
    dir=$1
    shift
    "$@" "$killed" sweep "$scratch/w.csv" -d cpu --budget 0.002 --variant $variants --resume -o "$dir"
}
fields() { # fields FILE NAME...: these columns, no commas inside cells
    file=$1
    shift
    awk -F, -v names="$*" '
        NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; n = split(names, name, " "); next}
        {for (i = 1; i <= n; i++) printf "%s%s", $at[name[i]], i < n ? "," : "\n"}' "$file"
}
identities() {
    fields "$1/points.csv" layer structure variant dtype tokens blocks rank status counter_status
}

# Every point with its status and its counting; as many samples as each point says, each once.
same() { # same DIR
    [ "$(fields "$1/points.csv" run_id | sort -u | wc -l)" -eq 1 ] || { echo "more than one run_id"; return 1; }
    identities "$1" >"$scratch/ids"
    diff "$scratch/whole.ids" "$scratch/ids" || return 1
    fields "$1/points.csv" structure variant tokens samples | grep -v ',$' | sort >"$scratch/counts"
    fields "$1/samples.csv" structure variant tokens | sort | uniq -c | awk '{print $2 "," $1}' | sort |
        diff "$scratch/counts" - || return 1
    [ "$(ls "$1" | xargs)" = "ceilings.csv points.csv run.csv samples.csv" ] || { ls "$1"; return 1; }
}

# Kills the sweep into DIR after SECONDS; 0 if it was still running, and so was killed.
kill_after() { # kill_after DIR SECONDS GROUP
    sweep "$1" exec setsid >/dev/null 2>"$scratch/err" &
    pid=$!
    sleep "$2"
    if [ "$3" = 1 ]; then kill -9 -$pid 2>/dev/null; else kill -9 $pid 2>/dev/null; fi
    wait $pid 2>/dev/null
    code=$?
    [ $code -eq 137 ] && return 0
    [ $code -eq 0 ] || { broken=$((broken + 1)); echo "exit code $code: $(cat "$scratch/err")" >>"$scratch/broken"; }
    return 1
}

moments() { # moments COUNT LONGEST: seconds, whether to kill the whole group, bytes to tear off afterwards
    awk -v seed="$seed" -v count="$1" -v longest="$2" \
        'BEGIN {srand(seed); for (i = 0; i < count; i++) 
             printf "%.4f %d %d\n", longest * rand(), rand() < 0.5, rand() < 0.3 ? 1 + 200 * rand() : 0}'
}

broken=0
# While the directory comes to be and the ceilings are measured.
moments $early 0.1 >"$scratch/moments"
while read -r seconds group _; do kill_after "$scratch/whole" "$seconds" "$group"; done <"$scratch/moments"
ok "kills at the start break nothing" sh -c "! cat $scratch/broken"
ok "resume after them" sweep "$scratch/whole"
identities "$scratch/whole" >"$scratch/whole.ids"
ok "every point has its row" test "$(rows "$scratch/whole/points.csv")" -eq 16
ok "12 of them counted" test "$(grep -c ',ok,ok$' "$scratch/whole.ids")" -eq 12
ok "and each as many samples as it says" same "$scratch/whole"

done_kills=0 runs=0 differ=0
new() {
    runs=$((runs + 1))
    mkdir "$scratch/r$runs"
    cp "$scratch/whole/run.csv" "$scratch/whole/ceilings.csv" "$scratch/r$runs"
}
new
start=$(date +%s%N)
sweep "$scratch/r1" >/dev/null 2>&1
longest=$(awk -v ns=$(($(date +%s%N) - start)) 'BEGIN {print ns / 1e9}') # of an undisturbed run
moments $((5 * kills)) "$longest" >"$scratch/moments"
new
while [ $done_kills -lt "$kills" ] && read -r seconds group torn; do
    [ $broken -eq 0 ] || break
    if kill_after "$scratch/r$runs" "$seconds" "$group"; then
        done_kills=$((done_kills + 1))
        # A power cut may lose the end of what was not synced yet.
        [ ! -s "$scratch/r$runs/points.csv" ] || truncate -s -"$torn" "$scratch/r$runs/points.csv"
    else # it came to its end
        same "$scratch/r$runs" >"$scratch/differ.$runs" || differ=$((differ + 1))
        new
    fi
done <"$scratch/moments"
echo "# $done_kills kills in $runs runs of $longest s"
ok "$kills kills (seed $seed)" test $done_kills -eq "$kills"
ok "break nothing" sh -c "! cat $scratch/broken"
ok "the last run comes to its end" sweep "$scratch/r$runs"
ok "with the rows of the whole run" same "$scratch/r$runs"
ok "and so did every run before" sh -c "cat $scratch/differ.*; exit $differ"
plan
