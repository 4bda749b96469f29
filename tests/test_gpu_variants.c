/* Every GPU variant against fp64 on shapes that try its edges. Skipped, visibly, where there is no
 * GPU. For slow tools around it: an argument names the tests (test_monarch, with wildcards), and
 * the environment the one variant (VARIANT), how many shapes (SHAPES) and how many launches for the
 * same bits (REPEATS). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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
    {DTYPE_BF16, 785, 3072, 768, 4, 128},   {DTYPE_BF16, 130, 512, 2048, 8, 256},
    {DTYPE_BF16, 33, 768, 2304, 4, 192},    {DTYPE_BF16, 1, 1152, 6912, 9, 256},
    {DTYPE_BF16, 16, 4096, 1376, 16, 512},  {DTYPE_BF16, 3, 1376, 2048, 16, 768},
    {DTYPE_BF16, 32, 2048, 2048, 32, 256},  {DTYPE_BF16, 64, 2064, 1032, 8, 200},
    {DTYPE_BF16, 9, 1001, 4095, 7, 77},     {DTYPE_BF16, 260, 2048, 2048, 16, 256},
    {DTYPE_BF16, 150, 416, 1200, 2, 400},   {DTYPE_BF16, 2100, 256, 2048, 4, 96},
    {DTYPE_BF16, 1030, 1152, 576, 9, 1100}, {DTYPE_BF16, 385, 3072, 768, 6, 192},
    {DTYPE_BF16, 130, 3072, 720, 3, 120},   {DTYPE_BF16, 200, 768, 768, 4, 40},
    {DTYPE_BF16, 150, 768, 2304, 6, 192},   {DTYPE_BF16, 7700, 144, 1728, 9, 60},
    {DTYPE_BF16, 450, 720, 3024, 6, 150},
};

/* Head dims of every kind of tile and between them; ragged queries and keys, groups of heads,
 * caches of keys before the queries; odd dims for the portable path. */
static const problem_t ATTENTION[] = {
    {.tokens = 333, .in_features = 256, .batch = 2, .heads = 2, .kv_heads = 1, .context = 333},
    {.tokens = 1024, .in_features = 512, .batch = 1, .heads = 4, .kv_heads = 4, .context = 1024},
    {.tokens = 65, .in_features = 384, .batch = 1, .heads = 3, .kv_heads = 3, .context = 1000},
    {.tokens = 1, .in_features = 1024, .batch = 2, .heads = 8, .kv_heads = 2, .context = 777},
    {.tokens = 16, .in_features = 512, .batch = 1, .heads = 8, .kv_heads = 8, .context = 130},
    {.tokens = 197, .in_features = 768, .batch = 3, .heads = 12, .kv_heads = 12, .context = 197},
    {.tokens = 130, .in_features = 512, .batch = 1, .heads = 8, .kv_heads = 2, .context = 400},
    {.tokens = 513, .in_features = 128, .batch = 1, .heads = 2, .kv_heads = 1, .context = 600},
    {.tokens = 500, .in_features = 144, .batch = 2, .heads = 2, .kv_heads = 2, .context = 500},
    {.tokens = 193, .in_features = 288, .batch = 1, .heads = 4, .kv_heads = 2, .context = 1217},
    {.tokens = 3, .in_features = 144, .batch = 1, .heads = 2, .kv_heads = 1, .context = 4000},
    {.tokens = 100, .in_features = 192, .batch = 1, .heads = 2, .kv_heads = 2, .context = 177},
    {.tokens = 77, .in_features = 160, .batch = 1, .heads = 2, .kv_heads = 1, .context = 78},
    {.tokens = 50, .in_features = 32, .batch = 2, .heads = 2, .kv_heads = 2, .context = 50},
    {.tokens = 66, .in_features = 21, .batch = 1, .heads = 3, .kv_heads = 1, .context = 200},
    {.tokens = 40, .in_features = 400, .batch = 1, .heads = 2, .kv_heads = 2, .context = 90},
    {.tokens = 1, .in_features = 64, .batch = 1, .heads = 1, .kv_heads = 1, .context = 1},
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

static int environment(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

/* Whether every launch gives the bits of the first one. */
static bool repeatable(binding_t *b) {
    const int y = b->c->tensors_len - 1;
    const size_t bytes = b->bytes[y] + GUARD_BYTES; /* guard, output */
    char *const first = malloc(bytes), *const again = malloc(bytes);
    const int repeats = environment("REPEATS", 100); /* must give the same bits */
    bool alike = first && again;
    for (int i = 0; alike && i < repeats; i++)
        alike = gpu->ops->fill(gpu, b->base[y], 0xFF, bytes) == STATUS_OK &&
                gpu->ops->run(gpu, binding_launch, b, 0) == STATUS_OK &&
                gpu->ops->download(gpu, i ? again : first, b->base[y], bytes) == STATUS_OK &&
                (i == 0 || !memcmp(first, again, bytes));
    free(first);
    free(again);
    return alike;
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
        if (st == STATUS_OK && check.ok && !repeatable(&binding)) {
            snprintf(check.reason, sizeof check.reason, "launches differ in their bits");
            check.ok = false;
        }
        binding_close(&binding);
    }
    if (st == STATUS_OK && check.ok) return 0;
    printf("# FAILED %s/%s %s %s n=%d in=%d out=%d b=%d r=%d h=%d/%d context=%d%s: %s\n",
           v->structure, v->name, plan == v ? "" : plan->name, dtype_name(p->dtype), (int)p->tokens,
           (int)p->in_features, (int)p->out_features, (int)p->blocks, (int)p->rank, (int)p->heads,
           (int)p->kv_heads, (int)p->context, p->causal ? " causal" : "",
           st == STATUS_OK ? check.reason : last_error());
    return 1;
}

/* Every plan of the variant. Returns how many failed, and adds to *checked. */
static int check_one(case_t *c, const variant_t *v, int *checked) {
    char why[WHY_LEN];
    const char *const only = getenv("PLAN");
    const variant_t *plans[MAX_PLANS];
    const int count = variant_plans(v, &c->problem, &gpu->info, plans, why, sizeof why);
    int failures = 0;
    if (count == 0)
        printf("# unsupported %s/%s n=%d: %s\n", v->structure, v->name, (int)c->problem.tokens,
               why);
    for (int i = 0; i < count; i++) {
        if (only && strcmp(plans[i]->name, only)) continue;
        failures += check_plan(c, v, plans[i]);
        ++*checked;
    }
    return failures;
}

/* Every variant of the structure; the baseline comes first. Returns how many failed. */
static int check_problem(const char *name, const problem_t *problem, int *checked) {
    char why[WHY_LEN];
    const char *const only = getenv("VARIANT");
    int failures = 0;
    case_t c;
    if (!structure_find(name)->validate(problem, why, sizeof why)) return 0;
    assert_int_equal(case_open(structure_find(name), problem, &c), STATUS_OK);
    for (int v = 0; v < variant_count(); v++) {
        const variant_t *variant = variant_at(v);
        if (variant->device != DEVICE_CUDA || strcmp(variant->structure, name)) continue;
        if (!(variant->dtypes & DTYPE_BIT(problem->dtype))) continue;
        if (only && strcmp(variant->name, only)) continue;
        failures += check_one(&c, variant, checked);
    }
    case_close(&c);
    return failures;
}

static void check_structure(const char *name) {
    if (!gpu) skip();
    int failures = 0, checked = 0;
    const int all = sizeof SHAPES / sizeof *SHAPES, shapes = environment("SHAPES", all);
    for (int i = 0; i < 2 * (shapes < all ? shapes : all); i++) {
        problem_t problem = SHAPES[i / 2];
        problem.dtype = i % 2 ? DTYPE_FP16 : DTYPE_BF16;
        failures += check_problem(name, &problem, &checked);
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

/* Multiplies element [block][rank][column] of a weight by 2^(sign * (rank % 5)); in bf16. */
static void scale_ranks(uint16_t *bits, int64_t blocks, int64_t ranks, int64_t columns, int sign) {
    for (int64_t i = 0; i < blocks * ranks * columns; i++)
        if (bits[i] & 0x7fff)
            bits[i] = (uint16_t)(bits[i] + (sign * (int)(i / columns % ranks % 5)) * (1 << 7));
}

/* Ranks of very different size, which cancels in the result: V in fp8 needs a scale a rank. */
static void test_blast_fp8_ranks(void **state) {
    (void)state;
    if (!gpu) skip();
    static const problem_t problems[] = {{DTYPE_BF16, 200, 512, 640, 16, 200},
                                         {DTYPE_BF16, 130, 2048, 2048, 32, 96},
                                         {DTYPE_BF16, 700, 768, 768, 6, 192}};
    int failures = 0, checked = 0;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        const problem_t *p = &problems[i];
        case_t c;
        assert_int_equal(case_open(structure_find("blast"), p, &c), STATUS_OK);
        scale_ranks(c.bits[1], p->in_features, p->rank, 1, -1);
        scale_ranks(c.bits[3], p->blocks, p->rank, p->out_features / p->blocks, 1);
        for (int v = 0; v < variant_count(); v++) {
            const variant_t *variant = variant_at(v);
            if (!strcmp(variant->structure, "blast") && !strcmp(variant->name, "fused_fp8"))
                failures += check_one(&c, variant, &checked);
        }
        case_close(&c);
    }
    printf("# blast, ranks of different size: %d checked\n", checked);
    assert_int_equal(failures, 0);
}

static void test_attention(void **state) {
    (void)state;
    if (!gpu) skip();
    int failures = 0, checked = 0;
    for (size_t i = 0; i < 4 * sizeof ATTENTION / sizeof *ATTENTION; i++) {
        problem_t problem = ATTENTION[i / 4];
        problem.out_features = problem.in_features;
        problem.causal = i / 2 % 2;
        problem.dtype = i % 2 ? DTYPE_FP16 : DTYPE_BF16;
        failures += check_problem("attention", &problem, &checked);
    }
    printf("# attention: %d checked\n", checked);
    assert_int_equal(failures, 0);
    assert_true(checked > 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),           cmocka_unit_test(test_lowrank),
        cmocka_unit_test(test_monarch),         cmocka_unit_test(test_blast),
        cmocka_unit_test(test_blast_fp8_ranks), cmocka_unit_test(test_attention),
    };
    if (registry_check() != STATUS_OK) return 1;
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
