/*
 * out_test.c - what others chose does not speak to the terminal, through a table or any other way
 * (client/cli/out.h).
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "client/cli/out.h"

static void expect(const char *given, const char *shown) {
    static const char *const headings[] = {"x"};
    out_table table;
    out_text text = {0};
    char wanted[200];
    (void)snprintf(wanted, sizeof(wanted), "x\n%s\n", shown);
    out_table_init(&table, headings, 1);
    out_table_cell(&table, "%.32s", given);
    out_table_end(&table, &text);
    const char *line = memchr(text.bytes, '\n', text.length);
    SL_CHECK(line != NULL, "a table has a heading");
    size_t length = text.length - (size_t)(line + 1 - text.bytes);
    bool is_right = length == strlen(shown) + 1 && memcmp(line + 1, shown, length - 1) == 0;
    if (!is_right) {
        fprintf(stderr, "shown: %.*s wanted: %s\n", (int)length, line + 1, shown);
    }
    SL_CHECK(is_right, "a cell is shown as it should be");
    out_deinit(&text);
}

/* In JSON all of it can be told, but bytes that are none; and none of it is obeyed. */
static void expect_json(const char *given, const char *written) {
    out_text text = {0};
    out_json json;
    char wanted[200];
    (void)snprintf(wanted, sizeof(wanted), "{\n  \"x\": \"%s\"\n}\n", written);
    out_json_init(&json, &text);
    out_json_object(&json, NULL);
    out_json_string(&json, "x", given);
    out_json_end_object(&json);
    bool is_right = text.length == strlen(wanted) && memcmp(text.bytes, wanted, text.length) == 0;
    if (!is_right) {
        fprintf(stderr, "written: %.*s wanted: %s\n", (int)text.length, text.bytes, wanted);
    }
    SL_CHECK(is_right, "a string is written as it should be");
    out_deinit(&text);
}

/* Lines of our own, with what a broker says of itself in them. */
static void expect_print(const char *given, const char *shown) {
    out_text text = {0};
    char wanted[200];
    (void)snprintf(wanted, sizeof(wanted), "sluiced %s of \xc3\xa4\nyou\n", shown);
    out_print(&text, "sluiced %s of %s\n", given, "\xc3\xa4");
    out_print(&text, "you\n");
    bool is_right = text.length == strlen(wanted) && memcmp(text.bytes, wanted, text.length) == 0;
    if (!is_right) {
        fprintf(stderr, "printed: %.*s wanted: %s\n", (int)text.length, text.bytes, wanted);
    }
    SL_CHECK(is_right, "a line is printed as it should be");
    out_deinit(&text);
}

static void expect_duration(uint64_t s, const char *wanted) {
    char text[OUT_NUMBER_BYTES];
    const char *shown = out_duration(s * UINT64_C(1000000000), text);
    if (strcmp(shown, wanted) != 0) {
        fprintf(stderr, "shown: %s wanted: %s\n", shown, wanted);
    }
    SL_CHECK(strcmp(shown, wanted) == 0, "a time is shown as people say it");
}

int main(void) {
    expect("plain name", "plain name");
    expect("\x1b]0;owned\a\x1b[2J", "?]0;owned??[2J");
    expect("a\nforged row\t\x7f", "a?forged row??");
    expect("\xc2\x9b"
           "31m red \xc3\xa9",
           "?31m red \xc3\xa9"); /* U+009B, and U+00E9 */
    expect("\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80");
    expect("cut \xe2\x82", "cut ??");
    expect("\xff\x80 no text", "?? no text");
    expect("rtl\xe2\x80\xae"
           "evil",
           "rtl?evil");
    expect("two\xe2\x80\xa8lines\xef\xbb\xbf", "two?lines?");
    expect("12345678901234567890123456789012\x1b[", "12345678901234567890123456789012");
    expect_json("\xc3\xa4 \xe2\x82\xac \"quoted\" \\\\.\\pipe\\x",
                "\xc3\xa4 \xe2\x82\xac \\\"quoted\\\" \\\\\\\\.\\\\pipe\\\\x");
    expect_json("\x1b]0;\a\n\x7f\xc2\x9b", "\\u001b]0;\\u0007\\u000a\\u007f\\u009b");
    expect_json("rtl\xe2\x80\xae\xe2\x80\xa8\xef\xbb\xbf\xd8\x9c",
                "rtl\\u202e\\u2028\\ufeff\\u061c");
    expect_json("\xf3\xa0\x80\x81 \xff", "\\udb40\\udc01 \\ufffd");
    expect_print("0.1.0", "0.1.0");
    expect_print("\x1b]0;owned\a\r", "?]0;owned??");
    expect_print("rtl\xe2\x80\xae\xe2\x80\xa8\xff", "rtl???");
    expect_duration(119, "119.0 s");
    expect_duration(120, "2 min");
    expect_duration(200, "3 min 20 s");
    expect_duration(3599, "59 min 59 s");
    expect_duration(3600, "1 h");
    expect_duration(24 * 3600, "24 h");
    expect_duration(24 * 3600 + 61, "24 h 1 min");
    puts("ok");
    return 0;
}
