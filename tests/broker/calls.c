/*
 * calls.c - requests in one line each. See rig.h.
 */
#include <string.h>

#include "tests/broker/rig.h"

uint64_t start_read(raw_client *client, uint64_t handle, uint32_t max_bytes, bool all,
                    uint64_t timeout_ns) {
    sl_request request = {.id = client_id(client), .kind = SL_REQUEST_READ};
    request.as.read.handle = handle;
    request.as.read.max_bytes = max_bytes;
    request.as.read.all = all;
    request.as.read.timeout_ns = timeout_ns;
    client_send(client, &request, NULL, 0);
    return request.id;
}

uint64_t start_write(raw_client *client, uint64_t handle, const void *bytes, uint32_t length,
                     uint64_t timeout_ns) {
    sl_request request = {.id = client_id(client), .kind = SL_REQUEST_WRITE};
    request.as.write.handle = handle;
    request.as.write.length_bytes = length;
    request.as.write.timeout_ns = timeout_ns;
    uint32_t most = client_limits(client)->fragment_bytes;
    uint32_t first = length < most ? length : most;
    client_send(client, &request, bytes, first);
    for (uint32_t at = first; at < length;) {
        sl_request more = {.id = request.id, .kind = SL_REQUEST_WRITE_DATA};
        uint32_t count = length - at < most ? length - at : most;
        client_send(client, &more, (const uint8_t *)bytes + at, count);
        at += count;
    }
    return request.id;
}

void send_cancel(raw_client *client, uint64_t id) {
    sl_request request = {.kind = SL_REQUEST_CANCEL};
    request.as.cancel.target_id = id;
    client_send(client, &request, NULL, 0);
}

uint64_t start_close(raw_client *client, uint64_t handle) {
    sl_request request = {.id = client_id(client), .kind = SL_REQUEST_CLOSE};
    request.as.close.handle = handle;
    client_send(client, &request, NULL, 0);
    return request.id;
}

int await_status(raw_client *client, uint64_t id) {
    raw_reply reply;
    if (!client_await(client, id, &reply)) {
        return SLUICE_EBROKERLOST;
    }
    reply_free(&reply);
    return reply.status;
}

void expect_quota(raw_client *client, uint64_t id, const char *detail) {
    raw_reply reply;
    EXPECT(client_await(client, id, &reply));
    EXPECT(reply.status == SLUICE_EQUOTA);
    EXPECT(strcmp(reply.detail, detail) == 0);
    reply_free(&reply);
}

void expect_quota_of(raw_client *client, sl_request_kind kind, const char *detail) {
    sl_request request = {.id = client_id(client), .kind = kind};
    client_send(client, &request, NULL, 0);
    expect_quota(client, request.id, detail);
}

int call_plain(raw_client *client, sl_request_kind kind, uint64_t handle, raw_reply *ret_reply) {
    sl_request request = {.id = client_id(client), .kind = kind};
    if (kind == SL_REQUEST_ACCEPT) {
        request.as.accept.listener = handle;
    } else if (kind == SL_REQUEST_ACKNOWLEDGE_TORN) {
        request.as.acknowledge_torn.handle = handle;
    } else if (kind == SL_REQUEST_HALF_CLOSE) {
        request.as.half_close.handle = handle;
    }
    client_send(client, &request, NULL, 0);
    memset(ret_reply, 0, sizeof(*ret_reply));
    return client_await(client, request.id, ret_reply) ? ret_reply->status : SLUICE_EBROKERLOST;
}

int call_address(raw_client *client, sl_request_kind kind, const char *address,
                 raw_reply *ret_reply) {
    sl_request request = {.id = client_id(client), .kind = kind};
    if (kind == SL_REQUEST_LISTEN) {
        request.as.listen.address = address;
    } else {
        request.as.connect.address = address;
    }
    client_send(client, &request, NULL, 0);
    memset(ret_reply, 0, sizeof(*ret_reply));
    return client_await(client, request.id, ret_reply) ? ret_reply->status : SLUICE_EBROKERLOST;
}

int call_pair(raw_client *client, uint64_t ret_ends[2]) {
    raw_reply reply;
    int status = call_plain(client, SL_REQUEST_PAIR, 0, &reply);
    if (status == SLUICE_OK) {
        EXPECT(reply.opened_count == 2);
        ret_ends[0] = reply.opened[0];
        ret_ends[1] = reply.opened[1];
    }
    return status;
}

int call_close(raw_client *client, uint64_t handle) {
    return await_status(client, start_close(client, handle));
}

int call_write(raw_client *client, uint64_t handle, const void *bytes, uint32_t length) {
    return await_status(client, start_write(client, handle, bytes, length, 0));
}

int call_read(raw_client *client, uint64_t handle, uint32_t max_bytes, bool all,
              const void *expected, uint64_t *ret_done) {
    raw_reply reply;
    if (!client_await(client, start_read(client, handle, max_bytes, all, 0), &reply)) {
        return SLUICE_EBROKERLOST;
    }
    EXPECT(reply.length == reply.done && reply.done <= max_bytes);
    EXPECT(expected == NULL || reply.length == 0 ||
           memcmp(reply.payload, expected, reply.length) == 0);
    *ret_done = reply.done;
    reply_free(&reply);
    return reply.status;
}

uint64_t call_connect_to(raw_client *client, raw_client *other) {
    raw_reply listener;
    raw_reply near;
    raw_reply far;
    EXPECT(call_address(other, SL_REQUEST_LISTEN, "tcp:127.0.0.1:0", &listener) == SLUICE_OK);
    EXPECT(call_address(client, SL_REQUEST_CONNECT, listener.local_address, &near) == SLUICE_OK);
    EXPECT(call_plain(other, SL_REQUEST_ACCEPT, listener.opened[0], &far) == SLUICE_OK);
    return near.opened[0];
}
