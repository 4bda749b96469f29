/* A row of points.csv: what was measured in, and the problem and the variant of it out again. */
#ifndef BLROOF_POINT_H
#define BLROOF_POINT_H

#include "harness/case.h"
#include "harness/timing.h"
#include "results/schema.h"
#include "roofline/roofline.h"

/* STATUS_USAGE if the row names a dtype or a cache state that is not known. */
status_t point_problem(const point_row_t *row, problem_t *problem, cache_t *cache);
/* The plan that ran, or the variant where it has no plans; NULL if this program has it no more. */
const variant_t *point_plan(const point_row_t *row, device_kind_t kind);

/* Bytes that the launches of a point rotate over; 0 is one copy. */
double point_rotate_bytes(const device_info_t *device, cache_t cache);

/*
 * Seconds after which a point can be said to hang: its host side at the pace of a slow core, and 20
 * launches at 5 % of what the ceilings allow, with room to spare.
 */
double point_limit_s(const problem_t *problem, const structure_t *structure,
                     const roof_ceilings_t *ceilings, double budget_s);

/* Algorithmic FLOPs and modelled bytes. */
void point_fill_costs(const problem_t *problem, const variant_t *plan, point_row_t *row);
/* After the costs. */
void point_fill_timing(const timing_t *timing, point_row_t *row);
/* After the times, and again after the counts: what was counted takes the place of the model. */
void point_fill_roof(const problem_t *problem, const variant_t *plan, cache_t cache,
                     const device_info_t *device, const roof_ceilings_t *ceilings,
                     point_row_t *row);

#endif
