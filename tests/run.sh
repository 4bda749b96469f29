#!/bin/sh
# run.sh [--host]: runs the test programs and scripts, which print TAP, and counts what they say.
# --host leaves out the scripts that build or measure for long (used under the sanitizers).
set -u
cd "$(dirname "$0")/.." || exit 4
BUILD=${BUILD:-build}
BLROOF=${BLROOF:-$BUILD/blroof}
export BUILD BLROOF
scripts=$(ls tests/cli_*.sh)
[ "${1:-}" = --host ] || scripts="$scripts $(ls tests/long_*.sh 2>/dev/null)"
log=$(mktemp) || exit 4
trap 'rm -f "$log"' EXIT
passed=0 failed=0 skipped=0

count() { # count NAME EXIT_CODE: adds up the TAP in $log, shows what failed or was skipped
    skip=$(grep -ciE '^(not )?ok .*# skip' "$log") # cmocka writes "not ok N # SKIP"
    ok=$(grep -iv '# skip' "$log" | grep -c '^ok ')
    bad=$(grep -iv '# skip' "$log" | grep -c '^not ok ')
    if [ "$2" -ne 0 ] && [ "$bad" -eq 0 ]; then # crashed, or ended before its plan
        bad=1
        echo "not ok - $1 ended with exit code $2" >>"$log"
    fi
    [ "$((ok + bad + skip))" -gt 0 ] || { bad=1; echo "not ok - $1 ran no test" >>"$log"; }
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    printf '%-28s %3d passed, %d failed, %d skipped\n' "$1" "$ok" "$bad" "$skip"
    [ "$bad" -eq 0 ] || sed 's/^/    /' "$log"
    [ "$skip" -eq 0 ] || grep -iE '^(# no GPU|(not )?ok .*# skip)' "$log" | sed 's/^/    /'
}

for program in "$BUILD"/tests/test_*; do
    [ -x "$program" ] || continue
    case $program in *.*) continue ;; esac
    CMOCKA_MESSAGE_OUTPUT=TAP "$program" >"$log" 2>&1
    count "$(basename "$program")" $?
done
for script in $scripts; do
    sh "$script" >"$log" 2>&1
    count "$(basename "$script")" $?
done
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
