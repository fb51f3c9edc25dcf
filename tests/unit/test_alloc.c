/* test_alloc.c - exact books, limits that hold under contention, the failpoint fails the Nth. */
#include "unit.h"

#include <string.h>

#include "base/atomic.h"

#define THREADS      4
#define ROUNDS       20000
#define BLOCK        100u
#define LIMIT_BLOCKS 5u

static void test_books(void **state) {
    sl_account account;
    (void)state;
    sl_account_init(&account, sl_allocator_system(), "books", 1000);
    unsigned char *a = sl_account_alloc(&account, 600);
    assert_non_null(a);
    for (size_t i = 0; i < 600; i++) {
        assert_int_equal(a[i], 0);
    }
    memset(a, 0xff, 600);
    assert_null(sl_account_alloc(&account, 401));
    assert_null(sl_account_alloc(&account, SIZE_MAX));
    void *b = sl_account_alloc(&account, 400);
    assert_non_null(b);
    assert_null(sl_account_alloc(&account, 1));
    assert_int_equal(atomic_load(&account.used_bytes), 1000);
    sl_account_free(&account, a, 600);
    assert_int_equal(atomic_load(&account.used_bytes), 400);
    sl_account_free(&account, NULL, 12345);
    sl_account_free(&account, b, 400);
    assert_int_equal(atomic_load(&account.peak_bytes), 1000);
    assert_int_equal(atomic_load(&account.acquired_count), 2);
    assert_int_equal(atomic_load(&account.released_count), 2);
    assert_int_equal(atomic_load(&account.refused_count), 3);
    sl_account_deinit(&account);
}

/* Attempts 1 to 6, the third fails; with from_then_on so do all later ones. */
static void check_failpoint(uint64_t fail_at, bool from_then_on, unsigned expected_failures) {
    unit_memory memory;
    void *blocks[6];
    unsigned failures = 0;
    unit_memory_init(&memory, fail_at, from_then_on);
    for (unsigned i = 0; i < 6; i++) {
        blocks[i] = sl_account_alloc(&memory.account, 10 + i);
        bool must_fail = fail_at != 0 && (i + 1 == fail_at || (from_then_on && i + 1 > fail_at));
        assert_int_equal(blocks[i] == NULL, must_fail);
        failures += blocks[i] == NULL;
    }
    assert_int_equal(failures, expected_failures);
    assert_int_equal(atomic_load(&memory.failpoint.acquire_count), 6);
    assert_int_equal(atomic_load(&memory.failpoint.failed_count), expected_failures);
    assert_int_equal(atomic_load(&memory.account.refused_count), expected_failures);
    for (unsigned i = 0; i < 6; i++) {
        sl_account_free(&memory.account, blocks[i], 10 + i);
    }
    unit_memory_deinit(&memory);
}

static void test_failpoint(void **state) {
    (void)state;
    check_failpoint(0, false, 0);
    check_failpoint(0, true, 0);
    check_failpoint(1, false, 1);
    check_failpoint(3, false, 1);
    check_failpoint(3, true, 4);
    check_failpoint(6, true, 1);
    check_failpoint(7, true, 0);
}

typedef struct hammer {
    sl_account *account;
    uint64_t acquired;
    uint64_t refused;
} hammer;

static void run_hammer(void *context) {
    hammer *self = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        void *blocks[2] = {sl_account_alloc(self->account, BLOCK),
                           sl_account_alloc(self->account, BLOCK)};
        for (unsigned j = 0; j < 2; j++) {
            self->acquired += blocks[j] != NULL;
            self->refused += blocks[j] == NULL;
            sl_account_free(self->account, blocks[j], BLOCK);
        }
    }
}

static void test_limit_holds_under_contention(void **state) {
    sl_account account;
    sl_thread threads[THREADS];
    hammer hammers[THREADS];
    uint64_t acquired = 0;
    uint64_t refused = 0;
    (void)state;
    sl_account_init(&account, sl_allocator_system(), "hammer", LIMIT_BLOCKS * BLOCK);
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i] = (hammer){.account = &account};
        unit_thread_start(&threads[i], run_hammer, &hammers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        sl_thread_join(&threads[i]);
        acquired += hammers[i].acquired;
        refused += hammers[i].refused;
    }
    assert_int_equal(acquired + refused, THREADS * ROUNDS * 2);
    assert_int_equal(atomic_load(&account.acquired_count), acquired);
    assert_int_equal(atomic_load(&account.released_count), acquired);
    assert_int_equal(atomic_load(&account.refused_count), refused);
    assert_true(atomic_load(&account.peak_bytes) <= LIMIT_BLOCKS * BLOCK);
    assert_int_equal(atomic_load(&account.used_bytes), 0);
    sl_account_deinit(&account);
}

static void test_a_leak_is_a_broken_invariant(void **state) {
    unit_child child;
    (void)state;
    unit_child_run("leak", UNIT_CHILD_READ, &child);
    assert_true(child.has_aborted);
    assert_non_null(strstr(child.errors, "an owner returns all its memory"));
    unit_child_run("wrong-size", UNIT_CHILD_READ, &child);
    assert_true(child.has_aborted);
    assert_non_null(strstr(child.errors, "with the size it asked for"));
}

static int run_as_child(const char *what) {
    sl_account account;
    sl_account_init(&account, sl_allocator_system(), "child", SIZE_MAX);
    void *memory = sl_account_alloc(&account, 10);
    if (strcmp(what, "wrong-size") == 0) {
        sl_account_free(&account, memory, 11);
    }
    sl_account_deinit(&account);
    return memory != NULL ? 0 : 1;
}

int main(int argument_count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_books),
        cmocka_unit_test(test_failpoint),
        cmocka_unit_test(test_limit_holds_under_contention),
        cmocka_unit_test(test_a_leak_is_a_broken_invariant),
    };
    if (argument_count > 1) {
        return run_as_child(arguments[1]);
    }
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
