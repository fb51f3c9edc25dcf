/*
 * sim_load.c - random work on the simulated engine that checks every byte (sim_load.h).
 *
 * Random steps on random lanes; then the faults stop and the load is drained: what still waits must
 * have a reason to, every close must end without anybody's help, and every count must be 0. One
 * thread.
 */
#include "tests/sim/sim_load.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_lane.h"

static void on_trace(void *user, const sim_trace *trace) {
    load *l = user;
    if (trace->what != SIM_TRACE_FINISH || trace->kind != ENGINE_WRITE) {
        return;
    }
    for (unsigned i = 0; i < LANES; i++) {
        lane *n = &l->lanes[i];
        if (n->writer != NULL && n->writer->slot == trace->handle) {
            n->write_out = trace->value;
        }
    }
}

static void poll_until(load *l, uint64_t deadline_ns) {
    engine_completion completions[16];
    unsigned count = engine_poll(l->worker, completions, 1 + load_below(l, 16), deadline_ns);
    for (unsigned i = 0; i < count; i++) {
        const engine_completion *c = &completions[i];
        l->pending--;
        if (c->kind == ENGINE_CLOSE) {
            lane_closed(c->user, c->handle);
        } else {
            l->result->operations++;
            lane_request_ended(l, c->user, c);
        }
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

static void cancel_one(load *l, lane *n) {
    const op *o = &n->ops[load_below(l, OPS_PER_LANE)];
    engine_cancel(l->worker, o->id);
}

static void stream_step(load *l, lane *n) {
    uint32_t dice = load_below(l, 1000);
    if (dice < 380) {
        lane_submit_write(l, n);
    } else if (dice < 900) {
        lane_submit_read(l, n);
    } else if (dice < 980) {
        cancel_one(l, n);
    } else if (dice < 990) {
        n->is_ending = true;
        lane_submit_half_close(l, n);
    } else if (dice < 992) {
        lane_close_both(l, n);
    } else if (dice < 998) {
        lane_close_writer(l, n);
    }
}

static void datagram_step(load *l, lane *n) {
    uint32_t dice = load_below(l, 1000);
    if (dice < 400) {
        lane_submit_send(l, n);
    } else if (dice < 850) {
        lane_submit_receive(l, n);
    } else if (dice < 950) {
        cancel_one(l, n);
    } else if (dice < 955) {
        lane_close_both(l, n);
    }
}

static void load_step(load *l) {
    lane *n = &l->lanes[load_below(l, LANES)];
    if (load_below(l, 100) == 0) {
        lane_submit_resolve(l, n);
    }
    if (!n->is_open) {
        lane_open(l, n);
        if (load_below(l, 50) == 0) {
            cancel_one(l, n);
        }
    } else if (!n->is_reader_closing) {
        if (n->kind == LANE_UDP) {
            datagram_step(l, n);
        } else {
            stream_step(l, n);
        }
    }
    if (load_below(l, 6) == 0) {
        poll_until(l, load_below(l, 3) == 0 ? 0 : l->clock.now_ns + load_below(l, 100000));
    }
}

/* Until nothing is scheduled and all is delivered. */
static void settle(load *l) {
    while (sim_world_step(sim_world_of(l->engine), SL_CLOCK_NEVER)) {
        poll_until(l, 0);
    }
}

/* What still waits has a reason to. */
static void check_settled(const load *l) {
    for (unsigned i = 0; i < LANES; i++) {
        const lane *n = &l->lanes[i];
        if (!n->is_open || n->kind == LANE_UDP) {
            continue;
        }
        if (n->count[ENGINE_READ] > 0) {
            SL_CHECK(!sim_stream_is_readable(sim_stream_in(sim_handle_of(n->reader))),
                     "a read waits only while there is nothing to read");
        }
        if (n->count[ENGINE_WRITE] > 0) {
            const sim_handle *writer = sim_handle_of(n->writer);
            SL_CHECK(sim_stream_out(sim_handle_of(n->writer))->bytes.count >=
                         writer->connection->capacity,
                     "a write waits only while there is no room");
        }
    }
}

static void close_writers(load *l) {
    for (unsigned i = 0; i < LANES; i++) {
        lane *n = &l->lanes[i];
        if (n->writer != NULL) {
            lane_close_writer(l, n);
        }
    }
    settle(l);
    for (unsigned i = 0; i < LANES; i++) {
        const lane *n = &l->lanes[i];
        SL_CHECK(!n->is_open || n->writer == NULL, "a close needs nobody else's help");
    }
}

static void close_rest(load *l) {
    for (unsigned i = 0; i < LANES; i++) {
        lane *n = &l->lanes[i];
        for (unsigned k = 0; k < n->stray_count; k++) {
            load_close_handle(l, n->strays[k], NULL);
        }
        n->stray_count = 0;
        lane_close_both(l, n);
        if (!n->is_open && n->writer != NULL) {
            load_close_handle(l, n->writer, NULL); /* connected and never accepted */
            n->writer = NULL;
        }
    }
}

/* The faults stop, everything is closed, and everything ends. */
static void drain(load *l) {
    l->is_draining = true;
    sim_world_calm(sim_world_of(l->engine));
    settle(l);
    check_settled(l);
    close_writers(l);
    for (unsigned i = 0; i < LANES; i++) {
        if (l->lanes[i].listener != NULL) {
            load_close_handle(l, l->lanes[i].listener, NULL);
        }
    }
    for (;;) {
        close_rest(l);
        if (l->pending == 0) {
            return;
        }
        poll_until(l, SL_CLOCK_NEVER);
    }
}

static void close_half_open(load *l) {
    for (unsigned i = 0; i < LANES; i++) {
        lane *n = &l->lanes[i];
        if (n->kind == LANE_UDP && !n->is_open) {
            if (n->reader != NULL) {
                load_close_handle(l, n->reader, NULL);
            }
            if (n->writer != NULL) {
                load_close_handle(l, n->writer, NULL);
            }
            n->reader = NULL;
            n->writer = NULL;
        }
    }
}

void sim_load_run(const sim_options *given, uint64_t steps, sim_load_result *ret_result) {
    load *l = calloc(1, sizeof(*l));
    SL_CHECK(l != NULL, "the test has memory");
    memset(ret_result, 0, sizeof(*ret_result));
    l->result = ret_result;
    sim_options options = *given;
    options.on_trace = on_trace;
    options.user = l;
    sl_clock_manual_init(&l->clock, SL_NS_PER_S);
    sl_random_seeded_init(&l->random, options.seed ^ 0x5eed);
    engine_options settings = {
        .clock = &l->clock.clock, .random = &l->random.random, .backend_options = &options};
    int status = engine_create(&engine_backend_sim, &settings, &l->engine);
    SL_CHECK(status == SLUICE_OK, "the simulated engine starts");
    status = engine_worker_create(l->engine, &l->worker);
    SL_CHECK(status == SLUICE_OK, "a worker starts");
    for (unsigned i = 0; i < LANES; i++) {
        lane *n = &l->lanes[i];
        n->number = i;
        n->kind = (lane_kind)(i % LANE_KINDS);
        for (unsigned k = 0; k < OPS_PER_LANE; k++) {
            n->ops[k].lane = n;
            lane_poison(&n->ops[k]);
        }
    }
    for (uint64_t i = 0; i < steps; i++) {
        load_step(l);
    }
    close_half_open(l);
    drain(l);
    engine_counters counters;
    engine_worker_counters(l->worker, &counters);
    SL_CHECK(counters.submitted_count == counters.completed_count, "every request completes once");
    SL_CHECK(engine_worker_destroy(l->worker) == SLUICE_OK, "a drained worker ends");
    ret_result->hash = sim_world_hash(sim_world_of(l->engine));
    ret_result->end_ns = l->clock.now_ns;
    sim_world_counters(sim_world_of(l->engine), &ret_result->counters);
    SL_CHECK(engine_destroy(l->engine, 0) == SLUICE_OK, "an idle engine ends");
    free(l);
}
