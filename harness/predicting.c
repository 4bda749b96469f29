#include "harness/predicting.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/point.h"
#include "harness/registry.h"
#include "harness/version.h"
#include "results/csv_table.h"

enum { PATH_LEN = 1280, MAX_FACTS = 32, MAX_CEILINGS = 8 };

/* ---- one point ---- */

typedef struct {
    const device_profile_t *profile;
    device_info_t info;
    machine_t machine;
    predicted_t *out;
} predictor_t;

static load_t load_of(const problem_t *p, const variant_t *plan) {
    const structure_t *structure = structure_find(plan->structure);
    load_t w = {.bytes_min = problem_bytes_min(structure, p)};
    _Static_assert((int)WORK_INTERMEDIATES == (int)MAX_INTERMEDIATES, "both hold the same");
    if (plan->intermediates) w.intermediates_len = plan->intermediates(p, w.intermediates);
    if (plan->cuda_core_flops) w.cuda_core_flops = plan->cuda_core_flops(p);
    w.matrix_flops = structure->flops(p) - w.cuda_core_flops;
    if (plan->tiling) {
        const tiling_t tiling = plan->tiling(p);
        w.tile_blocks = tiling.blocks;
        w.tile_flops = tiling.flops;
        w.reread_bytes = tiling.reread_bytes;
        w.shared_bytes = tiling.shared_bytes;
    }
    return w;
}

static void describe(const predictor_t *d, const workload_t *workload, int entry,
                     const variant_t *variant, const problem_t *p, point_row_t *row) {
    row_clear(&POINTS_TABLE, row);
    row_set_text(row->run_id, "predicted-%s", d->profile->id);
    row_set_text(row->device, "%s", d->profile->id);
    row_set_text(row->workload, "%s", workload->name);
    row_set_text(row->layer, "%s", workload->entries[entry].layer);
    row_set_text(row->structure, "%s", variant->structure);
    row_set_text(row->variant, "%s", variant->name);
    row_set_text(row->dtype, "%s", dtype_name(p->dtype));
    row->tokens = (double)p->tokens;
    row->in_features = (double)p->in_features;
    row->out_features = (double)p->out_features;
    if (p->blocks > 0) row->blocks = (double)p->blocks;
    if (p->rank > 0) row->rank = (double)p->rank;
    row_set_text(row->cache, "%s", cache_name(CACHE_ROTATE));
    row_set_text(row->launch, "predicted");
    row_set_text(row->counter_status, "off");
}

static void fill(const predictor_t *d, const problem_t *p, const variant_t *plan,
                 const prediction_t *prediction, point_row_t *row) {
    row_set_text(row->status, "ok");
    row_set_text(row->stop_reason, "predicted");
    point_fill_costs(p, plan, row);
    row->time_us = prediction->seconds * 1e6;
    row->kernels = row->intermediates + 1;
    row->tflops = row->flops / row->time_us * 1e-6;
    row->gbps = row->bytes_model / row->time_us * 1e-3;
    point_fill_roof(p, plan, CACHE_ROTATE, &d->info, &d->machine.rates, row);
    row_set_text(row->bound, "%s", bound_name(prediction->bound));
    row->intensity_model = row->intensity = intensity(row->flops, prediction->dram_bytes);
}

/* A multiprocessor has 32 banks of 4 bytes a clock, and 128 FP32 lanes (64 at compute capability
 * 8.0) of 2 FLOPs a clock: CUDA C++ Programming Guide, shared memory and arithmetic throughput. */
static double shared_bytes_per_s(const machine_t *m, const device_info_t *info) {
    const double bytes_a_flop = info->compute_capability == 80 ? 1 : 0.5;
    return m->rates.cuda_core_flops * bytes_a_flop;
}

static void predict_point(const predictor_t *d, const workload_t *workload, int entry,
                          const variant_t *variant) {
    point_row_t *row = &d->out->points[d->out->points_len];
    prediction_t *best = &d->out->predictions[d->out->points_len++];
    problem_t p = workload->entries[entry].problem;
    const variant_t *plans[MAX_PLANS], *chosen = NULL;
    char why[WHY_LEN] = "";
    int count = 0;
    p.dtype = DTYPE_BF16;
    describe(d, workload, entry, variant, &p, row);
    if (structure_find(variant->structure)->validate(&p, why, sizeof why))
        count = variant_plans(variant, &p, &d->info, plans, why, sizeof why);
    for (int i = 0; i < count; i++) {
        const load_t load = load_of(&p, plans[i]);
        const prediction_t prediction = predict(&load, &d->machine);
        if (chosen && !(prediction.seconds < best->seconds)) continue;
        *best = prediction;
        chosen = plans[i];
    }
    if (chosen) {
        if (variant->plans) row_set_text(row->plan, "%s", chosen->name);
        fill(d, &p, chosen, best, row);
        return;
    }
    best->seconds = NAN;
    row_set_text(row->status, "unsupported");
    row_set_text(row->reason, "%s", why);
}

/* ---- what goes with the points ---- */

static status_t add_ceiling(void *ctx, const ceiling_t *ceiling) {
    static const struct {
        const char *si, *file;
        double scale;
    } units[] = {{"B/s", "GB/s", 1e-9}, {"FLOP/s", "TFLOP/s", 1e-12}, {"s", "us", 1e6}};
    predictor_t *d = ctx;
    ceiling_row_t *row = &d->out->ceilings[d->out->ceilings_len++];
    int u = 0;
    while (strcmp(units[u].si, ceiling->unit) != 0) u++;
    row_clear(&CEILINGS_TABLE, row);
    row_set_text(row->run_id, "predicted-%s", d->profile->id);
    row_set_text(row->device, "%s", d->profile->id);
    row_set_text(row->kind, "%s", ceiling_kind_name(ceiling->kind));
    row_set_text(row->dtype, "%s", ceiling->dtype);
    row_set_text(row->method, "%s", ceiling->method);
    row_set_text(row->unit, "%s", units[u].file);
    row->value = ceiling->value * units[u].scale;
    row->theoretical = ceiling->theoretical * units[u].scale;
    roof_ceilings_add(&d->machine.rates, ceiling, dtype_name(DTYPE_BF16));
    return STATUS_OK;
}

static void add_fact(predicted_t *out, const char *key, const char *value) {
    run_row_t *row = &out->facts[out->facts_len++];
    row_clear(&RUN_TABLE, row);
    row_set_text(row->key, "%s", key);
    row_set_text(row->value, "%s", value);
}

static void add_facts(const device_profile_t *p, const workload_t *workload, predicted_t *out) {
    char text[2 * TEXT_LEN];
    snprintf(text, sizeof text, "predicted-%s", p->id);
    add_fact(out, "run_id", text);
    snprintf(text, sizeof text, "blroof predict %s %s", p->id, workload->name);
    add_fact(out, "argv", text);
    add_fact(out, "blroof", VERSION_TEXT);
    add_fact(out, "git", VERSION_GIT);
    add_fact(out, "device", p->id);
    snprintf(text, sizeof text, "%s, predicted", p->name);
    add_fact(out, "device_name", text);
    snprintf(text, sizeof text, "%.0f", p->l2_bytes.value);
    add_fact(out, "gpu_l2_bytes", text);
    const struct {
        const char *key;
        const figure_source_t *figure;
    } figures[] = {
#define KEYED(key, range) {"profile_" #key, &p->key},
        DEVICE_FIGURES(KEYED)
#undef KEYED
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        if (isnan(figures[i].figure->value)) continue;
        snprintf(text, sizeof text, "%.12g: %s", figures[i].figure->value,
                 figures[i].figure->source);
        add_fact(out, figures[i].key, text);
    }
}

/* ---- public ---- */

static bool is_wanted(const variant_t *variant, const workload_entry_t *entry) {
    return variant->device == DEVICE_CUDA && !strcmp(variant->structure, entry->structure->name);
}

static int count_points(const workload_t *workload) {
    int count = 0;
    for (int e = 0; e < workload->count; e++)
        for (int v = 0; v < variant_count(); v++)
            count += is_wanted(variant_at(v), &workload->entries[e]);
    return count;
}

static bool knows_gpu_variants(void) {
    for (int v = 0; v < variant_count(); v++)
        if (variant_at(v)->device == DEVICE_CUDA) return true;
    return false;
}

status_t predict_workload(const device_profile_t *profile, const workload_t *workload,
                          predicted_t *out) {
    *out = (predicted_t){0};
    if (!knows_gpu_variants())
        return fail(STATUS_ENVIRONMENT,
                    "this program was built without CUDA and knows no GPU variants: build it where "
                    "nvcc is (predict needs no GPU)");
    predictor_t d = {.profile = profile, .out = out};
    d.info = device_profile_info(profile);
    d.machine = (machine_t){.rates = roof_ceilings_none(),
                            .cache_bytes = (double)d.info.cache_bytes,
                            .multiprocessors = d.info.cores};
    const size_t count = (size_t)count_points(workload) + 1;
    out->points = calloc(count, sizeof *out->points);
    out->predictions = calloc(count, sizeof *out->predictions);
    out->ceilings = calloc(MAX_CEILINGS, sizeof *out->ceilings);
    out->facts = calloc(MAX_FACTS, sizeof *out->facts);
    status_t st = out->points && out->predictions && out->ceilings && out->facts
                      ? STATUS_OK
                      : fail(STATUS_OOM, "out of host memory for the predictions");
    if (st == STATUS_OK) st = device_profile_ceilings(profile, add_ceiling, &d);
    if (st != STATUS_OK) {
        predicted_free(out);
        return st;
    }
    d.machine.shared_bytes = shared_bytes_per_s(&d.machine, &d.info);
    add_facts(profile, workload, out);
    for (int e = 0; e < workload->count; e++)
        for (int v = 0; v < variant_count(); v++)
            if (is_wanted(variant_at(v), &workload->entries[e]))
                predict_point(&d, workload, e, variant_at(v));
    return STATUS_OK;
}

void predicted_free(predicted_t *p) {
    free(p->points);
    free(p->predictions);
    free(p->ceilings);
    free(p->facts);
    *p = (predicted_t){0};
}

static status_t write_table(const char *dir, const table_t *table, const void *rows, int count) {
    char path[PATH_LEN];
    snprintf(path, sizeof path, "%s/%s", dir, table->file);
    FILE *file = fopen(path, "w");
    if (!file) return fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    status_t st = table_write_header(table, file, path);
    for (int i = 0; i < count && st == STATUS_OK; i++)
        st = table_write_row(table, file, path, (const char *)rows + (size_t)i * table->row_size);
    if (fclose(file) != 0 && st == STATUS_OK)
        st = fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    return st;
}

status_t predicted_write(const predicted_t *p, const char *dir) {
    char path[PATH_LEN];
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return fail(STATUS_IO, "cannot make the run directory %s: %s", dir, strerror(errno));
    snprintf(path, sizeof path, "%s/%s", dir, POINTS_TABLE.file);
    if (access(path, F_OK) == 0)
        return fail(STATUS_USAGE, "%s already holds points: use another -o", dir);
    status_t st = write_table(dir, &RUN_TABLE, p->facts, p->facts_len);
    if (st == STATUS_OK) st = write_table(dir, &CEILINGS_TABLE, p->ceilings, p->ceilings_len);
    if (st == STATUS_OK) st = write_table(dir, &POINTS_TABLE, p->points, p->points_len);
    return st;
}
