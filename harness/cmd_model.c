/* blroof model: runs, times and accounts for whole models into a run directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/list.h"
#include "harness/model_run.h"
#include "harness/options.h"
#include "plots/report.h"

typedef struct {
    const char *device, *out, *tokens, *batch, *dtype, *budget, *weights, *seed;
    model_options_t model;
} arguments_t;

static status_t parse_list(const char *option, const char *text, int_list_t *list,
                           const int_list_t **used) {
    if (!text) return STATUS_OK;
    const status_t st = int_list_parse(text, list);
    if (st != STATUS_OK) return fail(st, "%s: %s", option, last_error());
    *used = list;
    return STATUS_OK;
}

static status_t parse_numbers(arguments_t *a) {
    char *end;
    a->model.budget_s = 1;
    a->model.seed = 1;
    if (a->budget) {
        a->model.budget_s = strtod(a->budget, &end);
        if (end == a->budget || *end || !(a->model.budget_s > 0 && a->model.budget_s <= 3600))
            return fail(STATUS_USAGE,
                        "--budget is seconds a pass, above 0 and at most 3600, not '%s'",
                        a->budget);
    }
    if (a->seed) {
        a->model.seed = strtoull(a->seed, &end, 10);
        if (end == a->seed || *end || strchr(a->seed, '-'))
            return fail(STATUS_USAGE, "--seed is a whole number, not '%s'", a->seed);
    }
    return STATUS_OK;
}

static status_t choose_dtype(const arguments_t *a, device_kind_t kind, dtype_t *out) {
    *out = kind == DEVICE_CPU ? DTYPE_FP32 : DTYPE_BF16;
    if (!a->dtype) return STATUS_OK;
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (!strcmp(dtype_name((dtype_t)d), a->dtype)) {
            *out = (dtype_t)d;
            return STATUS_OK;
        }
    return fail(STATUS_USAGE, "--dtype is fp32, bf16 or fp16, not '%s'", a->dtype);
}

static int passes(const model_counts_t *n) {
    return n->ok + n->unsupported + n->mismatch + n->oom + n->error;
}

static void print_end(const run_t *run, const model_counts_t *n) {
    fprintf(stderr, "%s: %d ok, %d unsupported, %d mismatch, %d oom, %d error\n", run->path, n->ok,
            n->unsupported, n->mismatch, n->oom, n->error);
    if (n->disturbed)
        fprintf(stderr,
                "warning: others or heat slowed the device at %d passes: see throttle in %s\n",
                n->disturbed, MODELS_TABLE.file);
}

static status_t run_models(const arguments_t *a, const char *const *names, int names_len) {
    model_t *models = calloc((size_t)names_len, sizeof *models);
    int_list_t tokens = {0}, batches = {0};
    safetensors_t weights = {0};
    worker_t worker = {0};
    run_t run = {0};
    model_counts_t counts = {0};
    model_options_t options = a->model;
    status_t st = STATUS_OK;
    if (!models) return fail(STATUS_OOM, "out of host memory");
    TRY(parse_list("--tokens", a->tokens, &tokens, &options.tokens));
    TRY(parse_list("--batch", a->batch, &batches, &options.batches));
    for (int i = 0; i < names_len; i++) TRY(model_load(names[i], &models[i]));
    if (a->weights) {
        TRY(safetensors_open(a->weights, &weights));
        options.weights = &weights;
    }
    TRY(worker_start(a->device, options.budget_s, &worker));
    TRY(choose_dtype(a, worker.device.info.kind, &options.dtype));
    TRY(models_check_options(&options, models, names_len, worker.device.info.kind));
    TRY(run_open(a->out, &worker.device, NULL, true, &run));
    st = models_run(&run, &worker, models, names_len, &options, &counts);
    if (run.models) print_end(&run, &counts);
    if (st == STATUS_OK && passes(&counts) > 0) st = report_models_console(run.path, stdout);
cleanup:
    run_close(&run);
    worker_stop(&worker);
    safetensors_close(&weights);
    int_list_free(&tokens);
    int_list_free(&batches);
    for (int i = 0; i < names_len; i++) model_free(&models[i]);
    free(models);
    return st;
}

status_t cmd_model(int argc, char **argv) {
    arguments_t a = {0};
    const option_t options[] = {
        {"device", 'd', "DEVICE", "cpu, cuda, cuda:N; the default is a GPU, else the CPU",
         &a.device, NULL},
        {"output", 'o', "DIR", "the run directory to write", &a.out, NULL},
        {"structure", 0, "LIST", "of the replaced layers, such as dense,monarch; or mixed",
         &a.model.structures, NULL},
        {"variant", 0, "LIST", "best (default: the fastest of each layer), or names of variants",
         &a.model.variants, NULL},
        {"phase", 0, "LIST", "prefill, decode, forward; the default is what the model has",
         &a.model.phases, NULL},
        {"tokens", 0, "LIST", "of a sequence, or of the prompt before a decoded token", &a.tokens,
         NULL},
        {"batch", 0, "LIST", "sequences at once (default 1)", &a.batch, NULL},
        {"dtype", 0, "TYPE", "fp32, bf16, fp16; the default is fp32 on a CPU, bf16 on a GPU",
         &a.dtype, NULL},
        {"weights", 0, "FILE", "a safetensors file; the default is random weights", &a.weights,
         NULL},
        {"seed", 0, "NUMBER", "of random weights (default 1)", &a.seed, NULL},
        {"budget", 0, "SECONDS", "timing seconds a pass (default 1)", &a.budget, NULL},
        {0},
    };
    const command_t command = {
        "model", "MODEL... [-d DEVICE] -o DIR",
        "Runs whole models with dense and factored linear layers, times them, and says where the\n"
        "time goes, operator by operator. MODEL is a name from 'blroof list models' or a .model\n"
        "file (harness/models/README.md).",
        options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len == 0)
        return fail(STATUS_USAGE, "model needs a model, such as gpt2s: see 'blroof list models'");
    if (!a.out) return fail(STATUS_USAGE, "model needs -o DIR, the run directory to write");
    st = parse_numbers(&a);
    return st == STATUS_OK ? run_models(&a, rest, rest_len) : st;
}
