# Sourced by the tests of faults, behind tap.sh: the program, a workload of two points a variant, and their rows.
faulty=${BUILD:-build}/tests/blroof_faulty
cat >"$scratch/w.csv" <<END
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,dense,96,192,"1,17",1,
END

# The row of a variant: status and reason, of both token counts. 'ok' is a time above 0 too.
row() { # row DIR VARIANT STATUS REASON
    awk -F, -v variant="$2" -v status="$3" -v reason="$4" '
        NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; next}
        $at["variant"] != variant {next}
        {rows++; print}
        $at["status"] == status && $at["reason"] ~ reason && (status == "ok") == ($at["time_us"] > 0) {good++}
        END {exit !(rows == 2 && good == 2)}' "$1/points.csv"
}

none_left() { # none_left DIR: no process of a sweep into it
    for exe in /proc/[0-9]*/exe; do
        [ "$(readlink "$exe")" = "$(readlink -f "$faulty")" ] || continue
        ! grep -q "$1" "${exe%exe}cmdline" || return 1
    done
}
