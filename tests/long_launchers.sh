# The lines that README.md gives for Open MPI and Slurm, run with 4 tasks: merged, they have the points of one sweep.
# Slurm is one of this test's own, on this machine alone.
. tests/tap.sh
export OMP_NUM_THREADS=1
program=$(readlink -f "$BLROOF")
mkdir "$scratch/build"
ln -s "$program" "$scratch/build/blroof"
cat >"$scratch/w.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,32,64,"1..16x2",1,
m,l,lowrank,32,64,"1..16x2",1,16
m,l,monarch,32,64,"1..16x2",4,16
m,bad,monarch,33,64,1,4,16
END
identities() { cut -d, -f3-13 "$1/points.csv"; }
# What README.md has from the line that matches FROM to the one that matches TO, for this machine's CPU.
readme() { # readme FROM TO
    sed -n "/^    $1/,/$2/s/^    //p" README.md |
        sed 's|paper_layers|w.csv --budget 0.01|; s|-d cuda:$OMPI_COMM_WORLD_LOCAL_RANK|-d cpu|; s|--array=0-7|--array=0-3|
             s| --gpus=1||'
}
begin() { # shards that have their ceilings, for those take long on a busy machine
    rm -rf "$scratch/shards" "$scratch/all"
    mkdir "$scratch/shards"
    for i in 0 1 2 3; do cp -r "$scratch/c" "$scratch/shards/$i"; done
}
merged() { # what the README says behind it
    (cd "$scratch" && build/blroof merge shards/* -o all) && identities "$scratch/all" | diff "$scratch/whole.ids" -
}

ok "ceilings" "$BLROOF" ceilings -d cpu -o "$scratch/c"
cp -r "$scratch/c" "$scratch/whole"
ok "one sweep" sh -c "cd '$scratch' && build/blroof sweep w.csv --budget 0.01 -d cpu -o whole"
identities "$scratch/whole" >"$scratch/whole.ids"
ok "of 22 points" test "$(wc -l <"$scratch/whole.ids")" -eq 23

if command -v mpirun >/dev/null && mpirun --version | grep -q 'Open MPI'; then
    begin
    readme 'mpirun -n 4' 'COMM_WORLD_RANK' >"$scratch/mpi.sh"
    ok "the README has an mpirun line" grep -q -- '--shard auto' "$scratch/mpi.sh"
    ok "Open MPI runs it" sh -c "cd '$scratch' && OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
        OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none sh mpi.sh"
    ok "its shards make up the sweep" merged
else
    skip "Open MPI" "no mpirun"
fi

# A controller and a node in the scratch directory, with keys and ports of their own.
slurm=$scratch/slurm
export SLURM_CONF=$slurm/slurm.conf
slurm_configure() {
    mkdir -p "$slurm/state" "$slurm/spool" || return 1
    node=$(hostname -s)
    head -c 64 /dev/urandom >"$slurm/key" && chmod 600 "$slurm/key" && chmod 711 "$scratch" "$slurm" || return 1
    cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
AuthType=auth/munge
AuthInfo=socket=$slurm/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd.pid
SlurmdSpoolDir=$slurm/spool
StateSaveLocation=$slurm/state
SlurmUser=root
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=$node Default=YES State=UP
END
}
daemons=
slurm_start() {
    slurm_configure || return 1
    munged --foreground --force --key-file="$slurm/key" --socket="$slurm/munge.socket" --pid-file="$slurm/munged.pid" \
        --log-file="$slurm/munged.log" --seed-file="$slurm/seed" >"$slurm/munged.out" 2>&1 &
    daemons=$!
    until_true 10 test -S "$slurm/munge.socket" || return 1
    slurmctld -D >"$slurm/slurmctld.log" 2>&1 &
    daemons="$daemons $!"
    slurmd -D >"$slurm/slurmd.log" 2>&1 &
    daemons="$daemons $!"
    until_true 30 sh -c 'sinfo -h -o %t | grep -q idle'
}
until_true() { # until_true SECONDS COMMAND...
    left=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $((left -= 1)) -gt 0 ] || { echo "not so: $*"; return 1; }
        sleep 0.2
    done
}
nothing_queued() { [ -z "$(squeue -h)" ]; }
stop() {
    for pid in $daemons; do kill "$pid" 2>/dev/null; done
    wait
    rm -rf "$scratch"
}
lacks=
for tool in sbatch slurmctld slurmd munged; do command -v $tool >/dev/null || lacks="no $tool"; done
[ "$(id -u)" = 0 ] || lacks="only root can start it"
if [ -z "$lacks" ]; then
    trap stop EXIT
    slurm_start >"$scratch/slurm.out" 2>&1
    ok "Slurm starts" until_true 5 sinfo -h
    begin
    readme '#!.bin.sh' 'SLURM_ARRAY_TASK_ID' >"$scratch/job.sh"
    ok "the README has a batch script" grep -q '^#SBATCH --array=0-3 --ntasks=1$' "$scratch/job.sh"
    ok "a job array of it is queued" sh -c "cd '$scratch' && sbatch job.sh"
    ok "and comes to its end" until_true 300 nothing_queued
    ok "its shards make up the sweep" merged
    begin
    ok "srun" sh -c "cd '$scratch' && srun -n 4 sh -c 'build/blroof sweep w.csv --budget 0.01 -d cpu --shard auto -o shards/\$SLURM_PROCID'"
    ok "its shards make up the sweep" merged
else
    skip "Slurm" "$lacks"
fi
plan
