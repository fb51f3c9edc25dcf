/*
 * rig.h - a broker in this process, and tiny raw clients that speak the protocol to it over the
 * engine, byte by byte.
 *
 * On the simulated backend everything runs in this thread, and a seed decides what happens when; on
 * the platform's own the broker has its worker threads. The same tests run on both. Everything here
 * aborts on a fault (EXPECT).
 */
#ifndef SLUICE_TESTS_BROKER_RIG_H
#define SLUICE_TESTS_BROKER_RIG_H

#include "base/check.h"
#include "broker/broker.h"
#include "proto/message.h"
#include "tests/sim/engine_sim.h"

#define EXPECT(condition) SL_CHECK(condition, "a test of the broker")

typedef struct test_rig {
    bool is_simulated;
    sl_clock_manual manual;
    sl_clock *clock;
    sl_random_seeded random;
    sim_world *world;
    struct broker *broker;
    uint32_t worker_count;
    bool has_ended[BROKER_WORKERS_MAX];
    uint32_t first_thread; /* simulated: of worker 0, the next ones follow */
    engine *engine; /* the clients' */
    engine_worker *worker;
    engine_address endpoint;
    sl_arena arena;
    sl_account account;
    uint64_t memory_bytes; /* the broker's, before its first session */
} test_rig;

typedef struct rig_options {
    const sim_options *sim;  /* NULL = the platform's own backend, with threads */
    uint32_t worker_count;   /* 0 = 1 */
    const sl_limits *limits; /* NULL = the defaults */
    sl_allocator *allocator; /* the broker's; NULL = the system's */
    sl_log *log;             /* NULL = no log */
    const char *access;      /* broker_options; NULL = its own user only */
    const engine_identity *allow;
    unsigned allow_count;
    bool refuses_itself;  /* as a broker of its own process does (broker_options.serves_itself) */
    uint64_t descriptors; /* of the broker's process; 0 = no limit */
    uint64_t pipe_pages;  /* of the broker's user; 0 = no limit */
} rig_options;

void rig_open(test_rig *rig, const rig_options *options);
/* Drains the broker with no grace and checks that nothing is left. */
void rig_close(test_rig *rig);
/* The same of a broker that told of so much stuck work when it gave up. */
void rig_close_stuck(test_rig *rig, uint64_t stuck_count);
/* Lets something happen. */
void rig_step(test_rig *rig);
/* Simulated: one wake of a worker, in its own simulated thread. false: it has ended. */
bool rig_worker_step(test_rig *rig, uint32_t index);
uint32_t rig_worker_thread(const test_rig *rig, uint32_t index);
/* Only the clients take what has come for them; nothing waits. */
void rig_poll_clients(test_rig *rig);
/* A pipe for the tests' own use, as a client names it ("pipe:..."). */
void rig_pipe_address(const test_rig *rig, char *address, size_t size);
/* The same in a loop that waits for something: *since_ns is 0 at first. Fails when that takes
 * longer than RIG_WAIT_NS on the rig's clock. */
#define RIG_WAIT_NS (120 * SL_NS_PER_S)
void rig_wait(test_rig *rig, uint64_t *since_ns);
void rig_run_for(test_rig *rig, uint64_t time_ns);
/* Until the broker has no session, handle and operation left, and its books are, to the byte, those
 * from before the first session. */
void rig_await_empty(test_rig *rig);
broker_counters rig_counters(const test_rig *rig);
/* How many records of that message a log tells of, those included that it only counts
 * (left_out=N); and in how many lines. */
uint64_t rig_count_records(const char *log, const char *message, unsigned *ret_lines);
/* Until the broker has so many sessions, those with zombies included. */
void rig_await_sessions(test_rig *rig, uint64_t count);

typedef struct raw_reply {
    uint64_t id;
    int status;
    uint64_t done;
    uint64_t in_doubt;
    uint32_t os_error;
    sl_response_kind kind;
    uint32_t opened_count;
    uint64_t opened[SL_OPENED_MAX];
    char local_address[SL_ADDRESS_BYTES + 1];
    sl_hello_reply hello; /* without its texts */
    sl_status_reply counters;
    char detail[SL_DETAIL_BYTES + 1];
    char user[SL_USER_BYTES + 1]; /* Status's; of Ops the first row's */
    uint32_t row_count;
    sl_ops_row *rows; /* without texts */
    uint64_t next_cursor;
    uint8_t *payload; /* free both with reply_free */
    size_t length;
} raw_reply;

typedef struct raw_client raw_client;

/* A Data has come; bytes: data->length of them. */
typedef void (*client_data_hook)(void *user, uint64_t handle, const sl_stream_data *data,
                                 const uint8_t *bytes);

/* Connects and says Hello (with default wishes). */
raw_client *client_open(test_rig *rig);
/* The same with wishes; NULL: the broker ended the session first. */
raw_client *client_open_with(test_rig *rig, const sl_session_limits *wishes);
/* ... or did not answer in that time. */
raw_client *client_open_within(test_rig *rig, const sl_session_limits *wishes,
                               uint64_t patience_ns);
/* Connects only. */
raw_client *client_connect(test_rig *rig);
/* Begins to, and does not wait. */
raw_client *client_dial(test_rig *rig, uint64_t deadline_ns);
void client_close(raw_client *client);
/* Begins to; client_close waits for it. */
void client_hang_up(raw_client *client);

uint64_t client_id(raw_client *client); /* the next */
/* Who takes what comes of streams. */
void client_on_data(raw_client *client, client_data_hook on_data, void *user);
/* One who does not care. */
void client_ignore_data(void *user, uint64_t handle, const sl_stream_data *data,
                        const uint8_t *bytes);
/* It uses this id (below 256) more than once, or, for 0, any: each time it may be answered, when
 * the request before it has been. Only the last answer is kept. */
void client_may_repeat(raw_client *client, uint64_t id);
void client_send_bytes(raw_client *client, const void *bytes, size_t length);
void client_send(raw_client *client, const sl_request *request, const void *payload,
                 uint32_t length);

/* Runs until the reply to this id has come: true; or the connection has ended: false. */
bool client_await(raw_client *client, uint64_t id, raw_reply *ret_reply);
/* Has it come? It stays. */
bool client_has(raw_client *client, uint64_t id);
/* So many bytes of its payload have. */
size_t client_received(raw_client *client, uint64_t id);
/* Runs until the broker has ended the session. Returns the status of its Goodbye, or 0. */
int client_await_end(raw_client *client);
/* Its words, "" = none. */
const char *client_goodbye_detail(const raw_client *client);
/* What Hello granted. */
const sl_session_limits *client_limits(const raw_client *client);
bool client_is_over(const raw_client *client);
test_rig *client_rig(const raw_client *client);
uint64_t client_drainings(const raw_client *client);
/* Takes no replies from now on, or again. */
void client_stop_reading(raw_client *client, bool is_stopped);
/* One that takes none takes so many bytes, when they are there. */
void client_take(raw_client *client, size_t bytes);
void reply_free(raw_reply *reply);

/* ---- calls: each returns the reply's status ---- */

uint64_t start_read(raw_client *client, uint64_t handle, uint32_t max_bytes, bool all,
                    uint64_t timeout_ns);
uint64_t start_write(raw_client *client, uint64_t handle, const void *bytes, uint32_t length,
                     uint64_t timeout_ns);
void send_cancel(raw_client *client, uint64_t id);
uint64_t start_close(raw_client *client, uint64_t handle);
int await_status(raw_client *client, uint64_t id);
/* Its answer is EQUOTA, in these words. */
void expect_quota(raw_client *client, uint64_t id, const char *detail);
/* The same of a new request of a kind that needs nothing more. */
void expect_quota_of(raw_client *client, sl_request_kind kind, const char *detail);
int call_pair(raw_client *client, uint64_t ret_ends[2]);
int call_close(raw_client *client, uint64_t handle);
int call_write(raw_client *client, uint64_t handle, const void *bytes, uint32_t length);
/* ret_done: bytes, which must be those at `expected`. */
int call_read(raw_client *client, uint64_t handle, uint32_t max_bytes, bool all,
              const void *expected, uint64_t *ret_done);
int call_plain(raw_client *client, sl_request_kind kind, uint64_t handle, raw_reply *ret_reply);
int call_address(raw_client *client, sl_request_kind kind, const char *address,
                 raw_reply *ret_reply);
/* A connection whose far end is another session's, so that nothing but its own system ends it. */
uint64_t call_connect_to(raw_client *client, raw_client *other);

#endif
