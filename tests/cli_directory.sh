# Run directories that cannot be written or are not this sweep's: one line of error, nothing overwritten.
. tests/tap.sh
export OMP_NUM_THREADS=1
faulty=${BUILD:-build}/tests/blroof_faulty
cat >"$scratch/w.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,32,64,"1..64x2",1,
m,l,monarch,32,64,"1..64x2",4,16
END
points=21
sweep() { "$BLROOF" sweep "$scratch/w.csv" -d cpu --budget 0.01 "$@"; }
identities() { cut -d, -f3-13 "$1/points.csv"; }
contents() { # everything in a directory, by name
    (cd "$1" && find . -type f | sort | xargs cksum)
}
refused() { # refused DIR PATTERN COMMAND...: fails with 2 and leaves DIR as it was
    dir=$1
    contents "$dir" >"$scratch/.before"
    shift
    fails 2 "$@" || return 1
    contents "$dir" | diff "$scratch/.before" -
}
mounted() { # mounted DIR OPTIONS: a small disk
    mkdir -p "$1" && mount -t tmpfs -o "$2" tmpfs "$1" 2>/dev/null
}
trap 'umount "$scratch/disk" 2>/dev/null; rm -rf "$scratch"' EXIT

ok "ceilings" "$BLROOF" ceilings -d cpu -o "$scratch/c"
cp -r "$scratch/c" "$scratch/a"
ok "sweep" sweep -o "$scratch/a"
ok "no lock is left" test ! -e "$scratch/a/lock"
identities "$scratch/a" >"$scratch/a.ids"

# A full disk, and one that cannot be written.
if mounted "$scratch/disk" size=24k; then
    cp "$scratch"/c/* "$scratch/disk"
    ok "a full disk" fails 2 'cannot write .*: No space left on device' sweep -o "$scratch/disk"
    ok "was filled by rows" test "$(rows "$scratch/disk/points.csv")" -ge 1
    ok "which are whole" sh -c "tail -c1 $scratch/disk/points.csv | od -An -c | grep -q '\\\\n'"
    mount -o remount,size=1m "$scratch/disk"
    ok "resume once there is room" sweep --resume -o "$scratch/disk"
    identities "$scratch/disk" >"$scratch/disk.ids"
    ok "gives the rows of the whole run" cmp "$scratch/a.ids" "$scratch/disk.ids"
    mount -o remount,ro "$scratch/disk"
    ok "a read-only disk" refused "$scratch/disk" 'cannot write .*lock: Read-only file system' sweep --resume -o "$scratch/disk"
    ok "a new directory there" fails 2 'cannot make the run directory .*Read-only' sweep -o "$scratch/disk/new"
    umount "$scratch/disk"
else
    skip "a full disk" "only root can mount a small one"
fi
cp -r "$scratch/c" "$scratch/f"
at_limit() { # files of at most 4 blocks, which the shell counts by 512 or 1024 bytes
    (ulimit -f 4 && sweep -o "$scratch/f")
}
ok "a limit of the size of files" fails 2 'cannot write .*: File too large' at_limit
ok "resume without it" sweep --resume -o "$scratch/f"
identities "$scratch/f" >"$scratch/f.ids"
ok "gives the rows of the whole run" cmp "$scratch/a.ids" "$scratch/f.ids"
if [ "$(id -u)" = 0 ]; then
    skip "a directory of somebody else" "root may write anywhere"
else
    chmod a-w "$scratch/c"
    ok "a directory of somebody else" refused "$scratch/c" 'cannot write .*lock: Permission denied' sweep -o "$scratch/c"
    chmod u+w "$scratch/c"
fi

# Measured by another program or elsewhere.
other() { # other KEY VALUE: a run that says so
    rm -rf "$scratch/o"
    cp -r "$scratch/a" "$scratch/o"
    sed -i "s/^$1,.*/$1,$2/" "$scratch/o/run.csv"
}
other git 0123456789abcdef
ok "another commit" refused "$scratch/o" 'measured by the blroof of commit 0123456789abcdef, not ' sweep --resume -o "$scratch/o"
other blroof 9.9.9
ok "another version" refused "$scratch/o" 'measured by blroof 9.9.9, not ' sweep --resume -o "$scratch/o"
other host elsewhere
ok "another host" refused "$scratch/o" 'measured on host elsewhere, not ' sweep --resume -o "$scratch/o"
other device_name 'Some CPU'
ok "another device" refused "$scratch/o" 'measured on Some CPU, not ' sweep --resume -o "$scratch/o"

# Columns that somebody added or moved.
rm -r "$scratch/o"
cp -r "$scratch/a" "$scratch/o"
sed -i '1s/$/,mine/; 2,$s/$/,1/; $d' "$scratch/o/points.csv"
ok "a column more" refused "$scratch/o" 'points.csv:1: not the header that this program writes' sweep --resume -o "$scratch/o"
cp "$scratch/a/points.csv" "$scratch/o"
sed -i '1s/run_id,workload/workload,run_id/' "$scratch/o/samples.csv"
ok "columns in another order" refused "$scratch/o" 'samples.csv:1: not the header' sweep --resume -o "$scratch/o"

# Two at once. The first hangs, so that it is there for certain.
cp -r "$scratch/c" "$scratch/l"
"$faulty" sweep "$scratch/w.csv" -d cpu --variant fault_hang -o "$scratch/l" >/dev/null 2>&1 &
pid=$!
tries=0
until [ -s "$scratch/l/points.csv" ] || [ $tries -ge 600 ]; do sleep 0.1; tries=$((tries + 1)); done
ok "a second sweep" refused "$scratch/l" "is being written by process $pid on $(uname -n) since " sweep --resume -o "$scratch/l"
ok "and ceilings" refused "$scratch/l" "is being written by process $pid " "$BLROOF" ceilings -d cpu -o "$scratch/l"
kill -9 $pid
wait $pid 2>/dev/null
ok "the lock file of a killed sweep" test -s "$scratch/l/lock"
ok "keeps nobody out" sweep --resume -o "$scratch/l"
ok "and is gone then" test ! -e "$scratch/l/lock"
identities "$scratch/l" >"$scratch/l.ids"
ok "the rows are those of the whole run" cmp "$scratch/a.ids" "$scratch/l.ids"

# The wall clock of this program goes back by an hour at every look.
cp -r "$scratch/c" "$scratch/t"
ok "a clock that jumps" "$faulty" sweep "$scratch/w.csv" -d cpu --budget 0.01 --variant well_again,unfused,fused -o "$scratch/t"
ok "changes no time" sh -c "! cut -d, -f13,19 $scratch/t/points.csv | tail -n +2 | grep -vE '^ok,[0-9]{1,5}(\.|$)'"
ok "and every row is there" test "$(rows "$scratch/t/points.csv")" -eq $points
plan
