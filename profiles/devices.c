#include "profiles/devices.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/paths.h"

typedef struct {
    double least, most;
    bool whole;
    const char *words;
} range_t;

static const range_t COUNT = {1, INT_MAX, true, "a whole number from 1 to 2147483647"};
static const range_t RATE = {1e-6, 1e9, false, "a number from 1e-6 to 1e9"};
static const range_t FRACTION = {1e-6, 1, false, "a number from 1e-6 to 1"};

#define FIGURE(key, range) {#key, offsetof(device_profile_t, key), &range},
static const struct {
    const char *key;
    size_t offset;
    const range_t *range;
} FIGURES[] = {DEVICE_FIGURES(FIGURE)};
enum { FIGURES_LEN = sizeof FIGURES / sizeof *FIGURES };

static figure_source_t *figure(device_profile_t *profile, int i) {
    return (figure_source_t *)((char *)profile + FIGURES[i].offset);
}

/* ---- one file ---- */

static bool in_range(const range_t *range, double value) {
    return value >= range->least && value <= range->most && (!range->whole || value == rint(value));
}

static status_t find_figure(const device_profile_t *p, int line, const char *key, int *out) {
    char known[256] = "name";
    for (int i = 0; i < FIGURES_LEN; i++) {
        *out = i;
        if (!strcmp(FIGURES[i].key, key)) return STATUS_OK;
        const size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, ", %s", FIGURES[i].key);
    }
    return fail(STATUS_USAGE, "%s:%d: unknown key '%s': expected %s", p->path, line, key, known);
}

static status_t read_figure(device_profile_t *p, int line, const char *key, char *rest) {
    char *source, *end = NULL;
    int which;
    const status_t st = find_figure(p, line, key, &which);
    if (st != STATUS_OK) return st;
    figure_source_t *out = figure(p, which);
    const range_t *range = FIGURES[which].range;
    if (!isnan(out->value)) return fail(STATUS_USAGE, "%s:%d: a second %s", p->path, line, key);
    const char *number = strtok_r(rest, " \t", &source);
    out->value = number ? strtod(number, &end) : NAN;
    if (!number || end == number || *end || !in_range(range, out->value))
        return fail(STATUS_USAGE, "%s:%d: %s '%s': expected %s", p->path, line, key,
                    number ? number : "", range->words);
    source = source ? source + strspn(source, " \t") : "";
    if (!*source || strlen(source) >= sizeof out->source)
        return fail(STATUS_USAGE, "%s:%d: %s needs a source behind its value, of at most %d bytes",
                    p->path, line, key, (int)sizeof out->source - 1);
    strcpy(out->source, source);
    return STATUS_OK;
}

static status_t read_line(device_profile_t *p, int line, char *text) {
    char *rest = NULL;
    text[strcspn(text, "\r\n")] = '\0';
    const char *key = strtok_r(text, " \t", &rest);
    if (!key || *key == '#') return STATUS_OK;
    if (strcmp(key, "name") != 0) return read_figure(p, line, key, rest);
    rest += strspn(rest, " \t");
    if (*p->name || !*rest || strlen(rest) >= sizeof p->name)
        return fail(STATUS_USAGE, "%s:%d: expected one name, of at most %d bytes", p->path, line,
                    (int)sizeof p->name - 1);
    strcpy(p->name, rest);
    return STATUS_OK;
}

static status_t check_whole(device_profile_t *p) {
    if (!*p->name) return fail(STATUS_USAGE, "%s: has no name line", p->path);
    for (int i = 0; i < FIGURES_LEN; i++)
        if (isnan(figure(p, i)->value) && strcmp(FIGURES[i].key, "l2_gbs") != 0)
            return fail(STATUS_USAGE, "%s: lacks %s", p->path, FIGURES[i].key);
    return STATUS_OK;
}

static status_t read_path(const char *path, device_profile_t *p) {
    const char *slash = strrchr(path, '/');
    char text[1024];
    status_t st = STATUS_OK;
    *p = (device_profile_t){0};
    for (int i = 0; i < FIGURES_LEN; i++) figure(p, i)->value = NAN;
    snprintf(p->path, sizeof p->path, "%s", path);
    snprintf(p->id, sizeof p->id, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(p->id, '.');
    if (dot) *dot = '\0';
    FILE *file = fopen(path, "r");
    if (!file)
        return fail(errno == ENOENT ? STATUS_USAGE : STATUS_IO, "cannot read the profile %s: %s",
                    path, strerror(errno));
    for (int line = 1; st == STATUS_OK && fgets(text, sizeof text, file); line++)
        st = strchr(text, '\n') || feof(file)
                 ? read_line(p, line, text)
                 : fail(STATUS_USAGE, "%s:%d: the line is too long", path, line);
    if (st == STATUS_OK && ferror(file)) st = fail(STATUS_IO, "cannot read the profile %s", path);
    fclose(file);
    return st == STATUS_OK ? check_whole(p) : st;
}

/* ---- all of them ---- */

static bool ends_in_txt(const char *name) {
    const size_t len = strlen(name);
    return len > 4 && !strcmp(name + len - 4, ".txt");
}

static int is_profile(const struct dirent *entry) {
    return entry->d_name[0] != '.' && ends_in_txt(entry->d_name);
}

static status_t list_files(char folder[PATH_MAX], struct dirent ***files, int *count) {
    snprintf(folder, PATH_MAX, "%s/profiles/devices", blroof_root());
    *count = scandir(folder, files, is_profile, alphasort);
    if (*count >= 0) return STATUS_OK;
    return fail(STATUS_ENVIRONMENT,
                "cannot read the device profiles in %s: %s; set BLROOF_ROOT to where they are",
                folder, strerror(errno));
}

static void free_files(struct dirent **files, int count) {
    for (int i = 0; i < count; i++) free(files[i]);
    free(files);
}

status_t device_profiles(status_t (*visit)(void *, const device_profile_t *), void *ctx) {
    char folder[PATH_MAX], path[PATH_MAX + 256];
    struct dirent **files;
    int count;
    status_t st = list_files(folder, &files, &count);
    if (st != STATUS_OK) return st;
    for (int i = 0; i < count && st == STATUS_OK; i++) {
        device_profile_t profile;
        snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        st = read_path(path, &profile);
        if (st == STATUS_OK) st = visit(ctx, &profile);
    }
    free_files(files, count);
    return st;
}

static status_t unknown(const char *name) {
    char folder[PATH_MAX], known[512] = "";
    struct dirent **files;
    int count;
    const status_t st = list_files(folder, &files, &count);
    if (st != STATUS_OK) return st;
    for (int i = 0; i < count; i++) {
        const size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, "%s%.*s", i ? ", " : "",
                 (int)strlen(files[i]->d_name) - 4, files[i]->d_name);
    }
    free_files(files, count);
    return fail(STATUS_USAGE, "unknown device profile '%s': expected one of %s, or a .txt file",
                name, known);
}

status_t device_profile_read(const char *name_or_path, device_profile_t *out) {
    char path[PATH_MAX];
    if (strchr(name_or_path, '/') || ends_in_txt(name_or_path)) return read_path(name_or_path, out);
    snprintf(path, sizeof path, "%s/profiles/devices/%s.txt", blroof_root(), name_or_path);
    return access(path, F_OK) == 0 ? read_path(path, out) : unknown(name_or_path);
}

/* ---- as a device ---- */

device_info_t device_profile_info(const device_profile_t *p) {
    return (device_info_t){.kind = DEVICE_CUDA,
                           .cores = (int)p->sms.value,
                           .compute_capability = (int)p->compute_capability.value,
                           .cache_bytes = (int64_t)p->l2_bytes.value,
                           .smem_bytes = (int64_t)p->smem_bytes.value};
}

status_t device_profile_ceilings(const device_profile_t *p, ceiling_emit_t emit, void *ctx) {
    const struct {
        ceiling_kind_t kind;
        const char *dtype, *unit;
        double peak, fraction;
    } rates[] = {
        {CEILING_DRAM, "", "B/s", p->dram_gbs.value * 1e9, p->dram_fraction.value},
        {CEILING_L2, "", "B/s", p->l2_gbs.value * 1e9, 1},
        {CEILING_TENSOR, "bf16", "FLOP/s", p->tensor_tflops.value * 1e12, p->tensor_fraction.value},
        {CEILING_CUDA_CORE, "fp32", "FLOP/s", p->cuda_core_tflops.value * 1e12,
         p->cuda_core_fraction.value},
        {CEILING_LAUNCH, "", "s", p->kernel_us.value * 1e-6, 1},
    };
    status_t st = STATUS_OK;
    for (size_t i = 0; i < sizeof rates / sizeof *rates && st == STATUS_OK; i++) {
        if (isnan(rates[i].peak)) continue;
        const bool bounded = rates[i].fraction < 1;
        const ceiling_t ceiling = {.kind = rates[i].kind,
                                   .dtype = rates[i].dtype,
                                   .method = "profile",
                                   .value = rates[i].peak * rates[i].fraction,
                                   .ci_low = NAN,
                                   .ci_high = NAN,
                                   .theoretical = bounded ? rates[i].peak : NAN,
                                   .unit = rates[i].unit,
                                   .sm_clock_mhz = NAN};
        st = emit(ctx, &ceiling);
    }
    return st;
}
