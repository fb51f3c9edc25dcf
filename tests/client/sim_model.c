/*
 * sim_model.c - see sim_model.h.
 */
#include "tests/client/sim_model.h"

#include <string.h>

#define MARK 128u

static uint8_t byte_at(uint32_t index, uint32_t place) {
    return (uint8_t)(place == 0 ? MARK + index : (index * 31 + place * 7 + (place >> 8)) % MARK);
}

void model_init(model_stream *stream) {
    memset(stream, 0, sizeof(*stream));
    stream->current = -1;
}

uint32_t model_write_begin(model_stream *stream, uint8_t *bytes, uint32_t length) {
    EXPECT(stream->write_count < MODEL_WRITES_MAX);
    uint32_t index = stream->write_count++;
    stream->writes[index].length = length;
    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = byte_at(index, i);
    }
    return index;
}

void model_write_end(model_stream *stream, uint32_t index, const sluice_result *result) {
    model_write *w = &stream->writes[index];
    EXPECT(!w->has_ended && result->done + result->in_doubt <= w->length);
    EXPECT((result->status == SLUICE_OK) == (result->done == w->length));
    w->has_ended = true;
    w->done = result->done;
    w->in_doubt = result->in_doubt;
}

static void take(model_stream *stream, uint8_t byte) {
    if (byte >= MARK) {
        EXPECT((int)(byte - MARK) > stream->current); /* in order, and not twice */
        EXPECT(byte - MARK < stream->write_count);
        stream->current = (int)(byte - MARK);
    } else {
        EXPECT(stream->current >= 0);
    }
    model_write *w = &stream->writes[stream->current];
    EXPECT(w->came < w->length && byte == byte_at((uint32_t)stream->current, w->came));
    w->came++;
}

/* After these nothing more comes. */
static bool is_end(int32_t status) {
    return status == SLUICE_EEOF || status == SLUICE_ERESET || status == SLUICE_EOS ||
           status == SLUICE_EOSLIMIT || status == SLUICE_EBROKENPIPE;
}

void model_read(model_stream *stream, const uint8_t *bytes, const sluice_result *result) {
    EXPECT(result->done == 0 || !stream->has_ended);
    for (uint64_t i = 0; i < result->done; i++) {
        take(stream, bytes[i]);
    }
    if (is_end(result->status) && !stream->has_ended) {
        stream->has_ended = true;
        stream->is_whole = result->status == SLUICE_EEOF;
    }
}

uint64_t model_certain(const model_stream *stream) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < stream->write_count; i++) {
        const model_write *w = &stream->writes[i];
        count += w->has_ended && (int)i >= stream->current && w->done > w->came ? w->done - w->came
                                                                                : 0;
    }
    return stream->has_ended ? 0 : count;
}

void model_check(const model_stream *stream) {
    for (uint32_t i = 0; i < stream->write_count; i++) {
        const model_write *w = &stream->writes[i];
        EXPECT(w->has_ended && w->came <= w->done + w->in_doubt);
        /* What is behind it has come, so it has, too. */
        EXPECT(w->came >= w->done || (!stream->is_whole && (int)i >= stream->current));
    }
}
