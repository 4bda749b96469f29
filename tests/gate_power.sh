#!/bin/sh
# What the gate of compare sees on this machine: how often it cries wolf, and whether it sees 5 %. Not part of the test
# run, for it is the machine that is tested.
#   gate_power.sh record DIR DEVICE [N]   N (14) processes each as they are and with 5 % of the launches repeated
#   gate_power.sh judge DIR               20 null comparisons, 10 of the slowdown, 10 of the improvement, of half of the
#                                         processes a side, drawn at random; null comparisons are of two disjoint halves
# W=FILE is another workload, whose points should take 20 us and more; OPTIONS are more options of the sweep.
set -u
BUILD=${BUILD:-build}
BLROOF=${BLROOF:-$BUILD/blroof}
here=$(dirname "$0")

record() { # record DIR DEVICE N
    sweep="$BUILD/tests/blroof_faulty sweep ${W:-$here/gate_power.csv} -d $2 --counters off ${OPTIONS:---variant cublas,unfused --budget 0.2}"
    mkdir -p "$1/base" "$1/slow"
    for k in $(seq "$3"); do
        for side in $(printf 'base\nslow\n' | shuf); do
            percent=0
            [ "$side" = base ] || percent=5
            mkdir -p "$1/$side/$k"
            [ ! -f "$1/ceilings.csv" ] || cp "$1/ceilings.csv" "$1/$side/$k"
            env FAULTY_REPEAT=$percent $sweep -o "$1/$side/$k" >"$1/log" 2>&1 || { cat "$1/log" >&2; return 1; }
            [ -f "$1/ceilings.csv" ] || cp "$1/$side/$k/ceilings.csv" "$1"
        done
    done
}

draw() { # draw FROM TO COUNT OFFSET: links to processes number OFFSET + 1 ... of a shuffled list
    rm -rf "$2"
    mkdir -p "$2"
    tail -n +$(($4 + 1)) "$1" | head -n "$3" | while read -r process; do ln -s "$process" "$2/$(echo "$process" | tr / _)"; done
}

compare() { # compare NAME BASE NEW: one letter for the exit code of the gate
    "$BLROOF" compare "$2" "$3" --gate >"$work/log" 2>&1
    case $? in
        0) printf . ;;
        1) printf R; grep -A30 '^SLOWER' "$work/log" >>"$work/$1" ;;
        3) printf '?' ;;
        *) cat "$work/log" >&2; printf E ;;
    esac
}

judge() { # judge DIR
    work=$(mktemp -d) || exit 4
    dir=$(cd "$1" && pwd)
    half=$(($(ls -d "$dir"/base/* | wc -l) / 2))
    for what in null slowdown improvement; do
        printf '%-12s ' $what
        for i in $(seq $([ $what = null ] && echo 20 || echo 10)); do
            ls -d "$dir"/base/* | shuf >"$work/base"
            ls -d "$dir"/slow/* | shuf >"$work/slow"
            draw "$work/base" "$work/a" $half 0
            case $what in
                null) draw "$work/base" "$work/b" $half $half; compare $what "$work/a" "$work/b" ;;
                slowdown) draw "$work/slow" "$work/b" $half 0; compare $what "$work/a" "$work/b" ;;
                improvement) draw "$work/slow" "$work/b" $half 0; compare $what "$work/b" "$work/a" ;;
            esac
        done
        echo
    done
    [ ! -f "$work/null" ] || cat "$work/null"
    rm -rf "$work"
    echo "R: regression, ?: inconclusive, .: passes"
}

case ${1:-} in
    record) record "$2" "$3" "${4:-14}" ;;
    judge) judge "$2" ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
