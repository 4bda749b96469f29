/* plots/: tables and pictures of a run directory. */
#include "plots/report.h"

#include "tests/report_run.h"

/* ---- pictures ---- */

static bool have_gnuplot(void) {
    const char *path = getenv("PATH");
    while (path && *path) {
        char program[PATH_LEN];
        const int len = (int)strcspn(path, ":");
        snprintf(program, sizeof program, "%.*s/gnuplot", len, path);
        if (access(program, X_OK) == 0) return true;
        path += len + (path[len] == ':');
    }
    return false;
}

/* With gnuplot everything must work; without it the tables must still be there. */
static bool wrote_pictures(void) {
    const status_t st = report_write(run);
    if (have_gnuplot()) {
        if (st != STATUS_OK) fail_msg("%s", last_error());
        return true;
    }
    assert_int_equal(st, STATUS_ENVIRONMENT);
    return false;
}

static void assert_picture(const char *name) {
    char path[PATH_LEN];
    size_t len;
    snprintf(path, sizeof path, "%s.svg", name);
    char *svg = read_report(path, &len);
    assert_memory_equal(svg, "<?xml", 5);
    assert_non_null(strstr(svg, "</svg>"));
    assert_true(len > 2000);
    free(svg);
    snprintf(path, sizeof path, "%s.png", name);
    char *png = read_report(path, &len);
    assert_true(len > 2000);
    assert_memory_equal(png, "\211PNG\r\n\032\n", 8);
    assert_memory_equal(png + len - 8, "IEND", 4);
    free(png);
    snprintf(path, sizeof path, "%s.svg.tmp", name);
    assert_false(has_report(path));
}

static void test_pictures(void **state) {
    (void)state;
    if (!have_gnuplot()) skip();
    assert_true(wrote_pictures());
    const char *const names[] = {"roofline", "speedup_bars", "speedup_vs_tokens", "time_vs_tokens"};
    char *index = read_report("index.md", NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char link[PATH_LEN];
        assert_picture(names[i]);
        snprintf(link, sizeof link, "](%s.svg)", names[i]);
        assert_non_null(strstr(index, link));
    }
    free(index);
}

static void test_pictures_name_what_they_show(void **state) {
    (void)state;
    if (!have_gnuplot()) skip();
    assert_true(wrote_pictures());
    char *svg = read_report("roofline.svg", NULL);
    const char *const texts[] = {"Roofline: Fixture CPU (cpu)",
                                 "DRAM: 20.0 GB/s (read)",
                                 "last-level cache: 80.0 GB/s",
                                 "100 GFLOP/s (fma_loop)",
                                 "modelled, not measured (33 points)",
                                 "blast/unfused",
                                 "Performance (GFLOP/s)"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strstr(svg, texts[i])) fail_msg("roofline.svg lacks \"%s\"", texts[i]);
    free(svg);
}

static void test_hostile_names(void **state) {
    (void)state;
    static const char *const layers[] = {"it's `touch x` $(touch y) \"q\" | <b> & {^a_b} %s @m",
                                         "\\\\' ; system('touch z') #", "h\303\244lt \033[31m"};
    point_row_t rows[12];
    for (int i = 0; i < 3; i++) {
        make_row(&rows[4 * i], layers[i], "dense", "a'b", 1, 10);
        make_row(&rows[4 * i + 1], layers[i], "low\"rank", "`c`", 1, 5);
        make_row(&rows[4 * i + 2], layers[i], "dense", "a'b", 4, 20);
        make_row(&rows[4 * i + 3], layers[i], "low\"rank", "`c`", i == 2 ? 4 : 1, 40);
    }
    for (int i = 0; i < 12; i++) row_set_text(rows[i].device, "`c`\t'p' & <u> \302\233");
    write_rows(rows, 12);
    if (wrote_pictures()) {
        assert_picture("speedup_vs_tokens");
        char *svg = read_report("roofline.svg", NULL);
        assert_non_null(strstr(svg, "Roofline: `c` 'p' &amp; &lt;u>"));
        free(svg);
    }
    char *index = read_report("index.md", NULL);
    assert_null(strchr(index, '\033'));
    assert_null(strstr(index, "<b>"));
    assert_non_null(strstr(index, "\\`touch x\\`"));
    free(index);
}

static void test_many_layers_take_pages(void **state) {
    (void)state;
    enum { LAYERS = 27 };
    point_row_t *rows = calloc(2 * LAYERS, sizeof *rows);
    assert_non_null(rows);
    for (int i = 0; i < LAYERS; i++) {
        char layer[32];
        snprintf(layer, sizeof layer, "m/layer_%d", i);
        make_row(&rows[2 * i], layer, "dense", "a", 8, 10);
        make_row(&rows[2 * i + 1], layer, "blast", "b", 8, 5 + i);
    }
    write_rows(rows, 2 * LAYERS);
    free(rows);
    if (!wrote_pictures()) skip();
    assert_picture("speedup_bars");
    assert_picture("speedup_bars_page2");
    assert_false(has_report("speedup_bars_page3.svg"));
    assert_false(has_report("speedup_vs_tokens.svg"));
}

static void test_a_lane_for_each_structure(void **state) {
    (void)state;
    point_row_t rows[5];
    make_row(&rows[0], "m/l", "blast", "quick", 8, 5);
    make_row(&rows[1], "m/l", "dense", "a", 8, 10);
    make_row(&rows[2], "m/l", "blast", "slow", 8, 20);
    make_row(&rows[3], "m/l", "monarch", "b", 8, 40);
    make_row(&rows[4], "m/l", "monarch", "none", 8, NAN);
    write_rows(rows, 5);
    wrote_pictures();
    char *lanes = read_report("data/bar_lanes.tsv", NULL);
    char *bars = read_report("data/bars.tsv", NULL);
    assert_line(lanes, "1\t1\t", "1\t1\t2\t0.25\t0.25\t0.25\t0.250\303\227\t0");
    assert_line(lanes, "1\t2\t", "1\t2\t4\t0.5\t2\t2\t2.00\303\227\t1");
    assert_null(strstr(lanes, "1\t3\t")); /* dense is the line at 1 */
    assert_non_null(strstr(bars, "1\t2\tm/l\t8\t5\tblast/slow\t0.5\t"));
    assert_null(strstr(bars, "none"));
    free(lanes);
    free(bars);
}

/* Nothing of a picture begins right of it. */
static void assert_inside(const char *name) {
    char path[PATH_LEN];
    double width = 0;
    snprintf(path, sizeof path, "%s.svg", name);
    char *svg = read_report(path, NULL);
    const char *box = strstr(svg, "viewBox=\"0 0 ");
    assert_non_null(box);
    assert_int_equal(sscanf(box, "viewBox=\"0 0 %lf", &width), 1);
    for (const char *at = svg; (at = strstr(at, "translate(")); at++) {
        const double x = strtod(at + strlen("translate("), NULL);
        if (x > width - 40) fail_msg("%s is %g wide and has a text at %g", path, width, x);
    }
    free(svg);
}

/* More variants than there are markers: no two look alike, and the legend has room for all. */
static void test_many_variants(void **state) {
    (void)state;
    enum { VARIANTS = 18, ROWS = 2 * VARIANTS };
    static const char *const structures[] = {"blast", "monarch"};
    point_row_t rows[ROWS];
    for (int i = 0; i < ROWS; i++) {
        char variant[24];
        snprintf(variant, sizeof variant, "variant_%d", i / 2);
        make_row(&rows[i], "m/l", i < 2 ? "dense" : structures[i / 2 % 2], variant, 1 + i % 2,
                 i + 1);
    }
    write_rows(rows, ROWS);
    const bool drawn = wrote_pictures();
    char *series = read_report("data/series.tsv", NULL), *looks[VARIANTS], *rest = series;
    assert_non_null(strsep(&rest, "\n"));
    for (int i = 0; i < VARIANTS; i++) {
        looks[i] = strsep(&rest, "\n");
        assert_non_null(looks[i]);
        strsep(&looks[i], "\t"), strsep(&looks[i], "\t"); /* "rgb\tpoint_type" is left */
        for (int j = 0; j < i; j++) assert_string_not_equal(looks[i], looks[j]);
    }
    free(series);
    if (!drawn) skip();
    assert_inside("roofline");
    assert_inside("time_vs_tokens");
    assert_inside("speedup_vs_tokens");
}

static void test_without_gnuplot(void **state) {
    (void)state;
    char path[4 * PATH_LEN];
    const char *before = getenv("PATH");
    snprintf(path, sizeof path, "%s", before ? before : "");
    setenv("PATH", "/nonexistent", 1);
    const status_t st = report_write(run);
    setenv("PATH", path, 1);
    assert_int_equal(st, STATUS_ENVIRONMENT);
    assert_non_null(strstr(last_error(), "apt-get install gnuplot-nox"));
    assert_true(has_report("speedup.md"));
    assert_true(has_report("data/roofline.tsv"));
    assert_false(has_report("roofline.svg"));
    assert_false(has_report("roofline.svg.tmp"));
    char *index = read_report("index.md", NULL);
    assert_null(strstr(index, "roofline.svg"));
    assert_non_null(strstr(index, "gnuplot is not installed"));
    assert_non_null(strstr(index, "| llama1b/qo_proj | 1 | 1000 us, 1.00x |"));
    free(index);
}

/* ---- tables ---- */

static void test_speedup_table(void **state) {
    (void)state;
    wrote_pictures();
    char *table = read_report("speedup.md", NULL);
    assert_non_null(table);
    assert_line(table, "| layer |",
                "| layer | tokens | dense/openblas | lowrank/openblas | monarch/fused | "
                "monarch/unfused | blast/unfused |");
    assert_line(table, "| llama1b/qo_proj | 128 |",
                "| llama1b/qo_proj | 128 | 12000 us, 1.00x | **4000 us, 3.00x** | 6000 us, 2.00x "
                "| 16000 us, 0.750x | 24000 us, 0.500x |");
    assert_line(table, "| gpt2s/c_fc | 1 |",
                "| gpt2s/c_fc | 1 | 500 us, 1.00x | **200 us, 2.50x** | unsupported | unsupported "
                "| oom |");
    assert_line(table, "| gpt2s/c_fc | 16 |",
                "| gpt2s/c_fc | 16 | **800 us, 1.00x** |  | mismatch | unsupported | 1000 us, "
                "0.800x |");
    assert_line(table, "| no_dense/layer |",
                "| no_dense/layer | 64 |  | **800 us** | 1000 us | 1600 us |  |");
    free(table);
}

static void test_index(void **state) {
    (void)state;
    wrote_pictures();
    char *index = read_report("index.md", NULL);
    assert_non_null(index);
    assert_non_null(strstr(index, "42 points, 34 of them ok."));
    assert_line(index, "## Fix", "## Fixture CPU (cpu), fp32, cache rotate");
    /* 4, 4, 3, 2.5, 2, 4, 2 and 4 times as fast */
    assert_line(index, "| lowrank/openblas | ",
                "| lowrank/openblas | 9 | 8 of 8 | 3.06x | 4.00x | 57.9 |");
    assert_line(index, "| cpu | dram |  | read |",
                "| cpu | dram |  | read | 20.0 | GB/s | 19.8 to 20.2 |  |  |");
    assert_line(index, "| cpu | dram |  | write |", "| cpu | dram |  | write |  | GB/s |  |  |  |");
    assert_line(index, "| vit_b16/fc2 | 197 | monarch/fused |",
                "| vit_b16/fc2 | 197 | monarch/fused | fp32 | over_roof |");
    assert_line(index, "| gpt2s/c_fc | 1 | blast/unfused",
                "| gpt2s/c_fc | 1 | blast/unfused | fp32 | oom | needs 9.2 GB, 8.0 GB are free |");
    assert_line(index, "| argv |", "| argv | blroof sweep fixture -d cpu -o run_cpu |");
    assert_null(strstr(index, "interrupted")); /* that row was run again */
    free(index);
}

static void test_data_has_no_invented_numbers(void **state) {
    (void)state;
    wrote_pictures();
    char *data = read_report("data/roofline.tsv", NULL);
    int rows = -1; /* the header */
    for (const char *c = data; *c; c++) rows += *c == '\n';
    assert_int_equal(rows, 33); /* 34 are ok, one of them without an intensity */
    assert_null(strstr(data, "\t0\t"));
    assert_null(strstr(data, "nan"));
    free(data);
    data = read_report("data/tokens_p2.tsv", NULL);
    char line[512];
    assert_non_null(line_of(data, "2\tgpt2s/c_fc\t2\tlowrank/openblas\t1\t", line, sizeof line));
    assert_null(line_of(data, "2\tgpt2s/c_fc\t2\tlowrank/openblas\t16\t", line, sizeof line));
    free(data);
}

static void test_rank_sweep_hides_nothing(void **state) {
    (void)state;
    point_row_t rows[5];
    make_row(&rows[0], "m/l", "dense", "a", 8, 100);
    for (int i = 1; i < 5; i++) {
        make_row(&rows[i], "m/l", "monarch", "b", 8, 10 * i);
        rows[i].blocks = i < 3 ? 2 : 4;
        rows[i].rank = i % 2 ? 16 : 32;
    }
    write_rows(rows, 5);
    wrote_pictures();
    char *table = read_report("speedup.md", NULL);
    assert_line(table, "| m/l b2 r16 |", "| m/l b2 r16 | 8 |  | **10.0 us, 10.0x** |");
    assert_line(table, "| m/l b4 r32 |", "| m/l b4 r32 | 8 |  | **40.0 us, 2.50x** |");
    char *csv = read_report("speedup.csv", NULL);
    assert_line(csv, "m/l b2 r16,", "m/l b2 r16,8,100,10.0x");
    assert_null(strstr(csv, "m/l,8")); /* dense has no row of its own */
    free(csv);
    free(table);
}

static void test_heatmap_shows_the_fastest(void **state) {
    (void)state;
    point_row_t rows[7];
    make_row(&rows[0], "m/l", "dense", "a", 8, 100);
    for (int i = 1; i < 7; i++) {
        make_row(&rows[i], "m/l", "monarch", i < 5 ? "b" : "c", 8, 10 * i);
        rows[i].blocks = (i - 1) % 4 < 2 ? 4 : 32;
        rows[i].rank = i % 2 ? 256 : 64;
    }
    rows[6].time_us = 16; /* faster than the 20 us of its cell; the 50 us of row 5 are not */
    write_rows(rows, 7);
    wrote_pictures();
    char *cells = read_report("data/heatmap.tsv", NULL);
    assert_non_null(strstr(cells, "1\t0\t0\t6.25\t6.25\t64\t32\t8\t4\t64\tc\t"));
    assert_non_null(strstr(cells, "1\t1\t0\t10\t10\t64\t32\t8\t4\t256\tb\t"));
    assert_non_null(strstr(cells, "1\t0\t1\t2.5\t2.50\t64\t32\t8\t32\t64\tb\t"));
    int lines = 0;
    for (const char *c = cells; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 5);
    free(cells);
    if (have_gnuplot()) assert_true(has_report("heatmap.svg") && has_report("heatmap.png"));
}

static void test_dtypes_are_not_compared(void **state) {
    (void)state;
    point_row_t rows[3];
    make_row(&rows[0], "m/l", "dense", "a", 8, 100);
    make_row(&rows[1], "m/l", "blast", "b", 8, 50);
    make_row(&rows[2], "m/l", "blast", "b", 8, 25);
    row_set_text(rows[2].dtype, "bf16");
    write_rows(rows, 3);
    wrote_pictures();
    char *table = read_report("speedup.md", NULL);
    const char *other = strstr(table, "## cpu, bf16");
    assert_non_null(other);
    assert_line(other, "| m/l |", "| m/l | 8 | **25.0 us** |");
    assert_line(table, "| m/l |", "| m/l | 8 | 100 us, 1.00x | **50.0 us, 2.00x** |");
    free(table);
}

/* ---- what goes wrong ---- */

static void test_no_points(void **state) {
    (void)state;
    assert_int_equal(report_write(run), STATUS_IO);
    assert_non_null(strstr(last_error(), "points.csv"));
    write_rows(NULL, 0);
    assert_int_equal(report_write(run), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "has no rows"));
}

static void test_nothing_ok(void **state) {
    (void)state;
    point_row_t row;
    make_row(&row, "m/l", "blast", "b", 8, NAN);
    write_rows(&row, 1);
    assert_int_equal(report_write(run), STATUS_OK); /* nothing to draw, so gnuplot is not needed */
    assert_false(has_report("roofline.svg"));
    char *index = read_report("index.md", NULL);
    assert_non_null(strstr(index, "No point is ok"));
    assert_non_null(strstr(index, "| unsupported | of no use |"));
    assert_non_null(strstr(index, "has no ceilings"));
    assert_non_null(strstr(index, "has no run.csv"));
    free(index);
}

static void test_one_point_without_ceilings(void **state) {
    (void)state;
    point_row_t row;
    make_row(&row, "m/l", "blast", "b", 8, 12);
    write_rows(&row, 1);
    if (!wrote_pictures()) skip();
    assert_picture("roofline");
    assert_false(has_report("speedup_bars.svg")); /* there is no dense to compare with */
}

static void test_again_overwrites(void **state) {
    (void)state;
    const status_t st = report_write(run);
    char *first = read_report("index.md", NULL);
    assert_int_equal(report_write(run), st);
    char *second = read_report("index.md", NULL);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void test_cannot_write(void **state) {
    (void)state;
    char path[3 * PATH_LEN];
    snprintf(path, sizeof path, "%s/report", run);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(report_write(run), STATUS_IO);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_speedup_table, fixture_run),
        cmocka_unit_test_setup(test_index, fixture_run),
        cmocka_unit_test_setup(test_data_has_no_invented_numbers, fixture_run),
        cmocka_unit_test_setup(test_rank_sweep_hides_nothing, empty_run),
        cmocka_unit_test_setup(test_heatmap_shows_the_fastest, empty_run),
        cmocka_unit_test_setup(test_dtypes_are_not_compared, empty_run),
        cmocka_unit_test_setup(test_pictures, fixture_run),
        cmocka_unit_test_setup(test_pictures_name_what_they_show, fixture_run),
        cmocka_unit_test_setup(test_hostile_names, empty_run),
        cmocka_unit_test_setup(test_many_layers_take_pages, empty_run),
        cmocka_unit_test_setup(test_a_lane_for_each_structure, empty_run),
        cmocka_unit_test_setup(test_many_variants, empty_run),
        cmocka_unit_test_setup(test_without_gnuplot, fixture_run),
        cmocka_unit_test_setup(test_no_points, empty_run),
        cmocka_unit_test_setup(test_nothing_ok, empty_run),
        cmocka_unit_test_setup(test_one_point_without_ceilings, empty_run),
        cmocka_unit_test_setup(test_again_overwrites, fixture_run),
        cmocka_unit_test_setup(test_cannot_write, fixture_run),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
