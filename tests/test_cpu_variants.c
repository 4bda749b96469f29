/* Every CPU variant against its structure's fp64 reference: all rows, ragged shapes, guard bands.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/registry.h"
#include "harness/values.h"
#include "kernels/cpu_team.h"

/* cmocka has a fail() of its own: it comes after ours, and after what it needs itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { GUARD = 64 }; /* floats of NaN around output and workspace */

typedef struct {
    int64_t in, out, blocks, rank;
} shape_t;

static const shape_t SHAPES[] = {
    {64, 96, 4, 32}, {48, 688, 16, 48}, {9, 15, 3, 9},     {40, 24, 1, 17},    {12, 12, 12, 12},
    {7, 13, 1, 1},   {768, 96, 6, 192}, {96, 768, 4, 192}, {1024, 64, 2, 512}, {34, 58, 2, 6},
};
static const int64_t TOKENS[] = {1, 5, 17, 197};

static device_t *device;

static int open_device(void **state) {
    (void)state;
    if (registry_check() != STATUS_OK) return -1;
    return device_open("cpu", &device) == STATUS_OK ? 0 : -1;
}

static int close_device(void **state) {
    (void)state;
    device->ops->close(device);
    return 0;
}

typedef struct {
    const structure_t *structure;
    problem_t problem;
    int len; /* tensors, the output last */
    tensor_t tensors[MAX_TENSORS];
    float *values[MAX_TENSORS];
    double *reference; /* [tokens][out], order (k, j) */
} data_t;

static void data_open(const structure_t *structure, const problem_t *problem, data_t *d) {
    const float *in[MAX_TENSORS] = {0};
    *d = (data_t){.structure = structure, .problem = *problem};
    d->len = structure->tensors(problem, d->tensors);
    for (int i = 0; i + 1 < d->len; i++) {
        const int64_t count = tensor_count(&d->tensors[i]);
        d->values[i] = malloc((size_t)count * sizeof(float));
        float *bits = malloc((size_t)count * sizeof(float));
        assert_non_null(d->values[i]);
        assert_non_null(bits);
        random_values(DTYPE_FP32, 77 + (uint64_t)i, count, d->values[i], bits);
        free(bits);
        in[i] = d->values[i];
    }
    const int64_t rows = problem_rows(problem);
    d->reference = malloc((size_t)(rows * problem->out_features) * sizeof(double));
    assert_non_null(d->reference);
    for (int64_t row = 0; row < rows; row++)
        structure_reference(structure, problem, in, row,
                            d->reference + row * problem->out_features);
}

static void data_close(data_t *d) {
    for (int i = 0; i < d->len; i++) free(d->values[i]);
    free(d->reference);
}

/* Device memory of `count` floats between guard bands, all NaN; returns where the floats start. */
static float *guarded(int64_t count) {
    void *memory = NULL;
    const size_t bytes = (size_t)(count + 2 * GUARD) * sizeof(float);
    assert_int_equal(device->ops->alloc(device, bytes, &memory), STATUS_OK);
    assert_int_equal(device->ops->fill(device, memory, 0xFF, bytes), STATUS_OK);
    return (float *)memory + GUARD;
}

static bool guards_intact(const float *at, int64_t count) {
    for (int i = 0; i < GUARD; i++)
        if (!isnan(at[-1 - i]) || !isnan(at[count + i])) return false;
    return true;
}

static void release(float *at) {
    device->ops->free(device, at - GUARD);
}

/* Largest error of a row against the rows' mean norm (a row that cancels says little), NAN if
 * anything is NaN; undoes the variant's output order. */
static double worst_row(const data_t *d, const variant_t *variant, const float *y) {
    const problem_t *p = &d->problem;
    const int64_t b = p->blocks > 0 ? p->blocks : 1, q = p->out_features / b;
    double worst = 0, norm = 0;
    for (int64_t row = 0; row < problem_rows(p); row++) {
        double difference = 0;
        for (int64_t k = 0; k < b; k++)
            for (int64_t j = 0; j < q; j++) {
                const int64_t at = variant->output_order == ORDER_JK ? j * b + k : k * q + j;
                const double want = d->reference[row * p->out_features + k * q + j],
                             got = (double)y[row * p->out_features + at];
                difference += (got - want) * (got - want);
                norm += want * want;
            }
        if (isnan(difference)) return NAN;
        worst = fmax(worst, difference);
    }
    return sqrt(worst / (norm / (double)problem_rows(p)));
}

/* A weight as the variant wants it; writes exactly the count that pack() announces. */
static float *packed(const variant_t *variant, const data_t *d, int i) {
    int64_t count = tensor_count(&d->tensors[i]);
    const bool packs = variant->pack && d->tensors[i].role == TENSOR_WEIGHT;
    if (packs) count = variant->pack(&d->problem, i, d->values[i], NULL);
    float *to = guarded(count);
    if (packs)
        assert_int_equal(variant->pack(&d->problem, i, d->values[i], to), count);
    else
        memcpy(to, d->values[i], (size_t)count * sizeof(float));
    assert_true(guards_intact(to, count));
    for (int64_t j = 0; j < count; j++) assert_false(isnan(to[j]));
    return to;
}

static void check_variant(const variant_t *variant, const data_t *d) {
    const problem_t *p = &d->problem;
    const int64_t outputs = problem_rows(p) * p->out_features;
    const size_t bytes = variant->workspace ? variant->workspace(p, &device->info) : 0;
    const int64_t scratch = (int64_t)(bytes / sizeof(float));
    float *at[MAX_TENSORS] = {0}, *workspace = guarded(scratch);
    void *tensors[MAX_TENSORS];
    assert_int_equal(bytes % sizeof(float), 0);
    for (int i = 0; i < d->len; i++) {
        at[i] = i + 1 < d->len ? packed(variant, d, i) : guarded(outputs);
        tensors[i] = at[i];
    }
    for (int launch = 0; launch < 2; launch++) { /* the second starts from a used workspace */
        for (int64_t i = 0; i < outputs; i++) at[d->len - 1][i] = NAN;
        assert_int_equal(variant->launch(p, tensors, workspace, NULL), STATUS_OK);
        const double error = worst_row(d, variant, at[d->len - 1]);
        const int64_t products = p->in_features + p->rank * (p->blocks + 1) + p->context;
        const double tolerance = 4 * unit_roundoff(DTYPE_FP32) * sqrt((double)products);
        if (!(error <= tolerance))
            fail_msg("%s/%s tokens %d in %d out %d blocks %d rank %d: error %g beyond %g",
                     variant->structure, variant->name, (int)p->tokens, (int)p->in_features,
                     (int)p->out_features, (int)p->blocks, (int)p->rank, error, tolerance);
        assert_true(guards_intact(at[d->len - 1], outputs));
        assert_true(guards_intact(workspace, scratch));
    }
    for (int i = 0; i < d->len; i++) release(at[i]);
    release(workspace);
}

/* Returns how many variants were checked on this problem. */
static int check_problem(const structure_t *structure, const problem_t *problem) {
    char why[WHY_LEN];
    data_t d;
    int checked = 0;
    if (!structure->validate(problem, why, sizeof why)) return 0;
    data_open(structure, problem, &d);
    for (int v = 0; v < variant_count(); v++) {
        const variant_t *variant = variant_at(v);
        if (variant->device != DEVICE_CPU || strcmp(variant->structure, structure->name) != 0 ||
            !(variant->dtypes & DTYPE_BIT(DTYPE_FP32)))
            continue;
        if (variant->supports && !variant->supports(problem, &device->info, why, sizeof why))
            continue;
        check_variant(variant, &d);
        checked++;
    }
    data_close(&d);
    return checked;
}

static void test_structure(const char *name, int variants) {
    const structure_t *structure = structure_find(name);
    int checked = 0;
    assert_non_null(structure);
    const bool dense = !strcmp(name, "dense"), blocked = !dense && strcmp(name, "lowrank") != 0;
    for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++)
        for (size_t t = 0; t < sizeof TOKENS / sizeof *TOKENS; t++) {
            const problem_t problem = {DTYPE_FP32,
                                       TOKENS[t],
                                       SHAPES[s].in,
                                       SHAPES[s].out,
                                       blocked ? SHAPES[s].blocks : 0,
                                       dense ? 0 : SHAPES[s].rank};
            checked += check_problem(structure, &problem);
        }
    assert_int_equal(checked, variants * (int)(sizeof SHAPES / sizeof *SHAPES) *
                                  (int)(sizeof TOKENS / sizeof *TOKENS));
}

static void test_dense(void **state) {
    (void)state;
    test_structure("dense", 1);
}

static void test_lowrank(void **state) {
    (void)state;
    test_structure("lowrank", 1);
}

static void test_monarch(void **state) {
    (void)state;
    test_structure("monarch", 2);
}

static void test_blast(void **state) {
    (void)state;
    test_structure("blast", 2);
}

/* Ragged tiles, groups of heads, causal with and without a cache of keys before the queries. */
static void test_attention(void **state) {
    (void)state;
    static const problem_t problems[] = {
        {.tokens = 197, .in_features = 96, .batch = 2, .heads = 3, .kv_heads = 3, .context = 197},
        {.tokens = 200, .in_features = 72, .batch = 1, .heads = 1, .kv_heads = 1, .context = 333},
        {.tokens = 65, .in_features = 64, .batch = 1, .heads = 8, .kv_heads = 2, .context = 193},
        {.tokens = 1, .in_features = 128, .batch = 3, .heads = 4, .kv_heads = 1, .context = 500},
        {.tokens = 1, .in_features = 6, .batch = 1, .heads = 2, .kv_heads = 1, .context = 1},
        {.tokens = 385, .in_features = 64, .batch = 1, .heads = 1, .kv_heads = 1, .context = 385},
    };
    int checked = 0;
    for (size_t i = 0; i < 2 * sizeof problems / sizeof *problems; i++) {
        problem_t problem = problems[i / 2];
        problem.out_features = problem.in_features;
        problem.causal = i % 2;
        checked += check_problem(structure_find("attention"), &problem);
    }
    assert_int_equal(checked, 12);
}

/* Teams and caches that this machine does not have: other tilings of the same mathematics. */
static void test_other_teams(void **state) {
    (void)state;
    const device_info_t real = device->info;
    static const struct {
        int cores, private_bytes;
    } TEAMS[] = {{1, 4096}, {1, 1 << 20}, {3, 16384}, {5, 65536}};
    static const shape_t shapes[] = {{96, 768, 4, 192}, {48, 688, 16, 48}, {9, 15, 3, 9}};
    int checked = 0;
    for (size_t i = 0; i < sizeof TEAMS / sizeof *TEAMS; i++) {
        device->info.cores = TEAMS[i].cores;
        device->info.private_cache_bytes = TEAMS[i].private_bytes;
        cpu_team_set(&device->info);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int64_t tokens = 1; tokens <= 200; tokens = tokens * 6 + 1) {
                const problem_t problem = {DTYPE_FP32,    tokens,           shapes[s].in,
                                           shapes[s].out, shapes[s].blocks, shapes[s].rank};
                checked += check_problem(structure_find("monarch"), &problem);
                checked += check_problem(structure_find("blast"), &problem);
            }
    }
    device->info = real;
    cpu_team_set(&device->info);
    assert_int_equal(checked, 4 * 3 * 3 * 4);
}

/* The checker itself: an output that is wrong in one place, or in the other order, is seen. */
static void test_checker_sees_errors(void **state) {
    (void)state;
    const problem_t problem = {DTYPE_FP32, 3, 12, 12, 4, 4};
    const variant_t kj = {.output_order = ORDER_KJ}, jk = {.output_order = ORDER_JK};
    data_t d;
    float y[36];
    data_open(structure_find("monarch"), &problem, &d);
    for (int i = 0; i < 36; i++) y[i] = (float)d.reference[i];
    assert_true(worst_row(&d, &kj, y) < 1e-6);
    assert_true(worst_row(&d, &jk, y) > 1e-2);
    y[17] += 0.1F;
    assert_true(worst_row(&d, &kj, y) > 1e-3);
    y[17] = NAN;
    assert_true(isnan(worst_row(&d, &kj, y)));
    data_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_lowrank),
        cmocka_unit_test(test_monarch),
        cmocka_unit_test(test_blast),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_other_teams),
        cmocka_unit_test(test_checker_sees_errors),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
