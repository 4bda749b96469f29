#include "profiles/cupti_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/library.h"
#include "profiles/cupti.h"

/* CUPTI opens libnvperf_host by name alone: the one beside it must be loaded before. */
static bool open_companion(const void *function) {
    char path[4096];
    Dl_info where;
    if (dladdr(function, &where) && strchr(where.dli_fname, '/')) {
        const int folder = (int)(strrchr(where.dli_fname, '/') - where.dli_fname);
        snprintf(path, sizeof path, "%.*s/libnvperf_host.so", folder, where.dli_fname);
        if (dlopen(path, RTLD_NOW | RTLD_GLOBAL)) return true;
    }
    return dlopen("libnvperf_host.so", RTLD_NOW | RTLD_GLOBAL) != NULL;
}

static const char *library_resolve(cupti_api_t *api) {
    static char why[256];
    void *const library = cuda_library_open("libcupti");
    if (!library)
        return "CUPTI is not installed: no libcupti.so.13 or .12 in the loader's path, "
               "$CUDA_HOME/lib64, $CUDA_HOME/extras/CUPTI/lib64 or /usr/local/cuda";
#define RESOLVE(name)                                                                              \
    api->name = (decltype(&cupti##name))dlsym(library, "cupti" #name);                             \
    if (!api->name) {                                                                              \
        snprintf(why, sizeof why,                                                                  \
                 "the CUPTI that was found lacks cupti%s: install that of CUDA 12.6 or later",     \
                 #name);                                                                           \
        return why;                                                                                \
    }
    CUPTI_FUNCTIONS(RESOLVE)
#undef RESOLVE
    if (!open_companion((const void *)api->GetResultString))
        return "libnvperf_host.so is missing: install it with CUPTI, it belongs beside libcupti";
    return NULL;
}

const cupti_api_t *cupti_api(const char **why) {
    static cupti_api_t api;
    static bool tried;
    static const char *failed;
    if (!tried) failed = library_resolve(&api);
    tried = true;
    *why = failed;
    return failed ? NULL : &api;
}

/* Configurations: which metrics, in how many passes. */

#define STEP(function, params)                                                                     \
    do {                                                                                           \
        *failed = "cupti" #function;                                                               \
        const CUptiResult result_ = config->api->function(params);                                 \
        if (result_ != CUPTI_SUCCESS) return result_;                                              \
    } while (0)

static CUptiResult build_image(cupti_config_t *config, const char **failed) {
    CUPTI_PARAMS(Profiler_Host_ConfigAddMetrics, add);
    add.pHostObject = config->host;
    add.ppMetricNames = config->names;
    add.numMetrics = config->names_len;
    STEP(ProfilerHostConfigAddMetrics, &add);
    CUPTI_PARAMS(Profiler_Host_GetConfigImageSize, size);
    size.pHostObject = config->host;
    STEP(ProfilerHostGetConfigImageSize, &size);
    config->image_len = size.configImageSize;
    config->image = (uint8_t *)calloc(1, config->image_len);
    if (!config->image) return CUPTI_ERROR_OUT_OF_MEMORY;
    CUPTI_PARAMS(Profiler_Host_GetConfigImage, image);
    image.pHostObject = config->host;
    image.configImageSize = config->image_len;
    image.pConfigImage = config->image;
    STEP(ProfilerHostGetConfigImage, &image);
    CUPTI_PARAMS(Profiler_Host_GetNumOfPasses, passes);
    passes.configImageSize = config->image_len;
    passes.pConfigImage = config->image;
    STEP(ProfilerHostGetNumOfPasses, &passes);
    config->passes = passes.numOfPasses;
    return CUPTI_SUCCESS;
}

static CUptiResult start_host(cupti_config_t *config, const char *chip, const uint8_t *availability,
                              const char **failed) {
    CUPTI_PARAMS(Profiler_Host_Initialize, start);
    start.profilerType = CUPTI_PROFILER_TYPE_RANGE_PROFILER;
    start.pChipName = chip;
    start.pCounterAvailabilityImage = availability;
    STEP(ProfilerHostInitialize, &start);
    config->host = start.pHostObject;
    return CUPTI_SUCCESS;
}

CUptiResult cupti_config_open(const cupti_api_t *api, const counter_group_t *group,
                              const char *chip, const uint8_t *availability, cupti_config_t *config,
                              group_check_t *check, const char **failed) {
    *config = {};
    *check = {};
    config->api = api;
    const CUptiResult started = start_host(config, chip, availability, failed);
    if (started != CUPTI_SUCCESS) return started;
    for (int i = 0; i < group->metrics_len; i++) {
        CUPTI_PARAMS(Profiler_Host_GetMetricProperties, ask);
        ask.pHostObject = config->host;
        ask.pMetricName = group->metrics[i].name;
        config->names[config->names_len++] = group->metrics[i].name;
        check->missing[i] = api->ProfilerHostGetMetricProperties(&ask) != CUPTI_SUCCESS;
        check->missing_len += check->missing[i];
    }
    *failed = "cuptiProfilerHostGetMetricProperties";
    if (check->missing_len > 0) return CUPTI_ERROR_INVALID_METRIC_NAME;
    const CUptiResult built = build_image(config, failed);
    check->passes = (int)config->passes;
    return built;
}

void cupti_config_close(cupti_config_t *config) {
    if (config->host) {
        CUPTI_PARAMS(Profiler_Host_Deinitialize, stop);
        stop.pHostObject = config->host;
        config->api->ProfilerHostDeinitialize(&stop);
    }
    free(config->image);
    *config = {};
}

status_t cupti_check(const counter_group_t *group, const char *chip, group_check_t *out) {
    const char *why, *failed, *name = NULL;
    cupti_config_t config;
    const cupti_api_t *const api = cupti_api(&why);
    if (!api) return fail(STATUS_ENVIRONMENT, "%s", why);
    const CUptiResult result = cupti_config_open(api, group, chip, NULL, &config, out, &failed);
    cupti_config_close(&config);
    if (result == CUPTI_SUCCESS || out->missing_len > 0) return STATUS_OK;
    if (result == CUPTI_ERROR_INVALID_CHIP_NAME)
        return fail(STATUS_UNSUPPORTED, "this CUPTI does not know the chip %s", chip);
    api->GetResultString(result, &name);
    return fail(STATUS_ENVIRONMENT, "%s fails for %s: %s", failed, chip,
                name ? name : "unknown error");
}
