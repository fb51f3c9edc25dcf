/*
 * place.h - where a private broker listens: a name of its own. place_posix.c, place_win.c.
 *
 * On Linux it lies in a folder of its own, which only this user can enter; who lives there (we and
 * the broker) holds the folder's lock, so one whose lock is free was left behind, and the next
 * launch of this user clears it away. On Windows a pipe's name goes with its process.
 */
#ifndef SLUICE_CLIENT_PLACE_H
#define SLUICE_CLIENT_PLACE_H

#include "engine/engine.h"

typedef struct client_place {
    char endpoint[ENGINE_PIPE_NAME_BYTES]; /* "" = there is none */
    int folder;                            /* Linux: a descriptor of the folder, with its lock */
} client_place;

/* A new one; `random` makes its name. Each parent has a part of the time until deadline_ns of the
 * system clock, by an errand of its own (errand.h); then the next one is tried. Waits: for the
 * launch thread. SLUICE_OK; EACCESS, ENOMEM, EOSLIMIT, ETIMEDOUT, EOS: with a detail that tells the
 * places that were tried, and why not there. */
int client_place_make(client_place *ret_place, const uint64_t random[2], uint64_t deadline_ns,
                      char *ret_detail, size_t detail_size, uint32_t *ret_os_error);

/* Its broker has ended, or never was: removes whatever is left of it. Harmless without one. */
void client_place_clear(client_place *place);

/* Gives up what we hold of it: its broker clears it away, or a later launch. */
void client_place_leave(client_place *place);

#endif
