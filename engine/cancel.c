/*
 * cancel.c - asking a request to end.
 *
 * Cancelling only asks. What waits in the engine ends here and now, exactly: nothing of it was
 * done. What the backend has is marked and asked once; its packet decides how it ended (R4, I3);
 * what an opener has is given up.
 * Cancel runs on the thread that issued the request, so that on Windows no APC is needed (I1).
 */
#include "base/failpoint.h"
#include "engine/core.h"
#include "engine/opener.h"

void engine_request_cancel(engine_request *request) {
    switch (request->state) {
    case ENGINE_REQUEST_WAITING: engine_request_finish_unstarted(request, SLUICE_ECANCELED); break;
    case ENGINE_REQUEST_STARTED:
        if (request->retrying) {
            engine_request_finish_unstarted(request, request->timed_out ? SLUICE_ETIMEDOUT
                                                                        : SLUICE_ECANCELED);
        } else if (!request->cancel_asked) {
            request->cancel_asked = true;
            if (SL_FAILPOINT(engine, cancel) != SLUICE_OK) {
                break; /* as a driver that ignores it */
            }
            if (request->job != NULL) {
                engine_opener_cancel(request);
            } else {
                request->worker->ops->cancel(request->worker, request);
            }
            SL_FAILPOINT_PASS(engine, cancelled);
        }
        break;
    case ENGINE_REQUEST_DONE:
    case ENGINE_REQUEST_FREE: break;
    }
}

void engine_cancel(engine_worker *worker, engine_request_id id) {
    engine_check_owner(worker);
    engine_request *request = sl_slots_find(&worker->requests, id);
    if (request != NULL) {
        engine_request_cancel(request);
    }
}
