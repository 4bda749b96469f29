/* Pointwise operators on a GPU against their CPU kernels, on the same rounded inputs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/registry.h"
#include "harness/values.h"
#include "kernels/pointwise/pointwise.h"
#include "tests/assert_ok.h"

/* Elements of NaN around every buffer, and between rows that are slices. Aligned, as buffers are.
 */
enum { GUARD = 128, GAP = 24 };

/* Slots as bits. Inputs have rows x width, or one row of a sequence where `one_row` says so. In
 * place, each output is the input of its number. */
typedef struct {
    const char *op;
    int64_t batch, rows, width;
    unsigned inputs, one_row, weights;
    int outputs;
    double number[MAX_NUMBERS];
    int64_t past, k_width; /* of rope's second input; 0 is width */
    bool in_place, sliced;
} spec_t;

/* One view on both devices: host floats, and what they are rounded to. */
typedef struct {
    view_t view; /* data is NULL */
    int64_t count;
    float *values;
    char *bits; /* with the guards */
    void *memory;
    size_t size;
} buffer_t;

typedef struct {
    buffer_t in[MAX_VIEWS], weight[MAX_PARAMETERS], out[MAX_RESULTS];
} buffers_t;

static device_t *gpu; /* NULL where there is none */

static const spec_t SPECS[] = {
    {"add", 2, 3, 64, 3, 0, 0, 1, {0}, .in_place = true},
    {"add", 2, 5, 1152, 7, 4, 1, 1, {0}, .sliced = true},
    {"add", 2, 5, 7, 7, 4, 1, 1, {0}},
    {"append", 3, 1, 512, 1, 0, 0, 1, {0}, .past = 6},
    {"append", 3, 2, 1024, 3, 0, 0, 2, {0}, .past = 6},
    {"append", 2, 4, 10, 1, 0, 0, 1, {0}, .past = 3, .sliced = true},
    {"bias", 2, 13, 2304, 1, 0, 1, 1, {0}, .in_place = true},
    {"bias", 1, 3, 33, 1, 0, 1, 1, {0}},
    {"embedding", 2, 9, 1, 1, 0, 7, 1, {50, 768, 16, 2}, .past = 5},
    {"embedding", 1, 1, 1, 1, 0, 1, 1, {50, 4096}},
    {"embedding", 3, 2, 1, 1, 0, 3, 1, {50, 31, 9}, .past = 7},
    {"gelu", 2, 13, 3072, 1, 0, 1, 1, {0}, .in_place = true},
    {"gelu", 1, 2100, 2064, 1, 0, 1, 1, {1}, .in_place = true},
    {"gelu", 1, 3, 9, 1, 0, 0, 1, {1}},
    {"layernorm", 2, 3, 768, 3, 0, 7, 2, {1e-5}},
    {"layernorm", 1, 3001, 768, 3, 0, 7, 1, {1e-5}, .in_place = true}, /* several rows a block */
    {"layernorm", 2, 5000, 40, 3, 0, 7, 2, {1e-5}},                    /* a row is one warp's */
    {"layernorm", 2, 150, 1152, 1, 0, 3, 2, {1e-12}},
    {"layernorm", 1, 5, 1000, 3, 0, 3, 2, {1e-5}, .sliced = true},
    {"layernorm", 3, 100, 257, 3, 0, 7, 2, {1e-5}},
    {"layernorm", 1, 2, 5003, 3, 0, 7, 2, {1e-5}},
    {"modulate", 2, 130, 1152, 31, 22, 1, 2, {1e-6}},
    {"modulate", 2, 13, 32, 31, 22, 1, 2, {1e-6}, .sliced = true},
    {"modulate", 1, 3, 30, 7, 6, 0, 1, {1e-6}},
    {"modulate", 2, 3000, 128, 31, 2, 1, 2, {1e-6}}, /* a scale and a gate for each row */
    {"modulate", 3, 2000, 64, 31, 22, 1, 1, {1e-6}, .in_place = true}, /* several rows a block */
    {"patch_embedding", 2, 16, 768, 1, 0, 7, 1, {0}},
    {"patch_embedding", 1, 64, 1152, 1, 0, 3, 1, {0}},
    {"patches", 2, 1, 3 * 32 * 32, 1, 0, 0, 1, {3, 32, 16}},
    {"patches", 2, 1, 4 * 16 * 16, 1, 0, 0, 1, {4, 16, 2}},
    {"rmsnorm", 1, 1, 4096, 3, 0, 1, 2, {1e-6}, .in_place = true}, /* a decoded token */
    {"rmsnorm", 2, 350, 4096, 3, 0, 1, 2, {1e-6}},
    {"rmsnorm", 1, 300, 2048, 1, 0, 1, 1, {1e-5}},
    {"rmsnorm", 1, 2, 8000, 3, 0, 1, 2, {1e-5}},
    {"rmsnorm", 1, 2, 20000, 3, 0, 1, 2, {1e-5}},
    {"rmsnorm", 1, 300, 99, 3, 0, 1, 2, {1e-5}},
    {"rope", 2, 13, 4096, 3, 0, 1, 2, {10000, 128, 1, 1, 4, 8192}, .in_place = true},
    {"rope", 2, 1, 2048, 3, 0, 1, 2, {500000, 64, 32, 1, 4, 8192}, 1000, 512, .in_place = true},
    {"rope", 1, 5, 64, 3, 0, 1, 2, {10000, 16, 1, 1, 4, 8192}, 3, 32, .sliced = true},
    {"rope", 2, 5, 36, 3, 0, 1, 2, {10000, 6, 1, 1, 4, 8192}},
    {"silu", 2, 1, 1152, 1, 0, 1, 1, {0}},
    {"silu", 2, 3, 5, 1, 0, 0, 1, {0}},
    {"silu_gate", 2, 13, 8192, 3, 0, 0, 1, {0}, .in_place = true},
    {"silu_gate", 2, 3, 11, 3, 0, 0, 1, {0}},
    {"timestep", 3, 1, 1, 1, 0, 1, 1, {256}},
    {"unpatchify", 2, 64, 32, 1, 0, 1, 1, {8, 16, 2}},
};
enum { SPECS_LEN = sizeof SPECS / sizeof *SPECS };

/* ---- buffers ---- */

static void draw(buffer_t *b, const view_t *view, int64_t sequences, double spread, dtype_t dtype) {
    b->view = *view;
    b->size = view->whole ? 4 : dtype_size(dtype);
    b->count = sequences * view->rows * view->stride;
    b->values = malloc((size_t)b->count * sizeof *b->values);
    b->bits = malloc((size_t)(b->count + 2 * GUARD) * b->size);
    assert_true(b->values && b->bits);
    memset(b->bits, 0xFF, (size_t)(b->count + 2 * GUARD) * b->size);
    char *inner = b->bits + GUARD * b->size;
    for (int64_t i = 0; i < b->count; i++) {
        const double unit = 2.0 * rand() / RAND_MAX - 1;
        b->values[i] = i % view->stride < view->width ? (float)(spread * unit) : NAN;
        if (view->whole) ((int32_t *)(void *)b->values)[i] = (int32_t)((unit + 1) / 2.01 * spread);
    }
    if (view->whole) {
        memcpy(inner, b->values, (size_t)b->count * sizeof(int32_t));
        return;
    }
    round_values(dtype, b->count, b->values, inner);
    for (int64_t i = 0; i < b->count; i++) b->values[i] = (float)value_at(dtype, inner, i);
}

/* Not yet written: NaN everywhere. */
static void blank(buffer_t *b, const view_t *view, int64_t sequences, dtype_t dtype) {
    draw(b, view, sequences, 1, dtype);
    memset(b->bits, 0xFF, (size_t)(b->count + 2 * GUARD) * b->size);
    memset(b->values, 0xFF, (size_t)b->count * sizeof *b->values);
}

static void upload(buffer_t *b) {
    const size_t bytes = (size_t)(b->count + 2 * GUARD) * b->size;
    ASSERT_OK(gpu->ops->alloc(gpu, bytes, &b->memory));
    ASSERT_OK(gpu->ops->upload(gpu, b->memory, b->bits, bytes));
}

static void *inner_memory(const buffer_t *b) {
    return (char *)b->memory + GUARD * b->size;
}

static void release(buffer_t *b) {
    if (b->memory) gpu->ops->free(gpu, b->memory);
    free(b->values);
    free(b->bits);
}

/* ---- calls ---- */

/* The views of the inputs, and with shape() of all else. */
static void shape_call(const spec_t *s, dtype_t dtype, call_t *call) {
    const pointwise_t *op = pointwise_find(s->op);
    char why[WHY_LEN] = "";
    *call = (call_t){.dtype = dtype, .batch = s->batch, .past = s->past, .outputs = s->outputs};
    memcpy(call->number, s->number, sizeof call->number);
    for (int i = 0; i < MAX_VIEWS; i++) {
        if (!(s->inputs >> i & 1)) continue;
        const int64_t width = i == 1 && s->k_width ? s->k_width : s->width;
        call->in[i] = (view_t){.rows = s->one_row >> i & 1 ? 1 : s->rows,
                               .width = width,
                               .stride = width + (s->sliced ? GAP : 0),
                               .given = true,
                               .whole = !strcmp(s->op, "embedding") || !strcmp(s->op, "timestep")};
    }
    for (int i = 0; i < MAX_PARAMETERS; i++) call->weight[i].given = s->weights >> i & 1;
    if (!op->shape(call, why, sizeof why)) fail_msg("%s: %s", s->op, why);
}

/* Fills all buffers and points the calls of both devices at them. */
static void prepare(const spec_t *s, dtype_t dtype, buffers_t *b, call_t *on_cpu, call_t *on_gpu) {
    const pointwise_t *op = pointwise_find(s->op);
    shape_call(s, dtype, on_gpu);
    *b = (buffers_t){0};
    for (int i = 0; i < MAX_VIEWS; i++)
        if (on_gpu->in[i].given)
            draw(&b->in[i], &on_gpu->in[i], s->batch, on_gpu->in[i].whole ? 50 : 4, dtype);
    for (int i = 0; i < MAX_PARAMETERS; i++) {
        buffer_t *w = &b->weight[i];
        const bool computed = op->weights[i] && *op->weights[i] == '=';
        if (!on_gpu->weight[i].given) continue;
        draw(w, &on_gpu->weight[i], 1, 1, computed ? DTYPE_FP32 : dtype);
        if (!computed) continue;
        op->table(on_gpu, i, w->values);
        memcpy(w->bits + GUARD * w->size, w->values, (size_t)w->count * sizeof(float));
    }
    for (int i = 0; i < s->outputs; i++) blank(&b->out[i], &on_gpu->out[i], s->batch, dtype);
    *on_cpu = *on_gpu;
    on_cpu->dtype = DTYPE_FP32;
    for (int i = 0; i < MAX_VIEWS; i++) {
        if (!on_gpu->in[i].given) continue;
        upload(&b->in[i]);
        on_cpu->in[i].data = b->in[i].values;
        on_gpu->in[i].data = inner_memory(&b->in[i]);
    }
    for (int i = 0; i < MAX_PARAMETERS; i++) {
        if (!on_gpu->weight[i].given) continue;
        upload(&b->weight[i]);
        on_cpu->weight[i].data = b->weight[i].values;
        on_gpu->weight[i].data = inner_memory(&b->weight[i]);
    }
    for (int i = 0; i < s->outputs; i++) {
        upload(&b->out[i]);
        on_cpu->out[i].data = b->out[i].values;
        on_gpu->out[i].data = inner_memory(s->in_place ? &b->in[i] : &b->out[i]);
    }
}

typedef struct {
    const pointwise_kernel_t *kernel;
    const call_t *call;
} launch_t;

static status_t launch(void *arg, int index, stream_t stream) {
    const launch_t *x = arg;
    (void)index;
    return x->kernel->launch(x->call, stream);
}

/* ---- checks ---- */

static void check_guards(const char *what, const buffer_t *b, const char *bits) {
    const size_t guard = GUARD * b->size;
    for (size_t i = 0; i < guard; i++)
        if (bits[i] != (char)0xFF || bits[guard + (size_t)b->count * b->size + i] != (char)0xFF)
            fail_msg("%s: written outside of its output", what);
}

/* Results are the CPU's, rounded once; fast exponentials differ by a few units of fp32. */
static void check_output(const char *what, dtype_t dtype, const buffer_t *expected,
                         const buffer_t *where) {
    const size_t bytes = (size_t)(where->count + 2 * GUARD) * where->size;
    const double rounding = 1.001 * unit_roundoff(dtype);
    char *bits = malloc(bytes);
    assert_non_null(bits);
    ASSERT_OK(gpu->ops->download(gpu, bits, where->memory, bytes));
    check_guards(what, where, bits);
    assert_int_equal(expected->count, where->count);
    for (int64_t i = 0; i < expected->count; i++) {
        const double value = value_at(dtype, bits + GUARD * where->size, i);
        const double right = (double)expected->values[i];
        if (isnan(right) && isnan(value)) continue;
        if (!(fabs(value - right) <= rounding * fabs(right) + 1e-5 * (1 + fabs(right))))
            fail_msg("%s: element %lld is %.9g, not %.9g", what, (long long)i, value, right);
    }
    free(bits);
}

static void check_spec(const spec_t *s, dtype_t dtype) {
    buffers_t b;
    call_t on_cpu, on_gpu;
    char what[96];
    prepare(s, dtype, &b, &on_cpu, &on_gpu);
    const launch_t work = {pointwise_kernel_find(s->op, DEVICE_CUDA), &on_gpu};
    assert_non_null(work.kernel);
    assert_true(work.kernel->dtypes >> dtype & 1);
    ASSERT_OK(pointwise_kernel_find(s->op, DEVICE_CPU)->launch(&on_cpu, NULL));
    ASSERT_OK(gpu->ops->run(gpu, launch, (void *)&work, 0));
    for (int i = 0; i < s->outputs; i++) {
        snprintf(what, sizeof what, "%s %s, %lld x %lld x %lld, output %d", s->op,
                 dtype_name(dtype), (long long)s->batch, (long long)s->rows, (long long)s->width,
                 i);
        check_output(what, dtype, &b.out[i], s->in_place ? &b.in[i] : &b.out[i]);
    }
    for (int i = 0; i < MAX_VIEWS; i++) release(&b.in[i]);
    for (int i = 0; i < MAX_PARAMETERS; i++) release(&b.weight[i]);
    for (int i = 0; i < MAX_RESULTS; i++) release(&b.out[i]);
}

/* Skips the test where there is no GPU. */
static void need_gpu(void) {
    char why[WHY_LEN] = "this blroof was built without CUDA";
    if (gpu) return;
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (ops) ops->count(why, sizeof why);
    print_message("# no GPU: %s\n", why);
    skip();
}

static void test_operator(void **state) {
    const pointwise_t *op = *state;
    int checked = 0;
    need_gpu();
    srand(1);
    for (int i = 0; i < SPECS_LEN; i++) {
        if (strcmp(SPECS[i].op, op->name) != 0) continue;
        check_spec(&SPECS[i], DTYPE_BF16);
        check_spec(&SPECS[i], DTYPE_FP16);
        checked++;
    }
    assert_true(checked > 0);
}

/* A GPU draws the very bits that the host draws. */
static void test_draw(void **state) {
    (void)state;
    enum { COUNT = 100003 };
    need_gpu();
    for (int d = 0; d < DTYPE_COUNT; d++) {
        const draw_t draw = {(dtype_t)d, 77, COUNT, 1, 0.1F};
        const size_t bytes = COUNT * dtype_size((dtype_t)d);
        void *memory, *ours = malloc(bytes), *hosts = malloc(bytes);
        assert_true(ours && hosts);
        ASSERT_OK(gpu->ops->alloc(gpu, bytes, &memory));
        ASSERT_OK(gpu->ops->draw(gpu, &draw, memory));
        ASSERT_OK(gpu->ops->download(gpu, ours, memory, bytes));
        draw_values(&draw, hosts);
        assert_memory_equal(ours, hosts, bytes);
        gpu->ops->free(gpu, memory);
        free(ours);
        free(hosts);
    }
}

static int open_gpu(void **state) {
    (void)state;
    char why[WHY_LEN];
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || ops->count(why, sizeof why) == 0) return 0;
    return device_open("cuda:0", &gpu) == STATUS_OK ? 0 : -1;
}

static int close_gpu(void **state) {
    (void)state;
    if (gpu) gpu->ops->close(gpu);
    return 0;
}

int main(void) {
    enum { MOST = 64 };
    struct CMUnitTest tests[MOST + 1] = {cmocka_unit_test(test_draw)};
    size_t len = 1;
    for (int i = 0; i < MOST && pointwise_at(i); i++)
        tests[len++] = (struct CMUnitTest){.name = pointwise_at(i)->name,
                                           .test_func = test_operator,
                                           .initial_state = (void *)pointwise_at(i)};
    return _cmocka_run_group_tests("pointwise", tests, len, open_gpu, close_gpu);
}
