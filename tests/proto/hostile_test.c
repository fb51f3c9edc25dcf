/*
 * hostile_test.c - bytes nobody should send: random ones, broken ones, and those made to cost much.
 *
 * Each input is decoded from a buffer of exactly its size, so that a sanitizer sees a byte too far.
 * The seed is printed; SLUICE_TEST_SEED=n repeats a run, SLUICE_TEST_ITERATIONS=n lengthens it.
 */
#include "tests/proto/agree.h"
#include "tests/proto/dear.h"
#include "tests/proto/proto_test.h"

#define ITERATIONS    100000u /* of each of the three ways to make bytes */

static uint64_t number_from(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static uint64_t pick_seed(void) {
    uint64_t seed = 0;
    sl_random *system = sl_random_system();
    system->fill(system, &seed, sizeof(seed));
    seed = number_from("SLUICE_TEST_SEED", seed >> 32);
    print_message("SLUICE_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Decodes as either side would; counts what is taken for a request and for a response. */
static void decode_both(test_decoder *decoder, const uint8_t *bytes, size_t length,
                        uint32_t payload_length, uint64_t counts[2]) {
    uint8_t *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, bytes, length);
    sl_reason reason;
    sl_response response;
    sl_request request;
    counts[1] += agree_response(&decoder->arena, exact, length, payload_length, &response,
                                &reason) == SLUICE_OK;
    counts[0] += agree_request(&decoder->arena, &decoder->limits, exact, length, payload_length,
                               &request, &reason) == SLUICE_OK;
    assert_true(decoder->arena.used_bytes <= decoder->arena.size_bytes);
    free(exact);
    assert_int_equal(decoder->account.acquired_count, 1);
}

static size_t random_bytes(sl_random_seeded *random, uint8_t *bytes, size_t room) {
    size_t length = sl_random_seeded_below(random, (uint32_t)(room < 300 ? room : 300));
    random->random.fill(&random->random, bytes, length);
    return length;
}

/* Fields with plausible tags and sound lengths, nested: gets further than noise. */
static size_t random_fields(sl_random_seeded *random, uint8_t *bytes, size_t room, unsigned depth) {
    size_t length = 0;
    uint32_t count = sl_random_seeded_below(random, 6);
    for (uint32_t i = 0; i < count && length + 16 < room; i++) {
        uint32_t number = 1 + sl_random_seeded_below(random, 20);
        uint32_t type = sl_random_seeded_below(random, 8);
        unsigned wire_type = type < 3 ? 0 : type < 6 ? 2 : type == 6 ? 1 : 5;
        uint32_t tag = number << 3 | wire_type;
        if (tag > 127) {
            bytes[length++] = (uint8_t)(tag | 128);
            tag >>= 7;
        }
        bytes[length++] = (uint8_t)tag;
        if (wire_type == 2) {
            size_t inner = 0;
            size_t space = room - length - 1 < 100 ? room - length - 1 : 100;
            if (depth < 5 && sl_random_seeded_below(random, 3) > 0) {
                inner = random_fields(random, bytes + length + 1, space, depth + 1);
            } else {
                inner = sl_random_seeded_below(random, (uint32_t)space);
                memset(bytes + length + 1, 'a' + (int)number, inner);
            }
            bytes[length] = (uint8_t)inner;
            length += 1 + inner;
        } else {
            size_t width = wire_type == 1 ? 8 : wire_type == 5 ? 4 : 1;
            memset(bytes + length, (int)sl_random_seeded_below(random, 128), width);
            length += width;
        }
    }
    return length;
}

/* A sample with a few bytes changed, cut off, doubled or taken from another place. */
static size_t mutated_sample(sl_random_seeded *random, uint8_t *bytes, size_t room,
                             uint32_t *ret_payload) {
    size_t length = 0;
    if (sl_random_seeded_below(random, 2) == 0) {
        const sl_request *request = NULL;
        while ((request = sample_request(sl_random_seeded_below(random, 32))) == NULL) {
        }
        *ret_payload = sample_request_payload(request);
        assert_int_equal(sl_request_encode(request, 0, bytes, room, &length), SLUICE_OK);
    } else {
        const sl_response *response = NULL;
        while ((response = sample_response(sl_random_seeded_below(random, 32))) == NULL) {
        }
        *ret_payload = sample_response_payload(response);
        assert_int_equal(sl_response_encode(response, 0, bytes, room, &length), SLUICE_OK);
    }
    length -= SL_FRAME_HEADER_BYTES;
    memmove(bytes, bytes + SL_FRAME_HEADER_BYTES, length);
    for (uint32_t change = sl_random_seeded_below(random, 4); change > 0 && length > 0; change--) {
        uint32_t at = sl_random_seeded_below(random, (uint32_t)length);
        switch (sl_random_seeded_below(random, 4)) {
        case 0: bytes[at] ^= (uint8_t)(1u << sl_random_seeded_below(random, 8)); break;
        case 1: bytes[at] = (uint8_t)sl_random_seeded_u64(random); break;
        case 2: length = at; break;
        default:
            if (2 * length < room) {
                memcpy(bytes + length, bytes + at, length - at);
                length += length - at;
            }
            break;
        }
    }
    return length;
}

static void random_bytes_do_no_harm(void **state) {
    test_decoder *decoder = *state;
    static uint8_t bytes[DEAR_CONTROL_BYTES];
    sl_random_seeded random;
    sl_random_seeded_init(&random, pick_seed());
    uint64_t iterations = number_from("SLUICE_TEST_ITERATIONS", ITERATIONS);
    uint64_t counts[3][2] = {{0}};
    for (uint64_t i = 0; i < iterations; i++) {
        uint32_t payload = 0;
        size_t length = random_bytes(&random, bytes, sizeof(bytes));
        decode_both(decoder, bytes, length, 0, counts[0]);
        sl_frame frame;
        size_t needed = 0;
        sl_frame_result result =
            sl_frame_parse(bytes, length, &decoder->frame_limits, &frame, &needed, NULL);
        assert_true(result != SL_FRAME_COMPLETE || frame.length <= length);
        assert_true(result != SL_FRAME_INCOMPLETE || needed > length);
        assert_true(result != SL_FRAME_INCOMPLETE || needed <= 8 + 2 * 65536);
        length = random_fields(&random, bytes, 400, 0);
        decode_both(decoder, bytes, length, sl_random_seeded_below(&random, 3), counts[1]);
        length = mutated_sample(&random, bytes, sizeof(bytes), &payload);
        decode_both(decoder, bytes, length, payload, counts[2]);
    }
    static const char *const names[] = {"noise", "fields", "mutated samples"};
    for (size_t i = 0; i < 3; i++) {
        print_message("%s: %llu inputs, %llu requests, %llu responses\n", names[i],
                      (unsigned long long)iterations, (unsigned long long)counts[i][0],
                      (unsigned long long)counts[i][1]);
    }
    assert_true(counts[1][0] > 0 && counts[2][0] > 0 && counts[2][1] > 0);
    print_message("arena: peak %llu bytes\n", (unsigned long long)decoder->arena.peak_bytes);
}

/* ---- frames made to cost much ---- */

static void dear_frames_stay_within_the_budget(void **state) {
    test_decoder *decoder = *state;
    static uint8_t bytes[DEAR_ROOM];
    const char *name;
    bool is_allowed;
    size_t length;
    for (unsigned i = 0; (length = dear_message(i, bytes, &name, &is_allowed)) > 0; i++) {
        uint64_t counts[2] = {0};
        decode_both(decoder, bytes, length, 0, counts);
        assert_int_equal(counts[0], is_allowed);
        assert_true(is_allowed || counts[1] == 0);
    }
}

static void what_is_within_the_limits_fits_the_arena(void **state) {
    test_decoder *decoder = *state;
    static uint8_t bytes[DEAR_ROOM];
    uint64_t counts[2] = {0};
    /* One field of 64 KiB that nobody knows. */
    memcpy(bytes, "\x08\x07\x6a\x00", 4);
    size_t begin = 4 + dear_wrap(bytes + 4, "\x9a\x06", 2, DEAR_CONTROL_BYTES - 9);
    assert_int_equal(begin, 9);
    memset(bytes + begin, 0xff, DEAR_CONTROL_BYTES - begin);
    decode_both(decoder, bytes, DEAR_CONTROL_BYTES, 0, counts);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1); /* a Response knows neither field, and ignores both */
    /* As many unknown fields as are allowed, as long as fits; and one more. */
    size_t length = 4;
    for (unsigned i = 0; i < 2046; i++) {
        memcpy(bytes + length, "\x9a\x06\x1c", 3);
        length += 3 + 28;
    }
    decode_both(decoder, bytes, length, 0, counts);
    assert_int_equal(counts[0], 2);
    memcpy(bytes + length, "\x98\x06\x01", 3);
    decode_both(decoder, bytes, length + 3, 0, counts);
    assert_int_equal(counts[0], 2);
    print_message("arena: peak %llu bytes\n", (unsigned long long)decoder->arena.peak_bytes);
}

static void an_arena_keeps_to_its_budget(void **state) {
    (void)state;
    sl_account account;
    sl_account_init(&account, sl_allocator_system(), "arena", 100);
    sl_arena arena;
    assert_int_equal(sl_arena_init(&arena, &account, 101, 3), SLUICE_ENOMEM);
    sl_arena_deinit(&arena);
    assert_int_equal(sl_arena_init(&arena, &account, 100, 3), SLUICE_OK);
    void *first = sl_arena_alloc(&arena, 1);
    void *second = sl_arena_alloc(&arena, 83);
    assert_ptr_equal((char *)second - 16, first);
    assert_false(arena.is_exhausted);
    assert_null(sl_arena_alloc(&arena, 5));
    assert_true(arena.is_exhausted);
    assert_null(sl_arena_alloc(&arena, SIZE_MAX));
    sl_arena_reset(&arena);
    assert_ptr_equal(sl_arena_alloc(&arena, 100), first);
    assert_null(sl_arena_alloc(&arena, 1));
    sl_arena_reset(&arena);
    assert_non_null(sl_arena_alloc(&arena, 0));
    assert_non_null(sl_arena_alloc(&arena, 0));
    assert_non_null(sl_arena_alloc(&arena, 0));
    assert_null(sl_arena_alloc(&arena, 0));
    assert_int_equal(arena.peak_bytes, 100);
    sl_arena_deinit(&arena);
    sl_account_deinit(&account);
}

static int set_up(void **state) {
    static test_decoder decoder;
    samples_init();
    decoder_init(&decoder);
    *state = &decoder;
    return 0;
}

static int tear_down(void **state) {
    decoder_deinit(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_bytes_do_no_harm),
        cmocka_unit_test(dear_frames_stay_within_the_budget),
        cmocka_unit_test(what_is_within_the_limits_fits_the_arena),
        cmocka_unit_test(an_arena_keeps_to_its_budget),
    };
    return cmocka_run_group_tests_name("proto_hostile", tests, set_up, tear_down);
}
