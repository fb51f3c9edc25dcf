/*
 * hostile_test.c - bytes nobody should send: random ones, broken ones, and those made to cost much.
 *
 * Each input is decoded from a buffer of exactly its size, so that a sanitizer sees a byte too far.
 * The seed is printed; SLUICE_TEST_SEED=n repeats a run, SLUICE_TEST_ITERATIONS=n lengthens it.
 */
#include "tests/proto/agree.h"
#include "tests/proto/proto_test.h"

#define ITERATIONS    100000u /* of each of the three ways to make bytes */
#define CONTROL_BYTES 65536u

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
    static uint8_t bytes[CONTROL_BYTES];
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

/* Fills a control message of 64 KiB: `prefix`, then `unit` as often as it fits. */
static size_t fill(uint8_t *bytes, const char *prefix, size_t prefix_length, const char *unit,
                   size_t unit_length) {
    memcpy(bytes, prefix, prefix_length);
    size_t length = prefix_length;
    while (length + unit_length <= CONTROL_BYTES) {
        memcpy(bytes + length, unit, unit_length);
        length += unit_length;
    }
    return length;
}

/* One field of bytes with a three-byte length that spans the rest of the control message. */
static size_t wrap(uint8_t *bytes, const char *tag, size_t tag_length, size_t inner_length) {
    memcpy(bytes, tag, tag_length);
    bytes[tag_length] = (uint8_t)(inner_length | 128);
    bytes[tag_length + 1] = (uint8_t)(inner_length >> 7 | 128);
    bytes[tag_length + 2] = (uint8_t)(inner_length >> 14);
    return tag_length + 3;
}

static void dear_frames_stay_within_the_budget(void **state) {
    test_decoder *decoder = *state;
    static uint8_t bytes[CONTROL_BYTES + 16];
    static const struct {
        const char *name;
        const char *unit;
        size_t length;
    } units[] = {
        {"unknown numbers", "\x70\x01", 2},
        {"unknown empty bytes", "\x72\x00", 2},
        {"unknown long tags", "\xfa\xff\xff\xff\x0f\x00", 6},
        {"unknown wide numbers", "\x71zzzzzzzz", 9},
        {"id again and again", "\x08\x01", 2},
        {"detail again and again", "\x3a\x01x", 3},
        {"empty members of a oneof", "\x6a\x00", 2},
        {"opened handles", "\x42\x02\x0a\x00", 4},
        {"groups", "\x73\x74", 2},
    };
    uint64_t counts[2] = {0};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t length = fill(bytes, "\x08\x07", 2, units[i].unit, units[i].length);
        decode_both(decoder, bytes, length, 0, counts);
    }
    assert_int_equal(counts[0] + counts[1], 0);
    static const struct {
        const char *tags;
        size_t length;
        const char *unit;
        size_t unit_length;
    } inners[] = {
        {"\x42", 1, "\x0a\x00", 2},     /* Response.opened.handles */
        {"\x92\x01", 2, "\x0a\x00", 2}, /* Response.ops.rows */
        {"\x92\x01", 2, "\x70\x01", 2}, /* unknown fields one level down */
        {"\x12", 1, "\x70\x01", 2},     /* Request.read */
    };
    for (size_t i = 0; i < sizeof(inners) / sizeof(inners[0]); i++) {
        size_t begin =
            wrap(bytes, inners[i].tags, inners[i].length, CONTROL_BYTES - inners[i].length - 3);
        (void)fill(bytes + begin, "", 0, inners[i].unit, inners[i].unit_length);
        decode_both(decoder, bytes, CONTROL_BYTES, 0, counts);
    }
    assert_int_equal(counts[0] + counts[1], 0);
}

static void what_is_within_the_limits_fits_the_arena(void **state) {
    test_decoder *decoder = *state;
    static uint8_t bytes[CONTROL_BYTES + 16];
    uint64_t counts[2] = {0};
    /* One field of 64 KiB that nobody knows. */
    memcpy(bytes, "\x08\x07\x6a\x00\x72", 5);
    size_t begin = 4 + wrap(bytes + 4, "\x72", 1, CONTROL_BYTES - 8);
    assert_int_equal(begin, 8);
    memset(bytes + begin, 0xff, CONTROL_BYTES - begin);
    decode_both(decoder, bytes, CONTROL_BYTES, 0, counts);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1); /* a Response knows neither field, and ignores both */
    /* As many unknown fields as are allowed, as long as fits; and one more. */
    size_t length = 4;
    for (unsigned i = 0; i < 2046; i++) {
        memcpy(bytes + length, "\x72\x1d", 2);
        length += 2 + 29;
    }
    decode_both(decoder, bytes, length, 0, counts);
    assert_int_equal(counts[0], 2);
    memcpy(bytes + length, "\x70\x01", 2);
    decode_both(decoder, bytes, length + 2, 0, counts);
    assert_int_equal(counts[0], 2);
    print_message("arena: peak %llu bytes\n", (unsigned long long)decoder->arena.peak_bytes);
}

/* Unknown bytes that look like messages within messages are not entered. */
static void deep_nesting_costs_no_stack(void **state) {
    test_decoder *decoder = *state;
    static uint8_t bytes[CONTROL_BYTES];
    memset(bytes, 0x72, sizeof(bytes));
    memcpy(bytes, "\x08\x07\x6a\x00", 4);
    size_t at = 4;
    while (at + 4 <= sizeof(bytes)) {
        at += wrap(bytes + at, "\x72", 1, sizeof(bytes) - at - 4);
    }
    uint64_t counts[2] = {0};
    decode_both(decoder, bytes, at, 0, counts);
    assert_int_equal(counts[0], 1);
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
        cmocka_unit_test(deep_nesting_costs_no_stack),
        cmocka_unit_test(an_arena_keeps_to_its_budget),
    };
    return cmocka_run_group_tests_name("proto_hostile", tests, set_up, tear_down);
}
