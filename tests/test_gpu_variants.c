/* Every GPU variant against fp64 on shapes that try its edges. Skipped, visibly, where there is no
 * GPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "harness/case.h"
#include "harness/registry.h"

#include <cmocka.h> /* last: its fail() is a macro */

/* tokens, in, out, blocks, rank: ragged tokens, q = 43 and 688, r' = 3, 4, 12, 48, 200, odd p, one
 * block, more tiles than fit at once. */
static const problem_t SHAPES[] = {
    {DTYPE_BF16, 1, 768, 2304, 4, 192},     {DTYPE_BF16, 5, 96, 192, 4, 16},
    {DTYPE_BF16, 17, 768, 3072, 6, 192},    {DTYPE_BF16, 64, 256, 512, 4, 64},
    {DTYPE_BF16, 127, 512, 688, 16, 64},    {DTYPE_BF16, 128, 1152, 3456, 9, 384},
    {DTYPE_BF16, 129, 688, 512, 16, 192},   {DTYPE_BF16, 197, 768, 3072, 3, 128},
    {DTYPE_BF16, 333, 1376, 688, 2, 96},    {DTYPE_BF16, 200, 4096, 11008, 16, 1536},
    {DTYPE_BF16, 33, 60, 36, 4, 12},        {DTYPE_BF16, 65, 63, 45, 3, 9},
    {DTYPE_BF16, 31, 101, 77, 1, 13},       {DTYPE_BF16, 130, 2048, 2048, 32, 256},
    {DTYPE_BF16, 785, 3072, 768, 4, 128},   {DTYPE_BF16, 260, 2048, 2048, 16, 256},
    {DTYPE_BF16, 150, 416, 1200, 2, 400},   {DTYPE_BF16, 2100, 256, 2048, 4, 96},
    {DTYPE_BF16, 1030, 1152, 576, 9, 1100}, {DTYPE_BF16, 385, 3072, 768, 6, 192},
};

static device_t *gpu;

static int open_gpu(void **state) {
    (void)state;
    char why[WHY_LEN] = "built without CUDA";
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || ops->count(why, sizeof why) == 0) {
        printf("# no GPU: %s\n", why);
        return 0;
    }
    return device_open("cuda", &gpu) == STATUS_OK ? 0 : -1;
}

static int close_gpu(void **state) {
    (void)state;
    if (gpu) gpu->ops->close(gpu);
    return 0;
}

/* Returns 1 if it failed. */
static int check_plan(case_t *c, const variant_t *v, const variant_t *plan) {
    const problem_t *p = &c->problem;
    binding_t binding;
    check_t check;
    status_t st = binding_open(c, plan, gpu, 0, &binding);
    if (st == STATUS_OK) {
        st = binding_check(&binding, &check);
        if (st == STATUS_OK && check.ok && v->baseline) c->baseline_error = check.error;
        binding_close(&binding);
    }
    if (st == STATUS_OK && check.ok) return 0;
    printf("# FAILED %s/%s %s %s n=%d in=%d out=%d b=%d r=%d: %s\n", v->structure, v->name,
           plan == v ? "" : plan->name, dtype_name(p->dtype), (int)p->tokens, (int)p->in_features,
           (int)p->out_features, (int)p->blocks, (int)p->rank,
           st == STATUS_OK ? check.reason : last_error());
    return 1;
}

/* Every plan of the variant. Returns how many failed, and adds to *checked. */
static int check_one(case_t *c, const variant_t *v, int *checked) {
    char why[WHY_LEN];
    const variant_t *plans[MAX_PLANS];
    const int count = variant_plans(v, &c->problem, &gpu->info, plans, why, sizeof why);
    int failures = 0;
    if (count == 0)
        printf("# unsupported %s/%s n=%d: %s\n", v->structure, v->name, (int)c->problem.tokens,
               why);
    for (int i = 0; i < count; i++) failures += check_plan(c, v, plans[i]);
    *checked += count;
    return failures;
}

static void check_structure(const char *name) {
    if (!gpu) skip();
    int failures = 0, checked = 0;
    for (size_t i = 0; i < 2 * sizeof SHAPES / sizeof *SHAPES; i++) {
        problem_t problem = SHAPES[i / 2];
        problem.dtype = i % 2 ? DTYPE_FP16 : DTYPE_BF16;
        char why[WHY_LEN];
        if (!structure_find(name)->validate(&problem, why, sizeof why)) continue;
        case_t c;
        assert_int_equal(case_open(structure_find(name), &problem, &c), STATUS_OK);
        for (int v = 0; v < variant_count(); v++) {
            const variant_t *variant = variant_at(v);
            if (variant->device != DEVICE_CUDA || strcmp(variant->structure, name)) continue;
            if (!(variant->dtypes & DTYPE_BIT(problem.dtype))) continue;
            failures += check_one(&c, variant, &checked);
        }
        case_close(&c);
    }
    printf("# %s: %d checked\n", name, checked);
    assert_int_equal(failures, 0);
    assert_true(checked > 0);
}

static void test_dense(void **state) {
    (void)state;
    check_structure("dense");
}

static void test_lowrank(void **state) {
    (void)state;
    check_structure("lowrank");
}

static void test_monarch(void **state) {
    (void)state;
    check_structure("monarch");
}

static void test_blast(void **state) {
    (void)state;
    check_structure("blast");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_lowrank),
        cmocka_unit_test(test_monarch),
        cmocka_unit_test(test_blast),
    };
    if (registry_check() != STATUS_OK) return 1;
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
