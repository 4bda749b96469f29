#!/bin/sh
# install.sh PROGRAM PREFIX: the program and its data in PREFIX/lib/blroof, where it finds them, and a link, a manual
# page and completions where the system looks for them.
set -eu
program=$1 prefix=$2
home=$prefix/lib/blroof
rm -rf "$home"
mkdir -p "$home/bin" "$prefix/bin" "$prefix/share/man/man1" "$prefix/share/bash-completion/completions" \
    "$prefix/share/zsh/site-functions"
cp "$program" "$home/bin/"
for folder in harness/workloads harness/models profiles/groups profiles/devices results/paper; do
    mkdir -p "$home/$folder"
    cp -R "$folder/." "$home/$folder/"
done
mkdir -p "$home/plots"
cp plots/*.gp "$home/plots/"
ln -sf ../lib/blroof/bin/blroof "$prefix/bin/blroof"
"$prefix/bin/blroof" --manual man >"$prefix/share/man/man1/blroof.1"
"$prefix/bin/blroof" --manual bash >"$prefix/share/bash-completion/completions/blroof"
"$prefix/bin/blroof" --manual zsh >"$prefix/share/zsh/site-functions/_blroof"
echo "installed $prefix/bin/blroof"
