/*
 * The paper's claims (results/paper/claims.csv) held against a run.
 *
 * Quantities, of one layer at one token count:
 *   runtime_vs_dense             time over that of the fastest dense
 *   speedup_vs_dense             its inverse
 *   speedup_vs_unfused, speedup_vs_partial     time of that variant of the structure over this one
 *   speedup_vs_monarch_unfused
 *   intensity_vs_ridge           FLOP per byte of Table 2's traffic over the ridge of the roofline
 *   end_to_end_speedup_vs_dense  of models.csv
 */
#ifndef BLROOF_REPORT_CLAIMS_H
#define BLROOF_REPORT_CLAIMS_H

#include "plots/report_model.h"

typedef enum { CLAIM_REPRODUCED, CLAIM_NOT_REPRODUCED, CLAIM_NOT_APPLICABLE } claim_verdict_t;
const char *claim_verdict_name(claim_verdict_t verdict); /* "reproduced", "not reproduced", ... */

typedef struct {
    claim_row_t claim;
    int cases, held;  /* that were looked at, and that are in the range or within 15 % of it */
    double low, high; /* what this device gives; NAN without a case */
    claim_verdict_t verdict;
    char reason[256];
} judged_t;

/* The caller frees *out. STATUS_IO or STATUS_USAGE if the claims cannot be read. */
status_t claims_judge(const report_t *report, int section, judged_t **out, int *count);

#endif
