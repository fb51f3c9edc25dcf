/*
 * suite_streams.c - bytes through pairs, pipes and TCP: the happy paths, zero-byte reads, gather
 * writes, writes larger than the pipe, queues in order, fairness, and that nothing completes
 * inside a submit.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/engine/rig.h"

#define LANE         7
#define QUEUED_READS 500
#define HALF_FULL    (RIG_FILL_BYTES / 2)
/* What the kernel has taken, and has not told of yet (engine_write_progress). */
#define PROGRESS_STEP (512u << 10)
#define FLOOD_ROUNDS 50
/* While one byte crosses another stream, a flooding one may complete at most so many requests: 8
 * reads and 8 writes are queued there, a poll delivers 64, and the byte needs a handful of polls.
 * */
#define FLOOD_BOUND 2000

static void echo(rig *r, engine_handle *from, engine_handle *to, uint32_t lane) {
    uint8_t sent[3000];
    uint8_t received[3000];
    pattern_fill(sent, sizeof(sent), lane, 0);
    rig_send(r, from, sent, sizeof(sent));
    rig_receive(r, to, received, sizeof(received));
    pattern_expect(received, sizeof(received), lane, 0);
}

static void happy(stream_kind kind) {
    rig *r = rig_open();
    engine_handle *ends[2];
    rig_stream(r, kind, ends);
    echo(r, ends[1], ends[0], LANE);
    if (kind == STREAM_PAIR) {
        EXPECT_INT(engine_handle_capabilities(ends[0]), ENGINE_CAN_READ);
        EXPECT_INT(engine_handle_capabilities(ends[1]),
                   ENGINE_CAN_WRITE | ENGINE_CAN_HALF_CLOSE);
    } else {
        echo(r, ends[0], ends[1], LANE + 1);
        unsigned both = ENGINE_CAN_READ | ENGINE_CAN_WRITE;
        EXPECT_INT(engine_handle_capabilities(ends[0]) & both, both);
        EXPECT_INT(engine_handle_capabilities(ends[0]), engine_handle_capabilities(ends[1]));
    }
    if (kind == STREAM_TCP) {
        EXPECT((engine_handle_capabilities(ends[0]) & ENGINE_CAN_HALF_CLOSE) != 0);
    }
    rig_close_stream(r, ends);
    rig_close(r);
}

static void pair_happy(void) {
    happy(STREAM_PAIR);
}

static void pipe_happy(void) {
    happy(STREAM_PIPE);
}

static void tcp_happy(void) {
    happy(STREAM_TCP);
}

/* A read that is there before its data, and its `user`, `handle` and `kind`. */
static void read_waits(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        uint8_t buffer[64];
        int mark = 0;
        engine_request_id id = 0;
        rig_stream(r, (stream_kind)kind, ends);
        EXPECT_STATUS(engine_read(ends[0], buffer, sizeof(buffer), &mark, &id), SLUICE_OK);
        rig_expect_quiet(r);
        rig_send(r, ends[1], "hello", 5);
        engine_completion completion = rig_await(r, id);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        EXPECT_INT(completion.bytes, 5);
        EXPECT_INT(completion.in_doubt, 0);
        EXPECT_INT(completion.kind, ENGINE_READ);
        EXPECT(completion.user == &mark && completion.handle == ends[0] && completion.id == id);
        EXPECT(memcmp(buffer, "hello", 5) == 0);
        rig_close_stream(r, ends);
    }
    rig_close(r);
}

/* A read of length 0 waits for data, takes nothing, and sees the end of the file. */
static void zero_byte_read(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        uint8_t byte = 0;
        rig_stream(r, (stream_kind)kind, ends);
        engine_request_id early = rig_read(r, ends[0], NULL, 0);
        rig_expect_quiet(r);
        rig_send(r, ends[1], "x", 1);
        EXPECT_INT(rig_await_status(r, early, SLUICE_OK), 0);
        for (int i = 0; i < 3; i++) { /* the data is there: at once, and it stays there */
            EXPECT_INT(rig_await_status(r, rig_read(r, ends[0], NULL, 0), SLUICE_OK), 0);
        }
        rig_receive(r, ends[0], &byte, 1);
        EXPECT_INT(byte, 'x');
        engine_request_id late = rig_read(r, ends[0], NULL, 0);
        rig_expect_quiet(r);
        rig_close_handle(r, ends[1]);
        engine_completion completion = rig_await(r, late);
        EXPECT(completion.status == SLUICE_OK || completion.status == SLUICE_EEOF);
        EXPECT_INT(completion.bytes, 0);
        rig_await_status(r, rig_read(r, ends[0], &byte, 1), SLUICE_EEOF);
        rig_close_handle(r, ends[0]);
    }
    rig_close(r);
}

/* 16 buffers of all sizes, some empty, some larger than a pipe holds, arrive in order. */
static void gather_write(void) {
    static const size_t lengths[ENGINE_GATHER_MAX] = {1, 0, 7, 100000, 0, 4096, 1,    65536,
                                                      3, 9, 0, 200000, 5, 1,    8192, 12345};
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        engine_buffer buffers[ENGINE_GATHER_MAX];
        engine_request_id id = 0;
        size_t total = 0;
        rig_stream(r, (stream_kind)kind, ends);
        for (unsigned i = 0; i < ENGINE_GATHER_MAX; i++) {
            buffers[i].bytes = pattern_at(LANE, total);
            buffers[i].length = lengths[i];
            total += lengths[i];
        }
        EXPECT_STATUS(engine_write(ends[1], buffers, ENGINE_GATHER_MAX, NULL, &id), SLUICE_OK);
        memset(buffers, 0, sizeof(buffers)); /* the array was copied */
        rig_receive_pattern(r, ends[0], LANE, 0, total);
        EXPECT_INT(rig_await_status(r, id, SLUICE_OK), total);
        rig_close_stream(r, ends);
    }
    rig_close(r);
}

static void bad_arguments(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    engine_buffer buffers[ENGINE_GATHER_MAX + 1];
    uint8_t byte = 0;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(buffers); i++) {
        buffers[i].bytes = &byte;
        buffers[i].length = 1;
    }
    rig_stream(r, STREAM_TCP, ends);
    EXPECT_STATUS(engine_write(ends[1], buffers, 0, NULL, NULL), SLUICE_EINVAL);
    EXPECT_STATUS(engine_write(ends[1], buffers, ENGINE_GATHER_MAX + 1, NULL, NULL), SLUICE_EINVAL);
    buffers[0].length = 0;
    EXPECT_STATUS(engine_write(ends[1], buffers, 1, NULL, NULL), SLUICE_EINVAL);
    buffers[0].length = (size_t)ENGINE_IO_MAX + 1;
    EXPECT_STATUS(engine_write(ends[1], buffers, 1, NULL, NULL), SLUICE_EINVAL);
    buffers[0].length = ENGINE_IO_MAX;
    EXPECT_STATUS(engine_write(ends[1], buffers, 2, NULL, NULL), SLUICE_EINVAL);
    EXPECT_STATUS(engine_read(ends[0], &byte, (size_t)ENGINE_IO_MAX + 1, NULL, NULL),
                  SLUICE_EINVAL);
    EXPECT_STATUS(engine_accept(ends[0], NULL, NULL), SLUICE_ENOTSUP);
    EXPECT_STATUS(engine_receive_from(ends[0], &byte, 1, NULL, NULL, NULL), SLUICE_ENOTSUP);
    EXPECT_STATUS(engine_read(rig_listener(r, STREAM_TCP), &byte, 1, NULL, NULL), SLUICE_ENOTSUP);
    rig_close_stream(r, ends);
    rig_stream(r, STREAM_PAIR, ends);
    buffers[0].length = 1;
    EXPECT_STATUS(engine_read(ends[1], &byte, 1, NULL, NULL), SLUICE_ENOTSUP);
    EXPECT_STATUS(engine_write(ends[0], buffers, 1, NULL, NULL), SLUICE_ENOTSUP);
    EXPECT_STATUS(engine_half_close(ends[0], NULL, NULL), SLUICE_ENOTSUP);
    rig_expect_quiet(r); /* refused = no completion */
    rig_close_stream(r, ends);
    rig_close(r);
}

/* What could complete at once is submitted: until engine_poll nothing is complete. */
static void expect_not_inline(rig *r, const engine_counters *before, unsigned submitted) {
    engine_counters now = rig_counters(r);
    EXPECT_INT(now.submitted_count, before->submitted_count + submitted);
    EXPECT_INT(now.completed_count, before->completed_count);
    EXPECT_INT(now.requests, before->requests + submitted);
}

static void never_inline(void) {
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        uint8_t byte = 0;
        engine_request_id ids[4] = {0};
        rig_stream(r, (stream_kind)kind, ends);
        rig_send(r, ends[1], "ab", 2);
        while (!rig_has(r, ids[0])) { /* the bytes have crossed */
            ids[0] = ids[0] != 0 ? ids[0] : rig_read(r, ends[0], NULL, 0);
            (void)rig_pump(r, rig_after_ns(r, T_QUIET_NS));
        }
        (void)rig_await(r, ids[0]);
        engine_counters before = rig_counters(r);
        ids[0] = rig_read(r, ends[0], NULL, 0);
        ids[1] = rig_read(r, ends[0], &byte, 1);
        ids[2] = rig_write(r, ends[1], "c", 1);
        EXPECT_STATUS(engine_pair(r->worker, NULL, NULL, &ids[3]), SLUICE_OK);
        expect_not_inline(r, &before, 4);
        EXPECT_STATUS(engine_close(ends[1], NULL), SLUICE_OK); /* the write is cancelled, or done */
        expect_not_inline(r, &before, 4);
        EXPECT(rig_counters(r).handles >= before.handles); /* until ENGINE_CLOSE is delivered */
        EXPECT_INT(r->inbox_count, 0);
        rig_await_status(r, ids[0], SLUICE_OK);
        EXPECT_INT(rig_await_status(r, ids[1], SLUICE_OK), 1);
        EXPECT_INT(byte, 'a');
        engine_completion written = rig_await(r, ids[2]);
        EXPECT(written.status == SLUICE_OK || written.status == SLUICE_ECANCELED);
        engine_completion pair = rig_await(r, ids[3]);
        EXPECT_STATUS(pair.status, SLUICE_OK);
        (void)rig_await_closed(r, ends[1]);
        rig_close_handle(r, ends[0]);
        rig_close_stream(r, pair.opened);
    }
    rig_close(r);
}

/* engine_poll delivers no more than asked for, and keeps the rest. */
static void poll_capacity(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    engine_request_id ids[10];
    rig_stream(r, STREAM_PIPE, ends);
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        ids[i] = rig_write(r, ends[1], "z", 1);
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(ids); i++) {
        engine_completion one;
        EXPECT_INT(rig_poll(r, &one, 1, rig_after_ns(r, T_AWAIT_NS)), 1);
        EXPECT(one.id == ids[i]); /* in order */
        EXPECT_STATUS(one.status, SLUICE_OK);
    }
    rig_expect_quiet(r);
    rig_close_stream(r, ends);
    rig_close(r);
}

/* Writes far larger than the pipe: each stays pending until it is read, and comes out right. */
static void full_pipe(void) {
    static const size_t piece = 256u << 10;
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        size_t received = RIG_FILL_BYTES;
        size_t total = RIG_FILL_BYTES + t_scale(T_COUNT_BULK_BYTES);
        rig_stream(r, (stream_kind)kind, ends);
        engine_request_id stuck = rig_fill(r, ends[1], LANE);
        rig_expect_quiet(r); /* a full pipe stays full */
        size_t out = engine_write_progress(r->worker, stuck);
        EXPECT(out > 0 && out < RIG_FILL_BYTES);
        rig_receive_pattern(r, ends[0], LANE, 0, HALF_FULL);
        /* The system's buffers may have grown, and have taken the rest. */
        EXPECT(rig_has(r, stuck) ||
               engine_write_progress(r->worker, stuck) >= HALF_FULL - PROGRESS_STEP);
        rig_receive_pattern(r, ends[0], LANE, HALF_FULL, RIG_FILL_BYTES - HALF_FULL);
        EXPECT_INT(rig_await_status(r, stuck, SLUICE_OK), RIG_FILL_BYTES);
        for (; received < total; received += piece) {
            engine_request_id id = rig_write(r, ends[1], pattern_at(LANE, received), piece);
            rig_receive_pattern(r, ends[0], LANE, received, piece);
            EXPECT_INT(rig_await_status(r, id, SLUICE_OK), piece);
        }
        EXPECT_INT(engine_write_progress(r->worker, stuck), 0);
        rig_close_handle(r, ends[1]);
        EXPECT_INT(rig_receive_pattern_to_end(r, ends[0], LANE, received), 0);
        rig_close_handle(r, ends[0]);
    }
    rig_close(r);
}

/* Many reads wait on one handle: they complete in order, and the bytes are in order. */
static void queued_reads(void) {
    static uint8_t buffers[QUEUED_READS][16];
    rig *r = rig_open();
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        t_phase(stream_names[kind]);
        engine_handle *ends[2];
        engine_request_id ids[QUEUED_READS];
        engine_request_id write = 0;
        uint64_t received = 0;
        unsigned next = 0;
        rig_stream(r, (stream_kind)kind, ends);
        for (unsigned i = 0; i < QUEUED_READS; i++) {
            ids[i] = rig_read(r, ends[0], buffers[i], sizeof(buffers[i]));
        }
        write = rig_write(r, ends[1], pattern_at(LANE, 0), sizeof(buffers));
        while (next < QUEUED_READS && received < sizeof(buffers)) {
            engine_completion completion;
            EXPECT_INT(rig_poll(r, &completion, 1, rig_after_ns(r, T_AWAIT_NS)), 1);
            EXPECT_STATUS(completion.status, SLUICE_OK);
            if (completion.id == write) {
                write = 0;
                continue;
            }
            EXPECT(completion.id == ids[next]);
            pattern_expect(buffers[next], completion.bytes, LANE, received);
            received += completion.bytes;
            next++;
        }
        EXPECT_INT(received, sizeof(buffers));
        if (write != 0) {
            rig_await_status(r, write, SLUICE_OK);
        }
        rig_close_handle(r, ends[1]);
        for (; next < QUEUED_READS; next++) { /* reads that got less left some behind */
            rig_await_status(r, ids[next], SLUICE_EEOF);
        }
        rig_close_handle(r, ends[0]);
    }
    rig_close(r);
}

typedef struct flood {
    engine_handle *ends[2];
    uint8_t *buffer;
    uint64_t completions;
    bool stopping;
    unsigned pending;
} flood;

static void flood_more(flood *f, engine_kind kind) {
    engine_buffer bytes = {.bytes = pattern_at(LANE, 0), .length = 16384};
    if (kind == ENGINE_READ) {
        EXPECT_STATUS(engine_read(f->ends[0], f->buffer, 16384, f, NULL), SLUICE_OK);
    } else {
        EXPECT_STATUS(engine_write(f->ends[1], &bytes, 1, f, NULL), SLUICE_OK);
    }
    f->pending++;
}

/* Polls once; keeps the flood going. Returns true when the request `id` (status OK) was among it.
 * */
static bool flood_poll(rig *r, flood *f, engine_request_id id) {
    engine_completion batch[RIG_BATCH];
    bool found = false;
    unsigned count = rig_poll(r, batch, RIG_BATCH, rig_after_ns(r, T_AWAIT_NS));
    EXPECT(count > 0);
    for (unsigned i = 0; i < count; i++) {
        if (batch[i].user == f) {
            f->completions++;
            f->pending--;
            if (!f->stopping) {
                flood_more(f, batch[i].kind);
            }
        } else {
            EXPECT_STATUS(batch[i].status, SLUICE_OK);
            found = found || batch[i].id == id;
        }
    }
    return found;
}

/* One stream always has something to do; a byte on another one still gets through soon. */
static void flood_does_not_starve(void) {
    rig *r = rig_open();
    flood f = {.buffer = malloc(16384)};
    engine_handle *ends[2];
    uint64_t worst = 0;
    EXPECT(f.buffer != NULL);
    rig_stream(r, STREAM_PIPE, f.ends);
    rig_stream(r, STREAM_PIPE, ends);
    for (unsigned i = 0; i < 8; i++) {
        flood_more(&f, ENGINE_READ);
        flood_more(&f, ENGINE_WRITE);
    }
    for (unsigned round = 0; round < FLOOD_ROUNDS; round++) {
        uint8_t byte = 0;
        uint64_t start = f.completions;
        engine_request_id id = rig_read(r, ends[0], &byte, 1);
        (void)rig_write(r, ends[1], "!", 1);
        while (!flood_poll(r, &f, id)) {
            EXPECT(f.completions - start < FLOOD_BOUND);
        }
        worst = f.completions - start > worst ? f.completions - start : worst;
    }
    f.stopping = true;
    EXPECT_STATUS(engine_close(f.ends[1], r), SLUICE_OK); /* the other end reads its end */
    while (f.pending > 0) {
        (void)flood_poll(r, &f, 0);
    }
    (void)rig_pump(r, rig_after_ns(r, T_QUIET_NS));
    r->inbox_count = 0; /* the close of the writing end, here or in a batch above */
    EXPECT_STATUS(engine_close(f.ends[0], NULL), SLUICE_OK);
    (void)rig_await_closed(r, f.ends[0]);
    rig_close_stream(r, ends);
    t_note("  a byte waits for %llu completions of a flooding stream at worst",
           (unsigned long long)worst);
    free(f.buffer);
    rig_close(r);
}

/* Without a request, beside a read of length 0 that waits; that one hears of what comes. */
static void tried_reads(stream_kind kind) {
    rig *r = rig_open();
    engine_handle *ends[2];
    uint8_t bytes[8] = {0};
    size_t count = 77;
    uint32_t os_error = 0;
    rig_stream(r, kind, ends);
    EXPECT_STATUS(engine_try_read(ends[1], bytes, sizeof(bytes), &count, &os_error),
                  kind == STREAM_PAIR || !engine_tries(ends[1]) ? SLUICE_ENOTSUP : SLUICE_EBUSY);
    if (!engine_tries(ends[0])) {
        EXPECT_STATUS(engine_try_read(ends[0], bytes, sizeof(bytes), &count, &os_error),
                      SLUICE_ENOTSUP);
        rig_close_stream(r, ends);
        rig_close(r);
        return;
    }
    EXPECT_STATUS(engine_try_read(ends[0], bytes, 0, &count, &os_error), SLUICE_EINVAL);
    EXPECT_STATUS(engine_try_read(ends[0], bytes, sizeof(bytes), &count, &os_error), SLUICE_EBUSY);
    for (unsigned i = 0; i < 3; i++) {
        engine_request_id id = rig_read(r, ends[0], NULL, 0);
        (void)rig_pump(r, rig_after_ns(r, T_QUIET_NS));
        EXPECT_STATUS(engine_try_read(ends[0], bytes, sizeof(bytes), &count, &os_error),
                      SLUICE_EBUSY);
        rig_send(r, ends[1], "hello", 5);
        engine_completion waited = rig_await(r, id);
        EXPECT_STATUS(waited.status, SLUICE_OK);
        EXPECT_STATUS(engine_try_read(ends[0], bytes, 3, &count, &os_error), SLUICE_OK);
        EXPECT_INT(count, 3);
        EXPECT_STATUS(engine_try_read(ends[0], bytes + 3, 5, &count, &os_error), SLUICE_OK);
        EXPECT_INT(count, 2);
        EXPECT(memcmp(bytes, "hello", 5) == 0);
    }
    EXPECT_STATUS(engine_close(ends[1], NULL), SLUICE_OK);
    (void)rig_await_closed(r, ends[1]);
    for (unsigned i = 0; i < 2; i++) { /* and again */
        EXPECT_STATUS(engine_try_read(ends[0], bytes, sizeof(bytes), &count, &os_error),
                      SLUICE_EEOF);
    }
    EXPECT_STATUS(engine_close(ends[0], NULL), SLUICE_OK);
    EXPECT_STATUS(engine_try_read(ends[0], bytes, sizeof(bytes), &count, &os_error),
                  SLUICE_ECLOSED);
    (void)rig_await_closed(r, ends[0]);
    rig_close(r);
}

static void tried_reads_pair(void) {
    tried_reads(STREAM_PAIR);
}

static void tried_reads_pipe(void) {
    tried_reads(STREAM_PIPE);
}

static void tried_reads_tcp(void) {
    tried_reads(STREAM_TCP);
}

static const t_case cases[] = {
    {"pair_happy", T_SMOKE, pair_happy},
    {"pipe_happy", T_SMOKE, pipe_happy},
    {"tcp_happy", T_SMOKE, tcp_happy},
    {"read_waits", T_SMOKE, read_waits},
    {"zero_byte_read", T_SMOKE, zero_byte_read},
    {"tried_reads_pair", T_SMOKE, tried_reads_pair},
    {"tried_reads_pipe", T_SMOKE, tried_reads_pipe},
    {"tried_reads_tcp", T_SMOKE, tried_reads_tcp},
    {"gather_write", T_SMOKE, gather_write},
    {"bad_arguments", T_SMOKE, bad_arguments},
    {"never_inline", T_SMOKE, never_inline},
    {"poll_capacity", T_SMOKE, poll_capacity},
    {"full_pipe", 0, full_pipe},
    {"queued_reads", 0, queued_reads},
    {"flood_does_not_starve", 0, flood_does_not_starve},
};

const t_suite suite_streams = {"streams", cases, SL_ARRAY_COUNT(cases)};
