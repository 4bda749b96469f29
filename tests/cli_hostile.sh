# Names in a workload that somebody else wrote: no spreadsheet, shell, browser or terminal obeys them, and no file is
# called by them.
. tests/tap.sh
export OMP_NUM_THREADS=1
header=model,layer,structure,in_features,out_features,tokens,blocks,rank
workload() { # workload FILE NAME...: two layers of each model/layer; a NAME holds no quotes
    file=$1
    shift
    {
        echo $header
        for name; do
            echo "\"$name\",\"$name\",dense,32,64,\"1,2\",1,"
            echo "\"$name\",\"$name\",monarch,32,64,\"1,2\",4,16"
        done
    } >"$file"
}
hostile='=@<script>alert(1)<$(touch pwned)'
mkdir "$scratch/there" "$scratch/tmp"
workload "$scratch/there/$hostile.csv" "=cmd|' /C calc'!A0" '@SUM(1)' '-2+3' '+1' '../../../outside' '..' \
    "\$(touch pwned)\`touch pwned\`; touch pwned" "'; system('touch pwned') #" '</title><script>alert(1)</script>' \
    '<img src=x onerror=alert(1)>' '[x](javascript:alert(1)) ![x](http://x/x.svg)' "x') onload=alert(1) a='"
workload "$scratch/there/plain.csv" a b c d e f g h i j k l
program=$(readlink -f "$BLROOF")
measured() { # measured WORKLOAD DIR: in the folder of the workloads, where a name may do harm
    (cd "$scratch/there" && export TMPDIR="$scratch/tmp" &&
        "$program" sweep "./$1.csv" -d cpu --budget 0.002 -o "$2" &&
        { ! command -v gnuplot >/dev/null || "$program" report "$2" --latex; } &&
        "$program" compare "$2" "$2" --markdown "$2/c.md" --junit "$2/c.xml" --json "$2/c.json")
}
mkdir "$scratch/there/h" "$scratch/there/p"
ok "ceilings" "$BLROOF" ceilings -d cpu -o "$scratch/there/h"
cp "$scratch/there/h/"*.csv "$scratch/there/p"
ok "hostile names" measured "$hostile" h
ok "plain names" measured plain p
ok "every point has its row" test "$(rows "$scratch/there/h/points.csv")" -eq 72

# Files are called the same whatever the names, and there are no others.
files() {
    (cd "$scratch/there/$1" && find . | sort)
}
files h >"$scratch/h.files"
files p >"$scratch/p.files"
ok "no name becomes that of a file" cmp "$scratch/p.files" "$scratch/h.files"
ok "nothing is written beside the run directories" test "$(ls "$scratch/there" | wc -l)" -eq 4
ok "nor above them" test -z "$(find "$scratch" -name 'outside*' -o -name 'pwned*')"
ok "nor into the folder of temporaries" test -z "$(ls "$scratch/tmp")"

# What reads the files obeys none of the names. Numbers begin with a sign, but have no operator behind it.
without() { # without PATTERN FILE...
    pattern=$1
    shift
    ! grep -rnoE "$pattern" "$@"
}
there=$scratch/there
ok "no cell is a formula" without '(^|,)"?([=@]|[+-][^0-9.]|[+-][0-9.]+[-+*/|])' "$there/h" --include='*.csv'
pages='<(script|img|iframe|object)|(href|src)="(javascript|http)'
handlers="<[a-z]([^>\"']|\"[^\"]*\"|'[^']*')* on[a-z]+="
ok "no tag, handler or link is a name's" without "$pages|$handlers" "$there/h" --include='*.html' --include='*.svg' --include='*.xml'
ok "nor in Markdown" without '<(script|img)|[^\\]\]\((javascript|http)' "$there/h" --include='*.md'
ok "the names are there" grep -q 'alert(1)' "$there/h/c.md" "$there/h/c.xml"
cp "$there/h/points.csv" "$scratch/before.csv"
ok "resume" sh -c "cd '$there' && '$program' sweep './$hostile.csv' -d cpu --budget 0.002 --resume -o h"
ok "knows the rows by their names" cmp "$scratch/before.csv" "$there/h/points.csv"

# A terminal obeys control characters: they are no part of a name, and errors do not repeat them.
printf '%s\nm\033[2J,l,dense,32,64,1,1,\n' $header >"$scratch/w.csv"
ok "control characters" fails 2 'w.csv:2:model: .*not printable' "$BLROOF" sweep "$scratch/w.csv" -d cpu -o "$scratch/n"
printf '%s\nm,l,den\033[2Jse,32,64,1,1,\n' $header >"$scratch/w.csv"
ok "in another cell" fails 2 'w.csv:2:structure: ' "$BLROOF" sweep "$scratch/w.csv" -d cpu -o "$scratch/n"
ok "are not repeated" without "$(printf '\033')" "$scratch/.err"

# What nobody gave a place for is nobody else's to write.
compare_in_umask_0() {
    (umask 0 && TMPDIR="$scratch/tmp" "$program" compare --run "cp -r $there/p/. {}" "cp -r $there/p/. {}" -n 1)
}
ok "a comparison of commands" compare_in_umask_0
ok "has a folder of its own" test "$(ls "$scratch/tmp" | wc -l)" -eq 1
ok "for nobody else" test -z "$(find "$scratch/tmp" -mindepth 1 -maxdepth 1 -perm /077)"
plan
