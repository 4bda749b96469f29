#!/bin/sh
# fuzz.sh SECONDS TARGET...: each target under libFuzzer from its corpus. New inputs are kept in the build folder; what
# breaks a reader is left there as crash-* for tests/fuzz/corpus.
set -u
seconds=$1
shift
failed=0
for target; do
    found=$BUILD/found/$target
    mkdir -p "$found"
    if FUZZ_TARGET=$target "$BUILD/fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 \
        -artifact_prefix="$found/crash-" "$found" "tests/fuzz/corpus/$target" >"$found.log" 2>&1; then
        printf '%-10s %s\n' "$target" "$(grep -E '^Done|^stat::number_of_executed' "$found.log" | tail -1)"
    else
        failed=1
        printf '%-10s FAILED, see %s\n' "$target" "$found.log"
    fi
done
exit $failed
