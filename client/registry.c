/*
 * registry.c - see registry.h.
 *
 * The lock is held for a few instructions, and names the process that holds it (by the number that
 * a fork changes): a child of fork takes it away from a thread of its parent's that it does not
 * have, and begins with an empty list, since its parent's sessions are none of its own.
 */
#include "client/registry.h"

#include "client/fork.h"

static sl_atomic_u64 holder; /* 0 = nobody */
static uint64_t generation;  /* whose the list is */
static sl_list deliveries;

static void lock(void) {
    uint64_t own = client_fork_generation();
    for (;;) {
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(&holder, &found, own) ||
            (found != own && atomic_compare_exchange_strong(&holder, &found, own))) {
            break;
        }
        sl_thread_yield();
    }
    if (generation != own) {
        generation = own;
        sl_list_init(&deliveries);
    }
}

static void unlock(void) {
    atomic_store(&holder, 0);
}

void client_registry_add(client_delivery *delivery) {
    lock();
    sl_list_push_back(&deliveries, &delivery->registered);
    unlock();
}

void client_registry_remove(client_delivery *delivery) {
    lock();
    sl_list_remove(&delivery->registered);
    unlock();
}

bool client_registry_is_callback(void) {
    bool is_callback = false;
    lock();
    for (sl_list *node = deliveries.next; node != &deliveries; node = node->next) {
        is_callback = is_callback ||
                      client_delivery_is_callback(SL_LIST_ENTRY(node, client_delivery, registered));
    }
    unlock();
    return is_callback;
}
