/*
 * sim_datagram.c - UDP sockets: whole messages in bounded queues, which may be lost, doubled or
 * overtaken, but never joined, split or (but by the receiver's own buffer) cut.
 *
 * A datagram belongs to the world and waits in the queue of the socket it reached. One thread.
 */
#include <string.h>

#include "tests/sim/sim_world.h"

/* ---- sockets --------------------------------------------------------------------------------- */

int sim_udp_open(engine_worker *worker, engine_handle *base, const engine_address *address) {
    sim_world *world = sim_world_of_worker(worker);
    sim_handle *socket = sim_handle_of(base);
    if (address->family != ENGINE_ADDRESS_IPV4 && address->family != ENGINE_ADDRESS_IPV6) {
        return SLUICE_EINVAL;
    }
    int status = SLUICE_OK;
    if (sim_strikes(world, SIM_OS_UDP_OPEN)) {
        sim_pick_error(world, ENGINE_CLOSE, &status, &worker->os_error);
        return status;
    }
    if (!sim_has_descriptors(world, 1)) {
        worker->os_error = SIM_EMFILE;
        return SLUICE_EOSLIMIT;
    }
    status = sim_binding_create(world, SIM_TRANSPORT_UDP, address, false, &socket->binding,
                                &worker->os_error);
    if (status != SLUICE_OK) {
        return status;
    }
    socket->binding->socket = socket;
    socket->connection = NULL;
    sl_list_init(&socket->queue);
    socket->queue_count = 0;
    socket->queue_max = world->options.datagrams_max;
    sim_handle_opened(world, base, ENGINE_CAN_DATAGRAM, 1);
    return SLUICE_OK;
}

static void datagram_free(sim_world *world, sim_datagram *datagram) {
    sim_bytes_pop(world, &datagram->bytes, NULL, datagram->bytes.count);
    sl_slots_release(&world->datagrams, datagram);
}

static sim_datagram *datagram_pop(sim_handle *socket) {
    sl_list *node = sl_list_pop_front(&socket->queue);
    if (node == NULL) {
        return NULL;
    }
    socket->queue_count--;
    return SL_LIST_ENTRY(node, sim_datagram, link);
}

void sim_udp_close(sim_world *world, sim_handle *socket) {
    sim_datagram *datagram;
    while ((datagram = datagram_pop(socket)) != NULL) {
        datagram_free(world, datagram);
    }
    sim_binding_destroy(world, socket->binding);
}

/* ---- send ------------------------------------------------------------------------------------ */

/* As the receiver sees the sender: the wildcard sends from the loopback address. */
static void sender_address(const sim_handle *sender, engine_address *ret_address) {
    static const uint8_t anything[16];
    *ret_address = sender->binding->address;
    if (memcmp(ret_address->ip, anything, sizeof(anything)) != 0) {
        return;
    }
    if (ret_address->family == ENGINE_ADDRESS_IPV4) {
        ret_address->ip[0] = 127;
        ret_address->ip[3] = 1;
    } else {
        ret_address->ip[15] = 1;
    }
}

static void queue_datagram(sim_world *world, sim_handle *socket, const engine_request *base) {
    if (socket->queue_count >= socket->queue_max || sim_strikes(world, SIM_UDP_LOSS)) {
        world->counters.datagram_lost_count++;
        return;
    }
    void *entry;
    sl_slot_id id;
    int status = sl_slots_take(&world->datagrams, &entry, &id);
    SL_CHECK(status == SLUICE_OK, "the simulated kernel has memory");
    sim_datagram *datagram = entry;
    memset(datagram, 0, sizeof(*datagram));
    sl_list_init(&datagram->link);
    sender_address(sim_handle_of(base->handle), &datagram->from);
    sim_bytes_push_gather(world, &datagram->bytes, base, 0, base->length);
    if (socket->queue_count > 0 && sim_strikes(world, SIM_UDP_REORDER)) {
        sl_list_insert_before(socket->queue.prev, &datagram->link);
    } else {
        sl_list_push_back(&socket->queue, &datagram->link);
    }
    socket->queue_count++;
    world->counters.datagram_count++;
}

static void send_out(sim_world *world, const engine_request *base) {
    sim_binding *binding = NULL;
    if (sim_place_of(&base->address) == SIM_PLACE_LOCAL) {
        binding = sim_binding_find(world, SIM_TRANSPORT_UDP, &base->address);
    }
    if (binding == NULL) {
        world->counters.datagram_lost_count++;
        return;
    }
    queue_datagram(world, binding->socket, base);
    if (sim_strikes(world, SIM_UDP_DUPLICATE)) {
        queue_datagram(world, binding->socket, base);
    }
    if (binding->socket->queue_count > 0) {
        sim_wake(world, binding->socket, ENGINE_IN);
    }
}

bool sim_send_step(sim_world *world, sim_request *request) {
    const engine_request *base = &request->request;
    if (base->length > SIM_DATAGRAM_MAX) {
        sim_request_finish(world, request, SLUICE_ETOOLARGE, SIM_EMSGSIZE, 0, 0, 0);
    } else if (sim_place_of(&base->address) == SIM_PLACE_UNREACHABLE) {
        sim_request_finish(world, request, SLUICE_EUNREACHABLE, SIM_ENETUNREACH, 0, 0, 0);
    } else {
        send_out(world, base);
        sim_request_complete(world, request, SLUICE_OK, base->length);
    }
    return true;
}

void sim_send_fail(sim_world *world, sim_request *request, int status, uint32_t os_error) {
    const engine_request *base = &request->request;
    bool is_out = request->phase == SIM_PHASE_LATE;
    bool is_in_doubt = is_out || sim_strikes(world, SIM_WRITE_TORN);
    if (base->length > SIM_DATAGRAM_MAX) {
        is_in_doubt = false;
    }
    if (is_in_doubt && !is_out && sim_below(world, 2) == 0) {
        is_out = true;
        send_out(world, base);
    }
    size_t in_doubt = is_in_doubt ? base->length : 0;
    sim_request_finish(world, request, status, os_error, 0, in_doubt, is_out ? base->length : 0);
}

/* ---- receive --------------------------------------------------------------------------------- */

bool sim_receive_step(sim_world *world, sim_request *request) {
    const engine_request *base = &request->request;
    sim_datagram *datagram = datagram_pop(sim_handle_of(base->handle));
    if (datagram == NULL) {
        return false;
    }
    size_t there = datagram->bytes.count;
    size_t count = there < base->length ? there : base->length;
    sim_bytes_pop(world, &datagram->bytes, base->buffer, count);
    if (base->ret_from != NULL) {
        *base->ret_from = datagram->from;
    }
    datagram_free(world, datagram);
    sim_request_complete(world, request, there > count ? SLUICE_ETRUNCATED : SLUICE_OK, count);
    return true;
}
