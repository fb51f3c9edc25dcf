/*
 * incoming.c - see incoming.h.
 *
 * [0, told) is with the client, [told, received) waits to be told; the kernel may be asked for
 * [received, up_to). The end stands behind `received`: it needs no grant. A stop is answered behind
 * the last byte, in the Data that says it (tell_marks); until then nothing is submitted, except the
 * one receive that a fresh grant has earned (a try is a Read and a Cancel right behind it).
 */
#include "broker/stream/incoming.h"

#include <string.h>

#include "base/check.h"
#include "base/status.h"

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static bool has_end(const incoming *i) {
    return i->status != SLUICE_OK;
}

void incoming_init(incoming *i, const incoming_rules *rules, budget *pool, bool has_ahead,
                   uint64_t up_to) {
    memset(i, 0, sizeof(*i));
    i->rules = rules;
    i->pool = pool;
    i->has_ahead = has_ahead;
    i->up_to = up_to;
    i->is_fresh = up_to > 0;
    budget_share_init(&i->share);
}

void incoming_deinit(incoming *i) {
    SL_CHECK(i->in_kernel == 0 && !i->is_waiting, "the kernel has let go");
    SL_CHECK(i->share.held_bytes == 0, "no buffer is held");
}

/* ---- what the kernel may be asked for ---- */

/* So many bytes may be received now. */
static uint64_t room(const incoming *i) {
    uint64_t granted = i->up_to > i->received ? i->up_to - i->received : 0;
    uint64_t unsaid = i->received - i->told;
    uint64_t output = i->rules->output_bytes > unsaid ? i->rules->output_bytes - unsaid : 0;
    uint64_t floor_bytes = i->rules->floor_bytes > unsaid ? i->rules->floor_bytes - unsaid : 0;
    uint64_t memory = floor_bytes + i->pool->free_bytes;
    return least(least(granted, output), least(memory, i->rules->receive_bytes));
}

static bool is_idle(const incoming *i) {
    return i->in_kernel == 0 && !i->is_closing && !i->is_zombie && !has_end(i);
}

static bool can_receive(const incoming *i) {
    if (!is_idle(i) || room(i) == 0) {
        return false;
    }
    if (i->is_stopping) {
        return i->is_looking;
    }
    bool flows = i->rules->waits_with_buffer && i->received > 0 && !i->is_reclaimed;
    flows = flows || (i->rules->never_waits && i->has_more);
    return !i->is_waiting && (i->is_readable || flows);
}

static bool can_wait(const incoming *i) {
    return is_idle(i) && !i->is_waiting && !i->is_readable && !i->is_stopping && !can_receive(i);
}

/* The memory of a receive and of what it brought: what is above the floor is the pool's. */
static void hold(incoming *i) {
    uint64_t bytes = i->in_kernel + (i->received - i->told);
    uint64_t floor_bytes = i->rules->floor_bytes;
    budget_hold(i->pool, &i->share, bytes > floor_bytes ? bytes - floor_bytes : 0);
}

/* ---- from the client ---- */

static int violation(sl_reason *ret_reason, const char *where, const char *what, uint64_t value) {
    return sl_reason_value(ret_reason, SLUICE_EPROTOCOL, where, what, value);
}

int incoming_take_read(incoming *i, const sl_stream_read *read, sl_reason *ret_reason) {
    SL_CHECK(!i->is_closing, "nothing comes for a handle that the client has closed");
    if (i->is_end_told) {
        return SLUICE_OK; /* it crossed the end: discarded, unchecked */
    }
    if (i->is_stopping) {
        return violation(ret_reason, "Read", "behind a Cancel that is not answered", read->up_to);
    }
    /* without read-ahead a Read replaces the one before, but takes nothing from under a receive */
    uint64_t asked = i->in_kernel > 0 ? i->received + i->in_kernel : 0;
    if (read->up_to < (i->has_ahead ? i->up_to : asked)) {
        return violation(ret_reason, "Read.up_to", "shrinks", read->up_to);
    }
    if (read->up_to > read->taken + i->rules->window_bytes) {
        return violation(ret_reason, "Read.up_to", "is too far beyond taken", read->up_to);
    }
    if (read->taken < i->taken || read->taken > i->told) {
        return violation(ret_reason, "Read.taken", "goes back, or beyond what was sent",
                         read->taken);
    }
    i->is_fresh = true; /* a try's Read may grant nothing that was not granted */
    i->up_to = read->up_to;
    i->taken = read->taken;
    i->is_notify = i->is_notify || read->notify;
    return SLUICE_OK;
}

int incoming_take_cancel(incoming *i, sl_reason *ret_reason) {
    SL_CHECK(!i->is_closing, "nothing comes for a handle that the client has closed");
    if (i->is_stopping) {
        return violation(ret_reason, "Cancel", "the one before is not answered", i->told);
    }
    i->is_stopping = true;
    if (i->in_kernel > 0 && !i->is_zombie) {
        i->is_abort_due = i->is_abort_due || !i->is_aborted;
        i->is_aborted = true;
    } else {
        i->is_looking = i->is_fresh && is_idle(i) && room(i) > 0;
    }
    return SLUICE_OK;
}

int incoming_close(incoming *i, const sl_stream_close *close, sl_reason *ret_reason) {
    SL_CHECK(!i->is_closing, "a handle is closed once");
    if (close->taken > i->told) { /* less than a Read said: bytes were put back */
        return violation(ret_reason, "Close.taken", "goes beyond what was sent", close->taken);
    }
    i->taken = close->taken;
    i->is_closing = true;
    i->is_looking = false;
    i->wants_reset = i->wants_reset || close->abort || i->taken < i->received;
    i->is_unwait_due = i->is_waiting;
    if (i->in_kernel > 0 && !i->is_aborted) {
        i->is_aborted = i->is_abort_due = true;
    }
    i->told = i->received; /* dropped */
    hold(i);
    return SLUICE_OK;
}

/* ---- the kernel ---- */

static bool has_tell(const incoming *i) {
    if (i->is_closing) {
        return false;
    }
    bool is_stop_ready = i->is_stopping && !i->is_looking && (i->in_kernel == 0 || i->is_zombie);
    bool is_behind_all = (has_end(i) && !i->is_end_told) || is_stop_ready;
    bool is_note = i->is_notify && i->is_readable && room(i) == 0 && i->in_kernel == 0;
    return i->told < i->received || is_behind_all || is_note;
}

unsigned incoming_due(const incoming *i) {
    bool is_stuck = i->is_stopping && i->in_kernel > 0 && !i->is_zombie;
    bool is_out = i->in_kernel > 0 || i->is_waiting;
    unsigned due = can_wait(i) ? INCOMING_WAIT : 0;
    due |= can_receive(i) ? INCOMING_RECEIVE : 0;
    due |= i->is_abort_due ? INCOMING_ABORT : 0;
    due |= i->is_unwait_due ? INCOMING_UNWAIT : 0;
    due |= is_stuck || (i->is_closing && is_out && !i->is_abandoned) ? INCOMING_TIMER : 0;
    due |= has_tell(i) ? INCOMING_TELL : 0;
    return due;
}

void incoming_begin_wait(incoming *i) {
    SL_CHECK(can_wait(i), "a quiet stream waits once");
    i->is_waiting = true;
}

uint64_t incoming_room(const incoming *i) {
    return room(i);
}

uint64_t incoming_begin_receive(incoming *i, uint64_t most_bytes) {
    SL_CHECK(can_receive(i) && most_bytes > 0, "the kernel is asked for what is granted");
    i->in_kernel = least(room(i), most_bytes);
    i->is_aborted = i->is_abort_due = i->is_looking; /* it looks, and waits for nothing */
    i->is_fresh = false;
    hold(i);
    return i->in_kernel;
}

void incoming_aborting(incoming *i) {
    SL_CHECK(i->is_abort_due && i->in_kernel > 0, "a receive is cancelled once");
    i->is_abort_due = false;
}

void incoming_unwaiting(incoming *i) {
    SL_CHECK(i->is_unwait_due && i->is_waiting, "an empty receive is cancelled once");
    i->is_unwait_due = false;
}

void incoming_reclaim(incoming *i) {
    SL_CHECK(i->in_kernel > 0 && !i->is_aborted && !i->is_closing, "a receive that waits");
    i->is_aborted = i->is_abort_due = true;
    i->is_reclaimed = true;
}

static void end(incoming *i, int status, uint32_t os_error) {
    if (!has_end(i) && !i->is_closing) {
        i->status = status;
        i->os_error = os_error;
        i->is_looking = false; /* a stop that waited for a look has its answer */
    }
}

void incoming_finish_wait(incoming *i, const incoming_result *result) {
    SL_CHECK(i->is_waiting && result->bytes == 0, "an empty receive comes back once, empty");
    i->is_waiting = i->is_unwait_due = i->is_reclaimed = false;
    if (result->status == SLUICE_OK) {
        i->is_readable = true;
    } else if (result->status != SLUICE_ECANCELED) {
        end(i, result->status, result->os_error);
    }
}

void incoming_finish_receive(incoming *i, const incoming_result *result) {
    SL_CHECK(i->in_kernel > 0 && result->bytes <= i->in_kernel, "a receive comes back once");
    uint64_t length = i->in_kernel;
    bool is_cancelled = i->is_aborted && result->status == SLUICE_ECANCELED;
    i->in_kernel = 0;
    i->is_aborted = i->is_abort_due = i->is_looking = false;
    if (i->is_zombie || i->is_closing) { /* dropped: nobody has read them */
        i->wants_reset = i->wants_reset || result->bytes > 0;
        i->is_zombie = false;
        hold(i);
        return;
    }
    SL_CHECK(i->received + result->bytes <= i->up_to, "no more is received than was granted");
    i->received += result->bytes;
    if (!i->has_ahead && result->bytes > 0) {
        i->up_to = i->received; /* nothing more is received until somebody reads again */
    }
    i->has_more = result->bytes == length;
    /* Unknown, also if it was full: without room left an empty receive asks again, for the end. */
    i->is_readable = false;
    if (result->status != SLUICE_OK && !is_cancelled) {
        end(i, result->status, result->os_error);
    }
    hold(i);
}

void incoming_abandon(incoming *i) {
    SL_CHECK((incoming_due(i) & INCOMING_TIMER) != 0, "something was cancelled and is not back");
    i->is_abort_due = i->is_unwait_due = i->is_looking = false;
    if (i->is_closing) {
        i->is_abandoned = true;
    }
    if (i->in_kernel > 0) {
        i->is_zombie = true;
        i->wants_reset = true; /* what it may have received is lost */
        end(i, SLUICE_EABANDONED, 0);
    }
}

/* ---- to the client ---- */

/* What stands behind the last byte: the end, a stop's answer. */
static void tell_marks(incoming *i, sl_stream_data *data) {
    if (has_end(i) && !i->is_end_told) {
        data->status = i->status;
        data->os_error = i->os_error;
        i->is_end_told = true;
    }
    if (i->is_stopping && !i->is_looking && (i->in_kernel == 0 || i->is_zombie)) {
        data->stopped = true;
        i->is_stopping = i->is_fresh = false;
        i->up_to = i->received;
    }
}

sl_stream_data incoming_tell(incoming *i, uint32_t most_bytes) {
    SL_CHECK(has_tell(i), "there is something to tell");
    sl_stream_data data = {.at = i->told};
    data.length = (uint32_t)least(i->received - i->told, most_bytes);
    i->told += data.length;
    i->is_notify = false; /* whatever it says, a read will not wait, or will end */
    if (i->told == i->received) {
        tell_marks(i, &data);
    }
    hold(i);
    return data;
}

bool incoming_closed(const incoming *i, bool *ret_is_abandoned, bool *ret_wants_reset) {
    bool is_out = i->in_kernel > 0 || i->is_waiting;
    if (!i->is_closing || (is_out && !i->is_abandoned)) {
        return false;
    }
    *ret_is_abandoned = is_out;
    *ret_wants_reset = i->wants_reset;
    return true;
}
