/*
 * What goes wrong, linked into tests/blroof_faulty alone: variants of dense, one way each; a wall
 * clock that jumps; and counters for a CPU, which has none. The environment asks for more:
 * FAULTY_DEVICES=N makes N devices of the CPU, of which the second is half as fast, and with
 * FAULTY_GONE=FILE opens no more than once; FAULTY_REPEAT=P
 * repeats P percent of the launches that are timed, on any device; FAULTY_EXTRA_WRITE=1 has
 * lowrank/planted write its intermediate once more, and say so; FAULTY_THROTTLE=N has the first
 * N readings of a process tell of heat and of another process.
 */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness/registry.h"
#include "kernels/cpu_blas.h"
#include "profiles/source.h"

static status_t multiply(const problem_t *p, void *const *tensors) {
    cpu_gemm(true, p->tokens, p->out_features, p->in_features, tensors[0], p->in_features,
             tensors[1], p->in_features, tensors[2], p->out_features);
    return STATUS_OK;
}

static status_t crash(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)p, (void)tensors, (void)workspace, (void)stream;
    signal(SIGSEGV, SIG_DFL); /* sanitizers catch it */
    return raise(SIGSEGV) ? STATUS_DEVICE : STATUS_OK;
}

/* Passes the check, and crashes while it is timed. */
static status_t crash_late(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
    static int launches;
    return ++launches < 5 ? multiply(p, tensors) : crash(p, tensors, workspace, stream);
}

static status_t hang(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)p, (void)tensors, (void)workspace, (void)stream;
    for (;;) pause();
    return STATUS_OK;
}

static status_t killed(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)p, (void)tensors, (void)workspace, (void)stream;
    return raise(SIGKILL) ? STATUS_DEVICE : STATUS_OK;
}

static status_t leave(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)p, (void)tensors, (void)workspace, (void)stream;
    _exit(3);
}

/* What a device does that lost its context: this and every later launch of the process fails. */
static bool device_lost;

static status_t sticky(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)p, (void)tensors, (void)workspace, (void)stream;
    device_lost = true;
    return fail(STATUS_DEVICE, "an illegal memory access was encountered");
}

static status_t nan_output(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
    (void)workspace, (void)stream;
    multiply(p, tensors);
    ((float *)tensors[2])[p->out_features / 2] = NAN;
    return STATUS_OK;
}

static status_t wrong(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace, (void)stream;
    multiply(p, tensors);
    ((float *)tensors[2])[p->tokens * p->out_features - 1] += 1;
    return STATUS_OK;
}

/* Comes last: the device and the sweep are as well as before. */
static status_t well(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace, (void)stream;
    if (device_lost) return fail(STATUS_DEVICE, "the device of this process is lost");
    return multiply(p, tensors);
}

static size_t too_much(const problem_t *p, const device_info_t *device) {
    (void)p, (void)device;
    return (size_t)1 << 50;
}

#define FAULTY(variant, function, ...)                                                             \
    static const variant_t variant = {.structure = "dense",                                        \
                                      .name = #variant,                                            \
                                      .summary = "goes wrong",                                     \
                                      .device = DEVICE_CPU,                                        \
                                      .dtypes = DTYPE_BIT(DTYPE_FP32),                             \
                                      .launch = function,                                          \
                                      __VA_ARGS__};                                                \
    REGISTER_VARIANT(variant)

FAULTY(fault_crash, crash, .plans = NULL)
FAULTY(fault_crash_late, crash_late, .plans = NULL)
FAULTY(fault_hang, hang, .plans = NULL)
FAULTY(fault_killed, killed, .plans = NULL)
FAULTY(fault_leave, leave, .plans = NULL)
FAULTY(fault_nan, nan_output, .plans = NULL)
FAULTY(fault_oom, well, .workspace = too_much)
FAULTY(fault_sticky, sticky, .plans = NULL)
FAULTY(fault_wrong, wrong, .plans = NULL)
FAULTY(well_again, well, .plans = NULL)

/* ---- an intermediate that is written twice ---- */

static int write_more(void) {
    return getenv("FAULTY_EXTRA_WRITE") != NULL;
}

static int inner_bytes(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = bytes[1] = (double)(p->tokens * p->rank) * sizeof(float);
    return 1 + write_more();
}

static size_t inner_workspace(const problem_t *p, const device_info_t *device) {
    (void)device;
    return 2 * (size_t)(p->tokens * p->rank) * sizeof(float);
}

static status_t lowrank(const problem_t *p, void *const *tensors, void *workspace,
                        stream_t stream) {
    (void)stream;
    float *inner = workspace;
    const int64_t len = p->tokens * p->rank;
    cpu_gemm(false, p->tokens, p->rank, p->in_features, tensors[0], p->in_features, tensors[1],
             p->rank, inner, p->rank);
    if (write_more()) memcpy(inner + len, inner, (size_t)len * sizeof *inner);
    cpu_gemm(false, p->tokens, p->out_features, p->rank, inner + (write_more() ? len : 0), p->rank,
             tensors[2], p->out_features, tensors[3], p->out_features);
    return STATUS_OK;
}

static const variant_t planted = {.structure = "lowrank",
                                  .name = "planted",
                                  .summary = "writes its intermediate twice when it is told to",
                                  .device = DEVICE_CPU,
                                  .output_order = ORDER_KJ,
                                  .dtypes = DTYPE_BIT(DTYPE_FP32),
                                  .intermediates = inner_bytes,
                                  .workspace = inner_workspace,
                                  .launch = lowrank};
REGISTER_VARIANT(planted)

/* ---- counters of a CPU ---- */

static void open_counters(device_t *device, counters_t *counters) {
    (void)device;
    counters->status = COUNTERS_OK;
}

static void close_counters(counters_t *counters) {
    (void)counters;
}

static status_t count(counters_t *counters, work_t work, void *arg, int launches, counts_t *out) {
    (void)counters, (void)work, (void)arg, (void)launches;
    *out = (counts_t){1000, 500, 2000, NAN, 0, 3000};
    return STATUS_OK;
}

static const counter_source_t made_up = {.kind = DEVICE_CPU,
                                         .name = "made_up",
                                         .open = open_counters,
                                         .close = close_counters,
                                         .measure = count};
REGISTER_COUNTER_SOURCE(made_up)

/* Hides that of the C library: every look at the wall clock is an hour before the last. */
int clock_gettime(clockid_t clock, struct timespec *out) {
    static int looks;
    const long failed = syscall(SYS_clock_gettime, clock, out);
    if (clock == CLOCK_REALTIME) out->tv_sec -= 3600 * looks++;
    return (int)failed;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/* ---- several devices ---- */

static device_ops_t real, several; /* what the CPU does, and what its stand-ins do */

static int count_several(char *why, size_t why_len) {
    const char *count = getenv("FAULTY_DEVICES");
    return count ? atoi(count) : real.count(why, why_len);
}

static status_t open_one(int index, device_t **out) {
    const char *gone = getenv("FAULTY_GONE");
    if (gone && index == 1 && close(open(gone, O_CREAT | O_EXCL, 0600)) != 0)
        return fail(STATUS_DEVICE, "the GPU has fallen off the bus");
    const status_t st = real.open(0, out);
    if (st != STATUS_OK) return st;
    snprintf((*out)->id, sizeof(*out)->id, "cpu:%d", index);
    snprintf((*out)->uuid, sizeof(*out)->uuid, "GPU-of-test-%d", index);
    return STATUS_OK;
}

static void facts_of_one(device_t *device, fact_t fact, void *ctx) {
    fact(ctx, "gpu_uuid", device->uuid);
    real.facts(device, fact, ctx);
}

static status_t replay_one(device_t *device, recording_t *recording, double *us) {
    const status_t st = real.replay(device, recording, us);
    if (!strcmp(device->id, "cpu:1")) *us *= 2;
    return st;
}

/* ---- work that is done twice ---- */

typedef struct {
    work_t work;
    void *arg;
    int launches, repeated;
} repeat_t;

static double repeat_percent;
static device_ops_t once[DEVICE_KIND_COUNT], repeating[DEVICE_KIND_COUNT];

static status_t repeat(void *arg, int index, stream_t stream) {
    const repeat_t *r = arg;
    const status_t st = r->work(r->arg, index, stream);
    return st == STATUS_OK && index % r->launches < r->repeated ? r->work(r->arg, index, stream)
                                                                : st;
}

/* What is recorded may be run as long as the process lives, so the arguments are kept. */
static status_t record_repeated(device_t *device, work_t work, void *arg, int launches, bool cold,
                                recording_t **out) {
    const double share = repeat_percent / 100;
    repeat_t *r = malloc(sizeof *r);
    if (!r) return fail(STATUS_OOM, "out of host memory");
    *r = (repeat_t){work, arg, launches, (int)(share * launches + 0.5)};
    return once[device->info.kind].record(device, repeat, r, launches, cold, out);
}

static void repeat_on(device_kind_t kind) {
    if (!device_ops(kind)) return;
    repeating[kind] = once[kind] = *device_ops(kind);
    repeating[kind].record = record_repeated;
    device_register(&repeating[kind]);
}

/* ---- a monitor that has something to tell ---- */

static int alarms;
static device_ops_t calm[DEVICE_KIND_COUNT], alarmed[DEVICE_KIND_COUNT];

static status_t state_alarmed(device_t *device, device_state_t *out) {
    static int readings;
    const status_t st = calm[device->info.kind].state(device, out);
    const bool alarm = readings++ < alarms;
    snprintf(out->throttle, sizeof out->throttle, alarm ? "hw_thermal+other_process" : "none");
    return st;
}

static void alarm_on(device_kind_t kind) {
    if (!device_ops(kind)) return;
    alarmed[kind] = calm[kind] = *device_ops(kind);
    alarmed[kind].state = state_alarmed;
    device_register(&alarmed[kind]);
}

/* After those that register themselves, for this is linked behind them. */
__attribute__((constructor)) static void stand_in(void) {
    if (getenv("FAULTY_DEVICES")) {
        several = real = *device_ops(DEVICE_CPU);
        several.count = count_several;
        several.open = open_one;
        several.facts = facts_of_one;
        several.replay = replay_one;
        device_register(&several);
    }
    const char *throttle = getenv("FAULTY_THROTTLE"), *repeat_text = getenv("FAULTY_REPEAT");
    alarms = throttle ? atoi(throttle) : 0;
    repeat_percent = repeat_text ? atof(repeat_text) : 0;
    for (int kind = 0; kind < DEVICE_KIND_COUNT; kind++) {
        if (throttle) alarm_on((device_kind_t)kind);
        if (repeat_text) repeat_on((device_kind_t)kind);
    }
}
