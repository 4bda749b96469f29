/* harness/workload.c and harness/paths.c. */
#include "harness/workload.h"

#include <pthread.h>

#include "harness/paths.h"
#include "tests/temp_file.h"

#define COLUMNS "model,layer,structure,in_features,out_features,tokens,blocks,rank"
#define HEAD COLUMNS "\n"
#define ATTENTION COLUMNS ",batch,heads,kv_heads,context,causal\n"

static void assert_entry(const workload_t *w, int i, const char *layer, const char *structure,
                         const int64_t sizes[5]) {
    assert_true(i < w->count);
    const workload_entry_t *e = &w->entries[i];
    assert_string_equal(e->layer, layer);
    assert_string_equal(e->structure->name, structure);
    assert_int_equal(e->problem.tokens, sizes[0]);
    assert_int_equal(e->problem.in_features, sizes[1]);
    assert_int_equal(e->problem.out_features, sizes[2]);
    assert_int_equal(e->problem.blocks, sizes[3]);
    assert_int_equal(e->problem.rank, sizes[4]);
}
#define ASSERT_ENTRY(w, i, layer, structure, ...)                                                  \
    assert_entry(w, i, layer, structure, (const int64_t[]){__VA_ARGS__})

static void load_ok(const char *text, const workload_lists_t *lists, workload_t *w) {
    temp_text(text);
    if (workload_load(temp_path, lists, w) != STATUS_OK) fail_msg("%s", last_error());
}

static void test_expands_in_file_order(void **state) {
    (void)state;
    workload_t w;
    load_ok(HEAD "m,b,monarch,64,32,\"8,1\",\"2,4\",8..16x2\nm,a,dense,64,32,1,,\n", NULL, &w);
    assert_int_equal(w.count, 9);
    ASSERT_ENTRY(&w, 0, "m/b", "monarch", 8, 64, 32, 2, 8);
    ASSERT_ENTRY(&w, 1, "m/b", "monarch", 8, 64, 32, 2, 16);
    ASSERT_ENTRY(&w, 2, "m/b", "monarch", 8, 64, 32, 4, 8);
    ASSERT_ENTRY(&w, 4, "m/b", "monarch", 1, 64, 32, 2, 8);
    ASSERT_ENTRY(&w, 7, "m/b", "monarch", 1, 64, 32, 4, 16);
    ASSERT_ENTRY(&w, 8, "m/a", "dense", 1, 64, 32, 1, 0);
    workload_free(&w);
    assert_int_equal(w.count, 0);
    assert_null(w.entries);
}

static void test_lists_replace_the_files(void **state) {
    (void)state;
    int64_t tokens[] = {5, 6}, blocks[] = {2, 8}, rank[] = {16};
    const int_list_t t = {tokens, 2}, b = {blocks, 2}, r = {rank, 1};
    workload_t w;
    load_ok(HEAD "m,a,dense,64,32,\"1,2\",1,\nm,a,lowrank,64,32,1,1,\nm,a,blast,64,32,9,4,4\n",
            &(workload_lists_t){&t, &b, &r}, &w);
    assert_int_equal(w.count, 2 + 2 + 4);
    ASSERT_ENTRY(&w, 1, "m/a", "dense", 6, 64, 32, 1, 0);
    ASSERT_ENTRY(&w, 2, "m/a", "lowrank", 5, 64, 32, 1, 16);
    ASSERT_ENTRY(&w, 5, "m/a", "blast", 5, 64, 32, 8, 16);
    ASSERT_ENTRY(&w, 6, "m/a", "blast", 6, 64, 32, 2, 16);
    workload_free(&w);
    load_ok(HEAD "m,a,blast,64,32,9,4,4\n", &(workload_lists_t){.rank = &r}, &w);
    assert_int_equal(w.count, 1);
    ASSERT_ENTRY(&w, 0, "m/a", "blast", 9, 64, 32, 4, 16);
    workload_free(&w);
}

static void test_drops_duplicates(void **state) {
    (void)state;
    workload_t w;
    load_ok(HEAD "m,b,lowrank,64,32,\"4,2\",1,8\nm,a,lowrank,64,32,2,1,8\n"
                 "m,b,lowrank,64,32,\"1,2\",,8\nm,b,monarch,64,32,2,1,8\n",
            NULL, &w);
    assert_int_equal(w.count, 5);
    ASSERT_ENTRY(&w, 0, "m/b", "lowrank", 4, 64, 32, 1, 8);
    ASSERT_ENTRY(&w, 1, "m/b", "lowrank", 2, 64, 32, 1, 8);
    ASSERT_ENTRY(&w, 2, "m/a", "lowrank", 2, 64, 32, 1, 8);
    ASSERT_ENTRY(&w, 3, "m/b", "lowrank", 1, 64, 32, 1, 8);
    ASSERT_ENTRY(&w, 4, "m/b", "monarch", 2, 64, 32, 1, 8);
    workload_free(&w);
}

static void test_keeps_what_the_mathematics_refuses(void **state) {
    (void)state;
    workload_t w;
    char why[WHY_LEN] = "";
    load_ok(HEAD "m,a,monarch,64,32,1,\"4,5\",8\n", NULL, &w);
    assert_int_equal(w.count, 2);
    assert_true(w.entries[0].structure->validate(&w.entries[0].problem, why, sizeof why));
    assert_false(w.entries[1].structure->validate(&w.entries[1].problem, why, sizeof why));
    assert_non_null(strstr(why, "5 does not divide"));
    workload_free(&w);
}

static void test_names_in_utf8(void **state) {
    (void)state;
    workload_t w;
    load_ok(HEAD "mod\xC3\xA8le,\xE5\xB1\xA4 \xF0\x9F\x98\x80,dense,1,1,1,,\n", NULL, &w);
    assert_string_equal(w.entries[0].layer, "mod\xC3\xA8le/\xE5\xB1\xA4 \xF0\x9F\x98\x80");
    char name[32];
    snprintf(name, sizeof name, "blroof-test-%d", (int)getpid());
    assert_string_equal(w.name, name);
    workload_free(&w);
}

/* ---- malformed files ---- */

#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

typedef struct {
    const char *kind, *text, *where, *what;
} bad_t;

static const bad_t bad_files[] = {
    {"no layers", HEAD, "2:model", "no layers"},
    {"missing column", "model,layer,structure,in_features,out_features,blocks,rank\n", "1:tokens",
     "missing from the header"},
    {"unknown structure", HEAD "m,a,dense,1,1,1,,\nm,a,densse,1,1,1,,\n", "3:structure",
     "unknown structure \"densse\": expected one of"},
    {"empty structure", HEAD "m,a,,1,1,1,,\n", "2:structure", "empty"},
    {"empty model", HEAD ",a,dense,1,1,1,,\n", "2:model", "empty"},
    {"empty layer", HEAD "m,,dense,1,1,1,,\n", "2:layer", "empty"},
    {"control character", HEAD "m,a\tb,dense,1,1,1,,\n", "2:layer", "byte 2 is not printable"},
    {"newline in a name", HEAD "\"m\nn\",a,dense,1,1,1,,\n", "2:model", "byte 2 is not printable"},
    {"Latin-1", HEAD "mod\xE8le,a,dense,1,1,1,,\n", "2:model", "byte 4 is not printable UTF-8"},
    {"cut-off UTF-8", HEAD "m\xE2\x82,a,dense,1,1,1,,\n", "2:model", "byte 2 is not printable"},
    {"overlong UTF-8", HEAD "m\xC0\xAF,a,dense,1,1,1,,\n", "2:model", "byte 2 is not printable"},
    {"surrogate", HEAD "m\xED\xA0\x80,a,dense,1,1,1,,\n", "2:model", "byte 2 is not printable"},
    {"C1 control", HEAD "m\xC2\x9B,a,dense,1,1,1,,\n", "2:model", "byte 2 is not printable"},
    {"names too long", HEAD X100 "," X100 ",dense,1,1,1,,\n", "2:layer", "more than 190 bytes"},
    {"in_features 0", HEAD "m,a,dense,0,1,1,,\n", "2:in_features", "from 1 to 2^40"},
    {"in_features empty", HEAD "m,a,dense,,1,1,,\n", "2:in_features", "from 1 to 2^40"},
    {"in_features negative", HEAD "m,a,dense,-4,1,1,,\n", "2:in_features", "not a whole number"},
    {"out_features 0", HEAD "m,a,dense,1,0,1,,\n", "2:out_features", "from 1 to 2^40"},
    {"out_features too large", HEAD "m,a,dense,1,1099511627777,1,,\n", "2:out_features", "2^40"},
    {"tokens empty", HEAD "m,a,dense,1,1,,,\n", "2:tokens", "dense needs a LIST here"},
    {"tokens 0", HEAD "m,a,dense,1,1,0,,\n", "2:tokens", "character 1: expected a whole number"},
    {"tokens malformed", HEAD "m,a,dense,1,1,\"1,2..\",,\n", "2:tokens", "character 6: expected"},
    {"blocks empty", HEAD "m,a,blast,1,1,1,,4\n", "2:blocks", "blast needs a LIST here"},
    {"rank empty", HEAD "m,a,lowrank,1,1,1,,\n", "2:rank", "lowrank needs a LIST here"},
    {"blocks unused", HEAD "m,a,lowrank,1,1,1,4,4\n", "2:blocks", "lowrank has no use for it"},
    {"blocks list unused", HEAD "m,a,dense,1,1,1,1..2+1,\n", "2:blocks", "dense has no use for it"},
    {"rank unused", HEAD "m,a,dense,1,1,1,1,4\n", "2:rank", "dense has no use for it"},
    {"heads unused", ATTENTION "m,a,dense,64,64,1,,,,4,,,\n", "2:heads", "dense has no use for it"},
    {"batch unused", ATTENTION "m,a,dense,64,64,1,,,2,,,,\n", "2:batch", "dense has no use for it"},
    {"no heads", ATTENTION "m,a,attention,64,64,1,,,2,,,,\n", "2:heads", "empty: attention needs"},
    {"attention without columns", HEAD "m,a,attention,64,64,1,,\n", "2:heads", "empty"},
    {"heads 0", ATTENTION "m,a,attention,64,64,1,,,,0,,,\n", "2:heads", "from 1 to 2^40"},
    {"causal 2", ATTENTION "m,a,attention,64,64,1,,,,4,,,2\n", "2:causal", "0 or 1"},
    {"attention with blocks", ATTENTION "m,a,attention,64,64,1,4,,,4,,,\n", "2:blocks",
     "attention has no use for it"},
    {"too many points", HEAD "m,a,dense,1,1,1,,\nm,a,blast,1,1,1..1000+1,1..100+1,1..10+1\n",
     "3:tokens", "more than 1e6 points"},
};
enum { BAD_FILES = sizeof bad_files / sizeof *bad_files };

static void test_bad_file(void **state) {
    const bad_t *bad = *state;
    workload_t w;
    temp_text(bad->text);
    assert_int_equal(workload_load(temp_path, NULL, &w), STATUS_USAGE);
    assert_message(last_error(), bad->where, bad->what);
    assert_null(w.entries);
    assert_int_equal(w.count, 0);
}

static void test_attention(void **state) {
    (void)state;
    workload_t w;
    char why[WHY_LEN];
    load_ok(ATTENTION
            "m,a,attention,64,64,\"5,6\",,,,4,,,\nm,a,attention,64,64,\"5,6\",1,,3,4,2,9,1\n"
            "m,b,dense,64,64,5,,,,,,,\nm,a,attention,64,64,6,,,1,4,4,6,0\n",
            NULL, &w);
    assert_int_equal(w.count, 5); /* the last is there already */
    const problem_t *p = &w.entries[1].problem, *q = &w.entries[3].problem;
    assert_true(p->batch == 1 && p->heads == 4 && p->kv_heads == 4 && !p->causal);
    assert_int_equal(p->tokens, 6);
    assert_int_equal(p->context, 6); /* that of its tokens */
    assert_true(q->batch == 3 && q->heads == 4 && q->kv_heads == 2 && q->causal);
    assert_int_equal(q->context, 9);
    assert_int_equal(w.entries[4].problem.heads, 0);
    assert_int_equal(w.entries[4].problem.context, 0);
    workload_free(&w);
    /* what the mathematics refuses is kept */
    load_ok(ATTENTION "m,a,attention,64,64,8,,,,3,,,\nm,a,attention,64,64,8,,,,4,3,,\n"
                      "m,a,attention,64,64,8,,,,4,,7,\nm,a,attention,64,32,8,,,,4,,,\n",
            NULL, &w);
    assert_int_equal(w.count, 4);
    for (int i = 0; i < w.count; i++)
        assert_false(w.entries[i].structure->validate(&w.entries[i].problem, why, sizeof why));
    workload_free(&w);
}

/* A list for tokens does not excuse a file without them. */
static void test_empty_tokens_with_a_list(void **state) {
    (void)state;
    int64_t tokens[] = {5};
    const int_list_t list = {tokens, 1};
    workload_t w;
    temp_text(HEAD "m,a,dense,1,1,,,\n");
    assert_int_equal(workload_load(temp_path, &(workload_lists_t){.tokens = &list}, &w),
                     STATUS_USAGE);
    assert_message(last_error(), "2:tokens", "empty");
}

static void test_a_million_points(void **state) {
    (void)state;
    workload_t w;
    load_ok(HEAD "m,a,blast,1,1,1..1000+1,1..100+1,1..10+1\n", NULL, &w);
    assert_int_equal(w.count, 1000000);
    ASSERT_ENTRY(&w, 999999, "m/a", "blast", 1000, 1, 1, 100, 10);
    workload_free(&w);
}

/* ---- the workloads that come with the program ---- */

static void test_unknown_workload(void **state) {
    (void)state;
    workload_t w;
    assert_int_equal(workload_load("quikc", NULL, &w), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "unknown workload \"quikc\""));
    assert_non_null(strstr(last_error(), "paper_layers, quick"));
    assert_int_equal(workload_load("./nothing.csv", NULL, &w), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "no workload file ./nothing.csv: No such file"));
    assert_int_equal(workload_load("nothing.csv", NULL, &w), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "no workload file nothing.csv"));
}

typedef struct {
    const char *wanted;
    int count, hits;
} names_t;

static void count_name(void *ctx, const char *name) {
    names_t *names = ctx;
    names->count++;
    names->hits += !strcmp(name, names->wanted);
}

static void load_by_name(void *ctx, const char *name) {
    workload_t w;
    if (workload_load(name, NULL, &w) != STATUS_OK) fail_msg("%s", last_error());
    assert_true(w.count > 0);
    assert_string_equal(w.name, name);
    workload_free(&w);
    ++*(int *)ctx;
}

static void test_every_workload_loads(void **state) {
    (void)state;
    int loaded = 0;
    assert_int_equal(workload_names(load_by_name, &loaded), STATUS_OK);
    assert_true(loaded >= 2);
}

static void test_paper_layers(void **state) {
    (void)state;
    workload_t w;
    char why[WHY_LEN];
    assert_int_equal(workload_load("paper_layers", NULL, &w), STATUS_OK);
    ASSERT_ENTRY(&w, 0, "llama7b/qkvo_proj", "dense", 1024, 4096, 4096, 1, 0);
    ASSERT_ENTRY(&w, 2, "llama7b/qkvo_proj", "monarch", 1024, 4096, 4096, 16, 1024);
    for (int i = 0; i < w.count; i++)
        assert_true(w.entries[i].structure->validate(&w.entries[i].problem, why, sizeof why));
    workload_free(&w);
}

/* quick has layers of paper_layers, with the paper's tokens and with fewer. */
static void test_quick_is_part_of_the_paper(void **state) {
    (void)state;
    workload_t quick, paper;
    int found = 0;
    assert_int_equal(workload_load("quick", NULL, &quick), STATUS_OK);
    assert_int_equal(workload_load("paper_layers", NULL, &paper), STATUS_OK);
    for (int i = 0; i < quick.count; i++)
        for (int j = 0; j < paper.count; j++) {
            const problem_t *p = &quick.entries[i].problem, *q = &paper.entries[j].problem;
            found += !strcmp(quick.entries[i].layer, paper.entries[j].layer) &&
                     quick.entries[i].structure == paper.entries[j].structure &&
                     p->in_features == q->in_features && p->out_features == q->out_features &&
                     p->blocks == q->blocks && p->rank == q->rank && p->tokens <= q->tokens;
        }
    assert_int_equal(quick.count, 6 * 4 * 4); /* layers, structures, token counts */
    assert_int_equal(found, quick.count);
    workload_free(&quick);
    workload_free(&paper);
}

static void test_root(void **state) {
    (void)state;
    char path[640], found[512];
    snprintf(found, sizeof found, "%s", blroof_root());
    snprintf(path, sizeof path, "%s/harness/workloads/quick.csv", found);
    assert_int_equal(access(path, R_OK), 0);

    names_t names = {.wanted = "quick"};
    assert_int_equal(workload_names(count_name, &names), STATUS_OK);
    assert_int_equal(names.hits, 1);

    assert_int_equal(setenv("BLROOF_ROOT", "/nowhere", 1), 0);
    assert_string_equal(blroof_root(), "/nowhere");
    const status_t st = workload_names(count_name, &names);
    assert_int_equal(unsetenv("BLROOF_ROOT"), 0);
    assert_int_equal(st, STATUS_ENVIRONMENT);
    assert_non_null(strstr(last_error(), "/nowhere/harness/workloads"));
    assert_string_equal(blroof_root(), found);
}

static void *count_roots(void *ctx) {
    int *others = ctx;
    char first[512];
    snprintf(first, sizeof first, "%s", blroof_root());
    for (int i = 0; i < 2000; i++) *others += strcmp(blroof_root(), first) != 0;
    return NULL;
}

/* Pictures are drawn while the page is written: each thread has the same root all the time. */
static void test_root_in_threads(void **state) {
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int others[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_roots, &others[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(others[i], 0);
    }
}

int main(void) {
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(test_expands_in_file_order),
        cmocka_unit_test(test_lists_replace_the_files),
        cmocka_unit_test(test_drops_duplicates),
        cmocka_unit_test(test_keeps_what_the_mathematics_refuses),
        cmocka_unit_test(test_names_in_utf8),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_empty_tokens_with_a_list),
        cmocka_unit_test(test_a_million_points),
        cmocka_unit_test(test_unknown_workload),
        cmocka_unit_test(test_every_workload_loads),
        cmocka_unit_test(test_paper_layers),
        cmocka_unit_test(test_quick_is_part_of_the_paper),
        cmocka_unit_test(test_root),
        cmocka_unit_test(test_root_in_threads),
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
