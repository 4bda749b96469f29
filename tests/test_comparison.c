/* Two recorded runs: matching, what is refused, the whole, and the files that come out. */
#include "plots/compare_report.h"
#include "plots/compare_words.h"
#include "results/comparison.h"
#include "tests/report_run.h"

static char base[PATH_LEN], new[PATH_LEN]; /* the sides of the test at hand */
static comparison_t comparison;

/* ---- making runs ---- */

static int make_sides(void **state) {
    for (int side = 0; side < 2; side++) {
        if (empty_run(state) != 0) return -1;
        memcpy(side ? new : base, run, sizeof run);
    }
    return 0;
}

/* run.csv of a machine; `extra` holds more lines. */
static void write_machine(const char *dir, const char *name, const char *extra) {
    char path[2 * PATH_LEN];
    snprintf(path, sizeof path, "%s/run.csv", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "key,value\nrun_id,x\ndevice,cpu\ndevice_name,%s\n%s", name, extra);
    assert_int_equal(fclose(file), 0);
}

static void write_side(const char *dir, const point_row_t *rows, int count) {
    memcpy(run, dir, sizeof run);
    write_rows(rows, count);
    write_machine(dir, "Some CPU", "");
}

static point_row_t a_row(const char *layer, double time_us) {
    point_row_t row;
    make_row(&row, layer, "monarch", "fused", 16, time_us);
    row.time_ci_low_us = row.time_ci_high_us = time_us;
    row.flops = 1000;
    row.bytes_model = 500;
    return row;
}

static void load(bool force) {
    const compare_rules_t rules = compare_defaults();
    assert_int_equal(comparison_load(base, new, &rules, force, &comparison), STATUS_OK);
    assert_int_equal(comparison_judge(&comparison), STATUS_OK);
}

static void assert_refused(status_t status, const char *why) {
    const compare_rules_t rules = compare_defaults();
    assert_int_equal(comparison_load(base, new, &rules, false, &comparison), status);
    if (!strstr(last_error(), why)) fail_msg("\"%s\" lacks \"%s\"", last_error(), why);
}

static const compared_t *point_at(const char *layer) {
    for (int i = 0; i < comparison.points_len; i++)
        if (!strcmp(comparison.points[i].layer, layer)) return &comparison.points[i];
    fail_msg("no point of %s", layer);
    return NULL;
}

/* ---- matching and the whole ---- */

static void test_states(void **state) {
    (void)state;
    point_row_t before[6], after[6];
    const char *const layers[] = {"same", "broken", "missing", "mended", "never"};
    for (int i = 0; i < 5; i++) before[i] = after[i] = a_row(layers[i], 100);
    row_set_text(after[1].status, "mismatch");
    row_set_text(after[1].reason, "row 3 is wrong");
    row_set_text(before[3].status, "error");
    row_set_text(before[4].status, "unsupported");
    row_set_text(after[4].status, "unsupported");
    after[2] = a_row("added", 100);
    after[5] = a_row("wrong from the start", 100);
    row_set_text(after[5].status, "mismatch");
    write_side(base, before, 5);
    write_side(new, after, 6);
    load(false);
    assert_int_equal(point_at("same")->state, POINT_COMPARED);
    assert_int_equal(point_at("broken")->state, POINT_BROKEN);
    assert_int_equal(point_at("missing")->state, POINT_MISSING);
    assert_int_equal(point_at("mended")->state, POINT_MENDED);
    assert_int_equal(point_at("never")->state, POINT_NOT_OK);
    assert_int_equal(point_at("added")->state, POINT_ADDED);
    assert_int_equal(point_at("wrong from the start")->state, POINT_BROKEN);
    assert_int_equal(comparison.regressions, 2);
    assert_int_equal(comparison.verdict, VERDICT_SLOWER);
    comparison_free(&comparison);
}

/* A point that is gone may hide a regression. */
static void test_missing(void **state) {
    (void)state;
    const point_row_t rows[] = {a_row("one", 100), a_row("two", 100)};
    write_side(base, rows, 2);
    write_side(new, rows, 1);
    load(false);
    assert_int_equal(comparison.verdict, VERDICT_INCONCLUSIVE);
    comparison_free(&comparison);
}

static void test_whole(void **state) {
    (void)state;
    static const struct {
        double factor;
        verdict_t verdict;
    } cases[] = {{1, VERDICT_SAME},
                 {1.1, VERDICT_SLOWER},
                 {0.9, VERDICT_FASTER},
                 {1.04, VERDICT_INCONCLUSIVE},
                 {0.96, VERDICT_SAME}}; /* not slower is all that a gate asks */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const point_row_t before[] = {a_row("one", 100), a_row("two", 200)};
        const point_row_t after[] = {a_row("one", 100 * cases[i].factor), a_row("two", 200)};
        write_side(base, before, 2);
        write_side(new, after, 2);
        load(false);
        assert_int_equal(comparison.verdict, cases[i].verdict);
        assert_float_equal(comparison.mean_ratio, sqrt(cases[i].factor), 1e-6);
        comparison_free(&comparison);
    }
}

/* More bytes or kernels are a regression at the same speed, and the price of being faster. */
static void test_quantities(void **state) {
    (void)state;
    point_row_t before[5], after[5];
    const char *const layers[] = {"reads", "l2", "kernels", "flops", "paid"};
    for (int i = 0; i < 5; i++) {
        before[i] = a_row(layers[i], 100);
        before[i].dram_read_bytes = 10e6;
        before[i].l2_bytes = 20e6;
        before[i].kernels = 1;
        after[i] = before[i];
    }
    after[0].dram_read_bytes = 10.3e6;
    after[1].l2_bytes = 22e6; /* an intermediate that is written and never read */
    after[2].kernels = 2;
    after[3].flops = 900;
    after[4].kernels = 2;
    after[4].time_us = after[4].time_ci_low_us = after[4].time_ci_high_us = 95;
    write_side(base, before, 5);
    write_side(new, after, 5);
    load(false);
    assert_int_equal(point_at("reads")->changes[QUANTITY_dram_read_bytes], CHANGE_WORSE);
    assert_int_equal(point_at("l2")->changes[QUANTITY_l2_bytes], CHANGE_WORSE);
    assert_int_equal(point_at("kernels")->changes[QUANTITY_kernels], CHANGE_WORSE);
    assert_int_equal(point_at("flops")->changes[QUANTITY_flops], CHANGE_WORSE);
    for (int i = 0; i < 4; i++) assert_true(point_at(layers[i])->regression);
    assert_false(point_at("paid")->regression);
    assert_int_equal(comparison.regressions, 4);
    assert_int_equal(point_matters(&comparison, point_at("reads")), MATTERS_WORSE);
    comparison_free(&comparison);
}

/* A directory of runs is one process each; rows and samples of a repeated point replace it. */
static void test_processes_and_samples(void **state) {
    (void)state;
    char below[PATH_LEN + 16], path[2 * PATH_LEN];
    for (int k = 1; k <= 11; k++) {
        const point_row_t rows[] = {a_row("one", 999), a_row("one", 100 + k)};
        snprintf(below, sizeof below, "%s/%d", base, k);
        assert_int_equal(mkdir(below, 0777), 0);
        write_side(below, rows, 2);
    }
    snprintf(path, sizeof path, "%s/samples.csv", below);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(table_write_header(&SAMPLES_TABLE, file, path), STATUS_OK);
    for (int i = 0; i < 6; i++) {
        const point_row_t p = a_row("one", 1);
        sample_row_t sample;
        row_clear(&SAMPLES_TABLE, &sample);
        memcpy(sample.workload, p.workload, TEXT_LEN);
        memcpy(sample.layer, i == 5 ? "nobody's" : p.layer, 9);
        memcpy(sample.structure, p.structure, TEXT_LEN);
        memcpy(sample.variant, p.variant, TEXT_LEN);
        memcpy(sample.dtype, p.dtype, TEXT_LEN);
        memcpy(sample.cache, p.cache, TEXT_LEN);
        sample.tokens = p.tokens;
        sample.in_features = p.in_features;
        sample.out_features = p.out_features;
        sample.sample = i % 2; /* 0 1 0 1 0: begun anew twice */
        sample.time_us = 10 + i;
        assert_int_equal(table_write_row(&SAMPLES_TABLE, file, path, &sample), STATUS_OK);
    }
    assert_int_equal(fclose(file), 0);
    const point_row_t row = a_row("one", 111);
    write_side(new, &row, 1);
    load(false);
    assert_int_equal(comparison.sides[SIDE_BASE].len, 11);
    const compared_t *p = point_at("one");
    assert_int_equal(comparison.points_len, 1);
    assert_float_equal(p->of[SIDE_BASE][10].time_us, 111, 0); /* 11 comes after 2 */
    assert_float_equal(p->of[SIDE_BASE][1].time_us, 102, 0);
    assert_float_equal(p->time.time_us[0], 106, 0);
    assert_int_equal(p->of[SIDE_BASE][10].samples_len, 1);
    assert_float_equal(p->of[SIDE_BASE][10].samples[0], 14, 0);
    null_rate_t rate = {0};
    assert_int_equal(comparison_null(&comparison, 3, &rate), STATUS_OK);
    assert_int_equal(rate.comparisons, 3);
    assert_int_equal(rate.points, 3);
    assert_int_equal(rate.verdicts[VERDICT_SLOWER], rate.alarms);
    comparison_free(&comparison);
}

/* ---- several GPUs ---- */

static void test_other_gpus_are_said(void **state) {
    (void)state;
    char words[WORDS_LEN];
    point_row_t before[] = {a_row("one", 100), a_row("two", 100), a_row("three", 100)}, after[3];
    memcpy(after, before, sizeof after);
    for (int i = 0; i < 3; i++) {
        row_set_text(before[i].gpu_uuid, "GPU-1");
        row_set_text(after[i].gpu_uuid, "GPU-%d", i + 1);
    }
    write_side(base, before, 3);
    write_side(new, after, 3);
    load(false);
    gpus_words(&comparison, words, sizeof words);
    assert_string_equal(words, "2 of the points were measured on another GPU in NEW than in BASE");
    comparison_free(&comparison);
    write_side(new, before, 3);
    load(false);
    gpus_words(&comparison, words, sizeof words);
    assert_string_equal(words, "");
    comparison_free(&comparison);
}

/* Every device has a row of its own, and is compared with itself. */
static void test_pinned_points(void **state) {
    (void)state;
    point_row_t rows[] = {a_row("one", 100), a_row("one", 130)};
    for (int i = 0; i < 2; i++) row_set_text(rows[i].device, "cuda:%d", i);
    write_side(base, rows, 2);
    write_machine(base, "Some GPU", "pin_point,yes\n");
    rows[1].time_us = rows[1].time_ci_low_us = rows[1].time_ci_high_us = 160;
    write_side(new, rows, 2);
    write_machine(new, "Some GPU", "pin_point,yes\n");
    load(false);
    assert_int_equal(comparison.points_len, 2);
    assert_int_equal(point_at("one on cuda:0")->time.verdict, VERDICT_SAME);
    assert_int_equal(point_at("one on cuda:1")->time.verdict, VERDICT_SLOWER);
    comparison_free(&comparison);
}

/* ---- what is refused ---- */

static void test_machines(void **state) {
    (void)state;
    const point_row_t row = a_row("one", 100);
    write_side(base, &row, 1);
    write_side(new, &row, 1);
    write_machine(base, "Some GPU", "gpu_power_limit_w,700\ndriver,580\n");
    write_machine(new, "Some GPU", "gpu_power_limit_w,230\ndriver,580\n");
    assert_refused(STATUS_ENVIRONMENT, "power limit in W: 700 and 230");
    assert_null(strstr(last_error(), "driver"));
    write_machine(new, "Some GPU", "gpu_power_limit_w,700\n");
    assert_refused(STATUS_ENVIRONMENT, "driver: 580 and unknown");
    write_machine(new, "Other GPU", "gpu_power_limit_w,700\n");
    assert_refused(STATUS_ENVIRONMENT, "device: Some GPU and Other GPU");
    load(true);
    assert_int_equal(comparison.differences_len, 1);
    assert_int_equal(comparison.verdict, VERDICT_SAME);
    comparison_free(&comparison);
    char path[2 * PATH_LEN];
    for (int side = 0; side < 2; side++) {
        snprintf(path, sizeof path, "%s/run.csv", side ? new : base);
        assert_int_equal(unlink(path), 0);
    }
    assert_refused(STATUS_ENVIRONMENT, "device: unknown and unknown");
}

static void test_settings(void **state) {
    (void)state;
    point_row_t before = a_row("one", 100), after = before;
    row_set_text(after.dtype, "bf16");
    row_set_text(after.cache, "hot");
    write_side(base, &before, 1);
    write_side(new, &after, 1);
    assert_refused(STATUS_ENVIRONMENT, "dtype: fp32 and bf16; cache: rotate and hot");
    load(true);
    assert_int_equal(comparison.points_len, 1);
    assert_int_equal(comparison.points[0].state, POINT_COMPARED);
    comparison_free(&comparison);
}

static void test_unreadable(void **state) {
    (void)state;
    const point_row_t row = a_row("one", 100), other = a_row("two", 100);
    assert_refused(STATUS_USAGE, "holds no run");
    write_side(base, &row, 1);
    write_side(new, &other, 1);
    assert_refused(STATUS_USAGE, "no point in common");
    snprintf(new, sizeof new, "/tmp/blroof-none");
    assert_refused(STATUS_IO, "cannot read");
}

/* ---- files ---- */

static const char EVIL[] = "a|b <i>\"q\" & 'x' \xff\xc3\xa9\x01";

static char *written(status_t (*write)(const comparison_t *, const char *), const char *name) {
    char path[2 * PATH_LEN];
    size_t len;
    snprintf(path, sizeof path, "%s/%s", new, name);
    assert_int_equal(write(&comparison, path), STATUS_OK);
    char *text = read_file(path, &len);
    assert_non_null(text);
    return text;
}

static void assert_holds(char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void test_files(void **state) {
    (void)state;
    point_row_t before[3] = {a_row(EVIL, 100), a_row("fine", 100), a_row("never", 100)}, after[3];
    row_set_text(before[2].status, "unsupported");
    memcpy(after, before, sizeof after);
    row_set_text(after[0].status, "mismatch");
    row_set_text(after[0].reason, "<b>\\ \"worse\"</b>");
    write_side(base, before, 3);
    write_side(new, after, 3);
    load(false);
    char *text = written(compare_markdown, "out.md");
    assert_holds(text, "### blroof compare: SLOWER");
    assert_holds(text, "| BROKEN |");
    assert_holds(text, "a\\|b &lt;i&gt;");
    assert_holds(text, "&lt;b&gt;\\\\ \"worse\"");
    free(text);
    text = written(compare_junit, "out.xml");
    assert_holds(text, "tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\"");
    assert_holds(text, "<skipped message=\"ok on neither side\"/>");
    assert_holds(text, "a|b &lt;i&gt;&quot;q&quot; &amp; &apos;x&apos; ?\xc3\xa9");
    assert_holds(text, "message=\"BROKEN: ok -&gt; mismatch: &lt;b&gt;\\ &quot;worse&quot;");
    assert_null(strchr(text, '\x01'));
    free(text);
    text = written(compare_json, "out.json");
    assert_holds(text, "\"verdict\": \"SLOWER\"");
    assert_holds(text, "\"layer\": \"a|b <i>\\\"q\\\" & 'x' ?\xc3\xa9");
    assert_holds(text, "<b>\\\\ \\\"worse\\\"</b>");
    assert_holds(text, "\"flops\": {\"base\": 1000, \"new\": 1000, \"change\": \"none\"}");
    assert_holds(text, "\"rank\": null");
    assert_null(strstr(text, "nan"));
    free(text);
    assert_int_equal(compare_json(&comparison, "/proc/none/x.json"), STATUS_IO);
    comparison_free(&comparison);
}

/* No line is wider than a terminal, whatever the names. */
static void test_console(void **state) {
    (void)state;
    point_row_t before[40], after[40];
    for (int i = 0; i < 40; i++) {
        char layer[TEXT_LEN];
        snprintf(layer, sizeof layer, "a model with a name of some length/layer %d", i);
        before[i] = a_row(layer, 100 + i);
        before[i].blocks = 16;
        before[i].rank = 1024;
        after[i] = before[i];
        after[i].time_us *= i < 30 ? 1.2 : 1;
    }
    write_side(base, before, 40);
    write_side(new, after, 40);
    load(false);
    char path[2 * PATH_LEN];
    size_t len;
    snprintf(path, sizeof path, "%s/console", new);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(compare_console(&comparison, file), STATUS_OK);
    assert_int_equal(fclose(file), 0);
    char *text = read_file(path, &len);
    assert_holds(text, "SLOWER: 30 of 40 points regress (30 slower); 10 same");
    assert_holds(text, "... and 10 more");
    assert_holds(text, "monarch/fused n=16 b=16 r=1024");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strlen(line) > 100 && !strstr(line, new)) fail_msg("too wide: %s", line);
    free(text);
    comparison_free(&comparison);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_states, make_sides),
        cmocka_unit_test_setup(test_missing, make_sides),
        cmocka_unit_test_setup(test_whole, make_sides),
        cmocka_unit_test_setup(test_quantities, make_sides),
        cmocka_unit_test_setup(test_processes_and_samples, make_sides),
        cmocka_unit_test_setup(test_other_gpus_are_said, make_sides),
        cmocka_unit_test_setup(test_pinned_points, make_sides),
        cmocka_unit_test_setup(test_machines, make_sides),
        cmocka_unit_test_setup(test_settings, make_sides),
        cmocka_unit_test_setup(test_unreadable, make_sides),
        cmocka_unit_test_setup(test_files, make_sides),
        cmocka_unit_test_setup(test_console, make_sides),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
