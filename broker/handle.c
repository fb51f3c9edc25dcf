/*
 * handle.c - a session's table of handles: {index, generation} ids, all errors alike.
 */
#include "broker/handle.h"

#include <string.h>

#include "broker/charge.h"

broker_handle *handle_open(broker_op *op, engine_handle *os) {
    broker_session *session = op->session;
    void *entry;
    sl_slot_id id;
    SL_CHECK(op->reserved_handles > 0, "a handle is opened on a promise");
    int status = sl_slots_take(&session->handles, &entry, &id);
    SL_CHECK(status == SLUICE_OK, "a promised handle has its place");
    uint8_t descriptors = (uint8_t)(op->reserved_descriptors / op->reserved_handles);
    op->reserved_descriptors = (uint8_t)(op->reserved_descriptors - descriptors);
    op->reserved_handles--;
    broker_handle *opened = entry;
    memset(opened, 0, sizeof(*opened));
    opened->session = session;
    opened->os = os;
    opened->id = id;
    opened->descriptors = descriptors;
    opened->can = engine_handle_capabilities(os);
    sl_list_init(&opened->readers);
    sl_list_init(&opened->writers);
    sl_list_init(&opened->accepters);
    sl_list_init(&opened->in_starving);
    sl_list_init(&opened->in_unsent);
    charge_open_handle(opened, op);
    if (op->reads_ahead && (opened->can & ENGINE_CAN_READ) != 0) {
        session->has_streams = true;
        reading_open(opened, true);
    }
    counter_add(&session->worker->counters.handles, 1);
    op->opened[op->opened_count++] = id;
    return opened;
}

broker_handle *handle_find(broker_session *session, uint64_t id) {
    broker_handle *found = sl_slots_find(&session->handles, id);
    return found != NULL && found->state != HANDLE_ZOMBIE ? found : NULL;
}
