/*
 * race_actor.c - random actions on the ends of streams, and the bookkeeping of every request. See
 * race.h.
 *
 * Each request has a record; `user` of its completion points at it. A completion must find its
 * record pending and with the same id (exactly once), in the order of its queue, and its buffer
 * poisoned beyond what was transferred. Records are reused in FIFO order, so that a buffer rests,
 * poisoned, until a late write by the kernel has had its chance.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/engine/race.h"

enum { OUTCOME_SUCCESS, OUTCOME_ABORTED, OUTCOME_ERROR };

static uint32_t below(race_actor *a, uint32_t bound) {
    return sl_random_seeded_below(&a->random, bound);
}

static race_request *make_pool(sl_list *free_list, unsigned count, uint8_t *memory, size_t each) {
    race_request *pool = calloc(count, sizeof(*pool));
    EXPECT(pool != NULL);
    sl_list_init(free_list);
    for (unsigned i = 0; i < count; i++) {
        sl_list_init(&pool[i].link);
        pool[i].buffer = memory + i * each;
        sl_list_push_back(free_list, &pool[i].link);
    }
    return pool;
}

void race_actor_init(race_actor *a, race *shared, rig *r, unsigned first_end, unsigned last_end,
                     uint64_t seed) {
    size_t read_each = RACE_READ_MAX + RACE_GUARD;
    size_t write_each = RACE_WRITE_MAX + RACE_GUARD;
    memset(a, 0, sizeof(*a));
    a->race = shared;
    a->r = r;
    a->first_end = first_end;
    a->last_end = last_end;
    sl_random_seeded_init(&a->random, seed);
    a->memory = malloc(RACE_READS * read_each + RACE_WRITES * write_each);
    EXPECT(a->memory != NULL);
    poison(a->memory, RACE_READS * read_each + RACE_WRITES * write_each, POISON_AFTER);
    a->reads = make_pool(&a->free_reads, RACE_READS, a->memory, read_each);
    a->writes =
        make_pool(&a->free_writes, RACE_WRITES, a->memory + RACE_READS * read_each, write_each);
}

void race_actor_deinit(race_actor *a) {
    for (unsigned i = 0; i < RACE_READS; i++) {
        EXPECT(!a->reads[i].pending);
        EXPECT(is_poisoned(a->reads[i].buffer, RACE_READ_MAX + RACE_GUARD, POISON_AFTER));
    }
    for (unsigned i = 0; i < RACE_WRITES; i++) {
        EXPECT(!a->writes[i].pending);
        EXPECT(is_poisoned(a->writes[i].buffer, RACE_WRITE_MAX + RACE_GUARD, POISON_AFTER));
    }
    free(a->reads);
    free(a->writes);
    free(a->memory);
}

/* ---- requests -------------------------------------------------------------------------------- */

static race_request *take_record(race_end *end, sl_list *free_list, engine_kind kind,
                                 uint32_t length) {
    race_request *request = SL_LIST_ENTRY(sl_list_pop_front(free_list), race_request, link);
    EXPECT(!request->pending);
    /* Nobody touched it since its last request ended. */
    EXPECT(is_poisoned(request->buffer, request->length + RACE_GUARD, POISON_AFTER));
    request->end = end;
    request->kind = kind;
    request->length = length;
    request->cancel_asked = false;
    request->pending = true;
    return request;
}

static void give_back(sl_list *free_list, race_request *request) {
    request->pending = false;
    request->id = 0;
    poison(request->buffer, request->length + RACE_GUARD, POISON_AFTER);
    sl_list_push_back(free_list, &request->link);
}

static uint32_t random_length(race_actor *a, uint32_t max) {
    uint32_t dice = below(a, 100);
    if (dice < 60) {
        return 1 + below(a, 64);
    }
    return 1 + below(a, dice < 94 ? 4096 : max);
}

static void submit_read(race_actor *a, race_end *end) {
    uint32_t length = below(a, 10) == 0 ? 0 : random_length(a, RACE_READ_MAX);
    race_request *request = take_record(end, &a->free_reads, ENGINE_READ, length);
    poison(request->buffer, length + RACE_GUARD, POISON_BEFORE);
    EXPECT_STATUS(engine_read(end->handle, request->buffer, length, request, &request->id),
                  SLUICE_OK);
    sl_list_push_back(&end->reads, &request->link);
    end->read_count++;
    a->tally.submitted++;
}

static void submit_write(race_actor *a, race_end *end) {
    uint32_t length = random_length(a, RACE_WRITE_MAX);
    race_request *request = take_record(end, &a->free_writes, ENGINE_WRITE, length);
    request->write_number = lane_begin_write(end->out, request->buffer, length);
    engine_buffer buffers[3] = {{0}};
    uint32_t first = below(a, length + 1);
    uint32_t second = below(a, length - first + 1);
    buffers[0].bytes = request->buffer;
    buffers[0].length = first;
    buffers[1].bytes = request->buffer + first;
    buffers[1].length = second;
    buffers[2].bytes = request->buffer + first + second;
    buffers[2].length = length - first - second;
    EXPECT_STATUS(engine_write(end->handle, buffers, 3, request, &request->id), SLUICE_OK);
    sl_list_push_back(&end->writes, &request->link);
    end->write_count++;
    a->tally.submitted++;
}

static void submit_half_close(race_actor *a, race_end *end) {
    race_request *request = take_record(end, &a->free_writes, ENGINE_HALF_CLOSE, 0);
    EXPECT_STATUS(engine_half_close(end->handle, request, &request->id), SLUICE_OK);
    sl_list_push_back(&end->writes, &request->link);
    end->write_count++;
    end->half_closing = true;
    a->tally.submitted++;
}

/* Cancels one of the pending requests, or an id long gone when there is none. */
static void cancel_some(race_actor *a, race_end *end) {
    unsigned pending = end->read_count + end->write_count;
    if (pending == 0 || below(a, 50) == 0) {
        engine_cancel(a->r->worker, a->stale);
        a->tally.stale_cancels++;
        return;
    }
    unsigned index = below(a, pending);
    sl_list *node = index < end->read_count ? end->reads.next : end->writes.next;
    index -= index < end->read_count ? 0 : end->read_count;
    for (; index > 0; index--) {
        node = node->next;
    }
    race_request *request = SL_LIST_ENTRY(node, race_request, link);
    request->cancel_asked = true;
    engine_cancel(a->r->worker, request->id);
}

static void mark_asked(sl_list *queue) {
    for (sl_list *node = queue->next; node != queue; node = node->next) {
        SL_LIST_ENTRY(node, race_request, link)->cancel_asked = true;
    }
}

static void close_end(race_actor *a, race_end *end) {
    mark_asked(&end->reads);
    mark_asked(&end->writes);
    end->closing = true;
    EXPECT_STATUS(engine_close(end->handle, end), SLUICE_OK);
    a->tally.closes++;
}

/* ---- completions ----------------------------------------------------------------------------- */

static void count_outcome(race_actor *a, const race_request *request, int status) {
    a->tally.completed++;
    if (request->cancel_asked) {
        unsigned outcome = status == SLUICE_OK          ? OUTCOME_SUCCESS
                           : status == SLUICE_ECANCELED ? OUTCOME_ABORTED
                                                        : OUTCOME_ERROR;
        a->tally.outcomes[request->kind != ENGINE_READ][outcome]++;
        a->tally.races++;
        atomic_fetch_add_explicit(&a->race->races, 1, memory_order_relaxed);
    } else {
        EXPECT(status != SLUICE_ECANCELED); /* nobody asked */
    }
}

static void on_read(race_actor *a, race_request *request, const engine_completion *c) {
    race_end *end = request->end;
    EXPECT(c->bytes <= request->length && c->in_doubt == 0);
    EXPECT(c->status == SLUICE_OK || c->bytes == 0);
    EXPECT(is_poisoned(request->buffer + request->length, RACE_GUARD, POISON_BEFORE));
    if (c->status == SLUICE_OK) {
        EXPECT(!end->ended_in || c->bytes == 0);
        EXPECT(is_poisoned(request->buffer + c->bytes, request->length - c->bytes, POISON_BEFORE));
        lane_receive(end->in, request->buffer, c->bytes);
        a->tally.bytes += c->bytes;
    } else if (c->status == SLUICE_EEOF) {
        lane_receive_eof(end->in, end->write_error);
        end->ended_in = true;
    } else if (!request->cancel_asked) {
        EXPECT(c->status == SLUICE_ERESET);
        end->ended_in = true;
    }
    end->read_count--;
    give_back(&a->free_reads, request);
}

static void on_write(race_actor *a, race_request *request, const engine_completion *c) {
    race_end *end = request->end;
    EXPECT(is_poisoned(request->buffer + request->length, RACE_GUARD, POISON_AFTER));
    if (c->status != SLUICE_OK && c->status != SLUICE_ECANCELED) {
        end->write_error = c->status;
    }
    if (request->kind == ENGINE_HALF_CLOSE) {
        EXPECT_INT(c->bytes + c->in_doubt, 0);
        end->half_closing = false;
        end->ended_out = end->ended_out || c->status != SLUICE_ECANCELED;
    } else {
        EXPECT(c->status != SLUICE_OK || (c->bytes == request->length && c->in_doubt == 0));
        EXPECT(c->bytes <= request->length && c->in_doubt <= request->length - c->bytes);
        a->tally.doubtful += c->in_doubt > 0;
        lane_end_write(end->out, request->write_number, (uint32_t)c->bytes, (uint32_t)c->in_doubt);
        if (c->status != SLUICE_OK && !request->cancel_asked) {
            EXPECT(c->status == SLUICE_EBROKENPIPE || c->status == SLUICE_ERESET);
            end->ended_out = true;
        }
    }
    end->write_count--;
    give_back(&a->free_writes, request);
}

static void on_closed(race_end *end, const engine_completion *c) {
    EXPECT(end->closing && c->handle == end->handle);
    EXPECT_INT(end->read_count + end->write_count, 0); /* it comes last */
    EXPECT_STATUS(c->status, SLUICE_OK);
    end->handle = NULL;
    atomic_fetch_sub(&end->conn->open_ends, 1);
}

/* What the server accepts is the conn that the client is opening. */
static void on_accept(race_actor *a, const engine_completion *c) {
    EXPECT(c->id == a->accept && c->handle == a->listener);
    if (c->status == SLUICE_ECANCELED) {
        a->accept = 0;
        return;
    }
    race_conn *conn = atomic_load(&a->race->opening);
    EXPECT_STATUS(c->status, SLUICE_OK);
    EXPECT(conn != NULL);
    race_end_open(a, &conn->ends[0], c->opened[0]);
    atomic_store(&a->race->opening, NULL);
    EXPECT_STATUS(engine_accept(a->listener, NULL, &a->accept), SLUICE_OK);
}

static void on_completion(race_actor *a, const engine_completion *c) {
    if (c->kind == ENGINE_ACCEPT) {
        on_accept(a, c);
        return;
    }
    if (c->kind == ENGINE_CLOSE) {
        on_closed(c->user, c);
        return;
    }
    race_request *request = c->user;
    EXPECT(request->pending && request->id == c->id && request->kind == c->kind);
    EXPECT(request->end->handle == c->handle);
    sl_list *queue = c->kind == ENGINE_READ ? &request->end->reads : &request->end->writes;
    if (sl_list_first(queue) != &request->link) { /* only a cancelled one may overtake */
        EXPECT_STATUS(c->status, SLUICE_ECANCELED);
        EXPECT_INT(c->bytes + c->in_doubt, 0);
    }
    sl_list_remove(&request->link);
    a->stale = request->id;
    count_outcome(a, request, c->status);
    if (c->kind == ENGINE_READ) {
        on_read(a, request, c);
    } else {
        on_write(a, request, c);
    }
}

void race_actor_poll(race_actor *a, bool wait) {
    engine_completion batch[6];
    unsigned capacity = 1 + below(a, SL_ARRAY_COUNT(batch)); /* small: many wait undelivered */
    uint64_t deadline_ns = wait ? rig_after_ns(a->r, SL_NS_PER_MS) : 0;
    for (unsigned i = 0; i < a->r->inbox_count; i++) {
        on_completion(a, &a->r->inbox[i]);
    }
    a->r->inbox_count = 0;
    unsigned count = rig_poll(a->r, batch, capacity, deadline_ns);
    for (unsigned i = 0; i < count; i++) {
        on_completion(a, &batch[i]);
    }
}

/* ---- actions --------------------------------------------------------------------------------- */

static bool can_half_close(const race_end *end) {
    return (engine_handle_capabilities(end->handle) & ENGINE_CAN_HALF_CLOSE) != 0;
}

static void act_on(race_actor *a, race_end *end) {
    uint32_t dice = below(a, 1000);
    bool is_over = (end->in == NULL || end->ended_in) && (end->out == NULL || end->ended_out);
    if (dice < 8 || is_over || ((end->ended_in || end->ended_out) && dice < 100)) {
        close_end(a, end);
    } else if (dice < 12 && end->out != NULL && can_half_close(end)) {
        if (!end->half_closing && !end->ended_out && end->write_count < RACE_DEPTH) {
            submit_half_close(a, end);
        }
    } else if (dice < 300) {
        if (end->in != NULL && !end->ended_in && end->read_count < RACE_DEPTH) {
            submit_read(a, end);
        }
    } else if (dice < 590) {
        if (end->out != NULL && !end->ended_out && !end->half_closing &&
            end->write_count < RACE_DEPTH && lane_has_room(end->out)) {
            submit_write(a, end);
        }
    } else {
        cancel_some(a, end);
    }
}

static race_end *random_end(race_actor *a) {
    race_conn *conn = &a->race->conns[below(a, RACE_CONNS)];
    race_end *end = &conn->ends[a->first_end + below(a, a->last_end - a->first_end + 1)];
    return end->handle != NULL && !end->closing ? end : NULL;
}

bool race_actor_act(race_actor *a) {
    bool acted = false;
    unsigned count = 1 + below(a, 12);
    for (unsigned i = 0; i < count; i++) {
        race_end *end = random_end(a);
        if (end != NULL) {
            act_on(a, end);
            acted = true;
        }
    }
    return acted;
}

void race_actor_drain(race_actor *a) {
    for (unsigned i = 0; i < RACE_CONNS; i++) {
        for (unsigned side = a->first_end; side <= a->last_end; side++) {
            race_end *end = &a->race->conns[i].ends[side];
            if (end->handle == NULL || end->closing) {
                continue;
            }
            if (side == 1 || end->in == NULL || end->ended_in) {
                close_end(a, end);
            } else if (end->read_count == 0) {
                submit_read(a, end);
            }
        }
    }
}

bool race_actor_has_open_ends(const race_actor *a) {
    for (unsigned i = 0; i < RACE_CONNS; i++) {
        for (unsigned side = a->first_end; side <= a->last_end; side++) {
            if (a->race->conns[i].ends[side].handle != NULL) {
                return true;
            }
        }
    }
    return false;
}

/* ---- conns ----------------------------------------------------------------------------------- */

void race_end_open(race_actor *a, race_end *end, engine_handle *handle) {
    EXPECT(end->handle == NULL && handle != NULL);
    EXPECT(end->read_count == 0 && end->write_count == 0);
    end->closing = false;
    end->half_closing = false;
    end->ended_in = false;
    end->ended_out = false;
    end->write_error = SLUICE_OK;
    end->handle = handle;
    a->tally.opens++;
}

/*
 * Closing a TCP socket with bytes unread resets the connection, and what the closer had sent may be
 * lost: the reader gets ERESET. Wine 8 swallows a reset that finds nothing pending and reports the
 * end of the file instead (server/sock.c sock_poll_event), so there, and only in that case, a
 * stream may be cut without a word.
 */
static bool may_be_cut(race *shared, race_conn *conn, unsigned lane_index) {
    return os_is_wine() && t_is_backend("iocp") && shared->kind == STREAM_TCP &&
           lane_is_unread(&conn->lanes[1 - lane_index]);
}

void race_conn_recycle(race_actor *a, race_conn *conn) {
    for (unsigned i = 0; i < 2 && atomic_load(&conn->is_dirty) != 0; i++) {
        a->tally.cut += !lane_finish(&conn->lanes[i], may_be_cut(a->race, conn, i));
    }
    for (unsigned i = 0; i < 2; i++) {
        lane_reset(&conn->lanes[i], (uint32_t)sl_random_seeded_u64(&a->random));
    }
    atomic_store(&conn->is_dirty, 0);
}

race *race_create(stream_kind kind, uint64_t wanted) {
    race *new_race = calloc(1, sizeof(*new_race));
    EXPECT(new_race != NULL);
    new_race->kind = kind;
    new_race->wanted = wanted;
    for (unsigned i = 0; i < RACE_CONNS; i++) {
        race_conn *conn = &new_race->conns[i];
        for (unsigned side = 0; side < 2; side++) {
            lane_init(&conn->lanes[side]);
            conn->ends[side].conn = conn;
            sl_list_init(&conn->ends[side].reads);
            sl_list_init(&conn->ends[side].writes);
        }
        conn->ends[0].in = &conn->lanes[0];
        conn->ends[1].out = &conn->lanes[0];
        if (kind != STREAM_PAIR) {
            conn->ends[0].out = &conn->lanes[1];
            conn->ends[1].in = &conn->lanes[1];
        }
    }
    return new_race;
}

void race_destroy(race *old_race) {
    for (unsigned i = 0; i < RACE_CONNS; i++) {
        lane_deinit(&old_race->conns[i].lanes[0]);
        lane_deinit(&old_race->conns[i].lanes[1]);
    }
    free(old_race);
}
