# Shards: which one a launcher says this is, and joining them again.
. tests/tap.sh
export OMP_NUM_THREADS=1
cat >"$scratch/w.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,32,64,"1..16x2",1,
m,l,monarch,32,64,"1..16x2",4,16
m,bad,monarch,33,64,1,4,16
END
points=17
sweep() { "$BLROOF" sweep "$scratch/w.csv" -d cpu --budget 0.01 "$@"; }
merge() { "$BLROOF" merge "$@"; }
identities() { cut -d, -f3-13 "$1/points.csv"; }

# What the launchers set (Slurm 22.05, Open MPI 4.1, MPICH 4.0 were asked).
auto() { # auto VARIABLE=VALUE...: what a sweep under them does; it ends at the run directory
    env -i PATH="$PATH" "$@" "$BLROOF" sweep "$scratch/w.csv" -d cpu --counters off --shard auto -o /proc/none
}
is() { # is SHARD VARIABLE=VALUE...
    shard=$1
    shift
    auto "$@" 2>&1 | grep -qx "shard $shard"
}
array="SLURM_JOB_ID=7 SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=9 SLURM_ARRAY_TASK_STEP=2"
ok "a job array" is 2/4 $array SLURM_PROCID=0 SLURM_NTASKS=1
ok "a job array without its least number" is 1/3 SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=3
ok "srun" is 3/4 SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_PROCID=3 SLURM_NTASKS=4
ok "srun in a job array" is 5/8 $array SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=2
ok "a batch script of many tasks is one task" is 2/4 $array SLURM_PROCID=0 SLURM_NTASKS=8
ok "Open MPI" is 1/4 OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4
ok "Open MPI in a Slurm job" is 1/4 OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=1
ok "MPICH" is 2/3 PMI_RANK=2 PMI_SIZE=3
ok "no launcher" fails 2 'needs a Slurm job array, srun or mpirun' auto
ok "a batch script alone" fails 2 'needs a Slurm job array, srun or mpirun' auto SLURM_JOB_ID=7 SLURM_PROCID=0 SLURM_NTASKS=8
ok "a rank beyond the size" fails 2 'PMI_RANK is 3, but PMI_SIZE is 3' auto PMI_RANK=3 PMI_SIZE=3
ok "a rank without a size" fails 2 "OMPI_COMM_WORLD_SIZE is '', not a whole number" auto OMPI_COMM_WORLD_RANK=1
ok "a size that is no number" fails 2 "SLURM_NTASKS is '4x', not a whole number" auto SLURM_PROCID=1 SLURM_NTASKS=4x
ok "an irregular array" fails 2 'task 9 is not one of 3 from 1 in steps of 1' auto SLURM_ARRAY_TASK_ID=9 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1

ok "ceilings" "$BLROOF" ceilings -d cpu -o "$scratch/c"
cp -r "$scratch/c" "$scratch/a"
ok "the whole sweep" sweep -o "$scratch/a"
for shard in 0 1 2 3; do
    cp -r "$scratch/c" "$scratch/s$shard"
    sed -i "s/^run_id,.*/run_id,of-shard-$shard/" "$scratch/s$shard/run.csv"
    ok "shard $shard/4" sweep --shard $shard/4 -o "$scratch/s$shard"
    # as if two nodes had shared the work
    sed -i "s/^host,.*/host,node$((shard / 2))/" "$scratch/s$shard/run.csv"
done
ok "merge" merge "$scratch"/s[0-3] -o "$scratch/m"
identities "$scratch/a" >"$scratch/a.ids"
identities "$scratch/m" >"$scratch/m.ids"
ok "gives the points of the whole sweep, in its order" cmp "$scratch/a.ids" "$scratch/m.ids"
ok "each as its shard has it" sh -c "for s in 0 1 2 3; do tail -n +2 $scratch/s\$s/points.csv; done | sort >$scratch/all
    tail -n +2 $scratch/m/points.csv | sort | cmp - $scratch/all"
ok "with all samples" test "$(rows "$scratch/m/samples.csv")" -eq "$(cat "$scratch"/s[0-3]/samples.csv | grep -vc '^run_id')"
ok "and all ceilings" test "$(rows "$scratch/m/ceilings.csv")" -eq $((4 * $(rows "$scratch/c/ceilings.csv")))
ok "run.csv names the shards" grep -qx 'merged_run_ids,of-shard-0 | of-shard-1 | of-shard-2 | of-shard-3' "$scratch/m/run.csv"
ok "and how many points they have" grep -qx "points,$(($(wc -l <"$scratch/m/points.csv") - 1))" "$scratch/m/run.csv"
ok "and the hosts" grep -qx 'host,node0 | node1' "$scratch/m/run.csv"
ok "and is a run of its own" test "$(grep -c '^run_id,[0-9]' "$scratch/m/run.csv")" -eq 1
ok "no lock is left" test ! -e "$scratch/m/lock"
if command -v gnuplot >/dev/null; then
    ok "it can be reported" "$BLROOF" report "$scratch/m"
    ok "as measured on several hosts" grep -q '(cpu, several hosts)' "$scratch/m/report/index.md"
else
    skip "it can be reported" "no gnuplot"
fi

# What does not make up the sweep.
none() { test ! -e "$scratch/n"; }
ok "a shard is missing" fails 2 'of its 17 points 4 are missing and 0 are there twice' merge "$scratch"/s[0-2] -o "$scratch/n"
ok "its points are named" grep -qx 'missing: m/l n=8 dense/openblas fp32, of shard 3/4' "$scratch/.err"
ok "nothing was written" none
ok "a shard is there twice" fails 2 'of its 17 points 0 are missing and 5 are there twice' merge "$scratch"/s[0-3] "$scratch/s0" -o "$scratch/n"
ok "its points are named" grep -q "^twice: m/l n=1 dense/openblas fp32, in $scratch/s0 and $scratch/s0\$" "$scratch/.err"
cp -r "$scratch/s3" "$scratch/g"
sed -i 's/^git,.*/git,0123456789/' "$scratch/g/run.csv"
ok "another commit" fails 2 'its git is 0123456789, that of ' merge "$scratch"/s[0-2] "$scratch/g" -o "$scratch/n"
cp "$scratch/s3/run.csv" "$scratch/g"
sed -i 's/^device_name,.*/device_name,Some GPU/' "$scratch/g/run.csv"
ok "another model of device" fails 2 'its device_name is Some GPU, that of ' merge "$scratch"/s[0-2] "$scratch/g" -o "$scratch/n"
cp -r "$scratch/c" "$scratch/x"
ok "a shard of another sweep" sweep --tokens 1,2 --shard 0/4 -o "$scratch/x"
sed -i 's/^host,.*/host,node0/' "$scratch/x/run.csv"
ok "is refused" fails 2 'are not shards of one sweep' merge "$scratch"/s[0-2] "$scratch/x" -o "$scratch/n"
ok "what is no shard" fails 2 'has no sweep.csv' merge "$scratch/a" -o "$scratch/n"
ok "nothing was written" none
ok "a directory that holds a run" fails 2 'already holds a run' merge "$scratch"/s[0-3] -o "$scratch/a"
ok "no directory" fails 2 'needs the run directories' merge -o "$scratch/n"
ok "no output" fails 2 'needs -o DIR' merge "$scratch/s0"

# A directory goes on with its own shard alone.
sed -i "s/^host,.*/host,$(uname -n)/" "$scratch/s0/run.csv"
ok "resume of a shard" sweep --shard 0/4 --resume -o "$scratch/s0"
ok "as another shard" fails 2 'holds points of shard 0/4' sweep --shard 1/4 --resume -o "$scratch/s0"
ok "of other shards" fails 2 'not a point of this sweep, or of another shard' sweep --shard 0/5 --resume -o "$scratch/s0"
ok "of another sweep" fails 2 'not a point of this sweep' sweep --shard 0/4 --tokens 2 --resume -o "$scratch/s0"
plan
