/* Every file that fuzzing kept, through the reader it was kept for. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/registry.h"
#include "tests/fuzz/targets.h"

#include <cmocka.h> /* last: its fail() is a macro */

static void replay_file(const fuzz_target_t *target, const char *path) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long len = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)len, file), len);
    fclose(file);
    target->read(bytes, (size_t)len); /* aborts on what must not be */
    free(bytes);
}

static void test_corpus(void **state) {
    (void)state;
    for (const fuzz_target_t *target = FUZZ_TARGETS; target->name; target++) {
        char folder[256], path[1024];
        int files = 0;
        snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", target->name);
        DIR *dir = opendir(folder);
        if (!dir) {
            fail_msg("no %s: run this in the project's folder", folder);
            return;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            replay_file(target, path);
            files++;
        }
        closedir(dir);
        printf("# %s: %d files\n", target->name, files);
        assert_true(files >= 3);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_corpus)};
    if (registry_check() != STATUS_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
