/*
 * peer.h - the far end of the two-cpu topology: an echo (or sink) thread in plain raw code, the
 * same for whoever connects (peer_posix.c, peer_win.c).
 */
#ifndef SLUICE_BENCH_PEER_H
#define SLUICE_BENCH_PEER_H

#include <stdbool.h>

typedef struct peer peer;

/* Listens on a pipe name and serves at most `connections` on a thread of its own, pinned to `cpu`.
 * As a sink it reads and forgets; else it sends everything back. SLUICE_OK, or why not. */
int peer_start(const char *name, unsigned connections, bool is_sink, unsigned cpu, peer **ret_peer);

/* After the subjects have closed their ends. */
void peer_stop(peer *self);

#endif
