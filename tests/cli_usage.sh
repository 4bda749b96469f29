# The command line: help, errors, exit codes.
. tests/tap.sh

says() { # says PATTERN COMMAND...: exits 0 and prints PATTERN
    pattern=$1
    shift
    "$@" >"$scratch/.out" 2>&1 && grep -qE -- "$pattern" "$scratch/.out"
}

ok "--help names the commands" says '^  sweep ' "$BLROOF" --help
ok "--version tells the commit" says '^blroof [0-9.]+ \(' "$BLROOF" --version
for command in devices doctor list ceilings sweep merge model predict report compare; do
    ok "$command --help" says "usage: blroof $command" "$BLROOF" $command --help
done
ok "the manual has every command" test "$("$BLROOF" --manual man | grep -c '^\.SS blroof ')" -eq 10
ok "a manual of another kind" fails 2 "man .*, or bash or zsh" "$BLROOF" --manual html
ok "install" sh tests/install.sh "$BLROOF" "$scratch/prefix"
ok "finds its data where it is installed" says '^quick$' "$scratch/prefix/bin/blroof" list workloads
completes() { # completes EXPECTED WORD...: what bash offers for the last word
    expected=$1
    shift
    test "$(PATH=$scratch/prefix/bin:$PATH bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _blroof
        echo "${COMPREPLY[*]}"' "$scratch/prefix/share/bash-completion/completions/blroof" "$@")" = "$expected"
}
ok "completes commands" completes sweep blroof sw
ok "completes workloads" completes paper_layers blroof sweep paper_l
ok "completes profiles" completes orin_nano_8gb blroof predict orin_
ok "completes kinds of lists" completes profiles blroof list prof
ok "completes options" completes --budget blroof sweep --bud
ok "devices lists the CPU" says '^cpu: ' "$BLROOF" devices
ok "list has monarch/fused" says 'monarch/fused' "$BLROOF" list variants
ok "list has the counter groups" says '^GH100 +GH100 +15 ' "$BLROOF" list counters
ok "list has the models" says '^gpt2s$' "$BLROOF" list models
ok "list has the workloads" says '^paper_layers$' "$BLROOF" list workloads
ok "list has the profiles" says "^a40 +NVIDIA A40 +150 TFLOP" "$BLROOF" list profiles

ok "no command" sh -c "! $BLROOF"
ok "unknown command" fails 2 "unknown command 'swep'" "$BLROOF" swep
ok "unknown flag" fails 2 "unknown option '--fast'" "$BLROOF" sweep quick --fast -o "$scratch/a"
ok "flag without value" fails 2 "option --tokens needs a value" "$BLROOF" sweep quick --tokens
ok "no workload" fails 2 "needs a workload" "$BLROOF" sweep -o "$scratch/a"
ok "unknown workload" fails 2 'unknown workload "quik".*quick' "$BLROOF" sweep quik -o "$scratch/a"
ok "no output" fails 2 "needs -o DIR" "$BLROOF" sweep quick
ok "bad list" fails 2 '--tokens: list "1,,2", character 3' "$BLROOF" sweep quick --tokens 1,,2 -o "$scratch/a"
ok "bad structure" fails 2 "no structure 'monach'" "$BLROOF" sweep quick --structure monach -o "$scratch/a"
ok "bad variant" fails 2 "no variant 'fusd' on cpu" "$BLROOF" sweep quick -d cpu --variant fusd -o "$scratch/a"
ok "bad dtype" fails 2 "no dtype 'fp12'" "$BLROOF" sweep quick --dtype fp12 -o "$scratch/a"
ok "bad budget" fails 2 "--budget is seconds" "$BLROOF" sweep quick --budget -1 -o "$scratch/a"
ok "bad limit" fails 2 "--limit is seconds" "$BLROOF" sweep quick --limit 1h -o "$scratch/a"
ok "bad shard" fails 2 "--shard is I/N" "$BLROOF" sweep quick --shard 2/2 -o "$scratch/a"
ok "bad cache" fails 2 "--cache is rotate, cold or hot" "$BLROOF" sweep quick --cache warm -o "$scratch/a"
ok "unknown device" fails 2 "no device 'tpu'" "$BLROOF" sweep quick -d tpu -o "$scratch/a"
ok "device out of range" fails 2 "no device cpu:7" "$BLROOF" sweep quick -d cpu:7 -o "$scratch/a"
ok "unwritable output" fails 2 "cannot make the run directory" "$BLROOF" sweep quick -d cpu -o /proc/none
ok "report of nothing" fails 2 "cannot read .*points.csv" "$BLROOF" report "$scratch/none"
ok "nothing was written by refused commands" test ! -e "$scratch/a"
plan
