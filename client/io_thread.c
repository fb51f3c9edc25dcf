/*
 * io_thread.c - the one thread that does the library's I/O: its engine worker, the core, the loop.
 *
 * Stopping: the stop is mail like everything else; then the loop goes on until the engine has let
 * go of the connection, or the grace has passed. What the engine does not give back (a driver that
 * never lets go) is left behind with the thread's memory: freeing it would break invariant I4.
 */
#include "client/session.h"

#include <string.h>

#define STOP_TURN_NS (50 * SL_NS_PER_MS)

_Static_assert(sizeof(((sluice_session_info *)0)->broker_user) == ENGINE_IDENTITY_TEXT_BYTES,
               "the public header has room for every user");

/* ---- hooks ----------------------------------------------------------------------------------- */

static void on_finished(void *user, client_operation *op) {
    sluice_session *session = user;
    client_delivery_put(&session->delivery, op);
}

static void on_retired(void *user, client_operation *op) {
    sluice_session *session = user;
    if (op->has_credit) {
        op->has_credit = false;
        client_credit_give(&session->credit, op->credit_bytes);
    }
}

static void on_dropped(void *user, client_operation *op) {
    (void)user;
    client_pool_drop(op);
}

static void on_launch(void *user) {
    sluice_session *session = user;
    client_launcher_start(&session->launcher, session->worker, session->core.step_deadline_ns);
}

static void explain_start(void *user, bool has_ended, sl_reason *ret_reason) {
    sluice_session *session = user;
    if (has_ended) {
        client_launcher_explain_end(&session->launcher, ret_reason);
    } else {
        client_launcher_explain_start(&session->launcher, ret_reason);
    }
}

static bool has_broker_ended(void *user) {
    sluice_session *session = user;
    return client_launcher_has_ended(&session->launcher);
}

static void on_connection(void *user) {
    sluice_session *session = user;
    const client_core *core = &session->core;
    const sl_hello_reply *hello = &core->hello;
    if (core->phase == CLIENT_READY) {
        client_credit_set(&session->credit, hello->limits.credit_operations,
                          hello->limits.credit_bytes);
    }
    sl_mutex_lock(&session->info_lock);
    sluice_session_info *info = &session->info;
    info->mode = core->mode;
    info->status = core->down_status;
    info->session_id = hello->session_id;
    info->epoch = hello->epoch;
    info->connection_count = core->connection_count;
    info->broker_process_id = core->mode == SLUICE_MODE_PRIVATE && core->phase == CLIENT_READY
                                  ? client_launcher_process_id(&session->launcher)
                                  : 0;
    info->payload_bytes = hello->limits.payload_bytes;
    info->credit_operations = hello->limits.credit_operations;
    info->credit_bytes = hello->limits.credit_bytes;
    info->handles = hello->limits.handles;
    info->ping_interval_ns = hello->ping_interval_ns;
    info->unresponsive_ns = hello->unresponsive_ns;
    memcpy(info->detail, core->down_detail, sizeof(info->detail));
    _Static_assert(sizeof(info->endpoint) == sizeof(core->endpoint), "an endpoint fits");
    memcpy(info->endpoint, core->endpoint, sizeof(core->endpoint));
    memcpy(info->broker_version, core->broker_version, sizeof(info->broker_version) - 1);
    memcpy(info->engine_name, core->engine_name, sizeof(info->engine_name) - 1);
    engine_identity_text(&core->server, info->broker_user);
    sl_mutex_unlock(&session->info_lock);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int begin(sluice_session *session) {
    engine_options options = {.allocator = session->account.source,
                              .max_requests = 256,
                              .max_handles = 64,
                              .opener_threads = 1,
                              .may_fork = true};
    int status = SLUICE_OK;
    if (session->delivery.mode == SLUICE_DELIVERY_INLINE) {
        status = client_inline_begin();
    }
    if (status == SLUICE_OK) {
        status = engine_create(session->backend, &options, &session->engine);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    status = engine_worker_create(session->engine, &session->worker);
    if (status == SLUICE_OK) {
        session->settings.explain_start = explain_start;
        const client_hooks hooks = {session,   on_finished,      on_retired,   on_dropped,
                                    on_launch, has_broker_ended, on_connection};
        status =
            client_core_init(&session->core, session->worker, sl_clock_system(), sl_random_system(),
                             &session->account, &session->settings, &hooks);
        if (status != SLUICE_OK) {
            (void)engine_worker_destroy(session->worker);
        }
    }
    if (status != SLUICE_OK) {
        (void)engine_destroy(session->engine, 0);
    }
    return status;
}

static void on_stop(client_core *core, client_mail *mail) {
    SL_CONTAINER_OF(mail, sluice_session, stop_mail)->is_stopping = true;
    client_core_stop(core);
}

static uint64_t left_ns(uint64_t deadline_ns) {
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

/* The engine has given back everything, or its time is up. A start of a private broker is left;
 * what it has told already is heard. */
static void end(sluice_session *session) {
    bool is_told;
    bool is_idle;
    for (;;) {
        is_told = client_launcher_leave(&session->launcher);
        is_idle = is_told && client_core_is_idle(&session->core) &&
                  engine_worker_destroy(session->worker) == SLUICE_OK;
        if (is_idle || (is_told && left_ns(session->close_deadline_ns) == 0)) {
            break;
        }
        uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
        client_core_run(&session->core, sl_clock_after_ns(now_ns, STOP_TURN_NS));
    }
    if (is_idle) {
        client_core_deinit(&session->core);
        is_idle = engine_destroy(session->engine, left_ns(session->close_deadline_ns)) == SLUICE_OK;
    }
    session->is_left_behind = !is_idle;
}

static void io_thread(void *context) {
    sluice_session *session = context;
    session->io_status = begin(session);
    session->io_thread_id = sl_thread_self();
    bool is_started = session->io_status == SLUICE_OK;
    sl_event_set(&session->io_event);
    if (!is_started) {
        return;
    }
    while (!session->is_stopping) {
        client_core_run(&session->core, SL_CLOCK_NEVER);
    }
    end(session);
}

int client_io_thread_start(sluice_session *session) {
    int status = sl_event_init(&session->io_event);
    if (status != SLUICE_OK) {
        return status;
    }
    status = sl_thread_start(&session->io_thread, "sluice-io", io_thread, session);
    if (status == SLUICE_OK) {
        (void)sl_event_wait_until(&session->io_event, SL_CLOCK_NEVER);
        status = session->io_status;
        if (status != SLUICE_OK) {
            (void)sl_thread_join_or_leave(&session->io_thread, SL_THREAD_EXIT_NS);
        }
    }
    sl_event_deinit(&session->io_event);
    return status;
}

void client_io_thread_stop(sluice_session *session, uint64_t deadline_ns) {
    session->close_deadline_ns = deadline_ns; /* published by the mail */
    session->stop_mail.on_core = on_stop;
    client_core_post(session->worker, &session->stop_mail);
    (void)sl_thread_join_or_leave(&session->io_thread, SL_THREAD_EXIT_NS);
}
