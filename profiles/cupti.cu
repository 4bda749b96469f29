/*
 * Counters of NVIDIA GPUs through CUPTI's Range Profiler: one range around all launches, repeated
 * for each pass. CUPTI is in the process during a measurement only: as long as it is, every kernel
 * of a graph starts later (0.13 us on an H200), and neither disabling the profiler nor resetting
 * the device ends that; cuptiFinalize() does.
 */
#include "profiles/cupti.h"

#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profiles/cupti_api.h"

enum { SPARE_PASSES = 4 }; /* more rounds than planned: CUPTI would never end */

typedef struct {
    const cupti_api_t *api;
    CUcontext context;
    size_t ordinal;
    counter_group_t group;
    cupti_config_t config;
    uint8_t *availability, *data; /* data: the counter data image, data_len bytes */
    size_t data_len;
} session_t;

/* ---- failures ---- */

/* Sets status and reason; the status is that of the condition, not of the call. */
static void explain(counters_t *counters, CUptiResult result, const char *call) {
    static const struct {
        CUptiResult result;
        counter_status_t status;
        const char *reason;
    } known[] = {
        {CUPTI_ERROR_INSUFFICIENT_PRIVILEGES, COUNTERS_DENIED,
         "this user may not read GPU counters: run as root (or with CAP_SYS_ADMIN), or load the "
         "driver with NVreg_RestrictProfilingToAdminUsers=0"},
        {CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES, COUNTERS_DENIED,
         "the hypervisor keeps the GPU's counters: enable profiling for this vGPU on the host"},
        {CUPTI_ERROR_VIRTUALIZED_DEVICE_NOT_SUPPORTED, COUNTERS_UNSUPPORTED,
         "this virtual GPU has no counters: pass a whole GPU through"},
        {CUPTI_ERROR_MIG_DEVICE_NOT_SUPPORTED, COUNTERS_UNSUPPORTED,
         "MIG is on, and its instances have no counters: turn it off with nvidia-smi -mig 0"},
        {CUPTI_ERROR_CONFIDENTIAL_COMPUTING_NOT_SUPPORTED, COUNTERS_UNSUPPORTED,
         "confidential computing is on, which hides the counters: turn it off"},
        {CUPTI_ERROR_CMP_DEVICE_NOT_SUPPORTED, COUNTERS_UNSUPPORTED,
         "CUPTI does not count on mining GPUs: use another GPU"},
        {CUPTI_ERROR_SLI_DEVICE_NOT_SUPPORTED, COUNTERS_UNSUPPORTED,
         "CUPTI does not count under SLI: turn it off"},
        {CUPTI_ERROR_WSL_DEVICE_NOT_SUPPORTED, COUNTERS_UNSUPPORTED,
         "CUPTI does not count under this WSL: run on Linux itself"},
        {CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED, COUNTERS_UNSUPPORTED,
         "another profiler is attached (ncu, nsys, a tracing tool): run without it"},
        {CUPTI_ERROR_HARDWARE_BUSY, COUNTERS_UNSUPPORTED,
         "another profiler holds the GPU's counters (ncu, DCGM, nsys): stop it"},
        {CUPTI_ERROR_NOT_COMPATIBLE, COUNTERS_UNSUPPORTED,
         "this CUPTI does not fit the driver: install the CUPTI of the driver's CUDA release"},
    };
    const char *name = NULL;
    counters->status = COUNTERS_UNSUPPORTED;
    for (const auto &row : known)
        if (row.result == result) {
            counters->status = row.status;
            snprintf(counters->reason, sizeof counters->reason, "%s", row.reason);
            return;
        }
    const session_t *s = (const session_t *)counters->session;
    s->api->GetResultString(result, &name);
    snprintf(counters->reason, sizeof counters->reason,
             "CUPTI does not count here: %s: %s (%d); is its release that of the driver?", call,
             name ? name : "unknown error", (int)result);
}

/* Calls a function of CUPTI; if it fails, says why and returns false. */
#define CUPTI(function, params)                                                                    \
    do {                                                                                           \
        const CUptiResult result_ = ((session_t *)counters->session)->api->function(params);       \
        if (result_ != CUPTI_SUCCESS) {                                                            \
            explain(counters, result_, "cupti" #function);                                         \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool refuse(counters_t *counters, const char *reason) {
    counters->status = COUNTERS_UNSUPPORTED;
    snprintf(counters->reason, sizeof counters->reason, "%s", reason);
    return false;
}

/* ---- open and close ---- */

/* Runs as work of the device, which makes its context current. The driver is asked through the
 * runtime: the program does not link libcuda. */
static status_t find_context(void *arg, int index, stream_t stream) {
    (void)index, (void)stream;
    session_t *s = (session_t *)arg;
    CUresult (*get_current)(CUcontext *) = NULL;
    cudaDriverEntryPointQueryResult found;
    int ordinal = 0;
    cudaGetDevice(&ordinal);
    s->ordinal = (size_t)ordinal;
    const cudaError_t error = cudaGetDriverEntryPointByVersion(
        "cuCtxGetCurrent", (void **)&get_current, 12000, cudaEnableDefault, &found);
    if (error == cudaSuccess && get_current) get_current(&s->context);
    return STATUS_OK;
}

static bool read_availability(counters_t *counters) {
    session_t *s = (session_t *)counters->session;
    CUPTI_PARAMS(Profiler_GetCounterAvailability, get);
    get.ctx = s->context;
    CUPTI(ProfilerGetCounterAvailability, &get);
    s->availability = (uint8_t *)calloc(1, get.counterAvailabilityImageSize);
    if (!s->availability) return refuse(counters, "out of host memory for counters");
    get.pCounterAvailabilityImage = s->availability;
    CUPTI(ProfilerGetCounterAvailability, &get);
    return true;
}

static bool configure(counters_t *counters) {
    session_t *s = (session_t *)counters->session;
    CUPTI_PARAMS(Device_GetChipName, chip);
    group_check_t check;
    const char *failed;
    chip.deviceIndex = s->ordinal;
    CUPTI(DeviceGetChipName, &chip);
    if (group_find(chip.pChipName, &s->group) != STATUS_OK) return refuse(counters, last_error());
    if (!read_availability(counters)) return false;
    const CUptiResult result = cupti_config_open(s->api, &s->group, chip.pChipName, s->availability,
                                                 &s->config, &check, &failed);
    if (result == CUPTI_SUCCESS) return true;
    explain(counters, result, failed);
    if (result == CUPTI_ERROR_INVALID_CHIP_NAME)
        snprintf(counters->reason, sizeof counters->reason,
                 "this CUPTI does not know the chip %s: install a later one", chip.pChipName);
    for (int i = 0; i < s->group.metrics_len; i++)
        if (check.missing[i])
            snprintf(counters->reason, sizeof counters->reason,
                     "the chip %s has no metric %s: correct profiles/groups/%s.txt", chip.pChipName,
                     s->group.metrics[i].name, s->group.name);
    return false;
}

/* Brings CUPTI into the process; leave() takes it out. */
static bool enter(counters_t *counters) {
    static bool entered_before;
    const session_t *s = (const session_t *)counters->session;
    CUPTI_PARAMS(Profiler_Initialize, initialize);
    const CUptiResult result = s->api->ProfilerInitialize(&initialize);
    /* It is not said again once CUPTI has been finalized, but all else works. */
    const bool known = entered_before && result == CUPTI_ERROR_NOT_INITIALIZED;
    entered_before = true;
    if (result != CUPTI_SUCCESS && !known) explain(counters, result, "cuptiProfilerInitialize");
    return counters->status == COUNTERS_OK;
}

static void leave(counters_t *counters) {
    const session_t *s = (const session_t *)counters->session;
    const CUptiResult result = s->api->Finalize();
    if (result != CUPTI_SUCCESS && counters->status == COUNTERS_OK)
        explain(counters, result, "cuptiFinalize");
}

static bool attach(counters_t *counters, CUpti_RangeProfiler_Object **profiler) {
    CUPTI_PARAMS(RangeProfiler_Enable, enable);
    enable.ctx = ((session_t *)counters->session)->context;
    CUPTI(RangeProfilerEnable, &enable);
    *profiler = enable.pRangeProfilerObject;
    return true;
}

/* An earlier failure keeps its reason. */
static void detach(counters_t *counters, CUpti_RangeProfiler_Object *profiler) {
    const session_t *s = (const session_t *)counters->session;
    CUPTI_PARAMS(RangeProfiler_Disable, disable);
    disable.pRangeProfilerObject = profiler;
    const CUptiResult result = s->api->RangeProfilerDisable(&disable);
    if (result != CUPTI_SUCCESS && counters->status == COUNTERS_OK)
        explain(counters, result, "cuptiRangeProfilerDisable");
}

/* The profiler is enabled to see whether it may be: without the permission that fails. */
static bool try_counting(counters_t *counters) {
    CUpti_RangeProfiler_Object *profiler;
    if (!configure(counters) || !attach(counters, &profiler)) return false;
    detach(counters, profiler);
    return true;
}

/*
 * What is asked of CUPTI before counting can be asked once in a process: after cuptiFinalize() the
 * same calls crash (CUDA 13.0), while measuring again works. So the answers stay.
 */
static struct {
    bool asked;
    session_t session;
    counter_status_t status;
    char reason[sizeof((counters_t *)0)->reason];
} once;

static void cupti_close(counters_t *counters) {
    counters->session = NULL; /* it is kept for the next cupti_open() */
}

static void ask_once(counters_t *counters) {
    if (enter(counters)) {
        try_counting(counters);
        leave(counters);
    }
    once.asked = true;
    once.status = counters->status;
    memcpy(once.reason, counters->reason, sizeof once.reason);
}

static void cupti_open(device_t *device, counters_t *counters) {
    const char *why;
    session_t found = {};
    found.api = cupti_api(&why);
    if (!found.api) {
        refuse(counters, why);
        return;
    }
    counters->session = &once.session;
    counters->status = COUNTERS_OK;
    if (device->ops->run(device, find_context, &found, 0) != STATUS_OK) {
        refuse(counters, last_error());
    } else if (!found.context) {
        refuse(counters, "the driver does not tell its context: update it");
    } else if (!once.asked) {
        once.session = found;
        ask_once(counters);
    } else if (once.session.context != found.context) {
        refuse(counters, "this process has counted on another GPU: start one process a GPU");
    } else {
        counters->status = once.status;
        memcpy(counters->reason, once.reason, sizeof once.reason);
    }
}

/* ---- measuring ---- */

typedef struct {
    work_t work;
    void *arg;
    int launches;
} range_t;

static status_t launch_range(void *arg, int index, stream_t stream) {
    (void)index;
    const range_t *range = (const range_t *)arg;
    status_t st = STATUS_OK;
    for (int i = 0; i < range->launches && st == STATUS_OK; i++)
        st = range->work(range->arg, i, stream);
    return st;
}

/* A profiler that was not asked for the size cannot initialise the image: it would crash. */
static bool prepare_data(counters_t *counters, CUpti_RangeProfiler_Object *profiler) {
    session_t *s = (session_t *)counters->session;
    CUPTI_PARAMS(RangeProfiler_GetCounterDataSize, size);
    size.pRangeProfilerObject = profiler;
    size.pMetricNames = s->config.names;
    size.numMetrics = s->config.names_len;
    size.maxNumOfRanges = 1;
    size.maxNumRangeTreeNodes = 1;
    CUPTI(RangeProfilerGetCounterDataSize, &size);
    uint8_t *const data = (uint8_t *)realloc(s->data, size.counterDataSize);
    if (!data) return refuse(counters, "out of host memory for counters");
    s->data = data;
    s->data_len = size.counterDataSize;
    CUPTI_PARAMS(RangeProfiler_CounterDataImage_Initialize, image);
    image.pRangeProfilerObject = profiler;
    image.counterDataSize = s->data_len;
    image.pCounterData = s->data;
    CUPTI(RangeProfilerCounterDataImageInitialize, &image);
    return true;
}

static bool set_config(counters_t *counters, CUpti_RangeProfiler_Object *profiler) {
    session_t *s = (session_t *)counters->session;
    CUPTI_PARAMS(RangeProfiler_SetConfig, config);
    config.pRangeProfilerObject = profiler;
    config.configSize = s->config.image_len;
    config.pConfig = s->config.image;
    config.counterDataImageSize = s->data_len;
    config.pCounterDataImage = s->data;
    config.range = CUPTI_UserRange;
    config.replayMode = CUPTI_UserReplay;
    config.maxRangesPerPass = 1;
    config.numNestingLevels = 1;
    config.minNestingLevel = 1;
    config.targetNestingLevel = 1;
    CUPTI(RangeProfilerSetConfig, &config);
    return true;
}

/* One pass over the range; *st is that of the work. */
static bool count_pass(counters_t *counters, CUpti_RangeProfiler_Object *profiler, range_t *range,
                       bool *last, status_t *st) {
    device_t *device = counters->device;
    CUPTI_PARAMS(RangeProfiler_Start, begin);
    CUPTI_PARAMS(RangeProfiler_PushRange, push);
    CUPTI_PARAMS(RangeProfiler_PopRange, pop);
    CUPTI_PARAMS(RangeProfiler_Stop, stop);
    begin.pRangeProfilerObject = push.pRangeProfilerObject = profiler;
    pop.pRangeProfilerObject = stop.pRangeProfilerObject = profiler;
    push.pRangeName = "launches";
    CUPTI(RangeProfilerStart, &begin);
    CUPTI(RangeProfilerPushRange, &push);
    *st = device->ops->run(device, launch_range, range, 0);
    CUPTI(RangeProfilerPopRange, &pop);
    CUPTI(RangeProfilerStop, &stop);
    *last = stop.isAllPassSubmitted;
    return true;
}

static bool evaluate(counters_t *counters, CUpti_RangeProfiler_Object *profiler, int launches,
                     counts_t *out) {
    session_t *s = (session_t *)counters->session;
    double values[GROUP_METRICS];
    for (double &value : values) value = NAN;
    CUPTI_PARAMS(RangeProfiler_DecodeData, decode);
    decode.pRangeProfilerObject = profiler;
    CUPTI(RangeProfilerDecodeData, &decode);
    CUPTI_PARAMS(Profiler_Host_EvaluateToGpuValues, convert);
    convert.pHostObject = s->config.host;
    convert.pCounterDataImage = s->data;
    convert.counterDataImageSize = s->data_len;
    convert.ppMetricNames = s->config.names;
    convert.numMetrics = s->config.names_len;
    convert.pMetricValues = values;
    CUPTI(ProfilerHostEvaluateToGpuValues, &convert);
    for (size_t i = 0; i < s->config.names_len; i++) {
        if (!isfinite(values[i]) || decode.numOfRangeDropped > 0) {
            snprintf(counters->reason, sizeof counters->reason, "CUPTI gave no value for %s",
                     s->config.names[i]);
            counters->status = COUNTERS_UNSUPPORTED;
            return false;
        }
        values[i] /= launches;
    }
    group_counts(&s->group, values, out);
    return true;
}

static status_t count(counters_t *counters, CUpti_RangeProfiler_Object *profiler, range_t *range,
                      counts_t *out) {
    const session_t *s = (const session_t *)counters->session;
    const size_t most = s->config.passes + SPARE_PASSES;
    status_t st = STATUS_OK;
    bool last = false;
    if (!prepare_data(counters, profiler) || !set_config(counters, profiler)) return STATUS_OK;
    for (size_t pass = 0; !last; pass++) {
        if (!count_pass(counters, profiler, range, &last, &st)) return st;
        if (st != STATUS_OK) return st;
        if (pass == most) {
            refuse(counters, "CUPTI asks for passes without end: update it");
            return STATUS_OK;
        }
    }
    evaluate(counters, profiler, range->launches, out);
    return STATUS_OK;
}

/* The launches run once uncounted: code is loaded, algorithms are chosen, and the first pass finds
 * the caches as the others do. */
static status_t cupti_measure(counters_t *counters, work_t work, void *arg, int launches,
                              counts_t *out) {
    range_t range = {work, arg, launches};
    status_t st = counters->device->ops->run(counters->device, launch_range, &range, 0);
    if (st != STATUS_OK) return st;
    CUpti_RangeProfiler_Object *profiler;
    if (!enter(counters)) return STATUS_OK;
    if (attach(counters, &profiler)) {
        st = count(counters, profiler, &range, out);
        detach(counters, profiler);
    }
    leave(counters);
    return st;
}

static const counter_source_t cupti = {
    .kind = DEVICE_CUDA,
    .name = "cupti",
    .open = cupti_open,
    .close = cupti_close,
    .measure = cupti_measure,
    .selftest = cupti_selftest,
    .check = cupti_check,
    .profile = cupti_profile,
};
REGISTER_COUNTER_SOURCE(cupti)
