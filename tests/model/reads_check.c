/*
 * reads_check.c - what must hold in the world of the incoming direction (reads.h).
 */
#include "base/check.h"
#include "base/status.h"
#include "tests/model/reads.h"

void reads_check_over(const reads_handle *h, unsigned which) {
    const reads_scenario *s = reads_scenario_now;
    const reads_call *call = &h->calls[which];
    bool is_all = (s->alls >> which & 1) != 0;
    bool is_try = (s->tries >> which & 1) != 0;
    switch (call->status) {
    case SLUICE_OK:
        SL_CHECK(is_all ? call->done == s->lengths[which] : call->done > 0, "OK is bytes");
        break;
    case SLUICE_ECANCELED: SL_CHECK(call->is_cancelled, "only the caller cancels"); break;
    case SLUICE_EEOF:
        SL_CHECK(h->peer_has_ended && h->position == h->sent, "the end comes behind the last byte");
        break;
    case SLUICE_ETIMEDOUT: SL_CHECK(is_try && call->done == 0, "only a try would block"); break;
    case SLUICE_ECLOSED: SL_CHECK(h->is_closing, "only a close closes"); break;
    case SLUICE_EBROKERLOST: break; /* its move sets is_lost behind it */
    default: SL_CHECK(call->status == h->broker.status, "an error is the direction's"); break;
    }
}

void reads_check_closed(const reads_handle *h, bool wants_reset) {
    bool is_reset = wants_reset || h->sent > h->kernel; /* what the kernel has resets by itself */
    bool is_unread = h->position < h->sent;
    SL_CHECK(!is_unread || is_reset, "a close with bytes unread resets");
    SL_CHECK(is_unread || !is_reset || h->was_abandoned,
             "a close with all bytes read is orderly, unless a receive was abandoned");
}

static void check_always(const reads_handle *h) {
    const readers *r = &h->client;
    SL_CHECK(r->arrived - r->taken <= r->capacity_bytes, "the ring does not overflow");
    SL_CHECK(r->up_to <= r->taken + r->capacity_bytes, "what is granted has its place");
    SL_CHECK(h->position + r->put_back == r->taken, "the program is where its bytes end");
    SL_CHECK(h->broker.told <= h->broker.received, "no more is told than was received");
    SL_CHECK(h->broker.received - h->broker.told <= reads_scenario_now->output_bytes,
             "what is not told is bounded");
    if (!h->is_lost && !h->is_closing && h->broker.status == SLUICE_OK) {
        SL_CHECK(h->broker.received == h->kernel, "what the kernel gave is kept");
    }
    if (h->length == 0 && h->broker.told == h->broker.received) {
        SL_CHECK(h->broker.share.held_bytes == 0, "no buffer is held for nothing");
    }
}

/* Without read-ahead nothing is received that nobody asked for. */
static void check_no_ahead(const reads_handle *h) {
    bool is_cancelled = false;
    for (unsigned k = 0; k < READS_MAX; k++) {
        is_cancelled = is_cancelled || h->calls[k].is_cancelled;
    }
    bool is_idle = sl_list_is_empty((sl_list *)&h->client.line) && h->broker.status == SLUICE_OK;
    if (reads_scenario_now->has_ahead || !is_idle) {
        return;
    }
    SL_CHECK(h->broker.up_to <= h->broker.received, "without read-ahead no grant is left");
    /* a receive that is told in pieces ends its read with the first: the others were asked for */
    bool is_whole = reads_scenario_now->tell_bytes >= reads_scenario_now->capacity;
    SL_CHECK(is_cancelled || !is_whole || h->has_put_back || h->client.arrived == h->client.taken,
             "without read-ahead nothing comes that nobody asked for");
}

static void check_rest(const reads_handle *h) {
    const readers *r = &h->client;
    if (h->is_lost) {
        SL_CHECK(sl_list_is_empty((sl_list *)&r->line), "a loss ends all reads");
        return;
    }
    if (h->is_closing) {
        SL_CHECK(h->is_closed || (h->length > 0 && h->broker.is_zombie), "a close is answered");
        SL_CHECK(sl_list_is_empty((sl_list *)&r->line), "a close ends all reads");
        return;
    }
    SL_CHECK(!r->is_stopping, "a stop is answered");
    bool is_quiet = h->position == h->sent && !h->peer_has_ended && r->status == SLUICE_OK;
    SL_CHECK(sl_list_is_empty((sl_list *)&r->line) || is_quiet,
             "no read waits while there are bytes or the end");
    SL_CHECK(!h->is_watching || is_quiet, "no watcher waits while there are bytes or the end");
    SL_CHECK(!h->peer_has_ended || h->sent > h->kernel || r->status != SLUICE_OK,
             "the end is told");
    check_no_ahead(h);
}

void reads_check(void *at, bool is_at_rest) {
    const reads_world *world = at;
    uint64_t held = 0;
    for (unsigned i = 0; i < reads_scenario_now->handles; i++) {
        check_always(&world->handles[i]);
        if (is_at_rest) {
            check_rest(&world->handles[i]);
        }
        held += world->handles[i].broker.share.held_bytes;
    }
    SL_CHECK(held + world->pool.free_bytes == world->pool.size_bytes, "the pool's books are even");
}
