#include "harness/model_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/layer_times.h"
#include "harness/model_account.h"
#include "harness/network.h"
#include "harness/progress.h"
#include "harness/registry.h"
#include "results/throttle.h"

/* Shares of a pass' budget: timing a layer alone, and the passes that are looked into. */
static const double ALONE_SHARE = 0.1, PROFILE_SHARE = 0.25;
enum { MAX_PROFILES = 9 };

typedef struct {
    run_t *run;
    device_t *device;
    const model_options_t *options;
    model_counts_t *counts;
    roof_ceilings_t ceilings;
    layer_times_t times;
    progress_t progress;
    double dense_us; /* latency of dense in the model, phase and size under way; NAN if unknown */
} runner_t;

/* One pass: what is asked for, and what came out. */
typedef struct {
    network_options_t options;
    const char *variant; /* "best" or a name */
    network_t network;
    step_time_t *times; /* of the steps */
    char note[TEXT_LEN];
    model_row_t row;
    model_layer_row_t *layers;
    int layers_len;
} pass_t;

/* ---- options ---- */

static bool list_knows(const char *list, bool (*known)(const void *, const char *), const void *ctx,
                       char name[64]) {
    for (const char *at = list; at && *at;) {
        const size_t len = strcspn(at, ",");
        snprintf(name, 64, "%.*s", (int)(len < 63 ? len : 63), at);
        if (!known(ctx, name)) return false;
        at += len + (at[len] == ',');
    }
    return true;
}

static bool knows_structure(const void *ctx, const char *name) {
    (void)ctx;
    return !strcmp(name, "mixed") || structure_find(name);
}

static bool knows_variant(const void *ctx, const char *name) {
    for (int i = 0; i < variant_count(); i++)
        if (variant_at(i)->device == *(const device_kind_t *)ctx &&
            !strcmp(variant_at(i)->name, name))
            return true;
    return !strcmp(name, "best");
}

static bool knows_phase(const void *ctx, const char *name) {
    (void)ctx;
    for (int p = 0; p < PHASE_COUNT; p++)
        if (!strcmp(phase_name((phase_t)p), name)) return true;
    return false;
}

status_t models_check_options(const model_options_t *o, const model_t *models, int models_len,
                              device_kind_t kind) {
    char name[64] = "";
    if (!list_knows(o->structures, knows_structure, NULL, name))
        return fail(STATUS_USAGE, "--structure: no structure '%s': see 'blroof list'", name);
    if (!list_knows(o->variants, knows_variant, &kind, name))
        return fail(STATUS_USAGE, "--variant: no variant '%s' on %s: see 'blroof list'", name,
                    device_kind_name(kind));
    if (!list_knows(o->phases, knows_phase, NULL, name))
        return fail(STATUS_USAGE, "--phase: no phase '%s': prefill, decode or forward", name);
    for (int i = 0; i < models_len && o->tokens; i++)
        if (!model_takes_tokens(&models[i]))
            return fail(STATUS_USAGE, "--tokens: the tokens of %s come from the size of its image",
                        models[i].name);
    return STATUS_OK;
}

/* ---- the variants of the layers ---- */

static const variant_t *find_variant(const char *structure, const char *name, device_kind_t kind) {
    for (int i = 0; i < variant_count(); i++) {
        const variant_t *v = variant_at(i);
        if (v->device == kind && !strcmp(v->structure, structure) && !strcmp(v->name, name))
            return v;
    }
    return NULL;
}

/* The variant that is asked for by name, where it can run; else the fastest one. */
static status_t choose_layer(runner_t *r, pass_t *pass, step_t *step, step_time_t *time) {
    const char *wanted = *step->wanted ? step->wanted : pass->variant;
    const variant_t *named = find_variant(step->structure->name, wanted, r->device->info.kind);
    const bool in_order = pass->options.weights != NULL; /* random columns may come in any order */
    const layer_time_t *found = NULL;
    status_t st;
    if (*step->wanted && !named)
        return step_fail(&pass->network, step->statement, STATUS_USAGE,
                         "use %s %s/%s: there is no such variant on %s", step->statement->label,
                         step->structure->name, wanted, device_kind_name(r->device->info.kind));
    if (named && in_order && named->output_order != ORDER_KJ) {
        row_set_text(pass->note, "%s not as %s/%s: it permutes the columns of the output",
                     step->statement->label, named->structure, named->name);
        named = NULL;
    }
    if (named) {
        st = layer_times_get(&r->times, step->structure, &step->problem, named, &found);
        if (st != STATUS_OK) return st;
        if (!found->ok) {
            row_set_text(pass->note, "%s not as %s/%s: %s", step->statement->label,
                         named->structure, named->name, found->reason);
            found = NULL;
        }
    }
    if (!found) {
        st = layer_times_best(&r->times, step->structure, &step->problem, in_order, &found);
        if (st != STATUS_OK) return st;
    }
    step->plan = found->plan;
    time->variant = found->variant;
    time->alone_us = found->time_us;
    return STATUS_OK;
}

static status_t choose_layers(runner_t *r, pass_t *pass) {
    network_t *n = &pass->network;
    for (int i = 0; i < n->steps_len; i++) {
        if (n->steps[i].op) continue;
        const status_t st = choose_layer(r, pass, &n->steps[i], &pass->times[i]);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* ---- times ---- */

/* The launches of one pointwise operator in turn, as they stand in the network. */
typedef struct {
    network_t *network;
    const int *steps;
    int len;
} turns_t;

static status_t launch_turn(void *arg, int index, stream_t stream) {
    const turns_t *turns = arg;
    return network_step(turns->network, turns->steps[index % turns->len], stream);
}

static bool like(const step_t *a, const step_t *b) {
    return a->op && a->op == b->op && !strcmp(a->statement->label, b->statement->label) &&
           a->call.out[0].rows == b->call.out[0].rows &&
           a->call.out[0].width == b->call.out[0].width;
}

static bool first_of_kind(const network_t *n, int i) {
    for (int j = 0; j < i; j++)
        if (like(&n->steps[i], &n->steps[j])) return false;
    return n->steps[i].op != NULL;
}

/* Pointwise operators alone: on the buffers of the network, a layer after the other. */
static status_t time_pointwise(runner_t *r, pass_t *pass) {
    network_t *n = &pass->network;
    int *steps = malloc((size_t)n->steps_len * sizeof *steps);
    if (!steps) return fail(STATUS_OOM, "out of host memory for a model");
    status_t st = STATUS_OK;
    for (int i = 0; i < n->steps_len && st == STATUS_OK; i++) {
        if (!first_of_kind(n, i)) continue;
        turns_t turns = {.network = n, .steps = steps};
        for (int j = i; j < n->steps_len; j++)
            if (like(&n->steps[i], &n->steps[j])) steps[turns.len++] = j;
        timing_t timing = {0};
        st = timing_run(r->device, launch_turn, &turns, turns.len, CACHE_HOT,
                        ALONE_SHARE * r->options->budget_s, &timing);
        for (int j = 0; j < turns.len && st == STATUS_OK; j++)
            pass->times[steps[j]].alone_us = timing.summary.median;
        timing_free(&timing);
        if (interrupted()) st = fail(STATUS_INTERRUPTED, "interrupted");
    }
    free(steps);
    return st;
}

/* The one of `count` passes whose length is the median (the lower one of two). */
static int median_pass(const double *us, size_t steps, int count) {
    double total[MAX_PROFILES] = {0};
    int median = 0;
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < steps; i++) total[k] += us[(size_t)k * steps + i];
    for (int k = 0; k < count; k++) {
        int shorter = 0;
        for (int j = 0; j < count; j++)
            shorter += total[j] < total[k] || (j < k && total[j] == total[k]);
        if (shorter == (count - 1) / 2) median = k;
    }
    return median;
}

/*
 * The time of each step inside the median of a few passes. Medians of the steps would not add up to
 * a pass where others disturb a few steps of every pass.
 */
static status_t time_inside(runner_t *r, pass_t *pass) {
    network_t *n = &pass->network;
    const size_t steps = (size_t)n->steps_len;
    if (!r->device->ops->profile) return STATUS_OK;
    double *us = malloc(MAX_PROFILES * steps * sizeof *us);
    if (!us) return fail(STATUS_OOM, "out of host memory for a model");
    const double start_s = now_s();
    status_t st = STATUS_OK;
    int count = 0;
    do {
        st = r->device->ops->profile(r->device, network_step, n, n->steps_len,
                                     us + (size_t)count * steps);
        count++;
    } while (st == STATUS_OK && count < MAX_PROFILES && !interrupted() &&
             (count < 3 || now_s() - start_s < PROFILE_SHARE * r->options->budget_s));
    const double *median = us + (size_t)median_pass(us, steps, count) * steps;
    for (size_t i = 0; i < steps && st == STATUS_OK; i++) pass->times[i].in_model_us = median[i];
    free(us);
    return st;
}

/* A pass must end in finite numbers before its time counts. */
static status_t check_finite(runner_t *r, pass_t *pass, bool *finite) {
    network_t *n = &pass->network;
    const char *output = n->options.model->output;
    const int64_t count = network_count(n, output);
    float *values = malloc((size_t)count * sizeof *values);
    if (!values) return fail(STATUS_OOM, "out of host memory for the output");
    status_t st = r->device->ops->run(r->device, network_launch, n, 0);
    if (st == STATUS_OK) st = network_read(n, output, values);
    *finite = true;
    for (int64_t i = 0; i < count && st == STATUS_OK; i++) *finite &= isfinite(values[i]) != 0;
    free(values);
    return st;
}

/* ---- the row ---- */

static void set_status(model_row_t *row, const char *status, const char *reason) {
    row_set_text(row->status, "%s", status);
    row_set_text(row->reason, "%s", reason);
}

static void describe(const runner_t *r, const pass_t *pass, model_row_t *row) {
    const network_options_t *o = &pass->options;
    row_clear(&MODELS_TABLE, row);
    row_set_text(row->run_id, "%s", r->run->run_id);
    row_set_text(row->device, "%s", r->device->id);
    row_set_text(row->model, "%s", o->model->name);
    row_set_text(row->structure, "%s", o->structure);
    row_set_text(row->variant, "%s", pass->variant);
    row_set_text(row->dtype, "%s", dtype_name(o->dtype));
    row_set_text(row->phase, "%s", phase_name(o->phase));
    row_set_text(row->launch, "%s", r->device->ops->fixed_sequence ? "graph" : "stream");
    if (o->weights)
        row_set_text(row->weights, "%s", o->weights->path);
    else
        row_set_text(row->weights, "random, seed %llu", (unsigned long long)o->seed);
    row->batch = (double)o->batch;
    row->tokens = o->phase == PHASE_DECODE ? 1 : (double)o->tokens;
    row->past = o->phase == PHASE_DECODE ? (double)o->tokens : 0;
}

static void fill_timing(const pass_t *pass, const timing_t *timing, model_row_t *row) {
    const memory_use_t *memory = &pass->network.memory;
    row->latency_ms = timing->summary.median * 1e-3;
    row->latency_ci_low_ms = timing->summary.ci_low * 1e-3;
    row->latency_ci_high_ms = timing->summary.ci_high * 1e-3;
    row->tokens_per_s = row->batch * row->tokens / (row->latency_ms * 1e-3);
    row->stream_latency_ms = timing->stream_us * 1e-3;
    row->samples = timing->samples_len;
    row->sm_clock_mhz = timing->state.sm_clock_mhz;
    row_set_text(row->throttle, "%s", timing->state.throttle);
    row->weight_bytes = memory->weights;
    row->activation_bytes = memory->activations;
    row->workspace_bytes = memory->workspace;
    row->peak_bytes = memory->peak;
    row->launches = pass->network.steps_len;
    row->flops = 0;
    for (int i = 0; i < pass->network.steps_len; i++)
        row->flops += step_flops(&pass->network.steps[i]);
}

/*
 * Amdahl's law from the times of layers alone: f, the part of dense's latency that the replaced
 * layers take as dense layers, and s, how much faster they are in their structure.
 */
static status_t fill_speedups(runner_t *r, const pass_t *pass, model_row_t *row) {
    const structure_t *dense = structure_find("dense");
    double as_dense = 0, as_structure = 0;
    if (isnan(r->dense_us) || !dense) return STATUS_OK;
    row->speedup_vs_dense = r->dense_us / (row->latency_ms * 1e3);
    for (int i = 0; i < pass->network.steps_len; i++) {
        const step_t *step = &pass->network.steps[i];
        if (step->op || strcmp(step->statement->op, "linear") || step->structure == dense) continue;
        problem_t problem = step->problem;
        problem.rank = 0;
        problem.blocks = 1;
        const layer_time_t *found;
        const status_t st = layer_times_best(&r->times, dense, &problem, false, &found);
        if (st != STATUS_OK) return st;
        as_dense += found->time_us;
        as_structure += pass->times[i].alone_us;
    }
    row->replaced_pct = 100 * as_dense / r->dense_us;
    if (as_structure > 0) row->replaced_speedup = as_dense / as_structure;
    const double predicted_us = r->dense_us - as_dense + as_structure;
    if (predicted_us > 0) row->speedup_predicted = r->dense_us / predicted_us;
    return STATUS_OK;
}

static status_t measure(runner_t *r, pass_t *pass) {
    model_row_t *row = &pass->row;
    timing_t timing = {0};
    bool finite = false;
    status_t st = STATUS_OK;
    TRY(network_plan(&pass->options, &pass->network));
    pass->times = malloc((size_t)pass->network.steps_len * sizeof *pass->times);
    if (!pass->times) {
        st = fail(STATUS_OOM, "out of host memory for a model");
        goto cleanup;
    }
    for (int i = 0; i < pass->network.steps_len; i++)
        pass->times[i] = (step_time_t){.in_model_us = NAN, .alone_us = NAN};
    TRY(choose_layers(r, pass));
    TRY(network_fill(&pass->network));
    TRY(check_finite(r, pass, &finite));
    if (!finite) {
        set_status(row, "mismatch", "the output has numbers that are not finite");
        goto cleanup;
    }
    TRY(timing_run(r->device, network_launch, &pass->network, 1, CACHE_HOT, r->options->budget_s,
                   &timing));
    fill_timing(pass, &timing, row);
    if (!strcmp(row->structure, "dense")) r->dense_us = fmin(r->dense_us, row->latency_ms * 1e3);
    TRY(time_inside(r, pass));
    TRY(time_pointwise(r, pass));
    TRY(fill_speedups(r, pass, row));
    TRY(account_rows(&pass->network, pass->times, row, &r->ceilings, &pass->layers,
                     &pass->layers_len, &row->accounted_pct));
    set_status(row, "ok", pass->note);
cleanup:
    timing_free(&timing);
    return st;
}

static void count_status(model_counts_t *counts, const model_row_t *row) {
    counts->ok += !strcmp(row->status, "ok");
    counts->unsupported += !strcmp(row->status, "unsupported");
    counts->mismatch += !strcmp(row->status, "mismatch");
    counts->oom += !strcmp(row->status, "oom");
    counts->error += !strcmp(row->status, "error");
    counts->disturbed += throttle_disturbs(row->throttle);
}

/* Measures and files one pass. A failure that concerns it alone becomes its row. */
static status_t do_pass(runner_t *r, pass_t *pass) {
    describe(r, pass, &pass->row);
    char what[TEXT_LEN];
    row_set_text(what, "%s %s %s/%s", pass->row.model, pass->row.phase, pass->row.structure,
                 pass->variant);
    progress_show(&r->progress, what);
    status_t st = measure(r, pass);
    const bool own = st == STATUS_OOM || st == STATUS_UNSUPPORTED || st == STATUS_DEVICE;
    if (st == STATUS_OOM) set_status(&pass->row, "oom", last_error());
    if (st == STATUS_UNSUPPORTED) set_status(&pass->row, "unsupported", last_error());
    if (st == STATUS_DEVICE) set_status(&pass->row, "error", last_error());
    if (interrupted()) st = STATUS_INTERRUPTED; /* a pass cut short is not filed */
    if (st == STATUS_OK || (own && st != STATUS_INTERRUPTED)) {
        const status_t filed = run_add_model(r->run, &pass->row, pass->layers, pass->layers_len);
        count_status(r->counts, &pass->row);
        if (filed != STATUS_OK) st = filed;
    }
    if (pass->network.steps) network_close(&pass->network);
    free(pass->times);
    free(pass->layers);
    r->progress.done++;
    return st == STATUS_OOM || st == STATUS_UNSUPPORTED ? STATUS_OK : st;
}

/* ---- which passes ---- */

/* A name that no layer of the structure knows would only repeat "best". */
static bool structure_has(const runner_t *r, const char *structure, const char *variant) {
    return !strcmp(variant, "best") || !strcmp(structure, "mixed") ||
           find_variant(structure, variant, r->device->info.kind);
}

static status_t one_variant(runner_t *r, const network_options_t *options, const char *variant) {
    pass_t pass = {.options = *options, .variant = variant};
    return do_pass(r, &pass);
}

/* The passes of a structure: one a variant of the list. Dense is what the others are compared with,
 * so it runs even where the list has none of its variants. */
static status_t each_variant(runner_t *r, const network_options_t *options) {
    const char *list = r->options->variants ? r->options->variants : "best";
    status_t st = STATUS_OK;
    int passes = 0;
    for (const char *at = list; *at && st == STATUS_OK;) {
        char name[64];
        const size_t len = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(len < 63 ? len : 63), at);
        at += len + (at[len] == ',');
        if (!structure_has(r, options->structure, name)) continue;
        st = one_variant(r, options, name);
        passes++;
    }
    if (passes > 0 || strcmp(options->structure, "dense") != 0) return st;
    return one_variant(r, options, "best");
}

static status_t one_structure(runner_t *r, network_options_t *options, const char *name) {
    options->structure = name;
    return name_list_has(r->options->structures, name) ? each_variant(r, options) : STATUS_OK;
}

/* True if an earlier line names the structure too. */
static bool named_before(const model_t *m, int i) {
    for (int j = 0; j < i; j++)
        if (!strcmp(m->factors[j].structure, m->factors[i].structure)) return true;
    return false;
}

/* Dense first, for the others are compared with it; then as the description names them. */
static status_t each_structure(runner_t *r, network_options_t *options) {
    const model_t *m = options->model;
    r->dense_us = NAN;
    status_t st = one_structure(r, options, "dense");
    for (int i = 0; i < m->factors_len && st == STATUS_OK; i++)
        if (!named_before(m, i)) st = one_structure(r, options, m->factors[i].structure);
    if (st == STATUS_OK && m->uses_len > 0) st = one_structure(r, options, "mixed");
    return st;
}

static status_t each_size(runner_t *r, const model_t *m) {
    const int64_t one = 1;
    const int_list_t *tokens = r->options->tokens, *batches = r->options->batches;
    network_options_t options = {.model = m,
                                 .device = r->device,
                                 .dtype = r->options->dtype,
                                 .weights = r->options->weights,
                                 .seed = r->options->seed};
    status_t st = STATUS_OK;
    for (int p = 0; p < PHASE_COUNT; p++) {
        if (!(m->phases & 1u << p) || !name_list_has(r->options->phases, phase_name((phase_t)p)))
            continue;
        options.phase = (phase_t)p;
        for (int b = 0; b < (batches ? batches->count : 1) && st == STATUS_OK; b++)
            for (int t = 0; t < (tokens ? tokens->count : 1) && st == STATUS_OK; t++) {
                options.batch = batches ? batches->values[b] : one;
                options.tokens = tokens ? tokens->values[t] : m->tokens;
                st = each_structure(r, &options);
            }
    }
    return st;
}

static void add_ceiling(void *ctx, const ceiling_t *ceiling) {
    runner_t *r = ctx;
    roof_ceilings_add(&r->ceilings, ceiling, dtype_name(r->options->dtype));
}

status_t models_run(run_t *run, device_t *device, const model_t *models, int models_len,
                    const model_options_t *options, model_counts_t *counts) {
    runner_t r = {.run = run,
                  .device = device,
                  .options = options,
                  .counts = counts,
                  .ceilings = roof_ceilings_none(),
                  .progress = progress_begin(0)};
    *counts = (model_counts_t){0};
    layer_times_open(&r.times, device, ALONE_SHARE * options->budget_s);
    progress_show(&r.progress, "ceilings of the device");
    status_t st = run_ceilings(run, device, add_ceiling, &r);
    if (st == STATUS_OK) st = run_open_models(run);
    for (int i = 0; i < models_len && st == STATUS_OK; i++) st = each_size(&r, &models[i]);
    progress_clear(&r.progress);
    layer_times_close(&r.times);
    return st == STATUS_INTERRUPTED ? fail(st, "interrupted") : st;
}
