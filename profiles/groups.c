#include "profiles/groups.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/paths.h"

static const struct {
    const char *name;
    size_t offset; /* of the number in counts_t */
} LEVELS[] = {
    {"dram_read", offsetof(counts_t, dram_read_bytes)},
    {"dram_write", offsetof(counts_t, dram_write_bytes)},
    {"l2", offsetof(counts_t, l2_bytes)},
    {"l1", offsetof(counts_t, l1_bytes)},
    {"tensor_bf16", offsetof(counts_t, tensor_flops)},
    {"tensor_fp16", offsetof(counts_t, tensor_flops)},
    {"tensor_tf32", offsetof(counts_t, tensor_flops)},
    {"fp32_fma", offsetof(counts_t, cuda_core_flops)},
    {"fp32_add", offsetof(counts_t, cuda_core_flops)},
    {"fp32_mul", offsetof(counts_t, cuda_core_flops)},
    {"half_fma", offsetof(counts_t, cuda_core_flops)},
    {"half_add", offsetof(counts_t, cuda_core_flops)},
    {"half_mul", offsetof(counts_t, cuda_core_flops)},
};
enum { LEVELS_LEN = sizeof LEVELS / sizeof *LEVELS };

const char *group_level_name(int level) {
    return level < LEVELS_LEN ? LEVELS[level].name : NULL;
}

void group_counts(const counter_group_t *group, const double *values, counts_t *out) {
    *out = (counts_t){NAN, NAN, NAN, NAN, NAN, NAN};
    for (int i = 0; i < group->metrics_len; i++) {
        double *sum = (double *)((char *)out + LEVELS[group->metrics[i].level].offset);
        if (isnan(*sum)) *sum = 0;
        *sum += group->metrics[i].factor * values[i];
    }
}

/* ---- one file ---- */

static status_t read_chips(counter_group_t *group, int line, char *rest) {
    char *at;
    if (group->chips_len > 0)
        return fail(STATUS_USAGE, "%s:%d: a second chips line: a group has one", group->path, line);
    for (char *chip = strtok_r(rest, " \t", &at); chip; chip = strtok_r(NULL, " \t", &at)) {
        if (group->chips_len == GROUP_CHIPS)
            return fail(STATUS_USAGE, "%s:%d: more than %d chips", group->path, line, GROUP_CHIPS);
        if (strlen(chip) >= CHIP_LEN)
            return fail(STATUS_USAGE, "%s:%d: '%s' is no chip's name: too long", group->path, line,
                        chip);
        strcpy(group->chips[group->chips_len++], chip);
    }
    if (group->chips_len == 0)
        return fail(STATUS_USAGE, "%s:%d: no chip: expected names such as GH100", group->path,
                    line);
    return STATUS_OK;
}

static status_t find_level(const counter_group_t *group, int line, const char *name, int *level) {
    char known[256] = "";
    for (*level = 0; *level < LEVELS_LEN; ++*level) {
        if (!strcmp(LEVELS[*level].name, name)) return STATUS_OK;
        const size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, ", %s", LEVELS[*level].name);
    }
    return fail(STATUS_USAGE, "%s:%d: unknown level '%s': expected chips%s", group->path, line,
                name, known);
}

static status_t read_factor(const counter_group_t *group, int line, const char *text,
                            double *factor) {
    char *end = NULL;
    *factor = text ? strtod(text, &end) : NAN;
    if (text && end != text && !*end && isfinite(*factor) && *factor > 0) return STATUS_OK;
    return fail(STATUS_USAGE, "%s:%d: factor '%s': expected a positive number of bytes or FLOPs",
                group->path, line, text ? text : "");
}

static status_t read_metric(counter_group_t *group, int line, const char *level, char *rest) {
    char *at;
    const char *name = strtok_r(rest, " \t", &at), *factor = strtok_r(NULL, " \t", &at);
    group_metric_t *metric = &group->metrics[group->metrics_len];
    int number;
    const status_t known = find_level(group, line, level, &number);
    if (known != STATUS_OK) return known;
    if (group->metrics_len == GROUP_METRICS)
        return fail(STATUS_USAGE, "%s:%d: more than %d metrics", group->path, line, GROUP_METRICS);
    if (!name || strlen(name) >= METRIC_LEN)
        return fail(STATUS_USAGE, "%s:%d: expected LEVEL METRIC FACTOR [NOTE]", group->path, line);
    for (int i = 0; i < group->metrics_len; i++)
        if (!strcmp(group->metrics[i].name, name))
            return fail(STATUS_USAGE, "%s:%d: %s would be counted twice", group->path, line, name);
    const char *note = at ? at + strspn(at, " \t") : "";
    if (strlen(note) >= sizeof metric->note)
        return fail(STATUS_USAGE, "%s:%d: the note is longer than %d bytes", group->path, line,
                    (int)sizeof metric->note - 1);
    strcpy(metric->name, name);
    strcpy(metric->note, note);
    metric->level = number;
    group->metrics_len++;
    return read_factor(group, line, factor, &metric->factor);
}

static status_t read_line(counter_group_t *group, int line, char *text) {
    char *rest;
    text[strcspn(text, "\r\n")] = '\0';
    const char *word = strtok_r(text, " \t", &rest);
    if (!word || *word == '#') return STATUS_OK;
    return strcmp(word, "chips") ? read_metric(group, line, word, rest)
                                 : read_chips(group, line, rest);
}

static status_t read_lines(FILE *file, counter_group_t *group) {
    char text[512];
    int line = 0;
    while (fgets(text, sizeof text, file)) {
        line++;
        if (!strchr(text, '\n') && !feof(file))
            return fail(STATUS_USAGE, "%s:%d: the line is longer than %d bytes", group->path, line,
                        (int)sizeof text - 2);
        const status_t st = read_line(group, line, text);
        if (st != STATUS_OK) return st;
    }
    if (ferror(file)) return fail(STATUS_IO, "cannot read %s: %s", group->path, strerror(errno));
    if (group->chips_len == 0) return fail(STATUS_USAGE, "%s:%d: no chips line", group->path, line);
    if (group->metrics_len == 0) return fail(STATUS_USAGE, "%s:%d: no metric", group->path, line);
    return STATUS_OK;
}

status_t group_read(const char *path, counter_group_t *out) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    memset(out, 0, sizeof *out);
    snprintf(out->path, sizeof out->path, "%s", path);
    snprintf(out->name, sizeof out->name, "%.*s", (int)strcspn(base, "."), base);
    FILE *file = fopen(path, "r");
    if (!file) return fail(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    const status_t st = read_lines(file, out);
    fclose(file);
    return st;
}

/* ---- all files ---- */

static int is_group_file(const struct dirent *entry) {
    const size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 4 && !strcmp(entry->d_name + len - 4, ".txt");
}

static const counter_group_t *covering(const counter_group_t *groups, int count, const char *chip) {
    for (int i = 0; i < count; i++)
        for (int c = 0; c < groups[i].chips_len; c++)
            if (!strcmp(groups[i].chips[c], chip)) return &groups[i];
    return NULL;
}

static status_t read_one(const char *folder, const char *file, counter_group_t *groups, int count) {
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    const status_t st = group_read(path, &groups[count]);
    for (int c = 0; st == STATUS_OK && c < groups[count].chips_len; c++) {
        const counter_group_t *other = covering(groups, count, groups[count].chips[c]);
        if (other)
            return fail(STATUS_USAGE, "%s: %s is a chip of %s too", path, groups[count].chips[c],
                        other->path);
    }
    return st;
}

status_t groups_read(const char *folder, counter_group_t **out, int *count) {
    char own[PATH_MAX + 32];
    struct dirent **files = NULL;
    status_t st = STATUS_OK;
    *out = NULL;
    *count = 0;
    snprintf(own, sizeof own, "%s/profiles/groups", blroof_root());
    if (!folder) folder = own;
    const int found = scandir(folder, &files, is_group_file, alphasort);
    if (found <= 0) {
        free(files);
        return fail(STATUS_ENVIRONMENT, "no counter group in %s: is the installation complete?",
                    folder);
    }
    counter_group_t *groups = calloc((size_t)found, sizeof *groups);
    if (!groups) st = fail(STATUS_OOM, "out of memory for counter groups");
    for (int i = 0; i < found; i++) {
        if (st == STATUS_OK) st = read_one(folder, files[i]->d_name, groups, i);
        free(files[i]);
    }
    free(files);
    if (st != STATUS_OK) {
        free(groups);
        return st;
    }
    *out = groups;
    *count = found;
    return STATUS_OK;
}

status_t group_find(const char *chip, counter_group_t *out) {
    counter_group_t *groups;
    int count;
    const status_t st = groups_read(NULL, &groups, &count);
    if (st != STATUS_OK) return st;
    const counter_group_t *group = covering(groups, count, chip);
    if (group) *out = *group;
    free(groups);
    if (group) return STATUS_OK;
    return fail(STATUS_UNSUPPORTED,
                "no counter group covers the chip %s: add one to %s/profiles/groups", chip,
                blroof_root());
}
