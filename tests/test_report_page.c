/* plots/: the page, the paper's tables, another tool's timings, runs side by side. */
#include "plots/report.h"
#include "plots/report_claims.h"
#include "plots/svg.h"
#include "plots/text_table.h"

#include "report_run.h" /* last: the macro fail() of cmocka hides ours */

static bool have_gnuplot(void) {
    return system("command -v gnuplot >/dev/null 2>&1") == 0;
}

static int count(const char *text, const char *wanted) {
    int found = 0;
    for (const char *at = strstr(text, wanted); at; at = strstr(at + 1, wanted)) found++;
    return found;
}

static void make(const report_options_t *options) {
    const char *const dirs[] = {run};
    const status_t st = report_make(dirs, 1, options);
    if (st != STATUS_OK && have_gnuplot()) fail_msg("%s", last_error());
}

static void write_text(const char *name, const char *text) {
    char path[3 * PATH_LEN];
    snprintf(path, sizeof path, "%s/%s", run, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* ---- the page ---- */

static void test_page_needs_nothing_else(void **state) {
    (void)state;
    if (!have_gnuplot()) skip();
    copy_fixture("run_gpu", "models.csv");
    copy_fixture("run_gpu", "model_layers.csv");
    make(&(report_options_t){.paper = true});
    char *page = read_report("index.html", NULL);
    assert_int_equal(count(page, "<script"), 0);
    assert_int_equal(count(page, "src="), 0);
    assert_int_equal(count(page, "@import"), 0);
    assert_int_equal(count(page, "onmouse"), 0);
    assert_int_equal(count(page, "gnuplot_svg"), 0);
    assert_int_equal(count(page, "http"), count(page, "xmlns"));
    assert_int_equal(count(page, "<svg"),
                     7); /* rooflines of DRAM, L2 and models; speedup, time, excess, models */
    assert_int_equal(count(page, "</svg>"), 7);
    assert_int_equal(count(page, "id='f1-gpPt6'"), 1); /* ids are of one picture each */
    assert_int_equal(count(page, "id='gpPt6'"), 0);
    assert_true(count(page, "prefers-color-scheme: dark") > 0);
    assert_non_null(
        strstr(page, "<title>m/proj (4096 \342\206\222 4096), 64 tokens, lowrank/cublas r1024"));
    const char *const order[] = {
        "<h2>Machine",        "<h2>Is it fit",      "<h2>Ceilings",    "f1-",
        "<h3>Where it",       "<h3>Excess traffic", "<h3>Slow points", "<h2>Whole models",
        "The paper's claims", "<h2>Origin"};
    const char *at = page;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const char *found = strstr(at, order[i]);
        if (found)
            at = found;
        else
            fail_msg("%s is not in its place", order[i]);
    }
    assert_true(has_report("passes.pdf") && has_report("roofline.pdf") && has_report("models.csv"));
    free(page);
}

static void test_nothing_is_taken_for_markup(void **state) {
    (void)state;
    point_row_t row;
    make_row(&row, "m/<script>alert(1)</script>&l'", "blast", "b", 8, 12);
    write_rows(&row, 1);
    if (!have_gnuplot()) skip();
    make(&(report_options_t){0});
    char *page = read_report("index.html", NULL), *svg = read_report("roofline.svg", NULL);
    assert_int_equal(count(page, "<script"), 0);
    assert_true(count(page, "&lt;script") > 0);
    assert_int_equal(count(svg, "<script"), 0);
    assert_non_null(strstr(svg, "<title>m/&lt;script>alert(1)&lt;/script>&amp;l  (64"));
    free(page);
    free(svg);
}

static void test_page_without_gnuplot(void **state) {
    (void)state;
    char path[4 * PATH_LEN];
    const char *const dirs[] = {run}, *before = getenv("PATH");
    snprintf(path, sizeof path, "%s", before ? before : "");
    setenv("PATH", "/nonexistent", 1);
    const status_t st = report_make(dirs, 1, &(report_options_t){0});
    setenv("PATH", path, 1);
    assert_int_equal(st, STATUS_ENVIRONMENT);
    char *page = read_report("index.html", NULL);
    assert_non_null(strstr(page, "gnuplot is not installed"));
    assert_int_equal(count(page, "<svg"), 0);
    free(page);
}

static void test_crossings_are_marked(void **state) {
    (void)state;
    make(&(report_options_t){0});
    char *data = read_report("data/crossings_p1.tsv", NULL);
    /* unfused: 1.6x at 16 tokens, 0.75x at 128: ln 1.6 / ln (1.6 / 0.75) of the way, in logs */
    const double at = 16 * pow(8, log(1.6) / log(1.6 / 0.75));
    char line[256], wanted[64];
    snprintf(wanted, sizeof wanted, "1\t4\t%.9g\t", at);
    assert_non_null(line_of(data, wanted, line, sizeof line));
    free(data);
}

/* ---- the paper ---- */

static void paper_row(point_row_t *row, const char *structure, const char *variant, double us) {
    make_row(row, "llama7b/qkvo_proj", structure, variant, 1024, us);
    row->blocks = 16;
    row->rank = 1024;
    row_set_text(row->device, "cuda:0");
    row_set_text(row->dtype, "bf16");
}

static const char *const a40 = "key,value\ndevice,cuda:0\ndevice_name,NVIDIA A40\n";

static judged_t judge(const report_t *report, const char *structure, const char *quantity) {
    judged_t *all, found = {0};
    int len;
    assert_int_equal(claims_judge(report, 0, &all, &len), STATUS_OK);
    assert_int_equal(len, 13);
    bool any = false;
    for (int i = 0; i < len && !any; i++)
        if (!strcmp(all[i].claim.structure, structure) &&
            !strcmp(all[i].claim.quantity, quantity)) {
            found = all[i];
            any = true;
        }
    assert_true(any);
    free(all);
    return found;
}

static void test_claims(void **state) {
    (void)state;
    point_row_t rows[6];
    report_t report;
    paper_row(&rows[0], "dense", "cublas", 100);
    paper_row(&rows[1], "lowrank", "cublas", 46);   /* 0.46, within 15 % below 0.53 */
    paper_row(&rows[2], "monarch", "unfused", 90);  /* 0.90, not within 15 % below 1.14 */
    paper_row(&rows[3], "monarch", "chained", 45);  /* twice as fast as that */
    paper_row(&rows[4], "blast", "three_bmm", 101); /* slower than partial by a little */
    paper_row(&rows[5], "blast", "partial", 100);
    write_rows(rows, 6);
    write_text("run.csv", a40);
    assert_int_equal(report_load(run, &report), STATUS_OK);
    judged_t j = judge(&report, "lowrank", "runtime_vs_dense");
    assert_int_equal(j.verdict, CLAIM_REPRODUCED);
    assert_true(fabs(j.low - 0.46) < 1e-12 && j.low == j.high);
    assert_int_equal(judge(&report, "monarch", "runtime_vs_dense").verdict, CLAIM_NOT_REPRODUCED);
    assert_int_equal(judge(&report, "monarch", "speedup_vs_unfused").verdict, CLAIM_REPRODUCED);
    j = judge(&report, "blast", "speedup_vs_partial"); /* an order has no tolerance */
    assert_int_equal(j.verdict, CLAIM_NOT_REPRODUCED);
    j = judge(&report, "blast", "runtime_vs_dense"); /* no unfused here */
    assert_int_equal(j.verdict, CLAIM_NOT_APPLICABLE);
    assert_string_equal(j.reason, "no such point in this run");
    j = judge(&report, "blast", "speedup_vs_unfused");
    assert_int_equal(j.verdict, CLAIM_NOT_APPLICABLE);
    j = judge(&report, "blast", "end_to_end_speedup_vs_dense");
    assert_int_equal(j.verdict, CLAIM_NOT_APPLICABLE);
    assert_non_null(strstr(j.reason, "models.csv"));
    report_free(&report);
    write_text("run.csv", "key,value\ndevice,cuda:0\ndevice_name,NVIDIA A400\n");
    assert_int_equal(report_load(run, &report), STATUS_OK);
    j = judge(&report, "lowrank", "runtime_vs_dense");
    assert_int_equal(j.verdict, CLAIM_NOT_APPLICABLE);
    assert_string_equal(j.reason, "said of the A40");
    assert_true(j.high > 0); /* told all the same */
    report_free(&report);
}

static void test_paper_tables(void **state) {
    (void)state;
    copy_fixture("run_gpu", "models.csv");
    make(&(report_options_t){.paper = true, .latex = true});
    char *csv = read_report("speedup.csv", NULL), *models = read_report("models.csv", NULL);
    assert_line(csv, "m/proj,1024,", "m/proj,1024,80.0,1.33x,0.500x,0.800x");
    assert_line(models, "llama7b,blast/three_bmm",
                "llama7b,blast/three_bmm,prefill,1024,18.0,1.33x,1.30x");
    assert_line(models, "llama7b,blast/partial", "llama7b,blast/partial,prefill,1024,oom,,");
    char *tex = read_report("claims.tex", NULL), *md = read_report("paper.md", NULL);
    assert_non_null(strstr(tex, "\\toprule"));
    assert_non_null(strstr(tex, "runtime\\_vs\\_dense"));
    assert_null(strstr(tex, "end_to_end"));
    assert_non_null(strstr(md, "## The paper's claims; Fixture GPU (cuda:0), bf16, cache rotate"));
    assert_true(has_report("table2.csv"));
    free(csv);
    free(models);
    free(tex);
    free(md);
}

static void test_wide_tables(void **state) {
    (void)state;
    text_table_t t;
    char *text;
    size_t len;
    table_begin(&t, 10, 2);
    table_cell(&t, "why");
    table_cell(&t, "name");
    for (int i = 2; i < 10; i++) table_cell(&t, "head_%d", i);
    table_cell(&t, "a sentence that is longer than a line");
    table_cell(&t, "a_name_that_is_longer_than_a_line");
    for (int i = 2; i < 10; i++) table_number(&t, i, "");
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(table_latex(&t, out), STATUS_OK);
    fclose(out);
    assert_non_null(strstr(text, "longtable,graphicx} "));
    assert_non_null(strstr(text, "\\begin{longtable}{p{11em}lrrrrrrrr}\n"));
    assert_non_null(strstr(text, "why & name & \\rotatebox{90}{head\\_2} & "));
    free(text);
    table_free(&t);
}

static void test_tables_escape(void **state) {
    (void)state;
    text_table_t t;
    char *text;
    size_t len;
    table_begin(&t, 2, 1);
    table_cell(&t, "a|b");
    table_cell(&t, "n");
    table_cell(&t, "%s", "50 % & \"_\\^");
    table_number(&t, 1.5, "x");
    assert_int_equal(table_rows(&t), 1);
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(table_csv(&t, out), STATUS_OK);
    fclose(out);
    assert_string_equal(text, "a|b,n\n\"50 % & \"\"_\\^\",1.50x\n");
    free(text);
    out = open_memstream(&text, &len);
    assert_int_equal(table_markdown(&t, out), STATUS_OK);
    fclose(out);
    assert_string_equal(text, "| a\\|b | n |\n| --- | ---: |\n| 50 % & \"_\\\\^ | 1.50x |\n\n");
    free(text);
    out = open_memstream(&text, &len);
    assert_int_equal(table_latex(&t, out), STATUS_OK);
    fclose(out);
    assert_non_null(strstr(text, "{lr}\n"));
    assert_non_null(strstr(text, "50 \\% \\& \"\\_\\textbackslash{}\\^{} & 1.50x \\\\\n"));
    free(text);
    table_free(&t);
}

/* What a spreadsheet would run gets an apostrophe; numbers stay numbers. */
static void test_no_cell_is_a_formula(void **state) {
    (void)state;
    static const char *const cells[] = {
        "=cmd|' /C calc'!A0", "@SUM(1)", "-2+3", "-2/layer", "+cmd,1", "-1.50x", "-3", "a=b"};
    text_table_t t;
    char *text;
    size_t len;
    table_begin(&t, 2, 1);
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) table_cell(&t, "%s", cells[i]);
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(table_csv(&t, out), STATUS_OK);
    fclose(out);
    assert_string_equal(text, "'=cmd|' /C calc'!A0,'@SUM(1)\n'-2+3,'-2/layer\n"
                              "\"'+cmd,1\",-1.50x\n-3,a=b\n");
    free(text);
    table_free(&t);
}

/* ---- another tool ---- */

static const char peer_head[] =
    "model,layer,tokens,in_features,out_features,blocks,rank,method,do_bench_us,cuda_graph_us\n";

static void add_peer(const char *rows, status_t expected, const char *message) {
    char path[3 * PATH_LEN], text[1024];
    const char *const dirs[] = {run};
    snprintf(text, sizeof text, "%s%s", peer_head, rows);
    write_text("other.csv", text);
    snprintf(path, sizeof path, "%s/other.csv", run);
    const status_t st = report_make(dirs, 1, &(report_options_t){.peer = path});
    if (have_gnuplot() || expected != STATUS_OK) assert_int_equal(st, expected);
    if (expected != STATUS_OK && !strstr(last_error(), message)) fail_msg("%s", last_error());
}

static void test_peer(void **state) {
    (void)state;
    add_peer("x,y,1024,4096,4096,1,0,torch_dense,40,20\n"           /* found by its size */
             "m,proj,1024,4096,4096,16,1024,triton_monarch,50,25\n" /* by its name */
             "m,proj,1024,4096,4096,16,1024,triton_blast,40,\n"     /* no graph time */
             "m,proj,1024,4096,4096,8,512,odd_monarch,40,10\n",     /* other work */
             STATUS_OK, "");
    char *csv = read_report("speedup.csv", NULL), *index = read_report("index.md", NULL);
    /* Over the 80 us of the run, never over the 20 us of the other tool. */
    assert_line(csv, "layer,",
                "layer,tokens,\"dense, us\",lowrank/cublas,monarch/unfused,"
                "monarch/triton_monarch (other),blast/partial,blast/triton_blast (other)");
    assert_line(csv, "m/proj,1024,", "m/proj,1024,80.0,1.33x,0.500x,3.20x,0.800x,2.00x");
    assert_non_null(strstr(index, "8 points, 8 of them ok."));
    assert_non_null(strstr(index, "4 timings of another tool come from other.csv"));
    assert_non_null(strstr(index, "20.0 us, 4.00x")); /* its dense */
    free(csv);
    free(index);
}

static void test_bad_peer(void **state) {
    (void)state;
    add_peer("", STATUS_USAGE, "has no rows");
    add_peer("m,proj,1024,4096,4096,16,1024,magic,50,25\n", STATUS_USAGE, ":2:method: 'magic'");
    add_peer("m,proj,x,4096,4096,16,1024,blast,50,25\n", STATUS_USAGE, ":2:tokens");
}

/* ---- several runs ---- */

static void test_runs_side_by_side(void **state) {
    (void)state;
    char first[PATH_LEN];
    copy_run(state, "run_gpu");
    memcpy(first, run, sizeof first);
    copy_run(state, "run_gpu");
    write_text("run.csv", a40);
    const char *const dirs[] = {first, run};
    const status_t st = report_make(dirs, 2, &(report_options_t){0});
    if (have_gnuplot()) assert_int_equal(st, STATUS_OK);
    char *index = read_report("index.md", NULL), *pairs = read_report("data/beside_A.tsv", NULL);
    assert_non_null(strstr(index, ", NVIDIA A40 (cuda:0), the run of this page"));
    assert_line(index, "| device_name", "| device_name | Fixture GPU | NVIDIA A40 |");
    assert_line(index, "| m/proj | lowrank/cublas | 1024 |",
                "| m/proj | lowrank/cublas | 1024 | 60.0 (1.33x) | 60.0 (1.33x) |");
    assert_non_null(strstr(pairs, "60.0 us here, 60.0 us in A, which is 1.00x as fast"));
    if (have_gnuplot()) assert_true(has_report("beside_A.svg"));
    assert_false(has_report("beside_B.svg"));
    free(index);
    free(pairs);
}

/* ---- many rows ---- */

/* 3000 layers at 2 token counts: what is drawn and told on the page ends somewhere, and says so. */
static void test_many_rows(void **state) {
    (void)state;
    enum { LAYERS = 3000 };
    char path[4 * PATH_LEN];
    point_row_t *rows = calloc((size_t)LAYERS * 4, sizeof *rows);
    assert_non_null(rows);
    for (int i = 0; i < LAYERS; i++)
        for (int k = 0; k < 4; k++) {
            char layer[32];
            snprintf(layer, sizeof layer, "m/layer_%d", LAYERS - i);
            make_row(&rows[4 * i + k], layer, k % 2 ? "blast" : "dense", "a", k < 2 ? 8 : 16,
                     k % 2 ? 50 : 100);
        }
    write_rows(rows, 4 * LAYERS);
    free(rows);
    const char *const dirs[] = {run}, *before = getenv("PATH");
    snprintf(path, sizeof path, "%s", before ? before : "");
    setenv("PATH", "/nonexistent", 1); /* what gnuplot would draw is in the data */
    assert_int_equal(report_make(dirs, 1, &(report_options_t){0}), STATUS_ENVIRONMENT);
    setenv("PATH", path, 1);
    char *index = read_report("index.md", NULL), *table = read_report("speedup.md", NULL);
    char *points = read_report("data/roofline.tsv", NULL),
         *panels = read_report("data/panels.tsv", NULL);
    assert_non_null(strstr(index, "The first 200 of 6000 rows"));
    assert_int_equal(count(table, "| m/layer_"), 6000);
    assert_line(table, "| m/layer_3000 |",
                "| m/layer_3000 | 8 | 100 us, 1.00x | **50.0 us, 2.00x** |");
    assert_line(table, "| m/layer_1 | 16 |",
                "| m/layer_1 | 16 | 100 us, 1.00x | **50.0 us, 2.00x** |");
    assert_int_equal(count(points, "\n"), 1 + 12000 / 6);
    assert_int_equal(count(panels, "\n"), 1 + 24);
    free(index);
    free(table);
    free(points);
    free(panels);
}

/* ---- SVG ---- */

static void test_svg(void **state) {
    (void)state;
    char path[3 * PATH_LEN], *text;
    size_t len;
    write_text("x.svg",
               "<?xml?>\n<svg xmlns=\"x\">\n<title>Gnuplot</title>\n<desc>d</desc>\n"
               "<rect fill=\"#fff\"/><rect id='a'/><use href='#a'/>"
               "<g onmousemove=\"gnuplot_svg.showHypertext(evt,'it &lt; \"b\"')\" "
               "onmouseout=\"gnuplot_svg.hideHypertext()\"><title> </title><use/></g></svg>");
    snprintf(path, sizeof path, "%s/x.svg", run);
    assert_int_equal(svg_tidy(path), STATUS_OK);
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(svg_inline(path, "p-", out), STATUS_OK);
    fclose(out);
    assert_string_equal(text, "<svg xmlns=\"x\">\n\n\n<rect id='p-a'/><use href='#p-a'/>"
                              "<g><title>it &lt; \"b\"</title><use/></g></svg>\n");
    free(text);
    assert_int_equal(svg_tidy("/nonexistent/x.svg"), STATUS_IO);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_page_needs_nothing_else, counted_run),
        cmocka_unit_test_setup(test_nothing_is_taken_for_markup, empty_run),
        cmocka_unit_test_setup(test_page_without_gnuplot, fixture_run),
        cmocka_unit_test_setup(test_crossings_are_marked, fixture_run),
        cmocka_unit_test_setup(test_claims, empty_run),
        cmocka_unit_test_setup(test_paper_tables, counted_run),
        cmocka_unit_test(test_wide_tables),
        cmocka_unit_test(test_no_cell_is_a_formula),
        cmocka_unit_test(test_tables_escape),
        cmocka_unit_test_setup(test_peer, counted_run),
        cmocka_unit_test_setup(test_bad_peer, counted_run),
        cmocka_unit_test(test_runs_side_by_side),
        cmocka_unit_test_setup(test_many_rows, empty_run),
        cmocka_unit_test_setup(test_svg, empty_run),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
