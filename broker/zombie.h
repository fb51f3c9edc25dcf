/*
 * zombie.h - handles and requests that the system does not let go: each is charged to its session's
 * user, over all workers, and counted by the worker, until it comes back.
 */
#ifndef SLUICE_BROKER_ZOMBIE_H
#define SLUICE_BROKER_ZOMBIE_H

#include "broker/types.h"

/* What took it, and alone gives it back. */
typedef struct broker_zombie {
    broker_session *session; /* NULL: it is none */
} broker_zombie;

void zombie_begin(broker_zombie *zombie, broker_session *session);
/* Harmless for what is none. */
void zombie_end(broker_zombie *zombie);

static inline bool zombie_is(const broker_zombie *zombie) {
    return zombie->session != NULL;
}

/* Of the session's user, on all workers. */
uint32_t zombie_count(const broker_session *session);

#endif
