#include "kernels/cuda/library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* Where a toolkit keeps its libraries. */
static void *open_under(const char *root, const char *stem, const char *suffix) {
    static const char *const folders[] = {"lib64", "extras/CUPTI/lib64",
                                          "targets/x86_64-linux/lib"};
    void *library = NULL;
    for (size_t i = 0; root && !library && i < sizeof folders / sizeof *folders; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s/%s%s", root, folders[i], stem, suffix);
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

void *cuda_library_open(const char *stem) {
    static const char *const suffixes[] = {".so.13", ".so.12", ".so"};
    const char *const roots[] = {getenv("CUDA_HOME"), getenv("CUDA_PATH"), "/usr/local/cuda"};
    const size_t suffixes_len = sizeof suffixes / sizeof *suffixes;
    void *library = NULL;
    for (size_t i = 0; !library && i < suffixes_len; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s%s", stem, suffixes[i]);
        library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    for (size_t r = 0; r < sizeof roots / sizeof *roots; r++)
        for (size_t i = 0; !library && i < suffixes_len; i++)
            library = open_under(roots[r], stem, suffixes[i]);
    return library;
}
