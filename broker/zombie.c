/*
 * zombie.c - see zombie.h.
 */
#include "broker/zombie.h"

#include "broker/session.h"
#include "broker/worker.h"

void zombie_begin(broker_zombie *zombie, broker_session *session) {
    SL_CHECK(zombie->session == NULL, "a zombie is charged once");
    zombie->session = session;
    counter_add(&session->worker->counters.zombies, 1);
    atomic_fetch_add_explicit(&session->user->zombies, 1, memory_order_relaxed);
}

void zombie_end(broker_zombie *zombie) {
    broker_session *session = zombie->session;
    if (session == NULL) {
        return;
    }
    zombie->session = NULL;
    counter_subtract(&session->worker->counters.zombies, 1);
    uint32_t before = atomic_fetch_sub_explicit(&session->user->zombies, 1, memory_order_relaxed);
    SL_CHECK(before > 0, "a zombie is given back once");
}

uint32_t zombie_count(const broker_session *session) {
    return atomic_load_explicit(&session->user->zombies, memory_order_relaxed);
}
