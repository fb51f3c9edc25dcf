/*
 * sim_lane.c - a lane of the random load: submits, opens, closes, and checks what comes back.
 *
 * What lane L sends at offset i of its connection is content(L, i). One write is in flight per
 * lane, so that the offset of the next is known: the simulator's trace says how many bytes of a
 * failed write really went out. A lane holds up to three reads. Accepted connections are matched
 * with connects by looking into the simulator, because a failed connect may leave a ghost in the
 * backlog. One thread.
 */
#include "tests/sim/sim_lane.h"

#include <string.h>

uint32_t load_below(load *l, uint32_t bound) {
    return sl_random_seeded_below(&l->random, bound);
}

static unsigned char content(const lane *n, uint64_t offset) {
    return (unsigned char)((offset * 31 + (offset >> 8) * 7 + n->number * 101) & 0xff);
}

/* ---- submitting ------------------------------------------------------------------------------ */

/* Nobody touches a buffer that belongs to no request. */
void lane_poison(op *o) {
    memset(o->buffer, 0xa5, POISON_BYTES);
}

static void check_poison(const op *o) {
    for (unsigned i = 0; i < POISON_BYTES; i++) {
        SL_CHECK(o->buffer[i] == 0xa5, "a buffer is left alone after its completion");
    }
}

static op *free_op(lane *n) {
    for (unsigned i = 0; i < OPS_PER_LANE; i++) {
        if (n->ops[i].id == 0) {
            check_poison(&n->ops[i]);
            return &n->ops[i];
        }
    }
    return NULL;
}

static void submitted(load *l, op *o, engine_kind kind, int status) {
    if (status == SLUICE_OK) {
        o->kind = kind;
        o->lane->count[kind]++;
        l->pending++;
    } else {
        SL_CHECK(status == SLUICE_ECLOSED, "a submit is refused only for closing");
        o->id = 0;
        lane_poison(o);
    }
}

void lane_submit_write(load *l, lane *n) {
    op *o = free_op(n);
    if (o == NULL || n->count[ENGINE_WRITE] > 0 || n->is_ending || n->is_writer_closing) {
        return;
    }
    o->length = 1 + load_below(l, load_below(l, 4) == 0 ? BUFFER_BYTES : 64);
    o->length = o->length < BUFFER_BYTES ? o->length : BUFFER_BYTES;
    for (size_t i = 0; i < o->length; i++) {
        o->buffer[i] = content(n, n->wrote + i);
    }
    size_t first = load_below(l, (uint32_t)o->length + 1);
    engine_buffer buffers[2] = {{o->buffer, first}, {o->buffer + first, o->length - first}};
    submitted(l, o, ENGINE_WRITE, engine_write(n->writer, buffers, 2, o, &o->id));
}

void lane_submit_read(load *l, lane *n) {
    op *o = free_op(n);
    if (o == NULL || n->count[ENGINE_READ] >= READS_MAX) {
        return;
    }
    o->length =
        load_below(l, 20) == 0 ? 0 : 1 + load_below(l, load_below(l, 4) == 0 ? BUFFER_BYTES : 128);
    o->length = o->length < BUFFER_BYTES ? o->length : BUFFER_BYTES;
    o->turn = ++n->last_turn;
    memset(o->buffer, 0xee, o->length);
    submitted(l, o, ENGINE_READ, engine_read(n->reader, o->buffer, o->length, o, &o->id));
}

void lane_submit_send(load *l, lane *n) {
    op *o = free_op(n);
    if (o == NULL) {
        return;
    }
    o->length = load_below(l, 2000);
    for (size_t i = 0; i < o->length; i++) {
        o->buffer[i] = content(n, o->length + i);
    }
    engine_buffer buffer = {o->buffer, o->length};
    engine_address to = n->address;
    if (load_below(l, 50) == 0) {
        to.ip[0] = 192; /* nowhere */
    }
    submitted(l, o, ENGINE_SEND_TO, engine_send_to(n->writer, &buffer, 1, &to, o, &o->id));
}

void lane_submit_receive(load *l, lane *n) {
    op *o = free_op(n);
    if (o == NULL || n->count[ENGINE_RECEIVE_FROM] >= READS_MAX) {
        return;
    }
    o->turn = ++n->last_turn;
    o->length = load_below(l, 3000);
    submitted(l, o, ENGINE_RECEIVE_FROM,
              engine_receive_from(n->reader, o->buffer, o->length, &o->from, o, &o->id));
}

void lane_submit_resolve(load *l, lane *n) {
    static const char *const names[] = {"localhost", "127.0.0.1", "nobody.invalid"};
    op *o = free_op(n);
    if (o != NULL && n->count[ENGINE_RESOLVE] == 0) {
        submitted(
            l, o, ENGINE_RESOLVE,
            engine_resolve(l->worker, names[load_below(l, 3)], 7, o->resolved, 2, NULL, o, &o->id));
    }
}

void lane_submit_half_close(load *l, lane *n) {
    op *o = free_op(n);
    if (o != NULL && n->count[ENGINE_HALF_CLOSE] == 0 && !n->is_writer_closing) {
        int status = engine_half_close(n->writer, o, &o->id);
        if (status == SLUICE_ENOTSUP) {
            return;
        }
        submitted(l, o, ENGINE_HALF_CLOSE, status);
    }
}

void load_close_handle(load *l, engine_handle *handle, lane *n) {
    if (engine_close(handle, n) == SLUICE_OK) {
        l->pending++;
    }
}

void lane_close_writer(load *l, lane *n) {
    n->is_ending = true;
    if (n->is_open && !n->is_writer_closing) {
        n->is_writer_closing = true;
        load_close_handle(l, n->writer, n);
    }
}

void lane_close_both(load *l, lane *n) {
    lane_close_writer(l, n);
    if (n->is_open && !n->is_reader_closing) {
        n->is_reader_closing = true;
        load_close_handle(l, n->reader, n);
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

static void open_udp(load *l, lane *n) {
    engine_address any;
    engine_address_loopback(&any, 0);
    n->is_reader_closing = false;
    n->is_writer_closing = false;
    if (n->reader == NULL && engine_udp_open(l->worker, &any, &n->reader) != SLUICE_OK) {
        n->reader = NULL;
    }
    if (n->writer == NULL && engine_udp_open(l->worker, &any, &n->writer) != SLUICE_OK) {
        n->writer = NULL;
    }
    n->is_open = n->reader != NULL && n->writer != NULL &&
                 engine_handle_local_address(n->reader, &n->address) == SLUICE_OK;
}

static void open_listener(load *l, lane *n, op *o) {
    char name[] = "lane-aa";
    name[5] = (char)('a' + n->number / 26);
    name[6] = (char)('a' + n->number % 26);
    if (n->kind == LANE_PIPE) {
        SL_CHECK(engine_address_pipe(&n->address, name) == SLUICE_OK, "a short name is a name");
    } else {
        engine_address_loopback(&n->address, (uint16_t)(1000 + n->number));
    }
    engine_listen_options options = {.backlog = 3};
    submitted(l, o, ENGINE_LISTEN,
              engine_listen(l->worker, &n->address, 1, &options, NULL, o, &o->id));
}

void lane_open(load *l, lane *n) {
    op *o = free_op(n);
    if (n->kind == LANE_UDP) {
        open_udp(l, n);
    } else if (o == NULL) {
        return;
    } else if (n->kind == LANE_PAIR) {
        if (n->count[ENGINE_PAIR] == 0) {
            submitted(l, o, ENGINE_PAIR, engine_pair(l->worker, NULL, o, &o->id));
        }
    } else if (n->listener == NULL) {
        if (n->count[ENGINE_LISTEN] == 0) {
            open_listener(l, n, o);
        }
    } else if (n->count[ENGINE_ACCEPT] < 2) {
        submitted(l, o, ENGINE_ACCEPT, engine_accept(n->listener, o, &o->id));
    } else if (n->count[ENGINE_CONNECT] == 0 && n->writer == NULL) {
        engine_address to = n->address;
        if (load_below(l, 20) == 0) {
            to.port = 9; /* nobody listens */
            to.pipe[0] = 'x';
        }
        uint64_t deadline_ns = l->clock.now_ns + load_below(l, 100) * SL_NS_PER_MS / 2;
        submitted(l, o, ENGINE_CONNECT,
                  engine_connect(l->worker, &to, deadline_ns, NULL, o, &o->id));
    }
}

static void opened(load *l, lane *n, engine_handle *reader, engine_handle *writer) {
    n->reader = reader;
    n->writer = writer;
    n->is_open = true;
    n->is_ending = false;
    n->is_reader_closing = false;
    n->is_writer_closing = false;
    n->is_broken = false;
    n->wrote = 0;
    n->got = 0;
    l->result->connections++;
}

/* Finds the accepted connection that belongs to the connect; closes the others. */
static void match(load *l, lane *n) {
    if (n->is_open || n->writer == NULL) {
        return;
    }
    for (unsigned i = 0; i < n->stray_count; i++) {
        engine_handle *stray = n->strays[i];
        bool is_ours = sim_handle_of(stray)->connection == sim_handle_of(n->writer)->connection;
        if (is_ours) {
            opened(l, n, stray, n->writer);
        } else {
            load_close_handle(l, stray, NULL);
        }
    }
    n->stray_count = 0;
}

static void accepted(load *l, lane *n, engine_handle *handle) {
    if (n->is_open || n->stray_count == STRAYS_MAX || l->is_draining) {
        load_close_handle(l, handle, NULL);
        return;
    }
    n->strays[n->stray_count++] = handle;
    match(l, n);
}

/* ---- what ended ------------------------------------------------------------------------------ */

static bool is_break(int status) {
    return status == SLUICE_ERESET || status == SLUICE_EBROKENPIPE;
}

static void check_turn(lane *n, const op *o, const engine_completion *c) {
    if (c->status == SLUICE_OK || c->status == SLUICE_ETRUNCATED) {
        SL_CHECK(o->turn > n->ended_turn, "reads end in the order of their submission");
        n->ended_turn = o->turn;
    }
}

static void read_ended(load *l, lane *n, const op *o, const engine_completion *c) {
    check_turn(n, o, c);
    SL_CHECK(c->bytes <= o->length && (c->status == SLUICE_OK || c->bytes == 0),
             "a read that failed has taken nothing");
    for (size_t i = 0; i < c->bytes; i++) {
        SL_CHECK(o->buffer[i] == content(n, n->got + i), "the bytes come as they were sent");
    }
    n->got += c->bytes;
    l->result->bytes += c->bytes;
    n->is_broken = n->is_broken || is_break(c->status);
    SL_CHECK(n->got <= n->wrote + (n->count[ENGINE_WRITE] > 0 ? BUFFER_BYTES : 0u),
             "nothing is read that was not written");
    if (c->status == SLUICE_EEOF) {
        SL_CHECK(n->is_broken || n->got == n->wrote, "the end of file comes after all bytes");
        lane_close_both(l, n);
    } else if (n->is_broken) {
        lane_close_both(l, n);
    }
}

static void write_ended(load *l, lane *n, const op *o, const engine_completion *c) {
    SL_CHECK(c->bytes + c->in_doubt <= o->length, "a write says no more than it was given");
    SL_CHECK(n->write_out >= c->bytes && n->write_out <= c->bytes + c->in_doubt,
             "a write says the truth");
    n->wrote += n->write_out;
    if (is_break(c->status)) {
        n->is_broken = true;
        lane_close_both(l, n);
    }
}

static void receive_ended(lane *n, const op *o, const engine_completion *c) {
    check_turn(n, o, c);
    if (c->status == SLUICE_OK) {
        for (size_t i = 0; i < c->bytes; i++) {
            SL_CHECK(o->buffer[i] == content(n, c->bytes + i), "a datagram comes as it was sent");
        }
    }
    SL_CHECK(c->status != SLUICE_ETRUNCATED || c->bytes == o->length, "a cut datagram is full");
}

void lane_request_ended(load *l, op *o, const engine_completion *c) {
    lane *n = o->lane;
    n->count[c->kind]--;
    bool is_ok = c->status == SLUICE_OK;
    switch (c->kind) {
    case ENGINE_READ: read_ended(l, n, o, c); break;
    case ENGINE_WRITE: write_ended(l, n, o, c); break;
    case ENGINE_RECEIVE_FROM: receive_ended(n, o, c); break;
    case ENGINE_ACCEPT:
        if (is_ok) {
            accepted(l, n, c->opened[0]);
        }
        break;
    case ENGINE_LISTEN:
        if (is_ok) {
            n->listener = c->opened[0];
        }
        break;
    case ENGINE_CONNECT:
        if (is_ok) {
            n->writer = c->opened[0];
            match(l, n);
        }
        break;
    case ENGINE_PAIR:
        if (is_ok) {
            opened(l, n, c->opened[0], c->opened[1]);
        }
        break;
    default: break;
    }
    o->id = 0;
    lane_poison(o);
}

void lane_closed(lane *n, engine_handle *handle) {
    if (n == NULL) {
        return;
    }
    if (handle == n->reader) {
        n->reader = NULL;
    } else {
        SL_CHECK(handle == n->writer, "a lane closes its own handles");
        n->writer = NULL;
    }
    n->is_open = n->reader != NULL || n->writer != NULL;
}
