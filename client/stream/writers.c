/*
 * writers.c - see writers.h.
 *
 * The open writers stand in the stream's order; what is sent is a prefix of them: some whole, one
 * in part, the others not at all. A cancel of bytes that the broker has is one Cancel and one
 * answer (is_stopping), and nothing is sent between. The answer says with `next` which bytes the
 * broker keeps; all behind is numbered anew and sent again, unless it was cancelled or the stream
 * is torn. A writer ends in one place, end_writer(), which also decides whether it tears the
 * stream.
 */
#include "client/stream/writers.h"

#include <string.h>

#include "base/check.h"
#include "base/status.h"

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* The bytes that [a, a + length) has in [from, to). */
static uint64_t overlap(uint64_t a, uint64_t length, uint64_t from, uint64_t to) {
    uint64_t first = most(a, from);
    uint64_t last = least(a + length, to);
    return last > first ? last - first : 0;
}

static writer *writer_at(const sl_list *node) {
    return SL_LIST_ENTRY(node, writer, link);
}

void writers_init(writers *w, uint64_t floor_bytes) {
    memset(w, 0, sizeof(*w));
    w->floor_bytes = floor_bytes;
    w->up_to = floor_bytes;
    sl_list_init(&w->open);
    sl_list_init(&w->ended);
}

void writers_deinit(writers *w) {
    SL_CHECK(sl_list_is_empty(&w->open) && sl_list_is_empty(&w->ended), "every write has ended");
}

/* ---- the end of a write ---- */

static bool is_part(const writer *each, uint64_t done, uint64_t in_doubt) {
    return in_doubt > 0 || (done > 0 && done < each->length);
}

static void end_writer(writers *w, writer *each, int status, uint64_t done, uint64_t in_doubt) {
    w->unsent -= each->length - each->sent;
    if (!each->is_told) {
        each->status = status;
        each->done = done;
        each->in_doubt = in_doubt;
        w->is_torn = w->is_torn || is_part(each, done, in_doubt);
    }
    sl_list_remove(&each->link);
    sl_list_push_back(&w->ended, &each->link);
}

/* What is behind a torn write ends TORN: at once, or when the broker has said what became of it. */
static void tear_behind(writers *w, sl_list *node) {
    while (node != &w->open) {
        writer *each = writer_at(node);
        node = node->next;
        if (each->sent == 0 && !each->is_sent) {
            end_writer(w, each, SLUICE_ETORN, 0, 0);
        } else if (!each->is_cancelled) {
            each->is_cancelled = true;
            each->cancel_status = SLUICE_ETORN;
        }
    }
}

/* Those at the head that are out. */
static void end_done(writers *w) {
    sl_list *node;
    while ((node = sl_list_first(&w->open)) != NULL) {
        writer *each = writer_at(node);
        bool is_out = each->length == 0 || w->total >= each->base + each->length;
        if (each->is_end || each->sent < each->length || !is_out) {
            break;
        }
        end_writer(w, each, SLUICE_OK, each->length, 0);
    }
}

static void end_end(writers *w) {
    w->is_ended = true;
    for (sl_list *node = w->open.next; node != &w->open; node = node->next) {
        if (writer_at(node)->is_end) {
            end_writer(w, writer_at(node), SLUICE_OK, 0, 0);
            return;
        }
    }
}

/* Everything ends; [total, doubt_to) may be out. */
static void end_all(writers *w, int status, uint64_t doubt_to) {
    sl_list *node;
    end_done(w);
    while ((node = sl_list_first(&w->open)) != NULL) {
        writer *each = writer_at(node);
        uint64_t done = overlap(each->base, each->sent, 0, w->total);
        uint64_t in_doubt = overlap(each->base, each->sent, w->total, doubt_to);
        end_writer(w, each, status, done, in_doubt);
    }
}

/* ---- from the program ---- */

/* OK, or what every write ends with now. */
static int refusal(const writers *w) {
    if (w->is_closed) {
        return SLUICE_ECLOSED;
    }
    if (w->status != SLUICE_OK) {
        return w->status;
    }
    for (const sl_list *node = w->open.next; node != &w->open; node = node->next) {
        if (writer_at(node)->is_end && !writer_at(node)->is_cancelled) {
            return SLUICE_EBROKENPIPE;
        }
    }
    return w->is_ended ? SLUICE_EBROKENPIPE : w->is_torn ? SLUICE_ETORN : SLUICE_OK;
}

static void start(writers *w, writer *each, uint64_t length, bool is_end) {
    memset(each, 0, sizeof(*each));
    each->length = length;
    each->is_end = is_end;
    int status = refusal(w);
    sl_list_init(&each->link);
    sl_list_push_back(&w->open, &each->link);
    w->unsent += length;
    if (status != SLUICE_OK) {
        end_writer(w, each, status, 0, 0);
    }
    end_done(w); /* an empty write with nothing before it */
}

void writers_start(writers *w, writer *write, uint64_t length) {
    start(w, write, length, false);
}

void writers_start_end(writers *w, writer *end) {
    start(w, end, 0, true);
}

static void stop(writers *w, uint64_t from, uint64_t to) {
    w->cancel = (sl_stream_cancel){from, to};
    w->is_cancel_due = true;
    w->is_stopping = true;
}

void writers_cancel(writers *w, writer *write, int status) {
    SL_CHECK(!write->is_cancelled && sl_list_is_linked(&write->link), "an open write is cancelled");
    if (write->sent == 0 && !write->is_sent) {
        end_writer(w, write, status, 0, 0);
        end_done(w);
        return;
    }
    write->is_cancelled = true;
    write->cancel_status = status;
    if (!w->is_stopping && !w->is_closed) { /* else it is looked at when the stop is answered */
        stop(w, write->base, write->base + write->length);
    }
}

void writers_give_up(writers *w, writer *write) {
    SL_CHECK(write->is_cancelled && !write->is_told, "who waits for an answer gives it up");
    sl_list *behind = write->link.next;
    write->status = write->cancel_status;
    write->done = overlap(write->base, write->sent, 0, w->total);
    write->in_doubt = overlap(write->base, write->sent, w->total, w->sent);
    write->is_told = true;
    if (is_part(write, write->done, write->in_doubt)) {
        w->is_torn = true;
        tear_behind(w, behind);
    }
}

void writers_acknowledge(writers *w) {
    w->is_torn = false;
}

void writers_close(writers *w) {
    w->is_closed = true; /* a Written that crosses the Close still counts: it may tell a doubt */
}

/* ---- to the broker ---- */

/* What was granted above the floor and is not needed any more: a write was cancelled before all of
 * it was sent. An end lets the broker take it back itself. */
static bool has_grant_left(const writers *w) {
    const sl_list *last = w->open.prev;
    bool has_end = last != &w->open && writer_at(last)->is_end;
    uint64_t need_to = most(w->sent + w->unsent, w->total + w->floor_bytes);
    return w->up_to > need_to && !has_end && !w->is_ended;
}

static writers_kind send_bytes(writers *w, writer *each, uint64_t length, writers_output *out) {
    if (each->sent == 0) {
        each->base = w->sent;
    }
    out->kind = WRITERS_WRITE;
    out->from = each;
    out->offset = each->sent;
    out->write.at = w->sent;
    out->write.length = (uint32_t)length;
    out->write.begins = each->sent == 0;
    each->sent += length;
    w->sent += length;
    w->unsent -= length;
    out->write.last = each->sent == each->length;
    out->write.waiting = w->unsent;
    out->write.now = out->write.last || (w->sent - w->total) * 2 > w->up_to - w->total;
    w->told_to = w->sent + w->unsent;
    return WRITERS_WRITE;
}

/* No bytes may be sent: the broker is to know that some wait, unless it does. */
static writers_kind send_waiting(writers *w, writers_output *out) {
    if (w->told_to > w->up_to) {
        return WRITERS_NOTHING;
    }
    out->kind = WRITERS_WRITE;
    out->write.at = w->sent;
    out->write.waiting = w->unsent;
    w->told_to = w->sent + w->unsent;
    return WRITERS_WRITE;
}

static writers_kind send_end(writers *w, writer *end, writers_output *out) {
    end->is_sent = true;
    end->base = w->sent;
    out->kind = WRITERS_WRITE;
    out->write.at = w->sent;
    out->write.end = true;
    out->write.now = true;
    return WRITERS_WRITE;
}

writers_kind writers_next(writers *w, uint32_t most_bytes, writers_output *ret_output) {
    memset(ret_output, 0, sizeof(*ret_output));
    if (w->is_closed) {
        return WRITERS_NOTHING;
    }
    if (w->is_cancel_due) {
        w->is_cancel_due = false;
        ret_output->kind = WRITERS_CANCEL;
        ret_output->cancel = w->cancel;
        return WRITERS_CANCEL;
    }
    if (w->is_stopping || w->status != SLUICE_OK) {
        return WRITERS_NOTHING;
    }
    if (has_grant_left(w)) {
        w->is_stopping = true;
        ret_output->kind = WRITERS_CANCEL;
        ret_output->cancel = (sl_stream_cancel){w->sent, w->sent};
        return WRITERS_CANCEL;
    }
    for (sl_list *node = w->open.next; node != &w->open; node = node->next) {
        writer *each = writer_at(node);
        if (each->is_end && !each->is_sent) {
            return send_end(w, each, ret_output);
        }
        if (each->sent < each->length) {
            uint64_t room = least(w->up_to - w->sent, most_bytes);
            uint64_t length = least(each->length - each->sent, room);
            return length > 0 ? send_bytes(w, each, length, ret_output)
                              : send_waiting(w, ret_output);
        }
    }
    return WRITERS_NOTHING;
}

/* ---- from the broker ---- */

static int violation(sl_reason *ret_reason, const char *where, const char *what, uint64_t value) {
    return sl_reason_value(ret_reason, SLUICE_EPROTOCOL, where, what, value);
}

static bool has_sent_end(const writers *w) {
    const sl_list *last = w->open.prev;
    return w->is_ended || (last != &w->open && writer_at(last)->is_sent);
}

static int check_written(const writers *w, const sl_stream_written *m, sl_reason *ret_reason) {
    if (m->total < w->total || m->total > w->sent) {
        return violation(ret_reason, "Written.total", "goes back, or beyond what was sent",
                         m->total);
    }
    if (m->stopped && (!w->is_stopping || w->is_cancel_due)) {
        return violation(ret_reason, "Written.stopped", "without a Cancel", m->total);
    }
    if (m->stopped && (m->next < m->total || m->next > w->sent)) {
        return violation(ret_reason, "Written.next", "is out of range", m->next);
    }
    if (m->in_doubt > w->sent - m->total) {
        return violation(ret_reason, "Written.in_doubt", "goes beyond what was sent", m->in_doubt);
    }
    if (m->ended && !has_sent_end(w)) {
        return violation(ret_reason, "Written.ended", "without an end", m->total);
    }
    if (m->status != SLUICE_OK) {
        return SLUICE_OK;
    }
    uint64_t up_to_least = most(m->total + w->floor_bytes, m->stopped ? m->next : w->up_to);
    if (m->up_to < up_to_least) {
        return violation(ret_reason, "Written.up_to", "shrinks, or is less than the floor",
                         m->up_to);
    }
    return SLUICE_OK;
}

/* The stop is answered: whoever the broker keeps no byte of is over, if it was cancelled or is in
 * doubt. */
static void settle(writers *w, const sl_stream_written *m) {
    uint64_t doubt_to = m->total + m->in_doubt;
    for (sl_list *node = w->open.next; node != &w->open;) {
        writer *each = writer_at(node);
        node = node->next;
        if (each->sent == 0) {
            if (each->is_end && each->is_cancelled) { /* it was dropped, or it would have run */
                end_writer(w, each, each->cancel_status, 0, 0);
            }
            continue;
        }
        uint64_t done = overlap(each->base, each->sent, 0, m->total);
        uint64_t in_doubt = overlap(each->base, each->sent, m->total, doubt_to);
        bool is_kept = overlap(each->base, each->sent, m->total, m->next) > 0;
        bool is_over = (each->is_cancelled && !is_kept) || in_doubt > 0;
        if (is_over) {
            int status = each->is_cancelled ? each->cancel_status : SLUICE_EABANDONED;
            bool is_torn = !each->is_told && is_part(each, done, in_doubt);
            end_writer(w, each, status, done, in_doubt);
            if (is_torn) {
                tear_behind(w, node);
                node = w->open.next; /* those marked are settled, too; the others again: the same */
            }
        }
    }
}

/* Everything from `next` on is numbered anew and sent again. */
static void renumber(writers *w, const sl_stream_written *m) {
    w->sent = m->next;
    w->up_to = m->up_to;
    w->told_to = 0;
    w->unsent = 0;
    for (sl_list *node = w->open.next; node != &w->open; node = node->next) {
        writer *each = writer_at(node);
        each->sent = each->sent > 0 ? overlap(each->base, each->sent, 0, m->next) : 0;
        each->is_sent = false;
        w->unsent += each->length - each->sent;
    }
}

static void take_stopped(writers *w, const sl_stream_written *m) {
    w->is_stopping = false;
    settle(w, m);
    renumber(w, m);
    for (sl_list *node = w->open.next; node != &w->open; node = node->next) {
        writer *each = writer_at(node);
        if (each->is_cancelled) { /* meanwhile, and the broker keeps bytes of it */
            stop(w, each->base, each->base + each->length);
            break;
        }
    }
    end_done(w);
}

int writers_take_written(writers *w, const sl_stream_written *written, sl_reason *ret_reason) {
    int status = check_written(w, written, ret_reason);
    if (status != SLUICE_OK) {
        return status;
    }
    w->total = written->total;
    end_done(w);
    if (written->ended) {
        end_end(w);
    }
    if (written->status != SLUICE_OK) {
        w->status = written->status; /* a Cancel that was sent is answered, and nobody waits */
        w->is_stopping = w->is_stopping && !w->is_cancel_due && !written->stopped;
        w->is_cancel_due = false;
        end_all(w, written->status, written->total + written->in_doubt);
    } else if (written->stopped) {
        take_stopped(w, written);
    } else {
        w->up_to = written->up_to;
    }
    return SLUICE_OK;
}

int writers_take_closed(writers *w, const sl_stream_closed *closed, sl_reason *ret_reason) {
    if (!w->is_closed) {
        return violation(ret_reason, "Closed", "without a Close", closed->total);
    }
    if (closed->total < w->total || closed->total > w->sent ||
        closed->in_doubt > w->sent - closed->total) {
        return violation(ret_reason, "Closed.total", "goes back, or beyond what was sent",
                         closed->total);
    }
    w->total = closed->total;
    end_all(w, SLUICE_ECLOSED, closed->total + closed->in_doubt);
    return SLUICE_OK;
}

void writers_lose(writers *w, int status) {
    w->status = status;
    w->is_cancel_due = false;
    end_all(w, status, w->sent);
}

writer *writers_ended(writers *w) {
    sl_list *node = sl_list_pop_front(&w->ended);
    return node != NULL ? writer_at(node) : NULL;
}
