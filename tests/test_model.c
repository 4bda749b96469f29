/* Descriptions of models, good and bad, and what a pass of one is made of. */
#include "harness/layer_times.h"
#include "harness/model_account.h"
#include "harness/workload.h"
#include "results/csv_table.h"
#include "tests/model_fixture.h"
#include "tests/temp_file.h"

static device_t *device;

/* A prefill and decode model of one causal layer, whose lines the tests replace. */
#define HEAD                                                                                       \
    "phases prefill decode\ntokens 5\nsize width 8\nsize layers 3\n"                               \
    "factor g lowrank 4 blast 4/2\ninput ids token below=10\n"                                     \
    "x = embedding ids table=t vocab=10 width=width\n"
#define TAIL "output x\n"
#define LAYERS                                                                                     \
    "repeat layers\n  y = linear x width=width name=l.{}.first factor=g\n"                         \
    "  x = linear y width=width name=l.{}.second factor=g\nend\n"

/* ---- descriptions ---- */

static void test_values(void **state) {
    (void)state;
    model_t m;
    double value;
    temp_text(HEAD LAYERS TAIL);
    ASSERT_OK(model_load(temp_path, &m));
    static const struct {
        const char *text;
        double value;
    } good[] = {{"7", 7},           {"width", 8},         {"3*width", 24}, {"width/4+1", 3},
                {"width/4*3+2", 8}, {"1+2*layers+3", 10}, {"1e-5", 1e-5},  {"0", 0}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ASSERT_OK(model_value(&m, good[i].text, &value));
        assert_float_equal(value, good[i].value, 0);
    }
    static const char *const bad[] = {"", "wide", "3*", "3**2", "width/3", "4/0", "3-1", "+1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (model_value(&m, bad[i], &value) != STATUS_USAGE) fail_msg("'%s' has a value", bad[i]);
    model_free(&m);
}

static void test_blocks_are_written_out(void **state) {
    (void)state;
    model_t m;
    temp_text(HEAD LAYERS "repeat 2\n  x = linear x width=width name=l.{}.third.{-1}\nend\n"
                          "z = linear x width=3 name=last.{-1} as=head\noutput z\n");
    ASSERT_OK(model_load(temp_path, &m));
    assert_int_equal(m.statements_len, 1 + 2 * 3 + 2 + 1);
    assert_string_equal(statement_argument(&m.statements[3], "name"), "l.1.first");
    assert_string_equal(m.statements[3].label, "first");
    assert_int_equal(m.statements[3].layer, 1);
    assert_string_equal(statement_argument(&m.statements[8], "name"), "l.4.third.3");
    assert_string_equal(statement_argument(&m.statements[9], "name"), "last.4");
    assert_string_equal(m.statements[9].label, "head");
    assert_null(statement_argument(&m.statements[9], "factor"));
    model_free(&m);
}

/* What a description says itself goes before what its base says. */
static void test_base(void **state) {
    (void)state;
    model_t m, base;
    temp_text("base gpt2s\nsize layers 2\ntokens 7\nfactor replaced monarch 96/2\n"
              "use c_fc monarch/fused 1..1\nuse c_fc lowrank\n");
    ASSERT_OK(model_load("gpt2s", &base));
    ASSERT_OK(model_load(temp_path, &m));
    assert_int_equal(m.tokens, 7);
    assert_int_equal(base.tokens, 384);
    assert_int_equal(base.statements_len - m.statements_len, 10 * (base.statements_len - 2) / 12);
    assert_int_equal(model_factor(&m, "replaced", "monarch")->rank, 96);
    assert_int_equal(model_factor(&m, "replaced", "monarch")->blocks, 2);
    assert_int_equal(model_factor(&m, "replaced", "lowrank")->rank, 192);
    assert_null(model_factor(&m, "replaced", "dense"));
    assert_string_equal(model_use(&m, "c_fc", 0)->structure, "lowrank");
    assert_string_equal(model_use(&m, "c_fc", 1)->variant, "fused");
    assert_null(model_use(&m, "c_attn", 1));
    assert_true(model_takes_tokens(&m));
    model_free(&m);
    model_free(&base);
}

static void load_one(void *ctx, const char *name) {
    model_t m;
    ++*(int *)ctx;
    ASSERT_OK(model_load(name, &m));
    assert_string_equal(m.name, name);
    model_free(&m);
}

static void test_every_model_loads(void **state) {
    (void)state;
    int loaded = 0;
    ASSERT_OK(model_names(load_one, &loaded));
    assert_int_equal(loaded, 6);
    model_t m;
    assert_int_equal(model_load("gpt3", &m), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "unknown model \"gpt3\": expected one of bert_base"));
}

static bool in_workload(const workload_t *w, const char *model, const step_t *step) {
    const problem_t *p = &step->problem;
    const size_t len = strlen(model);
    for (int i = 0; i < w->count; i++) {
        const workload_entry_t *e = &w->entries[i];
        if (!strncmp(e->layer, model, len) && e->layer[len] == '/' &&
            e->structure == step->structure && e->problem.in_features == p->in_features &&
            e->problem.out_features == p->out_features && e->problem.rank == p->rank &&
            e->problem.blocks == p->blocks && e->problem.tokens == p->tokens)
            return true;
    }
    return false;
}

/* At its full size every description has shapes in every phase and structure, and replaces layers
 * as the paper does (BERT is not in it). */
static void test_full_sizes(void **state) {
    (void)state;
    static const struct {
        const char *model;
        int replaced; /* layers of a pass */
    } models[] = {{"llama7b", 32 * 7}, {"llama1b", 16 * 5}, {"gpt2s", 12 * 3},
                  {"vit_b16", 12 * 3}, {"dit_xl2", 28 * 3}, {"bert_base", 12 * 3}};
    workload_t paper;
    ASSERT_OK(workload_load("paper_layers", NULL, &paper));
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        model_t m;
        ASSERT_OK(model_load(models[i].model, &m));
        for (int p = 0; p < PHASE_COUNT; p++)
            for (int f = 0; f < m.factors_len; f++) {
                network_t n;
                int replaced = 0;
                if (!(m.phases & 1u << p)) continue;
                const network_options_t options = {.model = &m,
                                                   .device = device,
                                                   .phase = (phase_t)p,
                                                   .batch = 1,
                                                   .tokens = m.tokens,
                                                   .structure = m.factors[f].structure};
                ASSERT_OK(network_plan(&options, &n));
                for (int s = 0; s < n.steps_len; s++) {
                    const step_t *step = &n.steps[s];
                    if (step->op || strcmp(step->structure->name, options.structure)) continue;
                    replaced++;
                    if (p != PHASE_DECODE && strcmp(m.name, "bert_base") &&
                        !in_workload(&paper, m.name, step))
                        fail_msg("%s: %s/%s is not of the paper", m.name, step->statement->label,
                                 options.structure);
                }
                assert_int_equal(replaced, models[i].replaced);
                network_close(&n);
            }
        model_free(&m);
    }
    workload_free(&paper);
}

typedef struct {
    const char *name, *text, *message;
} bad_t;

static const bad_t bad_models[] = {
    {"no phases", "tokens 1\n", "the description has no phases line"},
    {"no output", HEAD LAYERS, "the description has no output line"},
    {"unknown phase", "phases prefil\n", ":1: no phase 'prefil'"},
    {"size of nothing", "size a b\n", ":1: 'b' in 'b' is no number and no size"},
    {"size of 0", "size a 0\n", ":1: '0' is 0: expected a whole number"},
    {"size of a half", "size a 1.5\n", "expected a whole number"},
    {"bad factor", "factor g lowrank\n", ":1: expected: factor GROUP STRUCTURE"},
    {"bad range", "use a dense 3..1\n", ":1: '3..1' is no range of layers"},
    {"use of nothing", HEAD LAYERS TAIL "use third dense\n", "no linear layer of that name"},
    {"bad input", "input a row below=3\n", ":1: expected: input NAME token|sequence"},
    {"no such operator", HEAD "x = lineer x\n", ":8: no operator 'lineer'"},
    {"no equals", HEAD "linear x\n", ":8: 'linear': expected BUFFER = OPERATOR"},
    {"too many outputs", HEAD "a b c = rope x x\n", ":8: more than 2 outputs"},
    {"key twice", HEAD "y = linear x width=3 width=4\n", ":8: width is there twice"},
    {"no key", HEAD "y = linear x =3\n", ":8: '=3' is no argument"},
    {"bad braces", HEAD "y = linear x name={1}\n", ":8: '{1}': expected {} or {-1}"},
    {"open block", HEAD "repeat 2\nx = silu x\n", ":9: the block has no end"},
    {"end of nothing", HEAD "end\n", ":8: no block is open here"},
    {"block in a block", HEAD "repeat 2\nrepeat 2\n", ":9: a block cannot hold another one"},
    {"too many layers", HEAD "repeat 5000\n", ":8: '5000' is 5000: expected"},
    {"empty block", HEAD "repeat 2\nend\n", ":9: the block is empty"},
    {"base and operators", "base gpt2s\nx = silu x\n", ":2: a description with a base has no"},
    {"unknown base", "base gpt3\n", "unknown model \"gpt3\""},
};
enum { BAD_MODELS = sizeof bad_models / sizeof *bad_models };

static void test_bad_model(void **state) {
    const bad_t *bad = *state;
    model_t m;
    temp_text(bad->text);
    assert_int_equal(model_load(temp_path, &m), STATUS_USAGE);
    if (!strstr(last_error(), bad->message))
        fail_msg("\"%s\" lacks \"%s\"", last_error(), bad->message);
    assert_null(m.statements);
}

/* ---- shapes ---- */

static status_t plan_phase(const char *text, phase_t phase, network_t *n, model_t *m) {
    temp_text(text);
    ASSERT_OK(model_load(temp_path, m));
    const network_options_t options = {.model = m,
                                       .device = device,
                                       .dtype = DTYPE_FP32,
                                       .phase = phase,
                                       .batch = 2,
                                       .tokens = m->tokens,
                                       .structure = "mixed"};
    return network_plan(&options, n);
}

static status_t plan_text(const char *text, network_t *n, model_t *m) {
    return plan_phase(text, PHASE_PREFILL, n, m);
}

static const bad_t bad_shapes[] = {
    {"unwritten buffer", HEAD "y = silu z\n" TAIL, ":8: silu: nothing has written the buffer z"},
    {"slice too wide", HEAD "y = silu x[4:5]\n" TAIL, ":8: silu: 'x[4:5]' is beyond the 8 columns"},
    {"bad slice", HEAD "y = silu x[4]\n" TAIL, "expected NAME[OFFSET:WIDTH]"},
    {"linear on a slice", HEAD "y = linear x[0:4] width=4 name=a\n" TAIL,
     "it needs a whole buffer"},
    {"linear in place", HEAD "x = linear x width=8 name=a\n" TAIL, "it cannot write x while it"},
    {"linear without width", HEAD "y = linear x name=a\n" TAIL, "it needs width="},
    {"linear without name", HEAD "y = linear x width=4\n" TAIL, "it needs name="},
    {"strange argument", HEAD "y = silu x eps=3\n" TAIL, "it has no argument eps="},
    {"too many inputs", HEAD "y = silu x x\n" TAIL, "it takes 1 inputs, not 2"},
    {"missing input", HEAD "y = silu_gate x\n" TAIL, "it needs the input up"},
    {"missing weight", HEAD "y = rmsnorm x eps=1\n" TAIL, "it needs weight="},
    {"missing number", HEAD "y = rmsnorm x weight=w\n" TAIL, "it needs eps="},
    {"widths differ", HEAD "y = linear x width=4 name=a\nz = add x y\n" TAIL,
     ":9: add: input 2 is 5 x 4, expected"},
    {"odd heads", HEAD "x y = rope x x theta=10 head=3\n" TAIL, "is not a number of heads of 3"},
    {"equal outputs", HEAD "y y = rmsnorm x weight=w eps=1\n" TAIL, "its outputs must differ"},
    {"too many outputs", HEAD "y z = silu x\n" TAIL, "it has no output 2"},
    {"integers as reals", HEAD "y = linear ids width=4 name=a\n" TAIL, "ids cannot be its input"},
    {"heads do not fit", HEAD "y = attention x x x heads=3\n" TAIL, "attention: "},
    {"mixed without rank", HEAD "y = linear x width=4 name=a\nuse a blast\n" TAIL,
     "no factor line that says its rank"},
    {"no such output", HEAD LAYERS "output z\n", "nothing writes the output z"},
};
enum { BAD_SHAPES = sizeof bad_shapes / sizeof *bad_shapes };

static void test_bad_shape(void **state) {
    const bad_t *bad = *state;
    network_t n;
    model_t m;
    const status_t st = plan_text(bad->text, &n, &m);
    assert_true(st == STATUS_USAGE || st == STATUS_UNSUPPORTED);
    if (!strstr(last_error(), bad->message))
        fail_msg("\"%s\" lacks \"%s\"", last_error(), bad->message);
    assert_null(n.steps);
    model_free(&m);
}

/* `use` lines mix structures by layer. */
static void test_mixed(void **state) {
    (void)state;
    network_t n;
    model_t m;
    ASSERT_OK(
        plan_text(HEAD LAYERS TAIL "use first lowrank 0..1\nuse first blast/fused 1..2\n", &n, &m));
    static const char *const expected[] = {"lowrank", "dense", "lowrank",
                                           "dense",   "blast", "dense"};
    assert_int_equal(n.steps_len, 7);
    for (int i = 0; i < 6; i++) assert_string_equal(n.steps[1 + i].structure->name, expected[i]);
    assert_string_equal(n.steps[5].wanted, "fused");
    assert_string_equal(n.steps[3].wanted, "");
    assert_int_equal(n.steps[5].problem.rank, 4);
    assert_int_equal(n.steps[5].problem.blocks, 2);
    assert_int_equal(n.steps[5].problem.tokens, 10); /* of both sequences */
    network_close(&n);
    model_free(&m);
}

/* ---- what the steps cost, by hand ---- */

static void test_costs(void **state) {
    (void)state;
    network_t n;
    model_t m;
    double dram, bytes;
    ASSERT_OK(plan_text(HEAD
                        "y = linear x width=16 name=a\nx y = rmsnorm x residual=x weight=w eps=1"
                        "\n" TAIL,
                        &n, &m));
    choose_plans(&n, NULL);
    roof_ceilings_t ceilings = roof_ceilings_none();
    ceilings.compute_flops = 1e9;
    ceilings.dram_bytes = 1e9;
    ceilings.l2_bytes = 2e9;
    n.memory.weights = 4 * (double)device->info.cache_bytes;
    assert_float_equal(step_flops(&n.steps[1]), 2 * 10 * 8 * 16, 0);
    roof_t roof = step_roof(&n, &n.steps[1], &ceilings, &dram, &bytes);
    assert_float_equal(bytes, 4 * (10 * 8 + 8 * 16 + 10 * 16), 0);
    assert_float_equal(dram, 4 * 8 * 16, 0); /* activations stay in the cache */
    assert_int_equal(roof.bound, BOUND_COMPUTE);
    assert_float_equal(roof.seconds, 2560e-9, 1e-15);
    n.memory.weights = 0; /* all weights fit the cache */
    step_roof(&n, &n.steps[1], &ceilings, &dram, &bytes);
    assert_float_equal(dram, 0, 0);
    /* two inputs, two outputs and a vector of weights; 5 operations an element */
    roof = step_roof(&n, &n.steps[2], &ceilings, &dram, &bytes);
    assert_float_equal(bytes, 4 * (4 * 10 * 8 + 8), 0);
    assert_float_equal(step_flops(&n.steps[2]), 5 * 10 * 8, 0);
    assert_int_equal(roof.bound, BOUND_L2);
    network_close(&n);
    model_free(&m);
}

/* Rows gather the steps of a kind; the gaps are what is left. */
static void test_account(void **state) {
    (void)state;
    network_t n;
    model_t m;
    ASSERT_OK(plan_text(HEAD LAYERS TAIL, &n, &m));
    choose_plans(&n, NULL);
    step_time_t times[7] = {{1, 1, NULL}};
    const variant_t *dense = variant_baseline("dense", DEVICE_CPU);
    for (int i = 1; i < 7; i++) times[i] = (step_time_t){10.0 * i, 1, dense};
    model_row_t pass;
    model_layer_row_t *rows;
    int rows_len;
    double accounted;
    const roof_ceilings_t ceilings = roof_ceilings_none();
    row_clear(&MODELS_TABLE, &pass);
    pass.latency_ms = 0.25;
    ASSERT_OK(account_rows(&n, times, 0, &pass, &ceilings, &rows, &rows_len, &accounted));
    assert_int_equal(rows_len, 4); /* embedding, first, second, gaps */
    assert_string_equal(rows[1].operator, "first");
    assert_string_equal(rows[1].variant, "dense/openblas");
    assert_float_equal(rows[1].count, 3, 0);
    assert_float_equal(rows[1].time_in_model_us, 10 + 30 + 50, 1e-9);
    assert_float_equal(rows[1].time_alone_us, 3, 1e-9);
    assert_float_equal(rows[2].share_pct, 100 * 120 / 250.0, 1e-9);
    assert_string_equal(rows[3].operator, "gaps");
    assert_float_equal(rows[3].time_in_model_us, 250 - 211, 1e-9);
    assert_float_equal(accounted, 100 * 211 / 250.0, 1e-9);
    assert_true(isnan(rows[3].flops));
    free(rows);
    /* of the 39 us that are left, 8 are before the first step and behind the last */
    ASSERT_OK(account_rows(&n, times, 8, &pass, &ceilings, &rows, &rows_len, &accounted));
    assert_int_equal(rows_len, 5);
    assert_string_equal(rows[3].operator, "launch");
    assert_float_equal(rows[3].time_in_model_us, 8, 1e-9);
    assert_float_equal(rows[4].time_in_model_us, 39 - 8, 1e-9);
    free(rows);
    /* not known where the time inside goes */
    times[2].in_model_us = NAN;
    ASSERT_OK(account_rows(&n, times, 0, &pass, &ceilings, &rows, &rows_len, &accounted));
    assert_true(isnan(accounted) && isnan(rows[2].share_pct) && isnan(rows[3].time_in_model_us));
    assert_float_equal(rows[1].time_in_model_us, 90, 1e-9);
    free(rows);
    network_close(&n);
    model_free(&m);
}

/* ---- weights ---- */

/* A cache of 5 tokens behind which one is written, in both of two sequences. */
static void test_costs_of_a_cache(void **state) {
    (void)state;
    network_t n;
    model_t m;
    double dram, bytes;
    const double row = 2 * 4 * 8; /* bytes: of both sequences */
    ASSERT_OK(plan_phase(HEAD "k v = append x x\ny = attention x k v heads=2 causal=1\noutput y\n",
                         PHASE_DECODE, &n, &m));
    choose_plans(&n, NULL);
    const roof_ceilings_t ceilings = roof_ceilings_none();
    step_roof(&n, &n.steps[1], &ceilings, &dram, &bytes);
    assert_float_equal(bytes, 4 * row, 0); /* a row from each input, and behind each cache */
    step_roof(&n, &n.steps[2], &ceilings, &dram, &bytes);
    assert_float_equal(bytes, (1 + 6 + 6 + 1) * row, 0);
    assert_float_equal(dram, 0, 0); /* all that lasts fits the cache of the device */
    n.memory.weights = 4 * (double)device->info.cache_bytes;
    step_roof(&n, &n.steps[2], &ceilings, &dram, &bytes);
    assert_float_equal(dram, 2 * 5 * row, 0); /* the new row was written just now */
    network_close(&n);
    model_free(&m);
}

/* Random linear layers keep the size of their inputs: here 1/3 in the mean square, 12 layers long.
 */
static void test_random_weights(void **state) {
    (void)state;
    static const char *const uses[] = {"", "use a lowrank\n", "use a monarch\n", "use a blast\n"};
    for (int u = 0; u < 4; u++) {
        char text[512];
        network_t n;
        model_t m;
        enum { COUNT = 2 * 64 * 64 };
        float values[COUNT];
        double squares = 0;
        snprintf(text, sizeof text,
                 "phases prefill\ntokens 64\nfactor g lowrank 32 monarch 32/4 blast 32/4\n%s"
                 "input x token width=64\nrepeat 6\n  y = linear x width=64 name=f.{} as=a "
                 "factor=g\n  x = linear y width=64 name=s.{} as=a factor=g\nend\n" TAIL,
                 uses[u]);
        ASSERT_OK(plan_text(text, &n, &m));
        choose_plans(&n, NULL);
        ASSERT_OK(network_fill(&n));
        ASSERT_OK(device->ops->run(device, network_launch, &n, 0));
        ASSERT_OK(network_read(&n, "x", values));
        for (int i = 0; i < COUNT; i++) squares += (double)values[i] * values[i];
        const double size = 3 * squares / COUNT;
        if (!(size > 0.1 && size < 10)) fail_msg("%s: %g times the input", uses[u], size);
        network_close(&n);
        model_free(&m);
    }
}

/* A file whose tensors have other shapes than the model is refused, and nothing is read past it. */
static void test_weights_of_another_shape(void **state) {
    (void)state;
    fixture_t f;
    network_t n;
    fixture_open("bert_base", &f);
    network_options_t options = fixture_options(&f, device, PHASE_FORWARD);
    model_size_t *vocab = f.model.sizes;
    while (strcmp(vocab->name, "vocab") != 0) vocab++;
    vocab->value = 97;
    ASSERT_OK(network_plan(&options, &n));
    choose_plans(&n, NULL);
    assert_int_equal(network_fill(&n), STATUS_UNSUPPORTED);
    if (!strstr(last_error(), "word_embeddings.weight has 3072 elements, the model needs 3104"))
        fail_msg("%s", last_error());
    network_close(&n);
    vocab->value = 96;
    options.structure = "lowrank";
    ASSERT_OK(network_plan(&options, &n));
    choose_plans(&n, NULL);
    assert_int_equal(network_fill(&n), STATUS_UNSUPPORTED);
    assert_non_null(strstr(last_error(), "has no tensor encoder.layer.0.attention.self.query.V"));
    network_close(&n);
    fixture_close(&f);
}

/* ---- layers alone ---- */

static void test_layer_times(void **state) {
    (void)state;
    layer_times_t times;
    const layer_time_t *found;
    const problem_t problem = {.dtype = DTYPE_FP32,
                               .tokens = 3,
                               .in_features = 16,
                               .out_features = 24,
                               .blocks = 2,
                               .rank = 4};
    layer_times_open(&times, device, 0.002);
    ASSERT_OK(layer_times_best(&times, structure_find("blast"), &problem, false, &found));
    assert_string_equal(found->variant->structure, "blast");
    assert_true(found->ok && found->time_us > 0);
    const int measured = times.len;
    assert_true(measured >= 2);
    const double time_us = found->time_us;
    ASSERT_OK(layer_times_best(&times, structure_find("blast"), &problem, false, &found));
    assert_int_equal(times.len, measured); /* known by now */
    assert_float_equal(found->time_us, time_us, 0);
    for (int i = 0; i < times.len; i++) assert_true(!(times.items[i].time_us < time_us));
    /* monarch/unfused permutes its columns */
    ASSERT_OK(layer_times_best(&times, structure_find("monarch"), &problem, true, &found));
    assert_string_equal(found->variant->name, "fused");
    problem_t half = problem;
    half.dtype = DTYPE_FP16;
    assert_int_equal(layer_times_best(&times, structure_find("dense"), &half, false, &found),
                     STATUS_UNSUPPORTED);
    assert_non_null(strstr(last_error(), "fp16"));
    layer_times_close(&times);
}

static int open_device(void **state) {
    (void)state;
    if (registry_check() != STATUS_OK) return -1;
    return device_open("cpu", &device) == STATUS_OK ? 0 : -1;
}

static int close_device(void **state) {
    device->ops->close(device);
    return temp_remove(state);
}

int main(void) {
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_blocks_are_written_out),
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_every_model_loads),
        cmocka_unit_test(test_full_sizes),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_costs_of_a_cache),
        cmocka_unit_test(test_account),
        cmocka_unit_test(test_random_weights),
        cmocka_unit_test(test_weights_of_another_shape),
        cmocka_unit_test(test_layer_times),
    };
    enum { FIXED = sizeof fixed / sizeof *fixed };
    struct CMUnitTest tests[FIXED + BAD_MODELS + BAD_SHAPES] = {0};
    int len = FIXED;
    memcpy(tests, fixed, sizeof fixed);
    for (int i = 0; i < BAD_MODELS; i++)
        tests[len++] = (struct CMUnitTest){.name = bad_models[i].name,
                                           .test_func = test_bad_model,
                                           .initial_state = (void *)&bad_models[i]};
    for (int i = 0; i < BAD_SHAPES; i++)
        tests[len++] = (struct CMUnitTest){.name = bad_shapes[i].name,
                                           .test_func = test_bad_shape,
                                           .initial_state = (void *)&bad_shapes[i]};
    return cmocka_run_group_tests(tests, open_device, close_device);
}
