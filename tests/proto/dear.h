/*
 * dear.h - control messages of 64 KiB that are made to cost their decoder much, and memory that
 * says how much. Without a test framework.
 */
#ifndef SLUICE_TESTS_PROTO_DEAR_H
#define SLUICE_TESTS_PROTO_DEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

#define DEAR_CONTROL_BYTES 65536u
#define DEAR_ROOM          (DEAR_CONTROL_BYTES + 16u)

/* Puts the index-th message into `bytes`, which has DEAR_ROOM. Returns its length, 0 = there are no
 * more; *ret_name says what it is. `is_allowed`: nothing is wrong with it; the others are refused
 * by whoever decodes them as a request and as a response. */
size_t dear_message(unsigned index, uint8_t *bytes, const char **ret_name, bool *ret_is_allowed);

/* One field of bytes with a length of three bytes: its tag and length. Returns where it begins. */
size_t dear_wrap(uint8_t *bytes, const char *tag, size_t tag_length, size_t inner_length);

/* The system's memory, counted. One thread. */
typedef struct dear_memory {
    sl_allocator allocator;
    size_t used_bytes;
    size_t peak_bytes; /* since dear_memory_mark */
    size_t mark_bytes;
} dear_memory;

void dear_memory_init(dear_memory *memory);
void dear_memory_mark(dear_memory *memory);
/* So many bytes more than at the mark were in use at a time. */
size_t dear_memory_cost(const dear_memory *memory);

#endif
