#!/bin/sh
# Prints build_version.h: the commit, whether sources differ from it, and the CUDA compiler.
git=$(git rev-parse HEAD 2>/dev/null || echo unknown)
dirty=unknown
if [ "$git" != unknown ]; then
    dirty=no
    [ -z "$(git status --porcelain -- . ':!results/published' 2>/dev/null)" ] || dirty=yes
fi
nvcc=none
[ -z "$1" ] || nvcc=$("$1" --version | sed -n 's/.*release .*, V\(.*\)/\1/p')
printf '#define BUILD_GIT "%s"\n#define BUILD_DIRTY "%s"\n#define BUILD_NVCC "%s"\n' \
    "$git" "$dirty" "$nvcc"
