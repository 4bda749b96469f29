#!/bin/sh
# bench.sh BLROOF: measures the best device of this machine with the quick workload and draws the report.
set -eu
blroof=$1
dir=results/local/$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p results/local
"$blroof" sweep quick -o "$dir"
"$blroof" report "$dir" >/dev/null
echo "report: $dir/report/index.html"
