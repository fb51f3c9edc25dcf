/*
 * subject_engine.c - the engine, used as a program would: submit, poll, handle completions,
 * submit again.
 *
 * The same work as the raw loops: on each connection one read is always outstanding; a ping-pong's
 * bytes are copied out before the read is submitted again, because the buffer is the engine's
 * until the next completion. The bulk writer keeps LOOPS_BULK_WRITES blocks queued.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "loops.h"
#include "tests/engine/listen_now.h"

typedef struct end {
    engine_handle *handle;
    engine_request_id read_id;
    bool is_client;
    bool is_sampled;
    bool is_writing; /* `out` belongs to the engine */
    bool is_due;     /* a message waits in `in` for that to end */
    size_t got;
    uint64_t sequence;
    uint64_t sent_ns;
    unsigned char out[BENCH_BYTES];
    unsigned char *in;
    size_t in_bytes;
} end;

typedef struct engine_subject {
    const bench_case *what;
    engine *engine;
    engine_worker *worker;
    engine_handle *listener;
    unsigned client_count;
    unsigned end_count;
    end *ends;             /* clients first, then their far ends */
    loops_buffers buffers; /* of the ends */
    loops_buffers source;  /* what the bulk writer sends */
    uint64_t random_state;
    uint64_t started; /* units of this run */
    uint64_t done;
    uint64_t units;
    sl_histogram *latency;
    engine_completion completions[LOOPS_EVENTS];
} engine_subject;

static void must(int status, const char *what) {
    SL_CHECK(status == SLUICE_OK, what);
}

static unsigned poll(engine_subject *self) {
    return engine_poll(self->worker, self->completions, LOOPS_EVENTS, SL_CLOCK_NEVER);
}

static void submit_read(end *which) {
    void *buffer = which->in + which->got;
    size_t room = which->in_bytes - which->got;
    must(engine_read(which->handle, buffer, room, which, &which->read_id), "a read was refused");
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* The next connection: its near and its far end. */
static int open_connection(engine_subject *self, unsigned index, const engine_address *address) {
    end *near_end = &self->ends[index];
    end *far_end = &self->ends[self->client_count + index];
    int status = engine_accept(self->listener, far_end, NULL);
    if (status == SLUICE_OK) {
        status = engine_connect(self->worker, address, SL_CLOCK_NEVER, NULL, near_end, NULL);
    }
    unsigned wanted = 2;
    while (wanted > 0 && status == SLUICE_OK) {
        unsigned count = poll(self);
        for (unsigned at = 0; at < count; at++) {
            const engine_completion *opened = &self->completions[at];
            if (opened->status != SLUICE_OK) {
                status = opened->status;
                continue;
            }
            ((end *)opened->user)->handle = opened->opened[0];
            wanted--;
        }
    }
    return status;
}

static void close_handle(engine_subject *self, engine_handle *handle) {
    bool closed = handle == NULL;
    if (handle != NULL) {
        must(engine_close(handle, NULL), "a close was refused");
    }
    while (!closed) {
        unsigned count = poll(self);
        for (unsigned at = 0; at < count; at++) {
            closed = closed || self->completions[at].kind == ENGINE_CLOSE;
        }
    }
}

static void subject_close(void *context) {
    engine_subject *self = context;
    if (self == NULL) {
        return;
    }
    for (unsigned index = 0; index < self->client_count * 2; index++) {
        close_handle(self, self->ends[index].handle);
    }
    close_handle(self, self->listener);
    must(engine_worker_destroy(self->worker), "something is left on the worker");
    must(engine_destroy(self->engine, 5 * SL_NS_PER_S), "something is left in the engine");
    free(self->ends);
    loops_buffers_deinit(&self->buffers);
    loops_buffers_deinit(&self->source);
    free(self);
}

static int open_connections(engine_subject *self) {
    engine_address address;
    char name[64];
    loops_pipe_name(name, sizeof name, "engine");
    int status = engine_address_pipe(&address, name);
    if (status == SLUICE_OK) {
        status = listen_now(self->worker, &address, 1, NULL, &self->listener);
    }
    for (unsigned index = 0; index < self->client_count && status == SLUICE_OK; index++) {
        status = open_connection(self, index, &address);
    }
    if (status != SLUICE_OK) {
        return status;
    }
    bench_work work = self->what->work;
    for (unsigned index = 0; index < self->end_count; index++) {
        bool is_client = index < self->client_count;
        self->ends[index].is_client = is_client;
        if (work == BENCH_LOOP_ECHO || (work == BENCH_LOOP_CANCEL) == is_client) {
            submit_read(&self->ends[index]);
        }
    }
    return SLUICE_OK;
}

static void allocate(engine_subject *self) {
    bench_work work = self->what->work;
    size_t in_bytes = work == BENCH_LOOP_BULK     ? LOOPS_BLOCK_BYTES
                      : work == BENCH_LOOP_CANCEL ? BENCH_BYTES
                                                  : LOOPS_RECEIVE_BYTES;
    self->client_count = self->what->flight;
    self->end_count = self->client_count * 2;
    self->ends = calloc((size_t)self->client_count * 2, sizeof *self->ends);
    SL_CHECK(self->ends != NULL, "out of memory");
    loops_buffers_init(&self->buffers, (size_t)self->client_count * 2, in_bytes);
    loops_buffers_init(&self->source, 1, LOOPS_BLOCK_BYTES);
    for (unsigned index = 0; index < self->client_count * 2; index++) {
        self->ends[index].in = loops_buffer(&self->buffers, index);
        self->ends[index].in_bytes = in_bytes;
    }
}

static int subject_open(bench_stage *stage, const bench_case *what, void **ret_self) {
    (void)stage;
    engine_subject *self = calloc(1, sizeof *self);
    SL_CHECK(self != NULL, "out of memory");
    self->what = what;
    allocate(self);
    int status = engine_create(engine_backend_find(NULL), NULL, &self->engine);
    if (status == SLUICE_OK) {
        status = engine_worker_create(self->engine, &self->worker);
    }
    must(status, "no engine or no worker");
    *ret_self = self;
    return open_connections(self);
}

/* ---- ping-pong ------------------------------------------------------------------------------- */

static void send_out(end *from) {
    engine_buffer buffer = {from->out, BENCH_BYTES};
    from->is_writing = true;
    must(engine_write(from->handle, &buffer, 1, from, NULL), "a write was refused");
}

static void ping(engine_subject *self, end *client) {
    self->started++;
    client->sequence++;
    memcpy(client->out, &client->sequence, sizeof client->sequence);
    client->is_sampled = client->sequence % LOOPS_SAMPLE_EVERY == 0;
    if (client->is_sampled) {
        client->sent_ns = sl_clock_now_ns(sl_clock_system());
    }
    send_out(client);
}

/* A whole message has arrived and `out` is free: the server sends it back, the client begins
 * anew. */
static void handle_message(engine_subject *self, end *to) {
    to->is_due = false;
    to->got = 0;
    if (!to->is_client) {
        memcpy(to->out, to->in, BENCH_BYTES);
        send_out(to);
    } else if (self->started < self->units) {
        ping(self, to);
    }
    submit_read(to);
}

static void check_pong(engine_subject *self, end *client) {
    uint64_t sequence;
    memcpy(&sequence, client->in, sizeof sequence);
    SL_CHECK(sequence == client->sequence, "a pong came back changed or out of order");
    if (client->is_sampled) {
        sl_histogram_add(self->latency, sl_clock_now_ns(sl_clock_system()) - client->sent_ns);
    }
    self->done++;
}

static void on_read(engine_subject *self, const engine_completion *read) {
    end *to = read->user;
    must(read->status, "a read failed");
    to->got += read->bytes;
    if (to->got < BENCH_BYTES) {
        submit_read(to);
        return;
    }
    SL_CHECK(to->got == BENCH_BYTES, "more than one message in flight");
    if (to->is_client) {
        check_pong(self, to);
    }
    if (to->is_writing) {
        to->is_due = true; /* its last write is not delivered yet */
    } else {
        handle_message(self, to);
    }
}

static void on_written(engine_subject *self, const engine_completion *write) {
    end *from = write->user;
    must(write->status, "a write failed");
    from->is_writing = false;
    if (from->is_due) {
        handle_message(self, from);
    }
}

static bool is_idle(const engine_subject *self) {
    for (unsigned index = 0; index < self->end_count; index++) {
        if (self->ends[index].is_writing || self->ends[index].is_due) {
            return false;
        }
    }
    return true;
}

static void run_pingpong(engine_subject *self) {
    for (unsigned index = 0; index < self->client_count && self->started < self->units; index++) {
        ping(self, &self->ends[index]);
    }
    while (self->done < self->units || !is_idle(self)) {
        unsigned count = poll(self);
        for (unsigned at = 0; at < count; at++) {
            if (self->completions[at].kind == ENGINE_READ) {
                on_read(self, &self->completions[at]);
            } else {
                on_written(self, &self->completions[at]);
            }
        }
    }
}

/* ---- bulk ------------------------------------------------------------------------------------ */

static void write_block(engine_subject *self) {
    end *writer = &self->ends[0];
    engine_buffer buffer = {self->source.first, LOOPS_BLOCK_BYTES};
    self->started++;
    must(engine_write(writer->handle, &buffer, 1, writer, NULL), "a write was refused");
}

static void run_bulk(engine_subject *self) {
    uint64_t total_bytes = self->units * LOOPS_BLOCK_BYTES;
    end *reader = &self->ends[1];
    uint64_t received_bytes = 0;
    while (self->started < self->units && self->started < LOOPS_BULK_WRITES) {
        write_block(self);
    }
    while (self->done < self->units || received_bytes < total_bytes) {
        unsigned count = poll(self);
        for (unsigned at = 0; at < count; at++) {
            const engine_completion *ended = &self->completions[at];
            must(ended->status, "a bulk transfer failed");
            if (ended->kind == ENGINE_READ) {
                received_bytes += ended->bytes;
                submit_read(reader);
                continue;
            }
            self->done++;
            if (self->started < self->units) {
                write_block(self);
            }
        }
    }
}

/* ---- cancel ---------------------------------------------------------------------------------- */

static void cancel_one(engine_subject *self, end *victim) {
    engine_cancel(self->worker, victim->read_id);
    unsigned count = poll(self);
    SL_CHECK(count == 1 && self->completions[0].user == victim, "another read ended");
    SL_CHECK(self->completions[0].status == SLUICE_ECANCELED, "the cancelled read went on");
    submit_read(victim);
}

static void run_cancel(engine_subject *self) {
    for (uint64_t unit = 0; unit < self->units; unit++) {
        end *victim = &self->ends[loops_draw(&self->random_state, self->client_count)];
        if (unit % LOOPS_SAMPLE_EVERY != 0) {
            cancel_one(self, victim);
            continue;
        }
        uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
        cancel_one(self, victim);
        sl_histogram_add(self->latency, sl_clock_now_ns(sl_clock_system()) - start_ns);
    }
}

/* A read that was cancelled and submitted again still gets its bytes. */
static void check_delivery(engine_subject *self) {
    end *near_end = &self->ends[0];
    send_out(&self->ends[self->client_count]);
    bool read = false;
    bool written = false;
    while (!read || !written) {
        unsigned count = poll(self);
        for (unsigned at = 0; at < count; at++) {
            const engine_completion *ended = &self->completions[at];
            must(ended->status, "the reader did not get its bytes");
            SL_CHECK(ended->bytes == BENCH_BYTES, "the reader got other bytes");
            read = read || ended->user == near_end;
            written = written || ended->kind == ENGINE_WRITE;
        }
    }
    submit_read(near_end);
}

static int subject_run(void *context, uint64_t units, sl_histogram *latency) {
    engine_subject *self = context;
    self->units = units;
    self->started = 0;
    self->done = 0;
    self->latency = latency;
    switch (self->what->work) {
    case BENCH_LOOP_ECHO: run_pingpong(self); break;
    case BENCH_LOOP_BULK: run_bulk(self); break;
    case BENCH_LOOP_CANCEL:
        run_cancel(self);
        check_delivery(self);
        break;
    default: return SLUICE_ENOTSUP;
    }
    return SLUICE_OK;
}

const bench_way loops_engine = {"engine", subject_open, subject_run, subject_close, NULL};
