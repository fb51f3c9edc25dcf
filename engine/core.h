/*
 * core.h - what the files of the shared state machine need of each other; nobody else includes it.
 *
 *   engine.c   engines, endpoints, backends by name      finish.c   how a request ends; queues
 *   worker.c   workers, poll, delivery, messages         cancel.c   asking a request to end
 *   request.c  submitting each kind of request           close.c    ending a handle
 *   connect.c  deadline and retries of a connect         address.c  addresses
 *   opener.c   threads for what blocks, and opener_pool.c who gets one; resolve.c name look-up on
 *              them, numeric.c what needs none
 *   sockets.c  the addresses of one TCP listener
 *   identity.c users and groups; who is at the other end
 */
#ifndef SLUICE_ENGINE_CORE_H
#define SLUICE_ENGINE_CORE_H

#include "engine/backend.h"

/* engine_poll calls ops->wait(0) at least once in this many polls, and as soon as the last time is
 * ENGINE_TURN_NS ago (backend.h), so that completions that are always ready cannot hide what is new
 * in the kernel. */
#define ENGINE_POLLS_PER_WAIT 16

/* Aborts unless called on the worker's own thread (I1, R8). */
void engine_check_owner(const engine_worker *worker);

/* Takes an empty handle from the pool, to be opened. SLUICE_OK, EQUOTA, ENOMEM. */
int engine_handle_take(engine_worker *worker, engine_handle **ret_handle);
/* Gives back a handle that nobody outside has seen, closing its OS resource if it has one. */
void engine_handle_discard(engine_handle *handle);

static inline void engine_ready_push(engine_ready_queue *queue, engine_ready *ready) {
    ready->next = NULL;
    if (queue->first == NULL) {
        queue->first = ready;
    } else {
        queue->last->next = ready;
    }
    queue->last = ready;
}

static inline engine_ready *engine_ready_pop(engine_ready_queue *queue) {
    engine_ready *ready = queue->first;
    if (ready != NULL) {
        queue->first = ready->next;
    }
    return ready;
}

/* Ends a request that the backend never had (WAITING) or does not have just now (retrying). */
void engine_request_finish_unstarted(engine_request *request, int status);

/* Asks one request to end, whatever its state. */
void engine_request_cancel(engine_request *request);

/* Completes a close if nothing holds it back any more. */
void engine_close_continue(engine_handle *handle);

/* Connects: their timer. */
int engine_connect_begin(engine_request *request, uint64_t deadline_ns);
void engine_connect_end(engine_request *request);
void engine_connect_on_timer(engine_worker *worker, uint64_t now_ns);

void engine_request_start(engine_request *request);

/* SLUICE_OK or EINVAL. */
int engine_check_listen_options(const engine_listen_options *options);

#endif
