#include "harness/paths.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[PATH_MAX];

static bool holds_workloads(const char *directory) {
    char path[PATH_MAX];
    const int len = snprintf(path, sizeof path, "%s/harness/workloads", directory);
    return len < (int)sizeof path && access(path, R_OK | X_OK) == 0;
}

const char *blroof_root(void) {
    const char *chosen = getenv("BLROOF_ROOT");
    if (chosen && *chosen) {
        snprintf(root, sizeof root, "%s", chosen);
        return root;
    }
    const ssize_t len = readlink("/proc/self/exe", root, sizeof root - 1);
    root[len > 0 ? len : 0] = '\0';
    for (char *slash; (slash = strrchr(root, '/'));) {
        *slash = '\0';
        if (holds_workloads(root)) return root;
    }
    snprintf(root, sizeof root, ".");
    return root;
}
