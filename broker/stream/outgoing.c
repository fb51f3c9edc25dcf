/*
 * outgoing.c - see outgoing.h.
 *
 * [0, total) is out, [total, taken) is here: its first in_kernel bytes are with the kernel, one
 * request at a time, the others wait. The client may send up to up_to, of which total + floor costs
 * nothing and the rest is held from the session's pool (move_window is the one place where both
 * change). A stop is decided in take_cancel(), when its kernel request comes back, or when the
 * timer gives that up; it is answered by the Written that outgoing_tell() makes. Nothing is
 * submitted while a stop is not answered, so that what the answer says still holds when it is made.
 */
#include "broker/stream/outgoing.h"

#include <string.h>

#include "base/check.h"
#include "base/status.h"

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static bool is_final(const outgoing *o) {
    return o->status != SLUICE_OK;
}

void outgoing_init(outgoing *o, const outgoing_rules *rules, budget *pool) {
    memset(o, 0, sizeof(*o));
    o->rules = rules;
    o->pool = pool;
    o->up_to = rules->floor_bytes;
    o->is_told = true; /* both sides know the floor */
    budget_share_init(&o->share);
    sl_list_init(&o->pieces);
    sl_list_init(&o->spent);
}

void outgoing_deinit(outgoing *o) {
    SL_CHECK(o->in_kernel == 0 && o->end != OUT_END_RUNS, "the kernel has let go");
    SL_CHECK(sl_list_is_empty(&o->pieces) && sl_list_is_empty(&o->spent), "no piece is left");
    SL_CHECK(o->share.held_bytes == 0 && o->share.wanted_bytes == 0, "no grant is left");
}

/* ---- the window ---- */

static void tell(outgoing *o, bool is_urgent) {
    o->is_told = false;
    o->is_urgent = o->is_urgent || is_urgent;
}

uint64_t outgoing_wants(const outgoing *o) {
    bool is_open = !is_final(o) && !o->is_stopping && !o->is_closing && o->end == OUT_END_NONE;
    if (!is_open || o->wanted_to <= o->up_to) {
        return 0;
    }
    return least(o->wanted_to - o->up_to, o->rules->window_bytes - o->share.held_bytes);
}

/* Sets total and the grant together: the floor moves with total. Where nothing more can come (the
 * client has sent its end, waits for a stop, or it is all over) only what is here is held. */
static void move_window(outgoing *o, uint64_t total, uint64_t up_to) {
    uint64_t floor_to = total + o->rules->floor_bytes;
    bool is_quiet =
        o->end != OUT_END_NONE || o->is_stopping || o->is_closing || o->status != SLUICE_OK;
    SL_CHECK(total >= o->total && total <= o->taken, "total only grows, within what was taken");
    o->total = total;
    o->up_to = most(up_to, floor_to);
    budget_hold(o->pool, &o->share, (is_quiet ? most(o->taken, floor_to) : o->up_to) - floor_to);
    SL_CHECK(o->share.held_bytes <= o->rules->window_bytes, "one handle's grant has a bound");
    budget_want(o->pool, &o->share, outgoing_wants(o));
}

outgoing *outgoing_of_share(budget_share *share) {
    return SL_CONTAINER_OF(share, outgoing, share);
}

void outgoing_grant(outgoing *o, uint64_t bytes) {
    SL_CHECK(bytes > 0 && bytes <= outgoing_wants(o), "a grant is wanted");
    move_window(o, o->total, o->up_to + bytes);
    tell(o, false);
}

/* ---- what is kept ---- */

static void spend(outgoing *o, outgoing_piece *piece) {
    sl_list_remove(&piece->link);
    sl_list_push_back(&o->spent, &piece->link);
}

/* Gives back the pieces of which no byte is needed: they are out. */
static void release_out(outgoing *o) {
    sl_list *node;
    while ((node = sl_list_first(&o->pieces)) != NULL) {
        outgoing_piece *piece = SL_LIST_ENTRY(node, outgoing_piece, link);
        if (piece->at + piece->length > o->total) {
            break;
        }
        spend(o, piece);
    }
}

/* Drops what waits at `from` and behind it; never what is with the kernel. */
static void drop_from(outgoing *o, uint64_t from) {
    uint64_t keep_to = most(from, o->total + o->in_kernel);
    if (keep_to >= o->taken) {
        return;
    }
    while (!sl_list_is_empty(&o->pieces)) {
        outgoing_piece *last = SL_LIST_ENTRY(o->pieces.prev, outgoing_piece, link);
        if (last->at >= keep_to) {
            spend(o, last);
        } else {
            last->length = (uint32_t)least(last->length, keep_to - last->at);
            break;
        }
    }
    o->taken = keep_to;
}

/* ---- from the client ---- */

static int violation(sl_reason *ret_reason, const char *where, const char *what, uint64_t value) {
    return sl_reason_value(ret_reason, SLUICE_EPROTOCOL, where, what, value);
}

static int check_write(const outgoing *o, const sl_stream_write *write, sl_reason *ret_reason) {
    if (o->is_stopping) {
        return violation(ret_reason, "Write", "behind a Cancel that is not answered", write->at);
    }
    if (o->end != OUT_END_NONE) {
        return violation(ret_reason, "Write", "behind the end", write->at);
    }
    if (write->at != o->taken) {
        return violation(ret_reason, "Write.at", "is not where the last Write ended", o->taken);
    }
    if (write->length > o->up_to - o->taken) {
        return violation(ret_reason, "Write", "goes beyond up_to", o->up_to);
    }
    return SLUICE_OK;
}

int outgoing_take_write(outgoing *o, const sl_stream_write *write, outgoing_piece *piece,
                        sl_reason *ret_reason) {
    SL_CHECK(!o->is_closing, "nothing comes for a handle that the client has closed");
    SL_CHECK((piece != NULL) == (write->length > 0), "bytes have a piece");
    if (is_final(o)) {
        if (piece != NULL) { /* it crossed the status: discarded, unchecked */
            sl_list_init(&piece->link);
            sl_list_push_back(&o->spent, &piece->link);
        }
        return SLUICE_OK;
    }
    int status = check_write(o, write, ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    if (piece != NULL) {
        piece->at = write->at;
        piece->length = write->length;
        piece->begins = write->begins;
        sl_list_init(&piece->link);
        sl_list_push_back(&o->pieces, &piece->link);
        o->taken += write->length;
    }
    o->wanted_to = o->taken + least(write->waiting, o->rules->window_bytes);
    o->is_urgent = o->is_urgent || write->now;
    if (write->end) {
        o->end = OUT_END_WAITS;
    }
    move_window(o, o->total, o->up_to);
    return SLUICE_OK;
}

static void ready_stop(outgoing *o) {
    o->is_stop_ready = true;
    tell(o, true);
}

int outgoing_take_cancel(outgoing *o, const sl_stream_cancel *cancel, sl_reason *ret_reason) {
    SL_CHECK(!o->is_closing, "nothing comes for a handle that the client has closed");
    if (o->is_stopping) {
        return violation(ret_reason, "Cancel", "the one before is not answered", cancel->from);
    }
    if (!is_final(o) && (cancel->from > cancel->to || cancel->from > o->taken)) {
        return violation(ret_reason, "Cancel.from", "is behind its end, or the last byte",
                         cancel->from);
    }
    o->is_stopping = true;
    o->wanted_to = 0;
    if (is_final(o)) {
        ready_stop(o);
        return SLUICE_OK;
    }
    if (o->end == OUT_END_WAITS) {
        o->end = OUT_END_NONE; /* every stop drops it: without `ended` the client sends it again */
    }
    if (o->total < cancel->to) {
        drop_from(o, cancel->from);
        o->is_aborted = o->in_kernel > 0 && o->total + o->in_kernel > cancel->from;
        o->is_abort_due = o->is_aborted;
    }
    move_window(o, o->total, o->up_to);
    if (!o->is_aborted && o->end != OUT_END_RUNS) {
        ready_stop(o);
    }
    return SLUICE_OK;
}

/* ---- the end of the direction ---- */

/* What is queued will never be written; what is with the kernel stays until it is back. */
static void fail(outgoing *o, int status, uint32_t os_error, uint64_t in_doubt) {
    SL_CHECK(status != SLUICE_OK && !is_final(o), "a direction fails once");
    drop_from(o, o->total);
    o->status = status;
    o->os_error = os_error;
    o->in_doubt = in_doubt;
    if (o->end == OUT_END_WAITS) {
        o->end = OUT_END_NONE;
    }
    move_window(o, o->total, 0);
    o->is_stop_ready = o->is_stopping;
    tell(o, true);
}

void outgoing_close(outgoing *o) {
    SL_CHECK(!o->is_closing, "a handle is closed once");
    o->is_closing = true;
    if (o->end == OUT_END_WAITS) {
        o->end = OUT_END_NONE;
    }
    uint64_t before = o->taken;
    if (!o->is_zombie) {
        drop_from(o, o->total);
        o->is_abort_due = o->is_abort_due || (o->in_kernel > 0 && !o->is_aborted);
        o->is_aborted = o->in_kernel > 0;
    }
    o->has_dropped = o->taken < before;
    move_window(o, o->total, 0);
}

void outgoing_abandon(outgoing *o) {
    SL_CHECK((outgoing_due(o) & OUTGOING_TIMER) != 0, "something was asked for and is not back");
    if (o->is_closing) {
        o->is_abandoned = true;
    }
    if (!is_final(o)) {
        fail(o, SLUICE_EABANDONED, 0, o->in_kernel);
    }
    o->is_zombie = true;
    o->is_abort_due = false;
}

/* ---- the kernel ---- */

/* So many bytes from total on may be one request. */
static uint64_t next_length(const outgoing *o) {
    uint64_t to = least(o->taken, o->total + o->rules->kernel_bytes);
    const sl_list *node = o->pieces.next;
    for (; node != &o->pieces && !o->rules->joins_writes; node = node->next) {
        const outgoing_piece *piece = SL_LIST_ENTRY(node, const outgoing_piece, link);
        if (piece->begins && piece->at > o->total) {
            to = least(to, piece->at);
            break;
        }
    }
    return to - o->total;
}

static bool can_submit(const outgoing *o) {
    return o->in_kernel == 0 && !o->is_stopping && !o->is_closing && !is_final(o) &&
           (o->taken > o->total || o->end == OUT_END_WAITS);
}

unsigned outgoing_due(const outgoing *o) {
    bool has_kernel = o->in_kernel > 0 || o->end == OUT_END_RUNS;
    bool is_stuck = !o->is_zombie && o->is_stopping && !o->is_stop_ready;
    unsigned due = can_submit(o) ? OUTGOING_SUBMIT : 0;
    due |= o->is_abort_due ? OUTGOING_ABORT : 0;
    due |= has_kernel && (is_stuck || (o->is_closing && !o->is_abandoned)) ? OUTGOING_TIMER : 0;
    if (!o->is_closing && !o->is_told) {
        due |= o->is_urgent ? OUTGOING_TELL_NOW : OUTGOING_TELL;
    }
    return due;
}

outgoing_request outgoing_begin(outgoing *o) {
    SL_CHECK(can_submit(o), "the kernel gets what is due");
    outgoing_request request = {.at = o->total, .length = next_length(o)};
    o->in_kernel = request.length;
    if (request.length == 0) {
        request.is_end = true;
        o->end = OUT_END_RUNS;
    }
    return request;
}

void outgoing_aborting(outgoing *o) {
    SL_CHECK(o->is_abort_due && o->in_kernel > 0, "a request is cancelled once");
    o->is_abort_due = false;
}

static void finish_end(outgoing *o, const outgoing_result *result) {
    bool is_ended = result->status == SLUICE_OK;
    o->end = is_ended && !o->is_zombie ? OUT_END_DONE : OUT_END_NONE;
    if (o->is_zombie) {
        o->is_zombie = false;
    } else if (!is_ended) {
        fail(o, result->status, result->os_error, 0);
    } else {
        o->is_stop_ready = o->is_stopping;
        tell(o, true);
    }
}

/* The late packet of what was given up: it changes no number, they were told. */
static void bury(outgoing *o) {
    o->in_kernel = 0;
    o->is_zombie = false;
    o->is_aborted = false;
    drop_from(o, o->total);
    release_out(o);
    move_window(o, o->total, 0);
}

void outgoing_finish(outgoing *o, const outgoing_result *result) {
    if (o->end == OUT_END_RUNS) {
        finish_end(o, result);
        return;
    }
    SL_CHECK(o->in_kernel > 0, "a request comes back once");
    SL_CHECK(result->done + result->in_doubt <= o->in_kernel, "no more is out than was given");
    if (o->is_zombie) {
        bury(o);
        return;
    }
    uint64_t length = o->in_kernel;
    bool was_aborted = o->is_aborted;
    o->in_kernel = 0;
    o->is_aborted = o->is_abort_due = false;
    move_window(o, o->total + result->done, o->up_to);
    release_out(o);
    tell(o, false);
    if (result->status != SLUICE_OK && !(was_aborted && result->status == SLUICE_ECANCELED)) {
        fail(o, result->status, result->os_error, result->in_doubt);
    } else if (was_aborted) {
        drop_from(o, o->total);
        o->in_doubt = result->in_doubt;
        o->is_stop_ready = o->is_stopping;
        o->is_urgent = true;
        o->has_dropped = o->has_dropped || (o->is_closing && result->done < length);
    }
}

/* ---- to the client ---- */

sl_stream_written outgoing_tell(outgoing *o) {
    SL_CHECK(!o->is_told && !o->is_closing, "there is something to tell");
    bool is_answer = o->is_stop_ready;
    if (is_answer) { /* the grant is set anew; what is kept keeps its place in it */
        o->is_stopping = o->is_stop_ready = false;
        move_window(o, o->total, is_final(o) ? 0 : o->taken);
    }
    sl_stream_written written = {.total = o->total,
                                 .next = !is_answer    ? 0
                                         : is_final(o) ? o->total
                                                       : o->taken,
                                 .up_to = o->up_to,
                                 .in_doubt = is_answer || is_final(o) ? o->in_doubt : 0,
                                 .status = o->status,
                                 .os_error = o->os_error,
                                 .stopped = is_answer,
                                 .ended = o->end == OUT_END_DONE};
    if (!is_final(o)) {
        o->in_doubt = is_answer ? 0 : o->in_doubt;
    }
    o->is_told = true;
    o->is_urgent = false;
    return written;
}

bool outgoing_closed(const outgoing *o, sl_stream_closed *ret_closed) {
    bool has_kernel = o->in_kernel > 0 || o->end == OUT_END_RUNS;
    if (!o->is_closing || (has_kernel && !o->is_abandoned)) {
        return false;
    }
    ret_closed->total = o->total;
    ret_closed->in_doubt = o->in_doubt;
    ret_closed->status = has_kernel ? SLUICE_EABANDONED : SLUICE_OK;
    return true;
}

outgoing_piece *outgoing_spent(outgoing *o) {
    sl_list *node = sl_list_pop_front(&o->spent);
    return node != NULL ? SL_LIST_ENTRY(node, outgoing_piece, link) : NULL;
}
