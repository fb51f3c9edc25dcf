/* test_slots.c - the slot table against a model; retired ids are kept and tried again. */
#include "unit.h"

#include <inttypes.h>
#include <string.h>

#include "base/slots.h"
#include "base/status.h"

#define CAPACITY   300u
#define STEPS      200000u
#define STALE_KEPT 4096u

typedef struct entry {
    sl_slot_id id;
    unsigned char fill[20];
} entry;

typedef struct used {
    sl_slot_id id;
    entry *memory;
} used;

typedef struct table {
    sl_slots slots;
    used in_use[CAPACITY];
    uint32_t count;
    sl_slot_id stale[STALE_KEPT];
    uint32_t stale_count;
    void *address_of[CAPACITY];
} table;

static void take(table *t) {
    void *memory = NULL;
    sl_slot_id id = 0;
    int status = sl_slots_take(&t->slots, &memory, &id);
    if (t->count == CAPACITY) {
        assert_int_equal(status, SLUICE_EQUOTA);
        assert_null(memory);
        return;
    }
    assert_int_equal(status, SLUICE_OK);
    assert_true(id != 0 && id >> 63 == 0);
    assert_int_equal((uintptr_t)memory % 16, 0);
    uint32_t index = (uint32_t)id;
    assert_true(index < CAPACITY);
    if (t->address_of[index] == NULL) {
        static const unsigned char zero[sizeof(entry)];
        assert_memory_equal(memory, zero, sizeof(entry));
    } else {
        assert_ptr_equal(t->address_of[index], memory);
        /* The contents are what they were: the last id of this entry, one generation ago. */
        assert_true(((entry *)memory)->id == id - (UINT64_C(1) << 32));
    }
    t->address_of[index] = memory;
    ((entry *)memory)->id = id;
    memset(((entry *)memory)->fill, (int)(index & 0xff), sizeof(((entry *)memory)->fill));
    t->in_use[t->count++] = (used){id, memory};
}

static void release(table *t, uint32_t which) {
    used gone = t->in_use[which];
    sl_slots_release(&t->slots, gone.memory);
    t->in_use[which] = t->in_use[--t->count];
    t->stale[t->stale_count++ % STALE_KEPT] = gone.id;
    assert_null(sl_slots_find(&t->slots, gone.id));
}

static void check_one(table *t, sl_random_seeded *random) {
    if (t->count > 0) {
        used one = t->in_use[sl_random_seeded_below(random, t->count)];
        assert_ptr_equal(sl_slots_find(&t->slots, one.id), one.memory);
        assert_true(sl_slots_id_of(&t->slots, one.memory) == one.id);
        assert_true(one.memory->id == one.id);
        assert_int_equal(one.memory->fill[19], (uint32_t)one.id & 0xff);
        assert_null(sl_slots_find(&t->slots, one.id + (UINT64_C(1) << 32)));
        assert_null(sl_slots_find(&t->slots, one.id | UINT64_C(1) << 63));
    }
    if (t->stale_count > 0) {
        uint32_t kept = t->stale_count < STALE_KEPT ? t->stale_count : STALE_KEPT;
        assert_null(sl_slots_find(&t->slots, t->stale[sl_random_seeded_below(random, kept)]));
    }
}

static void check_iteration(table *t) {
    uint32_t cursor = 0;
    uint32_t seen = 0;
    uint32_t last_index = 0;
    for (entry *e = sl_slots_next(&t->slots, &cursor); e != NULL;
         e = sl_slots_next(&t->slots, &cursor)) {
        assert_ptr_equal(sl_slots_find(&t->slots, e->id), e);
        assert_true(seen == 0 || (uint32_t)e->id > last_index);
        last_index = (uint32_t)e->id;
        seen++;
    }
    assert_int_equal(seen, t->count);
    assert_int_equal(t->slots.used, t->count);
}

static void test_against_model(void **state) {
    static table t;
    unit_memory memory;
    sl_random_seeded random;
    (void)state;
    unit_random_init(&random, "slots");
    unit_memory_init(&memory, 0, false);
    assert_int_equal(sl_slots_init(&t.slots, &memory.account, CAPACITY, sizeof(entry)), SLUICE_OK);
    for (uint32_t step = 0; step < STEPS; step++) {
        /* The fill level wanders between empty and full. */
        uint32_t bias = step / 5000 % 2 == 0 ? 6 : 4;
        if (sl_random_seeded_below(&random, 10) < bias) {
            take(&t);
        } else if (t.count > 0) {
            release(&t, sl_random_seeded_below(&random, t.count));
        }
        check_one(&t, &random);
        if (step % 1000 == 0) {
            check_iteration(&t);
        }
    }
    print_message("slots: %u retired ids tried again\n", t.stale_count);
    while (t.count > 0) {
        release(&t, t.count - 1);
    }
    sl_slots_deinit(&t.slots);
    unit_memory_deinit(&memory);
}

static void test_invented_ids_find_nothing(void **state) {
    unit_memory memory;
    sl_random_seeded random;
    sl_slots slots;
    void *entry_memory;
    sl_slot_id id;
    (void)state;
    unit_random_init(&random, "slots, invented ids");
    unit_memory_init(&memory, 0, false);
    assert_int_equal(sl_slots_init(&slots, &memory.account, 16, 8), SLUICE_OK);
    assert_null(sl_slots_find(&slots, 0));
    assert_null(sl_slots_find(&slots, UINT64_C(1) << 32)); /* before any memory is there */
    assert_int_equal(sl_slots_take(&slots, &entry_memory, &id), SLUICE_OK);
    for (int i = 0; i < 200000; i++) {
        sl_slot_id invented = sl_random_seeded_u64(&random);
        if (i % 2 == 0) { /* nearly right: small index, small generation */
            invented &= UINT64_C(0x800000030000001f);
        }
        if (invented != id) {
            assert_null(sl_slots_find(&slots, invented));
        }
    }
    sl_slots_release(&slots, entry_memory);
    sl_slots_deinit(&slots);
    unit_memory_deinit(&memory);
}

static void test_reuse_is_first_in_first_out(void **state) {
    unit_memory memory;
    sl_slots slots;
    void *entries[8];
    sl_slot_id ids[8];
    static const unsigned order[8] = {3, 0, 7, 5, 1, 2, 6, 4};
    (void)state;
    unit_memory_init(&memory, 0, false);
    assert_int_equal(sl_slots_init(&slots, &memory.account, 8, 40), SLUICE_OK);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(sl_slots_take(&slots, &entries[i], &ids[i]), SLUICE_OK);
        assert_int_equal((uint32_t)ids[i], i);
    }
    for (unsigned i = 0; i < 8; i++) {
        sl_slots_release(&slots, entries[order[i]]);
    }
    for (unsigned i = 0; i < 8; i++) {
        void *again;
        sl_slot_id id;
        assert_int_equal(sl_slots_take(&slots, &again, &id), SLUICE_OK);
        assert_ptr_equal(again, entries[order[i]]);
        assert_true(id == ids[order[i]] + (UINT64_C(1) << 32));
        sl_slots_release(&slots, again);
    }
    sl_slots_deinit(&slots);
    unit_memory_deinit(&memory);
}

static void test_generation_wraps_past_zero(void **state) {
    unit_memory memory;
    sl_slots slots;
    void *entry_memory;
    sl_slot_id first;
    sl_slot_id id;
    (void)state;
    unit_memory_init(&memory, 0, false);
    assert_int_equal(sl_slots_init(&slots, &memory.account, 1, 8), SLUICE_OK);
    assert_int_equal(sl_slots_take(&slots, &entry_memory, &first), SLUICE_OK);
    ((sl_slot_header *)entry_memory - 1)->generation = 0x7fffffff; /* 2^31 - 2 uses later */
    id = sl_slots_id_of(&slots, entry_memory);
    assert_true(id == UINT64_C(0x7fffffff) << 32);
    sl_slots_release(&slots, entry_memory);
    assert_null(sl_slots_find(&slots, id));
    assert_int_equal(sl_slots_take(&slots, &entry_memory, &id), SLUICE_OK);
    assert_true(id == first);
    sl_slots_release(&slots, entry_memory);
    sl_slots_deinit(&slots);
    unit_memory_deinit(&memory);
}

static void test_reserved_entries_need_no_memory(void **state) {
    unit_memory memory;
    sl_slots slots;
    void *entries[1000];
    sl_slot_id id;
    (void)state;
    unit_memory_init(&memory, 0, false);
    assert_int_equal(sl_slots_init(&slots, &memory.account, 1000, 100), SLUICE_OK);
    assert_int_equal(sl_slots_reserve(&slots, 700), SLUICE_OK);
    uint64_t before = atomic_load(&memory.failpoint.acquire_count);
    for (unsigned i = 0; i < 700; i++) {
        assert_int_equal(sl_slots_take(&slots, &entries[i], &id), SLUICE_OK);
    }
    assert_int_equal(atomic_load(&memory.failpoint.acquire_count), before);
    assert_int_equal(sl_slots_reserve(&slots, UINT32_MAX), SLUICE_OK); /* all there is */
    before = atomic_load(&memory.failpoint.acquire_count);
    for (unsigned i = 700; i < 1000; i++) {
        assert_int_equal(sl_slots_take(&slots, &entries[i], &id), SLUICE_OK);
    }
    assert_int_equal(atomic_load(&memory.failpoint.acquire_count), before);
    assert_int_equal(sl_slots_take(&slots, &entries[0], &id), SLUICE_EQUOTA);
    uint32_t cursor = 0;
    unsigned released = 0;
    for (void *e = sl_slots_next(&slots, &cursor); e != NULL; e = sl_slots_next(&slots, &cursor)) {
        sl_slots_release(&slots, e); /* while iterating */
        released++;
    }
    assert_int_equal(released, 1000);
    sl_slots_deinit(&slots);
    unit_memory_deinit(&memory);
}

static void test_trim(void **state) {
    unit_memory memory;
    sl_slots slots;
    void *taken;
    sl_slot_id id;
    (void)state;
    unit_memory_init(&memory, 0, false);
    assert_int_equal(sl_slots_init(&slots, &memory.account, 3000, 100), SLUICE_OK);
    size_t empty = atomic_load(&memory.account.used_bytes);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(sl_slots_reserve(&slots, 2000 + 500 * round), SLUICE_OK);
        size_t full = atomic_load(&memory.account.used_bytes);
        assert_int_equal(sl_slots_take(&slots, &taken, &id), SLUICE_OK);
        sl_slots_trim(&slots); /* somebody has one */
        assert_int_equal(atomic_load(&memory.account.used_bytes), full);
        assert_ptr_equal(sl_slots_find(&slots, id), taken);
        sl_slots_release(&slots, taken);
        sl_slots_trim(&slots);
        assert_int_equal(atomic_load(&memory.account.used_bytes), empty);
        assert_null(sl_slots_find(&slots, id));
    }
    sl_slots_deinit(&slots);
    unit_memory_deinit(&memory);
}

static void test_odd_shapes(void **state) {
    static const struct {
        uint32_t capacity;
        size_t entry_size;
    } shapes[] = {{1, 0}, {3, 1}, {1025, 0}, {1025, 16}, {5, 65536}, {2, 200000}, {4097, 17}};
    (void)state;
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
        unit_memory memory;
        sl_slots slots;
        void *e;
        sl_slot_id id;
        unit_memory_init(&memory, 0, false);
        assert_int_equal(
            sl_slots_init(&slots, &memory.account, shapes[s].capacity, shapes[s].entry_size),
            SLUICE_OK);
        for (uint32_t i = 0; i < shapes[s].capacity; i++) {
            assert_int_equal(sl_slots_take(&slots, &e, &id), SLUICE_OK);
            memset(e, 0xff, shapes[s].entry_size); /* must not reach a neighbour's header */
        }
        assert_int_equal(sl_slots_take(&slots, &e, &id), SLUICE_EQUOTA);
        uint32_t cursor = 0;
        while ((e = sl_slots_next(&slots, &cursor)) != NULL) {
            assert_ptr_equal(sl_slots_find(&slots, sl_slots_id_of(&slots, e)), e);
            sl_slots_release(&slots, e);
        }
        sl_slots_deinit(&slots);
        unit_memory_deinit(&memory);
    }
}

static void test_bad_arguments(void **state) {
    sl_slots slots = {0};
    unit_memory memory;
    (void)state;
    unit_memory_init(&memory, 0, false);
    assert_int_equal(sl_slots_init(&slots, &memory.account, 0, 8), SLUICE_EINVAL);
    assert_int_equal(sl_slots_init(&slots, &memory.account, 0x80000000u, 8), SLUICE_EINVAL);
    assert_int_equal(sl_slots_init(&slots, &memory.account, 1, SIZE_MAX), SLUICE_EINVAL);
    sl_slots_deinit(&slots); /* harmless on a zeroed structure */
    unit_memory_deinit(&memory);
}

/* Fills a table of 600 while one allocation fails. Returns true if none did. */
static bool fill_with_failure(uint64_t fail_at, bool from_then_on) {
    unit_memory memory;
    sl_slots slots = {0};
    uint32_t taken = 0;
    bool has_failed = false;
    unit_memory_init(&memory, fail_at, from_then_on);
    int status = sl_slots_init(&slots, &memory.account, 600, 300);
    has_failed = status == SLUICE_ENOMEM;
    while (status == SLUICE_OK) {
        void *e;
        sl_slot_id id;
        status = sl_slots_take(&slots, &e, &id);
        if (status == SLUICE_ENOMEM && !has_failed && !from_then_on) {
            has_failed = true;
            status = SLUICE_OK; /* the next attempt succeeds */
            continue;
        }
        has_failed = has_failed || status == SLUICE_ENOMEM;
        taken += status == SLUICE_OK;
    }
    assert_true(status == SLUICE_ENOMEM || (status == SLUICE_EQUOTA && taken == 600));
    assert_int_equal(has_failed, atomic_load(&memory.failpoint.failed_count) != 0);
    uint32_t cursor = 0;
    void *e;
    while (slots.account != NULL && (e = sl_slots_next(&slots, &cursor)) != NULL) {
        sl_slots_release(&slots, e);
    }
    sl_slots_deinit(&slots);
    unit_memory_deinit(&memory);
    return !has_failed;
}

static void test_every_allocation_may_fail(void **state) {
    uint64_t once = 1;
    uint64_t from_then_on = 1;
    (void)state;
    while (!fill_with_failure(once, false)) {
        once++;
    }
    while (!fill_with_failure(from_then_on, true)) {
        from_then_on++;
    }
    assert_true(once > 3 && once == from_then_on);
}

static void test_misuse_is_caught(void **state) {
    unit_child child;
    (void)state;
    unit_child_run("release-twice", UNIT_CHILD_READ, &child);
    assert_true(child.has_aborted);
    assert_non_null(strstr(child.errors, "an entry is released once"));
    unit_child_run("deinit-in-use", UNIT_CHILD_READ, &child);
    assert_true(child.has_aborted);
    assert_non_null(strstr(child.errors, "no entry is in use"));
}

static int run_as_child(const char *what) {
    sl_account account;
    sl_slots slots;
    void *e;
    sl_slot_id id;
    sl_account_init(&account, sl_allocator_system(), "child", SIZE_MAX);
    if (sl_slots_init(&slots, &account, 4, 4) != SLUICE_OK ||
        sl_slots_take(&slots, &e, &id) != SLUICE_OK) {
        return 1;
    }
    if (strcmp(what, "release-twice") == 0) {
        sl_slots_release(&slots, e);
        sl_slots_release(&slots, e);
    }
    sl_slots_deinit(&slots);
    return 0;
}

int main(int argument_count, char **arguments) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_invented_ids_find_nothing),
        cmocka_unit_test(test_reuse_is_first_in_first_out),
        cmocka_unit_test(test_generation_wraps_past_zero),
        cmocka_unit_test(test_reserved_entries_need_no_memory),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_odd_shapes),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_misuse_is_caught),
    };
    if (argument_count > 1) {
        return run_as_child(arguments[1]);
    }
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
