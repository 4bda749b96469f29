/* Pointwise operators on the CPU against fp64, element by element. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include "kernels/pointwise/cpu_rows.h"

#include <cmocka.h> /* last: its fail() is a macro */

enum { WIDTH = 256, ROWS = 3, BATCH = 2, COUNT = WIDTH * ROWS * BATCH };

static float x[COUNT], y[COUNT], z[COUNT], out[2][COUNT];

static view_t view_of(float *data, int64_t rows, int64_t width) {
    return (view_t){.data = data, .rows = rows, .width = width, .stride = width, .given = true};
}

static void draw(float *values, int count, double spread) {
    for (int i = 0; i < count; i++) values[i] = (float)(spread * (2.0 * rand() / RAND_MAX - 1));
}

/* Shapes the call, gives the outputs their memory, and launches. */
static void launch(const char *name, call_t *call) {
    char why[WHY_LEN] = "";
    call->batch = BATCH;
    call->dtype = DTYPE_FP32;
    if (!pointwise_find(name)->shape(call, why, sizeof why)) fail_msg("%s: %s", name, why);
    for (int i = 0; i < call->outputs; i++) call->out[i].data = out[i];
    assert_int_equal(pointwise_kernel_find(name, DEVICE_CPU)->launch(call, NULL), STATUS_OK);
}

static void assert_near(const char *what, int i, double value, double expected, double scale) {
    if (!(fabs(value - expected) <= 3e-7 * scale))
        fail_msg("%s: element %d is %.9g, not %.9g", what, i, value, expected);
}

static void test_activations(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) x[i] = (float)i * 0.02F - 15; /* to 15 */
    draw(y, COUNT, 2);
    for (int form = 0; form < 4; form++) {
        static const char *const names[] = {"gelu", "gelu", "silu", "silu_gate"};
        call_t call = {.in = {view_of(x, ROWS, WIDTH)}, .outputs = 1, .number = {form == 1}};
        if (form == 3) call.in[1] = view_of(y, ROWS, WIDTH);
        launch(names[form], &call);
        for (int i = 0; i < COUNT; i++) {
            const double v = (double)x[i], u = sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
            const double sigmoid = 1 / (1 + exp(-v));
            const double expected[] = {0.5 * v * (1 + erf(v * M_SQRT1_2)), 0.5 * v * (1 + tanh(u)),
                                       v * sigmoid, v * sigmoid * (double)y[i]};
            assert_near(names[form], i, (double)out[0][i], expected[form],
                        1 + fabs(v) * (form == 3 ? 2 : 1));
        }
    }
}

static void test_exp(void **state) {
    (void)state;
    for (int i = 0; i < 4700; i++) {
        const float v = (float)i * 0.037F - 87;
        assert_near("exp", i, (double)fast_exp(v), exp((double)v), exp((double)v));
    }
    assert_true(fast_exp(-1e30F) < 1e-37F && fast_exp(-INFINITY) >= 0);
    assert_true(fast_exp(1e30F) > 1e38F && isfinite(fast_exp(INFINITY)));
}

/* The residual is added in fp32 before the norm, and comes out as the first output. */
static void test_norms(void **state) {
    (void)state;
    draw(x, COUNT, 3);
    draw(y, COUNT, 1);
    draw(z, COUNT, 1);
    for (int form = 0; form < 2; form++) {
        call_t call = {.in = {view_of(x, ROWS, WIDTH), view_of(y, ROWS, WIDTH)},
                       .weight = {view_of(z, 1, WIDTH), view_of(z + WIDTH, 1, WIDTH)},
                       .number = {0.01},
                       .outputs = 2};
        if (form == 0) call.weight[1].given = false;
        launch(form ? "layernorm" : "rmsnorm", &call);
        for (int r = 0; r < ROWS * BATCH; r++) {
            double mean = 0, squares = 0;
            for (int i = 0; i < WIDTH; i++) mean += (double)out[0][r * WIDTH + i] / WIDTH;
            if (form == 0) mean = 0;
            for (int i = 0; i < WIDTH; i++) {
                const double d = (double)out[0][r * WIDTH + i] - mean;
                squares += d * d / WIDTH;
            }
            for (int i = 0; i < WIDTH; i++) {
                const int at = r * WIDTH + i;
                assert_true(out[0][at] == x[at] + y[at]);
                const double bias = form ? (double)z[WIDTH + i] : 0;
                const double n = ((double)out[0][at] - mean) / sqrt(squares + 0.01);
                assert_near("norm", at, (double)out[1][at], n * (double)z[i] + bias, 4);
            }
        }
    }
}

/* One row of shift, scale and gate a sequence, taken from columns of a wider buffer. */
static void test_modulate(void **state) {
    (void)state;
    draw(x, COUNT, 3);
    draw(y, COUNT, 1);
    draw(z, COUNT, 1);
    const int64_t stride = 3 * WIDTH;
    view_t part[3];
    for (int k = 0; k < 3; k++) part[k] = (view_t){z + k * WIDTH, 1, WIDTH, stride, true, false};
    call_t call = {
        .in = {view_of(x, ROWS, WIDTH), part[0], part[1], view_of(y, ROWS, WIDTH), part[2]},
        .number = {1e-6},
        .outputs = 2};
    launch("modulate", &call);
    for (int r = 0; r < ROWS * BATCH; r++) {
        const float *of = z + r / ROWS * stride;
        double mean = 0, squares = 0;
        for (int i = 0; i < WIDTH; i++) mean += (double)out[0][r * WIDTH + i] / WIDTH;
        for (int i = 0; i < WIDTH; i++)
            squares += pow((double)out[0][r * WIDTH + i] - mean, 2) / WIDTH;
        for (int i = 0; i < WIDTH; i++) {
            const int at = r * WIDTH + i;
            const double sum = (double)x[at] + (double)of[2 * WIDTH + i] * (double)y[at];
            assert_near("sum", at, (double)out[0][at], sum, 4);
            const double n = ((double)out[0][at] - mean) / sqrt(squares + 1e-6);
            assert_near("modulate", at, (double)out[1][at],
                        n * (1 + (double)of[WIDTH + i]) + (double)of[i], 8);
        }
    }
}

/* Rotation keeps the length of each pair, and the first position turns nothing. */
static void test_rope(void **state) {
    (void)state;
    enum { HEAD = 64 };
    float frequencies[HEAD / 2];
    draw(x, COUNT, 1);
    draw(y, COUNT, 1);
    call_t call = {.in = {view_of(x, ROWS, WIDTH), view_of(y, ROWS, WIDTH)},
                   .weight = {view_of(frequencies, 1, HEAD / 2)},
                   .number = {500000, HEAD, 32, 1, 4, 8192},
                   .past = 100,
                   .outputs = 2};
    pointwise_find("rope")->table(&call, 0, frequencies);
    assert_float_equal(frequencies[0], 1, 0);
    for (int i = 0; i < HEAD / 2; i++) {
        const double f = pow(500000, -2.0 * i / HEAD), wavelength = 2 * M_PI / f;
        if (wavelength < 8192.0 / 4) assert_near("short", i, (double)frequencies[i], f, f);
        if (wavelength > 8192) assert_near("long", i, (double)frequencies[i], f / 32, f);
        assert_true((double)frequencies[i] <= f * 1.0001 && (double)frequencies[i] >= f / 32.001);
    }
    launch("rope", &call);
    for (int r = 0; r < ROWS * BATCH; r++)
        for (int i = 0; i < WIDTH; i++) {
            const int at = r * WIDTH + i, d = i % HEAD, half = HEAD / 2;
            const int pair = d < half ? at + half : at - half;
            const float angle = (float)(100 + r % ROWS) * frequencies[d % half];
            const double sign = d < half ? -1 : 1;
            assert_near("rope", at, (double)out[1][at],
                        (double)y[at] * cos((double)angle) +
                            sign * (double)y[pair] * sin((double)angle),
                        2);
        }
}

/* Cutting an image into patches and putting it together again gives the image. */
static void test_patches(void **state) {
    (void)state;
    enum { CHANNELS = 3, SIZE = 8, PATCH = 2, IMAGE = CHANNELS * SIZE * SIZE };
    float patches[BATCH * IMAGE], turned[BATCH * IMAGE];
    draw(x, COUNT, 1);
    call_t call = {.in = {view_of(x, 1, IMAGE)}, .number = {CHANNELS, SIZE, PATCH}, .outputs = 1};
    launch("patches", &call);
    assert_int_equal(call.out[0].rows, 16);
    assert_int_equal(call.out[0].width, 12);
    assert_true(out[0][12 + 4] == x[SIZE * SIZE + 2]); /* second patch, second channel */
    memcpy(patches, out[0], sizeof patches);
    /* [channels][patch][patch] to the order that unpatchify takes, [patch][patch][channels] */
    for (int i = 0; i < BATCH * 16; i++)
        for (int k = 0; k < CHANNELS; k++)
            for (int p = 0; p < PATCH * PATCH; p++)
                turned[i * 12 + p * CHANNELS + k] = patches[i * 12 + k * PATCH * PATCH + p];
    call_t back = {
        .in = {view_of(turned, 16, 12)}, .number = {CHANNELS, SIZE, PATCH}, .outputs = 1};
    launch("unpatchify", &back);
    assert_memory_equal(out[0], x, sizeof turned);
}

static void test_registry(void **state) {
    (void)state;
    int count = 0;
    for (; pointwise_at(count); count++) {
        const pointwise_t *op = pointwise_at(count);
        assert_ptr_equal(pointwise_find(op->name), op);
        assert_non_null(pointwise_kernel_find(op->name, DEVICE_CPU));
        assert_true(op->shape && op->flops && op->summary);
        if (count > 0) assert_true(strcmp(pointwise_at(count - 1)->name, op->name) < 0);
    }
    assert_true(count >= 14);
    assert_null(pointwise_find("gelo"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry),    cmocka_unit_test(test_exp),
        cmocka_unit_test(test_activations), cmocka_unit_test(test_norms),
        cmocka_unit_test(test_modulate),    cmocka_unit_test(test_rope),
        cmocka_unit_test(test_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
