/*
 * rig.c - an engine with a worker and an inbox. See rig.h.
 */
#include "tests/engine/rig.h"

#include <stdlib.h>
#include <string.h>

const char *const stream_names[STREAM_KINDS] = {"pair", "pipe", "tcp"};

/* ---- opening and closing --------------------------------------------------------------------- */

/* Nothing is scheduled, nothing can come: in a test that is a lost completion. */
static void on_deadlock(void *user, engine_worker *worker) {
    (void)user;
    engine_counters counters;
    engine_worker_counters(worker, &counters);
    t_fail(__FILE__, __LINE__, "nothing will ever happen: %u requests and %u handles are left",
           counters.requests, counters.handles);
}

rig *rig_prepare(sim_profile profile) {
    rig *r = calloc(1, sizeof(*r));
    EXPECT(r != NULL);
    r->owns_engine = true;
    if (profile == SIM_PROFILE_RACES) {
        sim_options_races(&r->simulated, t_seed());
    } else {
        sim_options_gentle(&r->simulated, t_seed());
    }
    r->simulated.on_deadlock = on_deadlock;
    sl_clock_manual_init(&r->manual, SL_NS_PER_S);
    r->clock = t_is_sim() ? &r->manual.clock : sl_clock_system();
    return r;
}

int rig_start(rig *r, const engine_options *options) {
    engine_options mine;
    memset(&mine, 0, sizeof(mine));
    if (options != NULL) {
        mine = *options;
    }
    mine.allocator = t_allocator();
    mine.clock = r->clock;
    mine.backend_options = t_is_sim() ? &r->simulated : NULL;
    int status = engine_create(t_backend(), &mine, &r->engine);
    if (status == SLUICE_OK) {
        status = engine_worker_create(r->engine, &r->worker);
        if (status != SLUICE_OK) {
            EXPECT_STATUS(engine_destroy(r->engine, T_AWAIT_NS), SLUICE_OK);
            r->engine = NULL;
        }
    }
    return status;
}

rig *rig_open_with(const engine_options *options, sim_profile profile) {
    rig *r = rig_prepare(profile);
    EXPECT_STATUS(rig_start(r, options), SLUICE_OK);
    return r;
}

rig *rig_open(void) {
    return rig_open_with(NULL, SIM_PROFILE_GENTLE);
}

rig *rig_open_on(rig *first) {
    rig *r = calloc(1, sizeof(*r));
    EXPECT(r != NULL);
    r->engine = first->engine;
    r->clock = first->clock;
    EXPECT_STATUS(engine_worker_create(r->engine, &r->worker), SLUICE_OK);
    return r;
}

void rig_expect_empty(rig *r) {
    if (r->inbox_count != 0) {
        t_fail(__FILE__, __LINE__, "a completion nobody asked for: %s, %s",
               engine_kind_name(r->inbox[0].kind), sl_status_name(r->inbox[0].status));
    }
    engine_counters counters = rig_counters(r);
    EXPECT_INT(counters.requests, 0);
    EXPECT_INT(counters.handles, 0);
    EXPECT_INT(counters.closing, 0);
    EXPECT_INT(counters.handles_opened_count, counters.handles_closed_count);
    EXPECT_INT(counters.submitted_count, counters.completed_count);
}

void rig_close(rig *r) {
    for (unsigned i = 0; i < STREAM_KINDS; i++) {
        if (r->listeners[i] != NULL) {
            rig_close_handle(r, r->listeners[i]);
        }
    }
    (void)rig_pump(r, 0);
    rig_expect_empty(r);
    EXPECT_STATUS(engine_worker_destroy(r->worker), SLUICE_OK);
    if (r->owns_engine) {
        EXPECT_STATUS(engine_destroy(r->engine, T_AWAIT_NS), SLUICE_OK);
    }
    free(r);
}

/* ---- completions ----------------------------------------------------------------------------- */

uint64_t rig_now_ns(rig *r) {
    return sl_clock_now_ns(r->clock);
}

uint64_t rig_after_ns(rig *r, uint64_t delta_ns) {
    return sl_clock_after_ns(rig_now_ns(r), delta_ns);
}

engine_counters rig_counters(rig *r) {
    engine_counters counters;
    engine_worker_counters(r->worker, &counters);
    return counters;
}

/* R7: nothing of a handle comes after its close. */
static void expect_close_last(const engine_completion *completions, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = i + 1; completions[i].kind == ENGINE_CLOSE && j < count; j++) {
            EXPECT(completions[j].handle != completions[i].handle);
        }
    }
}

unsigned rig_poll(rig *r, engine_completion *ret_completions, unsigned capacity,
                  uint64_t deadline_ns) {
    unsigned count = engine_poll(r->worker, ret_completions, capacity, deadline_ns);
    EXPECT(count <= capacity);
    expect_close_last(ret_completions, count);
    engine_counters counters = rig_counters(r);
    t_publish(&counters);
    return count;
}

unsigned rig_pump(rig *r, uint64_t deadline_ns) {
    unsigned room = RIG_INBOX_MAX - r->inbox_count;
    EXPECT(room > 0);
    unsigned count =
        rig_poll(r, r->inbox + r->inbox_count, room < RIG_BATCH ? room : RIG_BATCH, deadline_ns);
    r->inbox_count += count;
    return count;
}

static engine_completion take(rig *r, unsigned index) {
    engine_completion completion = r->inbox[index];
    r->inbox_count--;
    memmove(r->inbox + index, r->inbox + index + 1, (r->inbox_count - index) * sizeof(r->inbox[0]));
    return completion;
}

typedef bool (*completion_test)(const engine_completion *completion, const void *wanted);

static bool is_request(const engine_completion *completion, const void *wanted) {
    return completion->id != 0 && completion->id == *(const engine_request_id *)wanted;
}

static bool is_close_of(const engine_completion *completion, const void *wanted) {
    return completion->kind == ENGINE_CLOSE && completion->handle == wanted;
}

static bool is_message(const engine_completion *completion, const void *wanted) {
    (void)wanted;
    return completion->kind == ENGINE_MESSAGE;
}

static engine_completion await(rig *r, completion_test test, const void *wanted, const char *what) {
    uint64_t deadline_ns = rig_after_ns(r, T_AWAIT_NS);
    unsigned seen = 0;
    for (;;) {
        for (; seen < r->inbox_count; seen++) {
            if (test(&r->inbox[seen], wanted)) {
                return take(r, seen);
            }
        }
        if (rig_pump(r, deadline_ns) == 0 && rig_now_ns(r) >= deadline_ns) {
            engine_counters counters = rig_counters(r);
            t_fail(__FILE__, __LINE__, "no completion for a %s; %u requests, %u handles open", what,
                   counters.requests, counters.handles);
        }
    }
}

engine_completion rig_await(rig *r, engine_request_id id) {
    EXPECT(id != 0);
    return await(r, is_request, &id, "request");
}

engine_completion rig_await_closed(rig *r, engine_handle *handle) {
    return await(r, is_close_of, handle, "close");
}

engine_completion rig_await_message(rig *r) {
    return await(r, is_message, NULL, "message");
}

size_t rig_await_status(rig *r, engine_request_id id, int status) {
    engine_completion completion = rig_await(r, id);
    if (completion.status != status) {
        t_fail(__FILE__, __LINE__, "a %s ended %s (os error %u), expected %s",
               engine_kind_name(completion.kind), sl_status_name(completion.status),
               completion.os_error, sl_status_name(status));
    }
    return completion.bytes;
}

bool rig_has(rig *r, engine_request_id id) {
    for (unsigned i = 0; i < r->inbox_count; i++) {
        if (is_request(&r->inbox[i], &id)) {
            return true;
        }
    }
    return false;
}

void rig_expect_quiet(rig *r) {
    uint64_t deadline_ns = rig_after_ns(r, T_QUIET_NS);
    while (rig_now_ns(r) < deadline_ns) {
        if (rig_pump(r, deadline_ns) != 0) {
            const engine_completion *last = &r->inbox[r->inbox_count - 1];
            t_fail(__FILE__, __LINE__, "nothing was to come, but a %s ended %s with %zu bytes",
                   engine_kind_name(last->kind), sl_status_name(last->status), last->bytes);
        }
    }
}

/* ---- handles and streams --------------------------------------------------------------------- */

void rig_close_handle(rig *r, engine_handle *handle) {
    EXPECT_STATUS(engine_close(handle, r), SLUICE_OK);
    engine_completion completion = rig_await_closed(r, handle);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    EXPECT(completion.user == r && completion.id == 0);
}

static sl_atomic_u32 names_taken;

engine_address t_pipe_address(void) {
    char name[ENGINE_PIPE_NAME_BYTES];
    engine_address address;
    os_pipe_name(name, (unsigned)atomic_fetch_add(&names_taken, 1), 0);
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
    return address;
}

engine_address t_endpoint_address(void) {
    engine_address address = t_pipe_address();
    address.is_endpoint = true;
    return address;
}

int rig_listen(rig *r, const engine_address *addresses, unsigned address_count,
               const engine_listen_options *options, engine_handle **ret_listener) {
    engine_request_id id = 0;
    int status = engine_listen(r->worker, addresses, address_count, options, NULL, r, &id);
    if (status != SLUICE_OK) {
        return status;
    }
    engine_completion completion = rig_await(r, id);
    EXPECT(completion.kind == ENGINE_LISTEN && completion.user == r && completion.handle == NULL);
    EXPECT((completion.status == SLUICE_OK) == (completion.opened[0] != NULL));
    r->listen_error = completion.os_error;
    if (completion.status == SLUICE_OK) {
        *ret_listener = completion.opened[0];
    }
    return completion.status;
}

engine_handle *rig_listener(rig *r, stream_kind kind) {
    if (r->listeners[kind] == NULL) {
        engine_listen_options options = {.backlog = 8};
        if (kind == STREAM_PIPE) {
            r->addresses[kind] = t_pipe_address();
        } else {
            engine_address_loopback(&r->addresses[kind], 0);
        }
        EXPECT_STATUS(rig_listen(r, &r->addresses[kind], 1, &options, &r->listeners[kind]),
                      SLUICE_OK);
        if (kind == STREAM_TCP) {
            EXPECT_STATUS(engine_handle_local_address(r->listeners[kind], &r->addresses[kind]),
                          SLUICE_OK);
        }
    }
    return r->listeners[kind];
}

engine_handle *rig_connect(rig *r, stream_kind kind) {
    engine_request_id id = 0;
    (void)rig_listener(r, kind);
    EXPECT_STATUS(engine_connect(r->worker, &r->addresses[kind], rig_after_ns(r, T_AWAIT_NS), NULL,
                                 NULL, &id),
                  SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    EXPECT(completion.opened[0] != NULL && completion.handle == NULL);
    return completion.opened[0];
}

engine_handle *rig_accept(rig *r, engine_handle *listener) {
    engine_request_id id = 0;
    EXPECT_STATUS(engine_accept(listener, NULL, &id), SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    EXPECT(completion.opened[0] != NULL && completion.handle == listener);
    return completion.opened[0];
}

void rig_stream(rig *r, stream_kind kind, engine_handle *ret_ends[2]) {
    engine_request_id id = 0;
    if (kind == STREAM_PAIR) {
        EXPECT_STATUS(engine_pair(r->worker, NULL, NULL, &id), SLUICE_OK);
        engine_completion completion = rig_await(r, id);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        ret_ends[0] = completion.opened[0];
        ret_ends[1] = completion.opened[1];
        EXPECT(ret_ends[0] != NULL && ret_ends[1] != NULL);
        return;
    }
    EXPECT_STATUS(engine_accept(rig_listener(r, kind), NULL, &id), SLUICE_OK);
    ret_ends[1] = rig_connect(r, kind);
    engine_completion accepted = rig_await(r, id);
    EXPECT_STATUS(accepted.status, SLUICE_OK);
    ret_ends[0] = accepted.opened[0];
    EXPECT(ret_ends[0] != NULL);
}

void rig_close_stream(rig *r, engine_handle *ends[2]) {
    rig_close_handle(r, ends[1]);
    rig_close_handle(r, ends[0]);
}

void rig_warm_up(void) {
    rig *r = rig_open();
    engine_address address;
    engine_handle *udp = NULL;
    engine_handle *ends[2];
    engine_request_id id = 0;
    for (int kind = 0; kind < STREAM_KINDS; kind++) {
        rig_stream(r, (stream_kind)kind, ends);
        rig_close_stream(r, ends);
    }
    engine_address_loopback(&address, 0);
    EXPECT_STATUS(engine_udp_open(r->worker, &address, &udp), SLUICE_OK);
    rig_close_handle(r, udp);
    EXPECT_STATUS(engine_resolve(r->worker, "localhost", 1, &address, 1, NULL, NULL, &id),
                  SLUICE_OK);
    (void)rig_await(r, id);
    rig_close(r);
}

/* ---- transfers ------------------------------------------------------------------------------- */

engine_request_id rig_read(rig *r, engine_handle *handle, void *buffer, size_t length) {
    engine_request_id id = 0;
    EXPECT_STATUS(engine_read(handle, buffer, length, r, &id), SLUICE_OK);
    EXPECT(id != 0);
    return id;
}

engine_request_id rig_write(rig *r, engine_handle *handle, const void *bytes, size_t length) {
    engine_request_id id = 0;
    engine_buffer buffer = {.bytes = bytes, .length = length};
    EXPECT_STATUS(engine_write(handle, &buffer, 1, r, &id), SLUICE_OK);
    EXPECT(id != 0);
    return id;
}

void rig_send(rig *r, engine_handle *handle, const void *bytes, size_t length) {
    EXPECT_INT(rig_await_status(r, rig_write(r, handle, bytes, length), SLUICE_OK), length);
}

void rig_receive(rig *r, engine_handle *handle, void *buffer, size_t length) {
    uint8_t *at = buffer;
    while (length > 0) {
        size_t count = rig_await_status(r, rig_read(r, handle, at, length), SLUICE_OK);
        EXPECT(count > 0 && count <= length);
        at += count;
        length -= count;
    }
}

void rig_receive_pattern(rig *r, engine_handle *handle, uint32_t lane, size_t offset,
                         size_t length) {
    static const size_t piece_max = 128u << 10;
    uint8_t *buffer = malloc(piece_max);
    EXPECT(buffer != NULL);
    while (length > 0) {
        size_t room = length < piece_max ? length : piece_max;
        size_t count = rig_await_status(r, rig_read(r, handle, buffer, room), SLUICE_OK);
        EXPECT(count > 0 && count <= room);
        pattern_expect(buffer, count, lane, offset);
        offset += count;
        length -= count;
    }
    free(buffer);
}

size_t rig_receive_pattern_to_end(rig *r, engine_handle *handle, uint32_t lane, size_t offset) {
    uint8_t buffer[4096];
    size_t total = 0;
    for (;;) {
        engine_completion completion = rig_await(r, rig_read(r, handle, buffer, sizeof(buffer)));
        if (completion.status == SLUICE_EEOF) {
            EXPECT_INT(completion.bytes, 0);
            return total;
        }
        EXPECT_STATUS(completion.status, SLUICE_OK);
        EXPECT(completion.bytes > 0);
        pattern_expect(buffer, completion.bytes, lane, offset + total);
        total += completion.bytes;
    }
}

engine_request_id rig_fill(rig *r, engine_handle *handle, uint32_t lane) {
    engine_buffer buffers[ENGINE_GATHER_MAX];
    engine_request_id id = 0;
    for (unsigned i = 0; i < ENGINE_GATHER_MAX; i++) {
        buffers[i].bytes = pattern_at(lane, (uint64_t)i * PATTERN_BLOCK);
        buffers[i].length = PATTERN_BLOCK;
    }
    EXPECT_STATUS(engine_write(handle, buffers, ENGINE_GATHER_MAX, r, &id), SLUICE_OK);
    rig_expect_quiet(r);
    return id;
}

/* ---- patterns and poison --------------------------------------------------------------------- */

static uint8_t pattern_bytes[PATTERN_PERIOD + PATTERN_BLOCK];

/* Filled before main's first test: see pattern_at. */
static const uint8_t *pattern_table(void) {
    static sl_atomic_u32 made; /* 0 not yet, 1 being made, 2 made */
    unsigned expected = 0;
    if (atomic_load(&made) != 2) {
        if (atomic_compare_exchange_strong(&made, &expected, 1)) {
            sl_random_seeded random;
            sl_random_seeded_init(&random, 1);
            random.random.fill(&random.random, pattern_bytes, PATTERN_PERIOD);
            memcpy(pattern_bytes + PATTERN_PERIOD, pattern_bytes, PATTERN_BLOCK);
            atomic_store(&made, 2);
        }
        while (atomic_load(&made) != 2) {
            sl_thread_yield();
        }
    }
    return pattern_bytes;
}

const uint8_t *pattern_at(uint32_t lane, uint64_t offset) {
    uint64_t start = (uint64_t)lane * UINT64_C(0x9E3779B97F4A7C15) >> 20;
    return pattern_table() + (start + offset) % PATTERN_PERIOD;
}

void pattern_fill(uint8_t *bytes, size_t length, uint32_t lane, uint64_t offset) {
    while (length > 0) {
        size_t piece = length < PATTERN_BLOCK ? length : PATTERN_BLOCK;
        memcpy(bytes, pattern_at(lane, offset), piece);
        bytes += piece;
        offset += piece;
        length -= piece;
    }
}

void pattern_expect(const uint8_t *bytes, size_t length, uint32_t lane, uint64_t offset) {
    while (length > 0) {
        size_t piece = length < PATTERN_BLOCK ? length : PATTERN_BLOCK;
        const uint8_t *expected = pattern_at(lane, offset);
        if (memcmp(bytes, expected, piece) != 0) {
            size_t i = 0;
            while (bytes[i] == expected[i]) {
                i++;
            }
            t_fail(__FILE__, __LINE__, "stream of lane %u: byte %llu is %u, expected %u", lane,
                   (unsigned long long)(offset + i), bytes[i], expected[i]);
        }
        bytes += piece;
        offset += piece;
        length -= piece;
    }
}

void poison(void *bytes, size_t length, uint8_t value) {
    memset(bytes, value, length);
}

bool is_poisoned(const void *bytes, size_t length, uint8_t value) {
    const uint8_t *at = bytes;
    return length == 0 || (at[0] == value && memcmp(at, at + 1, length - 1) == 0);
}
