/* What registered itself before main(): structures, variants, device kinds. */
#ifndef BLROOF_REGISTRY_H
#define BLROOF_REGISTRY_H

#include "harness/device.h"

/* Sorts by name; STATUS_ENVIRONMENT if empty, on duplicates, or for a variant of no known
 * structure. */
status_t registry_check(void);

int structure_count(void);
const structure_t *structure_at(int i);
const structure_t *structure_find(const char *name);

/* Sorted by structure, baseline first, then name. */
int variant_count(void);
const variant_t *variant_at(int i);
/* The baseline of a structure on a kind of device; NULL if it has none. */
const variant_t *variant_baseline(const char *structure, device_kind_t kind);

/*
 * The plans of a variant that support a valid problem on the device, in the variant's order; the
 * variant itself where it has none. 0 and a reason if nothing does.
 */
int variant_plans(const variant_t *variant, const problem_t *problem, const device_info_t *device,
                  const variant_t *plans[MAX_PLANS], char *why, size_t why_len);

const device_ops_t *device_ops(device_kind_t kind); /* NULL when not built in */

#endif
