/*
 * send.c - which frame goes out next, and its bytes.
 *
 * Order: cancels and pings, always; then requests, in the order in which they came, in turn with
 * the fragments of writes that have begun. A cancel so waits behind what the link has in hand: one
 * fragment and a few small frames. Payloads are copied into the link's buffer: a call whose time is
 * up gives the application its memory back at once, whatever the pipe does.
 */
#include <string.h>

#include "client/core.h"
#include "client/handles.h"
#include "proto/version.h"

typedef struct filler {
    client_core *core;
    uint8_t *bytes;
    size_t size;
    size_t length;
} filler;

static size_t room(const filler *f) {
    return f->size - f->length;
}

/* A frame without payload, or the first part of one. SLUICE_OK or a status of the encoder. */
static int put(filler *f, const sl_request *request, const uint8_t *payload,
               uint32_t payload_length) {
    size_t length;
    int status = sl_request_encode(request, payload_length, f->bytes + f->length, room(f), &length);
    if (status != SLUICE_OK) {
        return status;
    }
    f->length += length;
    if (payload_length != 0) {
        memcpy(f->bytes + f->length, payload, payload_length);
        f->length += payload_length;
    }
    return SLUICE_OK;
}

static void put_hello(filler *f) {
    client_core *core = f->core;
    core->hello_is_due = false;
    sl_request request = {.id = client_wire_next_id(core), .kind = SL_REQUEST_HELLO};
    request.as.hello.version_min = SL_VERSION_MIN;
    request.as.hello.version_max = SL_VERSION_MAX;
    request.as.hello.client_name = core->settings.client_name;
    request.as.hello.limits.credit_operations = core->settings.credit_operations;
    request.as.hello.process_id = core->settings.process_id;
    core->ping_id = request.id;
    SL_CHECK(put(f, &request, NULL, 0) == SLUICE_OK, "a Hello fits");
}

static void put_cancels(filler *f) {
    while (!sl_list_is_empty(&f->core->cancels) && room(f) >= SL_REQUEST_BYTES_MAX) {
        sl_list *node = sl_list_pop_front(&f->core->cancels);
        client_operation *op = SL_LIST_ENTRY(node, client_operation, cancel_link);
        sl_request request = {.kind = SL_REQUEST_CANCEL};
        request.as.cancel.target_id = op->wire_id;
        SL_CHECK(put(f, &request, NULL, 0) == SLUICE_OK, "a cancel fits");
    }
}

/* The broker owes an answer from now on. */
static void begin_to_wait(client_core *core) {
    if (core->wire_count == 0 && core->ping_id == 0) {
        core->quiet_since_ns = core->now_ns;
    }
}

static void put_ping(filler *f) {
    client_core *core = f->core;
    bool is_wanted = core->ping_is_due || !sl_list_is_empty(&core->pings);
    if (core->ping_id != 0 || !is_wanted || room(f) < SL_REQUEST_BYTES_MAX) {
        return;
    }
    begin_to_wait(core);
    core->ping_is_due = false;
    sl_list *node = sl_list_pop_front(&core->pings);
    if (node != NULL) {
        client_operation *op = SL_LIST_ENTRY(node, client_operation, link);
        client_wire_add(core, op);
        op->state = CLIENT_OPERATION_SENT;
        core->ping_operation = op;
        core->ping_id = op->wire_id;
    } else {
        core->ping_id = client_wire_next_id(core);
    }
    sl_request request = {.id = core->ping_id, .kind = SL_REQUEST_PING};
    SL_CHECK(put(f, &request, NULL, 0) == SLUICE_OK, "a ping fits");
}

/* The part of a write that goes into the next frame; false: there is no room for it now. */
static bool next_part(const filler *f, const client_operation *op, uint32_t *ret_length) {
    uint32_t rest = op->request.as.write.length_bytes - op->sent;
    uint32_t limit = f->core->hello.limits.fragment_bytes;
    uint32_t length = rest < limit ? rest : limit;
    *ret_length = length;
    return room(f) >= SL_REQUEST_BYTES_MAX + (size_t)length;
}

static bool has_credit(const client_core *core, client_operation *op) {
    uint32_t bytes;
    if (client_operation_credit(op, &bytes)) {
        return core->credit_used < core->hello.limits.credit_operations &&
               core->credit_bytes_used + bytes <= core->hello.limits.credit_bytes;
    }
    /* Closes take none; as many of them at a time keep the table of wire ids small. */
    return op->request.kind != SL_REQUEST_CLOSE ||
           core->close_count < core->hello.limits.credit_operations;
}

static void take_credit(client_core *core, client_operation *op) {
    uint32_t bytes;
    if (client_operation_credit(op, &bytes)) {
        core->credit_used++;
        core->credit_bytes_used += bytes;
        op->wire_credit_bytes = bytes;
    } else if (op->request.kind == SL_REQUEST_CLOSE) {
        core->close_count++;
    }
}

/* Puts the remaining time into the request. */
static void set_timeout(client_core *core, client_operation *op) {
    uint64_t timeout_ns = 0;
    if (op->deadline_ns != SL_CLOCK_NEVER) {
        timeout_ns = op->deadline_ns > core->now_ns ? op->deadline_ns - core->now_ns : 1;
    }
    switch (op->request.kind) {
    case SL_REQUEST_READ: op->request.as.read.timeout_ns = timeout_ns; break;
    case SL_REQUEST_WRITE: op->request.as.write.timeout_ns = timeout_ns; break;
    case SL_REQUEST_PAIR: op->request.as.pair.timeout_ns = timeout_ns; break;
    case SL_REQUEST_ACCEPT: op->request.as.accept.timeout_ns = timeout_ns; break;
    case SL_REQUEST_CONNECT: op->request.as.connect.timeout_ns = timeout_ns; break;
    case SL_REQUEST_LISTEN: op->request.as.listen.timeout_ns = timeout_ns; break;
    case SL_REQUEST_HALF_CLOSE: op->request.as.half_close.timeout_ns = timeout_ns; break;
    default: /* the others do not wait at the broker */ break;
    }
}

/* The first frame of the oldest request. false: not now. */
static bool put_request(filler *f) {
    client_core *core = f->core;
    client_operation *op = SL_LIST_ENTRY(sl_list_first(&core->requests), client_operation, link);
    uint32_t part = 0;
    bool fits =
        client_operation_is_write(op) ? next_part(f, op, &part) : room(f) >= SL_REQUEST_BYTES_MAX;
    if (!fits || !has_credit(core, op)) {
        return false;
    }
    if (client_operation_is_read(op) && op->entry == NULL) { /* to be sent again, and closed */
        client_core_end(core, op, SLUICE_ECLOSED, 0);
        return true;
    }
    sl_list_remove(&op->link);
    begin_to_wait(core);
    client_wire_add(core, op);
    take_credit(core, op);
    op->state = CLIENT_OPERATION_SENT;
    op->request.id = op->wire_id;
    set_timeout(core, op);
    int status = put(f, &op->request, op->out, part);
    if (status != SLUICE_OK) {
        client_core_end(core, op, status, 0);
        return true;
    }
    op->sent = part;
    if (client_operation_is_write(op) && op->sent < op->request.as.write.length_bytes) {
        sl_list_push_back(&core->fragments, &op->link);
    }
    if (client_operation_is_read(op)) {
        op->wire_max = op->request.as.read.max_bytes;
    }
    return true;
}

/* The next fragment of a write that has begun. false: no room. */
static bool put_fragment(filler *f) {
    client_core *core = f->core;
    client_operation *op = SL_LIST_ENTRY(sl_list_first(&core->fragments), client_operation, link);
    uint32_t part;
    if (!next_part(f, op, &part)) {
        return false;
    }
    sl_request request = {.id = op->wire_id, .kind = SL_REQUEST_WRITE_DATA};
    SL_CHECK(put(f, &request, op->out + op->sent, part) == SLUICE_OK, "a fragment fits");
    op->sent += part;
    sl_list_remove(&op->link);
    if (op->sent < op->request.as.write.length_bytes) {
        sl_list_push_back(&core->fragments, &op->link);
    }
    return true;
}

size_t client_send_fill(client_core *core, uint8_t *buffer, size_t size) {
    filler f = {core, buffer, size, 0};
    if (core->phase == CLIENT_GREETING && core->hello_is_due) {
        put_hello(&f);
    }
    if (core->phase != CLIENT_READY) {
        return f.length;
    }
    put_cancels(&f);
    put_ping(&f);
    for (;;) {
        bool has_request = !sl_list_is_empty(&core->requests);
        bool has_fragment = !sl_list_is_empty(&core->fragments);
        bool done = false;
        if (has_request && !(has_fragment && core->fragment_is_due)) {
            done = put_request(&f);
            core->fragment_is_due = true;
        }
        if (!done && has_fragment) {
            done = put_fragment(&f);
            core->fragment_is_due = false;
        }
        if (!done) {
            return f.length;
        }
    }
}
