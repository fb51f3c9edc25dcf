/*
 * calls.h - between the files of a program's calls: calls.c (how they begin), outcome.c (how they
 * end), closing.c (how all of them end).
 */
#ifndef SLUICE_TESTS_WORLD_CALLS_H
#define SLUICE_TESTS_WORLD_CALLS_H

#include "tests/world/world.h"

#define WORLD_NAME_BYTES 1u /* who connects says which wire it is */

static inline world_life *life_of(const world_client *client) {
    return client->process.life;
}

/* What is read, and what is written, at an end whose wire is known. */
static inline model_stream *in_of(const world_end *end) {
    return &end->wire->way[end->side];
}

static inline model_stream *out_of(const world_end *end) {
    return &end->wire->way[1 - end->side];
}

/* Does it yield handles? */
static inline bool call_opens(sl_request_kind kind) {
    return kind == SL_REQUEST_PAIR || kind == SL_REQUEST_LISTEN || kind == SL_REQUEST_ACCEPT ||
           kind == SL_REQUEST_CONNECT;
}

/* NULL: no place, or no credit. */
world_call *call_begin(world_client *client, const sl_request *request, world_end *end,
                       uint32_t length);
void call_post(world_client *client, world_call *call);
void call_cancel(world_client *client, world_call *call);
/* The application gives its reference back. */
void call_release(world_client *client, world_call *call);
/* Are there so many places for handles, beside those that openings under way will need? */
bool call_has_places(world_client *client, uint32_t count);
void call_read(world_client *client, world_end *end, uint32_t length, bool is_all);
void call_close(world_client *client, world_end *end);

#endif
