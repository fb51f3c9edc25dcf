/*
 * reading.c - see reading.h.
 */
#include "broker/stream/reading.h"

#include "base/failpoint.h"
#include "broker/charge.h"
#include "broker/handle.h"
#include "broker/kernel.h"

#define POOL_BYTES    (4u * 1024 * 1024) /* of a session's receives, above 4 KiB a handle */
#define RECEIVE_BYTES (64u * 1024)
#define RETRY_NS      (50 * SL_NS_PER_MS) /* the system had no memory: not even the least */

#define RULES \
    .floor_bytes = CHARGE_SPARE_BYTES, .window_bytes = SL_STREAM_WINDOW_BYTES, \
    .output_bytes = RECEIVE_BYTES, .receive_bytes = RECEIVE_BYTES
static const incoming_rules rules_of_requests = {RULES};
static const incoming_rules rules_of_tries = {RULES, .never_waits = true};

static void on_waited(broker_target *target, const engine_completion *completion);
static void on_received(broker_target *target, const engine_completion *completion);

static broker_handle *handle_of(broker_reading *reading) {
    return SL_CONTAINER_OF(reading, broker_handle, reading);
}

void reading_pool_init(budget *pool) {
    budget_init(pool, POOL_BYTES, 1);
}

void reading_open(broker_handle *handle, bool has_ahead) {
    broker_reading *reading = &handle->reading;
    SL_CHECK(!reading->is_open && !handle->has_requests, "a handle is read in one way");
    const incoming_rules *rules =
        engine_tries(handle->os) ? &rules_of_tries : &rules_of_requests;
    incoming_init(&reading->state, rules, &handle->session->receive_pool, has_ahead,
                  has_ahead ? SL_STREAM_FLOOR_BYTES : 0);
    reading->wait_target.on_completion = on_waited;
    reading->receive_target.on_completion = on_received;
    sl_list_init(&reading->in_telling);
    sl_list_init(&reading->in_stopping);
    reading->is_open = true;
    reading_continue(handle);
}

/* ---- the engine is asked ---- */

/* What the engine refuses at once came back with that status. */
static void submit_wait(broker_handle *handle) {
    broker_reading *reading = &handle->reading;
    incoming_begin_wait(&reading->state);
    int status =
        engine_read(handle->os, NULL, 0, &reading->wait_target, &reading->wait_request);
    if (status != SLUICE_OK) {
        incoming_finish_wait(&reading->state, &(incoming_result){.status = status});
    }
}

/* A buffer of the size that the traffic wants, or of the least. false: not even that. */
static bool take_buffer(broker_handle *handle) {
    broker_reading *reading = &handle->reading;
    if (reading->chunk != NULL && reading->chunk->references == 1) {
        return true;
    }
    chunk_drop(reading->chunk); /* what is in it is being sent */
    reading->chunk = NULL;
    broker_session *session = handle->session;
    uint64_t room = incoming_room(&reading->state);
    uint64_t wanted = reading->is_flowing ? RECEIVE_BYTES : CHARGE_SPARE_BYTES;
    size_t size = (size_t)(wanted < room ? wanted : room);
    int status = chunk_take(session, size, &reading->chunk, NULL);
    if (status == SLUICE_EQUOTA) {
        status = chunk_take_spare(session, &reading->chunk);
    }
    if (status != SLUICE_OK) {
        charge_starve(handle);
    }
    if (status == SLUICE_ENOMEM) {
        /* What was charged came back, which looks like memory that is free. */
        sl_list_remove(&session->in_feeding);
        deadline_set(session->worker, &session->worker->memory_timer,
                     sl_clock_after_ns(session->worker->now_ns, RETRY_NS));
    }
    return status == SLUICE_OK;
}

static void take_received(broker_handle *handle, const incoming_result *result) {
    broker_reading *reading = &handle->reading;
    uint64_t length = reading->state.in_kernel;
    incoming_finish_receive(&reading->state, result);
    if (handle->state == HANDLE_OPEN && result->bytes > 0) {
        reading->is_flowing = handle->is_flowing = result->bytes == length;
        kernel_received(handle, (size_t)result->bytes);
    }
}

/* A try, where the system has one: then it is back at once. Else a request. */
static void submit_receive(broker_handle *handle) {
    broker_reading *reading = &handle->reading;
    size_t length = (size_t)incoming_begin_receive(&reading->state, reading->chunk->size);
    uint8_t *to = reading->chunk->bytes;
    size_t bytes = 0;
    incoming_result result = {0};
    reading->start = 0;
    result.status = engine_try_read(handle->os, to, length, &bytes, &result.os_error);
    if (result.status == SLUICE_ENOTSUP) {
        result.status = engine_read(handle->os, to, length, &reading->receive_target,
                                    &reading->receive_request);
        if (result.status == SLUICE_OK) {
            return;
        }
    } else if (result.status == SLUICE_EBUSY) {
        result.status = SLUICE_OK; /* nothing is there */
    }
    result.bytes = bytes;
    take_received(handle, &result);
}

/* The next thing that is due. false: there is none, but what is to be told. */
static bool act(broker_handle *handle) {
    broker_reading *reading = &handle->reading;
    incoming *state = &reading->state;
    engine_worker *asked = handle->session->worker->engine;
    unsigned due = incoming_due(state);
    if ((due & INCOMING_ABORT) != 0) {
        incoming_aborting(state);
        engine_cancel(asked, reading->receive_request);
    } else if ((due & INCOMING_UNWAIT) != 0) {
        incoming_unwaiting(state);
        engine_cancel(asked, reading->wait_request);
    } else if ((due & INCOMING_WAIT) != 0) {
        submit_wait(handle);
    } else if ((due & INCOMING_RECEIVE) != 0 && state->told == state->received &&
               take_buffer(handle)) {
        submit_receive(handle);
    } else {
        return false;
    }
    return true;
}

static void drop_chunk(broker_reading *reading) {
    if (reading->state.in_kernel == 0 && reading->state.told == reading->state.received) {
        chunk_drop(reading->chunk);
        reading->chunk = NULL;
    }
}

static void stop_watching(broker_handle *handle) {
    broker_worker *worker = handle->session->worker;
    if (sl_list_is_linked(&handle->reading.in_stopping)) {
        sl_list_remove(&handle->reading.in_stopping);
        if (sl_list_is_empty(&worker->stopping)) {
            deadline_clear(worker, &worker->stopping_timer);
        }
    }
}

/* The bound on a stop: they are in the order of time, for all have the same. */
static void watch_stop(broker_handle *handle, bool is_due) {
    broker_worker *worker = handle->session->worker;
    sl_list *node = &handle->reading.in_stopping;
    if (!is_due) {
        stop_watching(handle);
    } else if (!sl_list_is_linked(node)) {
        uint64_t grace_ns = worker_limits(worker)->call_grace_ns / 2;
        handle->reading.stopping_ns = sl_clock_after_ns(worker->now_ns, grace_ns);
        sl_list_push_back(&worker->stopping, node);
        if (sl_list_first(&worker->stopping) == node) {
            deadline_set(worker, &worker->stopping_timer, handle->reading.stopping_ns);
        }
    }
}

void reading_continue(broker_handle *handle) {
    broker_reading *reading = &handle->reading;
    if (handle->state != HANDLE_OPEN) {
        return; /* the engine cancels what it has */
    }
    while (act(handle)) {
    }
    drop_chunk(reading);
    unsigned due = incoming_due(&reading->state);
    watch_stop(handle, (due & INCOMING_TIMER) != 0);
    if ((due & INCOMING_TELL) != 0 && reading->is_announced &&
        !sl_list_is_linked(&reading->in_telling)) {
        sl_list_push_back(&handle->session->output.telling, &reading->in_telling);
        session_wants_flush(handle->session);
    }
}

void reading_announce(broker_handle *handle) {
    handle->reading.is_announced = true;
    if (handle->reading.is_open) {
        reading_continue(handle);
    }
}

/* ---- the engine answers ---- */

static void on_waited(broker_target *target, const engine_completion *completion) {
    broker_reading *reading = SL_CONTAINER_OF(target, broker_reading, wait_target);
    incoming_finish_wait(&reading->state, &(incoming_result){.status = completion->status,
                                                             .os_error = completion->os_error});
    reading_continue(handle_of(reading));
}

static void on_received(broker_target *target, const engine_completion *completion) {
    broker_reading *reading = SL_CONTAINER_OF(target, broker_reading, receive_target);
    broker_handle *handle = handle_of(reading);
    uint64_t bytes = completion->status == SLUICE_OK ? completion->bytes : 0;
    take_received(handle, &(incoming_result){bytes, completion->status, completion->os_error});
    drop_chunk(reading);
    reading_continue(handle);
}

static void on_stop_due(broker_timer *timer) {
    broker_worker *worker = SL_CONTAINER_OF(timer, broker_worker, stopping_timer);
    sl_list *node;
    while ((node = sl_list_first(&worker->stopping)) != NULL) {
        broker_reading *reading = SL_LIST_ENTRY(node, broker_reading, in_stopping);
        if (reading->stopping_ns > worker->now_ns) {
            deadline_set(worker, timer, reading->stopping_ns);
            return;
        }
        sl_list_remove(node);
        SL_FAILPOINT_PASS(broker, deadline);
        incoming_abandon(&reading->state);
        reading_continue(handle_of(reading));
    }
}

static void on_memory_due(broker_timer *timer) {
    broker_worker *worker = SL_CONTAINER_OF(timer, broker_worker, memory_timer);
    for (sl_list *node = worker->all_sessions.next; node != &worker->all_sessions;
         node = node->next) {
        charge_tell_starving(SL_LIST_ENTRY(node, broker_session, in_worker));
    }
}

void reading_init(broker_worker *worker) {
    sl_list_init(&worker->stopping);
    worker->stopping_timer.on_due = on_stop_due;
    worker->memory_timer.on_due = on_memory_due;
}

void reading_deinit(broker_worker *worker) {
    SL_CHECK(sl_list_is_empty(&worker->stopping), "no handle is left");
    deadline_clear(worker, &worker->memory_timer);
}

/* ---- the client asks ---- */

int reading_take_read(broker_handle *handle, const sl_stream_read *read, sl_reason *ret_reason) {
    broker_reading *reading = &handle->reading;
    if (!reading->is_open) {
        if (handle->has_requests) {
            return sl_reason_set(ret_reason, SLUICE_EPROTOCOL, "stream_read",
                                 "the handle is read by requests");
        }
        reading_open(handle, false);
    }
    int status = incoming_take_read(&reading->state, read, ret_reason);
    if (status == SLUICE_OK) {
        reading_continue(handle);
    }
    return status;
}

int reading_take_cancel(broker_handle *handle, sl_reason *ret_reason) {
    broker_reading *reading = &handle->reading;
    if (!reading->is_open) {
        return sl_reason_set(ret_reason, SLUICE_EPROTOCOL, "stream_cancel",
                             "nothing is read as a stream");
    }
    int status = incoming_take_cancel(&reading->state, ret_reason);
    if (status == SLUICE_OK) {
        reading_continue(handle);
    }
    return status;
}

/* ---- Data ---- */

void reading_tell(broker_handle *handle, uint32_t most_bytes, sl_stream_data *ret_data,
                  broker_chunk **ret_chunk, const uint8_t **ret_bytes) {
    broker_reading *reading = &handle->reading;
    sl_list_remove(&reading->in_telling);
    *ret_data = incoming_tell(&reading->state, most_bytes);
    *ret_chunk = reading->chunk;
    *ret_bytes = ret_data->length > 0 ? reading->chunk->bytes + reading->start : NULL;
    reading->start += ret_data->length;
}

void reading_told(broker_handle *handle) {
    reading_continue(handle);
}

/* ---- the end ---- */

void reading_close(broker_handle *handle) {
    broker_reading *reading = &handle->reading;
    if (!reading->is_open) {
        return;
    }
    /* What the client has taken it does not say yet: whatever it was sent. */
    int status = incoming_close(&reading->state,
                                &(sl_stream_close){.taken = reading->state.told}, NULL);
    SL_CHECK(status == SLUICE_OK, "what was told can have been taken");
    sl_list_remove(&reading->in_telling);
    sl_list_remove(&handle->in_starving);
    stop_watching(handle);
    drop_chunk(reading);
}

void reading_end(broker_handle *handle) {
    if (handle->reading.is_open) {
        incoming_deinit(&handle->reading.state);
        SL_CHECK(handle->reading.chunk == NULL, "its buffer went with its last receive");
    }
}
