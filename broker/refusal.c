/*
 * refusal.c - see refusal.h.
 */
#include "broker/refusal.h"

#include "broker/reply.h"

#define LINGER_NS (1 * SL_NS_PER_S)

static void listen_on(broker_refusal *refusal);

static void end(broker_refusal *refusal) {
    if (!refusal->is_closing) {
        refusal->is_closing = true;
        deadline_clear(refusal->worker, &refusal->timer);
        (void)engine_close(refusal->pipe, &refusal->close_target);
    }
}

static void on_due(broker_timer *timer) {
    end(SL_CONTAINER_OF(timer, broker_refusal, timer));
}

static void on_written(broker_target *target, const engine_completion *completion) {
    broker_refusal *refusal = SL_CONTAINER_OF(target, broker_refusal, write_target);
    refusal->is_writing = false;
    if (completion->status != SLUICE_OK) {
        end(refusal);
    }
}

static void on_read(broker_target *target, const engine_completion *completion) {
    broker_refusal *refusal = SL_CONTAINER_OF(target, broker_refusal, read_target);
    refusal->is_reading = false;
    if (completion->status == SLUICE_OK) {
        listen_on(refusal);
    } else {
        end(refusal);
    }
}

/* A client that is still sending its Hello must not find its connection gone before it has read. */
static void listen_on(broker_refusal *refusal) {
    if (refusal->is_closing) {
        return;
    }
    int status = engine_read(refusal->pipe, refusal->scrap, sizeof(refusal->scrap),
                             &refusal->read_target, NULL);
    refusal->is_reading = status == SLUICE_OK;
    if (status != SLUICE_OK) {
        end(refusal);
    }
}

static void on_closed(broker_target *target, const engine_completion *completion) {
    (void)completion;
    SL_CONTAINER_OF(target, broker_refusal, close_target)->pipe = NULL;
}

static void on_turned_away(broker_target *target, const engine_completion *completion) {
    (void)completion;
    SL_CONTAINER_OF(target, broker_worker, turn_away_target)->turned_away--;
}

static void turn_away(broker_worker *worker, engine_handle *pipe) {
    worker->turned_away++;
    (void)engine_close(pipe, &worker->turn_away_target);
}

int refusal_init(broker_worker *worker) {
    int status = SLUICE_OK;
    worker->turn_away_target.on_completion = on_turned_away;
    for (unsigned i = 0; i < REFUSALS_MAX && status == SLUICE_OK; i++) {
        broker_refusal *refusal = &worker->refusals[i];
        refusal->worker = worker;
        refusal->pipe = NULL;
        refusal->write_target.on_completion = on_written;
        refusal->read_target.on_completion = on_read;
        refusal->close_target.on_completion = on_closed;
        refusal->timer.on_due = on_due;
        status = deadline_reserve(worker);
    }
    return status;
}

/* NULL: this user has its share, or there is none left. */
static broker_refusal *find_place(broker_worker *worker, uint32_t whom) {
    broker_refusal *place = NULL;
    unsigned mine = 0;
    unsigned others = 0;
    for (unsigned i = 0; i < REFUSALS_MAX; i++) {
        broker_refusal *refusal = &worker->refusals[i];
        if (refusal->pipe == NULL) {
            place = refusal;
        } else if (refusal->whom == whom) {
            mine++;
        } else {
            others++;
        }
    }
    return mine < (REFUSALS_MAX - others + 1) / 2 ? place : NULL;
}

void refusal_send(broker_worker *worker, engine_handle *pipe, uint32_t whom, int status,
                  const char *detail) {
    broker_refusal *refusal = worker->is_shut ? NULL : find_place(worker, whom);
    if (refusal == NULL) {
        turn_away(worker, pipe);
        return;
    }
    refusal->pipe = pipe;
    refusal->whom = whom;
    refusal->is_closing = false;
    size_t length =
        reply_encode_goodbye(status, detail, refusal->goodbye, sizeof(refusal->goodbye));
    engine_buffer buffer = {refusal->goodbye, length};
    deadline_set(worker, &refusal->timer, sl_clock_after_ns(worker->now_ns, LINGER_NS));
    refusal->is_writing = engine_write(pipe, &buffer, 1, &refusal->write_target, NULL) == SLUICE_OK;
    if (!refusal->is_writing) {
        end(refusal);
        return;
    }
    listen_on(refusal);
}

void refusal_end_all(broker_worker *worker) {
    for (unsigned i = 0; i < REFUSALS_MAX; i++) {
        if (worker->refusals[i].pipe != NULL) {
            end(&worker->refusals[i]);
        }
    }
}

void refusal_count(const broker_worker *worker, uint32_t *handles, uint32_t *requests) {
    *handles += worker->turned_away;
    for (unsigned i = 0; i < REFUSALS_MAX; i++) {
        const broker_refusal *refusal = &worker->refusals[i];
        *handles += refusal->pipe != NULL;
        *requests += (uint32_t)refusal->is_writing + refusal->is_reading;
    }
}
