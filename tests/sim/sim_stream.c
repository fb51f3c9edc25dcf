/*
 * sim_stream.c - connections: two streams of bytes between two sides, and what reads, writes,
 * half-closes, closes and resets do to them.
 *
 * A write's bytes go into the stream's buffer at its steps, as far as there is room; a read takes
 * them out at its step. Both change the world first and end their request last. A connection
 * belongs to the world and is freed by whoever closes its second side. One thread.
 */
#include <string.h>

#include "tests/sim/sim_world.h"

sim_stream *sim_stream_in(sim_handle *handle) {
    return &handle->connection->streams[handle->side];
}

sim_stream *sim_stream_out(sim_handle *handle) {
    return &handle->connection->streams[1 - handle->side];
}

bool sim_stream_is_readable(const sim_stream *stream) {
    return stream->bytes.count > 0 || stream->fin || stream->reset;
}

static void stream_drop(sim_world *world, sim_stream *stream) {
    world->counters.dropped_bytes += stream->bytes.count;
    sim_bytes_pop(world, &stream->bytes, NULL, stream->bytes.count);
}

/* ---- connections ----------------------------------------------------------------------------- */

sim_connection *sim_connection_create(sim_world *world, sim_transport transport) {
    void *entry;
    sl_slot_id id;
    int status = sl_slots_take(&world->connections, &entry, &id);
    SL_CHECK(status == SLUICE_OK, "the simulated kernel has memory");
    sim_connection *connection = entry;
    memset(connection, 0, sizeof(*connection));
    sl_list_init(&connection->link);
    connection->transport = transport;
    size_t capacity =
        transport == SIM_TRANSPORT_TCP ? world->options.tcp_capacity : world->options.pipe_capacity;
    connection->capacity = capacity > 0 ? capacity : 1;
    return connection;
}

static unsigned capabilities_of(const sim_world *world, sim_transport transport, unsigned side) {
    if (transport == SIM_TRANSPORT_PAIR) {
        return side == 0 ? ENGINE_CAN_READ : ENGINE_CAN_WRITE | ENGINE_CAN_HALF_CLOSE;
    }
    bool has_half_close = transport == SIM_TRANSPORT_TCP || !world->options.windows_pipes;
    return ENGINE_CAN_READ | ENGINE_CAN_WRITE | (has_half_close ? ENGINE_CAN_HALF_CLOSE : 0u);
}

void sim_connection_attach(sim_world *world, sim_connection *connection, unsigned side,
                           engine_handle *handle) {
    sim_handle *h = sim_handle_of(handle);
    h->connection = connection;
    h->side = side;
    h->binding = NULL;
    connection->handles[side] = h;
    sim_handle_opened(world, handle, capabilities_of(world, connection->transport, side), 1);
}

static void wake_side(sim_world *world, const sim_connection *connection, unsigned side) {
    sim_wake(world, connection->handles[side], ENGINE_IN);
    sim_wake(world, connection->handles[side], ENGINE_OUT);
}

void sim_connection_close_side(sim_world *world, sim_connection *connection, unsigned side) {
    sim_stream *in = &connection->streams[side];
    sim_stream *out = &connection->streams[1 - side];
    bool is_unread = in->bytes.count > 0;
    stream_drop(world, in);
    in->reader_gone = true;
    out->fin = true;
    if (is_unread && connection->transport == SIM_TRANSPORT_TCP) {
        in->reset = true;
        out->reset = true;
        if (sim_strikes(world, SIM_RESET_DROPS)) {
            stream_drop(world, out);
        }
    }
    connection->handles[side] = NULL;
    connection->closed[side] = true;
    if (connection->closed[1 - side]) {
        stream_drop(world, out);
        sl_slots_release(&world->connections, connection);
    } else {
        wake_side(world, connection, 1 - side);
    }
}

/* The network, the driver or the peer's kernel gives up on it. Anonymous pairs never break. */
static void connection_may_break(sim_world *world, const sim_request *request,
                                 sim_connection *connection) {
    if (connection->transport == SIM_TRANSPORT_PAIR || request->is_last_try ||
        !sim_strikes(world, SIM_RESET)) {
        return;
    }
    bool drops = sim_strikes(world, SIM_RESET_DROPS);
    for (unsigned side = 0; side < 2; side++) {
        connection->streams[side].reset = true;
        if (drops) {
            stream_drop(world, &connection->streams[side]);
        }
    }
    wake_side(world, connection, 0);
    wake_side(world, connection, 1);
}

/* ---- read ------------------------------------------------------------------------------------ */

/* Moves bytes from the stream into the request's buffer; the writer may go on. */
static size_t take_bytes(sim_world *world, sim_request *request, sim_handle *handle) {
    sim_stream *stream = sim_stream_in(handle);
    size_t count = request->request.length;
    count = stream->bytes.count < count ? stream->bytes.count : count;
    if (count > 1 && sim_strikes(world, SIM_PARTIAL_READ)) {
        count = 1 + (size_t)sim_below(world, count - 1);
    }
    sim_bytes_pop(world, &stream->bytes, request->request.buffer, count);
    if (count > 0) {
        sim_wake(world, handle->connection->handles[1 - handle->side], ENGINE_OUT);
    }
    return count;
}

bool sim_read_step(sim_world *world, sim_request *request) {
    sim_handle *handle = sim_handle_of(request->request.handle);
    sim_stream *stream = sim_stream_in(handle);
    if (stream->bytes.count > 0) {
        connection_may_break(world, request, handle->connection);
    }
    if (stream->bytes.count > 0) {
        size_t count = take_bytes(world, request, handle);
        sim_request_complete(world, request, SLUICE_OK, count);
        return true;
    }
    if (stream->reset) {
        sim_request_finish(world, request, SLUICE_ERESET, SIM_ECONNRESET, 0, 0, 0);
        return true;
    }
    if (stream->fin) {
        sim_request_complete(world, request, SLUICE_EEOF, 0);
        return true;
    }
    return false;
}

/* Also for receives. What the stream holds stays there (R5), but the buffer was the kernel's. */
void sim_read_fail(sim_world *world, sim_request *request, int status, uint32_t os_error) {
    const engine_request *base = &request->request;
    if (base->length > 0 && sim_strikes(world, SIM_SCRIBBLE)) {
        size_t count = base->length < 64 ? base->length : 64;
        memset(base->buffer, 0xdb, count);
    }
    sim_request_finish(world, request, status, os_error, 0, 0, 0);
}

/* ---- write ----------------------------------------------------------------------------------- */

/* Moves up to `count` more bytes of the request into the stream; the reader may go on. */
static void put_bytes(sim_world *world, engine_request *base, sim_handle *handle, size_t count) {
    if (count == 0) {
        return;
    }
    sim_bytes_push_gather(world, &sim_stream_out(handle)->bytes, base, base->done, count);
    base->done += count;
    world->counters.stream_bytes += count;
    sim_wake(world, handle->connection->handles[1 - handle->side], ENGINE_IN);
}

static size_t room_for(const sim_request *request, sim_handle *handle) {
    size_t capacity = handle->connection->capacity;
    size_t count = sim_stream_out(handle)->bytes.count;
    size_t room = capacity > count ? capacity - count : 0;
    size_t rest = request->request.length - request->request.done;
    return rest < room ? rest : room;
}

/* The peer is gone, or the end of file is out. true = the request ended. */
static bool write_to_nobody(sim_world *world, sim_request *request, sim_connection *connection,
                            sim_stream *stream) {
    size_t done = request->request.done;
    if (stream->reset) {
        sim_request_finish(world, request, SLUICE_ERESET, SIM_ECONNRESET, done, 0, done);
        return true;
    }
    if (!stream->reader_gone && !stream->fin) {
        return false;
    }
    if (!stream->fin && connection->transport == SIM_TRANSPORT_TCP && !connection->swallowed &&
        sim_strikes(world, SIM_CLOSE_SWALLOW)) {
        /* It goes out; the answer will be a reset. */
        connection->swallowed = true;
        stream->reset = true;
        sim_request_complete(world, request, SLUICE_OK, request->request.length);
        return true;
    }
    sim_request_finish(world, request, SLUICE_EBROKENPIPE, SIM_EPIPE, done, 0, done);
    return true;
}

bool sim_write_step(sim_world *world, sim_request *request) {
    engine_request *base = &request->request;
    sim_handle *handle = sim_handle_of(base->handle);
    sim_stream *stream = sim_stream_out(handle);
    connection_may_break(world, request, handle->connection);
    if (write_to_nobody(world, request, handle->connection, stream)) {
        return true;
    }
    size_t count = room_for(request, handle);
    if (count > 1 && !request->is_last_try && sim_strikes(world, SIM_PARTIAL_WRITE)) {
        count = 1 + (size_t)sim_below(world, count - 1);
    }
    put_bytes(world, base, handle, count);
    if (base->done == base->length) {
        sim_request_complete(world, request, SLUICE_OK, base->length);
        return true;
    }
    if (room_for(request, handle) > 0) {
        sim_request_schedule(world, request);
    }
    return false;
}

/* Some of the rest may go out as it fails, and what is said is less exact than what is true. */
void sim_write_fail(sim_world *world, sim_request *request, int status, uint32_t os_error) {
    engine_request *base = &request->request;
    sim_handle *handle = sim_handle_of(base->handle);
    const sim_stream *stream = sim_stream_out(handle);
    if (request->phase != SIM_PHASE_LATE && !sim_strikes(world, SIM_WRITE_TORN)) {
        sim_request_finish(world, request, status, os_error, base->done, 0, base->done);
        return;
    }
    if (!stream->reset && !stream->reader_gone && !stream->fin) {
        put_bytes(world, base, handle, (size_t)sim_below(world, room_for(request, handle) + 1));
    }
    size_t out = base->done;
    size_t certain = (size_t)sim_below(world, out + 1);
    size_t at_most = out + (size_t)sim_below(world, base->length - out + 1);
    sim_request_finish(world, request, status, os_error, certain, at_most - certain, out);
}

/* ---- half-close, pair ------------------------------------------------------------------------ */

static void put_fin(sim_world *world, sim_handle *handle) {
    sim_stream_out(handle)->fin = true;
    sim_wake(world, handle->connection->handles[1 - handle->side], ENGINE_IN);
}

bool sim_half_close_step(sim_world *world, sim_request *request) {
    sim_handle *handle = sim_handle_of(request->request.handle);
    if (sim_stream_out(handle)->reset) {
        sim_request_finish(world, request, SLUICE_ERESET, SIM_ECONNRESET, 0, 0, 0);
        return true;
    }
    put_fin(world, handle);
    sim_request_complete(world, request, SLUICE_OK, 0);
    return true;
}

/* The end of file may go out all the same. */
void sim_half_close_fail(sim_world *world, sim_request *request, int status, uint32_t os_error) {
    if (sim_strikes(world, SIM_WRITE_TORN)) {
        put_fin(world, sim_handle_of(request->request.handle));
    }
    sim_request_finish(world, request, status, os_error, 0, 0, 0);
}

bool sim_pair_step(sim_world *world, sim_request *request) {
    if (!sim_has_descriptors(world, 2)) {
        sim_request_finish(world, request, SLUICE_EOSLIMIT, SIM_EMFILE, 0, 0, 0);
        return true;
    }
    sim_connection *connection = sim_connection_create(world, SIM_TRANSPORT_PAIR);
    sim_connection_attach(world, connection, 0, request->request.opening[0]);
    sim_connection_attach(world, connection, 1, request->request.opening[1]);
    sim_request_finish(world, request, SLUICE_OK, 0, 0, 0, 0);
    return true;
}
