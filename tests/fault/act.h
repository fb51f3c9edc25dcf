/*
 * act.h - what the acts on the engine share.
 */
#ifndef SLUICE_TESTS_FAULT_ACT_H
#define SLUICE_TESTS_FAULT_ACT_H

#include "tests/fault/script.h"

/* Each returns the request's id, or 0 when it was refused. */
engine_request_id act_read(script *s, engine_handle *handle, void *buffer, size_t length);
engine_request_id act_write(script *s, engine_handle *handle, const void *bytes, size_t length,
                            unsigned parts);
engine_request_id act_connect(script *s, const engine_address *address);
/* Listens, and waits: the status of its end, or of the refusal. */
/* For a peer: act_behalf.c. Makes the rights those of a user who may open nothing of ours; false:
 * that cannot be had. */
void act_behalf(script *s);
bool act_make_stranger(engine_rights *rights);
/* The same pipe by a longer way, where there is one; another file beside it. */
void act_detour(engine_address *address);
bool act_name_no_socket(engine_address *address);
/* A link to it, where there are such; and the link goes again. */
bool act_link(const engine_address *to, engine_address *ret_link);
void act_unlink(const engine_address *link);
/* A listener of ours is that user's, too: where that takes more than the listen itself. */
void act_grant(script *s, const engine_rights *rights);
int act_listen(script *s, const engine_address *addresses, unsigned count,
               const engine_listen_options *options, engine_handle **ret_listener);

/* Everything a stream can do, and every byte checked; closes the writer. */
void act_stream(script *s, engine_handle *reader, engine_handle *writer, bool half_closes);
/* Connects and accepts: [0] connected, [1] was accepted; NULL where that failed. */
bool act_meet(script *s, engine_handle *listener, const engine_address *address, bool tries_again,
              engine_handle *ret_ends[2]);
/* With accepts pending. */
void act_close_listener(script *s, engine_handle *listener);

void act_endpoint(script *s);
void act_crowded_endpoint(script *s);
void act_poor_endpoint(script *s);

/* Before an engine is made. */
void act_openers_start(void);
void act_resolve(script *s);
void act_late_connect(script *s);

/* ---- by platform (act_posix.c, act_win.c) ---- */

extern const char *const act_access; /* one that needs the most work */
extern const char *const act_nobody; /* a group or user that is nobody's */
extern const bool act_pipes_half_close;
/* So many connections that two listeners of an endpoint cannot hold them. */
extern const unsigned act_crowd;

#endif
