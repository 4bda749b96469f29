/* Commands: how they are split, and where the run directory goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "harness/compare_run.h"

#include <cmocka.h> /* last: its fail() is a macro */

static void assert_words(const words_t *words, const char *const *expected, int count) {
    assert_int_equal(words->argc, count);
    for (int i = 0; i < count; i++) assert_string_equal(words->argv[i], expected[i]);
    assert_null(words->argv[count]);
}

static void test_split(void **state) {
    (void)state;
    static const struct {
        const char *text, *words[6];
        int count;
    } cases[] = {
        {"blroof sweep quick", {"blroof", "sweep", "quick"}, 3},
        {"  a\tb\n c  ", {"a", "b", "c"}, 3},
        {"'my run/b' \"x y\" '' p'q'\"r\"", {"my run/b", "x y", "", "pqr"}, 4},
        {"a\\ b \"\\\"\" '\\' \\\\", {"a b", "\"", "\\", "\\"}, 4},
        {"echo $HOME `id` $(id) *;ls|cat", {"echo", "$HOME", "`id`", "$(id)", "*;ls|cat"}, 5},
        {"end\\", {"end\\"}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        words_t words;
        assert_int_equal(words_split(cases[i].text, &words), STATUS_OK);
        assert_words(&words, cases[i].words, cases[i].count);
        words_free(&words);
    }
}

static void test_bad_commands(void **state) {
    (void)state;
    static const char *const bad[] = {"", "  ", "a 'b", "\"", "a \"b\\\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        words_t words;
        assert_int_equal(words_split(bad[i], &words), STATUS_USAGE);
        assert_null(words.argv);
    }
}

static void test_run_directory(void **state) {
    (void)state;
    words_t command, words;
    assert_int_equal(words_split("blroof sweep quick", &command), STATUS_OK);
    assert_int_equal(words_for_run(&command, "/tmp/a b/1", &words), STATUS_OK);
    assert_words(&words, (const char *[]){"blroof", "sweep", "quick", "-o", "/tmp/a b/1"}, 5);
    words_free(&words);
    words_free(&command);
    assert_int_equal(words_split("measure --to={}/x {} {", &command), STATUS_OK);
    assert_int_equal(words_for_run(&command, "/d", &words), STATUS_OK);
    assert_words(&words, (const char *[]){"measure", "--to=/d/x", "/d", "{"}, 4);
    words_free(&words);
    words_free(&command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_bad_commands),
        cmocka_unit_test(test_run_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
