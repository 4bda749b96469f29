/* results/schema.h: the tables that its lists of columns become. */
#include <math.h>

#include "results/csv_table.h"
#include "tests/temp_file.h"

static void test_tables(void **state) {
    (void)state;
    const table_t *tables[] = {&POINTS_TABLE, &CEILINGS_TABLE, &SAMPLES_TABLE, &RUN_TABLE};
    const char *files[] = {"points.csv", "ceilings.csv", "samples.csv", "run.csv"};
    for (int i = 0; i < 4; i++) assert_string_equal(tables[i]->file, files[i]);
    assert_null(WORKLOAD_TABLE.file);
    assert_int_equal(RUN_TABLE.count, 2);
    assert_int_equal(WORKLOAD_TABLE.count, 8 + 5);
    assert_int_equal(WORKLOAD_TABLE.optional, 5);
    point_row_t row;
    row_clear(&POINTS_TABLE, &row);
    assert_string_equal(row.reason, "");
    assert_true(isnan(row.tokens) && isnan(row.tolerance) && isnan(row.stream_time_us));
    int found = 0;
    for (int i = 0; i < POINTS_TABLE.count; i++) {
        const column_t *c = &POINTS_TABLE.columns[i];
        if (!strcmp(c->name, "roof_us") && c->offset == offsetof(point_row_t, roof_us)) found++;
        if (!strcmp(c->name, "flags") && c->type == CELL_TEXT) found++;
    }
    assert_int_equal(found, 2);
}

static status_t compare_point(void *ctx, const void *row, int line) {
    (void)line;
    assert_memory_equal(row, ctx, sizeof(point_row_t));
    return STATUS_OK;
}

static void test_points_round_trip(void **state) {
    (void)state;
    point_row_t row;
    row_clear(&POINTS_TABLE, &row);
    for (int i = 0; i < POINTS_TABLE.count; i++) {
        char *cell = (char *)&row + POINTS_TABLE.columns[i].offset;
        if (POINTS_TABLE.columns[i].type == CELL_TEXT)
            snprintf(cell, TEXT_LEN, "text %d, \"%s\"", i, POINTS_TABLE.columns[i].name);
        else
            *(double *)(void *)cell = i;
    }
    temp_text("");
    FILE *file = fopen(temp_path, "w");
    assert_non_null(file);
    assert_int_equal(table_write_header(&POINTS_TABLE, file, temp_path), STATUS_OK);
    assert_int_equal(table_write_row(&POINTS_TABLE, file, temp_path, &row), STATUS_OK);
    fclose(file);
    assert_int_equal(table_read(&POINTS_TABLE, temp_path, true, compare_point, &row), STATUS_OK);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_points_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, temp_remove);
}
