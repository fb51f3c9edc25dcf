/* test_random.c - the seeded generator's known answers and fairness; the system's bytes differ. */
#include "unit.h"

#include <string.h>

#define DRAWS 600000
#define SIDES 6

/* The published test vector of xoshiro256** for the state 1, 2, 3, 4 (rand_xoshiro and others). */
static void test_known_answers(void **state) {
    static const uint64_t expected[] = {
        UINT64_C(11520),
        UINT64_C(0),
        UINT64_C(1509978240),
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
    };
    sl_random_seeded random = {.state = {1, 2, 3, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_true(sl_random_seeded_u64(&random) == expected[i]);
    }
}

/* splitmix64's published sequence for the seed 0 fills the state. */
static void test_seed_fills_the_state(void **state) {
    sl_random_seeded random;
    (void)state;
    sl_random_seeded_init(&random, 0);
    assert_true(random.state[0] == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(random.state[1] == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(random.state[2] == UINT64_C(0x06c45d188009454f));
    assert_true(random.state[3] == UINT64_C(0xf88bb8a8724c81ec));
}

static void test_bytes_are_the_numbers_little_endian(void **state) {
    sl_random_seeded numbers;
    sl_random_seeded bytes;
    unsigned char filled[19];
    (void)state;
    sl_random_seeded_init(&numbers, 77);
    sl_random_seeded_init(&bytes, 77);
    bytes.random.fill(&bytes.random, filled, sizeof(filled));
    for (size_t i = 0; i < sizeof(filled); i += 8) {
        uint64_t number = sl_random_seeded_u64(&numbers);
        for (size_t j = 0; j < 8 && i + j < sizeof(filled); j++) {
            assert_int_equal(filled[i + j], (number >> (8 * j)) & 0xff);
        }
    }
}

static void test_below_is_in_range_and_fair(void **state) {
    sl_random_seeded random;
    unsigned counts[SIDES] = {0};
    (void)state;
    sl_random_seeded_init(&random, 4711); /* fixed: fairness is a statistical statement */
    for (int i = 0; i < DRAWS; i++) {
        uint32_t side = sl_random_seeded_below(&random, SIDES);
        assert_true(side < SIDES);
        counts[side]++;
    }
    for (int i = 0; i < SIDES; i++) {
        assert_in_range(counts[i], DRAWS / SIDES * 98 / 100, DRAWS / SIDES * 102 / 100);
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(sl_random_seeded_below(&random, 1), 0);
        assert_true(sl_random_seeded_below(&random, UINT32_MAX) < UINT32_MAX);
    }
}

static void test_system_bytes_differ(void **state) {
    unsigned char a[64] = {0};
    unsigned char b[64] = {0};
    static const unsigned char zero[64];
    (void)state;
    sl_random_system()->fill(sl_random_system(), a, sizeof(a));
    sl_random_system()->fill(sl_random_system(), b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, zero, sizeof(a));
    sl_random_system()->fill(sl_random_system(), a, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_seed_fills_the_state),
        cmocka_unit_test(test_bytes_are_the_numbers_little_endian),
        cmocka_unit_test(test_below_is_in_range_and_fair),
        cmocka_unit_test(test_system_bytes_differ),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
