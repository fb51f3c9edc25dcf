/*
 * lane_stream.c - see load.h: two lanes and a stream between them, one stream after the other.
 *
 * The writer opens the ends, writes with all kinds of sizes and deadlines, and adds up what its
 * writes say: `certain` bytes, and what is in doubt behind them. The reader reads them in all kinds
 * of ways, each byte checked by its place. When the writer has closed its end and the reader has
 * come to the end of file: certain <= received <= certain + in_doubt.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "tests/chaos/load.h"

#define WRITES_MAX  40u
#define KEY         3u
#define EARLY_IN    8u /* one reader in so many closes before the end */

struct load_stream {
    sl_event is_open;  /* the writer's, for the reader */
    sl_event is_read;  /* the reader's */
    sl_atomic_bool is_over; /* no further stream */
    sluice_handle ends[2];
    /* The reader's, before is_read. */
    uint64_t received;
    bool is_at_end; /* it has read the end of file */
};

load_stream *load_stream_create(void) {
    load_stream *s = calloc(1, sizeof(*s));
    EXPECT(s != NULL && sl_event_init(&s->is_open) == 0 && sl_event_init(&s->is_read) == 0);
    return s;
}

void load_stream_destroy(load_stream *s) {
    sl_event_deinit(&s->is_read);
    sl_event_deinit(&s->is_open);
    free(s);
}

/* ---- the writer ---- */

typedef struct written {
    uint64_t certain;
    uint64_t in_doubt;
    bool is_torn;
} written;

/* One write. false: no more of them on this stream. */
static bool write_some(load_lane *lane, sluice_handle end, written *w) {
    static uint8_t bytes[LOAD_STREAM_MAX]; /* one writer a process */
    load *l = lane->load;
    uint32_t length = load_some_bytes(lane, LOAD_STREAM_MAX);
    uint64_t timeout_ns = load_some_timeout(lane);
    sluice_result result = {.size = sizeof(result)};
    load_fill(KEY, w->certain, bytes, length);
    load_begin(l, &lane->watch, "write", timeout_ns);
    int32_t status = load_end(l, &lane->watch, sluice_write(l->session, end, bytes, length,
                                                            timeout_ns, &result));
    if (result.done > length || result.in_doubt > length - result.done ||
        (status == SLUICE_OK && result.done != length) ||
        (status == SLUICE_ETORN && (!w->is_torn || result.done + result.in_doubt != 0))) {
        load_wrong(l, "write of %" PRIu32 ": %s with done %" PRIu64 ", in doubt %" PRIu64, length,
                   sluice_status_name(status), result.done, result.in_doubt);
    }
    w->certain += result.done;
    w->in_doubt += result.in_doubt;
    w->is_torn = w->is_torn || (result.done > 0 && result.done < length);
    if (status == SLUICE_ETORN) { /* we know: go on where it was torn */
        load_begin(l, &lane->watch, "acknowledge", LOAD_OPEN_NS);
        status = load_end(l, &lane->watch,
                          sluice_acknowledge_torn(l->session, end, LOAD_OPEN_NS, NULL));
        w->is_torn = false;
        return status == SLUICE_OK;
    }
    return w->in_doubt == 0 && (status == SLUICE_OK || status == SLUICE_ETIMEDOUT);
}

static void compare(load_lane *lane, const load_stream *s, const written *w) {
    if (s->received > w->certain + w->in_doubt ||
        (s->is_at_end && s->received < w->certain)) {
        load_wrong(lane->load, "stream: certain %" PRIu64 ", in doubt %" PRIu64
                   ", received %" PRIu64, w->certain, w->in_doubt, s->received);
    }
    load_add(&lane->load->streams, s->is_at_end);
}

void load_run_writer(load_lane *lane) {
    load_stream *s = lane->state;
    sluice_handle listener = 0;
    while (load_goes_on(lane)) {
        written w = {0};
        if (load_open_ends(lane, &listener, s->ends) != SLUICE_OK) {
            load_rest(lane);
            continue;
        }
        sl_event_set(&s->is_open);
        for (uint32_t i = load_below(lane, WRITES_MAX); i > 0 && load_goes_on(lane); i--) {
            if (!write_some(lane, s->ends[1], &w)) {
                break;
            }
        }
        /* Closing throws away what the system has not taken yet: nothing that a write confirmed. */
        (void)load_close(lane, s->ends[1]);
        (void)sl_event_wait_until(&s->is_read, SL_CLOCK_NEVER); /* its calls are watched */
        compare(lane, s, &w);
    }
    if (listener != 0) {
        (void)load_close(lane, listener);
    }
    atomic_store(&s->is_over, true);
    sl_event_set(&s->is_open);
}

/* ---- the reader ---- */

/* One read. false: no more of them. */
static bool read_some(load_lane *lane, sluice_handle end, load_stream *s) {
    static uint8_t bytes[LOAD_STREAM_MAX]; /* one reader a process */
    load *l = lane->load;
    uint32_t length = load_some_bytes(lane, LOAD_STREAM_MAX);
    uint32_t flags = load_below(lane, 4) == 0 ? SLUICE_READ_ALL : 0;
    uint64_t timeout_ns = load_below(lane, 4) == 0 ? SLUICE_NO_TIMEOUT : load_some_timeout(lane);
    sluice_result result = {.size = sizeof(result)};
    load_begin(l, &lane->watch, "read", timeout_ns);
    int32_t status = load_end(l, &lane->watch, sluice_read(l->session, end, bytes, length, flags,
                                                           timeout_ns, &result));
    if (result.done > length || (status == SLUICE_OK && result.done == 0) ||
        (status == SLUICE_OK && flags != 0 && result.done != length) ||
        (status != SLUICE_OK && flags == 0 && result.done != 0)) {
        load_wrong(l, "read of %" PRIu32 ": %s with done %" PRIu64, length,
                   sluice_status_name(status), result.done);
        return false;
    }
    bool is_right = load_check(lane, KEY, s->received, bytes, result.done);
    s->received += result.done;
    s->is_at_end = status == SLUICE_EEOF;
    return is_right && (status == SLUICE_OK || status == SLUICE_ETIMEDOUT);
}

void load_run_reader(load_lane *lane) {
    load_stream *s = lane->state;
    for (;;) {
        (void)sl_event_wait_until(&s->is_open, SL_CLOCK_NEVER);
        if (atomic_load(&s->is_over)) {
            return;
        }
        uint32_t reads = load_below(lane, EARLY_IN) == 0 ? load_below(lane, 16) : UINT32_MAX;
        sluice_handle end = s->ends[0];
        s->received = 0;
        s->is_at_end = false;
        while (reads > 0 && read_some(lane, end, s)) {
            reads--;
        }
        (void)load_close(lane, end);
        sl_event_set(&s->is_read);
    }
}
