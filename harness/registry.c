#include "harness/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STRUCTURES = 64, MAX_VARIANTS = 512 };

static const structure_t *structures[MAX_STRUCTURES];
static const variant_t *variants[MAX_VARIANTS];
static const device_ops_t *devices[DEVICE_KIND_COUNT];
static int structures_len, variants_len, overflow;

void structure_register(const structure_t *structure) {
    if (structures_len < MAX_STRUCTURES)
        structures[structures_len++] = structure;
    else
        overflow = 1;
}

void variant_register(const variant_t *variant) {
    if (variants_len < MAX_VARIANTS)
        variants[variants_len++] = variant;
    else
        overflow = 1;
}

void device_register(const device_ops_t *ops) {
    devices[ops->kind] = ops;
}

static int compare_structures(const void *a, const void *b) {
    return strcmp((*(const structure_t *const *)a)->name, (*(const structure_t *const *)b)->name);
}

static int compare_variants(const void *a, const void *b) {
    const variant_t *x = *(const variant_t *const *)a, *y = *(const variant_t *const *)b;
    int order = strcmp(x->structure, y->structure);
    if (order == 0) order = (int)x->device - (int)y->device;
    if (order == 0) order = (int)y->baseline - (int)x->baseline;
    return order ? order : strcmp(x->name, y->name);
}

static status_t check_plans(const variant_t *v) {
    int count = 0;
    for (; v->plans[count]; count++) {
        const variant_t *plan = v->plans[count];
        if (!plan->launch || !plan->dtypes || plan->plans || plan->device != v->device ||
            strcmp(plan->structure, v->structure))
            return fail(STATUS_ENVIRONMENT,
                        "plan %s of variant %s/%s lacks launch or dtypes, or "
                        "is of another structure or device",
                        plan->name, v->structure, v->name);
    }
    if (count == 0 || count > MAX_PLANS)
        return fail(STATUS_ENVIRONMENT, "variant %s/%s has %d plans: 1 to %d are possible",
                    v->structure, v->name, count, MAX_PLANS);
    return STATUS_OK;
}

static status_t check_variant(int i) {
    const variant_t *v = variants[i];
    const char *kind = device_kind_name(v->device);
    if (!structure_find(v->structure))
        return fail(STATUS_ENVIRONMENT, "variant %s/%s (%s) is of no registered structure",
                    v->structure, v->name, kind);
    if (!(v->launch || v->plans) || !v->dtypes || !v->summary)
        return fail(STATUS_ENVIRONMENT, "variant %s/%s (%s) lacks launch, dtypes or summary",
                    v->structure, v->name, kind);
    for (int j = 0; j < i; j++)
        if (variants[j]->device == v->device && !strcmp(variants[j]->name, v->name) &&
            !strcmp(variants[j]->structure, v->structure))
            return fail(STATUS_ENVIRONMENT, "variant %s/%s (%s) is registered twice", v->structure,
                        v->name, kind);
    return v->plans ? check_plans(v) : STATUS_OK;
}

status_t registry_check(void) {
    if (overflow) return fail(STATUS_ENVIRONMENT, "too many structures or variants registered");
    if (structures_len == 0 || variants_len == 0)
        return fail(STATUS_ENVIRONMENT, "no structure or no variant is registered (was the "
                                        "program linked from an archive?)");
    qsort(structures, (size_t)structures_len, sizeof(void *), compare_structures);
    qsort(variants, (size_t)variants_len, sizeof(void *), compare_variants);
    for (int i = 1; i < structures_len; i++)
        if (!strcmp(structures[i - 1]->name, structures[i]->name))
            return fail(STATUS_ENVIRONMENT, "structure %s is registered twice",
                        structures[i]->name);
    for (int i = 0; i < variants_len; i++) {
        status_t st = check_variant(i);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

int structure_count(void) {
    return structures_len;
}

const structure_t *structure_at(int i) {
    return structures[i];
}

const structure_t *structure_find(const char *name) {
    for (int i = 0; i < structures_len; i++)
        if (!strcmp(structures[i]->name, name)) return structures[i];
    return NULL;
}

int variant_count(void) {
    return variants_len;
}

const variant_t *variant_at(int i) {
    return variants[i];
}

const variant_t *variant_baseline(const char *structure, device_kind_t kind) {
    for (int i = 0; i < variants_len; i++)
        if (variants[i]->baseline && variants[i]->device == kind &&
            !strcmp(variants[i]->structure, structure))
            return variants[i];
    return NULL;
}

static bool plan_supports(const variant_t *plan, const problem_t *problem,
                          const device_info_t *device, char *why, size_t why_len) {
    if (!(plan->dtypes & DTYPE_BIT(problem->dtype))) {
        snprintf(why, why_len, "%s/%s has no %s kernel", plan->structure, plan->name,
                 dtype_name(problem->dtype));
        return false;
    }
    return !plan->supports || plan->supports(problem, device, why, why_len);
}

int variant_plans(const variant_t *variant, const problem_t *problem, const device_info_t *device,
                  const variant_t *plans[MAX_PLANS], char *why, size_t why_len) {
    const variant_t *const itself[] = {variant, NULL};
    int count = 0;
    for (const variant_t *const *plan = variant->plans ? variant->plans : itself; *plan; plan++)
        if (plan_supports(*plan, problem, device, why, why_len)) plans[count++] = *plan;
    return count;
}

const device_ops_t *device_ops(device_kind_t kind) {
    return devices[kind];
}
