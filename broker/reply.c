/*
 * reply.c - fills in responses. What a reply says is taken from the operation when its frame is
 * encoded, so nothing is kept besides the operation.
 */
#include "broker/reply.h"

#include <string.h>

#include "base/failpoint.h"
#include "broker/counters.h"
#include "broker/handle.h"
#include "proto/address.h"
#include "proto/version.h"

#define INLINE_BYTES 1024u /* up to here a payload is copied behind its header */

typedef char address_text[SL_ADDRESS_BYTES]; /* as sl_address_text wants it */

bool reply_is_bulk(const broker_op *op) {
    return op->data_length > INLINE_BYTES ||
           (op->kind == SL_REQUEST_OPS && op->status == SLUICE_OK);
}

static bool has_opened(const broker_op *op) {
    return op->status == SLUICE_OK && op->opened_count > 0;
}

size_t reply_bytes_max(const broker_op *op) {
    size_t bytes = SL_RESPONSE_BYTES_PLAIN;
    if (has_opened(op)) {
        bytes = SL_RESPONSE_BYTES_OPENED;
    } else if (op->kind == SL_REQUEST_HELLO) {
        bytes = SL_RESPONSE_BYTES_HELLO;
    } else if (op->kind == SL_REQUEST_STATUS) {
        bytes = SL_RESPONSE_BYTES_STATUS;
    }
    return bytes + (op->has_detail ? SL_RESPONSE_BYTES_DETAIL : 0) +
           (reply_is_bulk(op) ? 0 : op->data_length);
}

static const char *local_address(const broker_handle *handle, address_text text) {
    engine_address bound;
    sl_address address;
    if (engine_handle_local_address(handle->os, &bound) != SLUICE_OK) {
        return NULL;
    }
    if (bound.family == ENGINE_ADDRESS_IPV4) {
        sl_address_from_ipv4(&address, bound.ip, bound.port);
    } else if (bound.family == ENGINE_ADDRESS_IPV6) {
        sl_address_from_ipv6(&address, bound.ip, bound.scope_id, bound.port);
    } else {
        return NULL;
    }
    return sl_address_text(&address, text);
}

static void fill_opened(const broker_op *op, sl_response *response,
                        address_text texts[SL_OPENED_MAX]) {
    response->kind = SL_RESPONSE_OPENED;
    response->as.opened.count = op->opened_count;
    for (unsigned i = 0; i < op->opened_count; i++) {
        sl_opened_handle *opened = &response->as.opened.handles[i];
        broker_handle *handle = handle_find(op->session, op->opened[i]);
        opened->handle = op->opened[i];
        opened->can = handle != NULL ? handle->can : 0;
        opened->local_address = NULL;
        if (handle != NULL && handle->state == HANDLE_OPEN && op->kind != SL_REQUEST_PAIR) {
            opened->local_address = local_address(handle, texts[i]);
        }
    }
}

static void fill_hello(const broker_op *op, sl_response *response) {
    const broker *b = op->session->worker->broker;
    const sl_limits *limits = &b->options.limits;
    bool is_agreed = op->status == SLUICE_OK;
    response->kind = SL_RESPONSE_HELLO;
    response->as.hello = (sl_hello_reply){
        .version = is_agreed ? SL_VERSION_MAX : 0,
        .version_min = SL_VERSION_MIN,
        .version_max = SL_VERSION_MAX,
        .session_id = op->session->id,
        .epoch = b->epoch,
        .limits = op->session->limits,
        .broker_version = b->version,
        .engine_name = engine_backend_name(b->options.backend),
        .close_grace_ns = limits->close_grace_ns,
        .ping_interval_ns = limits->ping_interval_ns,
        .unresponsive_ns = limits->unresponsive_ns,
    };
}

/* The broker, as far as this session may see it. */
static void fill_status(const broker_session *session, sl_status_reply *ret_status) {
    const broker_worker *worker = session->worker;
    const broker *b = worker->broker;
    broker_counters sum;
    counters_sum(b, &sum);
    *ret_status = (sl_status_reply){
        .broker_version = b->version,
        .engine_name = engine_backend_name(b->options.backend),
        .process_id = b->options.process_id,
        .uptime_ns = worker->now_ns - b->started_ns,
        .workers = sum.workers,
        .sessions = (uint32_t)sum.sessions,
        .handles = sum.handles,
        .operations = sum.operations,
        .zombies = sum.zombies,
        .memory_bytes = sum.memory_bytes,
        .operations_started = sum.operations_started,
        .operations_finished = sum.operations_finished,
        .cancels = sum.cancels,
        .sessions_started = sum.sessions_started,
        .protocol_violations = sum.protocol_violations,
        .stray_packets = sum.stray_packets,
        .draining = sum.is_draining,
        .user = session->user->text,
        .user_zombies = zombie_count(session),
        .sees_all = session->sees_all,
        .opens_given_up = sum.opens_given_up,
        .user_opens_given_up = engine_share_given_up(&session->user->share),
    };
}

static size_t encode(const sl_response *response, uint32_t payload_length, uint8_t *buffer,
                     size_t size) {
    size_t length = 0;
    int status = sl_response_encode(response, payload_length, buffer, size, &length);
    SL_CHECK(status == SLUICE_OK, "a reply fits the room that was reserved for it");
    return length;
}

size_t reply_encode(const broker_op *op, uint32_t payload_length, bool is_last, uint8_t *buffer,
                    size_t size) {
    address_text texts[SL_OPENED_MAX];
    sl_response response; /* without clearing what a plain one does not have */
    SL_FAILPOINT_PASS(broker, reply);
    sl_response_init(&response, op->id);
    if (!is_last) {
        response.more = true;
        return encode(&response, payload_length, buffer, size);
    }
    response.status = op->status;
    response.os_error = op->os_error;
    response.done = op->done;
    response.in_doubt = op->in_doubt;
    response.detail = op->has_detail ? op->small.reason.text : NULL;
    if (has_opened(op)) {
        fill_opened(op, &response, texts);
    } else if (op->kind == SL_REQUEST_HELLO &&
               (op->status == SLUICE_OK || op->status == SLUICE_EVERSION)) {
        fill_hello(op, &response);
    } else if (op->kind == SL_REQUEST_STATUS && op->status == SLUICE_OK) {
        response.kind = SL_RESPONSE_STATUS;
        fill_status(op->session, &response.as.status);
    }
    return encode(&response, payload_length, buffer, size);
}

size_t reply_encode_draining(uint64_t grace_ns, uint8_t *buffer, size_t size) {
    sl_response response = {.kind = SL_RESPONSE_EVENT};
    response.as.event.kind = SL_EVENT_DRAINING;
    response.as.event.grace_ns = grace_ns;
    return encode(&response, 0, buffer, size);
}

size_t reply_encode_goodbye(int status, const char *detail, uint8_t *buffer, size_t size) {
    sl_response response = {.kind = SL_RESPONSE_EVENT};
    response.as.event.kind = SL_EVENT_GOODBYE;
    response.as.event.status = status;
    response.as.event.detail = detail;
    return encode(&response, 0, buffer, size);
}
