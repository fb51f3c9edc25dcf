/* frame_test.c - framing: every split point, every boundary, lengths that are not believed. */
#include "tests/proto/proto_test.h"

static const sl_frame_limits limits = {65536, 65536};

static sl_frame_result parse(const uint8_t *bytes, size_t count, sl_frame *frame, size_t *needed) {
    sl_reason reason;
    return sl_frame_parse(bytes, count, &limits, frame, needed, &reason);
}

static void header_is_little_endian(void **state) {
    (void)state;
    uint8_t header[SL_FRAME_HEADER_BYTES];
    sl_frame_header(header, 0x04030201, 0x08070605);
    static const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8};
    assert_memory_equal(header, expected, sizeof(expected));
}

static void complete_only_with_the_last_byte(void **state) {
    (void)state;
    uint8_t bytes[SL_FRAME_HEADER_BYTES + 5 + 7 + 3];
    memset(bytes, 0xaa, sizeof(bytes));
    sl_frame_header(bytes, 5, 7);
    for (size_t count = 0; count <= sizeof(bytes); count++) {
        /* Exactly as large as what is known so far: a sanitizer sees a byte too far. */
        uint8_t *part = malloc(count > 0 ? count : 1);
        memcpy(part, bytes, count);
        sl_frame frame;
        size_t needed = 0;
        sl_frame_result result = parse(part, count, &frame, &needed);
        if (count < SL_FRAME_HEADER_BYTES) {
            assert_int_equal(result, SL_FRAME_INCOMPLETE);
            assert_int_equal(needed, SL_FRAME_HEADER_BYTES);
        } else if (count < 20) {
            assert_int_equal(result, SL_FRAME_INCOMPLETE);
            assert_int_equal(needed, 20);
        } else {
            assert_int_equal(result, SL_FRAME_COMPLETE);
            assert_ptr_equal(frame.control, part + 8);
            assert_int_equal(frame.control_length, 5);
            assert_ptr_equal(frame.payload, part + 13);
            assert_int_equal(frame.payload_length, 7);
            assert_int_equal(frame.length, 20);
        }
        free(part);
    }
}

static void several_frames_in_one_buffer(void **state) {
    (void)state;
    uint8_t bytes[64];
    sl_frame_header(bytes, 1, 0);
    sl_frame_header(bytes + 9, 2, 3);
    sl_frame frame;
    size_t needed = 0;
    assert_int_equal(parse(bytes, 22, &frame, &needed), SL_FRAME_COMPLETE);
    assert_int_equal(frame.length, 9);
    assert_int_equal(parse(bytes + 9, 13, &frame, &needed), SL_FRAME_COMPLETE);
    assert_int_equal(frame.length, 13);
    assert_int_equal(parse(bytes + 22, 0, &frame, &needed), SL_FRAME_INCOMPLETE);
    assert_int_equal(needed, 8);
}

static void lengths_at_and_over_the_limit(void **state) {
    (void)state;
    static const struct {
        uint32_t control;
        uint32_t payload;
        sl_frame_result result;
        const char *reason;
    } cases[] = {
        {1, 0, SL_FRAME_INCOMPLETE, NULL},
        {65536, 65536, SL_FRAME_INCOMPLETE, NULL},
        {0, 0, SL_FRAME_VIOLATION, "frame control length: 0 is out of range: 1 to 65536"},
        {0, 9, SL_FRAME_VIOLATION, "frame control length: 0 is out of range: 1 to 65536"},
        {65537, 0, SL_FRAME_VIOLATION, "frame control length: 65537 is out of range: 1 to 65536"},
        {1, 65537, SL_FRAME_VIOLATION, "frame payload length: 65537 is out of range: 0 to 65536"},
        {UINT32_MAX, 0, SL_FRAME_VIOLATION,
         "frame control length: 4294967295 is out of range: 1 to 65536"},
        {1, UINT32_MAX, SL_FRAME_VIOLATION,
         "frame payload length: 4294967295 is out of range: 0 to 65536"},
        {UINT32_MAX, UINT32_MAX, SL_FRAME_VIOLATION,
         "frame control length: 4294967295 is out of range: 1 to 65536"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t header[SL_FRAME_HEADER_BYTES];
        sl_frame_header(header, cases[i].control, cases[i].payload);
        sl_frame frame;
        size_t needed = 0;
        sl_reason reason = {""};
        assert_int_equal(sl_frame_parse(header, sizeof(header), &limits, &frame, &needed, &reason),
                         cases[i].result);
        if (cases[i].reason != NULL) {
            assert_string_equal(reason.text, cases[i].reason);
            assert_int_equal(needed, 0);
            /* Without anybody who wants to know the reason. */
            assert_int_equal(sl_frame_parse(header, sizeof(header), &limits, &frame, &needed, NULL),
                             SL_FRAME_VIOLATION);
        } else {
            assert_int_equal(needed, 8 + (size_t)cases[i].control + cases[i].payload);
        }
    }
}

static void fragments_cover_a_payload_once(void **state) {
    (void)state;
    static const uint32_t totals[] = {0,     1,      4095,   4096,  4097,    65535,   65536,
                                      65537, 131072, 131073, 99999, 1048575, 1048576, UINT32_MAX};
    static const uint32_t sizes[] = {4096, 65536};
    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            uint32_t offset = 0;
            uint64_t count = 0;
            sl_fragment fragment;
            do {
                fragment = sl_fragment_at(totals[i], offset, sizes[j]);
                assert_int_equal(fragment.offset, offset);
                assert_true(fragment.length <= sizes[j]);
                assert_true(fragment.length > 0 || totals[i] == 0);
                offset += fragment.length;
                count++;
            } while (!fragment.is_last);
            assert_int_equal(offset, totals[i]);
            uint64_t expected = ((uint64_t)totals[i] + sizes[j] - 1) / sizes[j];
            assert_int_equal(count, expected > 0 ? expected : 1);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_little_endian),
        cmocka_unit_test(complete_only_with_the_last_byte),
        cmocka_unit_test(several_frames_in_one_buffer),
        cmocka_unit_test(lengths_at_and_over_the_limit),
        cmocka_unit_test(fragments_cover_a_payload_once),
    };
    return cmocka_run_group_tests_name("proto_frame", tests, NULL, NULL);
}
