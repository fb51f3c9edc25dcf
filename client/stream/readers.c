/*
 * readers.c - see readers.h.
 *
 * up_to <= taken + capacity, always: what is granted has its place in the ring. The line is served
 * in order and only from its head. Without read-ahead a Read is for the head's bytes alone, one at
 * a time, and its grant lapses with the first receive that brings some: a short read leaves nothing
 * behind that would take bytes which nobody asked for. A try without read-ahead is a Read and a
 * Cancel right behind it; until the answer everybody waits, since what comes is the try's first.
 */
#include "client/stream/readers.h"

#include <string.h>

#include "base/check.h"
#include "base/status.h"

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static reader *reader_at(const sl_list *node) {
    return SL_LIST_ENTRY(node, reader, link);
}

void readers_init(readers *r, uint64_t capacity_bytes, bool has_ahead, uint64_t up_to) {
    SL_CHECK(up_to <= capacity_bytes, "the ring is there before the grant");
    memset(r, 0, sizeof(*r));
    r->capacity_bytes = capacity_bytes;
    r->has_ahead = has_ahead;
    r->up_to = up_to;
    sl_list_init(&r->line);
    sl_list_init(&r->ended);
}

void readers_deinit(readers *r) {
    SL_CHECK(sl_list_is_empty(&r->line) && sl_list_is_empty(&r->ended), "every read has ended");
}

/* ---- the line ---- */

static uint64_t available(const readers *r) {
    return r->put_back + (r->arrived - r->taken);
}

static void end_reader(readers *r, reader *each, int status) {
    r->wanted -= each->length - each->done;
    each->status = status;
    if (r->trying == each) {
        r->trying = NULL;
    }
    sl_list_remove(&each->link);
    sl_list_push_back(&r->ended, &each->link);
}

/* Without bytes: those that cannot go on. */
static void end_idle(readers *r) {
    sl_list *node;
    while (available(r) == 0 && (node = sl_list_first(&r->line)) != NULL) {
        reader *each = reader_at(node);
        if (r->status != SLUICE_OK) {
            end_reader(r, each, r->status);
        } else if (each->kind == READER_TRY && r->has_ahead) {
            end_reader(r, each, SLUICE_ETIMEDOUT); /* what there is, the ring has */
        } else {
            return;
        }
    }
}

void readers_start(readers *r, reader *each, uint64_t length, reader_kind kind) {
    SL_CHECK(length > 0, "a read has a buffer");
    memset(each, 0, sizeof(*each));
    each->length = length;
    each->kind = kind;
    sl_list_init(&each->link);
    sl_list_push_back(&r->line, &each->link);
    r->wanted += length;
    if (r->is_closed) {
        end_reader(r, each, SLUICE_ECLOSED);
    }
    end_idle(r);
}

static void stop(readers *r) {
    r->is_cancel_due = true;
    r->is_stopping = true;
}

void readers_cancel(readers *r, reader *each, int status) {
    end_reader(r, each, status);
    bool is_left = r->is_asked && r->asked_to > r->taken + r->wanted;
    if (!r->has_ahead && is_left && !r->is_stopping && !r->is_closed && r->status == SLUICE_OK) {
        stop(r); /* so that nothing is received that nobody asked for */
    }
    end_idle(r);
}

bool readers_serve(readers *r, readers_copy *ret_copy) {
    sl_list *node = sl_list_first(&r->line);
    reader *each = node != NULL ? reader_at(node) : NULL;
    if (each == NULL || available(r) == 0 || (r->trying != NULL && r->is_stopping)) {
        return false;
    }
    uint64_t left = each->length - each->done;
    memset(ret_copy, 0, sizeof(*ret_copy));
    ret_copy->to = each;
    ret_copy->offset = each->done;
    ret_copy->front = least(r->put_back, left);
    ret_copy->at = r->taken;
    ret_copy->length = least(r->arrived - r->taken, left - ret_copy->front);
    r->put_back -= ret_copy->front;
    r->taken += ret_copy->length;
    each->done += ret_copy->front + ret_copy->length;
    r->wanted -= ret_copy->front + ret_copy->length;
    if (each->kind != READER_ALL || each->done == each->length) {
        end_reader(r, each, SLUICE_OK);
    }
    end_idle(r);
    return true;
}

reader *readers_ended(readers *r) {
    sl_list *node = sl_list_pop_front(&r->ended);
    return node != NULL ? reader_at(node) : NULL;
}

int readers_put_back(readers *r, uint64_t length) {
    if (length > READERS_PUT_BACK_BYTES - r->put_back) {
        return SLUICE_EQUOTA;
    }
    r->put_back += length;
    return SLUICE_OK;
}

bool readers_watch(readers *r) {
    bool is_ready = available(r) > 0 || r->status != SLUICE_OK || r->is_closed;
    r->is_notify_due = !is_ready && !r->is_notify;
    return is_ready;
}

void readers_stop(readers *r) {
    if (!r->is_stopping && !r->is_closed) {
        stop(r);
    }
}

sl_stream_close readers_close(readers *r, bool abort) {
    sl_list *node;
    uint64_t consumed = r->taken > r->put_back ? r->taken - r->put_back : 0;
    r->is_closed = true;
    r->is_cancel_due = r->is_notify_due = false;
    while ((node = sl_list_first(&r->line)) != NULL) {
        end_reader(r, reader_at(node), SLUICE_ECLOSED);
    }
    return (sl_stream_close){.taken = consumed, .abort = abort};
}

/* ---- to the broker ---- */

/* Without read-ahead: what the next Read says. */
static void ask(readers *r, uint64_t up_to) {
    r->asked_to = up_to;
    r->is_asked = true;
    r->up_to = most(r->up_to, up_to);
}

/* The line's head is a try, and the broker is to be asked. */
static bool begin_try(readers *r) {
    sl_list *node = sl_list_first(&r->line);
    if (node == NULL || reader_at(node)->kind != READER_TRY || available(r) > 0) {
        return false;
    }
    r->trying = reader_at(node);
    uint64_t up_to = r->taken + least(r->trying->length, r->capacity_bytes);
    ask(r, r->is_asked ? most(r->asked_to, up_to) : up_to);
    stop(r);
    return true;
}

/* Is there something to grant, with read-ahead? As far as the ring has room. */
static bool grant_ahead(readers *r) {
    uint64_t ring_to = r->taken + r->capacity_bytes;
    bool is_needed = r->wanted > 0 && r->up_to < least(ring_to, r->taken + r->wanted);
    bool is_half = (ring_to - r->up_to) * 2 >= r->capacity_bytes;
    bool is_due = ring_to > r->up_to && (is_needed || is_half);
    r->up_to = is_due ? ring_to : r->up_to;
    return is_due;
}

/* And without: what the line's head still wants. */
static bool grant_head(readers *r) {
    const sl_list *node = sl_list_first(&r->line);
    if (node == NULL || r->is_asked || available(r) > 0) {
        return false;
    }
    const reader *head = SL_LIST_ENTRY(node, const reader, link);
    ask(r, r->taken + least(head->length - head->done, r->capacity_bytes));
    return true;
}

readers_kind readers_next(readers *r, readers_output *ret_output) {
    memset(ret_output, 0, sizeof(*ret_output));
    if (r->is_closed) {
        return READERS_NOTHING;
    }
    if (r->is_cancel_due) {
        r->is_cancel_due = false;
        return ret_output->kind = READERS_CANCEL;
    }
    if (r->is_stopping || r->status != SLUICE_OK) {
        return READERS_NOTHING;
    }
    bool is_due = begin_try(r) || (r->has_ahead ? grant_ahead(r) : grant_head(r));
    if (!is_due && !r->is_notify_due) {
        return READERS_NOTHING;
    }
    uint64_t up_to = r->has_ahead ? r->up_to : r->is_asked ? r->asked_to : r->arrived;
    ret_output->kind = READERS_READ;
    ret_output->read = (sl_stream_read){up_to, r->taken, r->is_notify_due};
    r->is_notify = r->is_notify || r->is_notify_due;
    r->is_notify_due = false;
    SL_CHECK(r->up_to <= r->taken + r->capacity_bytes, "what is granted has its place");
    return READERS_READ;
}

/* ---- from the broker ---- */

static int violation(sl_reason *ret_reason, const char *where, const char *what, uint64_t value) {
    return sl_reason_value(ret_reason, SLUICE_EPROTOCOL, where, what, value);
}

static int check_data(const readers *r, const sl_stream_data *data, sl_reason *ret_reason) {
    if (data->at != r->arrived) {
        return violation(ret_reason, "Data.at", "is not where the last Data ended", data->at);
    }
    if (data->length > r->up_to - r->arrived) {
        return violation(ret_reason, "Data", "goes beyond up_to", r->up_to);
    }
    if (r->status != SLUICE_OK && (data->length > 0 || data->status != SLUICE_OK)) {
        return violation(ret_reason, "Data", "behind the end", data->at);
    }
    if (data->stopped && (!r->is_stopping || r->is_cancel_due)) {
        return violation(ret_reason, "Data.stopped", "without a Cancel", data->at);
    }
    return SLUICE_OK;
}

static void take_stopped(readers *r) {
    reader *trying = r->trying;
    r->is_stopping = r->is_asked = false;
    r->up_to = r->arrived;
    r->is_notify_due = r->is_notify_due || r->is_notify; /* it lapses: asked again */
    r->is_notify = false;
    r->trying = NULL;
    if (trying != NULL && available(r) == 0) {
        end_reader(r, trying, r->status != SLUICE_OK ? r->status : SLUICE_ETIMEDOUT);
    }
}

int readers_take_data(readers *r, const sl_stream_data *data, sl_reason *ret_reason) {
    if (r->is_closed) {
        return SLUICE_OK; /* dropped */
    }
    int status = check_data(r, data, ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    r->arrived += data->length;
    if (data->status != SLUICE_OK) {
        r->status = data->status;
    }
    if (data->stopped) {
        take_stopped(r);
    } else {
        r->is_notify = false; /* answered, also without bytes */
    }
    if (data->length > 0 || data->status != SLUICE_OK) { /* a read would not wait, or it is over */
        r->is_notify = r->is_notify_due = r->is_asked = false;
    }
    end_idle(r);
    return SLUICE_OK;
}

void readers_lose(readers *r, int status) {
    if (r->status == SLUICE_OK) {
        r->status = status;
    }
    r->is_stopping = r->is_cancel_due = r->is_notify_due = r->is_notify = false;
    r->trying = NULL;
    end_idle(r);
}
