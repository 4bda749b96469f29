/* Predicted points: the layers of a workload on a device that is not here. */
#ifndef BLROOF_PREDICTING_H
#define BLROOF_PREDICTING_H

#include "harness/workload.h"
#include "profiles/devices.h"
#include "results/schema.h"
#include "roofline/predict.h"

typedef struct {
    point_row_t *points;       /* time_us is the prediction; bound its largest term */
    prediction_t *predictions; /* of the points, in their order */
    int points_len;
    ceiling_row_t *ceilings;
    int ceilings_len;
    run_row_t *facts;
    int facts_len;
} predicted_t;

/*
 * Every CUDA variant of each entry in bf16; of several plans the fastest. What the variant does not
 * support on the device is a row without a time. STATUS_ENVIRONMENT where this program was built
 * without CUDA and so knows no GPU variants.
 */
status_t predict_workload(const device_profile_t *profile, const workload_t *workload,
                          predicted_t *out);
void predicted_free(predicted_t *predicted);

/* As a run directory, for report and compare. STATUS_USAGE if one is there. */
status_t predicted_write(const predicted_t *predicted, const char *dir);

#endif
