/*
 * model.h - what may be read from a stream, given what was written to it.
 *
 * Every byte tells where it belongs: the first of a write is 128 or more and names the write, the
 * others are below 128 and follow from the write's number and their place. So whatever the outcomes
 * of the writes are, a reader that gets bytes in their order, none missing inside a write, none
 * twice, can be checked byte by byte; and at the end each write's bytes can be held against its
 * result: done <= bytes that came <= done + in_doubt.
 */
#ifndef SLUICE_TESTS_WORLD_MODEL_H
#define SLUICE_TESTS_WORLD_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

#define EXPECT(condition) SL_CHECK(condition, "a simulated life")

#define MODEL_WRITES_MAX 120u /* below 128: their first bytes tell them apart */

typedef struct model_write {
    uint32_t length;
    uint32_t came; /* bytes that were read */
    uint64_t done;
    uint64_t in_doubt;
    bool has_ended;
} model_write;

typedef struct model_stream {
    model_write writes[MODEL_WRITES_MAX];
    uint32_t write_count;
    int current;    /* the write that the last byte belongs to; -1 = none yet */
    bool has_ended; /* the reader has met the end, or an error that stays */
    bool is_whole;  /* ... the end of the file: everything has come */
} model_stream;

void model_init(model_stream *stream);
/* Fills in the bytes of the next write; its number. */
uint32_t model_write_begin(model_stream *stream, uint8_t *bytes, uint32_t length);
void model_write_end(model_stream *stream, uint32_t index, bool is_ok, uint64_t done,
                     uint64_t in_doubt);
/* Who writes will never tell: all of what has not ended is in doubt. */
void model_writer_dies(model_stream *stream);
/* Bytes that were read; all reads before it are known. */
void model_take(model_stream *stream, const uint8_t *bytes, uint64_t count);
/* Nothing more will be read; whole: because it was the end of the file. */
void model_reader_ends(model_stream *stream, bool is_whole);
/* Bytes that are certainly written and have not been read. */
uint64_t model_certain(const model_stream *stream);
/* When all reads and writes have ended. */
void model_check(const model_stream *stream);

#endif
