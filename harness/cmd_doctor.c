/* blroof doctor: says in one screen whether this machine can measure, and what would help. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/case.h"
#include "harness/commands.h"
#include "harness/nvml.h"
#include "harness/options.h"
#include "harness/registry.h"
#include "harness/version.h"
#include "profiles/counters.h"
#include "profiles/selftest.h"
#include "results/schema.h"

enum { LINE = 96, MARK = 9, NAME = 16, MAX_FACTS = 48, FINDING_LEN = 384 };

typedef enum { FINE, WARNING, NOTE } mark_t;

/* What the device says about itself, by key. */
typedef struct {
    struct {
        char key[48], value[TEXT_LEN];
    } items[MAX_FACTS];
    int len;
} facts_t;

/* ---- lines ---- */

/* Breaks the text at spaces; what follows the first line is indented like it. */
static void print_text(const char *text) {
    const int room = LINE - MARK - NAME;
    for (;;) {
        int taken = (int)strlen(text);
        if (taken > room) {
            taken = room;
            while (taken > 0 && text[taken] != ' ') taken--;
            if (taken == 0) taken = room;
        }
        printf("%.*s\n", taken, text);
        text += taken;
        while (*text == ' ') text++;
        if (!*text) return;
        printf("%*s", MARK + NAME, "");
    }
}

static void line(mark_t mark, const char *name, const char *text, const char *remedy) {
    static const char *const marks[] = {"ok", "warning", "-"};
    printf("%-*s%-*s", MARK, marks[mark], NAME, name);
    print_text(text);
    if (mark != WARNING || !remedy || !*remedy) return;
    char what[FINDING_LEN];
    printf("%*s", MARK + NAME, "");
    snprintf(what, sizeof what, "-> %s", remedy);
    print_text(what);
}

/* ---- facts ---- */

static void add_fact(void *ctx, const char *key, const char *value) {
    facts_t *facts = ctx;
    if (facts->len == MAX_FACTS) return;
    snprintf(facts->items[facts->len].key, sizeof facts->items->key, "%s", key);
    snprintf(facts->items[facts->len++].value, sizeof facts->items->value, "%s", value);
}

static const char *fact(const facts_t *facts, const char *key) {
    for (int i = 0; i < facts->len; i++)
        if (!strcmp(facts->items[i].key, key)) return facts->items[i].value;
    return "";
}

static double fact_number(const facts_t *facts, const char *key) {
    const char *value = fact(facts, key);
    return *value ? strtod(value, NULL) : NAN;
}

/* ---- trying ---- */

/* A tiny dense layer on the device, checked against fp64; then its launches are counted. */
static status_t try_device(device_t *device, counters_t *counters, counts_t *counts) {
    const dtype_t dtype = device->info.kind == DEVICE_CPU ? DTYPE_FP32 : DTYPE_BF16;
    const problem_t problem = {
        .dtype = dtype, .tokens = 128, .in_features = 256, .out_features = 256, .blocks = 1};
    const variant_t *variant = variant_baseline("dense", device->info.kind);
    case_t c = {0};
    binding_t binding = {0};
    check_t check;
    status_t st = STATUS_OK;
    if (!variant) return fail(STATUS_ENVIRONMENT, "there is no dense kernel for %s", device->id);
    TRY(case_open(structure_find("dense"), &problem, &c));
    TRY(binding_open(&c, variant, device, 0, &binding));
    TRY(binding_check(&binding, &check));
    if (!check.ok) {
        st = fail(STATUS_ENVIRONMENT, "dense/%s is wrong: %s", variant->name, check.reason);
        goto cleanup;
    }
    if (counters && counts) st = counters_measure(counters, binding_launch, &binding, 4, counts);
cleanup:
    binding_close(&binding);
    case_close(&c);
    return st;
}

static void print_counters(const counters_t *counters, const counts_t *counts) {
    char text[FINDING_LEN];
    if (counters->status != COUNTERS_OK) {
        snprintf(text, sizeof text, "%s (%s)", counter_status_name(counters->status),
                 counters->source);
        line(WARNING, "counters", text, counters->reason);
        return;
    }
    const double flops = counts->tensor_flops + counts->cuda_core_flops;
    char bytes_text[32] = "an unknown number of", flops_text[32] = "an unknown number of";
    if (!isnan(counts->dram_read_bytes))
        snprintf(bytes_text, sizeof bytes_text, "%.0f", counts->dram_read_bytes);
    if (!isnan(flops)) snprintf(flops_text, sizeof flops_text, "%.0f", flops);
    snprintf(text, sizeof text,
             "%s, tried: a launch of dense 256 x 256 on 128 tokens read %s bytes of DRAM and "
             "executed %s FLOPs (it needs 16777216)",
             counters->source, bytes_text, flops_text);
    line(FINE, "counters", text, "");
}

/* ---- the GPU ---- */

static void gpu_versions(const facts_t *facts) {
    char text[FINDING_LEN];
    const char *driver = fact(facts, "driver");
    snprintf(text, sizeof text, "%s (for CUDA %s and older)", *driver ? driver : "unknown release",
             fact(facts, "cuda_driver"));
    line(FINE, "driver", text, "");
    line(FINE, "CUDA runtime", fact(facts, "cuda_runtime"), "");
    const char *cublaslt = fact(facts, "cublaslt");
    line(*cublaslt ? FINE : WARNING, "cuBLASLt", *cublaslt ? cublaslt : "not found",
         "install libcublas of CUDA 12 or 13, or add it to LD_LIBRARY_PATH");
    const char *cupti = fact(facts, "cupti");
    if (*cupti) line(FINE, "CUPTI", cupti, "");
}

static void gpu_modes(const facts_t *facts) {
    const char *ecc = fact(facts, "gpu_ecc"), *mig = fact(facts, "gpu_mig");
    line(*ecc ? FINE : NOTE, "ECC", *ecc ? ecc : "unknown", "");
    line(!strcmp(mig, "on") ? WARNING
         : *mig             ? FINE
                            : NOTE,
         "MIG", *mig ? mig : "unknown",
         "a slice is measured, and counters may be refused: nvidia-smi -i GPU -mig 0");
}

static void gpu_power(const facts_t *facts) {
    const double limit = fact_number(facts, "gpu_power_limit_w");
    const double usual = fact_number(facts, "gpu_power_limit_default_w");
    char text[FINDING_LEN] = "unknown", remedy[FINDING_LEN] = "";
    if (!isnan(limit)) snprintf(text, sizeof text, "%.0f W, the default is %.0f W", limit, usual);
    snprintf(remedy, sizeof remedy, "the cap slows heavy kernels: nvidia-smi -pl %.0f", usual);
    line(isnan(limit) ? NOTE : limit < usual ? WARNING : FINE, "power cap", text, remedy);
}

static void gpu_clocks(const facts_t *facts, const device_state_t *state) {
    char text[FINDING_LEN] = "unknown";
    const bool throttled = *state->throttle && strcmp(state->throttle, "none") != 0;
    if (!isnan(state->sm_clock_mhz))
        snprintf(text, sizeof text, "SM %.0f of at most %s MHz, memory %s of %s MHz, slowed by: %s",
                 state->sm_clock_mhz, fact(facts, "gpu_sm_clock_max_mhz"),
                 fact(facts, "gpu_memory_clock_mhz"), fact(facts, "gpu_memory_clock_max_mhz"),
                 *state->throttle ? state->throttle : "unknown");
    line(isnan(state->sm_clock_mhz) ? NOTE
         : throttled                ? WARNING
                                    : FINE,
         "clocks", text,
         "the GPU holds itself back: let it cool, lift the cap, or nvidia-smi -rac");
}

static void gpu_others(const facts_t *facts) {
    const double others = fact_number(facts, "gpu_other_processes");
    char text[FINDING_LEN] = "unknown: this user may not see them";
    if (!isnan(others)) snprintf(text, sizeof text, "%.0f on this GPU", others);
    line(isnan(others) ? NOTE
         : others > 0  ? WARNING
                       : FINE,
         "other processes", text,
         "times are shared with them: end them or use another GPU (nvidia-smi lists them)");
}

static void nvml_line(bool gpu_known) {
    char release[80];
    if (!nvml_driver(release, sizeof release))
        line(WARNING, "NVML",
             "libnvidia-ml.so.1 was not found: clocks, power and heat stay unknown",
             "it comes with the NVIDIA driver; in a container, ask for its utility part");
    else
        line(gpu_known ? FINE : WARNING, "NVML",
             gpu_known ? "ready" : "it does not know this GPU: clocks and power stay unknown",
             "make the GPU visible to nvidia-smi too");
}

/* ---- devices ---- */

static status_t doctor_gpu(device_t *device, status_t *tried, char why[FINDING_LEN]) {
    facts_t facts = {0};
    device_state_t state = {NAN, NAN, NAN, ""};
    counters_t counters;
    counts_t counts = {NAN, NAN, NAN, NAN, NAN, NAN};
    char text[FINDING_LEN];
    counters_open(device, &counters);
    *tried = try_device(device, &counters, &counts);
    if (*tried != STATUS_OK) snprintf(why, FINDING_LEN, "%s", last_error());
    device->ops->facts(device, add_fact, &facts);
    device->ops->state(device, &state);
    gpu_versions(&facts);
    snprintf(text, sizeof text, "%s: %s, compute capability %s, %.0f GB", device->id, device->name,
             fact(&facts, "gpu_compute_capability"), fact_number(&facts, "gpu_memory_bytes") / 1e9);
    line(FINE, "GPU", text, "");
    gpu_modes(&facts);
    gpu_power(&facts);
    gpu_clocks(&facts, &state);
    gpu_others(&facts);
    nvml_line(!isnan(state.sm_clock_mhz));
    if (*tried == STATUS_OK) {
        line(FINE, "measuring", "a dense layer ran and is right", "");
        print_counters(&counters, &counts);
    } else {
        line(WARNING, "measuring", "a dense layer does not run", why);
    }
    counters_close(&counters);
    return STATUS_OK;
}

/* `why` there is none; NULL if there is one that was not asked for. */
static void no_gpu(const char *why) {
    char release[80];
    const bool built = strcmp(VERSION_NVCC, "none") != 0;
    const bool driver = nvml_driver(release, sizeof release);
    line(driver ? FINE : WARNING, "driver", driver ? release : "there is no NVIDIA driver here",
         "for a GPU, install the NVIDIA driver (in a container: start it with --gpus all)");
    line(built ? FINE : WARNING, "CUDA runtime",
         built ? "built in" : "this blroof was built without CUDA", "rebuild where nvcc is");
    line(why ? WARNING : NOTE, "GPU", why ? why : "there is one, but it was not asked for",
         "measure the CPU instead: -d cpu");
    line(NOTE, "not checked",
         "cuBLASLt, CUPTI, ECC, MIG, power cap, clocks, other processes, NVML, counters: no GPU",
         "");
}

static status_t doctor_cpu(device_t *device, status_t *tried, char why[FINDING_LEN]) {
    facts_t facts = {0};
    char text[FINDING_LEN];
    *tried = try_device(device, NULL, NULL);
    if (*tried != STATUS_OK) snprintf(why, FINDING_LEN, "%s", last_error());
    device->ops->facts(device, add_fact, &facts);
    snprintf(text, sizeof text, "%s, %s threads on %s cores, %s", device->name,
             fact(&facts, "cpu_threads"), fact(&facts, "cpu_cores"), fact(&facts, "cpu_isa"));
    line(*tried == STATUS_OK ? FINE : WARNING, "CPU", text, why);
    const char *governor = fact(&facts, "cpu_governor");
    const bool full = !strcmp(governor, "performance");
    line(full        ? FINE
         : *governor ? WARNING
                     : NOTE,
         "governor", *governor ? governor : "not readable here (a virtual machine, as a rule)",
         "clocks vary: cpupower frequency-set -g performance");
    const char *pinned = fact(&facts, "cpu_pinned");
    line(FINE, "pinning", !strcmp(pinned, "yes") ? "a thread a core" : pinned, "");
    const char *parallel = fact(&facts, "openblas_parallel");
    snprintf(text, sizeof text, "%s, threads: %s", fact(&facts, "openblas"), parallel);
    line(strcmp(parallel, "openmp") ? WARNING : FINE, "OpenBLAS", text,
         "its threads are not the pinned ones: install libopenblas-openmp-dev and rebuild");
    return STATUS_OK;
}

/* ---- tools ---- */

static bool on_path(const char *program) {
    char file[1024];
    for (const char *at = getenv("PATH"); at && *at;) {
        const int len = (int)strcspn(at, ":");
        snprintf(file, sizeof file, "%.*s/%s", len, at, program);
        if (access(file, X_OK) == 0) return true;
        at += len + (at[len] == ':');
    }
    return false;
}

static void gnuplot_line(void) {
    const bool found = on_path("gnuplot");
    line(found ? FINE : WARNING, "gnuplot", found ? "found" : "not found: reports have no pictures",
         "apt-get install gnuplot-nox");
}

/* ---- the self-test ---- */

typedef struct {
    int rows, failed;
} selftest_sum_t;

static status_t print_selftest(void *ctx, const selftest_row_t *row) {
    selftest_sum_t *sum = ctx;
    char text[FINDING_LEN] = "not counted";
    if (!isnan(row->deviation_pct))
        snprintf(text, sizeof text, "%.0f %s counted, %.0f expected: %+.3f %% (within %g %%)",
                 row->counted, row->unit, row->expected, row->deviation_pct, row->tolerance_pct);
    sum->rows++;
    sum->failed += !row->pass;
    char title[FINDING_LEN + 80];
    snprintf(title, sizeof title, "%.64s: %s", row->name, text);
    line(row->pass ? FINE : WARNING, "self-test", title, row->reason);
    return STATUS_OK;
}

static status_t selftest(device_t *device) {
    selftest_sum_t sum = {0};
    const status_t st = counters_selftest(device, print_selftest, &sum);
    if (st != STATUS_OK) return st;
    if (sum.failed || !sum.rows)
        return fail(STATUS_ENVIRONMENT,
                    "the counters of %s are not to be trusted: %d of %d tests "
                    "failed",
                    device->id, sum.failed, sum.rows);
    return STATUS_OK;
}

/* ---- the command ---- */

/* The GPU part, on `device`, or why there is none. */
static status_t examine(device_t *device, const char *why_no_gpu, bool counters) {
    status_t tried = STATUS_OK;
    char why[FINDING_LEN] = "";
    device_t *cpu = NULL;
    const bool gpu = device->info.kind == DEVICE_CUDA;
    status_t st = gpu ? doctor_gpu(device, &tried, why) : STATUS_OK;
    if (!gpu) no_gpu(why_no_gpu);
    if (gpu) {
        status_t ignored = STATUS_OK;
        char unused[FINDING_LEN] = "";
        TRY(device_open("cpu", &cpu));
        TRY(doctor_cpu(cpu, &ignored, unused));
    } else {
        TRY(doctor_cpu(device, &tried, why));
    }
    gnuplot_line();
    if (counters && tried == STATUS_OK) TRY(selftest(device));
    if (tried == STATUS_OK) printf("\n%s can measure.\n", device->id);
    if (tried != STATUS_OK) st = fail(STATUS_ENVIRONMENT, "%s cannot measure: %s", device->id, why);
cleanup:
    if (cpu) cpu->ops->close(cpu);
    return st;
}

status_t cmd_doctor(int argc, char **argv) {
    const char *device_name = NULL;
    bool counters = false;
    const option_t options[] = {
        {"device", 'd', "DEVICE",
         "what must be able to measure: cpu, cuda, cuda:N; the default is a GPU, else the CPU",
         &device_name, NULL},
        {"counters", 0, NULL, "also count known work: the counters must be right", NULL, &counters},
        {0},
    };
    const command_t command = {
        "doctor", "[-d DEVICE] [--counters]",
        "Says whether this machine can measure, and what would help. Exit 4 if the device cannot\n"
        "measure, or with --counters if they do not count right.",
        options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len > 0) return fail(STATUS_USAGE, "doctor takes no argument '%s'", rest[0]);

    char why[WHY_LEN] = "this blroof was built without CUDA";
    const device_ops_t *cuda = device_ops(DEVICE_CUDA);
    const int gpus = cuda ? cuda->count(why, sizeof why) : 0;
    device_t *device = NULL;
    st = device_open(device_name, &device);
    if (st == STATUS_USAGE) return st;
    if (st != STATUS_OK) { /* the rest of the screen may say why */
        char message[FINDING_LEN];
        snprintf(message, sizeof message, "%s", last_error());
        device_t *cpu = NULL;
        if (device_open("cpu", &cpu) == STATUS_OK) {
            examine(cpu, gpus > 0 ? NULL : why, false);
            cpu->ops->close(cpu);
        }
        return fail(STATUS_ENVIRONMENT, "%s", message);
    }
    st = examine(device, gpus > 0 ? NULL : why, counters);
    device->ops->close(device);
    return st;
}
