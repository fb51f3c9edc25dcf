/* test_text.c - the line builder: numbers at their limits, escaping, cutting. */
#include "unit.h"

#include <string.h>

#include "base/text.h"

static char bytes[256];

static const char *finish(sl_text *text) {
    assert_true(text->length < sizeof(bytes));
    bytes[text->length] = '\0';
    return bytes;
}

static void test_numbers(void **state) {
    sl_text text;
    (void)state;
    sl_text_init(&text, bytes, sizeof(bytes) - 1);
    sl_text_append_u64(&text, 0);
    sl_text_append(&text, " ");
    sl_text_append_u64(&text, UINT64_MAX);
    sl_text_append(&text, " ");
    sl_text_append_i64(&text, INT64_MIN);
    sl_text_append(&text, " ");
    sl_text_append_i64(&text, -1);
    sl_text_append(&text, " ");
    sl_text_append_padded(&text, 42, 9);
    sl_text_append(&text, " ");
    sl_text_append_padded(&text, 7, 100);
    assert_string_equal(finish(&text), "0 18446744073709551615 -9223372036854775808 -1 000000042 "
                                       "00000000000000000007");
    assert_false(text.is_cut);
}

static void test_a_peer_cannot_forge_a_line(void **state) {
    sl_text text;
    (void)state;
    sl_text_init(&text, bytes, sizeof(bytes) - 1);
    sl_text_append_escaped(&text, "a\"b\\c\nd\x1b[0m\x7f\xc3\xa4 ok");
    assert_string_equal(finish(&text), "a\\x22b\\x5cc\\x0ad\\x1b[0m\\x7f\\xc3\\xa4 ok");
    sl_text_init(&text, bytes, sizeof(bytes) - 1);
    sl_text_append(&text, NULL);
    sl_text_append_escaped(&text, NULL);
    assert_string_equal(finish(&text), "(null)(null)");
}

static void test_every_size_keeps_within_its_buffer(void **state) {
    static const char whole[] = "12345678 text\\x0a";
    (void)state;
    for (size_t size = 4; size < 40; size++) {
        sl_text text;
        memset(bytes, '#', sizeof(bytes));
        sl_text_init(&text, bytes, size);
        sl_text_append_u64(&text, 12345678);
        sl_text_append(&text, " text");
        sl_text_append_escaped(&text, "\n");
        sl_text_end_line(&text);
        assert_true(text.length <= size);
        assert_int_equal(bytes[size], '#');
        assert_int_equal(bytes[text.length - 1], '\n');
        assert_int_equal(text.is_cut, size < sizeof(whole));
        size_t kept = text.length - (text.is_cut ? 4 : 1);
        assert_memory_equal(bytes, whole, kept);
        assert_memory_equal(bytes + kept, text.is_cut ? "...\n" : "\n", text.length - kept);
    }
}

static void test_control_characters(void **state) {
    (void)state;
    assert_int_equal(sl_text_control("\x1b[2J"), 1);
    assert_int_equal(sl_text_control("\x01"), 1);
    assert_int_equal(sl_text_control("\x7f"), 1);
    assert_int_equal(sl_text_control("\xc2\x80"), 2);
    assert_int_equal(sl_text_control("\xc2\x9f"), 2);
    assert_int_equal(sl_text_control("\xc2\xa0"), 0);
    assert_int_equal(sl_text_control("\xc2"), 0);
    assert_int_equal(sl_text_control("\xc3\x9f"), 0);
    assert_int_equal(sl_text_control(" "), 0);
    assert_int_equal(sl_text_control("~"), 0);
    assert_int_equal(sl_text_control(""), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_a_peer_cannot_forge_a_line),
        cmocka_unit_test(test_every_size_keeps_within_its_buffer),
        cmocka_unit_test(test_control_characters),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
