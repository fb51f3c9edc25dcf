/*
 * message.c - the decoders of requests and responses: whatever the bytes are, both ways of decoding
 * (proto/flat.h) say the same, in an arena whose size is fixed: no allocation, and with its arena a
 * decoder never has more than HEAP_BYTES_MAX.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/proto/agree.h"

#define HEAP_BYTES_MAX (1024u * 1024) /* for any control message of 64 KiB */

static sl_account account;
static sl_arena arena;

static void open_once(void) {
    if (account.source == NULL) {
        sl_account_init(&account, sl_allocator_system(), "fuzz", HEAP_BYTES_MAX);
        FUZZ_EXPECT(sl_message_arena_init(&arena, &account) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    fuzz_input in = {bytes, size};
    sl_limits limits;
    sl_limits_default(&limits);
    const sl_session_limits any = {0};
    sl_session_limits session;
    sl_limits_grant(&limits, &any, &session);
    open_once();
    uint32_t payload_length = fuzz_u8(&in);
    payload_length = payload_length > 250 ? session.fragment_bytes : payload_length;
    if (in.left > session.control_bytes) {
        in.left = session.control_bytes; /* a frame has no more */
    }
    uint8_t *exact = fuzz_exact(in.bytes, in.left);
    sl_request request;
    sl_response response;
    sl_reason reason;
    (void)agree_request(&arena, &session, exact, in.left, payload_length, &request, &reason);
    (void)agree_response(&arena, exact, in.left, payload_length, &response, &reason);
    free(exact);
    FUZZ_EXPECT(arena.used_bytes <= arena.size_bytes);
    FUZZ_EXPECT(account.acquired_count == 1 && account.used_bytes <= HEAP_BYTES_MAX);
    return 0;
}
