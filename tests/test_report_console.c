/* plots/: the console table, numbers and names. */
#include <fcntl.h>
#include <pthread.h>

#include "plots/report.h"
#include "plots/report_text.h"
#include "tests/report_run.h"

enum { LINE = 100 };

/* ---- text ---- */

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{NAN, ""},
                 {INFINITY, ""},
                 {0, "0"},
                 {1, "1.00"},
                 {99.96, "100"},
                 {9.996, "10.0"},
                 {12345, "12300"},
                 {0.0012345, "0.00123"},
                 {-2.5, "-2.50"},
                 {0.00099, "9.90e-04"},
                 {9.996e6, "1.00e+07"},
                 {687.4, "687"}};
    char text[NUMBER_LEN];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(number_text(cases[i].value, text), cases[i].text);
}

static void test_shortening(void **state) {
    (void)state;
    char text[64];
    text_shorten("llama7b/gate_up_proj", 20, text, sizeof text);
    assert_string_equal(text, "llama7b/gate_up_proj");
    text_shorten("llama7b/gate_up_proj", 13, text, sizeof text);
    assert_string_equal(text, "llama7~p_proj");
    text_shorten("\303\244\303\244\303\244\303\244\303\244", 3, text, sizeof text);
    assert_string_equal(text, "\303\244~\303\244");
}

/* ---- console ---- */

static char *console(status_t *st) {
    char *text = NULL;
    size_t len;
    FILE *out = tmpfile();
    assert_non_null(out);
    *st = report_console(run, out);
    fseek(out, 0, SEEK_END);
    len = (size_t)ftell(out);
    rewind(out);
    text = calloc(1, len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, len, out), len);
    fclose(out);
    return text;
}

static void assert_fits(const char *text) {
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        char copy[1024];
        snprintf(copy, sizeof copy, "%.*s", (int)strcspn(line, "\n"), line);
        if (text_width(copy) > LINE) fail_msg("more than 100 columns: %s", copy);
        if (!line[strcspn(line, "\n")]) break;
    }
}

static void test_console(void **state) {
    (void)state;
    status_t st;
    char *text = console(&st), line[256];
    assert_int_equal(st, STATUS_OK);
    assert_fits(text);
    assert_null(strchr(text, '\033'));
    assert_non_null(line_of(text, "llama1b/qo_proj              1 lowrank", line, sizeof line));
    assert_non_null(strstr(line, " lowrank/openblas      250   4.00    8.39   16.8  84.2 dram "));
    assert_non_null(strstr(text, " GFLOP/s "));
    assert_non_null(strstr(text, "oom: needs 9.2 GB, 8.0 GB are free\n"));
    assert_non_null(strstr(text, "mismatch: error 3.1e-2 is above the tolerance\n"));
    assert_line(text, "42 points:", "42 points: 34 ok, 5 unsupported, 1 mismatch, 1 oom, 1 error");
    assert_line(text, "flag ", "flag over_roof: vit_b16/fc2 n=197 monarch/fused");
    assert_non_null(strstr(text, "a_model_wit~ojection_in "));
    assert_non_null(strstr(text, "a_model_wit~jection_out "));
    free(text);
}

/* Names that are alike at both ends, cells that are as wide as they get, control characters. */
static void test_console_fits_anything(void **state) {
    (void)state;
    point_row_t rows[6];
    char layer[TEXT_LEN], variant[TEXT_LEN];
    memset(variant, 'v', sizeof variant - 1);
    variant[sizeof variant - 1] = '\0';
    for (int i = 0; i < 6; i++) {
        memset(layer, 'l', sizeof layer - 1);
        layer[sizeof layer - 1] = '\0';
        layer[sizeof layer / 2] = (char)('0' + i);
        make_row(&rows[i], layer, i ? "structure" : "dense", variant, 9007199254740991.0,
                 i == 4 ? NAN : 1.23456e12);
        rows[i].gbps = rows[i].roof_pct = 1.5e-9 * i;
        rows[i].error = 1e-300;
        row_set_text(rows[i].bound, "something_much_too_long");
        row_set_text(rows[i].flags, "%s", variant);
        if (i == 4) row_set_text(rows[i].reason, "%s", variant);
        if (i == 5) row_set_text(rows[i].layer, "\303\244\303\266 \302\233 %s", variant);
    }
    write_rows(rows, 6);
    status_t st;
    char *text = console(&st);
    assert_int_equal(st, STATUS_OK);
    assert_fits(text);
    for (int i = 1; i <= 5; i++) { /* five different lines for five different layers */
        char suffix[16];
        snprintf(suffix, sizeof suffix, "~%d ", i);
        if (!strstr(text, suffix)) fail_msg("no layer is told apart by %s:\n%s", suffix, text);
    }
    free(text);
}

typedef struct {
    int fd;
    char text[32768];
    size_t len;
} pump_t;

static void *pump(void *arg) {
    pump_t *p = arg;
    for (ssize_t n; (n = read(p->fd, p->text + p->len, sizeof p->text - 1 - p->len)) > 0;)
        p->len += (size_t)n;
    return NULL;
}

/* True if the console table holds an escape sequence when it goes to a terminal. */
static bool coloured(void) {
    pump_t p = {.fd = posix_openpt(O_RDWR | O_NOCTTY)};
    pthread_t thread;
    assert_true(p.fd >= 0);
    assert_int_equal(grantpt(p.fd) | unlockpt(p.fd), 0);
    FILE *out = fopen(ptsname(p.fd), "r+");
    assert_non_null(out);
    assert_int_equal(pthread_create(&thread, NULL, pump, &p), 0);
    const status_t st = report_console(run, out);
    fclose(out);
    pthread_join(thread, NULL);
    close(p.fd);
    assert_int_equal(st, STATUS_OK);
    assert_non_null(strstr(p.text, "42 points:"));
    return strchr(p.text, '\033') != NULL;
}

static void test_colour(void **state) {
    (void)state;
    unsetenv("NO_COLOR");
    assert_true(coloured());
    setenv("NO_COLOR", "1", 1);
    assert_false(coloured());
    unsetenv("NO_COLOR");
}

/* ---- what goes wrong ---- */

static void test_console_of_nothing(void **state) {
    (void)state;
    assert_int_equal(report_console(run, stderr), STATUS_IO);
    assert_non_null(strstr(last_error(), "points.csv"));
}

static void test_console_cannot_write(void **state) {
    (void)state;
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_int_equal(report_console(run, full), STATUS_IO);
    fclose(full);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_shortening),
        cmocka_unit_test_setup(test_console, fixture_run),
        cmocka_unit_test_setup(test_console_fits_anything, empty_run),
        cmocka_unit_test_setup(test_colour, fixture_run),
        cmocka_unit_test_setup(test_console_of_nothing, empty_run),
        cmocka_unit_test_setup(test_console_cannot_write, fixture_run),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
