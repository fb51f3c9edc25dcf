/*
 * connect.c - what a connect needs beyond other requests: a deadline, and retries of a busy pipe.
 *
 * One timer per connect, in worker->timers from submit to the end: the earlier of its deadline and
 * the next attempt. (A pipe server whose instances are all taken answers ERROR_PIPE_BUSY;
 * WaitNamedPipe would block a thread. A Unix socket with a full backlog answers EAGAIN. Both are
 * simply tried again.) The node is inserted at submit, so that moving it later cannot fail for want
 * of memory.
 */
#include "engine/core.h"

static void arm(engine_request *request) {
    sl_heap *timers = &request->worker->timers;
    uint64_t at_ns = request->deadline_ns;
    if (request->retrying && request->retry_at_ns < at_ns) {
        at_ns = request->retry_at_ns;
    }
    sl_heap_remove(timers, &request->timer);
    int status = sl_heap_insert(timers, &request->timer, at_ns);
    SL_CHECK(status == SLUICE_OK, "a timer has its place from submit to end");
}

int engine_connect_begin(engine_request *request, uint64_t deadline_ns) {
    request->deadline_ns = deadline_ns;
    request->retrying = false;
    request->pause_ns = ENGINE_CONNECT_RETRY_FIRST_NS;
    return sl_heap_insert(&request->worker->timers, &request->timer, deadline_ns);
}

void engine_connect_end(engine_request *request) {
    sl_heap_remove(&request->worker->timers, &request->timer);
    request->retrying = false;
}

void engine_request_retry(engine_request *request) {
    SL_CHECK(request->kind == ENGINE_CONNECT && request->state == ENGINE_REQUEST_STARTED &&
                 !request->retrying,
             "only a connect that the backend has is tried again");
    request->retrying = true;
    if (request->cancel_asked) {
        engine_request_finish_unstarted(request,
                                        request->timed_out ? SLUICE_ETIMEDOUT : SLUICE_ECANCELED);
        return;
    }
    request->retry_at_ns =
        sl_clock_after_ns(sl_clock_now_ns(request->worker->engine->clock), request->pause_ns);
    request->pause_ns *= 2;
    if (request->pause_ns > ENGINE_CONNECT_RETRY_MAX_NS) {
        request->pause_ns = ENGINE_CONNECT_RETRY_MAX_NS;
    }
    arm(request);
}

void engine_connect_on_timer(engine_worker *w, uint64_t now_ns) {
    sl_heap_node *node;
    while ((node = sl_heap_first(&w->timers)) != NULL && node->deadline_ns <= now_ns) {
        engine_request *request = SL_CONTAINER_OF(node, engine_request, timer);
        if (request->deadline_ns <= now_ns) {
            request->timed_out = !request->cancel_asked; /* the first cause wins */
            request->deadline_ns = SL_CLOCK_NEVER; /* asked once; the backend's answer ends it */
            arm(request);
            engine_request_cancel(request);
        } else {
            request->retrying = false;
            arm(request);
            w->ops->start(w, request);
        }
    }
}
