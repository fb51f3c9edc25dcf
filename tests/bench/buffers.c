/*
 * buffers.c - memory for what is sent and received, placed alike for both subjects.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "loops.h"

#define PAGE_BYTES 4096u
#define LINE_BYTES 64u

void loops_buffers_init(loops_buffers *self, size_t count, size_t size) {
    self->stride = size + LINE_BYTES;
    self->base = malloc(count * self->stride + PAGE_BYTES);
    SL_CHECK(self->base != NULL, "out of memory");
    uintptr_t begin = ((uintptr_t)self->base + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1);
    self->first = (unsigned char *)begin;
    memset(self->first, 1, count * self->stride);
}

void loops_buffers_deinit(loops_buffers *self) {
    free(self->base);
    self->base = NULL;
}
