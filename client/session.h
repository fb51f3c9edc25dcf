/*
 * session.h - the client library with its threads, around the core: what a sluice_session is.
 *
 *     application's threads   call.c, start.c: fill an operation, take credit, post it
 *     the I/O thread          io_thread.c: owns the engine worker and the core, never blocks
 *     the callback thread     delivery.c: runs callbacks (delivery THREAD)
 *     the launch thread       launcher.c: starts a private broker, now and then; can be spared
 *     errands                 errand.c: whatever else may block without limit; can be spared
 *
 * Lifetime: the memory lives until the session is closed and every operation is released.
 */
#ifndef SLUICE_CLIENT_SESSION_H
#define SLUICE_CLIENT_SESSION_H

#include "client/core.h"
#include "client/credit.h"
#include "client/delivery.h"
#include "client/error.h"
#include "client/fork.h"
#include "client/launcher.h"

#define CLIENT_POOL_MAX        1024u   /* free operations that are kept */
#define CLIENT_IO_POOL_MAX     128u    /* ... by the I/O thread, for its own callbacks */
#define CLIENT_UNDELIVERED_MAX 131072u /* asynchronous calls whose callback has not run */

struct sluice_session {
    sl_account account;
    sl_atomic_u32 reference_count;
    uint64_t fork_generation;
    uint32_t delivery_mode;
    client_settings settings;
    char service_endpoint[ENGINE_PIPE_NAME_BYTES];
    char client_name[SL_CLIENT_NAME_BYTES + 1];

    /* The I/O thread: io_thread.c. */
    const engine_backend *backend;
    sl_thread io_thread;
    uint64_t io_thread_id;
    uint64_t close_deadline_ns; /* of the system clock, for the I/O thread's share of the close */
    sl_event io_event;          /* it has started, or failed to */
    int io_status;
    engine *engine;
    engine_worker *worker;
    client_core core;
    client_mail stop_mail;
    bool is_stopping;    /* the I/O thread's */
    bool is_left_behind; /* the engine did not let go: our memory must stay */

    client_credit credit;
    client_delivery delivery;
    client_launcher launcher;

    sl_atomic_bool is_closed;
    sl_atomic_u32 posting_count; /* threads inside client_post */

    sl_mutex info_lock;
    sluice_session_info info;

    sl_mutex pool_lock;
    client_operation *pool;
    uint32_t pool_count;
    client_operation *io_pool; /* the I/O thread's: no lock */
    uint32_t io_pool_count;
};

static inline bool client_session_is_io_thread(const sluice_session *session) {
    return sl_thread_self() == session->io_thread_id;
}

/* The operation keeps the session's memory. */
static inline void client_session_hold(client_operation *op) {
    op->holds_session = true;
    atomic_fetch_add_explicit(&op->session->reference_count, 1, memory_order_relaxed);
}

/* A child of fork has no I/O thread, and shares its parent's connection. */
static inline bool client_session_is_forked(const sluice_session *session) {
    return session->fork_generation != client_fork_generation();
}

/* io_thread.c. SLUICE_OK, or why there is none. */
int client_io_thread_start(sluice_session *session);
/* Waits for its end, which comes by deadline_ns of the system clock. */
void client_io_thread_stop(sluice_session *session, uint64_t deadline_ns);

/* pool.c: an operation with a reference for the core. It keeps the session's memory, except when
 * the I/O thread makes it: then it has to end before that thread does, unless the application gets
 * to see it (client_session_hold). NULL: out of memory. */
client_operation *client_pool_take(sluice_session *session, sl_request_kind kind,
                                   uint64_t timeout_ns);
/* Drops a reference. */
void client_pool_drop(client_operation *op);
/* Everything that is kept. */
void client_pool_clear(sluice_session *session);

/* session.c */
void client_session_drop(sluice_session *session);

/* call.c */

/* What a call is about. */
typedef struct client_arguments {
    client_call call;
    sl_request_kind kind;
    client_operation_kind local; /* CLIENT_REQUEST, or what it is instead */
    uint64_t timeout_ns;
    uint64_t handle;
    const char *address;
    uint32_t backlog;
    void *in;
    const void *out;
    uint32_t length;
    uint32_t flags;
    uint32_t row_size;
    const sluice_ops_query *query;
} client_arguments;

/* Makes the operation and takes its credit, waiting for it if `may_wait`. SLUICE_OK, or a status;
 * then there is none. This and the others say what is wrong with an argument. */
int client_prepare(sluice_session *session, const client_arguments *arguments, bool may_wait,
                   client_operation **ret_op, sl_reason *ret_reason);
/* Takes back what client_prepare gave. */
void client_unprepare(client_operation *op);
/* Hands it to the core. SLUICE_OK, or ECLOSED: the session is being closed. */
int client_post(client_operation *op, sl_reason *ret_reason);
/* Waits for the outcome. *ret_op is the caller's to drop; NULL: the call has not begun. */
int client_do(sluice_session *session, const client_arguments *arguments, client_operation **ret_op,
              sl_reason *ret_reason);

#endif
