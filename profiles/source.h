/*
 * What implements counters of one kind of device. A source is one object that registers itself:
 *
 *     static const counter_source_t cupti = {.kind = DEVICE_CUDA, .name = "cupti", ...};
 *     REGISTER_COUNTER_SOURCE(cupti)
 */
#ifndef BLROOF_COUNTER_SOURCE_H
#define BLROOF_COUNTER_SOURCE_H

#include "profiles/counters.h"
#include "profiles/groups.h"
#include "profiles/selftest.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 *  open      fills status, reason and session; never fails
 *  close     frees the session; the session may be NULL
 *  measure   as counters_measure(), called with status ok and *out all NAN
 *  selftest  as counters_selftest(), called with status ok
 *  check     as counters_check()
 *  profile   as device_ops_t.profile
 */
typedef struct {
    device_kind_t kind;
    const char *name;
    void (*open)(device_t *device, counters_t *counters);
    void (*close)(counters_t *counters);
    status_t (*measure)(counters_t *counters, work_t work, void *arg, int launches, counts_t *out);
    status_t (*selftest)(counters_t *counters, selftest_report_t report, void *ctx);
    status_t (*check)(const counter_group_t *group, const char *chip, group_check_t *out);
    status_t (*profile)(device_t *device, work_t work, void *arg, int steps, int passes,
                        double *us);
} counter_source_t;

void counter_source_register(const counter_source_t *source);
#define REGISTER_COUNTER_SOURCE(object) BLROOF_REGISTER(counter_source, object)

#ifdef __cplusplus
}
#endif
#endif
