/* harness/list.c: the LIST grammar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "harness/list.h"

#include <cmocka.h> /* last: its macro fail() hides ours */

static void assert_list(const char *text, const int64_t *values, int count) {
    int_list_t list;
    if (int_list_parse(text, &list) != STATUS_OK) fail_msg("%s: %s", text, last_error());
    assert_int_equal(list.count, count);
    for (int i = 0; i < count; i++) assert_int_equal(list.values[i], values[i]);
    int_list_free(&list);
    assert_null(list.values);
}

#define ASSERT_LIST(text, ...)                                                                     \
    assert_list(text, (int64_t[]){__VA_ARGS__},                                                    \
                (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

static void test_values(void **state) {
    (void)state;
    ASSERT_LIST("7", 7);
    ASSERT_LIST("1,16,384", 1, 16, 384);
    ASSERT_LIST("384,1,384,16,1", 384, 1, 16);
    ASSERT_LIST("1099511627776", 1099511627776);
}

static void test_ranges(void **state) {
    (void)state;
    ASSERT_LIST("1,16,64..512x2", 1, 16, 64, 128, 256, 512);
    ASSERT_LIST("1..100x3", 1, 3, 9, 27, 81);
    ASSERT_LIST("8..32+8", 8, 16, 24, 32);
    ASSERT_LIST("8..30+8", 8, 16, 24);
    ASSERT_LIST("5..5x2,5..5+1", 5);
    ASSERT_LIST("1..4+1,2..16x2", 1, 2, 3, 4, 8, 16);
    ASSERT_LIST("3..1099511627776x1099511627776", 3);
    ASSERT_LIST("16777217..1099511627776x1099511627776", 16777217); /* the product passes 2^64 */
}

static void assert_refused(const char *text, const char *where, const char *expected) {
    int_list_t list = {(int64_t[]){1}, 1};
    assert_int_equal(int_list_parse(text, &list), STATUS_USAGE);
    assert_null(list.values);
    assert_int_equal(list.count, 0);
    if (!strstr(last_error(), where) || !strstr(last_error(), expected))
        fail_msg("\"%s\" gives \"%s\", which lacks \"%s\" or \"%s\"", text, last_error(), where,
                 expected);
}

static void test_malformed(void **state) {
    (void)state;
    assert_refused("", "character 1:", "a whole number from 1 to 2^40");
    assert_refused("1,,2", "character 3:", "a whole number");
    assert_refused("1,2,", "character 5:", "a whole number");
    assert_refused("0", "character 1:", "from 1");
    assert_refused("4,-2", "character 3:", "a whole number");
    assert_refused("1, 2", "character 3:", "a whole number");
    assert_refused("12a", "character 3:", "a comma");
    assert_refused("1.5", "character 2:", "a comma");
    assert_refused("1099511627777", "character 1:", "2^40");
    assert_refused("99999999999999999999999999", "character 1:", "2^40");
    assert_refused("8..64", "character 6:", "x and a factor, or + and a step");
    assert_refused("8..", "character 4:", "a whole number");
    assert_refused("8..64x", "character 7:", "a whole number");
    assert_refused("8..64x1", "character 7:", "a factor of at least 2");
    assert_refused("8..64+0", "character 7:", "a whole number");
    assert_refused("1,64..8x2", "character 3:", "a range that rises");
    assert_refused("8..64x2x2", "character 8:", "a comma");
    assert_refused("1..4097+1", "character 1:", "at most 4096");
    assert_refused("1..1099511627776+1", "character 1:", "at most 4096");
}

static void test_largest(void **state) {
    (void)state;
    int_list_t list;
    assert_int_equal(int_list_parse("1..4096+1,4096,1", &list), STATUS_OK);
    assert_int_equal(list.count, 4096);
    assert_int_equal(list.values[4095], 4096);
    int_list_free(&list);
}

static void test_names(void **state) {
    (void)state;
    assert_true(name_list_has(NULL, "dense"));
    assert_true(name_list_has("dense", "dense"));
    assert_true(name_list_has("lowrank,blast", "lowrank"));
    assert_true(name_list_has("lowrank,blast", "blast"));
    assert_false(name_list_has("lowrank,blast", "last"));
    assert_false(name_list_has("lowrank,blast", "low"));
    assert_false(name_list_has("low", "lowrank"));
    assert_false(name_list_has("", "dense"));
    assert_false(name_list_has("dense,", ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),    cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_largest),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
