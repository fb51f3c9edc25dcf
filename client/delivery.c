/*
 * delivery.c - see delivery.h. A callback may do anything but close its session: it may start
 * calls, release its operation, wait in a synchronous call (except INLINE: on the I/O thread),
 * close another session (which then waits for nobody: session.c).
 */
#include "client/delivery.h"

#include "base/failpoint.h"
#include "client/registry.h"
#include "client/session.h"
#include "client/waitable.h"

static void run_callback(client_delivery *delivery, client_operation *op) {
    sluice_operation *visible = atomic_load(&op->is_released) ? NULL : op;
    /* Relaxed: who asks whether it is this thread sees what it wrote itself, or another's. */
    sl_atomic_u64 *thread_id = &delivery->callback_thread_id;
    uint64_t outer = atomic_load_explicit(thread_id, memory_order_relaxed);
    atomic_store_explicit(thread_id, sl_thread_self(), memory_order_relaxed);
    SL_FAILPOINT_PASS(client, callback);
    client_outcome((client_call)op->call, op->result.status, op->result.detail);
    op->on_done(op->user, visible, &op->result);
    SL_FAILPOINT_PASS(client, called);
    atomic_store_explicit(thread_id, outer, memory_order_relaxed);
    atomic_fetch_sub(&delivery->undelivered_count, 1);
    client_pool_drop(op);
}

static void run_all(client_delivery *delivery) {
    sl_mail *mail = sl_mailbox_take_all(&delivery->finished);
    while (mail != NULL) {
        sl_mail *next = mail->next;
        run_callback(delivery, SL_CONTAINER_OF(mail, client_operation, delivery));
        mail = next;
    }
}

static void callback_thread(void *context) {
    client_delivery *delivery = context;
    for (;;) {
        (void)sl_event_wait_until(&delivery->event, SL_CLOCK_NEVER);
        bool is_last = atomic_load(&delivery->is_stopping);
        run_all(delivery);
        if (is_last) {
            return;
        }
    }
}

int client_delivery_open(client_delivery *delivery, uint32_t mode) {
    int status = SLUICE_OK;
    delivery->mode = mode;
    sl_mailbox_init(&delivery->finished);
    atomic_init(&delivery->is_stopping, false);
    atomic_init(&delivery->is_dispatching, false);
    atomic_init(&delivery->callback_thread_id, 0);
    atomic_init(&delivery->undelivered_count, 0);
    delivery->taken = NULL;
    if (mode == SLUICE_DELIVERY_THREAD) {
        status = sl_event_init(&delivery->event);
        if (status == SLUICE_OK) {
            status =
                sl_thread_start(&delivery->thread, "sluice-callback", callback_thread, delivery);
            if (status != SLUICE_OK) {
                sl_event_deinit(&delivery->event);
            }
        }
    } else if (mode == SLUICE_DELIVERY_POLL) {
        status = client_waitable_open(&delivery->waitable);
    } else if (mode != SLUICE_DELIVERY_INLINE) {
        status = SLUICE_EINVAL;
    }
    delivery->is_open = status == SLUICE_OK;
    if (delivery->is_open) {
        sl_list_init(&delivery->registered);
        client_registry_add(delivery);
    }
    return status;
}

void client_delivery_close(client_delivery *delivery) {
    if (!delivery->is_open) {
        return;
    }
    delivery->is_open = false;
    if (delivery->mode == SLUICE_DELIVERY_THREAD) {
        atomic_store(&delivery->is_stopping, true);
        sl_event_set(&delivery->event);
        (void)sl_thread_join_or_leave(&delivery->thread, SL_THREAD_EXIT_NS);
        sl_event_deinit(&delivery->event);
    } else if (delivery->mode == SLUICE_DELIVERY_POLL) {
        uint32_t count;
        do { /* what was taken before, then the rest */
            count = 0;
            (void)client_delivery_dispatch(delivery, 0, &count);
        } while (count != 0);
        client_waitable_close(delivery->waitable);
    }
    client_registry_remove(delivery);
}

void client_delivery_put(client_delivery *delivery, client_operation *op) {
    if (op->on_done == NULL) {
        sl_event_set(&op->event);
        return;
    }
    if (delivery->mode == SLUICE_DELIVERY_INLINE) {
        run_callback(delivery, op);
    } else if (sl_mailbox_post(&delivery->finished, &op->delivery)) {
        if (delivery->mode == SLUICE_DELIVERY_THREAD) {
            sl_event_set(&delivery->event);
        } else {
            client_waitable_set(delivery->waitable);
        }
    }
}

bool client_delivery_is_callback(const client_delivery *delivery) {
    return atomic_load_explicit(&delivery->callback_thread_id, memory_order_relaxed) ==
           sl_thread_self();
}

bool client_delivery_is_dispatching(client_delivery *delivery) {
    return delivery->mode == SLUICE_DELIVERY_POLL && atomic_load(&delivery->is_dispatching);
}

/* The next one that is due, or NULL. The mailbox is emptied once: callbacks that start calls which
 * end at once would keep their thread here for ever. The waitable is unset before that. */
static client_operation *next_due(client_delivery *delivery, bool *may_take) {
    if (delivery->taken == NULL && *may_take) {
        delivery->taken = sl_mailbox_take_all(&delivery->finished);
        *may_take = false;
    }
    sl_mail *mail = delivery->taken;
    if (mail == NULL) {
        return NULL;
    }
    delivery->taken = mail->next;
    return SL_CONTAINER_OF(mail, client_operation, delivery);
}

int client_delivery_dispatch(client_delivery *delivery, uint32_t max, uint32_t *ret_count) {
    if (client_delivery_is_callback(delivery)) {
        return SLUICE_EDEADLK;
    }
    if (atomic_exchange(&delivery->is_dispatching, true)) {
        return SLUICE_EBUSY;
    }
    client_waitable_unset(delivery->waitable);
    uint32_t count = 0;
    client_operation *op;
    bool may_take = true;
    while ((max == 0 || count < max) && (op = next_due(delivery, &may_take)) != NULL) {
        run_callback(delivery, op);
        count++;
    }
    /* What comes after the unset sets it again; what was taken and not run is ours to tell. */
    if (delivery->taken != NULL || !sl_mailbox_is_empty(&delivery->finished)) {
        client_waitable_set(delivery->waitable);
    }
    atomic_store(&delivery->is_dispatching, false);
    if (ret_count != NULL) {
        *ret_count = count;
    }
    return SLUICE_OK;
}
