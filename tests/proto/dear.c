/*
 * dear.c - see dear.h.
 */
#include "tests/proto/dear.h"

#include <string.h>

#include "base/check.h"

/* A control message is filled with one of these, inside one field or not. */
typedef struct dear_kind {
    const char *name;
    const char *tag; /* of the field around; "" = none */
    size_t tag_length;
    const char *unit;
    size_t unit_length;
} dear_kind;

static const dear_kind kinds[] = {
    {"unknown numbers", "", 0, "\x98\x06\x01", 3},
    {"unknown empty bytes", "", 0, "\x9a\x06\x00", 3},
    {"unknown long tags", "", 0, "\xfa\xff\xff\xff\x0f\x00", 6},
    {"unknown wide numbers", "", 0, "\x99\x06zzzzzzzz", 10},
    {"id again and again", "", 0, "\x08\x01", 2},
    {"detail again and again", "", 0, "\x3a\x01x", 3},
    {"empty members of a oneof", "", 0, "\x6a\x00", 2},
    {"opened handles", "", 0, "\x42\x02\x0a\x00", 4},
    {"groups", "", 0, "\x9b\x06\x9c\x06", 4},
    {"handles of Response.opened", "\x42", 1, "\x0a\x00", 2},
    {"rows of Response.ops", "\x92\x01", 2, "\x0a\x00", 2},
    {"unknown fields one level down", "\x92\x01", 2, "\x98\x06\x01", 3},
    {"unknown fields of Request.read", "\x12", 1, "\x98\x06\x01", 3},
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

size_t dear_wrap(uint8_t *bytes, const char *tag, size_t tag_length, size_t inner_length) {
    memcpy(bytes, tag, tag_length);
    bytes[tag_length] = (uint8_t)(inner_length | 128);
    bytes[tag_length + 1] = (uint8_t)(inner_length >> 7 | 128);
    bytes[tag_length + 2] = (uint8_t)(inner_length >> 14);
    return tag_length + 3;
}

/* As many units as fit, to the last byte when they are in a field. */
static size_t fill(const dear_kind *kind, uint8_t *bytes) {
    size_t at = 2;
    memcpy(bytes, "\x08\x07", 2);
    if (kind->tag_length > 0) {
        at = dear_wrap(bytes, kind->tag, kind->tag_length,
                       DEAR_CONTROL_BYTES - kind->tag_length - 3);
    }
    while (at + kind->unit_length <= DEAR_CONTROL_BYTES) {
        memcpy(bytes + at, kind->unit, kind->unit_length);
        at += kind->unit_length;
    }
    return kind->tag_length > 0 ? DEAR_CONTROL_BYTES : at;
}

/* A ping, and an unknown field that looks like 13,000 messages within each other. */
static size_t nest(uint8_t *bytes) {
    size_t at = 4;
    memcpy(bytes, "\x08\x07\x6a\x00", 4);
    while (at + 5 <= DEAR_CONTROL_BYTES) {
        at += dear_wrap(bytes + at, "\x9a\x06", 2, DEAR_CONTROL_BYTES - at - 5);
    }
    memset(bytes + at, 0, DEAR_CONTROL_BYTES - at);
    return DEAR_CONTROL_BYTES;
}

size_t dear_message(unsigned index, uint8_t *bytes, const char **ret_name, bool *ret_is_allowed) {
    *ret_is_allowed = index == KIND_COUNT;
    if (index < KIND_COUNT) {
        *ret_name = kinds[index].name;
        return fill(&kinds[index], bytes);
    }
    *ret_name = "deepest nesting";
    return index == KIND_COUNT ? nest(bytes) : 0;
}

static void *acquire(sl_allocator *source, size_t size_bytes) {
    dear_memory *memory = SL_CONTAINER_OF(source, dear_memory, allocator);
    sl_allocator *system = sl_allocator_system();
    memory->used_bytes += size_bytes;
    if (memory->used_bytes > memory->peak_bytes) {
        memory->peak_bytes = memory->used_bytes;
    }
    return system->acquire(system, size_bytes);
}

static void release(sl_allocator *source, void *bytes, size_t size_bytes) {
    dear_memory *memory = SL_CONTAINER_OF(source, dear_memory, allocator);
    sl_allocator *system = sl_allocator_system();
    SL_CHECK(memory->used_bytes >= size_bytes, "no more is released than was acquired");
    memory->used_bytes -= size_bytes;
    system->release(system, bytes, size_bytes);
}

void dear_memory_init(dear_memory *memory) {
    *memory = (dear_memory){.allocator = {acquire, release}};
}

void dear_memory_mark(dear_memory *memory) {
    memory->mark_bytes = memory->peak_bytes = memory->used_bytes;
}

size_t dear_memory_cost(const dear_memory *memory) {
    return memory->peak_bytes - memory->mark_bytes;
}
