/*
 * docs_test.c - holds docs/protocol.md against the code: the bytes of its examples, the table of
 * limits, the table of statuses, the bounds of streams.
 *
 * An example is a fenced block ```frame NAME; its lines begin with bytes in hexadecimal and go on,
 * after two blanks, with an explanation. `proto_docs_test --print` prints the blocks and
 * tables as the code has them.
 */
#include "proto/stream.h"
#include "tests/proto/proto_test.h"

typedef struct doc_example {
    const char *name;
    const char *payload; /* NULL = none */
    sl_request request;  /* of kind NONE: it is a response */
    sl_response response;
} doc_example;

/* The conversation that the page tells. */
static const doc_example examples[] = {
    {.name = "hello",
     .request = {.id = 1,
                 .kind = SL_REQUEST_HELLO,
                 .as.hello = {1, 1, "demo", {.credit_operations = 64}, 0}}},
    {.name = "hello-reply",
     .response = {.id = 1,
                  .kind = SL_RESPONSE_HELLO,
                  .as.hello = {1,
                               1,
                               1,
                               7,
                               9,
                               {65536, 65536, 1048576, 64, 16777216, 16384},
                               "0.1.0",
                               "iocp",
                               5000000000,
                               1000000000,
                               5000000000}}},
    {.name = "pair", .request = {.id = 2, .kind = SL_REQUEST_PAIR}},
    {.name = "pair-reply",
     .response = {.id = 2,
                  .kind = SL_RESPONSE_OPENED,
                  .as.opened = {2, {{257, SL_CAN_READ, NULL}, {258, SL_CAN_WRITE, NULL}}}}},
    {.name = "read",
     .request = {.id = 3, .kind = SL_REQUEST_READ, .as.read = {257, 1000000000, 2, false}}},
    {.name = "write",
     .payload = "hi",
     .request = {.id = 4, .kind = SL_REQUEST_WRITE, .as.write = {258, 0, 2}}},
    {.name = "write-reply", .response = {.id = 4, .done = 2}},
    {.name = "read-reply", .payload = "hi", .response = {.id = 3, .done = 2}},
    {.name = "first-fragment",
     .payload = "hel",
     .request = {.id = 5, .kind = SL_REQUEST_WRITE, .as.write = {258, 0, 5}}},
    {.name = "last-fragment", .payload = "lo", .request = {.id = 5, .kind = SL_REQUEST_WRITE_DATA}},
    {.name = "more", .payload = "hel", .response = {.id = 6, .more = true}},
    {.name = "no-more", .payload = "lo", .response = {.id = 6, .done = 5}},
    {.name = "cancel", .request = {.id = 0, .kind = SL_REQUEST_CANCEL, .as.cancel = {7}}},
    {.name = "cancelled", .response = {.id = 7, .status = SLUICE_ECANCELED, .os_error = 995}},
    {.name = "torn",
     .response = {.id = 8, .status = SLUICE_ETIMEDOUT, .done = 65536, .in_doubt = 65536}},
    {.name = "close", .request = {.id = 9, .kind = SL_REQUEST_CLOSE, .as.close = {258, 0}}},
    {.name = "closed", .response = {.id = 9}},
    {.name = "ping", .request = {.id = 10, .kind = SL_REQUEST_PING}},
    {.name = "stream-read",
     .request = {.kind = SL_REQUEST_STREAM_READ, .as.stream_read = {257, {65536, 0, false}}}},
    {.name = "data",
     .payload = "hi",
     .response = {.kind = SL_RESPONSE_DATA, .as.data = {257, {.at = 0, .length = 2}}}},
    {.name = "data-end",
     .response = {.kind = SL_RESPONSE_DATA, .as.data = {257, {.at = 2, .status = SLUICE_EEOF}}}},
    {.name = "stream-cancel",
     .request = {.kind = SL_REQUEST_STREAM_CANCEL,
                 .as.stream_cancel = {257, SL_STREAM_READING, {0}}}},
    {.name = "data-stopped",
     .response = {.kind = SL_RESPONSE_DATA, .as.data = {257, {.at = 2, .stopped = true}}}},
    {.name = "goodbye",
     .response = {.kind = SL_RESPONSE_EVENT,
                  .as.event = {SL_EVENT_GOODBYE, 0, SLUICE_EPROTOCOL, "Request.id: 0 is no id"}}},
};
#define EXAMPLE_COUNT (sizeof(examples) / sizeof(examples[0]))

static char page[256 * 1024];

static size_t encode(const doc_example *example, uint8_t *bytes, size_t size) {
    size_t length = 0;
    uint32_t payload_length = example->payload != NULL ? (uint32_t)strlen(example->payload) : 0;
    int status = example->request.kind != SL_REQUEST_NONE
                     ? sl_request_encode(&example->request, payload_length, bytes, size, &length)
                     : sl_response_encode(&example->response, payload_length, bytes, size, &length);
    assert_int_equal(status, SLUICE_OK);
    assert_true(length + payload_length <= size);
    if (payload_length > 0) {
        memcpy(bytes + length, example->payload, payload_length);
    }
    return length + payload_length;
}

static int hex_digit(char c) {
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* The bytes of a block, from the line after its fence. */
static size_t read_block(const char *at, uint8_t *bytes, size_t size) {
    size_t length = 0;
    while (strncmp(at, "```", 3) != 0) {
        while (hex_digit(at[0]) >= 0 && hex_digit(at[1]) >= 0) {
            assert_true(length < size);
            bytes[length++] = (uint8_t)(hex_digit(at[0]) * 16 + hex_digit(at[1]));
            at += 2;
            if (at[0] != ' ' || at[1] == ' ') {
                break;
            }
            at++;
        }
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    return length;
}

static void examples_are_what_the_code_sends(void **state) {
    (void)state;
    unsigned blocks = 0;
    const char *at = page;
    while ((at = strstr(at, "```frame ")) != NULL) {
        at += strlen("```frame ");
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        const doc_example *example = NULL;
        for (size_t i = 0; i < EXAMPLE_COUNT; i++) {
            if (strlen(examples[i].name) == (size_t)(end - at) &&
                strncmp(examples[i].name, at, (size_t)(end - at)) == 0) {
                example = &examples[i];
            }
        }
        if (example == NULL) {
            fail_msg("the page has an example that is not known here: %.40s", at);
            return;
        }
        uint8_t expected[512];
        uint8_t written[512];
        size_t expected_length = encode(example, expected, sizeof(expected));
        size_t written_length = read_block(end + 1, written, sizeof(written));
        if (written_length != expected_length || memcmp(expected, written, expected_length) != 0) {
            fail_msg("the bytes of example %s are not the code's (try --print)", example->name);
        }
        blocks++;
        at = end;
    }
    assert_int_equal(blocks, EXAMPLE_COUNT);
}

static void examples_are_what_the_code_accepts(void **state) {
    test_decoder *decoder = *state;
    for (size_t i = 0; i < EXAMPLE_COUNT; i++) {
        uint8_t bytes[512];
        size_t length = encode(&examples[i], bytes, sizeof(bytes));
        sl_frame frame;
        size_t needed = 0;
        assert_int_equal(
            sl_frame_parse(bytes, length, &decoder->frame_limits, &frame, &needed, NULL),
            SL_FRAME_COMPLETE);
        assert_int_equal(frame.length, length);
        sl_reason reason = {""};
        sl_request request;
        sl_response response;
        int status =
            examples[i].request.kind != SL_REQUEST_NONE
                ? sl_request_decode(frame.control, frame.control_length, frame.payload_length,
                                    &decoder->limits, &decoder->arena, &request, &reason)
                : sl_response_decode(frame.control, frame.control_length, frame.payload_length,
                                     &decoder->arena, &response, &reason);
        assert_string_equal(reason.text, "");
        assert_int_equal(status, SLUICE_OK);
    }
}

static void limit_row(const sl_limit_info *info, char *row, size_t size) {
    char texts[3][SL_LIMIT_TEXT_BYTES];
    (void)snprintf(row, size, "| `%s` | %s | %s | %s | %s |\n", info->name,
                   sl_limit_text(info->standard, info->unit, texts[0]),
                   sl_limit_text(info->min, info->unit, texts[1]),
                   sl_limit_text(info->max, info->unit, texts[2]), info->sentence);
}

static void status_row(int status, char *row, size_t size) {
    (void)snprintf(row, size, "| %d | `%s` | %s |\n", status, sl_status_name(status),
                   sl_status_sentence(status));
}

static void tables_are_those_of_the_code(void **state) {
    (void)state;
    char row[512];
    const sl_limit_info *info = NULL;
    for (size_t i = 0; (info = sl_limit_at(i)) != NULL; i++) {
        limit_row(info, row, sizeof(row));
        if (strstr(page, row) == NULL) {
            fail_msg("the page lacks: %s", row);
        }
    }
    for (int status = 0; status > -SLUICE_STATUS_COUNT; status--) {
        status_row(status, row, sizeof(row));
        if (strstr(page, row) == NULL) {
            fail_msg("the page lacks: %s", row);
        }
    }
}

/* What both sides of a stream begin with, and may have at most. */
static void streams_have_the_bounds_of_the_code(void **state) {
    (void)state;
    char sentence[128];
    (void)snprintf(sentence, sizeof(sentence),
                   "Both sides begin with a grant of %u,%03u bytes for writing",
                   SL_STREAM_FLOOR_BYTES / 1000, SL_STREAM_FLOOR_BYTES % 1000);
    assert_non_null(strstr(page, sentence));
    (void)snprintf(sentence, sizeof(sentence), "`up_to` is more than %u MiB beyond it: violation",
                   SL_STREAM_WINDOW_BYTES >> 20);
    assert_non_null(strstr(page, sentence));
}

static int set_up(void **state) {
    static test_decoder decoder;
    samples_init();
    decoder_init(&decoder);
    *state = &decoder;
    FILE *file = fopen(SLUICE_PROTOCOL_PAGE, "rb");
    if (file == NULL) {
        print_error("cannot read %s\n", SLUICE_PROTOCOL_PAGE);
        return 1;
    }
    size_t count = fread(page, 1, sizeof(page) - 1, file);
    page[count] = '\0';
    (void)fclose(file);
    return count < sizeof(page) - 1 ? 0 : 1;
}

static int tear_down(void **state) {
    decoder_deinit(*state);
    return 0;
}

static int print_all(void) {
    for (size_t i = 0; i < EXAMPLE_COUNT; i++) {
        uint8_t bytes[512];
        size_t length = encode(&examples[i], bytes, sizeof(bytes));
        (void)printf("```frame %s\n", examples[i].name);
        for (size_t j = 0; j < length; j++) {
            (void)printf("%02x%s", bytes[j], j + 1 == length || j == 7 ? "\n" : " ");
        }
        (void)printf("```\n");
    }
    char row[512];
    const sl_limit_info *info = NULL;
    for (size_t i = 0; (info = sl_limit_at(i)) != NULL; i++) {
        limit_row(info, row, sizeof(row));
        (void)printf("%s", row);
    }
    for (int status = 0; status > -SLUICE_STATUS_COUNT; status--) {
        status_row(status, row, sizeof(row));
        (void)printf("%s", row);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        return print_all();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_what_the_code_sends),
        cmocka_unit_test(examples_are_what_the_code_accepts),
        cmocka_unit_test(tables_are_those_of_the_code),
        cmocka_unit_test(streams_have_the_bounds_of_the_code),
    };
    return cmocka_run_group_tests_name("proto_docs", tests, set_up, tear_down);
}
