/*
 * flat.c - the short way (flat.h), and the functions of message.h that choose it where it fits.
 */
#include "proto/flat.h"

#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "proto/frame.h"

/* A varint of up to 8 bytes at once: its length is where the first byte ends that has no
 * continuation bit, and three steps push its groups of 7 bits together. 0: it is longer. */
static size_t read_short(const uint8_t bytes[8], uint64_t *ret_value) {
    /* Compilers make one load of it. */
    uint64_t word = (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
                    (uint64_t)bytes[3] << 24 | (uint64_t)bytes[4] << 32 |
                    (uint64_t)bytes[5] << 40 | (uint64_t)bytes[6] << 48 | (uint64_t)bytes[7] << 56;
    uint64_t ends = ~word & UINT64_C(0x8080808080808080);
    if (ends == 0) {
        return 0;
    }
    uint64_t last = ends & (0 - ends); /* the lowest */
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t before = (((last >> 7) - 1) & ones) * ones >> 56; /* bytes below it */
    word &= last - 1;
    word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
    word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
    word = (word & UINT64_C(0x000000000fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
    *ret_value = word;
    return (size_t)before + 1;
}

size_t sl_varint_read(const uint8_t *bytes, size_t count, uint64_t *ret_value) {
    if (count > 0 && bytes[0] < 0x80) {
        *ret_value = bytes[0];
        return 1;
    }
    if (count >= 8) {
        size_t length = read_short(bytes, ret_value);
        if (length != 0) {
            return length;
        }
    }
    uint64_t value = 0;
    size_t limit = count < 10 ? count : 10;
    for (size_t i = 0; i < limit; i++) {
        value |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
        if ((bytes[i] & 0x80) == 0) {
            if (i == 9 && bytes[i] > 1) {
                return 0; /* more than 64 bits */
            }
            *ret_value = value;
            return i + 1;
        }
    }
    return 0;
}

size_t sl_varint_write(uint64_t value, uint8_t bytes[10]) {
    size_t length = 0;
    while (value > 0x7f) {
        bytes[length++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[length++] = (uint8_t)value;
    return length;
}

bool sl_flat_read(const uint8_t *bytes, size_t count, const sl_flat_shape *shape,
                  sl_flat *ret_flat) {
    memset(ret_flat, 0, sizeof(*ret_flat));
    size_t at = 0;
    unsigned last = 0;
    while (at < count) {
        unsigned tag = bytes[at++];
        unsigned field = tag >> 3;
        if ((tag & 0x87) != 0 || field <= last || field > shape->count) {
            return false; /* also what is out of order, or there twice */
        }
        last = field;
        uint64_t value = 0;
        size_t width = sl_varint_read(bytes + at, count - at, &value);
        if (width == 0 || (value > UINT32_MAX && (shape->narrow >> field & 1) != 0) ||
            (value > 1 && (shape->truth >> field & 1) != 0)) {
            return false;
        }
        ret_flat->values[field] = value;
        at += width;
    }
    return true;
}

size_t sl_flat_write(const sl_flat *flat, unsigned count, uint8_t bytes[SL_FLAT_BYTES_MAX]) {
    size_t length = 0;
    for (unsigned field = 1; field <= count; field++) {
        if (flat->values[field] != 0) {
            bytes[length++] = (uint8_t)(field << 3);
            length += sl_varint_write(flat->values[field], bytes + length);
        }
    }
    return length;
}

/* ---- requests ---- */

#define FIELD(number) (1u << (number))

static const sl_flat_shape request_shapes[SL_REQUEST_KIND_COUNT] = {
    [SL_REQUEST_READ] = {4, FIELD(2), FIELD(3)},
    [SL_REQUEST_WRITE] = {3, FIELD(2), 0},
    [SL_REQUEST_CANCEL] = {1, 0, 0},
    [SL_REQUEST_CLOSE] = {2, 0, 0},
    [SL_REQUEST_PAIR] = {2, 0, FIELD(2)},
    [SL_REQUEST_ACCEPT] = {3, 0, FIELD(3)},
    [SL_REQUEST_STREAM_READ] = {4, 0, FIELD(4)},
};

/* The kinds that go the short way. All have a tag of one byte. */
static bool is_flat(unsigned kind) {
    return kind == SL_REQUEST_PING || kind == SL_REQUEST_WRITE_DATA ||
           (kind < SL_REQUEST_KIND_COUNT && request_shapes[kind].count > 0);
}

static void take(sl_request *request, const sl_flat *flat) {
    const uint64_t *values = flat->values;
    switch (request->kind) {
    case SL_REQUEST_READ:
        request->as.read.handle = values[1];
        request->as.read.max_bytes = (uint32_t)values[2];
        request->as.read.all = values[3] != 0;
        request->as.read.timeout_ns = values[4];
        break;
    case SL_REQUEST_WRITE:
        request->as.write.handle = values[1];
        request->as.write.length_bytes = (uint32_t)values[2];
        request->as.write.timeout_ns = values[3];
        break;
    case SL_REQUEST_CANCEL: request->as.cancel.target_id = values[1]; break;
    case SL_REQUEST_CLOSE:
        request->as.close.handle = values[1];
        request->as.close.grace_ns = values[2];
        break;
    case SL_REQUEST_PAIR:
        request->as.pair.timeout_ns = values[1];
        request->as.pair.read_ahead = values[2] != 0;
        break;
    case SL_REQUEST_ACCEPT:
        request->as.accept.listener = values[1];
        request->as.accept.timeout_ns = values[2];
        request->as.accept.read_ahead = values[3] != 0;
        break;
    case SL_REQUEST_STREAM_READ:
        request->as.stream_read.handle = values[1];
        request->as.stream_read.read = (sl_stream_read){values[2], values[3], values[4] != 0};
        break;
    default: break;
    }
}

static void put(const sl_request *request, sl_flat *flat) {
    uint64_t *values = flat->values;
    switch (request->kind) {
    case SL_REQUEST_READ:
        values[1] = request->as.read.handle;
        values[2] = request->as.read.max_bytes;
        values[3] = request->as.read.all;
        values[4] = request->as.read.timeout_ns;
        break;
    case SL_REQUEST_WRITE:
        values[1] = request->as.write.handle;
        values[2] = request->as.write.length_bytes;
        values[3] = request->as.write.timeout_ns;
        break;
    case SL_REQUEST_CANCEL: values[1] = request->as.cancel.target_id; break;
    case SL_REQUEST_CLOSE:
        values[1] = request->as.close.handle;
        values[2] = request->as.close.grace_ns;
        break;
    case SL_REQUEST_PAIR:
        values[1] = request->as.pair.timeout_ns;
        values[2] = request->as.pair.read_ahead;
        break;
    case SL_REQUEST_ACCEPT:
        values[1] = request->as.accept.listener;
        values[2] = request->as.accept.timeout_ns;
        values[3] = request->as.accept.read_ahead;
        break;
    case SL_REQUEST_STREAM_READ:
        values[1] = request->as.stream_read.handle;
        values[2] = request->as.stream_read.read.up_to;
        values[3] = request->as.stream_read.read.taken;
        values[4] = request->as.stream_read.read.notify;
        break;
    default: break;
    }
}

/* id, tag and length of the kind, its numbers, the end. */
static bool read_request(const uint8_t *bytes, size_t count, sl_request *ret_request) {
    size_t at = 0;
    uint64_t id = 0;
    if (count > 0 && bytes[0] == 0x08) {
        size_t width = sl_varint_read(bytes + 1, count - 1, &id);
        if (width == 0) {
            return false;
        }
        at = 1 + width;
    }
    if (count - at < 2 || (bytes[at] & 0x87) != 2 || bytes[at + 1] != count - at - 2 ||
        bytes[at + 1] > 127 || !is_flat(bytes[at] >> 3u)) {
        return false;
    }
    sl_flat flat;
    unsigned kind = bytes[at] >> 3u;
    if (!sl_flat_read(bytes + at + 2, count - at - 2, &request_shapes[kind], &flat)) {
        return false;
    }
    ret_request->id = id;
    ret_request->kind = (sl_request_kind)kind;
    take(ret_request, &flat);
    return true;
}

int sl_request_decode(const uint8_t *control, size_t control_length, uint32_t payload_length,
                      const sl_session_limits *limits, sl_arena *arena, sl_request *ret_request,
                      sl_reason *ret_reason) {
    if (read_request(control, control_length, ret_request)) {
        return sl_request_check(ret_request, payload_length, limits, ret_reason);
    }
    return sl_request_decode_general(control, control_length, payload_length, limits, arena,
                                     ret_request, ret_reason);
}

/* Puts a header before a control message that is ready. */
static int frame(const uint8_t *control, size_t control_length, uint32_t payload_length,
                 uint8_t *buffer, size_t size, size_t *ret_length) {
    if (size < SL_FRAME_HEADER_BYTES + control_length) {
        return SLUICE_ETOOLARGE;
    }
    sl_frame_header(buffer, (uint32_t)control_length, payload_length);
    memcpy(buffer + SL_FRAME_HEADER_BYTES, control, control_length);
    *ret_length = SL_FRAME_HEADER_BYTES + control_length;
    return SLUICE_OK;
}

int sl_request_encode(const sl_request *request, uint32_t payload_length, uint8_t *buffer,
                      size_t size, size_t *ret_length) {
    unsigned kind = (unsigned)request->kind;
    if (!is_flat(kind)) {
        return sl_request_encode_general(request, payload_length, buffer, size, ret_length);
    }
    uint8_t control[13 + SL_FLAT_BYTES_MAX];
    size_t length = 0;
    if (request->id != 0) {
        control[length++] = 0x08;
        length += sl_varint_write(request->id, control + length);
    }
    sl_flat flat = {{0}};
    put(request, &flat);
    size_t inner = sl_flat_write(&flat, request_shapes[kind].count, control + length + 2);
    control[length] = (uint8_t)(kind << 3 | 2);
    control[length + 1] = (uint8_t)inner;
    return frame(control, length + 2 + inner, payload_length, buffer, size, ret_length);
}

/* ---- responses ---- */

/* id, status (zigzag), os_error, done, in_doubt, more. */
static const sl_flat_shape response_shape = {6, FIELD(2) | FIELD(3), FIELD(6)};

/* handle, at, status (zigzag), os_error, stopped; and nothing around them. */
static const sl_flat_shape data_shape = {5, FIELD(3) | FIELD(4), FIELD(5)};
#define DATA_TAG ((uint8_t)(SL_RESPONSE_DATA << 3 | 2))

static uint32_t to_zigzag(int status) {
    uint32_t bits = (uint32_t)status;
    return bits << 1 ^ (0u - (bits >> 31));
}

static int from_zigzag(uint64_t value) {
    uint32_t bits = (uint32_t)value;
    return (int32_t)(bits >> 1 ^ (0u - (bits & 1)));
}

static bool read_data(const uint8_t *bytes, size_t count, uint32_t payload_length,
                      sl_response *ret_response) {
    sl_flat flat;
    if (count < 2 || bytes[0] != DATA_TAG || bytes[1] != count - 2 || bytes[1] > 127 ||
        !sl_flat_read(bytes + 2, count - 2, &data_shape, &flat)) {
        return false;
    }
    memset(ret_response, 0, offsetof(sl_response, as));
    ret_response->detail = "";
    ret_response->kind = SL_RESPONSE_DATA;
    ret_response->as.data.handle = flat.values[1];
    ret_response->as.data.data = (sl_stream_data){.at = flat.values[2],
                                                  .length = payload_length,
                                                  .status = from_zigzag(flat.values[3]),
                                                  .os_error = (uint32_t)flat.values[4],
                                                  .stopped = flat.values[5] != 0};
    return true;
}

int sl_response_decode(const uint8_t *control, size_t control_length, uint32_t payload_length,
                       sl_arena *arena, sl_response *ret_response, sl_reason *ret_reason) {
    sl_flat flat;
    if (read_data(control, control_length, payload_length, ret_response)) {
        return sl_response_check_data(ret_response, ret_reason);
    }
    if (!sl_flat_read(control, control_length, &response_shape, &flat)) {
        return sl_response_decode_general(control, control_length, payload_length, arena,
                                          ret_response, ret_reason);
    }
    ret_response->id = flat.values[1];
    ret_response->status = from_zigzag(flat.values[2]);
    ret_response->os_error = (uint32_t)flat.values[3];
    ret_response->done = flat.values[4];
    ret_response->in_doubt = flat.values[5];
    ret_response->more = flat.values[6] != 0;
    ret_response->detail = "";
    ret_response->kind = SL_RESPONSE_PLAIN;
    return sl_response_check(ret_response, payload_length, ret_reason);
}

static int encode_data(const sl_response *response, uint32_t payload_length, uint8_t *buffer,
                       size_t size, size_t *ret_length) {
    const sl_stream_data *data = &response->as.data.data;
    sl_flat flat = {{0, response->as.data.handle, data->at, to_zigzag(data->status),
                     data->os_error, data->stopped}};
    uint8_t control[2 + SL_FLAT_BYTES_MAX];
    size_t length = sl_flat_write(&flat, data_shape.count, control + 2);
    control[0] = DATA_TAG;
    control[1] = (uint8_t)length;
    return frame(control, 2 + length, payload_length, buffer, size, ret_length);
}

int sl_response_encode(const sl_response *response, uint32_t payload_length, uint8_t *buffer,
                       size_t size, size_t *ret_length) {
    bool has_detail = response->detail != NULL && response->detail[0] != '\0';
    bool is_bare = response->id == 0 && response->status == SLUICE_OK && response->os_error == 0 &&
                   response->done == 0 && response->in_doubt == 0 && !response->more;
    if (response->kind == SL_RESPONSE_DATA && is_bare && !has_detail) {
        return encode_data(response, payload_length, buffer, size, ret_length);
    }
    if (response->kind != SL_RESPONSE_PLAIN || has_detail) {
        return sl_response_encode_general(response, payload_length, buffer, size, ret_length);
    }
    sl_flat flat = {{0, response->id, to_zigzag(response->status), response->os_error,
                     response->done, response->in_doubt, response->more}};
    uint8_t control[SL_FLAT_BYTES_MAX];
    size_t length = sl_flat_write(&flat, response_shape.count, control);
    return frame(control, length, payload_length, buffer, size, ret_length);
}
