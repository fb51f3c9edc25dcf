/*
 * writes_check.c - what must hold in the world of the outgoing direction (writes.h).
 *
 * The peer's bytes are judged as they arrive, a call's outcome when its caller hears of it and ever
 * after, the books of both sides in each state, and at rest: nothing waits that could go on.
 */
#include <string.h>

#include "base/check.h"
#include "base/status.h"
#include "tests/model/writes.h"

static bool is_end(unsigned which) {
    return (writes_scenario_now->ends >> which & 1) != 0;
}

static unsigned length_of(unsigned which) {
    return is_end(which) ? 0 : writes_scenario_now->lengths[which];
}

/* It ended in part or in doubt, for all that its caller knows. */
static bool is_part(const writes_call *call, unsigned which) {
    return call->is_over &&
           (call->in_doubt > 0 || (call->done > 0 && call->done < length_of(which)));
}

/* May something of a later call go out? */
static bool leaves_no_gap(const writes_handle *h, unsigned earlier, unsigned later) {
    const writes_call *call = &h->calls[earlier];
    if (earlier < h->calls[later].acked || call->received == length_of(earlier)) {
        return true;
    }
    return call->received == 0 && !is_part(call, earlier);
}

void writes_check_byte(const writes_handle *h, writes_byte byte) {
    SL_CHECK(h->calls[byte.which].received == byte.index,
             "no byte is lost, doubled or out of order");
    SL_CHECK(!h->peer_has_end, "nothing comes behind the end");
    for (unsigned k = 0; k < writes_scenario_now->count; k++) {
        SL_CHECK(k >= byte.which || leaves_no_gap(h, k, byte.which),
                 "nothing goes out behind a torn write");
        SL_CHECK(k <= byte.which || h->calls[k].received == 0, "writes go out in their order");
    }
}

void writes_check_end(const writes_handle *h) {
    unsigned end = 0;
    while (!is_end(end)) {
        end++;
    }
    for (unsigned k = 0; k < end; k++) {
        const writes_call *call = &h->calls[k];
        bool is_whole = call->received == length_of(k);
        SL_CHECK(leaves_no_gap(h, k, end), "the half-close does not come behind a torn write");
        SL_CHECK(is_whole || call->is_cancelled || (call->is_over && call->status != SLUICE_OK),
                 "the half-close does not overtake a write that nobody cancelled");
    }
}

void writes_check_closed(const writes_handle *h) {
    const outgoing *o = &h->broker;
    SL_CHECK(o->status != SLUICE_OK || o->has_dropped == (h->taken_at_close > o->total),
             "a close resets exactly if accepted bytes were dropped");
}

static bool has_torn_before(const writes_handle *h, unsigned which) {
    for (unsigned k = 0; k < which; k++) {
        if (is_part(&h->calls[k], k)) {
            return true;
        }
    }
    return false;
}

void writes_check_over(const writes_handle *h, unsigned which) {
    const writes_call *call = &h->calls[which];
    bool is_broken = h->broker.status == call->status && h->broker.status != SLUICE_OK;
    bool is_driver = writes_scenario_now->joins && call->status == SLUICE_EABANDONED;
    switch (call->status) {
    case SLUICE_OK:
        SL_CHECK(call->done == length_of(which) && call->in_doubt == 0, "OK is the whole write");
        SL_CHECK(!is_end(which) || h->peer_has_end, "OK is the end");
        break;
    case SLUICE_ECANCELED: SL_CHECK(call->is_cancelled, "only the caller cancels"); break;
    case SLUICE_ETORN: SL_CHECK(has_torn_before(h, which), "TORN is behind a torn write"); break;
    case SLUICE_EBROKENPIPE: SL_CHECK(which > 0, "only an end breaks the pipe"); break;
    case SLUICE_ECLOSED: SL_CHECK(h->is_closing, "only a close closes"); break;
    case SLUICE_EBROKERLOST: break; /* its move sets is_lost behind it */
    default:
        SL_CHECK(is_broken || (is_driver && call->in_doubt > 0), "an error is the direction's");
        break;
    }
}

static void check_call(const writes_handle *h, unsigned which) {
    const writes_call *call = &h->calls[which];
    if (!call->is_over) {
        return;
    }
    SL_CHECK(call->received >= call->done, "what is done was received");
    SL_CHECK(call->received <= call->done + call->in_doubt,
             "no more was received than is done or in doubt");
    SL_CHECK(call->done + call->in_doubt <= length_of(which), "no more than the write is told");
}

/* What both sides hold to be true, as far as the client has heard everything. */
static void check_books(const writes_handle *h, const writes_wire *wire) {
    const outgoing *o = &h->broker;
    bool is_open = o->status == SLUICE_OK && !o->is_closing && !h->is_lost && !h->is_closing;
    if (!is_open) {
        SL_CHECK(o->in_kernel > 0 || o->share.held_bytes == 0, "an end gives the grant back");
        return;
    }
    SL_CHECK(o->up_to >= o->total + writes_scenario_now->floor_bytes, "the floor moves with total");
    SL_CHECK((outgoing_wants(o) > 0) == sl_list_is_linked(&o->share.in_waiting),
             "who wants a grant stands in the list");
    if (wire->to_client.count == 0 && o->is_told) {
        SL_CHECK(h->client.total == o->total, "the client knows total");
        SL_CHECK(o->is_stopping || h->client.is_stopping || h->client.up_to == o->up_to,
                 "the client knows its grant");
    }
}

static bool has_pieces(const writes_handle *h) {
    for (unsigned i = 0; i < WRITES_PIECES_MAX; i++) {
        if (h->piece_used[i]) {
            return true;
        }
    }
    return false;
}

static void check_rest(const writes_handle *h) {
    const outgoing *o = &h->broker;
    bool is_stuck = h->kernel_length > 0 || h->kernel_has_end;
    if (h->is_lost) {
        return;
    }
    SL_CHECK(!h->is_closing || h->is_closed, "a close is answered");
    SL_CHECK(!h->client.is_stopping || h->client.status != SLUICE_OK || h->is_closing,
             "a stop is answered");
    for (unsigned k = 0; k < writes_scenario_now->count; k++) {
        const writes_call *call = &h->calls[k];
        SL_CHECK(!call->is_started || call->is_over || (is_stuck && !o->is_zombie),
                 "a write ends, unless the kernel takes nothing");
        SL_CHECK(!call->is_cancelled || call->is_over, "a cancelled write ends");
    }
    SL_CHECK(o->total + o->in_kernel < o->taken || has_pieces(h) == (o->in_kernel > 0),
             "every piece comes back");
    if (o->status == SLUICE_OK && !o->is_closing) {
        uint64_t floor_to = o->total + writes_scenario_now->floor_bytes;
        uint64_t need_to = h->client.sent + h->client.unsent;
        uint64_t need = need_to > floor_to ? need_to - floor_to : 0;
        SL_CHECK(o->share.held_bytes <= need, "a grant that is not needed is given back");
        SL_CHECK(h->client.unsent == 0 || outgoing_wants(o) > 0 ||
                     o->share.held_bytes == writes_scenario_now->window_bytes,
                 "the broker knows of bytes that wait");
    }
}

void writes_check(void *at, bool is_at_rest) {
    const writes_world *world = at;
    uint64_t held = 0;
    for (unsigned i = 0; i < writes_scenario_now->handles; i++) {
        const writes_handle *h = &world->handles[i];
        for (unsigned k = 0; k < writes_scenario_now->count; k++) {
            check_call(h, k);
        }
        check_books(h, &world->wires[i]);
        if (is_at_rest) {
            check_rest(h);
        }
        held += h->broker.share.held_bytes;
    }
    SL_CHECK(held + world->pool.free_bytes == world->pool.size_bytes, "the pool's books are even");
}
