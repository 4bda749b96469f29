#include "harness/paths.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local char root[PATH_MAX]; /* pictures are drawn beside the page that is written */

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

static bool ends_in(const char *text, const char *suffix) {
    const size_t len = strlen(text), suffix_len = strlen(suffix);
    return len > suffix_len && !strcmp(text + len - suffix_len, suffix);
}

enum { NAMES_LEN = 512 };

static void append_name(void *ctx, const char *name) {
    char *names = ctx;
    const size_t len = strlen(names);
    snprintf(names + len, NAMES_LEN - len, "%s%s", len ? ", " : "", name);
}

status_t data_find(const char *folder, const char *suffix, const char *what,
                   const char *name_or_path, char path[PATH_MAX]) {
    const bool is_path = strchr(name_or_path, '/') || ends_in(name_or_path, suffix);
    const int len = is_path ? snprintf(path, PATH_MAX, "%s", name_or_path)
                            : snprintf(path, PATH_MAX, "%s/harness/%s/%s%s", blroof_root(), folder,
                                       name_or_path, suffix);
    errno = ENAMETOOLONG;
    if (len < PATH_MAX && access(path, F_OK) == 0) return STATUS_OK;
    if (is_path)
        return fail(STATUS_USAGE, "no %s file %s: %s", what, name_or_path, strerror(errno));
    char names[NAMES_LEN] = "";
    const status_t st = data_names(folder, suffix, append_name, names);
    if (st != STATUS_OK) return st;
    return fail(STATUS_USAGE, "unknown %s \"%s\": expected one of %s, or a %s file", what,
                name_or_path, names, suffix);
}

status_t data_names(const char *folder, const char *suffix, void (*visit)(void *ctx, const char *),
                    void *ctx) {
    char path[PATH_MAX + 64];
    struct dirent **files;
    snprintf(path, sizeof path, "%s/harness/%s", blroof_root(), folder);
    const int count = scandir(path, &files, NULL, alphasort);
    if (count < 0)
        return fail(STATUS_ENVIRONMENT,
                    "cannot read the %s in %s: %s; set BLROOF_ROOT to where they are", folder, path,
                    strerror(errno));
    for (int i = 0; i < count; i++) {
        char *name = files[i]->d_name;
        if (name[0] != '.' && ends_in(name, suffix)) {
            name[strlen(name) - strlen(suffix)] = '\0';
            visit(ctx, name);
        }
        free(files[i]);
    }
    free(files);
    return STATUS_OK;
}
