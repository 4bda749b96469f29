/* results/csv_table.c: round trips, limits, and one test for each kind of malformed input. */
#include <fcntl.h>
#include <math.h>
#include <sys/resource.h>

#include "results/csv_table.h"
#include "tests/temp_file.h"

typedef struct {
    char name[TEXT_LEN];
    double count, real;
} small_row_t;

static const column_t small_columns[] = {{"name", CELL_TEXT, offsetof(small_row_t, name)},
                                         {"count", CELL_COUNT, offsetof(small_row_t, count)},
                                         {"real", CELL_REAL, offsetof(small_row_t, real)}};
static const table_t small_table = {NULL, small_columns, 3, sizeof(small_row_t)};

enum { MAX_SEEN = 8 };
typedef struct {
    small_row_t rows[MAX_SEEN];
    int lines[MAX_SEEN];
    int count;
} seen_t;

static status_t see(void *ctx, const void *row, int line) {
    seen_t *seen = ctx;
    assert_true(seen->count < MAX_SEEN);
    seen->rows[seen->count] = *(const small_row_t *)row;
    seen->lines[seen->count++] = line;
    return STATUS_OK;
}

static void read_ok(const char *text, seen_t *seen) {
    *seen = (seen_t){0};
    temp_text(text);
    const status_t st = table_read(&small_table, temp_path, true, see, seen);
    if (st != STATUS_OK) fail_msg("%s", last_error());
}

/* ---- malformed input: a file, where the message must point, and what it must say ---- */

typedef struct {
    const char *kind;
    const char *bytes;
    size_t len;
    const char *where, *what;
} bad_t;

#define BAD(kind, bytes, where, what)                                                              \
    { kind, bytes, sizeof(bytes) - 1, where, what }
#define HEAD "name,count,real\n"
#define X10 "xxxxxxxxxx"
#define X190 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static const bad_t bad_files[] = {
    BAD("empty file", "", "1:1", "file is empty"),
    BAD("only a byte-order mark", "\xEF\xBB\xBF", "1:1", "file is empty"),
    BAD("only blank lines", "\n\r\n\n", "1:1", "file is empty"),
    BAD("wrong columns", "a,b\n1,2\n", "1:name", "missing from the header"),
    BAD("missing column", "name,real\na,1\n", "1:count", "missing from the header"),
    BAD("duplicate column", "name,count,real,count\n", "1:4", "first as column 2"),
    BAD("duplicate unknown column", "name,u,count,u,real\n", "1:4", "\"u\" is there twice"),
    BAD("empty column name", "name,,count,real\n", "1:2", "empty column name"),
    BAD("short row", HEAD "a,1,2\nb,1\n", "3:real", "ends here with 2 cells: expected 3"),
    BAD("long row", HEAD "a,1,2,3\n", "2:4", "more cells than the header's 3"),
    BAD("blank is not empty", HEAD "a,1,2\n \n", "3:count", "ends here with 1 cells"),
    BAD("quote inside a plain cell", HEAD "a\"b,1,2\n", "2:name", "stray quote"),
    BAD("text after a closing quote", HEAD "a,\"1\"x,2\n", "2:count", "stray quote"),
    BAD("space before a quote", HEAD "a, \"1\",2\n", "2:count", "stray quote"),
    BAD("unclosed quote", HEAD "a,1,2\nb,1,\"2\nc,3,4\n", "3:real", "never closed"),
    BAD("unclosed quote after a quoted newline", HEAD "\"a\nb\"\"c\",1,2\n\"d\"\"\n,1,2\n",
        "4:name", "never closed"),
    BAD("NUL byte", HEAD "a,1,2\nb,\0,2\n", "3:count", "NUL byte"),
    BAD("NUL byte in quotes", HEAD "a,1,2\n\"b\n\0\",1,2\n", "4:name", "NUL byte"),
    BAD("NUL byte in the header", "name,co\0unt,real\n", "1:2", "NUL byte"),
    BAD("lone carriage return", HEAD "a,1,2\rb,1,2\n", "2:real", "carriage return"),
    BAD("cell too long", HEAD "a,1,2\n" X190 "xx,1,2\n", "3:name", "192 bytes: at most 191"),
    BAD("quoted cell too long", HEAD "\"" X190 "\n\n\",1,2\n", "2:name", "192 bytes"),
    BAD("header cell too long", "name," X190 "xx\n", "1:2", "192 bytes"),
    BAD("count: letters", HEAD "a,12x,2\n", "2:count", "\"12x\" is not a whole number"),
    BAD("count: negative", HEAD "a,-1,2\n", "2:count", "\"-1\" is not a whole number"),
    BAD("count: fraction", HEAD "a,1.5,2\n", "2:count", "\"1.5\" is not a whole number"),
    BAD("count: exponent", HEAD "a,1e3,2\n", "2:count", "\"1e3\" is not a whole number"),
    BAD("count: beyond 2^53", HEAD "a,9007199254740994,2\n", "2:count", "too large: at most 2^53"),
    BAD("count: leading space", HEAD "a, 1,2\n", "2:count", "\" 1\" is not a whole number"),
    BAD("count: trailing space", HEAD "a,1 ,2\n", "2:count", "\"1 \" is not a whole number"),
    BAD("real: hexadecimal", HEAD "a,1,0x10\n", "2:real", "\"0x10\" is not a number"),
    BAD("real: inf", HEAD "a,1,inf\n", "2:real", "\"inf\" is not a number"),
    BAD("real: nan", HEAD "a,1,nan\n", "2:real", "\"nan\" is not a number"),
    BAD("real: leading space", HEAD "a,1, 2\n", "2:real", "\" 2\" is not a number"),
    BAD("real: half a number", HEAD "a,1,1e\n", "2:real", "\"1e\" is not a number"),
    BAD("real: two numbers", HEAD "a,1,1.2.3\n", "2:real", "\"1.2.3\" is not a number"),
    BAD("real: overflow", HEAD "a,1,-1e999\n", "2:real", "too large"),
    BAD("escape sequence in the message", HEAD "a,1,\x1b[31m\n", "2:real", "\" [31m\""),
    BAD("line after a quoted newline", HEAD "\"a\nb\",1,2\nc,1,z\n", "4:real", "\"z\""),
    BAD("cell after a quoted newline", HEAD "\"a\nb\",1,z\n", "3:real", "\"z\""),
    BAD("line after blank lines and CRLF", HEAD "\r\n\na,1,2\r\nb,y,2\r\n", "5:count", "\"y\""),
};
enum { BAD_FILES = sizeof bad_files / sizeof *bad_files };

static void test_bad_file(void **state) {
    const bad_t *bad = *state;
    seen_t seen = {0};
    temp_write(bad->bytes, bad->len);
    assert_int_equal(table_read(&small_table, temp_path, true, see, &seen), STATUS_USAGE);
    assert_message(last_error(), bad->where, bad->what);
    assert_null(strchr(last_error(), '\x1b'));
}

static long peak_kb(void) {
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* The file is made of `start` and then 10 MB of `byte`. */
static void write_10_mb(const char *start, char byte) {
    static char block[65536];
    memset(block, byte, sizeof block);
    temp_text(start);
    FILE *file = fopen(temp_path, "ab");
    assert_non_null(file);
    for (int i = 0; i < 160; i++)
        assert_int_equal(fwrite(block, 1, sizeof block, file), sizeof block);
    assert_int_equal(fclose(file), 0);
}

static void test_line_of_10_mb(void **state) {
    (void)state;
    seen_t seen = {0};
    write_10_mb(HEAD "a,1,2\nb,", '7');
    const long before = peak_kb();
    assert_int_equal(table_read(&small_table, temp_path, true, see, &seen), STATUS_USAGE);
    assert_message(last_error(), "3:count", "longer than 65536 bytes");
    assert_int_equal(seen.count, 1);
    assert_true(peak_kb() - before < 4096);
}

static void test_unclosed_quote_of_10_mb(void **state) {
    (void)state;
    seen_t seen = {0};
    write_10_mb(HEAD "a,1,2\nb,1,\"", '\n');
    assert_int_equal(table_read(&small_table, temp_path, true, see, &seen), STATUS_USAGE);
    assert_message(last_error(), "3:real", "is a closing quote missing?");
}

static void test_header_of_10_mb(void **state) {
    (void)state;
    seen_t seen = {0};
    write_10_mb("name,count,real", ',');
    assert_int_equal(table_read(&small_table, temp_path, true, see, &seen), STATUS_USAGE);
    assert_non_null(strstr(last_error(), ".csv:1:"));
    assert_non_null(strstr(last_error(), "longer than 65536 bytes"));
}

static void test_too_many_columns(void **state) {
    (void)state;
    static char text[16384];
    size_t len = 0;
    for (int i = 0; i < 1025; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%sc%d", i ? "," : "", i);
    seen_t seen = {0};
    temp_write(text, len);
    assert_int_equal(table_read(&small_table, temp_path, false, see, &seen), STATUS_USAGE);
    assert_message(last_error(), "1:1025", "more than 1024 columns");
}

/* Headers of 1024 columns; a row of 1024 cells of 63 bytes, 65535 with the commas, and `more`. */
static void write_widest(const char *more) {
    static char text[131072];
    size_t len = (size_t)snprintf(text, sizeof text, "name");
    for (int i = 1; i < 1024; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ",c%d", i);
    for (int i = 0; i < 1024; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%c%063d", i ? ',' : '\n', i);
    len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", more);
    temp_write(text, len);
}

static void test_longest_line(void **state) {
    (void)state;
    seen_t seen = {0};
    write_widest("x");
    assert_int_equal(table_read(&small_table, temp_path, false, see, &seen), STATUS_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(strlen(seen.rows[0].name), 63);
    write_widest("xy");
    assert_int_equal(table_read(&small_table, temp_path, false, see, &seen), STATUS_USAGE);
    assert_message(last_error(), "2:1024", "longer than 65536 bytes");
}

static void test_no_known_column(void **state) {
    (void)state;
    seen_t seen = {0};
    temp_text("a,b\n1,2\n");
    assert_int_equal(table_read(&small_table, temp_path, false, see, &seen), STATUS_USAGE);
    assert_message(last_error(), "1:1", "no column of this header is known");
}

static void test_unreadable(void **state) {
    (void)state;
    seen_t seen = {0};
    long bytes = -1;
    assert_int_equal(table_read(&small_table, "/nowhere/x.csv", true, see, &seen), STATUS_IO);
    assert_non_null(strstr(last_error(), "/nowhere/x.csv"));
    assert_int_equal(table_read(&small_table, "/tmp", true, see, &seen), STATUS_IO);
    assert_non_null(strstr(last_error(), "/tmp"));
    assert_int_equal(table_complete_bytes("/nowhere/x.csv", &bytes), STATUS_IO);
}

static status_t refuse(void *ctx, const void *row, int line) {
    (void)row;
    ++*(int *)ctx;
    return (fail)(STATUS_INTERRUPTED, "stop at %d", line); /* cmocka has a macro fail() */
}

static void test_visit_stops(void **state) {
    (void)state;
    int visits = 0;
    temp_text(HEAD "a,1,2\nb,x,2\n");
    assert_int_equal(table_read(&small_table, temp_path, true, refuse, &visits),
                     STATUS_INTERRUPTED);
    assert_int_equal(visits, 1);
    assert_string_equal(last_error(), "stop at 2");
}

/* ---- well-formed input ---- */

static void test_reads_columns_by_name(void **state) {
    (void)state;
    seen_t seen;
    read_ok("real,extra,name,count\n-2.5e-3,zzz,a,4096\n,,,\n", &seen);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.rows[0].name, "a");
    assert_true(seen.rows[0].count == 4096 && seen.rows[0].real == -2.5e-3);
    assert_string_equal(seen.rows[1].name, "");
    assert_true(isnan(seen.rows[1].count) && isnan(seen.rows[1].real));
}

static void test_reads_part_of_the_columns(void **state) {
    (void)state;
    seen_t seen = {0};
    temp_text("name\na\n");
    assert_int_equal(table_read(&small_table, temp_path, false, see, &seen), STATUS_OK);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.rows[0].name, "a");
    assert_true(isnan(seen.rows[0].count) && isnan(seen.rows[0].real));
}

static void test_reads_crlf_bom_blank_lines(void **state) {
    (void)state;
    seen_t seen;
    read_ok("\xEF\xBB\xBF\"name\",count,real\r\n\r\na,1,2\r\n\n\nb,3,4\r", &seen);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.rows[0].name, "a");
    assert_true(seen.rows[0].real == 2 && seen.rows[1].real == 4);
    assert_int_equal(seen.lines[0], 3);
    assert_int_equal(seen.lines[1], 6);
}

static void test_reads_quoted_cells(void **state) {
    (void)state;
    seen_t seen;
    read_ok(HEAD "\"a,\"\"b\"\"\r\n c \",\"1\",2\n\" \",3,4", &seen);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.rows[0].name, "a,\"b\"\r\n c ");
    assert_true(seen.rows[0].count == 1 && seen.rows[1].real == 4);
    assert_string_equal(seen.rows[1].name, " ");
    assert_int_equal(seen.lines[0], 2);
    assert_int_equal(seen.lines[1], 4);
}

static void test_reads_limits(void **state) {
    (void)state;
    seen_t seen;
    read_ok(HEAD X190 "x,9007199254740992,1.7e308\n,0,1e-999\n", &seen);
    assert_int_equal(strlen(seen.rows[0].name), TEXT_LEN - 1);
    assert_true(seen.rows[0].count == 9007199254740992.0 && seen.rows[0].real == 1.7e308);
    assert_true(seen.rows[1].count == 0 && seen.rows[1].real == 0);
}

static void test_header_alone_has_no_rows(void **state) {
    (void)state;
    seen_t seen;
    read_ok("name,count,real", &seen);
    assert_int_equal(seen.count, 0);
}

/* ---- writing ---- */

static void write_small(const small_row_t *rows, int count) {
    temp_text("");
    FILE *file = fopen(temp_path, "w");
    assert_non_null(file);
    assert_int_equal(table_write_header(&small_table, file, temp_path), STATUS_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(table_write_row(&small_table, file, temp_path, &rows[i]), STATUS_OK);
    assert_int_equal(fclose(file), 0);
}

static void test_written_bytes(void **state) {
    (void)state;
    const small_row_t rows[] = {{"plain", 34359738368.0, 12.3456789},
                                {"a,\"b\"", 0, 1.5e-7},
                                {"tab\tnew\nline \x1b[1m\x7f\xC2\x9B", NAN, NAN},
                                {" lead", NAN, INFINITY}};
    static const char expected[] = "name,count,real\n"
                                   "plain,34359738368,12.34568\n"
                                   "\"a,\"\"b\"\"\",0,1.5e-07\n"
                                   "\"tab new line  [1m  \",,\n"
                                   "\" lead\",,\n";
    char text[512];
    write_small(rows, 4);
    FILE *file = fopen(temp_path, "r");
    assert_non_null(file);
    const size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    assert_string_equal(text, expected);
}

static void test_what_is_written_is_read(void **state) {
    (void)state;
    small_row_t rows[3] = {{"quote \" comma , done", 4096, 0.125}, {"", NAN, NAN}, {"", 1, -1e30}};
    memset(rows[1].name, '"', TEXT_LEN - 1); /* the longest text, twice as long in quotes */
    row_set_text(rows[2].name, "%s", "\xC3\xA9\xE2\x82\xAC");
    write_small(rows, 3);
    seen_t seen = {0};
    assert_int_equal(table_read(&small_table, temp_path, true, see, &seen), STATUS_OK);
    assert_int_equal(seen.count, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(seen.rows[i].name, rows[i].name);
        assert_true(seen.rows[i].count == rows[i].count || (isnan(rows[i].count) && i == 1));
        assert_true(seen.rows[i].real == rows[i].real || (isnan(rows[i].real) && i == 1));
    }
    assert_true(isnan(seen.rows[1].count) && isnan(seen.rows[1].real));
}

/* A spreadsheet would run these; numbers stay numbers. */
static void test_no_text_is_a_formula(void **state) {
    (void)state;
    static const char *const texts[] = {
        "=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(1)", "'=1", "'a", "=" X190};
    enum { TEXTS = sizeof texts / sizeof *texts };
    small_row_t rows[TEXTS];
    for (int i = 0; i < TEXTS; i++) {
        rows[i] = (small_row_t){"", 1, -0.5};
        row_set_text(rows[i].name, "%s", texts[i]);
    }
    write_small(rows, TEXTS);
    FILE *file = fopen(temp_path, "r");
    char line[256];
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    while (fgets(line, sizeof line, file)) {
        assert_int_equal(line[0], '\'');
        assert_non_null(strstr(line, ",1,-0.5\n"));
    }
    fclose(file);
    seen_t seen = {0};
    assert_int_equal(table_read(&small_table, temp_path, true, see, &seen), STATUS_OK);
    for (int i = 0; i < TEXTS; i++) assert_string_equal(seen.rows[i].name, texts[i]);
}

static void test_full_disk(void **state) {
    (void)state;
    FILE *file = fopen("/dev/full", "w");
    small_row_t row;
    row_clear(&small_table, &row);
    assert_non_null(file);
    assert_int_equal(table_write_header(&small_table, file, "run/points.csv"), STATUS_IO);
    assert_non_null(strstr(last_error(), "run/points.csv"));
    assert_non_null(strstr(last_error(), "No space left"));
    assert_int_equal(table_write_row(&small_table, file, "run/points.csv", &row), STATUS_IO);
    fclose(file);
}

static void test_set_text_cuts_at_a_character(void **state) {
    (void)state;
    char text[TEXT_LEN], expected[TEXT_LEN];
    memset(expected, 'x', TEXT_LEN - 1);
    expected[TEXT_LEN - 1] = '\0';
    row_set_text(text, "%s%s", X190, "xy"); /* 192 bytes: one is lost */
    assert_string_equal(text, expected);
    row_set_text(text, "%sx", X190); /* 191 bytes: fits */
    assert_string_equal(text, expected);
    expected[TEXT_LEN - 2] = '\0';
    row_set_text(text, "%s\xC3\xA9", X190); /* the second byte of two is lost: both go */
    assert_string_equal(text, expected);
    expected[TEXT_LEN - 4] = '\0';
    row_set_text(text, "%.188s\xF0\x9F\x98\x80", X190); /* the fourth byte of four is lost */
    assert_string_equal(text, expected);
    row_set_text(text, "%.188s\xE2\x82\xACyy", X190); /* three bytes that just fit stay */
    assert_int_equal(strlen(text), 191);
    assert_memory_equal(text + 188, "\xE2\x82\xAC", 3);
}

static void test_cell_text(void **state) {
    (void)state;
    char buffer[TEXT_LEN];
    small_row_t row = {"a\nb", 9007199254740992.0, NAN};
    assert_string_equal(cell_text(&small_columns[0], &row, buffer, sizeof buffer), "a b");
    assert_string_equal(cell_text(&small_columns[1], &row, buffer, sizeof buffer),
                        "9007199254740992");
    assert_string_equal(cell_text(&small_columns[2], &row, buffer, sizeof buffer), "");
}

/* ---- torn rows ---- */

static void assert_complete(const char *text, long expected) {
    long bytes = -1;
    temp_text(text);
    assert_int_equal(table_complete_bytes(temp_path, &bytes), STATUS_OK);
    assert_int_equal(bytes, expected);
}

static void test_complete_bytes(void **state) {
    (void)state;
    assert_complete("", 0);
    assert_complete("name,co", 0);
    assert_complete("name\n", 5);
    assert_complete("name\na,1", 5);
    assert_complete("name\na,\"1\r\n2", 11);
    char text[20000]; /* longer than a block */
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_complete(text, 0);
    text[100] = '\n';
    assert_complete(text, 101);
}

static void test_read_from(void **state) {
    (void)state;
    seen_t seen = {0};
    temp_text("name,count,real\na,1,\nb,2,\nc,3,\n");
    assert_int_equal(table_read_from(&small_table, temp_path, 21, see, &seen), STATUS_OK);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.rows[0].name, "b");
}

int main(void) {
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(test_line_of_10_mb),
        cmocka_unit_test(test_unclosed_quote_of_10_mb),
        cmocka_unit_test(test_header_of_10_mb),
        cmocka_unit_test(test_too_many_columns),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_no_known_column),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_visit_stops),
        cmocka_unit_test(test_reads_columns_by_name),
        cmocka_unit_test(test_reads_part_of_the_columns),
        cmocka_unit_test(test_reads_crlf_bom_blank_lines),
        cmocka_unit_test(test_reads_quoted_cells),
        cmocka_unit_test(test_reads_limits),
        cmocka_unit_test(test_header_alone_has_no_rows),
        cmocka_unit_test(test_written_bytes),
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_no_text_is_a_formula),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_set_text_cuts_at_a_character),
        cmocka_unit_test(test_cell_text),
        cmocka_unit_test(test_complete_bytes),
        cmocka_unit_test(test_read_from),
    };
    enum { FIXED = sizeof fixed / sizeof *fixed };
    struct CMUnitTest tests[BAD_FILES + FIXED] = {0};
    for (int i = 0; i < BAD_FILES; i++)
        tests[i] = (struct CMUnitTest){.name = bad_files[i].kind,
                                       .test_func = test_bad_file,
                                       .initial_state = (void *)&bad_files[i]};
    memcpy(tests + BAD_FILES, fixed, sizeof fixed);
    return cmocka_run_group_tests(tests, NULL, temp_remove);
}
