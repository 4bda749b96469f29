/* Attention on slices of fused buffers, as a model passes them, and on scores that overflow without
 * a running maximum: every variant and plan of the CPU, and of the GPU where there is one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/device.h"
#include "harness/registry.h"
#include "harness/values.h"

/* cmocka has a fail() of its own: it comes after ours, and after what it needs itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Elements in front of and behind each row of Q and of K and V, and tokens of room in a cache. */
enum { PAD = 24, ROOM = 7 };

typedef struct {
    int64_t count[4];
    float *values[4]; /* of Q, K and V */
    void *bits[4];
    void *at[4]; /* on the device */
    void *workspace;
} buffers_t;

static const problem_t PROBLEMS[] = {
    {.tokens = 130, .in_features = 256, .batch = 2, .heads = 4, .kv_heads = 2, .context = 130},
    {.tokens = 197, .in_features = 384, .batch = 1, .heads = 3, .kv_heads = 3, .context = 300},
    {.tokens = 75, .in_features = 144, .batch = 3, .heads = 2, .kv_heads = 1, .context = 210},
    {.tokens = 1, .in_features = 256, .batch = 2, .heads = 2, .kv_heads = 1, .context = 700},
};

/* Where element i of the contiguous tensor stands in the strided one. */
static int64_t strided(const problem_t *p, int tensor, int64_t i) {
    const int64_t d = p->in_features / p->heads;
    const int64_t width = tensor == 0 || tensor == 3 ? p->in_features : p->kv_heads * d;
    const int64_t row = i / width, column = i % width;
    if (tensor == 0) return row * p->q_stride + PAD + column;
    if (tensor == 3) return i;
    return row / p->context * p->kv_batch_stride + row % p->context * p->kv_stride + PAD + column;
}

static void strides_of(problem_t *p) {
    p->q_stride = p->in_features + 2 * PAD;
    p->kv_stride = p->kv_heads * (p->in_features / p->heads) + 2 * PAD;
    p->kv_batch_stride = (p->context + ROOM) * p->kv_stride;
}

/* Draws the tensors; scale makes Q larger, which makes the weights of few keys all of the sum. */
static void draw(const problem_t *p, float scale, buffers_t *b) {
    tensor_t tensors[MAX_TENSORS];
    structure_find("attention")->tensors(p, tensors);
    for (int t = 0; t < 4; t++) {
        b->count[t] = tensor_count(&tensors[t]);
        b->values[t] = malloc((size_t)b->count[t] * sizeof(float));
        b->bits[t] = malloc((size_t)b->count[t] * dtype_size(p->dtype));
        assert_non_null(b->values[t]);
        assert_non_null(b->bits[t]);
        random_values(p->dtype, 7 + (uint64_t)t, b->count[t], b->values[t], b->bits[t]);
    }
    for (int64_t i = 0; i < b->count[0]; i++) { /* a power of two: exact in every dtype */
        b->values[0][i] *= scale;
        if (p->dtype == DTYPE_FP32) {
            ((float *)b->bits[0])[i] *= scale;
        } else if (scale != 1 && b->values[0][i] != 0) {
            uint16_t *const half = (uint16_t *)b->bits[0] + i;
            *half = (uint16_t)(*half + (ilogbf(scale) << (p->dtype == DTYPE_BF16 ? 7 : 10)));
            b->values[0][i] = (float)value_at(p->dtype, b->bits[0], i);
        }
    }
}

static void undraw(buffers_t *b) {
    for (int t = 0; t < 4; t++) {
        free(b->values[t]);
        free(b->bits[t]);
    }
}

/* Runs the plan on the drawn tensors, contiguous or as slices; the output goes to out. */
static void run_plan(device_t *device, const variant_t *plan, const problem_t *p, buffers_t *b,
                     char *out) {
    const size_t size = dtype_size(p->dtype);
    const size_t scratch = plan->workspace ? plan->workspace(p, &device->info) : 0;
    const int64_t padded[4] = {problem_rows(p) * p->q_stride, p->batch * p->kv_batch_stride,
                               p->batch * p->kv_batch_stride, b->count[3]};
    void *tensors[4], *workspace = NULL;
    if (scratch) {
        assert_int_equal(device->ops->alloc(device, scratch, &workspace), STATUS_OK);
        assert_int_equal(device->ops->fill(device, workspace, 0xFF, scratch), STATUS_OK);
    }
    for (int t = 0; t < 4; t++) {
        const int64_t count = p->q_stride ? padded[t] : b->count[t];
        char *host = malloc((size_t)count * size);
        assert_non_null(host);
        memset(host, 0xFF, (size_t)count * size);
        for (int64_t i = 0; t < 3 && i < b->count[t]; i++)
            memcpy(host + (size_t)(p->q_stride ? strided(p, t, i) : i) * size,
                   (char *)b->bits[t] + (size_t)i * size, size);
        assert_int_equal(device->ops->alloc(device, (size_t)count * size, &b->at[t]), STATUS_OK);
        assert_int_equal(device->ops->upload(device, b->at[t], host, (size_t)count * size),
                         STATUS_OK);
        tensors[t] = (char *)b->at[t] + (p->q_stride && t < 3 ? PAD * size : 0);
        free(host);
    }
    if (plan->launch(p, tensors, workspace, NULL) != STATUS_OK) fail_msg("%s", last_error());
    assert_int_equal(device->ops->download(device, out, b->at[3], (size_t)b->count[3] * size),
                     STATUS_OK);
    for (int t = 0; t < 4; t++) device->ops->free(device, b->at[t]);
    if (workspace) device->ops->free(device, workspace);
}

/* The same numbers in slices of larger buffers, which hold NaN elsewhere: the same result. */
static void check_slices(device_t *device, const variant_t *plan, const problem_t *p) {
    const size_t size = dtype_size(p->dtype);
    buffers_t b = {0};
    draw(p, 1, &b);
    char *whole = malloc((size_t)b.count[3] * size), *slices = malloc((size_t)b.count[3] * size);
    assert_non_null(whole);
    assert_non_null(slices);
    problem_t sliced = *p;
    strides_of(&sliced);
    run_plan(device, plan, p, &b, whole);
    run_plan(device, plan, &sliced, &b, slices);
    double worst = 0;
    for (int64_t i = 0; i < b.count[3]; i++)
        worst = fmax(worst, fabs(value_at(p->dtype, whole, i) - value_at(p->dtype, slices, i)));
    /* a library may choose another algorithm for other strides */
    if (!(worst <= 4 * unit_roundoff(p->dtype)) || isnan(value_at(p->dtype, slices, 0)))
        fail_msg("%s %s tokens %d: slices differ by %g", plan->name, dtype_name(p->dtype),
                 (int)p->tokens, worst);
    free(whole);
    free(slices);
    undraw(&b);
}

/* Scores up to about +-200 (fp16: the same), so that exp() of them overflows. */
static void check_large_scores(device_t *device, const variant_t *plan, const problem_t *p) {
    const structure_t *structure = structure_find("attention");
    buffers_t b = {0};
    draw(p, 64, &b);
    char *out = malloc((size_t)b.count[3] * dtype_size(p->dtype));
    double *want = malloc((size_t)p->out_features * sizeof *want), error = 0, norm = 0;
    assert_non_null(out);
    assert_non_null(want);
    run_plan(device, plan, p, &b, out);
    const float *const in[MAX_TENSORS] = {b.values[0], b.values[1], b.values[2]};
    for (int64_t row = 0; row < problem_rows(p); row++) {
        structure_reference(structure, p, in, row, want);
        for (int64_t j = 0; j < p->out_features; j++) {
            const double got = value_at(p->dtype, out, row * p->out_features + j);
            error += (got - want[j]) * (got - want[j]);
            norm += want[j] * want[j];
        }
    }
    /* Scores of 200 kept in 16 bits are off by up to 0.5. */
    const double limit = p->dtype == DTYPE_FP32 ? 1e-4 : plan->workspace ? 0.3 : 2e-2;
    if (!(sqrt(error / norm) <= limit))
        fail_msg("%s %s tokens %d: error %g with large scores", plan->name, dtype_name(p->dtype),
                 (int)p->tokens, sqrt(error / norm));
    free(out);
    free(want);
    undraw(&b);
}

static int check_device(device_t *device) {
    int checked = 0;
    char why[WHY_LEN];
    const variant_t *plans[MAX_PLANS];
    for (size_t i = 0; i < 2 * DTYPE_COUNT * (sizeof PROBLEMS / sizeof *PROBLEMS); i++) {
        problem_t p = PROBLEMS[i / DTYPE_COUNT / 2];
        p.out_features = p.in_features;
        p.causal = i / DTYPE_COUNT % 2;
        p.dtype = (dtype_t)(i % DTYPE_COUNT);
        for (int v = 0; v < variant_count(); v++) {
            const variant_t *variant = variant_at(v);
            if (variant->device != device->info.kind || strcmp(variant->structure, "attention"))
                continue;
            const int count = variant_plans(variant, &p, &device->info, plans, why, sizeof why);
            for (int j = 0; j < count; j++) {
                check_slices(device, plans[j], &p);
                check_large_scores(device, plans[j], &p);
                checked++;
            }
        }
    }
    return checked;
}

static void test_cpu(void **state) {
    (void)state;
    device_t *device;
    assert_int_equal(device_open("cpu", &device), STATUS_OK);
    assert_true(check_device(device) >= 8);
    device->ops->close(device);
}

static void test_gpu(void **state) {
    (void)state;
    char why[WHY_LEN] = "built without CUDA";
    device_t *device;
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || ops->count(why, sizeof why) == 0) {
        printf("# no GPU: %s\n", why);
        skip();
    }
    assert_int_equal(device_open("cuda", &device), STATUS_OK);
    printf("# %d plans and problems checked\n", check_device(device));
    device->ops->close(device);
}

/* Worked out by hand: one query that picks the second of two keys, and the mean of equal keys. */
static void test_reference(void **state) {
    (void)state;
    const problem_t p = {.tokens = 2,
                         .in_features = 2,
                         .out_features = 2,
                         .batch = 1,
                         .heads = 1,
                         .kv_heads = 1,
                         .context = 2,
                         .causal = true};
    const float q[] = {1, 0, 0, 1000}, k[] = {1, 0, 0, 1}, v[] = {3, 4, 5, 6};
    const float *const in[MAX_TENSORS] = {q, k, v};
    const structure_t *structure = structure_find("attention");
    double out[2];
    structure_reference(structure, &p, in, 0, out);
    assert_true(out[0] == 3 && out[1] == 4); /* it sees the first key alone */
    structure_reference(structure, &p, in, 1, out);
    assert_true(fabs(out[0] - 5) < 1e-12 && fabs(out[1] - 6) < 1e-12);
    assert_true(structure->flops(&p) == 4 * 2 * 3);
    problem_t all = p;
    all.causal = false;
    const float zero[] = {0, 0, 0, 0};
    const float *const same[MAX_TENSORS] = {zero, k, v};
    structure_reference(structure, &all, same, 0, out);
    assert_true(fabs(out[0] - 4) < 1e-12 && fabs(out[1] - 5) < 1e-12);
    assert_true(structure->flops(&all) == 4 * 2 * 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_gpu),
    };
    if (registry_check() != STATUS_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
