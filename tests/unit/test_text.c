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

static const char *escaped(const char *string) {
    sl_text text;
    sl_text_init(&text, bytes, sizeof(bytes) - 1);
    sl_text_append_escaped(&text, string);
    return finish(&text);
}

static void test_a_peer_cannot_forge_a_line(void **state) {
    sl_text text;
    (void)state;
    assert_string_equal(escaped("a\"b\nd\x1b[0m\x7f\xc3\xa4 ok"),
                        "a\\x22b\\x0ad\\x1b[0m\\x7f\xc3\xa4 ok");
    assert_string_equal(escaped("rtl\xe2\x80\xae"
                                "evil\xe2\x80\xa9\xc2\x9b"
                                "31m\xf3\xa0\x81\x81"),
                        "rtl\\u{202e}evil\\u{2029}\\u{9b}31m\\u{e0041}");
    assert_string_equal(escaped("\xff\xc3(\xed\xa0\x80"), "\\xff\\xc3(\\xed\\xa0\\x80");
    sl_text_init(&text, bytes, sizeof(bytes) - 1);
    sl_text_append(&text, NULL);
    sl_text_append_escaped(&text, NULL);
    assert_string_equal(finish(&text), "(null)(null)");
}

/* A path of Windows can be read; and nobody can write what would be ours for something else. */
static void test_a_backslash_is_itself(void **state) {
    (void)state;
    assert_string_equal(escaped("\\\\.\\pipe\\x"), "\\\\.\\pipe\\x");
    assert_string_equal(escaped("\\\\.\\pipe\\used"), "\\\\.\\pipe\\used");
    assert_string_equal(escaped("\\"), "\\");
    assert_string_equal(escaped("\\x0a"), "\\x5cx0a");
    assert_string_equal(escaped("\\\\x0a"), "\\\\x5cx0a");
    assert_string_equal(escaped("\\u{202e}"), "\\x5cu{202e}");
    assert_string_equal(escaped("\\x5cx0a"), "\\x5cx5cx0a");
}

static void test_times(void **state) {
    static const struct {
        uint64_t s;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.123Z"},          {951782399, "2000-02-28T23:59:59.123Z"},
        {951782400, "2000-02-29T00:00:00.123Z"},  {951868800, "2000-03-01T00:00:00.123Z"},
        {1709164800, "2024-02-29T00:00:00.123Z"}, {1735689599, "2024-12-31T23:59:59.123Z"},
        {1795814148, "2026-11-27T21:15:48.123Z"}, {4107542400, "2100-03-01T00:00:00.123Z"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sl_text text;
        sl_text_init(&text, bytes, sizeof(bytes) - 1);
        sl_text_append_utc(&text, cases[i].s * 1000000000 + 123999999);
        assert_string_equal(finish(&text), cases[i].text);
    }
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

static size_t encode(uint32_t code, char to[5]) {
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length; i-- > 1;) {
        to[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    to[0] = (char)(heads[length] | code);
    to[length] = '\0';
    return length;
}

/* Written down a second time, the other way round: by what is known of the character. */
static bool may_be_shown(uint32_t code) {
    bool is_control = code < 0x20 || (code >= 0x7f && code <= 0x9f);
    bool reorders = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
                    code == 0x200e || code == 0x200f || code == 0x61c;
    bool breaks = code == 0x2028 || code == 0x2029;
    bool hides = code == 0xad || (code >= 0x200b && code <= 0x200d) || code == 0xfeff ||
                 (code >= 0x2060 && code <= 0x2065) || (code >= 0x206a && code <= 0x206f) ||
                 code == 0x180e || (code >= 0xfff9 && code <= 0xfffb) ||
                 (code >= 0xe0000 && code <= 0xe0fff);
    bool joins = (code >= 0x600 && code <= 0x605) || code == 0x6dd || code == 0x70f ||
                 code == 0x890 || code == 0x891 || code == 0x8e2 || code == 0x110bd ||
                 code == 0x110cd || (code >= 0x13430 && code <= 0x1343f) ||
                 (code >= 0x1bca0 && code <= 0x1bca3) || (code >= 0x1d173 && code <= 0x1d17a);
    bool fills = code == 0x34f || code == 0x115f || code == 0x1160 || code == 0x17b4 ||
                 code == 0x17b5 || code == 0x3164 || code == 0xffa0 ||
                 (code >= 0xfff0 && code <= 0xfff8);
    bool selects =
        (code >= 0x180b && code <= 0x180d) || code == 0x180f || (code >= 0xfe00 && code <= 0xfe0f);
    bool is_none = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xffff) >= 0xfffe;
    return !(is_control || reorders || breaks || hides || joins || fills || selects || is_none);
}

/* Every code point: what it is, and that nothing of an unsafe one is left, escaped or made safe. */
static void test_every_character(void **state) {
    unsigned unsafe = 0;
    (void)state;
    for (uint32_t code = 1; code <= 0x10ffff; code++) {
        char one[8];
        if (code >= 0xd800 && code <= 0xdfff) {
            continue;
        }
        size_t length = encode(code, one);
        sl_text_character character = sl_text_character_at(one);
        assert_true(character.length == length && character.code == code);
        assert_true(character.is_safe == may_be_shown(code));
        unsafe += !character.is_safe;
        const char *text = escaped(one);
        if (character.is_safe && code != '"') {
            assert_string_equal(text, one);
        } else {
            assert_true(text[0] == '\\' && strspn(text, "\\xu{}0123456789abcdef") == strlen(text));
        }
        sl_text_make_safe(one);
        assert_true(character.is_safe ? strlen(one) == length : strcmp(one, "?") == 0);
        (void)encode(code, one);
        sl_text_make_lines_safe(one);
        assert_true(character.is_safe || code == '\n' ? strlen(one) == length
                                                      : strcmp(one, "?") == 0);
    }
    assert_int_equal(unsafe, 4302 + 7 + 9 + 20);
}

/* Every pair of bytes, and some longer ones, that are no UTF-8: a byte each. */
static void test_what_is_no_character(void **state) {
    static const char *const bad[] = {
        "\x80",         "\xbf",     "\xc0\x80", "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xe2\x80", "\xf0\x9f", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80",     "\xff",     "\xfe",     "\xf8\x88\x80\x80", "\xc3"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sl_text_character character = sl_text_character_at(bad[i]);
        assert_true(character.length == 1 && character.code == 0xfffd && !character.is_safe);
    }
    for (unsigned pair = 0; pair < 65536; pair++) {
        char text[3] = {(char)(pair >> 8), (char)(pair & 255), '\0'};
        sl_text_make_safe(text);
        for (const char *at = text; *at != '\0';) {
            sl_text_character character = sl_text_character_at(at);
            assert_true(character.is_safe && character.length > 0);
            at += character.length;
        }
    }
    assert_int_equal(sl_text_character_at("").length, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_a_peer_cannot_forge_a_line),
        cmocka_unit_test(test_every_size_keeps_within_its_buffer),
        cmocka_unit_test(test_a_backslash_is_itself),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_what_is_no_character),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
