/* blroof sweep: checks and times the layers of workloads into a run directory. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/list.h"
#include "harness/options.h"
#include "harness/sweep.h"
#include "plots/report.h"
#include "results/table_json.h"

typedef struct {
    const char *device, *out, *tokens, *blocks, *rank, *cache, *counting, *budget, *limit, *shard;
    bool resume, json, pin_point;
    double budget_s;
    sweep_options_t sweep;
} arguments_t;

static status_t parse_list(const char *option, const char *text, int_list_t *list,
                           const int_list_t **used) {
    *used = NULL;
    if (!text) return STATUS_OK;
    status_t st = int_list_parse(text, list);
    if (st != STATUS_OK) return fail(st, "%s: %s", option, last_error());
    *used = list;
    return STATUS_OK;
}

static status_t parse_seconds(const char *option, const char *text, double most, double *out) {
    char *end;
    if (!text) return STATUS_OK;
    *out = strtod(text, &end);
    if (end != text && !*end && *out > 0 && *out <= most) return STATUS_OK;
    return fail(STATUS_USAGE, "%s is seconds a point, above 0 and at most %g, not '%s'", option,
                most, text);
}

static status_t parse_numbers(arguments_t *a) {
    a->sweep.shard = (shard_t){0, 1};
    a->budget_s = 0.6;
    if (a->cache) {
        status_t st = cache_parse(a->cache, &a->sweep.cache);
        if (st != STATUS_OK) return st;
    }
    if (a->counting) {
        status_t st = counting_parse(a->counting, &a->sweep.counting);
        if (st != STATUS_OK) return st;
    }
    if (a->sweep.counting == COUNTING_REQUIRE && a->sweep.cache == CACHE_COLD)
        return fail(STATUS_USAGE, "--counters require cannot count --cache cold: the flush between "
                                  "launches would be counted too");
    status_t st = parse_seconds("--budget", a->budget, 3600, &a->budget_s);
    if (st == STATUS_OK) st = parse_seconds("--limit", a->limit, 1e6, &a->sweep.limit_s);
    if (st != STATUS_OK) return st;
    if (!a->shard) return STATUS_OK;
    st = shard_parse(a->shard, &a->sweep.shard);
    if (st == STATUS_OK && !strcmp(a->shard, "auto"))
        fprintf(stderr, "shard %d/%d\n", a->sweep.shard.index, a->sweep.shard.count);
    return st;
}

static status_t load_workloads(const arguments_t *a, const char *const *names, int names_len,
                               workload_t *workloads) {
    int_list_t lists[3] = {{0}};
    workload_lists_t used = {0};
    status_t st = STATUS_OK;
    TRY(parse_list("--tokens", a->tokens, &lists[0], &used.tokens));
    TRY(parse_list("--blocks", a->blocks, &lists[1], &used.blocks));
    TRY(parse_list("--rank", a->rank, &lists[2], &used.rank));
    for (int i = 0; i < names_len; i++) TRY(workload_load(names[i], &used, &workloads[i]));
cleanup:
    for (int i = 0; i < 3; i++) int_list_free(&lists[i]);
    return st;
}

static void print_end(const run_t *run, const sweep_counts_t *n, status_t st) {
    fprintf(stderr, "%s: %d ok, %d unsupported, %d mismatch, %d oom, %d error", run->path, n->ok,
            n->unsupported, n->mismatch, n->oom, n->error);
    if (n->skipped) fprintf(stderr, ", %d measured before", n->skipped);
    if (n->left) fprintf(stderr, ", %d left", n->left);
    fputc('\n', stderr);
    if (n->tuned)
        fprintf(stderr, "plans of %d shapes chosen by timing in %.1f s\n", n->tuned, n->tuning_s);
    if (n->ceilings_disturbed)
        fputs("warning: others slowed the device while its ceilings were measured: too low\n",
              stderr);
    if (n->remeasured)
        fprintf(stderr, "%d points were sampled again, since something throttled the device\n",
                n->remeasured);
    if (n->disturbed)
        fprintf(stderr,
                "warning: others or heat slowed the device at %d points: see throttle in %s\n",
                n->disturbed, POINTS_TABLE.file);
    if (st == STATUS_INTERRUPTED) fputs("go on with the same command and --resume\n", stderr);
}

static status_t print_json(const char *dir) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, POINTS_TABLE.file);
    return table_print_json(&POINTS_TABLE, path, stdout);
}

static status_t sweep(arguments_t *a, const char *const *names, int names_len) {
    workload_t *workloads = calloc((size_t)names_len, sizeof *workloads);
    pool_t pool = {0};
    counters_t counters = {0};
    run_t run = {0};
    sweep_counts_t counts = {0};
    status_t st = STATUS_OK;
    if (!workloads) return fail(STATUS_OOM, "out of host memory");
    TRY(load_workloads(a, names, names_len, workloads));
    TRY(counting_probe(a->sweep.counting, a->device, &counters));
    TRY(pool_start(a->device, a->budget_s, a->pin_point, &pool));
    TRY(sweep_check_options(&a->sweep, pool.device->info.kind));
    TRY(run_open(a->out, pool.device, &counters, a->resume, &run));
    st = sweep_run(&run, &pool, &counters, workloads, names_len, &a->sweep, &counts);
    if (run.points || run_count_points(&run)) print_end(&run, &counts, st);
    if (st == STATUS_OK) st = a->json ? print_json(run.path) : report_console(run.path, stdout);
cleanup:
    run_close(&run);
    pool_stop(&pool);
    for (int i = 0; i < names_len; i++) workload_free(&workloads[i]);
    free(workloads);
    return st;
}

status_t cmd_sweep(int argc, char **argv) {
    arguments_t a = {0};
    const option_t options[] = {
        {"device", 'd', "DEVICE",
         "cpu, cuda, cuda:N, cuda:all (every GPU); the default is a GPU, else the CPU", &a.device,
         NULL},
        {"output", 'o', "DIR", "the run directory to write", &a.out, NULL},
        {"tokens", 0, "LIST", "instead of the workload's: 1,16,64..4096x2 or 8..64+8", &a.tokens,
         NULL},
        {"blocks", 0, "LIST", "instead of the workload's, where there are blocks", &a.blocks, NULL},
        {"rank", 0, "LIST", "instead of the workload's, where there is a rank", &a.rank, NULL},
        {"structure", 0, "LIST", "only these structures, such as dense,monarch",
         &a.sweep.structures, NULL},
        {"variant", 0, "LIST", "only these variants, such as unfused,fused", &a.sweep.variants,
         NULL},
        {"dtype", 0, "LIST", "fp32, bf16, fp16; the default is fp32 on a CPU, bf16 on a GPU",
         &a.sweep.dtypes, NULL},
        {"cache", 0, "STATE", "rotate (default), cold or hot: where the data is at launch",
         &a.cache, NULL},
        {"counters", 0, "WHEN", "auto (default), off or require: hardware counters of each point",
         &a.counting, NULL},
        {"budget", 0, "SECONDS", "timing seconds a point (default 0.6)", &a.budget, NULL},
        {"limit", 0, "SECONDS", "give a point up after this long; the default goes by its size",
         &a.limit, NULL},
        {"resume", 0, NULL, "go on with an interrupted run", NULL, &a.resume},
        {"json", 0, NULL, "print the rows as JSON, one object a line, instead of a table", NULL,
         &a.json},
        {"pin-point", 0, NULL, "with cuda:all: every point on every GPU, to see how they differ",
         NULL, &a.pin_point},
        {"shard", 0, "I/N",
         "only every Nth point, from the Ith, counted from 0; or auto: from Slurm or MPI", &a.shard,
         NULL},
        {0},
    };
    const command_t command = {
        "sweep", "WORKLOAD... [-d DEVICE] -o DIR",
        "Checks every variant against fp64, times it, and places it on the roofline of this\n"
        "device. WORKLOAD is a name from 'blroof list workloads' or a CSV file.",
        options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len == 0)
        return fail(STATUS_USAGE, "sweep needs a workload, such as quick: see 'blroof list "
                                  "workloads'");
    if (!a.out) return fail(STATUS_USAGE, "sweep needs -o DIR, the run directory to write");
    if (a.pin_point && !pool_asked(a.device))
        return fail(STATUS_USAGE, "--pin-point repeats points on every GPU: add -d cuda:all");
    if (a.pin_point && a.shard)
        return fail(STATUS_USAGE, "--pin-point with --shard: a merge would find each point twice");
    st = parse_numbers(&a);
    return st == STATUS_OK ? sweep(&a, rest, rest_len) : st;
}
