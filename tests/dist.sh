#!/bin/sh
# dist.sh BUILD NAME: packs NAME.tar.gz: the program, its data, the libraries a bare node lacks, and the tests.
set -eu
build=$1 name=$2
root=$build/dist/$name
rm -rf "$root"
mkdir -p "$root/build/tests" "$root/lib"
cp "$build/blroof" "$root/build/"
for program in "$build"/tests/test_* "$build"/tests/blroof_faulty; do
    case $program in *.*) ;; *) cp "$program" "$root/build/tests/" ;; esac
done
git ls-files harness/workloads harness/models profiles/groups profiles/devices results/paper plots/*.gp tests/*.sh tests/*.csv \
    tests/fixtures tests/fuzz/corpus README.md LICENSE |
    tar -cf - -T - | tar -xf - -C "$root"
# What the C library does not bring: OpenMP, and cmocka for the tests.
for program in "$build/blroof" "$root"/build/tests/*; do ldd "$program"; done |
    awk '$3 ~ /^\// && $1 !~ /^(libc|libm|libdl|libpthread|librt|ld-linux.*)\.so/ {print $3}' |
    sort -u | xargs -I{} cp -L {} "$root/lib/"
strip "$root"/build/blroof "$root"/build/tests/* 2>/dev/null || true
tar -czf "$build/$name.tar.gz" -C "$build/dist" "$name"
echo "$build/$name.tar.gz"
