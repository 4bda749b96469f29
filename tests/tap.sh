# Sourced by the shell tests: TAP output and a scratch directory. Needs BLROOF.
BLROOF=${BLROOF:-build/blroof}
scratch=$(mktemp -d) || exit 4
trap 'rm -rf "$scratch"' EXIT
tests=0

ok() { # ok NAME COMMAND...: passes when the command does
    name=$1
    shift
    tests=$((tests + 1))
    if "$@" >"$scratch/.log" 2>&1; then
        echo "ok $tests - $name"
    else
        echo "not ok $tests - $name"
        sed 's/^/# /' "$scratch/.log"
    fi
}

skip() { # skip NAME REASON
    tests=$((tests + 1))
    echo "ok $tests - $1 # SKIP $2"
}

fails() { # fails CODE PATTERN COMMAND...: exits with CODE and says PATTERN in its one line of error
    code=$1 pattern=$2
    shift 2
    "$@" >"$scratch/.out" 2>"$scratch/.err"
    got=$?
    cat "$scratch/.err"
    [ "$got" -eq "$code" ] || { echo "exit code $got, not $code"; return 1; }
    [ "$(grep -c '^blroof: ' "$scratch/.err")" -eq 1 ] || { echo "not one line of error"; return 1; }
    tail -n 1 "$scratch/.err" | grep -qE -- "^blroof: .*$pattern" || { echo "stderr lacks: $pattern"; return 1; }
}

rows() { # rows FILE: data rows of a CSV file without quoted newlines
    echo $(($(wc -l <"$1") - 1))
}

column() { # column FILE NAME: its cells, one a line (no commas inside cells to the left of it)
    awk -F, -v name="$2" 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == name) c = i; next} {print $c}' "$1"
}

plan() {
    echo "1..$tests"
}
