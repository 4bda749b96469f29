/* Which worker is given which point: shapes stay together, and what was begun goes on there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "harness/facts.h"
#include "harness/queue.h"

#include <cmocka.h> /* last: its fail() is a macro */

/* Structure by structure, as workloads have them: 3 points of each of 5 shapes. */
enum { SHAPES = 5, POINTS = 15 };

static int compare_shapes(void *ctx, int a, int b) {
    (void)ctx;
    return a % SHAPES - b % SHAPES;
}

static void open_queue(int workers, bool pinned, queue_t *queue) {
    assert_int_equal(queue_open(POINTS, workers, pinned, compare_shapes, NULL, queue), STATUS_OK);
}

static void test_one_worker_keeps_the_order(void **state) {
    (void)state;
    queue_t queue;
    open_queue(1, false, &queue);
    queue_claim(&queue, 7, 0);
    for (int i = 0; i < POINTS; i++) assert_int_equal(queue_next(&queue, 0), i);
    assert_int_equal(queue_next(&queue, 0), -1);
    queue_close(&queue);
}

/* Takes turns in a given rhythm; returns how many points there were, each once, no shape on two. */
static int drain(queue_t *queue, const int *turns, int turns_len, int owner[SHAPES]) {
    bool seen[POINTS] = {false};
    int count = 0;
    for (int t = 0, idle = 0; idle < turns_len; t++) {
        const int worker = turns[t % turns_len], point = queue_next(queue, worker);
        idle = point < 0 ? idle + 1 : 0;
        if (point < 0) continue;
        assert_false(seen[point]);
        seen[point] = true;
        count++;
        if (owner[point % SHAPES] < 0) owner[point % SHAPES] = worker;
        assert_int_equal(owner[point % SHAPES], worker);
    }
    return count;
}

static void test_shapes_stay_together(void **state) {
    (void)state;
    static const int turns[][4] = {{0, 1, 2, 1}, {2, 2, 2, 0}, {0, 1, 0, 1}};
    for (int t = 0; t < 3; t++) {
        int owner[SHAPES] = {-1, -1, -1, -1, -1};
        queue_t queue;
        open_queue(3, false, &queue);
        assert_int_equal(drain(&queue, turns[t], 4, owner), POINTS);
        queue_close(&queue);
    }
}

/* The first worker ends its shape before it begins another. */
static void test_a_shape_is_ended_first(void **state) {
    (void)state;
    queue_t queue;
    open_queue(2, false, &queue);
    assert_int_equal(queue_next(&queue, 0), 0);
    assert_int_equal(queue_next(&queue, 1), 1);
    assert_int_equal(queue_next(&queue, 0), 5);
    assert_int_equal(queue_next(&queue, 0), 10);
    assert_int_equal(queue_next(&queue, 0), 2);
    assert_int_equal(queue_next(&queue, 1), 6);
    queue_close(&queue);
}

static void test_claims_go_on_where_they_were(void **state) {
    (void)state;
    static const int turns[] = {0, 1};
    int owner[SHAPES] = {1, -1, -1, 1, 0};
    queue_t queue;
    open_queue(2, false, &queue);
    queue_claim(&queue, 5, 1);
    queue_claim(&queue, 3, 1);
    queue_claim(&queue, 14, 0);
    assert_int_equal(queue_next(&queue, 1), 0);
    queue_close(&queue);
    open_queue(2, false, &queue);
    queue_claim(&queue, 5, 1);
    queue_claim(&queue, 3, 1);
    queue_claim(&queue, 14, 0);
    assert_int_equal(drain(&queue, turns, 2, owner), POINTS);
    queue_close(&queue);
}

static void test_pinned_gives_every_worker_every_point(void **state) {
    (void)state;
    queue_t queue;
    open_queue(3, true, &queue);
    queue_claim(&queue, 3, 1);
    for (int i = 0; i < POINTS; i++)
        for (int w = 0; w < 3; w++) assert_int_equal(queue_next(&queue, w), i);
    for (int w = 0; w < 3; w++) assert_int_equal(queue_next(&queue, w), -1);
    queue_close(&queue);
}

static void test_joined_facts(void **state) {
    (void)state;
    joined_facts_t facts = {0};
    assert_int_equal(facts_join(&facts, "gpu_uuid", "GPU-1"), STATUS_OK);
    assert_int_equal(facts_join(&facts, "driver", "580"), STATUS_OK);
    assert_int_equal(facts_join(&facts, "gpu_uuid", "GPU-12"), STATUS_OK);
    assert_int_equal(facts_join(&facts, "gpu_uuid", "GPU-1"), STATUS_OK);
    assert_int_equal(facts_join(&facts, "driver", "580"), STATUS_OK);
    assert_string_equal(facts_value(&facts, "gpu_uuid"), "GPU-1 | GPU-12");
    assert_string_equal(facts_value(&facts, "driver"), "580");
    assert_null(facts_value(&facts, "host"));
    assert_false(facts_hold("GPU-1 | GPU-12", "GPU"));
    facts_free(&facts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_worker_keeps_the_order),
        cmocka_unit_test(test_shapes_stay_together),
        cmocka_unit_test(test_a_shape_is_ended_first),
        cmocka_unit_test(test_claims_go_on_where_they_were),
        cmocka_unit_test(test_pinned_gives_every_worker_every_point),
        cmocka_unit_test(test_joined_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
