#include "results/throttle.h"

#include <stdio.h>
#include <string.h>

static bool has(const char *reasons, const char *name, size_t name_len) {
    for (const char *at = reasons; *at;) {
        const size_t len = strcspn(at, "+");
        if (len == name_len && !strncmp(at, name, len)) return true;
        at += len + (at[len] == '+');
    }
    return false;
}

void throttle_join(char *reasons, size_t len, const char *more) {
    if (!throttle_any(more)) {
        if (!*reasons) snprintf(reasons, len, "%s", more);
        return;
    }
    if (!throttle_any(reasons)) *reasons = '\0';
    for (const char *at = more; *at;) {
        const size_t name = strcspn(at, "+"), used = strlen(reasons), gap = used > 0;
        if (!has(reasons, at, name) && used + gap + name < len)
            snprintf(reasons + used, len - used, "%s%.*s", gap ? "+" : "", (int)name, at);
        at += name + (at[name] == '+');
    }
}

bool throttle_any(const char *reasons) {
    return *reasons && strcmp(reasons, "none") != 0;
}

bool throttle_shared(const char *reasons) {
    return strstr(reasons, "other_") != NULL;
}

bool throttle_disturbs(const char *reasons) {
    return throttle_shared(reasons) || strstr(reasons, "thermal") || strstr(reasons, "hw_");
}
