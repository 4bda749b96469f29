/* Between the files of the CUPTI source. */
#ifndef BLROOF_CUPTI_H
#define BLROOF_CUPTI_H

#include "profiles/source.h"

/* profiles/selftest.cu */
status_t cupti_selftest(counters_t *counters, selftest_report_t report, void *ctx);

/* profiles/cupti_api.cu: counters_check() */
status_t cupti_check(const counter_group_t *group, const char *chip, group_check_t *out);

/* profiles/cupti_trace.cu: counters_profile() */
status_t cupti_profile(device_t *device, work_t work, void *arg, int steps, int passes, double *us);

#endif
