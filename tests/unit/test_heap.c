/* test_heap.c - the deadline heap against a model: an unordered array that is searched. */
#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/status.h"

#define NODES 500u
#define STEPS 200000u

typedef struct timer {
    sl_heap_node node;
    uint64_t deadline_ns; /* the model's copies */
    uint64_t inserted;
    bool is_in;
} timer;

static timer timers[NODES];

static timer *model_first(void) {
    timer *first = NULL;
    for (unsigned i = 0; i < NODES; i++) {
        timer *t = &timers[i];
        if (t->is_in && (first == NULL || t->deadline_ns < first->deadline_ns ||
                         (t->deadline_ns == first->deadline_ns && t->inserted < first->inserted))) {
            first = t;
        }
    }
    return first;
}

static void check_shape(const sl_heap *heap) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < heap->used; i++) {
        const sl_heap_entry *entry = &heap->entries[i];
        if (entry->node != NULL) {
            assert_int_equal(entry->node->position, i + 1);
            assert_true(entry->node->deadline_ns == entry->deadline_ns);
            count++;
        }
        if (i > 0) {
            assert_true(heap->entries[(i + 1) / 2 - 1].deadline_ns <= entry->deadline_ns);
        }
    }
    assert_int_equal(count, heap->count);
    assert_true(heap->used <= 2 * heap->count + 16);
    assert_true(heap->used <= 2 * heap->capacity);
}

static void check_first(sl_heap *heap) {
    timer *expected = model_first();
    assert_ptr_equal(sl_heap_first(heap), expected != NULL ? &expected->node : NULL);
    assert_true(sl_heap_deadline_ns(heap) ==
                (expected != NULL ? expected->deadline_ns : SL_CLOCK_NEVER));
}

static void pop_due(sl_heap *heap, uint64_t now_ns) {
    timer *expected = model_first();
    if (expected != NULL && expected->deadline_ns > now_ns) {
        expected = NULL;
    }
    sl_heap_node *popped = sl_heap_pop_due(heap, now_ns);
    assert_ptr_equal(popped, expected != NULL ? &expected->node : NULL);
    if (expected != NULL) {
        expected->is_in = false;
        assert_false(sl_heap_contains(popped));
    }
}

static void toggle(sl_heap *heap, timer *t, uint64_t deadline_ns, uint64_t step) {
    assert_int_equal(sl_heap_contains(&t->node), t->is_in);
    if (t->is_in) {
        sl_heap_remove(heap, &t->node);
        sl_heap_remove(heap, &t->node); /* does nothing */
        t->is_in = false;
        return;
    }
    assert_int_equal(sl_heap_insert(heap, &t->node, deadline_ns), SLUICE_OK);
    t->deadline_ns = deadline_ns;
    t->inserted = step;
    t->is_in = true;
}

static void test_against_model(void **state) {
    unit_memory memory;
    sl_random_seeded random;
    sl_heap heap;
    (void)state;
    unit_random_init(&random, "heap");
    unit_memory_init(&memory, 0, false);
    sl_heap_init(&heap, &memory.account, NODES);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t deadline_ns = sl_random_seeded_below(&random, 200); /* many are equal */
        if (deadline_ns == 199) {
            deadline_ns = SL_CLOCK_NEVER;
        }
        if (sl_random_seeded_below(&random, 5) == 0) {
            pop_due(&heap, sl_random_seeded_below(&random, 100));
        } else {
            toggle(&heap, &timers[sl_random_seeded_below(&random, NODES)], deadline_ns, step);
        }
        if (step % 16 == 0) {
            check_first(&heap);
        }
        if (step % 1000 == 0) {
            check_shape(&heap);
        }
    }
    while (heap.count > 0) {
        pop_due(&heap, SL_CLOCK_NEVER);
    }
    assert_null(model_first());
    sl_heap_deinit(&heap);
    unit_memory_deinit(&memory);
}

static void test_equal_deadlines_come_out_in_order(void **state) {
    unit_memory memory;
    sl_heap heap;
    static sl_heap_node nodes[NODES];
    (void)state;
    unit_memory_init(&memory, 0, false);
    sl_heap_init(&heap, &memory.account, NODES);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(sl_heap_insert(&heap, &nodes[i], 1000 + i % 3), SLUICE_OK);
    }
    assert_null(sl_heap_pop_due(&heap, 999));
    for (unsigned remainder = 0; remainder < 3; remainder++) {
        for (unsigned i = remainder; i < NODES; i += 3) {
            assert_ptr_equal(sl_heap_pop_due(&heap, 1000 + remainder), &nodes[i]);
        }
        assert_null(sl_heap_pop_due(&heap, 1000 + remainder));
    }
    sl_heap_deinit(&heap);
    unit_memory_deinit(&memory);
}

static void test_limit_and_reserve(void **state) {
    unit_memory memory;
    sl_heap heap;
    sl_heap_node nodes[41] = {0};
    (void)state;
    unit_memory_init(&memory, 0, false);
    sl_heap_init(&heap, &memory.account, 40);
    assert_int_equal(atomic_load(&memory.failpoint.acquire_count), 0);
    assert_int_equal(sl_heap_reserve(&heap, 41), SLUICE_EQUOTA);
    assert_int_equal(sl_heap_reserve(&heap, 40), SLUICE_OK);
    assert_int_equal(sl_heap_reserve(&heap, 3), SLUICE_OK);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(sl_heap_insert(&heap, &nodes[i], 100 - i), SLUICE_OK);
    }
    assert_int_equal(atomic_load(&memory.failpoint.acquire_count), 1);
    assert_int_equal(sl_heap_insert(&heap, &nodes[40], 1), SLUICE_EQUOTA);
    assert_false(sl_heap_contains(&nodes[40]));
    for (unsigned i = 0; i < 40; i++) {
        sl_heap_remove(&heap, &nodes[i]);
    }
    sl_heap_deinit(&heap);
    sl_heap_init(&heap, &memory.account, 40);
    for (unsigned i = 1; i <= 40; i++) { /* one by one: it doubles */
        assert_int_equal(sl_heap_reserve(&heap, i), SLUICE_OK);
    }
    assert_int_equal(atomic_load(&memory.failpoint.acquire_count), 1 + 7);
    assert_int_equal(sl_heap_insert(&heap, &nodes[0], 2), SLUICE_OK);
    for (unsigned i = 2; i < 40; i++) { /* cleared entries do not count */
        assert_int_equal(sl_heap_insert(&heap, &nodes[i], 10 + i), SLUICE_OK);
    }
    for (unsigned i = 2; i < 40; i++) {
        sl_heap_remove(&heap, &nodes[i]);
    }
    assert_int_equal(sl_heap_insert(&heap, &nodes[1], 1), SLUICE_OK);
    sl_heap_trim(&heap, 1);
    assert_int_equal(atomic_load(&memory.account.used_bytes), 2 * 2 * sizeof(sl_heap_entry));
    assert_ptr_equal(sl_heap_first(&heap), &nodes[1]);
    sl_heap_trim(&heap, 30); /* never makes room */
    assert_int_equal(atomic_load(&memory.account.used_bytes), 2 * 2 * sizeof(sl_heap_entry));
    sl_heap_remove(&heap, &nodes[0]);
    sl_heap_remove(&heap, &nodes[1]);
    sl_heap_deinit(&heap);
    sl_heap_init(&heap, &memory.account, 0);
    assert_int_equal(sl_heap_insert(&heap, &nodes[40], 1), SLUICE_EQUOTA);
    sl_heap_deinit(&heap);
    unit_memory_deinit(&memory);
}

/* Grows to 100 nodes while one allocation fails. Returns true if none did. */
static bool grow_with_failure(uint64_t fail_at, bool from_then_on) {
    unit_memory memory;
    sl_heap heap;
    sl_heap_node nodes[100] = {0};
    bool has_failed = false;
    unit_memory_init(&memory, fail_at, from_then_on);
    sl_heap_init(&heap, &memory.account, 100);
    for (unsigned i = 0; i < 100; i++) {
        int status = sl_heap_insert(&heap, &nodes[i], 1000 - i);
        if (status == SLUICE_ENOMEM) {
            assert_false(sl_heap_contains(&nodes[i]));
            has_failed = true;
            assert_int_equal(sl_heap_insert(&heap, &nodes[i], 1000 - i),
                             from_then_on ? SLUICE_ENOMEM : SLUICE_OK);
        } else {
            assert_int_equal(status, SLUICE_OK);
        }
    }
    check_shape(&heap);
    for (unsigned i = 0; i < 100; i++) {
        sl_heap_remove(&heap, &nodes[i]);
    }
    sl_heap_deinit(&heap);
    unit_memory_deinit(&memory);
    return !has_failed;
}

static void test_every_allocation_may_fail(void **state) {
    uint64_t once = 1;
    uint64_t from_then_on = 1;
    (void)state;
    while (!grow_with_failure(once, false)) {
        once++;
    }
    while (!grow_with_failure(from_then_on, true)) {
        from_then_on++;
    }
    assert_true(once > 3 && once == from_then_on);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_equal_deadlines_come_out_in_order),
        cmocka_unit_test(test_limit_and_reserve),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
