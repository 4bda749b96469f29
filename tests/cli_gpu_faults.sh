# One poisoned point costs its row on a GPU too, where a fault takes the whole context with it.
. tests/tap.sh
. tests/fault_rows.sh

gpu_faults="a GPU sweep over every fault"
sweep() {
    "$faulty" sweep "$scratch/w.csv" -d cuda --budget 0.1 --limit 20 -o "$scratch/g" \
        --variant cublas,fault_illegal,fault_trap,fault_hang,fault_nan,fault_wrong,fault_oom "$@"
}
if "$faulty" devices | grep -q '^cuda:[0-9]'; then
    ok "$gpu_faults" sweep
    ok "has every row once" test "$(cut -d, -f6,8 "$scratch/g/points.csv" | sort -u | wc -l)" -eq $((1 + 2 * 7))
    ok "and no row twice" test "$(rows "$scratch/g/points.csv")" -eq $((2 * 7))
    ok "an illegal address is a row" row "$scratch/g" fault_illegal error 'illegal memory access'
    ok "a trap is a row" row "$scratch/g" fault_trap error '(launch failure|illegal instruction)'
    ok "a hang is a row" row "$scratch/g" fault_hang error 'no answer within 20 s'
    ok "NaN is a mismatch" row "$scratch/g" fault_nan mismatch 'error nan '
    ok "a wrong result is a mismatch" row "$scratch/g" fault_wrong mismatch 'over the tolerance'
    ok "no memory is oom" row "$scratch/g" fault_oom oom 'do not fit'
    ok "the others are measured" row "$scratch/g" cublas ok '.*'
    ok "no process is left" none_left "$scratch/g"
    cp "$scratch/g/points.csv" "$scratch/before.csv"
    ok "resume" sweep --resume
    ok "does not try them again" cmp "$scratch/before.csv" "$scratch/g/points.csv"
else
    skip "$gpu_faults" "no GPU"
fi
plan
