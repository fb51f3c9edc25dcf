/*
 * lane_race.c - see load.h: many pending reads, which are served, cancelled, timed out and closed
 * in every order; each has one callback, and what arrived during a cancel is there for the next
 * read. They are also what a killed client leaves for its broker to clean up.
 *
 * Threads: the lane starts, cancels and closes; callbacks run on the library's thread. A slot's
 * read is the callback's from its start until `is_armed` is false again.
 */
#include <inttypes.h>

#include "tests/chaos/load.h"

#define SLOTS      48u
#define READ_BYTES 64u
#define SHARE_NS   (5 * SL_NS_PER_S)
#define LOOK_NS    (50 * SL_NS_PER_MS)

typedef struct race race;

typedef struct slot {
    race *race;
    uint32_t key;
    load_watch watch;
    sluice_handle ends[2]; /* 0 = not open */
    sluice_operation *operation; /* of the read that is armed; released by the lane */
    sl_atomic_bool is_armed;
    uint8_t bytes[READ_BYTES];
    uint32_t length;
    uint64_t received;
    uint64_t sent;     /* certainly */
    bool is_uncertain; /* a write failed, or the broker was lost: no comparing */
} slot;

struct race {
    load_lane *lane;
    sl_event landed; /* a callback has come */
    slot slots[SLOTS];
};

static void on_read(void *user, sluice_operation *operation, const sluice_result *result) {
    slot *s = user;
    load_lane *lane = s->race->lane;
    (void)operation;
    if (!atomic_load(&s->is_armed)) {
        load_wrong(lane->load, "pending read: a second callback");
        return;
    }
    int32_t status = load_end(lane->load, &s->watch, result->status);
    if (result->done > s->length || (status == SLUICE_OK) != (result->done > 0)) {
        load_wrong(lane->load, "pending read: %s with done %" PRIu64, sluice_status_name(status),
                   result->done);
    } else {
        (void)load_check(lane, s->key, s->received, s->bytes, result->done);
    }
    s->received += result->done;
    s->is_uncertain = s->is_uncertain || load_is_loss(status);
    atomic_store(&s->is_armed, false);
    sl_event_set(&s->race->landed);
}

static void open_slot(load_lane *lane, slot *s) {
    load *l = lane->load;
    sluice_result result = {.size = sizeof(result)};
    load_begin(l, &lane->watch, "pair", LOAD_OPEN_NS);
    int32_t status = load_end(l, &lane->watch,
                              sluice_pair(l->session, LOAD_OPEN_NS, &result));
    if (status != SLUICE_OK) {
        load_rest(lane);
        return;
    }
    s->ends[0] = result.handles[0];
    s->ends[1] = result.handles[1];
    s->received = 0;
    s->sent = 0;
    s->is_uncertain = false;
}

static void arm(load_lane *lane, slot *s) {
    load *l = lane->load;
    uint64_t timeout_ns = load_below(lane, 3) == 0 ? load_some_timeout(lane) : SLUICE_NO_TIMEOUT;
    s->length = 1 + load_below(lane, READ_BYTES);
    atomic_store(&s->is_armed, true);
    load_begin(l, &s->watch, "pending read", timeout_ns);
    int32_t status = sluice_read_start(l->session, s->ends[0], s->bytes, s->length, 0, timeout_ns,
                                       on_read, s, &s->operation);
    if (status != SLUICE_OK) { /* no callback, then */
        (void)load_end(l, &s->watch, status);
        s->is_uncertain = true;
        atomic_store(&s->is_armed, false);
    }
}

static void push(load_lane *lane, slot *s) {
    load *l = lane->load;
    uint8_t bytes[READ_BYTES];
    uint32_t length = 1 + load_below(lane, READ_BYTES);
    sluice_result result = {.size = sizeof(result)};
    load_fill(s->key, s->sent, bytes, length);
    load_begin(l, &lane->watch, "short write", SHARE_NS);
    int32_t status = load_end(l, &lane->watch, sluice_write(l->session, s->ends[1], bytes, length,
                                                            SHARE_NS, &result));
    s->sent += result.done;
    if (status != SLUICE_OK) {
        /* The callback looks at it, too: is_uncertain is the lane's only while none is armed. */
        (void)sluice_cancel(s->operation);
        while (atomic_load(&s->is_armed)) {
            (void)sl_event_wait_until(&s->race->landed, place_now_ns() + LOOK_NS);
        }
        s->is_uncertain = true;
    }
}

/* What was sent and not received is there: no cancelled read has taken it along. */
static void drain(load_lane *lane, slot *s) {
    load *l = lane->load;
    while (!s->is_uncertain && s->received < s->sent) {
        sluice_result result = {.size = sizeof(result)};
        load_begin(l, &lane->watch, "read of what is left", SHARE_NS);
        int32_t status = load_end(l, &lane->watch,
                                  sluice_read(l->session, s->ends[0], s->bytes, READ_BYTES, 0,
                                              SHARE_NS, &result));
        s->is_uncertain = load_is_loss(status);
        if (status == SLUICE_OK) {
            (void)load_check(lane, s->key, s->received, s->bytes, result.done);
            s->received += result.done;
        } else if (!s->is_uncertain) {
            load_wrong(l, "cancelled reads: %" PRIu64 " bytes sent, %" PRIu64 " there: %s",
                       s->sent, s->received, sluice_status_name(status));
            s->is_uncertain = true;
        }
    }
}

static void close_slot(load_lane *lane, slot *s) {
    bool was_armed = atomic_load(&s->is_armed);
    if (!was_armed) {
        drain(lane, s);
    }
    (void)load_close(lane, s->ends[0]);
    while (atomic_load(&s->is_armed)) { /* watched */
        (void)sl_event_wait_until(&s->race->landed, place_now_ns() + LOOK_NS);
    }
    sluice_release(s->operation);
    s->operation = NULL;
    if (!s->is_uncertain && (was_armed ? s->received > s->sent : s->received != s->sent)) {
        load_wrong(lane->load, "pending reads: %" PRIu64 " bytes sent, %" PRIu64 " received",
                   s->sent, s->received);
    }
    (void)load_close(lane, s->ends[1]);
    s->ends[0] = 0;
}

static void step(load_lane *lane, slot *s) {
    uint32_t choice = load_below(lane, 20);
    if (s->ends[0] == 0) {
        open_slot(lane, s);
    } else if (!atomic_load(&s->is_armed)) {
        sluice_release(s->operation);
        s->operation = NULL;
        if (s->is_uncertain || choice == 0) {
            close_slot(lane, s);
        } else {
            arm(lane, s);
        }
    } else if (choice < 13) {
        push(lane, s);
    } else if (choice < 19) {
        (void)sluice_cancel(s->operation);
    } else {
        close_slot(lane, s);
    }
}

void load_run_racer(load_lane *lane) {
    /* Not on the heap: a callback that let us go on still has to leave the event. */
    static race r;
    if (r.lane == NULL) {
        EXPECT(sl_event_init(&r.landed) == 0);
    }
    r.lane = lane;
    for (uint32_t i = 0; i < SLOTS; i++) {
        r.slots[i].race = &r;
        r.slots[i].key = i;
    }
    while (load_goes_on(lane)) {
        step(lane, &r.slots[load_below(lane, SLOTS)]);
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (r.slots[i].ends[0] != 0) {
            close_slot(lane, &r.slots[i]);
        }
    }
}
