/*
 * wire.c - the walk along the descriptors, and the two calls into protobuf-c.
 *
 * A walk goes one level of C recursion per message level, and messages nest at most as deep as
 * sluice.proto says (no type contains itself), so its stack is bounded; unknown fields are skipped,
 * never entered. One thread per arena.
 */
#include "proto/wire.h"

#include "base/check.h"
#include "base/status.h"
#include "base/text.h"
#include "proto/flat.h"
#include "proto/frame.h"
#include "proto/limits.h"

typedef struct wire_walk {
    sl_reason *reason;
    uint32_t fields;
    unsigned depth;
    const char *names[SL_WIRE_DEPTH_MAX + 1]; /* message, field, field ... */
    int value_status;                         /* SLUICE_OK, or EINVAL: a value was refused */
} wire_walk;

/* What is left to read of one message. */
typedef struct cursor {
    const uint8_t *at;
    const uint8_t *end;
} cursor;

/* With the names from that depth on. */
static int refuse_at(wire_walk *walk, int status, unsigned first, const char *what) {
    if (walk->reason != NULL) {
        char where[96];
        sl_text text;
        sl_text_init(&text, where, sizeof(where) - 1);
        for (unsigned i = first; i < walk->depth; i++) {
            sl_text_append(&text, i > first ? "." : "");
            sl_text_append(&text, walk->names[i]);
        }
        where[text.length] = '\0';
        (void)sl_reason_set(walk->reason, status, where, what);
    }
    return status;
}

static int refuse(wire_walk *walk, int status, const char *what) {
    return refuse_at(walk, status, 0, what);
}

/* The first value that is refused is the one that is reported. One of a request is a program's,
 * which knows the field's name as its own, and not what it is in. */
static void refuse_value(wire_walk *walk, const char *what) {
    bool is_request = walk->names[0] == sluice__request__descriptor.short_name;
    if (walk->value_status == SLUICE_OK) {
        walk->value_status =
            refuse_at(walk, SLUICE_EINVAL, is_request ? walk->depth - 1 : 0, what);
    }
}

static bool read_varint(cursor *in, uint64_t *ret_value) {
    size_t width = sl_varint_read(in->at, (size_t)(in->end - in->at), ret_value);
    in->at += width;
    return width > 0;
}

static void check_text(wire_walk *walk, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count;) {
        if (bytes[i] == 0) {
            refuse_value(walk, "a NUL byte in text");
            return;
        }
        size_t length = sl_text_utf8_length((const char *)bytes + i, count - i);
        if (length == 0) {
            refuse_value(walk, "text that is not UTF-8");
            return;
        }
        i += length;
    }
}

static void check_number(wire_walk *walk, const ProtobufCFieldDescriptor *field, uint64_t value) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_SINT32:
        if (value > UINT32_MAX) {
            refuse_value(walk, "a number that does not fit 32 bits");
        }
        break;
    case PROTOBUF_C_TYPE_ENUM:
        if (value > INT32_MAX) {
            refuse_value(walk, "an enumeration's value that does not fit 31 bits");
        }
        break;
    case PROTOBUF_C_TYPE_BOOL:
        if (value > 1) {
            refuse_value(walk, "a truth value that is neither 0 nor 1");
        }
        break;
    default: break;
    }
}

static int walk_message(wire_walk *walk, const ProtobufCMessageDescriptor *descriptor, cursor in);

/* A field that is bytes on the wire: text, a message, or unknown. */
static int walk_bytes(wire_walk *walk, const ProtobufCFieldDescriptor *field, cursor *in) {
    uint64_t length = 0;
    if (!read_varint(in, &length) || length > (uint64_t)(in->end - in->at)) {
        return refuse(walk, SLUICE_EPROTOCOL, "a length that reaches beyond the end");
    }
    cursor inner = {in->at, in->at + length};
    in->at += length;
    if (field == NULL) {
        return SLUICE_OK;
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        check_text(walk, inner.at, (size_t)length);
        return SLUICE_OK;
    }
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return refuse(walk, SLUICE_EPROTOCOL, "bytes where a number belongs");
    }
    if (walk->depth > SL_WIRE_DEPTH_MAX) {
        return refuse(walk, SLUICE_EPROTOCOL, "messages nest too deep");
    }
    return walk_message(walk, (const ProtobufCMessageDescriptor *)field->descriptor, inner);
}

static bool is_bytes(const ProtobufCFieldDescriptor *field) {
    return field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES ||
           field->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* One field's value. Known fields are numbers as varints, text or messages: sluice.proto has no
 * fixed-width ones. */
static int walk_value(wire_walk *walk, const ProtobufCFieldDescriptor *field, unsigned wire_type,
                      cursor *in) {
    uint64_t value = 0;
    size_t width = wire_type == PROTOBUF_C_WIRE_TYPE_64BIT ? 8 : 4;
    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        if (!read_varint(in, &value)) {
            return refuse(walk, SLUICE_EPROTOCOL, "a number that does not end");
        }
        if (field != NULL && is_bytes(field)) {
            return refuse(walk, SLUICE_EPROTOCOL, "a number where bytes belong");
        }
        if (field != NULL) {
            check_number(walk, field, value);
        }
        return SLUICE_OK;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED: return walk_bytes(walk, field, in);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        if ((size_t)(in->end - in->at) < width) {
            return refuse(walk, SLUICE_EPROTOCOL, "a number that does not end");
        }
        if (field != NULL) {
            return refuse(walk, SLUICE_EPROTOCOL, "a fixed-width number in a field that has none");
        }
        in->at += width;
        return SLUICE_OK;
    default: return refuse(walk, SLUICE_EPROTOCOL, "a wire type that is not in use");
    }
}

/* A message member, or a member of a oneof, comes once: protobuf would merge or replace it. */
static int check_once(wire_walk *walk, const ProtobufCMessageDescriptor *descriptor,
                      const ProtobufCFieldDescriptor *field, uint64_t *seen) {
    bool is_oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    if (field->label == PROTOBUF_C_LABEL_REPEATED ||
        (!is_oneof && field->type != PROTOBUF_C_TYPE_MESSAGE)) {
        return SLUICE_OK;
    }
    ptrdiff_t index = field - descriptor->fields;
    SL_CHECK(index < 63, "a message of sluice.proto has less than 63 fields");
    uint64_t bit = is_oneof ? UINT64_C(1) << 63 : UINT64_C(1) << index;
    if ((*seen & bit) != 0) {
        return refuse(walk, SLUICE_EPROTOCOL,
                      is_oneof ? "a second member of a oneof" : "the same message twice");
    }
    *seen |= bit;
    return SLUICE_OK;
}

static int walk_message(wire_walk *walk, const ProtobufCMessageDescriptor *descriptor, cursor in) {
    uint64_t seen = 0;
    unsigned depth = walk->depth;
    while (in.at < in.end) {
        uint64_t tag = 0;
        walk->depth = depth;
        if (!read_varint(&in, &tag) || tag < 8 || tag > UINT32_MAX) {
            return refuse(walk, SLUICE_EPROTOCOL, "a field's tag that makes no sense");
        }
        if (++walk->fields > SL_WIRE_FIELDS_MAX) {
            return refuse(walk, SLUICE_EPROTOCOL, "too many fields in one frame");
        }
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
        if (field != NULL && depth <= SL_WIRE_DEPTH_MAX) {
            walk->names[depth] = field->name;
            walk->depth = depth + 1;
            int once = check_once(walk, descriptor, field, &seen);
            if (once != SLUICE_OK) {
                return once;
            }
        }
        int status = walk_value(walk, field, (unsigned)(tag & 7), &in);
        if (status != SLUICE_OK) {
            return status;
        }
    }
    walk->depth = depth;
    return SLUICE_OK;
}

int sl_wire_check(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                  sl_reason *ret_reason) {
    wire_walk walk = {.reason = ret_reason, .depth = 1, .names = {descriptor->short_name}};
    int status = walk_message(&walk, descriptor, (cursor){bytes, bytes + count});
    return status != SLUICE_OK ? status : walk.value_status;
}

static void *arena_alloc(void *context, size_t size) {
    return sl_arena_alloc((sl_arena *)context, size);
}

static void arena_free(void *context, void *memory) {
    (void)context; /* the next reset takes all back */
    (void)memory;
}

int sl_wire_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                   sl_arena *arena, ProtobufCMessage **ret_message, sl_reason *ret_reason) {
    sl_arena_reset(arena);
    int status = sl_wire_check(descriptor, bytes, count, ret_reason);
    if (status == SLUICE_EPROTOCOL) {
        return status;
    }
    ProtobufCAllocator allocator = {arena_alloc, arena_free, arena};
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, count, bytes);
    if (message == NULL) {
        return sl_reason_set(ret_reason, SLUICE_EPROTOCOL, descriptor->short_name,
                             arena->is_exhausted ? "needs more memory than a message may"
                                                 : "protobuf-c does not accept it");
    }
    *ret_message = message;
    return status;
}

int sl_wire_pack(const ProtobufCMessage *message, uint32_t payload_length, uint8_t *buffer,
                 size_t size, size_t *ret_length) {
    size_t control_length = protobuf_c_message_get_packed_size(message);
    if (control_length > 64 * SL_KIB || size < SL_FRAME_HEADER_BYTES ||
        control_length > size - SL_FRAME_HEADER_BYTES) {
        return SLUICE_ETOOLARGE;
    }
    sl_frame_header(buffer, (uint32_t)control_length, payload_length);
    size_t packed = protobuf_c_message_pack(message, buffer + SL_FRAME_HEADER_BYTES);
    SL_CHECK(packed == control_length, "protobuf-c packs as many bytes as it said");
    *ret_length = SL_FRAME_HEADER_BYTES + control_length;
    return SLUICE_OK;
}

sl_session_limits sl_wire_take_limits(const Sluice__Limits *from) {
    return (sl_session_limits){
        .control_bytes = from->control_bytes,
        .fragment_bytes = from->fragment_bytes,
        .payload_bytes = from->payload_bytes,
        .credit_operations = from->credit_operations,
        .credit_bytes = from->credit_bytes,
        .handles = from->handles,
    };
}

void sl_wire_put_limits(const sl_session_limits *from, Sluice__Limits *to) {
    sluice__limits__init(to);
    to->control_bytes = from->control_bytes;
    to->fragment_bytes = from->fragment_bytes;
    to->payload_bytes = from->payload_bytes;
    to->credit_operations = from->credit_operations;
    to->credit_bytes = from->credit_bytes;
    to->handles = from->handles;
}
