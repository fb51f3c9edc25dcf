/*
 * fake.h - a broker for tests of the client: pairs, reads, writes, closes; and every misbehaviour
 * that a real broker must not show. One thread of its own, any number of connections.
 */
#ifndef SLUICE_TESTS_CLIENT_FAKE_H
#define SLUICE_TESTS_CLIENT_FAKE_H

#include "base/atomic.h"
#include "base/list.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "proto/message.h"

typedef enum fake_mode {
    FAKE_NORMAL,
    FAKE_SILENT,  /* says nothing at all, and forgets what it should have said */
    FAKE_HOLD,    /* answers pings; all other answers wait until the mode is NORMAL again */
    FAKE_GARBAGE, /* answers with bytes that are no frame */
    FAKE_WRONG_ID,
    FAKE_GOODBYE,     /* says Goodbye instead, and leaves the connection open */
    FAKE_FULL,        /* the same, for want of room for a session */
    FAKE_REFUSE,      /* answers refuse_status and FAKE_DETAIL to all but Hello and pings */
    FAKE_TOO_MUCH,    /* a read's answer has more bytes than were asked for */
    FAKE_BAD_VERSION, /* Hello is refused, with FAKE_DETAIL */
    FAKE_MUTE_HELLO   /* Hello is not answered */
} fake_mode;

#define FAKE_PIPES_MAX 2048u

/* What it says when it refuses something, and in a Goodbye. */
#define FAKE_DETAIL     "Request.fake: 47 is out of range: 1 to 46"
#define FAKE_LAST_WORDS "so long"
#define FAKE_IS_FULL    "the broker's limit sessions of 46 is reached"

typedef struct fake_pipe {
    uint8_t *bytes;
    size_t length;
    bool is_open[2];
} fake_pipe;

typedef struct fake_broker {
    char endpoint[ENGINE_PIPE_NAME_BYTES];
    sl_atomic_u32 mode;
    sl_atomic_u32 trickle;            /* answers leave in pieces of so many bytes; 0 = whole */
    sl_atomic_u32 credit_operations;  /* of the next Hello; 0 = 64 */
    sl_atomic_u32 ping_interval_ms;   /* of the next Hello */
    sl_atomic_u32 unresponsive_ms;
    sl_atomic_bool is_wordless;       /* it says nothing with that */
    sl_atomic_u32 refuse_status;      /* without its sign; 0 = EINVAL, of a Hello EVERSION */
    sl_atomic_u64 counts[SL_REQUEST_KIND_COUNT]; /* requests seen */
    sl_atomic_u32 connection_count;              /* now */
    sl_atomic_u32 open_handles;                  /* now */
    /* private */
    sl_thread thread;
    sl_event started;
    engine *engine;
    engine_worker *worker;
    engine_endpoint *listening;
    engine_message wake;
    sl_atomic_u32 wanted; /* bits: kill, stop */
    sl_list connections;
    sl_arena arena;
    sl_account account;
    fake_pipe pipes[FAKE_PIPES_MAX];
    uint32_t pipe_count;
    uint64_t epoch;
} fake_broker;

void fake_start(fake_broker *fake);
void fake_stop(fake_broker *fake);
void fake_set_mode(fake_broker *fake, fake_mode mode);
/* Closes every connection, and its handles, as a broker that dies does; the next one is welcome. */
void fake_kill(fake_broker *fake);
uint64_t fake_count(fake_broker *fake, sl_request_kind kind);

/* Of the calls that a program makes, but for pings: the library may have some of its own. */
static inline uint64_t fake_count_calls(fake_broker *fake) {
    uint64_t sum = fake_count(fake, SL_REQUEST_STATUS) + fake_count(fake, SL_REQUEST_OPS) +
                   fake_count(fake, SL_REQUEST_READ) + fake_count(fake, SL_REQUEST_WRITE);
    for (unsigned kind = SL_REQUEST_CLOSE; kind < SL_REQUEST_PING; kind++) {
        sum += fake_count(fake, (sl_request_kind)kind);
    }
    return sum;
}

#endif
