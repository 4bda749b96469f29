#include "harness/model_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/layer_times.h"
#include "harness/model_account.h"
#include "harness/model_times.h"
#include "harness/network.h"
#include "harness/process.h"
#include "harness/progress.h"
#include "harness/registry.h"
#include "results/throttle.h"

/* Of a pass' budget: timing a layer alone. */
static const double ALONE_SHARE = 0.1;

typedef struct {
    run_t *run;
    const char *spec; /* of the device, as for device_open() */
    device_t *device; /* of the worker; in the process of a pass the device itself */
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
    double launch_us;   /* of a pass that would launch nothing */
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
    row->samples = timing->samples_len;
    row->kernels = timing->kernels;
    row->sm_clock_mhz = timing->state.sm_clock_mhz;
    row_set_text(row->throttle, "%s", timing->state.throttle);
    row->weight_bytes = memory->weights;
    row->activation_bytes = memory->activations;
    row->workspace_bytes = memory->workspace;
    row->peak_bytes = memory->peak;
    row->launches = 0;
    row->flops = 0;
    for (int i = 0; i < pass->network.steps_len; i++) {
        row->launches += pass->network.steps[i].together > 0;
        row->flops += step_flops(&pass->network.steps[i]);
    }
}

static void note_dense(runner_t *r, const model_row_t *row) {
    if (!strcmp(row->structure, "dense") && row->latency_ms > 0)
        r->dense_us = fmin(r->dense_us, row->latency_ms * 1e3);
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

static void fill_stream(const summary_t *stream, model_row_t *row) {
    row->stream_latency_ms = stream->median * 1e-3;
    row->stream_ci_low_ms = stream->ci_low * 1e-3;
    row->stream_ci_high_ms = stream->ci_high * 1e-3;
}

/* Where they cannot be had, their cells stay empty and the row says why. */
static status_t time_inside(const runner_t *r, pass_t *pass) {
    const status_t st = network_time_inside(&pass->network, r->options->budget_s,
                                            pass->row.latency_ms * 1e3, pass->times);
    if (st != STATUS_ENVIRONMENT) return st;
    row_set_text(pass->note, "no times inside the pass: %s", last_error());
    return STATUS_OK;
}

/* What looks into a pass may lengthen it, where kernels take a microsecond or two. */
static void note_lengthening(pass_t *pass) {
    const double most_pct = 105;
    if (pass->row.accounted_pct > most_pct && !*pass->note)
        row_set_text(pass->note, "looking into the pass made it %.0f %% longer: so are its times",
                     pass->row.accounted_pct - 100);
}

/* The steps are looked into last: what does that may disturb times. */
static status_t measure(runner_t *r, pass_t *pass) {
    model_row_t *row = &pass->row;
    timing_t timing = {0};
    summary_t stream;
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
    TRY(network_check(&pass->network, &finite));
    if (!finite) {
        set_status(row, "mismatch", "the output has numbers that are not finite");
        goto cleanup;
    }
    TRY(network_note_graph(&pass->network));
    TRY(timing_run(r->device, network_launch, &pass->network, 1, CACHE_HOT, r->options->budget_s,
                   &timing));
    fill_timing(pass, &timing, row);
    if (r->device->ops->fixed_sequence) {
        TRY(network_time_stream(&pass->network, r->options->budget_s, &stream));
        fill_stream(&stream, row);
        TRY(device_launch_us(r->device, &pass->launch_us));
    }
    note_dense(r, row);
    TRY(network_time_pointwise(&pass->network, r->options->budget_s, pass->times));
    TRY(fill_speedups(r, pass, row));
    TRY(time_inside(r, pass));
    TRY(account_rows(&pass->network, pass->times, pass->launch_us, row, &r->ceilings, &pass->layers,
                     &pass->layers_len, &row->accounted_pct));
    if (r->device->ops->fixed_sequence) note_lengthening(pass);
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

/* ---- a process for each pass ---- */

/*
 * The library that times steps inside a pass changes the times of all that follows in its process,
 * so a pass has one of its own. It writes its row, its operators and the layers that it timed;
 * those before it are in its memory, and pointers to variants hold in both.
 */
typedef struct {
    runner_t *runner;
    pass_t *pass;
} pass_job_t;

/* An empty list may be NULL, which fwrite() must not be given. */
static bool write_list(const void *list, size_t size, int len, FILE *out) {
    return len == 0 || fwrite(list, size, (size_t)len, out) == (size_t)len;
}

static status_t write_result(const pass_t *pass, const layer_time_t *items, int items_len,
                             FILE *out) {
    const int lens[2] = {pass->layers_len, items_len};
    const bool written = write_list(&pass->row, sizeof pass->row, 1, out) &&
                         write_list(lens, sizeof lens, 1, out) &&
                         write_list(pass->layers, sizeof *pass->layers, lens[0], out) &&
                         write_list(items, sizeof *items, lens[1], out);
    return written ? STATUS_OK : fail(STATUS_IO, "a pass cannot tell its result");
}

static status_t pass_job(void *ctx, FILE *out) {
    runner_t *r = ((pass_job_t *)ctx)->runner;
    pass_t *pass = ((pass_job_t *)ctx)->pass;
    const layer_times_t known = r->times;
    status_t st = device_open(r->spec, &r->device);
    if (st != STATUS_OK) return st;
    pass->options.device = r->device;
    layer_times_open(&r->times, r->device, ALONE_SHARE * r->options->budget_s);
    st = layer_times_add(&r->times, known.items, known.len);
    if (st == STATUS_OK) st = measure(r, pass);
    char why[512];
    snprintf(why, sizeof why, "%s", st == STATUS_OK ? "" : last_error());
    const status_t written =
        write_result(pass, r->times.items + known.len, r->times.len - known.len, out);
    return st == STATUS_OK ? written : fail(st, "%s", why);
}

/* Nothing is read where the process did not come to its end. */
static status_t read_result(runner_t *r, pass_t *pass, const char *bytes, size_t len) {
    int lens[2];
    const size_t head = sizeof pass->row + sizeof lens;
    if (len < head) return STATUS_OK;
    memcpy(&pass->row, bytes, sizeof pass->row);
    memcpy(lens, bytes + sizeof pass->row, sizeof lens);
    const size_t layers_bytes = (size_t)lens[0] * sizeof *pass->layers;
    pass->layers = malloc(layers_bytes + 1);
    if (!pass->layers) return fail(STATUS_OOM, "out of host memory for the operators of a model");
    pass->layers_len = lens[0];
    memcpy(pass->layers, bytes + head, layers_bytes);
    note_dense(r, &pass->row);
    return layer_times_add(&r->times, bytes + head + layers_bytes, lens[1]);
}

static status_t run_apart(runner_t *r, pass_t *pass) {
    pass_job_t job = {r, pass};
    char *bytes, why[512] = "";
    size_t len;
    status_t st = process_run(pass_job, &job, &bytes, &len);
    const bool whole = st != STATUS_INTERRUPTED;
    if (st != STATUS_OK) snprintf(why, sizeof why, "%s", last_error());
    const status_t taken = whole ? read_result(r, pass, bytes, len) : STATUS_OK;
    free(bytes);
    return st == STATUS_OK ? taken : fail(st, "%s", why);
}

/* Measures and files one pass. A failure that concerns it alone becomes its row. */
static status_t do_pass(runner_t *r, pass_t *pass) {
    describe(r, pass, &pass->row);
    char what[TEXT_LEN];
    row_set_text(what, "%s %s %s/%s", pass->row.model, pass->row.phase, pass->row.structure,
                 pass->variant);
    progress_show(&r->progress, what);
    status_t st = run_apart(r, pass);
    const bool own = st == STATUS_OOM || st == STATUS_UNSUPPORTED || st == STATUS_DEVICE;
    if (st == STATUS_OOM) set_status(&pass->row, "oom", last_error());
    if (st == STATUS_UNSUPPORTED) set_status(&pass->row, "unsupported", last_error());
    if (st == STATUS_DEVICE) set_status(&pass->row, "error", last_error());
    if (own) st = STATUS_OK;
    if (interrupted()) st = STATUS_INTERRUPTED; /* a pass cut short is not filed */
    if (st == STATUS_OK) {
        st = run_add_model(r->run, &pass->row, pass->layers, pass->layers_len);
        count_status(r->counts, &pass->row);
    }
    free(pass->layers);
    r->progress.done++;
    return st;
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

status_t models_run(run_t *run, worker_t *worker, const model_t *models, int models_len,
                    const model_options_t *options, model_counts_t *counts) {
    runner_t r = {.run = run,
                  .spec = worker->spec,
                  .device = &worker->device,
                  .options = options,
                  .counts = counts,
                  .ceilings = roof_ceilings_none(),
                  .progress = progress_begin(0)};
    *counts = (model_counts_t){0};
    progress_show(&r.progress, "ceilings of the device");
    status_t st = run_ceilings(run, r.device, add_ceiling, &r);
    worker_stop(worker); /* each pass has the device to itself */
    if (st == STATUS_OK) st = run_open_models(run);
    for (int i = 0; i < models_len && st == STATUS_OK; i++) st = each_size(&r, &models[i]);
    progress_clear(&r.progress);
    layer_times_close(&r.times);
    return st == STATUS_INTERRUPTED ? fail(st, "interrupted") : st;
}
