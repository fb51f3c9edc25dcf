/*
 * rig.h - what a test stands on: an engine with a worker, completions one can wait for by name,
 * streams of each kind, patterned and poisoned buffers.
 *
 * A rig belongs to the thread that opened it. Completions that nobody has asked for yet wait in
 * its inbox; at rig_close the inbox must be empty and every counter 0.
 */
#ifndef SLUICE_TESTS_ENGINE_RIG_H
#define SLUICE_TESTS_ENGINE_RIG_H

#include "base/alloc.h"
#include "base/status.h"
#include "tests/engine/harness.h"
#include "tests/sim/engine_sim.h"

#define RIG_INBOX_MAX 4096
#define RIG_BATCH     64

typedef enum stream_kind { STREAM_PAIR, STREAM_PIPE, STREAM_TCP } stream_kind;
#define STREAM_KINDS 3
extern const char *const stream_names[STREAM_KINDS];

typedef enum sim_profile { SIM_PROFILE_GENTLE, SIM_PROFILE_RACES } sim_profile;

typedef struct rig {
    engine *engine;
    engine_worker *worker;
    bool owns_engine;
    sl_clock *clock;
    sl_clock_manual manual; /* the simulator's */
    sim_options simulated;
    engine_handle *listeners[STREAM_KINDS]; /* made when first needed */
    engine_address addresses[STREAM_KINDS];
    uint32_t listen_error; /* the system's, of the last rig_listen */
    unsigned inbox_count;
    engine_completion inbox[RIG_INBOX_MAX];
} rig;

/* ---- opening and closing --------------------------------------------------------------------- */

rig *rig_open(void);
/* options: limits to use (allocator, clock and backend options are filled in); may be NULL. */
rig *rig_open_with(const engine_options *options, sim_profile profile);
/* Only the settings, so that a test can change r->simulated; then rig_start. */
rig *rig_prepare(sim_profile profile);
int rig_start(rig *r, const engine_options *options);
/* A second worker on the engine of the first, for the calling thread. */
rig *rig_open_on(rig *first);
/* Closes the listeners, checks that nothing is left, destroys worker and engine, frees the rig. */
void rig_close(rig *r);
/* Checks only: no handle, no request, nothing in the inbox. */
void rig_expect_empty(rig *r);

/* Every kind of handle once: what the system makes at first use and keeps. */
void rig_warm_up(void);

/* ---- completions ----------------------------------------------------------------------------- */

uint64_t rig_now_ns(rig *r);
uint64_t rig_after_ns(rig *r, uint64_t delta_ns);
/* engine_poll, with the counters published for the watchdog. */
unsigned rig_poll(rig *r, engine_completion *ret_completions, unsigned capacity,
                  uint64_t deadline_ns);
/* Polls once into the inbox. */
unsigned rig_pump(rig *r, uint64_t deadline_ns);
/* Waits for the completion of a request; it must come within T_AWAIT_NS. */
engine_completion rig_await(rig *r, engine_request_id id);
engine_completion rig_await_closed(rig *r, engine_handle *handle);
engine_completion rig_await_message(rig *r);
/* Waits for a request and checks its status. Returns its bytes. */
size_t rig_await_status(rig *r, engine_request_id id, int status);
/* Is its completion in the inbox already? */
bool rig_has(rig *r, engine_request_id id);
/* Nothing at all is delivered for T_QUIET_NS. */
void rig_expect_quiet(rig *r);
engine_counters rig_counters(rig *r);

/* ---- handles and streams --------------------------------------------------------------------- */

void rig_close_handle(rig *r, engine_handle *handle);
/* from[0] reads what from[1] writes; all but pairs work in the other direction too. */
void rig_stream(rig *r, stream_kind kind, engine_handle *ret_ends[2]);
void rig_close_stream(rig *r, engine_handle *ends[2]);
/* Listens, and waits: the status, and the listener. */
int rig_listen(rig *r, const engine_address *addresses, unsigned address_count,
               const engine_listen_options *options, engine_handle **ret_listener);
/* The listener that rig_stream uses (pipe or TCP), and its address. */
engine_handle *rig_listener(rig *r, stream_kind kind);
engine_handle *rig_connect(rig *r, stream_kind kind); /* without an accept */
engine_handle *rig_accept(rig *r, engine_handle *listener);
/* A fresh pipe address. */
engine_address t_pipe_address(void);
engine_address t_endpoint_address(void);

/* ---- transfers ------------------------------------------------------------------------------- */

engine_request_id rig_read(rig *r, engine_handle *handle, void *buffer, size_t length);
engine_request_id rig_write(rig *r, engine_handle *handle, const void *bytes, size_t length);
/* Writes all, and waits. */
void rig_send(rig *r, engine_handle *handle, const void *bytes, size_t length);
/* Reads until `length` bytes are there. */
void rig_receive(rig *r, engine_handle *handle, void *buffer, size_t length);
/* Reads to the end of the stream, checking the pattern from `offset` on; returns how many bytes
 * came. The last status must be EEOF. */
size_t rig_receive_pattern_to_end(rig *r, engine_handle *handle, uint32_t lane, size_t offset);
/* Reads `length` bytes, checking the pattern from `offset` on. */
void rig_receive_pattern(rig *r, engine_handle *handle, uint32_t lane, size_t offset,
                         size_t length);
/* One write of RIG_FILL_BYTES of the lane's pattern, from offset 0: more than pipes and sockets
 * hold, so it stays pending until most of it was read. Returns its id when nothing moves any
 * more. */
engine_request_id rig_fill(rig *r, engine_handle *handle, uint32_t lane);

/* ---- patterns and poison --------------------------------------------------------------------- */

#define PATTERN_PERIOD (1u << 20) /* a stream's pattern repeats after 1 MiB */
#define PATTERN_BLOCK  (1u << 20) /* the longest piece pattern_at gives */

/* The bytes of a stream from an offset on: the same for the same lane and offset. Valid for at
 * least PATTERN_BLOCK bytes; constant. */
const uint8_t *pattern_at(uint32_t lane, uint64_t offset);
void pattern_fill(uint8_t *bytes, size_t length, uint32_t lane, uint64_t offset);
void pattern_expect(const uint8_t *bytes, size_t length, uint32_t lane, uint64_t offset);

#define RIG_FILL_BYTES ((size_t)ENGINE_GATHER_MAX * PATTERN_BLOCK)

#define POISON_BEFORE 0xB5
#define POISON_AFTER  0x5B
void poison(void *bytes, size_t length, uint8_t value);
bool is_poisoned(const void *bytes, size_t length, uint8_t value);

#endif
