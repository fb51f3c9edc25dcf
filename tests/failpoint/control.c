/*
 * control.c - see control.h.
 */
#include "tests/failpoint/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "broker/failpoint_request.h"
#include "tests/integration/place.h"

#define FRAME_BYTES 16384u
#define TEXT_BYTES  1024u

static uint8_t *put_number(uint8_t *to, uint64_t number) {
    for (; number >= 0x80; number >>= 7) {
        *to++ = (uint8_t)(number | 0x80);
    }
    *to++ = (uint8_t)number;
    return to;
}

/* Request{id, 1000: {1: text}}; the length. */
static size_t make_request(uint8_t *frame, uint64_t id, const char *text) {
    uint8_t inner[TEXT_BYTES + 16];
    size_t length = strlen(text);
    EXPECT(length < TEXT_BYTES);
    uint8_t *at = put_number(inner, 1u << 3 | 2);
    at = put_number(at, length);
    memcpy(at, text, length);
    size_t inner_length = (size_t)(at - inner) + length;
    uint8_t *to = frame + SL_FRAME_HEADER_BYTES;
    to = put_number(to, 1u << 3 | 0);
    to = put_number(to, id);
    to = put_number(to, FAILPOINT_REQUEST_KIND << 3 | 2);
    to = put_number(to, inner_length);
    memcpy(to, inner, inner_length);
    size_t all = (size_t)(to - frame) + inner_length;
    sl_frame_header(frame, (uint32_t)(all - SL_FRAME_HEADER_BYTES), 0);
    return all;
}

/* The answer to request `id`; events pass by. */
static int receive(const control *c, uint64_t id, char detail[CONTROL_DETAIL_BYTES]) {
    static const sl_frame_limits limits = {64 * 1024, 64 * 1024};
    uint8_t bytes[FRAME_BYTES];
    size_t length = 0;
    sl_account account;
    sl_arena arena;
    sl_response response = {.id = 0};
    sl_account_init(&account, sl_allocator_system(), "control", SIZE_MAX);
    EXPECT(sl_message_arena_init(&arena, &account) == SLUICE_OK);
    while (response.id != id) {
        sl_frame frame;
        size_t needed = 0;
        sl_frame_result result = sl_frame_parse(bytes, length, &limits, &frame, &needed, NULL);
        EXPECT(result != SL_FRAME_VIOLATION);
        if (result == SL_FRAME_INCOMPLETE) {
            EXPECT(needed <= sizeof(bytes));
            size_t count = process_raw_receive(c->raw, bytes + length, sizeof(bytes) - length);
            EXPECT(count > 0 && "the control connection lives");
            length += count;
            continue;
        }
        EXPECT(sl_response_decode(frame.control, frame.control_length, frame.payload_length,
                                  &arena, &response, NULL) == SLUICE_OK);
        (void)snprintf(detail, CONTROL_DETAIL_BYTES, "%s",
                       response.detail != NULL ? response.detail : "");
        length -= frame.length;
        memmove(bytes, bytes + frame.length, length);
    }
    sl_arena_deinit(&arena);
    sl_account_deinit(&account);
    return response.status;
}

int control_try(control *c, const char *text, char detail[CONTROL_DETAIL_BYTES]) {
    uint8_t frame[FRAME_BYTES];
    uint64_t id = c->next_id++;
    EXPECT(process_raw_send(c->raw, frame, make_request(frame, id, text)));
    return receive(c, id, detail);
}

void control_set(control *c, const char *text) {
    static const char where[] = "failpoints: set by worker (";
    char detail[CONTROL_DETAIL_BYTES];
    int status = control_try(c, text, detail);
    if (status != SLUICE_OK) {
        (void)fprintf(stderr, "%s: %s\n", text, detail);
    }
    EXPECT(status == SLUICE_OK && strncmp(detail, where, strlen(where)) == 0);
    c->worker = (uint32_t)strtoul(detail + strlen(where), NULL, 10);
}

void control_open(control *c, const char *endpoint) {
    uint8_t frame[FRAME_BYTES];
    char detail[CONTROL_DETAIL_BYTES];
    size_t length;
    sl_request hello = {.id = 1, .kind = SL_REQUEST_HELLO};
    hello.as.hello = (sl_hello_request){.version_min = 1, .version_max = 1,
                                        .client_name = "control"};
    *c = (control){.raw = process_raw_open(endpoint), .is_open = true, .next_id = 2};
    EXPECT(sl_request_encode(&hello, 0, frame, sizeof(frame), &length) == SLUICE_OK);
    EXPECT(process_raw_send(c->raw, frame, length));
    EXPECT(receive(c, 1, detail) == SLUICE_OK);
}

void control_close(control *c) {
    if (c->is_open) {
        process_raw_close(c->raw);
        c->is_open = false;
    }
}
