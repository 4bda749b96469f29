/* profiles/groups.c and counters.c: group files, and every metric asked of the counter library; no
 * GPU is needed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "profiles/groups.h"
#include "profiles/selftest.h"

#include "tests/temp_file.h"

#include <cmocka.h> /* last: its macro fail() hides ours */

#define LONG_TEXT_16 "aaaaaaaaaaaaaaaa"
#define LONG_TEXT_256                                                                              \
    LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16     \
        LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 LONG_TEXT_16 \
            LONG_TEXT_16 LONG_TEXT_16

static void test_group_file(void **state) {
    (void)state;
    counter_group_t group;
    temp_text("# comment\r\n\n  chips GX100\tGX102 \n"
              "dram_read a__bytes.sum 1\n"
              "tensor_bf16\tb__ops.sum  2.5   a note of words \n"
              "tensor_fp16 c__ops.sum 4"); /* no newline at the end */
    if (group_read(temp_path, &group) != STATUS_OK) fail_msg("%s", last_error());
    remove(temp_path);
    assert_string_equal(group.path, temp_path);
    assert_int_equal(group.chips_len, 2);
    assert_string_equal(group.chips[0], "GX100");
    assert_string_equal(group.chips[1], "GX102");
    assert_int_equal(group.metrics_len, 3);
    assert_string_equal(group_level_name(group.metrics[0].level), "dram_read");
    assert_string_equal(group.metrics[0].name, "a__bytes.sum");
    assert_string_equal(group.metrics[0].note, "");
    assert_string_equal(group.metrics[1].note, "a note of words ");
    assert_true(group.metrics[1].factor == 2.5);

    const double values[] = {100, 10, 3};
    counts_t counts;
    group_counts(&group, values, &counts);
    assert_true(counts.dram_read_bytes == 100);
    assert_true(counts.tensor_flops == 37);
    assert_true(isnan(counts.dram_write_bytes) && isnan(counts.l2_bytes));
    assert_true(isnan(counts.l1_bytes) && isnan(counts.cuda_core_flops));
}

static void test_malformed(void **state) {
    (void)state;
    static const struct {
        const char *text, *line, *what;
    } cases[] = {
        {"chips A\n\nl3 m.sum 1\n", "3", "unknown level 'l3': expected chips, dram_read"},
        {"chips A\nl2 m.sum\n", "2", "factor ''"},
        {"chips A\nl2 m.sum x\n", "2", "factor 'x'"},
        {"chips A\nl2 m.sum 1x\n", "2", "factor '1x'"},
        {"chips A\nl2 m.sum 0\n", "2", "factor '0'"},
        {"chips A\nl2 m.sum -1\n", "2", "factor '-1'"},
        {"chips A\nl2 m.sum nan\n", "2", "factor 'nan'"},
        {"chips A\nl2 m.sum inf\n", "2", "factor 'inf'"},
        {"chips A\nl2\n", "2", "expected LEVEL METRIC FACTOR"},
        {"chips A\nl2 " LONG_TEXT_256 " 1\n", "2", "expected LEVEL METRIC FACTOR"},
        {"chips A\nl2 m.sum 1 " LONG_TEXT_256 "\n", "2", "the note is longer"},
        {"#" LONG_TEXT_256 LONG_TEXT_256 "\nchips A\n", "1", "the line is longer"},
        {"chips A\nl2 m.sum 1\nl1 m.sum 1\n", "3", "m.sum would be counted twice"},
        {"chips A\nchips B\nl2 m.sum 1\n", "2", "a second chips line"},
        {"chips\nl2 m.sum 1\n", "1", "no chip"},
        {"chips " LONG_TEXT_16 "\n", "1", "too long"},
        {"chips a b c d e f g h i j k l m n o p q\n", "1", "more than 16 chips"},
        {"l2 m.sum 1\n", "1", "no chips line"},
        {"chips A\n\n", "2", "no metric"},
        {"", "0", "no chips line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        counter_group_t group;
        temp_text(cases[i].text);
        assert_int_equal(group_read(temp_path, &group), STATUS_USAGE);
        assert_message(last_error(), cases[i].line, cases[i].what);
        assert_null(strchr(last_error(), '\n'));
    }
    remove(temp_path);
}

static void test_too_many_metrics(void **state) {
    (void)state;
    counter_group_t group;
    char text[4096] = "chips A\n", line[32];
    for (int i = 0; i <= GROUP_METRICS; i++) {
        snprintf(line, sizeof line, "l2 m%d 1\n", i);
        strcat(text, line);
    }
    temp_text(text);
    assert_int_equal(group_read(temp_path, &group), STATUS_USAGE);
    assert_message(last_error(), "34", "more than 32 metrics");
    remove(temp_path);
}

static void write_file(const char *folder, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const char *folder, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(remove(path), 0);
}

static void test_folder(void **state) {
    (void)state;
    char folder[] = "/tmp/blroof-groups-XXXXXX";
    counter_group_t *groups;
    int count;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(groups_read(folder, &groups, &count), STATUS_ENVIRONMENT);
    assert_non_null(strstr(last_error(), folder));
    write_file(folder, "B.txt", "chips B1 B2\nl2 m 1\n");
    write_file(folder, "A.txt", "chips A1\nl2 m 1\n");
    write_file(folder, ".A.txt", "not a group\n");
    write_file(folder, "notes", "not a group\n");
    assert_int_equal(groups_read(folder, &groups, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(groups[0].name, "A");
    assert_string_equal(groups[1].name, "B");
    free(groups);
    write_file(folder, "C.txt", "chips C1 B2\nl2 m 1\n");
    assert_int_equal(groups_read(folder, &groups, &count), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "C.txt: B2 is a chip of "));
    assert_null(groups);
    remove_file(folder, "A.txt");
    remove_file(folder, "B.txt");
    remove_file(folder, "C.txt");
    remove_file(folder, ".A.txt");
    remove_file(folder, "notes");
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(groups_read(folder, &groups, &count), STATUS_ENVIRONMENT);
}

static void test_groups_on_file(void **state) {
    (void)state;
    static const char *const chips[] = {"GA100", "GA102", "GA10B", "AD102",
                                        "GH100", "GB100", "GB202"};
    counter_group_t *groups, group;
    int count;
    if (groups_read(NULL, &groups, &count) != STATUS_OK) fail_msg("%s", last_error());
    free(groups);
    for (size_t i = 0; i < sizeof chips / sizeof *chips; i++) {
        if (group_find(chips[i], &group) != STATUS_OK) fail_msg("%s", last_error());
        double values[GROUP_METRICS];
        counts_t counts;
        for (int m = 0; m < GROUP_METRICS; m++) values[m] = 1;
        group_counts(&group, values, &counts);
        assert_true(counts.dram_read_bytes >= 1 && counts.l2_bytes == 32 && counts.l1_bytes > 1);
        assert_true(counts.tensor_flops >= 3);
        assert_true(counts.cuda_core_flops >= 2 + 1 + 1 + 4 + 2 + 2);
        assert_int_equal(isnan(counts.dram_write_bytes), !strcmp(chips[i], "GA10B"));
    }
    assert_int_equal(group_find("GX999", &group), STATUS_UNSUPPORTED);
    assert_non_null(strstr(last_error(), "GX999"));
}

/* Skips the test where the counter library cannot be asked. */
static void need_library(const counter_group_t *group) {
    group_check_t check;
    if (counters_check(group, group->chips[0], &check) != STATUS_ENVIRONMENT) return;
    print_message("skipped: %s\n", last_error());
    skip();
}

static void test_metrics_exist(void **state) {
    (void)state;
    counter_group_t *groups, group;
    int count;
    assert_int_equal(group_find("GH100", &group), STATUS_OK);
    need_library(&group);
    if (groups_read(NULL, &groups, &count) != STATUS_OK) fail_msg("%s", last_error());
    for (int i = 0; i < count; i++)
        for (int c = 0; c < groups[i].chips_len; c++) {
            group_check_t check;
            const char *chip = groups[i].chips[c];
            if (counters_check(&groups[i], chip, &check) != STATUS_OK) fail_msg("%s", last_error());
            for (int m = 0; m < groups[i].metrics_len; m++)
                if (check.missing[m])
                    fail_msg("%s: %s has no %s", groups[i].path, chip, groups[i].metrics[m].name);
            assert_int_equal(check.missing_len, 0);
            assert_in_range(check.passes, 1, 8);
        }
    free(groups);
}

static void test_what_does_not_exist(void **state) {
    (void)state;
    counter_group_t group;
    group_check_t check;
    temp_text("chips GH100\nl2 lts__t_bytes.sum 1\nl1 lts__no_such_bytes.sum 1\n");
    assert_int_equal(group_read(temp_path, &group), STATUS_OK);
    remove(temp_path);
    need_library(&group);
    assert_int_equal(counters_check(&group, "GH100", &check), STATUS_OK);
    assert_int_equal(check.missing_len, 1);
    assert_false(check.missing[0]);
    assert_true(check.missing[1]);
    assert_int_equal(check.passes, 0);
    assert_int_equal(counters_check(&group, "GX999", &check), STATUS_UNSUPPORTED);
    assert_non_null(strstr(last_error(), "GX999"));
}

static status_t no_work(void *arg, int index, stream_t stream) {
    (void)index, (void)stream;
    ++*(int *)arg;
    return STATUS_OK;
}

static status_t no_row(void *ctx, const selftest_row_t *row) {
    (void)ctx;
    fail_msg("a row '%s' on a device without counters", row->name);
    return STATUS_OK;
}

static void test_cpu_has_none(void **state) {
    (void)state;
    device_t *cpu;
    counters_t counters;
    counts_t counts = {0};
    int runs = 0;
    assert_int_equal(device_open("cpu", &cpu), STATUS_OK);
    counters_open(cpu, &counters);
    assert_string_equal(counters.source, "none");
    assert_string_equal(counter_status_name(counters.status), "unsupported");
    assert_non_null(strstr(counters.reason, "NVIDIA GPUs"));
    assert_int_equal(counters_measure(&counters, no_work, &runs, 1, &counts), STATUS_OK);
    assert_true(isnan(counts.dram_read_bytes) && isnan(counts.dram_write_bytes));
    assert_true(isnan(counts.l2_bytes) && isnan(counts.l1_bytes));
    assert_true(isnan(counts.tensor_flops) && isnan(counts.cuda_core_flops));
    assert_int_equal(runs, 0);
    counters_close(&counters);
    assert_int_equal(counters_selftest(cpu, no_row, NULL), STATUS_ENVIRONMENT);
    cpu->ops->close(cpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_file),          cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_too_many_metrics),    cmocka_unit_test(test_folder),
        cmocka_unit_test(test_groups_on_file),      cmocka_unit_test(test_metrics_exist),
        cmocka_unit_test(test_what_does_not_exist), cmocka_unit_test(test_cpu_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
