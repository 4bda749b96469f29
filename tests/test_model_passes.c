/* plots/: whole models in a report. */
#include "plots/model_passes.h"
#include "plots/report.h"
#include "tests/report_run.h"

typedef struct {
    const char *structure, *operator, * kind, *variant;
    double us, flops;
} part_t;

static const part_t parts[] = {
    {"dense", "qkv", "linear", "dense/openblas", 6000, 4e9},
    {"dense", "attention", "attention", "attention/openmp", 2000, 1e9},
    {"dense", "attn_out", "linear", "dense/openblas", 1000, 1e9},
    {"dense", "layernorm", "layernorm", "", 400, 1e6},
    {"dense", "gelu", "gelu", "", 300, 1e6},
    {"dense", "append", "append", "", 100, 0},
    {"dense", "gaps", "", "", 200, NAN},
    {"lowrank", "qkv", "linear", "lowrank/openblas", 2000, 2e9},
    {"lowrank", "attn_out", "linear", "dense/openblas", 1000, 1e9},
    {"lowrank", "gaps", "", "", -500, NAN},
};
enum { PARTS = sizeof parts / sizeof *parts };

static void make_pass(model_row_t *row, const char *structure, double latency_ms) {
    row_clear(&MODELS_TABLE, row);
    row_set_text(row->run_id, "made-here");
    row_set_text(row->device, "cpu");
    row_set_text(row->model, "tiny");
    row_set_text(row->structure, "%s", structure);
    row_set_text(row->variant, "best");
    row_set_text(row->dtype, "fp32");
    row_set_text(row->phase, "prefill");
    row_set_text(row->status, "%s", isnan(latency_ms) ? "oom" : "ok");
    row->batch = 1;
    row->tokens = 16;
    row->past = 0;
    if (isnan(latency_ms)) return;
    row->latency_ms = latency_ms;
    row->latency_ci_low_ms = latency_ms - 1;
    row->latency_ci_high_ms = latency_ms + 1;
    row->speedup_vs_dense = 10 / latency_ms;
    row->weight_bytes = 2e6;
}

static void make_layer(model_layer_row_t *row, const model_row_t *pass, const part_t *part) {
    row_clear(&MODEL_LAYERS_TABLE, row);
    row_set_text(row->run_id, "%s", pass->run_id);
    row_set_text(row->device, "%s", pass->device);
    row_set_text(row->model, "%s", pass->model);
    row_set_text(row->structure, "%s", pass->structure);
    row_set_text(row->model_variant, "%s", pass->variant);
    row_set_text(row->phase, "%s", pass->phase);
    row_set_text(row->dtype, "%s", pass->dtype);
    row_set_text(row->operator, "%s", part->operator);
    row_set_text(row->kind, "%s", part->kind);
    row_set_text(row->variant, "%s", part->variant);
    row->batch = pass->batch;
    row->tokens = pass->tokens;
    row->past = pass->past;
    row->time_in_model_us = part->us;
    row->share_pct = part->us / (pass->latency_ms * 10);
    row->flops = part->flops;
    if (isnan(part->flops)) return;
    row->count = 2;
    row->bytes = 1e6;
    row->time_alone_us = part->us / 2;
}

/* Dense and low-rank of one model, and a third pass that did not fit. */
static void write_models(const char *name) {
    char path[3 * PATH_LEN];
    model_row_t passes[3];
    make_pass(&passes[0], "dense", 10);
    make_pass(&passes[1], "lowrank", 2.5);
    passes[1].replaced_pct = 60;
    passes[1].replaced_speedup = 3;
    passes[1].speedup_predicted = 1 / (0.4 + 0.6 / 3);
    make_pass(&passes[2], "blast", NAN);
    row_set_text(passes[2].reason, "27 GB do not | fit");
    snprintf(path, sizeof path, "%s/models.csv", run);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(table_write_header(&MODELS_TABLE, file, path), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        row_set_text(passes[i].model, "%s", name);
        assert_int_equal(table_write_row(&MODELS_TABLE, file, path, &passes[i]), STATUS_OK);
    }
    assert_int_equal(fclose(file), 0);
    snprintf(path, sizeof path, "%s/model_layers.csv", run);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(table_write_header(&MODEL_LAYERS_TABLE, file, path), STATUS_OK);
    for (int i = 0; i < PARTS; i++) {
        model_layer_row_t row;
        make_layer(&row, &passes[strcmp(parts[i].structure, "dense") != 0], &parts[i]);
        assert_int_equal(table_write_row(&MODEL_LAYERS_TABLE, file, path, &row), STATUS_OK);
    }
    assert_int_equal(fclose(file), 0);
}

/* With gnuplot all must work; without it the tables must still be there. */
static void write_report(void) {
    const status_t st = report_write(run);
    if (st != STATUS_OK && st != STATUS_ENVIRONMENT) fail_msg("%s", last_error());
    if (st == STATUS_OK) assert_true(has_report("passes.svg") && has_report("passes.png"));
    if (st == STATUS_OK) assert_true(has_report("roofline_models.svg"));
}

static void test_tables(void **state) {
    (void)state;
    write_models("tiny");
    write_report();
    char *index = read_report("index.md", NULL);
    assert_line(index, "### tiny", "### tiny prefill, 16 tokens, fp32, cpu");
    assert_line(index, "| dense/best | 10.0",
                "| dense/best | 10.0 ms | 9.00 to 11.0 |  |  | 1.00x |  | 2.00 MB |  |  |  |");
    assert_line(index, "| lowrank/best | 60",
                "| lowrank/best | 60.0 % | 3.00x | 1.67x | 4.00x | 2.40 |");
    assert_non_null(strstr(index, "| blast/best | oom: 27 GB do not \\| fit |"));
    assert_line(index, "| qkv | dense",
                "| qkv | dense/openblas | 2 | 6.00 ms | 3.00 ms | 60.0 % |  |  | 4.00 | 1.00 |");
    assert_non_null(strstr(index, "| gaps |  | | -0.500 ms |  | -20.0 % |"));
    free(index);
    assert_false(has_report("speedup.md")); /* there are no points */
    char *html = read_report("index.html", NULL);
    assert_non_null(strstr(html, "<h3>tiny prefill, 16 tokens, fp32, cpu</h3>"));
    assert_non_null(strstr(html, "<td>lowrank/best</td>"));
    free(html);
}

/* Milliseconds of each part; a layer that low-rank replaces is a replaced one in dense too. */
static void test_bars(void **state) {
    (void)state;
    write_models("tiny");
    write_report();
    char *bars = read_report("data/passes.tsv", NULL);
    assert_line(bars, "1\t1\t",
                "1\t1\tdense\t10\t10.0 ms\t\t6\t1\t2\t0.4\t0.3\t0.1\t0.2\t10\tbest");
    assert_line(bars, "1\t2\t",
                "1\t2\tlowrank\t2.5\t2.50 ms\t4.00\303\227\t2\t1\t0\t0\t0\t0\t0\t3\tbest");
    assert_null(strstr(bars, "blast"));
    free(bars);
    char *points = read_report("data/roofline_models.tsv", NULL);
    assert_line(points, "3\t", "3\tattention\tattention\t16\t1000\t5e+11\t\t1000\tattention\t0");
    assert_null(strstr(points, "append")); /* it computes nothing */
    free(points);
}

static void test_console(void **state) {
    (void)state;
    char text[4096] = "";
    write_models("tiny");
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    assert_int_equal(report_models_console(run, out), STATUS_OK);
    fclose(out);
    assert_line(text, "tiny", "tiny prefill, 16 tokens, fp32, cpu");
    assert_line(
        text, "  lowrank/best",
        "  lowrank/best                2.50                4.00x      1.67x                     ");
    assert_line(text, "  blast/best", "  blast/best             oom: 27 GB do not | fit");
}

static void test_hostile_names(void **state) {
    (void)state;
    write_models("it's `touch x` <b> \"q\" \033[31m");
    write_report();
    char *index = read_report("index.md", NULL);
    assert_null(strchr(index, '\033'));
    assert_null(strstr(index, "<b>"));
    free(index);
}

static void test_beside_points(void **state) {
    (void)state;
    write_models("tiny");
    const status_t st = report_write(run);
    assert_true(st == STATUS_OK || st == STATUS_ENVIRONMENT);
    char *index = read_report("index.md", NULL);
    assert_non_null(strstr(index, "# blroof report"));
    assert_non_null(strstr(index, "[speedup over dense](speedup.md)"));
    assert_line(index, "| lowrank/best | 60",
                "| lowrank/best | 60.0 % | 3.00x | 1.67x | 4.00x | 2.40 |");
    if (st == STATUS_OK) assert_non_null(strstr(index, "](passes.svg)"));
    free(index);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_tables, empty_run),
        cmocka_unit_test_setup(test_bars, empty_run),
        cmocka_unit_test_setup(test_console, empty_run),
        cmocka_unit_test_setup(test_hostile_names, empty_run),
        cmocka_unit_test_setup(test_beside_points, fixture_run),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
