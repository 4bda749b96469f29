#include "tests/fuzz/targets.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/network.h"
#include "harness/safetensors.h"
#include "harness/workload.h"
#include "profiles/devices.h"
#include "profiles/groups.h"
#include "results/csv_table.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static char path_a[64], path_b[64];

/* A file in memory where there is /dev/shm: a reader wants a path. */
static const char *input_file(const uint8_t *bytes, size_t len) {
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path_a, sizeof path_a, "%s/blroof-fuzz-%d.csv", folder, (int)getpid());
    snprintf(path_b, sizeof path_b, "%s/blroof-fuzz-%d-again.csv", folder, (int)getpid());
    FILE *file = fopen(path_a, "wb");
    MUST(file && fwrite(bytes, 1, len, file) == len && fclose(file) == 0);
    return path_a;
}

static void remove_files(void) {
    unlink(path_a);
    unlink(path_b);
}

/* A failure says what is wrong in one line that no terminal obeys. */
static void must_explain(status_t st) {
    if (st == STATUS_OK) return;
    MUST(*last_error());
    for (const char *c = last_error(); *c; c++) MUST(!iscntrl((unsigned char)*c));
}

/* ---- the LIST grammar ---- */

static int compare_values(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void read_list(const uint8_t *bytes, size_t len) {
    char *text = strndup((const char *)bytes, len);
    MUST(text);
    int_list_t list;
    const status_t st = int_list_parse(text, &list);
    must_explain(st);
    if (st == STATUS_OK) {
        MUST(list.count >= 1 && list.count <= 4096);
        qsort(list.values, (size_t)list.count, sizeof *list.values, compare_values);
        for (int i = 0; i < list.count; i++) {
            MUST(list.values[i] >= 1 && list.values[i] <= INT64_C(1) << 40);
            MUST(i == 0 || list.values[i] != list.values[i - 1]);
        }
        int_list_free(&list);
    }
    free(text);
}

/* ---- workloads ---- */

static void read_workload(const uint8_t *bytes, size_t len) {
    workload_t w;
    const status_t st = workload_load(input_file(bytes, len), NULL, &w);
    must_explain(st);
    MUST(st == STATUS_OK ? w.count >= 0 && w.count <= 1000000 : w.count == 0 && !w.entries);
    for (int i = 0; i < w.count; i++) {
        const problem_t *p = &w.entries[i].problem;
        char why[WHY_LEN];
        MUST(w.entries[i].structure && strchr(w.entries[i].layer, '/'));
        MUST(p->tokens >= 1 && p->in_features >= 1 && p->out_features >= 1 && p->blocks >= 1);
        if (i < 100) w.entries[i].structure->validate(p, why, sizeof why);
    }
    workload_free(&w);
    remove_files();
}

/* ---- models and their weights ---- */

/* What a description says may be impossible, but never more than a failure: shapes without memory.
 */
static void read_model(const uint8_t *bytes, size_t len) {
    static device_t device = {.info = {.kind = DEVICE_CPU, .cores = 1, .cache_bytes = 1 << 20}};
    model_t m;
    const status_t st = model_load(input_file(bytes, len), &m);
    must_explain(st);
    MUST(st == STATUS_OK ? m.statements_len > 0 && m.tokens >= 1 : !m.statements && !m.sizes);
    static const char *const structures[] = {"dense", "blast", "mixed"};
    for (int p = PHASE_PREFILL; p <= PHASE_DECODE && st == STATUS_OK; p++)
        for (int s = 0; s < 3; s++) {
            network_t n;
            const network_options_t options = {.model = &m,
                                               .device = &device,
                                               .phase = (phase_t)p,
                                               .batch = 3,
                                               .tokens = m.tokens,
                                               .structure = structures[s]};
            const status_t planned = network_plan(&options, &n);
            must_explain(planned);
            MUST(planned == STATUS_OK ? n.steps_len <= m.statements_len : !n.steps);
            if (planned == STATUS_OK) network_close(&n);
        }
    model_free(&m);
    remove_files();
}

static void read_weights(const uint8_t *bytes, size_t len) {
    safetensors_t f;
    float values[4096];
    const status_t st = safetensors_open(input_file(bytes, len), &f);
    must_explain(st);
    MUST(st == STATUS_OK || (!f.tensors && !f.map));
    for (int i = 0; i < f.tensors_len; i++) {
        const stored_tensor_t *t = &f.tensors[i], *found;
        MUST(safetensors_find(&f, t->name, &found) == STATUS_OK);
        MUST(t->data >= (unsigned char *)f.map && t->data <= (unsigned char *)f.map + f.map_len);
        if (t->count <= 4096) must_explain(safetensors_read(&f, t, values));
    }
    safetensors_close(&f);
    remove_files();
}

/* ---- tables ---- */

typedef struct {
    const table_t *table;
    FILE *out;
    int rows;
} copy_t;

static status_t copy_row(void *ctx, const void *row, int line) {
    copy_t *copy = ctx;
    (void)line;
    copy->rows++;
    return table_write_row(copy->table, copy->out, path_b, row);
}

static status_t count_row(void *ctx, const void *row, int line) {
    (void)row, (void)line;
    ++*(int *)ctx;
    return STATUS_OK;
}

/* What was read and written again reads the same number of rows. */
static void read_table(const table_t *table, const uint8_t *bytes, size_t len) {
    const char *path = input_file(bytes, len);
    long whole = -1;
    MUST(table_complete_bytes(path, &whole) == STATUS_OK && whole >= 0 && whole <= (long)len);
    copy_t copy = {.table = table, .out = fopen(path_b, "wb")};
    MUST(copy.out && table_write_header(table, copy.out, path_b) == STATUS_OK);
    const status_t st = table_read(table, path, false, copy_row, &copy);
    must_explain(st);
    MUST(fclose(copy.out) == 0);
    int again = 0;
    MUST(table_read(table, path_b, true, count_row, &again) == STATUS_OK);
    MUST(again == copy.rows);
    remove_files();
}

static void read_points(const uint8_t *bytes, size_t len) {
    read_table(&POINTS_TABLE, bytes, len);
}

static void read_run(const uint8_t *bytes, size_t len) {
    read_table(&RUN_TABLE, bytes, len);
}

/* ---- counter groups ---- */

static void read_group(const uint8_t *bytes, size_t len) {
    counter_group_t group;
    const status_t st = group_read(input_file(bytes, len), &group);
    must_explain(st);
    if (st == STATUS_OK) {
        MUST(group.chips_len >= 1 && group.chips_len <= GROUP_CHIPS);
        MUST(group.metrics_len >= 0 && group.metrics_len <= GROUP_METRICS);
        for (int i = 0; i < group.metrics_len; i++) {
            MUST(group_level_name(group.metrics[i].level) && *group.metrics[i].name);
            MUST(isfinite(group.metrics[i].factor));
        }
    }
    remove_files();
}

/* ---- device profiles ---- */

static status_t see_ceiling(void *ctx, const ceiling_t *ceiling) {
    ++*(int *)ctx;
    MUST(isfinite(ceiling->value) && ceiling->value > 0);
    MUST(isnan(ceiling->theoretical) || ceiling->theoretical >= ceiling->value);
    return STATUS_OK;
}

static void read_profile(const uint8_t *bytes, size_t len) {
    device_profile_t profile;
    const status_t st = device_profile_read(input_file(bytes, len), &profile);
    must_explain(st);
    if (st == STATUS_OK) {
        const device_info_t info = device_profile_info(&profile);
        int ceilings = 0;
        MUST(*profile.name && *profile.tensor_tflops.source && *profile.kernel_us.source);
        MUST(info.cores >= 1 && info.compute_capability >= 1);
        MUST(info.cache_bytes >= 1 && info.smem_bytes >= 1);
        MUST(device_profile_ceilings(&profile, see_ceiling, &ceilings) == STATUS_OK);
        MUST(ceilings == 4 + !isnan(profile.l2_gbs.value));
    }
    remove_files();
}

const fuzz_target_t FUZZ_TARGETS[] = {
    {"list", read_list},       {"workload", read_workload}, {"points", read_points},
    {"run", read_run},         {"group", read_group},       {"model", read_model},
    {"weights", read_weights}, {"profile", read_profile},   {NULL, NULL}};

const fuzz_target_t *fuzz_target_find(const char *name) {
    for (const fuzz_target_t *t = FUZZ_TARGETS; t->name; t++)
        if (!strcmp(t->name, name)) return t;
    return NULL;
}
