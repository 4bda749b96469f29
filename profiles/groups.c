#include "profiles/groups.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/paths.h"

typedef enum { DRAM_READ, DRAM_WRITE, L2, L1, TENSOR, CUDA_CORE, SUMS } sum_t;

static const struct {
    const char *name;
    sum_t sum; /* the number of counts_t that it is part of */
} LEVELS[] = {
    {"dram_read", DRAM_READ},
    {"dram_write", DRAM_WRITE},
    {"l2", L2},
    {"l1", L1},
    {"tensor_bf16", TENSOR},
    {"tensor_fp16", TENSOR},
    {"tensor_tf32", TENSOR},
    {"tensor_fp8", TENSOR},
    {"fp32_fma", CUDA_CORE},
    {"fp32_add", CUDA_CORE},
    {"fp32_mul", CUDA_CORE},
    {"half_fma", CUDA_CORE},
    {"half_add", CUDA_CORE},
    {"half_mul", CUDA_CORE},
};
enum { LEVELS_LEN = sizeof LEVELS / sizeof *LEVELS };

const char *group_level_name(int level) {
    return level < LEVELS_LEN ? LEVELS[level].name : NULL;
}

void group_counts(const counter_group_t *group, const double *values, counts_t *out) {
    double sums[SUMS] = {NAN, NAN, NAN, NAN, NAN, NAN};
    for (int i = 0; i < group->metrics_len; i++) {
        double *sum = &sums[LEVELS[group->metrics[i].level].sum];
        if (isnan(*sum)) *sum = 0;
        *sum += group->metrics[i].factor * values[i];
    }
    *out = (counts_t){sums[DRAM_READ], sums[DRAM_WRITE], sums[L2],
                      sums[L1],        sums[TENSOR],     sums[CUDA_CORE]};
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
        if (groups && st == STATUS_OK) st = read_one(folder, files[i]->d_name, groups, i);
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
