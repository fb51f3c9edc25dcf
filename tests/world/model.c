/*
 * model.c - see model.h.
 */
#include "tests/world/model.h"

#include <string.h>

#define MARK   128u
#define PERIOD 4096u /* of the bytes behind the first */

/* The byte at a place behind the first: below MARK, from a table that is one period too long, so
 * that a period can be copied and compared from any place. */
static const uint8_t *bytes_from(uint32_t index, uint32_t place) {
    static uint8_t table[2 * PERIOD];
    if (table[0] == 0) {
        for (uint32_t i = 0; i < 2 * PERIOD; i++) {
            table[i] = (uint8_t)((i % PERIOD * 2654435761u >> 15) % (MARK - 1) + 1);
        }
    }
    return table + (place + index * 131u) % PERIOD;
}

void model_init(model_stream *stream) {
    stream->write_count = 0;
    stream->current = -1;
    stream->has_ended = false;
    stream->is_whole = false;
}

uint32_t model_write_begin(model_stream *stream, uint8_t *bytes, uint32_t length) {
    EXPECT(stream->write_count < MODEL_WRITES_MAX);
    uint32_t index = stream->write_count++;
    stream->writes[index] = (model_write){.length = length};
    for (uint32_t i = 0; i < length; i += PERIOD) {
        memcpy(bytes + i, bytes_from(index, i), length - i < PERIOD ? length - i : PERIOD);
    }
    if (length != 0) {
        bytes[0] = (uint8_t)(MARK + index);
    }
    return index;
}

void model_write_end(model_stream *stream, uint32_t index, bool is_ok, uint64_t done,
                     uint64_t in_doubt) {
    model_write *w = &stream->writes[index];
    EXPECT(!w->has_ended && done + in_doubt <= w->length);
    EXPECT(!is_ok || done == w->length);
    w->has_ended = true;
    w->done = done;
    w->in_doubt = in_doubt;
}

void model_writer_dies(model_stream *stream) {
    for (uint32_t i = 0; i < stream->write_count; i++) {
        model_write *w = &stream->writes[i];
        if (!w->has_ended) {
            w->has_ended = true;
            w->in_doubt = w->length;
        }
    }
}

/* The first byte of a write: in order, and not twice. */
static void take_first(model_stream *stream, uint8_t byte) {
    EXPECT((int)(byte - MARK) > stream->current && byte - MARK < stream->write_count);
    stream->current = (int)(byte - MARK);
    EXPECT(stream->writes[stream->current].came == 0);
    stream->writes[stream->current].came = 1;
}

/* Bytes of the write that has begun, up to the first of another. */
static uint64_t take_more(model_stream *stream, const uint8_t *bytes, uint64_t count) {
    uint64_t taken = 0;
    EXPECT(stream->current >= 0);
    model_write *w = &stream->writes[stream->current];
    while (taken < count && bytes[taken] < MARK) {
        uint32_t room = w->length - w->came;
        uint32_t run = room < PERIOD ? room : PERIOD;
        run = count - taken < run ? (uint32_t)(count - taken) : run;
        EXPECT(run != 0);
        const uint8_t *expected = bytes_from((uint32_t)stream->current, w->came);
        if (memcmp(bytes + taken, expected, run) != 0) {
            EXPECT(bytes[taken] == expected[0]);
            run = 1;
        }
        taken += run;
        w->came += run;
    }
    return taken;
}

void model_take(model_stream *stream, const uint8_t *bytes, uint64_t count) {
    EXPECT(count == 0 || !stream->has_ended);
    while (count != 0) {
        uint64_t taken = 1;
        if (bytes[0] >= MARK) {
            take_first(stream, bytes[0]);
        } else {
            taken = take_more(stream, bytes, count);
        }
        bytes += taken;
        count -= taken;
    }
}

void model_reader_ends(model_stream *stream, bool is_whole) {
    if (!stream->has_ended) {
        stream->has_ended = true;
        stream->is_whole = is_whole;
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
