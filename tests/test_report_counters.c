/* plots/: what a report says of counted bytes and FLOPs, and where there are none. */
#include "plots/report.h"

#include "tests/report_run.h"

/* Pictures or not, the tables are written. */
static bool wrote(void) {
    const status_t st = report_write(run);
    if (st != STATUS_OK && st != STATUS_ENVIRONMENT) fail_msg("%s", last_error());
    return st == STATUS_OK;
}

static void assert_holds(const char *text, const char *expected) {
    if (!strstr(text, expected)) fail_msg("the text lacks \"%s\"", expected);
}

static void test_table2(void **state) {
    (void)state;
    wrote();
    char *table = read_report("table2.md", NULL);
    assert_holds(table, "7 of 8 points were counted.");
    /* Compulsory 25.2 + 8.4 MB; both intermediate passes of 2.1 MB are missing from DRAM. */
    assert_line(
        table, "| m/proj | 1024 | lowrank/cublas |",
        "| m/proj | 1024 | lowrank/cublas | 17.2 | 17.2 | 33.6 | 37.7 | 25.2 | 4.19 | 75.5 "
        "| 8.39 MB less than the model: the L2 of 50.0 MB absorbs at least 2.10 of the 2.10 "
        "MB of intermediates read back |");
    assert_line(table, "| m/proj | 64 | monarch/unfused |",
                "| m/proj | 64 | monarch/unfused | 1.07 | 1.61 | 17.8 | 22.0 | 43.3 | 0.786 | 86.5 "
                "| 22.0 MB more than the model |");
    assert_line(table, "| m/proj | 64 | lowrank/cublas |",
                "| m/proj | 64 | lowrank/cublas | 1.07 | 1.07 | 17.8 | 18.1 | 17.3 | 0.262 | 51.9 "
                "|  |");
    assert_line(table, "| m/proj | 64 | blast/partial |",
                "| m/proj | 64 | blast/partial | 1.11 | not counted | 18.4 | 18.6 | not counted | "
                "not counted | not counted |  |");
    free(table);
}

static void test_excess_traffic(void **state) {
    (void)state;
    wrote();
    char *index = read_report("index.md", NULL);
    /* The most wasteful variant comes first; the point without counters is in no mean. */
    assert_holds(index, "| ---: | --- | ---: |\n"
                        "| monarch/unfused | 2 | 2.50x | 2.50x: m/proj, n=64 | 1.50x |\n"
                        "| dense/cublas | 2 | 1.25x | 1.25x: m/proj, n=64 | 1.00x |\n"
                        "| lowrank/cublas | 2 | 1.00x | 1.00x: m/proj, n=64 | 1.00x |\n"
                        "| blast/partial | 1 | 1.00x | 1.00x: m/proj, n=1024 | 0.970x |\n");
    assert_line(index, "| m/proj | 1024 | blast/partial | bf16 |",
                "| m/proj | 1024 | blast/partial | bf16 | impossible |");
    assert_holds(index, "fewer FLOPs executed than the algorithm needs");
    free(index);
    /* Each layer at its largest token count, a lane for each structure, dense too. */
    char *lanes = read_report("data/excess_lanes.tsv", NULL);
    char *layers = read_report("data/excess_layers.tsv", NULL);
    assert_line(layers, "1\t", "1\t1\t4\tm/proj, n=1024");
    assert_line(lanes, "1\t3\t", "1\t3\t3\t2.5\t2.5\t2.5\t2.50\303\227\t1");
    assert_line(lanes, "1\t4\t", "1\t4\t4\t1\t1\t1\t1.00\303\227\t0");
    free(lanes);
    free(layers);
}

static void test_slow_points(void **state) {
    (void)state;
    wrote();
    char *index = read_report("index.md", NULL);
    assert_holds(index, "by the time they lose: 2.");
    /* 25.8 GFLOP at 500 TFLOP/s are 51.5 of 160 us, 75.5 MB at 2500 GB/s 30.2 us; the intermediate
     * of 33.6 MB moves twice, 67.1 of 100.7 MB. */
    assert_line(
        index, "| m/proj | 1024 | monarch/unfused | 160 |",
        "| m/proj | 1024 | monarch/unfused | 160 | 21.5 | tensor cores 32 %, DRAM 19 % | "
        "writes an intermediate of 33.6 MB and reads it back: 67 % of its modelled traffic; "
        "fuse the stages; executes 1.50 times the FLOPs it needs: pad less |");
    free(index);
}

static void test_crossings(void **state) {
    (void)state;
    wrote();
    char *index = read_report("index.md", NULL);
    assert_holds(index, "200 FLOP per byte of DRAM");
    /* 50.10 and 606.8 FLOP/B against 200: 64 x 16^(1.3842 / 2.4942) = 298. */
    assert_line(index, "| m/proj | 64 to 1024 | dense",
                "| m/proj | 64 to 1024 | dense/cublas | from 298 | - |");
    /* 1.2 and 0.8 times as fast: 64 x 16^(0.1823 / 0.4055) = 223. */
    assert_line(index, "| m/proj | 64 to 1024 | blast",
                "| m/proj | 64 to 1024 | blast/partial | from 274 | up to 223 |");
    assert_line(index, "| m/proj | 64 to 1024 | lowrank",
                "| m/proj | 64 to 1024 | lowrank/cublas | from 274 | always in this run |");
    assert_line(index, "| m/proj | 64 to 1024 | monarch",
                "| m/proj | 64 to 1024 | monarch/unfused | from 872 | never in this run |");
    free(index);
}

static void test_counted_pictures(void **state) {
    (void)state;
    if (!wrote()) skip();
    char *svg = read_report("roofline.svg", NULL);
    assert_holds(svg, "measured by counters for 7 points, modelled for 1");
    assert_holds(svg, "filled: bytes counted");
    assert_holds(svg, "hollow: bytes modelled");
    free(svg);
    svg = read_report("roofline_l2.svg", NULL);
    assert_holds(svg, "Roofline of the L2: Fixture GPU");
    assert_holds(svg, "FLOP per byte of L2 traffic");
    assert_holds(svg, "L2: 5000 GB/s (read)");
    assert_null(strstr(svg, "DRAM: "));
    free(svg);
    svg = read_report("excess_traffic.svg", NULL);
    assert_holds(svg, "Excess traffic: Fixture GPU");
    assert_holds(svg, "Bytes read from DRAM over inputs and weights read once");
    free(svg);
    /* The counted intensity, then the model's, and that it was counted. */
    char *data = read_report("data/roofline.tsv", NULL);
    assert_line(data, "1\tdense/cublas\tm/proj\t64",
                "1\tdense/cublas\tm/proj\t64\t50.10398\t8.94785e+13\t85.19683\t62.06061\t"
                "m/proj (4096 \342\206\222 4096), 64 tokens, dense/cublas: 24.0 us (24.0 to 24.0), "
                "1.00x dense, 89.5 TFLOP/s, 85.2 % of roof (l2), DRAM read 42.6 MB, measured and "
                "counted\t1");
    assert_line(
        data, "4\tblast/partial\tm/proj\t64",
        "4\tblast/partial\tm/proj\t64\t60.34286\t5.536481e+13\t36.70016\t60.34286\t"
        "m/proj (4096 \342\206\222 4096), 64 tokens, blast/partial b16 r1024: 20.0 us (20.0 "
        "to 20.0), 1.20x dense, 55.4 TFLOP/s, 36.7 % of roof (dram), measured\t0");
    free(data);
}

static void test_without_counters(void **state) {
    (void)state;
    const bool pictures = wrote();
    char *table = read_report("table2.md", NULL), *index = read_report("index.md", NULL);
    assert_holds(table, "Not counted: counters were off.");
    assert_holds(table, "| llama1b/qo_proj | 1 | dense/openblas | 0.00839 | not counted |");
    assert_holds(index, "Not counted: counters were off.");
    assert_null(strstr(index, "beyond inputs"));
    assert_false(has_report("roofline_l2.svg"));
    if (pictures) {
        char *svg = read_report("roofline.svg", NULL);
        assert_holds(svg, "hollow: bytes modelled");
        assert_null(strstr(svg, "filled: bytes counted"));
        free(svg);
    }
    free(table);
    free(index);
}

/* Its rows lack the columns of later programs. */
static void test_a_run_from_before_counters(void **state) {
    (void)state;
    char path[3 * PATH_LEN];
    snprintf(path, sizeof path, "%s/points.csv", run);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("device,dtype,cache,workload,layer,structure,variant,tokens,in_features,out_features,"
          "status,time_us,flops,bytes_min,bytes_model,tflops,intensity,roof_us,roof_pct\n"
          "cuda:0,bf16,rotate,w,m/l,blast,unfused,64,8,8,"
          "ok,100,1000000000,1000000,4000000,10,1000,20,20\n",
          file);
    fclose(file);
    wrote();
    char *index = read_report("index.md", NULL);
    assert_holds(index, "writes intermediates of 1.50 MB and reads them back: 75 % of its modelled "
                        "traffic");
    assert_holds(index, "Not counted: counters were unknown.");
    assert_holds(index, "Every layer has one token count");
    free(index);
}

static void test_not_a_table_of_points(void **state) {
    (void)state;
    char path[3 * PATH_LEN];
    snprintf(path, sizeof path, "%s/points.csv", run);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("a,b\n1,2\n", file);
    fclose(file);
    assert_int_equal(report_write(run), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "points.csv"));
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_table2, counted_run),
        cmocka_unit_test_setup(test_excess_traffic, counted_run),
        cmocka_unit_test_setup(test_slow_points, counted_run),
        cmocka_unit_test_setup(test_crossings, counted_run),
        cmocka_unit_test_setup(test_counted_pictures, counted_run),
        cmocka_unit_test_setup(test_without_counters, fixture_run),
        cmocka_unit_test_setup(test_a_run_from_before_counters, empty_run),
        cmocka_unit_test_setup(test_not_a_table_of_points, empty_run),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
