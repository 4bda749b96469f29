/*
 * CUPTI, loaded at run time: the program starts without it. C++ only, as are CUPTI's own headers.
 * Order of calls on a GPU: CUPTI documentation, "Range Profiling API" and "Profiler Host API".
 */
#ifndef BLROOF_CUPTI_API_H
#define BLROOF_CUPTI_API_H

#include <cupti_activity.h>
#include <cupti_callbacks.h>
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <cupti_range_profiler.h>
#include <cupti_result.h>
#include <cupti_target.h>

#include "profiles/groups.h"

#define CUPTI_FUNCTIONS(X)                                                                         \
    X(GetResultString)                                                                             \
    X(DeviceGetChipName)                                                                           \
    X(ProfilerInitialize)                                                                          \
    X(ProfilerGetCounterAvailability)                                                              \
    X(ProfilerHostInitialize)                                                                      \
    X(ProfilerHostDeinitialize)                                                                    \
    X(ProfilerHostConfigAddMetrics)                                                                \
    X(ProfilerHostGetConfigImageSize)                                                              \
    X(ProfilerHostGetConfigImage)                                                                  \
    X(ProfilerHostGetNumOfPasses)                                                                  \
    X(ProfilerHostGetMetricProperties)                                                             \
    X(ProfilerHostEvaluateToGpuValues)                                                             \
    X(RangeProfilerEnable)                                                                         \
    X(RangeProfilerDisable)                                                                        \
    X(RangeProfilerGetCounterDataSize)                                                             \
    X(RangeProfilerCounterDataImageInitialize)                                                     \
    X(RangeProfilerSetConfig)                                                                      \
    X(RangeProfilerStart)                                                                          \
    X(RangeProfilerStop)                                                                           \
    X(RangeProfilerPushRange)                                                                      \
    X(RangeProfilerPopRange)                                                                       \
    X(RangeProfilerDecodeData)                                                                     \
    X(Subscribe)                                                                                   \
    X(EnableCallback)                                                                              \
    X(ActivityRegisterCallbacks)                                                                   \
    X(ActivityEnable)                                                                              \
    X(ActivityFlushAll)                                                                            \
    X(ActivityGetNextRecord)                                                                       \
    X(ActivityGetNumDroppedRecords)                                                                \
    X(GetGraphNodeId)                                                                              \
    X(Finalize)

typedef struct {
#define DECLARE(name) decltype(&cupti##name) name;
    CUPTI_FUNCTIONS(DECLARE)
#undef DECLARE
} cupti_api_t;

/* NULL with a one-line reason if CUPTI cannot be loaded. Tried once a process. */
const cupti_api_t *cupti_api(const char **why);

/* Zeroed parameters with their size set; the macro CUPTI defines beside each struct. */
#define CUPTI_PARAMS(type, variable)                                                               \
    CUpti_##type##_Params variable = {};                                                           \
    variable.structSize = CUpti_##type##_Params_STRUCT_SIZE

/* The metrics of a group on one chip, ready to be counted and evaluated. */
typedef struct {
    const cupti_api_t *api;
    CUpti_Profiler_Host_Object *host;
    const char *names[GROUP_METRICS];
    size_t names_len;
    uint8_t *image; /* the configuration, image_len bytes */
    size_t image_len, passes;
} cupti_config_t;

/*
 * availability is the image of the GPU, NULL without one. *failed is the call that failed and
 * check->missing says which metrics the chip lacks; names point into `group`, which must live on.
 */
CUptiResult cupti_config_open(const cupti_api_t *api, const counter_group_t *group,
                              const char *chip, const uint8_t *availability, cupti_config_t *out,
                              group_check_t *check, const char **failed);
void cupti_config_close(cupti_config_t *config);

#endif
