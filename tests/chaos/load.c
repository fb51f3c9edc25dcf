/*
 * load.c - see load.h: the role `client`.
 *
 * The main thread does what the driver says on standard input: "quiet" (the lanes end, everything
 * they opened is closed; answered by "quiet" and what this process holds), "go" (they begin anew
 * with the same session), the end of the input (the same as quiet, then the session is closed). A
 * thread, the clock, ticks, looks for calls that hang, and says how much was done:
 *   count OK ENDED BYTES LOST STREAMS LATEST_US
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/chaos/load.h"

#define TICK_NS      (5 * SL_NS_PER_MS)
#define COUNT_EVERY  40u /* ticks */
#define REST_NS      (10 * SL_NS_PER_MS)
#define LINE_BYTES   64

typedef struct load_clock {
    load *load;
    sl_thread thread;
    sl_event is_over;
} load_clock;

/* ---- what lanes share ---- */

void load_add(sl_atomic_u64 *counter, uint64_t value) {
    (void)atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

bool load_goes_on(const load_lane *lane) {
    return !atomic_load(&lane->load->is_stopping);
}

uint32_t load_below(load_lane *lane, uint32_t bound) {
    return sl_random_seeded_below(&lane->random, bound);
}

uint32_t load_some_bytes(load_lane *lane, uint32_t max) {
    static const uint32_t ceilings[] = {16, 16, 4096, LOAD_STREAM_MAX};
    uint32_t ceiling = ceilings[load_below(lane, 4)];
    return 1 + load_below(lane, ceiling < max ? ceiling : max);
}

uint64_t load_some_timeout(load_lane *lane) {
    uint32_t kind = load_below(lane, 10);
    uint32_t max_ms = kind == 0 ? 3 : kind < 3 ? 50 : 2000;
    return (1 + load_below(lane, max_ms)) * SL_NS_PER_MS;
}

void load_rest(load_lane *lane) {
    if (load_goes_on(lane)) {
        place_let_pass(REST_NS);
    }
}

uint8_t load_byte(uint32_t key, uint64_t position) {
    return (uint8_t)(key * 37 + position * 11 + position / 251);
}

void load_fill(uint32_t key, uint64_t position, uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        bytes[i] = load_byte(key, position + i);
    }
}

bool load_check(load_lane *lane, uint32_t key, uint64_t position, const uint8_t *bytes,
                uint64_t length) {
    for (uint64_t i = 0; i < length; i++) {
        if (bytes[i] != load_byte(key, position + i)) {
            load_wrong(lane->load, "%s: byte %" PRIu64 " is %u, not %u", lane->name,
                       position + i, bytes[i], load_byte(key, position + i));
            return false;
        }
    }
    load_add(&lane->load->bytes, length);
    return true;
}

int32_t load_close(load_lane *lane, sluice_handle handle) {
    load *l = lane->load;
    load_begin(l, &lane->watch, "close", LOAD_OPEN_NS);
    int32_t status = sluice_close(l->session, handle, LOAD_OPEN_NS, NULL);
    return load_end(l, &lane->watch, status);
}

/* The one end is opened after the other; what comes of it is theirs who asked. */
static int32_t open_socket(load_lane *lane, sluice_handle listener, sluice_handle ret_ends[2]) {
    load *l = lane->load;
    char address[600];
    sluice_result result = {.size = sizeof(result)};
    int32_t status = sluice_local_address(l->session, listener, address, sizeof(address));
    if (status != SLUICE_OK) {
        return status;
    }
    load_begin(l, &lane->watch, "connect", LOAD_OPEN_NS);
    status = load_end(l, &lane->watch,
                      sluice_connect(l->session, address, LOAD_OPEN_NS, &result));
    if (status != SLUICE_OK) {
        return status;
    }
    ret_ends[1] = result.handles[0];
    load_begin(l, &lane->watch, "accept", LOAD_OPEN_NS);
    status = load_end(l, &lane->watch,
                      sluice_accept(l->session, listener, LOAD_OPEN_NS, &result));
    if (status != SLUICE_OK) {
        (void)load_close(lane, ret_ends[1]);
        return status;
    }
    ret_ends[0] = result.handles[0];
    return SLUICE_OK;
}

int32_t load_open_ends(load_lane *lane, sluice_handle *listener, sluice_handle ret_ends[2]) {
    load *l = lane->load;
    sluice_result result = {.size = sizeof(result)};
    int32_t status;
    if (load_below(lane, 3) == 0 && *listener != 0) {
        status = open_socket(lane, *listener, ret_ends);
        /* What was left in the queue by a connect that timed out would come first next time. */
        if (status != SLUICE_OK) {
            (void)load_close(lane, *listener);
            *listener = 0;
        }
        return status;
    }
    if (*listener == 0) {
        load_begin(l, &lane->watch, "listen", LOAD_OPEN_NS);
        status = load_end(l, &lane->watch, sluice_listen(l->session, "tcp:127.0.0.1:0", 0,
                                                         LOAD_OPEN_NS, &result));
        *listener = status == SLUICE_OK ? result.handles[0] : 0;
    }
    load_begin(l, &lane->watch, "pair", LOAD_OPEN_NS);
    status = load_end(l, &lane->watch, sluice_pair(l->session, LOAD_OPEN_NS, &result));
    ret_ends[0] = result.handles[0];
    ret_ends[1] = result.handles[1];
    return status;
}

/* Nothing there and back: how quick is a call? */
void load_run_pinger(load_lane *lane) {
    load *l = lane->load;
    while (load_goes_on(lane)) {
        uint64_t timeout_ns = load_some_timeout(lane);
        load_begin(l, &lane->watch, "ping", timeout_ns);
        if (load_end(l, &lane->watch, sluice_ping(l->session, timeout_ns, NULL)) != SLUICE_OK) {
            load_rest(lane);
        }
    }
}

/* ---- the lanes, from outside ---- */

static void run_lane(void *context) {
    load_lane *lane = context;
    lane->run(lane);
}

static void start_lanes(load *l) {
    static void (*const runs[LOAD_LANES])(load_lane *) = {
        load_run_writer, load_run_reader,  load_run_racer,
        load_run_server, load_run_visitor, load_run_pinger};
    static const char *const names[LOAD_LANES] = {"writer", "reader",  "racer",
                                                  "server", "visitor", "pinger"};
    load_stream *stream = load_stream_create();
    atomic_store(&l->is_stopping, false);
    for (uint32_t i = 0; i < LOAD_LANES; i++) {
        load_lane *lane = &l->lanes[i];
        lane->load = l;
        lane->name = names[i];
        lane->run = runs[i];
        lane->state = stream;
        sl_random_seeded_init(&lane->random, l->seed++);
        EXPECT(sl_thread_start(&lane->thread, names[i], run_lane, lane) == 0);
    }
    out_say("running\n");
}

static void end_lanes(load *l) {
    atomic_store(&l->is_stopping, true);
    for (uint32_t i = 0; i < LOAD_LANES; i++) {
        sl_thread_join(&l->lanes[i].thread);
    }
    load_stream_destroy(l->lanes[0].state);
}

static void say_counts(load *l) {
    out_say("count %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
           (uint64_t)atomic_load(&l->ok), (uint64_t)atomic_load(&l->ended),
           (uint64_t)atomic_load(&l->bytes), (uint64_t)atomic_load(&l->lost),
           (uint64_t)atomic_load(&l->streams), atomic_load(&l->latest_ns) / SL_NS_PER_US);
}

static void run_clock(void *context) {
    load_clock *clock = context;
    load *l = clock->load;
    for (uint32_t i = 1;; i++) {
        bool is_over = sl_event_wait_until(&clock->is_over, place_now_ns() + TICK_NS);
        load_tick(l);
        for (uint32_t k = 0; k < LOAD_LANES; k++) {
            load_look(l, &l->lanes[k].watch);
        }
        if (is_over) {
            return;
        }
        if (i % COUNT_EVERY == 0) {
            say_counts(l);
        }
    }
}

/* Connected again, if the broker went while there was nothing to do. */
static void be_quiet(load *l) {
    int32_t status = SLUICE_ENOBROKER;
    uint64_t until_ns = place_now_ns() + PROCESS_PATIENCE_NS;
    end_lanes(l);
    while (status != SLUICE_OK && place_now_ns() < until_ns) {
        status = sluice_ping(l->session, LOAD_OPEN_NS, NULL);
    }
    if (status != SLUICE_OK) {
        load_wrong(l, "no connection while it was quiet: %s", sluice_status_name(status));
    }
    say_counts(l);
    sl_mutex_lock(&l->lock); /* a tick opens a file */
    uint64_t open_count = process_open_count();
    sl_mutex_unlock(&l->lock);
    out_say("quiet %" PRIu64 " %" PRIu64 "\n", open_count,
            process_memory_bytes(process_own_id()));
}

/* The first connection, through whatever the driver has put in its way. */
static bool open_session(load *l) {
    char name[32];
    uint64_t until_ns = place_now_ns() + PROCESS_PATIENCE_NS;
    int32_t status;
    (void)snprintf(name, sizeof(name), "chaos %u", l->number);
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = l->endpoint, .client_name = name,
                                   .open_timeout_ns = LOAD_OPEN_NS};
    do {
        status = sluice_open(&options, &l->session);
    } while (status != SLUICE_OK && place_now_ns() < until_ns &&
             (load_is_loss(status) || status == SLUICE_ETIMEDOUT));
    if (status != SLUICE_OK) {
        load_wrong(l, "no session: %s", sluice_status_name(status));
    }
    return status == SLUICE_OK;
}

static void obey(load *l) {
    char line[LINE_BYTES];
    bool is_running = true;
    start_lanes(l);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "quiet\n") == 0 && is_running) {
            be_quiet(l);
            is_running = false;
        } else if (strcmp(line, "go\n") == 0 && !is_running) {
            start_lanes(l);
            is_running = true;
        }
    }
    if (is_running) {
        end_lanes(l);
    }
}

int load_run_role(int count, char **words) {
    static load l;
    EXPECT(count == 5);
    l.endpoint = words[0];
    l.peer_base = words[1];
    l.number = (uint32_t)strtoul(words[2], NULL, 10);
    l.clients = (uint32_t)strtoul(words[3], NULL, 10);
    l.seed = strtoull(words[4], NULL, 10);
    l.tick_ns = place_now_ns();
    sl_mutex_init(&l.lock);
    load_clock clock = {.load = &l};
    EXPECT(sl_event_init(&clock.is_over) == 0);
    EXPECT(sl_thread_start(&clock.thread, "clock", run_clock, &clock) == 0);
    if (open_session(&l)) {
        obey(&l);
        int32_t status = sluice_session_close(l.session); /* checks that its memory is back */
        EXPECT(status == SLUICE_OK);
    }
    sl_event_set(&clock.is_over);
    sl_thread_join(&clock.thread);
    sl_event_deinit(&clock.is_over);
    say_counts(&l);
    out_say("ended\n");
    sl_mutex_deinit(&l.lock);
    return atomic_load(&l.wrong) == 0 ? 0 : 1;
}
