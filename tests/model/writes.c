/*
 * writes.c - the moves of the world of the outgoing direction: see writes.h.
 */
#include "tests/model/writes.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"

#define MOVES_MAX 64u

typedef enum move_kind {
    /* forced: they happen by themselves */
    MOVE_SEND,
    MOVE_BROKER_TAKES,
    MOVE_CLIENT_TAKES,
    MOVE_SUBMIT,
    MOVE_TELL,
    MOVE_CLOSED,
    MOVE_TIMER,
    MOVE_SERVE,
    /* free: perhaps never */
    MOVE_KERNEL,
    MOVE_START,
    MOVE_CANCEL,
    MOVE_GIVE_UP,
    MOVE_ACKNOWLEDGE,
    MOVE_CLOSE,
    MOVE_LOSE
} move_kind;

static const char *const move_names[] = {"client sends",
                                         "broker takes a message",
                                         "client takes a message",
                                         "broker submits",
                                         "broker tells",
                                         "broker says Closed",
                                         "the broker's timer",
                                         "broker grants",
                                         "the kernel",
                                         "start",
                                         "cancel",
                                         "give up",
                                         "acknowledge",
                                         "close",
                                         "the broker is lost"};

typedef struct move {
    move_kind kind;
    unsigned handle;
    unsigned which;
} move;

typedef struct moves {
    move list[MOVES_MAX];
    unsigned count;
} moves;

const writes_scenario *writes_scenario_now;
bool writes_is_loud;

static outgoing_rules rules;

/* ---- the channels ---- */

static writes_message *push(writes_channel *channel, writes_message_kind kind) {
    SL_CHECK(channel->count < WRITES_CHANNEL_MAX, "the model's channel has room");
    writes_message *message = &channel->messages[channel->count++];
    memset(message, 0, sizeof(*message));
    message->kind = kind;
    return message;
}

static writes_message pop(writes_channel *channel) {
    writes_message message = channel->messages[0];
    channel->count--;
    memmove(channel->messages, channel->messages + 1, channel->count * sizeof(message));
    return message;
}

/* ---- the client ---- */

static void fetch_ended(writes_handle *h) {
    writer *ended;
    while ((ended = writers_ended(&h->client)) != NULL) {
        unsigned which = (unsigned)(ended - h->writers);
        writes_call *call = &h->calls[which];
        if (!call->has_given_up) {
            SL_CHECK(!call->is_over, "a write ends once");
            call->is_over = true;
            call->status = (int8_t)ended->status;
            call->done = (uint8_t)ended->done;
            call->in_doubt = (uint8_t)ended->in_doubt;
            writes_check_over(h, which);
        }
        memset(ended, 0, sizeof(*ended)); /* its owner's again */
        if (writes_is_loud) {
            printf("      write %u is over: %s, done %u, in doubt %u\n", which,
                   sl_status_name(call->status), call->done, call->in_doubt);
        }
    }
}

static void start_write(writes_handle *h, unsigned which) {
    writes_call *call = &h->calls[which];
    call->is_started = true;
    if ((writes_scenario_now->ends >> which & 1) != 0) {
        writers_start_end(&h->client, &h->writers[which]);
    } else {
        writers_start(&h->client, &h->writers[which], writes_scenario_now->lengths[which]);
    }
    fetch_ended(h);
}

static void send_next(writes_handle *h, writes_wire *wire) {
    writers_output output;
    writers_kind kind = writers_next(&h->client, 1, &output);
    SL_CHECK(kind != WRITERS_NOTHING, "there was something to send");
    if (kind == WRITERS_CANCEL) {
        push(&wire->to_broker, MESSAGE_CANCEL)->as.cancel = output.cancel;
        return;
    }
    writes_message *message = push(&wire->to_broker, MESSAGE_WRITE);
    message->as.write = output.write;
    if (output.write.length > 0) {
        message->which = (uint8_t)(output.from - h->writers);
        message->index = (uint8_t)output.offset;
    }
}

/* Is there something to send? Tried on the machine, which is put back. */
static bool has_output(writes_handle *h) {
    static writes_handle before;
    writers_output output;
    before = *h;
    bool has = writers_next(&h->client, 1, &output) != WRITERS_NOTHING;
    *h = before;
    return has;
}

static void client_takes(writes_handle *h, writes_wire *wire) {
    writes_message message = pop(&wire->to_client);
    sl_reason reason = {""};
    int status = message.kind == MESSAGE_WRITTEN
                     ? writers_take_written(&h->client, &message.as.written, &reason)
                     : writers_take_closed(&h->client, &message.as.closed, &reason);
    if (writes_is_loud && message.kind == MESSAGE_WRITTEN) {
        const sl_stream_written *w = &message.as.written;
        printf("      Written total %u next %u up_to %u in_doubt %u %s%s%s\n", (unsigned)w->total,
               (unsigned)w->next, (unsigned)w->up_to, (unsigned)w->in_doubt,
               sl_status_name(w->status), w->stopped ? " stopped" : "", w->ended ? " ended" : "");
    }
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s\n", reason.text);
    }
    SL_CHECK(status == SLUICE_OK, "the broker keeps to the protocol");
    h->is_closed = h->is_closed || message.kind == MESSAGE_CLOSED;
    fetch_ended(h);
}

/* ---- the broker ---- */

static outgoing_piece *take_piece(writes_handle *h) {
    for (unsigned i = 0; i < WRITES_PIECES_MAX; i++) {
        if (!h->piece_used[i]) {
            h->piece_used[i] = true;
            return &h->pieces[i];
        }
    }
    SL_CHECK(false, "the model has a piece for each byte");
    return NULL;
}

/* After each thing that the broker does: an abort is asked for in the same turn. */
static void end_turn(writes_handle *h) {
    outgoing_piece *piece;
    while ((piece = outgoing_spent(&h->broker)) != NULL) {
        unsigned i = (unsigned)(piece - h->pieces);
        SL_CHECK(h->piece_used[i], "a piece comes back once");
        h->piece_used[i] = false;
        memset(piece, 0, sizeof(*piece));
    }
    if ((outgoing_due(&h->broker) & OUTGOING_ABORT) != 0) {
        outgoing_aborting(&h->broker);
        h->is_asked = true;
    }
}

static void broker_takes(writes_handle *h, writes_wire *wire) {
    writes_message message = pop(&wire->to_broker);
    sl_reason reason = {""};
    int status = SLUICE_OK;
    if (message.kind == MESSAGE_WRITE) {
        const sl_stream_write *write = &message.as.write;
        outgoing_piece *piece = write->length > 0 ? take_piece(h) : NULL;
        SL_CHECK(write->at + write->length < WRITES_OFFSETS_MAX, "the model has the offsets");
        if (write->length > 0 && h->broker.status == SLUICE_OK) {
            wire->content[write->at] = (writes_byte){message.which, message.index};
        }
        status = outgoing_take_write(&h->broker, write, piece, &reason);
    } else if (message.kind == MESSAGE_CANCEL) {
        status = outgoing_take_cancel(&h->broker, &message.as.cancel, &reason);
    } else {
        h->taken_at_close = (uint8_t)h->broker.taken;
        outgoing_close(&h->broker);
    }
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s\n", reason.text);
    }
    SL_CHECK(status == SLUICE_OK, "the client keeps to the protocol");
}

static void submit(writes_handle *h, const writes_wire *wire) {
    outgoing_request request = outgoing_begin(&h->broker);
    SL_CHECK(request.length <= WRITES_KERNEL_MAX, "a request is bounded");
    SL_CHECK(h->kernel_length == 0 && !h->kernel_has_end, "one request at a time");
    h->kernel_has_end = request.is_end;
    h->kernel_length = (uint8_t)request.length;
    for (unsigned i = 0; i < h->kernel_length; i++) {
        h->kernel[i] = wire->content[request.at + i];
    }
}

static void serve(writes_world *world) {
    uint64_t bytes = 0;
    budget_share *share = budget_serve(&world->pool, &bytes);
    SL_CHECK(share != NULL, "somebody was to be served");
    outgoing_grant(outgoing_of_share(share), bytes);
}

/* ---- the kernel ---- */

static void deliver(writes_handle *h, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        writes_check_byte(h, h->kernel[i]);
        h->calls[h->kernel[i].which].received++;
    }
}

/* How a request that was cancelled, or fails, comes back. */
static outgoing_result choose_abort(writes_handle *h, choices *c, int status) {
    unsigned n = h->kernel_length;
    unsigned out = choices_next(c, n + 1);
    deliver(h, out);
    if (writes_scenario_now->is_exact) {
        return (outgoing_result){.done = out, .status = status};
    }
    return (outgoing_result){.in_doubt = n, .status = status};
}

static void kernel_goes_on(writes_handle *h, choices *c) {
    bool may_fail = writes_scenario_now->has_error && !h->has_failed;
    outgoing_result result = {.status = SLUICE_OK};
    enum { WHOLE, PART, ABORTED, FAILED } how = WHOLE;
    unsigned answers = h->kernel_has_end ? 1 : 2 + (h->is_asked ? 1u : 0) + (may_fail ? 1u : 0);
    unsigned answer = choices_next(c, answers);
    if (answer == 1) {
        how = PART;
    } else if (answer > 1) {
        how = h->is_asked && answer == 2 ? ABORTED : FAILED;
    }
    if (h->kernel_has_end) {
        SL_CHECK(!h->peer_has_end, "the half-close runs once");
        if (!h->broker.is_zombie || choices_next(c, 2) == 0) {
            writes_check_end(h);
            h->peer_has_end = true;
        }
    } else if (how == WHOLE) {
        result.done = h->kernel_length;
        deliver(h, h->kernel_length);
    } else if (how == PART) {
        result.done = h->kernel_length > 1 ? 1 : h->kernel_length;
        deliver(h, (unsigned)result.done);
    } else {
        h->has_failed = h->has_failed || how == FAILED;
        result = choose_abort(h, c, how == FAILED ? SLUICE_ERESET : SLUICE_ECANCELED);
    }
    if (writes_is_loud) {
        printf("      done %u in doubt %u %s\n", (unsigned)result.done, (unsigned)result.in_doubt,
               sl_status_name(result.status));
    }
    memset(h->kernel, 0, sizeof(h->kernel));
    h->kernel_length = 0;
    h->kernel_has_end = false;
    h->is_asked = false;
    outgoing_finish(&h->broker, &result);
}

/* ---- moves ---- */

static void add(moves *m, move_kind kind, unsigned handle, unsigned which) {
    SL_CHECK(m->count < MOVES_MAX, "the model's list of moves has room");
    m->list[m->count++] = (move){kind, handle, which};
}

static bool is_closing_soon(const writes_handle *h) {
    return h->is_closing || h->is_lost;
}

static void add_forced(writes_world *world, moves *m, unsigned i) {
    writes_handle *h = &world->handles[i];
    const writes_wire *wire = &world->wires[i];
    unsigned due = outgoing_due(&h->broker);
    sl_stream_closed closed;
    if (h->is_lost) {
        return;
    }
    if (has_output(h)) {
        add(m, MOVE_SEND, i, 0);
    }
    if (wire->to_broker.count > 0) {
        add(m, MOVE_BROKER_TAKES, i, 0);
    }
    if (wire->to_client.count > 0) {
        add(m, MOVE_CLIENT_TAKES, i, 0);
    }
    if ((due & OUTGOING_SUBMIT) != 0) {
        add(m, MOVE_SUBMIT, i, 0);
    }
    if ((due & (OUTGOING_TELL | OUTGOING_TELL_NOW)) != 0) {
        add(m, MOVE_TELL, i, 0);
    }
    if (outgoing_closed(&h->broker, &closed) && !h->is_closed && wire->to_client.count == 0) {
        add(m, MOVE_CLOSED, i, 0);
    }
    if ((due & OUTGOING_TIMER) != 0) {
        add(m, MOVE_TIMER, i, 0);
    }
}

static void add_program(moves *m, const writes_handle *h, unsigned i) {
    const writes_scenario *s = writes_scenario_now;
    unsigned next = s->count;
    for (unsigned k = 0; k < s->count; k++) {
        const writes_call *call = &h->calls[k];
        if (!call->is_started) {
            next = k < next ? k : next;
            continue;
        }
        if (!call->is_over && !call->is_cancelled && !h->writers[k].is_cancelled &&
            (s->cancellable >> k & 1) != 0) {
            add(m, MOVE_CANCEL, i, k);
        }
        if (s->gives_up && call->is_cancelled && !call->is_over) {
            add(m, MOVE_GIVE_UP, i, k);
        }
    }
    if (next < s->count) {
        add(m, MOVE_START, i, next);
    }
    if (s->acknowledges && h->client.is_torn && next < s->count) {
        add(m, MOVE_ACKNOWLEDGE, i, 0);
    }
    if (s->closes) {
        add(m, MOVE_CLOSE, i, 0);
    }
    if (s->is_lost) {
        add(m, MOVE_LOSE, i, 0);
    }
}

static unsigned list_moves(writes_world *world, moves *m) {
    uint64_t bytes;
    m->count = 0;
    for (unsigned i = 0; i < writes_scenario_now->handles; i++) {
        add_forced(world, m, i);
    }
    const sl_list *first = sl_list_first(&world->pool.waiting);
    if (first != NULL) {
        budget before = world->pool;
        budget_share *share = SL_LIST_ENTRY(first, budget_share, in_waiting);
        if (budget_serve(&world->pool, &bytes) != NULL) { /* tried, and put back */
            sl_list_push_front(&world->pool.waiting, &share->in_waiting);
            add(m, MOVE_SERVE, 0, 0);
        }
        SL_CHECK(before.free_bytes == world->pool.free_bytes, "asking takes nothing");
    }
    unsigned forced = m->count;
    for (unsigned i = 0; i < writes_scenario_now->handles; i++) {
        const writes_handle *h = &world->handles[i];
        if (h->kernel_length > 0 || h->kernel_has_end) {
            add(m, MOVE_KERNEL, i, 0);
        }
        if (!is_closing_soon(h)) {
            add_program(m, h, i);
        }
    }
    return forced;
}

unsigned writes_count_moves(void *world, unsigned *ret_forced) {
    moves m;
    *ret_forced = list_moves(world, &m);
    return m.count;
}

static void give_up(writes_handle *h, unsigned which) {
    writes_call *call = &h->calls[which];
    writers_give_up(&h->client, &h->writers[which]);
    call->is_over = true;
    call->has_given_up = true;
    call->status = (int8_t)h->writers[which].status;
    call->done = (uint8_t)h->writers[which].done;
    call->in_doubt = (uint8_t)h->writers[which].in_doubt;
}

static void acknowledge(writes_handle *h) {
    writers_acknowledge(&h->client);
    unsigned started = 0;
    while (h->calls[started].is_started) {
        started++;
    }
    for (unsigned k = started; k < WRITES_MAX; k++) {
        h->calls[k].acked = (uint8_t)started;
    }
}

static void lose(writes_world *world, unsigned i) {
    writes_handle *h = &world->handles[i];
    writers_lose(&h->client, SLUICE_EBROKERLOST);
    outgoing_close(&h->broker);
    memset(&world->wires[i], 0, sizeof(world->wires[i]));
    h->is_lost = true;
}

void writes_move(void *at, unsigned index, choices *c) {
    writes_world *world = at;
    moves m;
    (void)list_moves(world, &m);
    move one = m.list[index];
    writes_handle *h = &world->handles[one.handle];
    writes_wire *wire = &world->wires[one.handle];
    if (writes_is_loud) {
        printf("  %u: %s %u\n", one.handle, move_names[one.kind], one.which);
    }
    switch (one.kind) {
    case MOVE_SEND: send_next(h, wire); break;
    case MOVE_BROKER_TAKES: broker_takes(h, wire); break;
    case MOVE_CLIENT_TAKES: client_takes(h, wire); break;
    case MOVE_SUBMIT: submit(h, wire); break;
    case MOVE_TELL:
        push(&wire->to_client, MESSAGE_WRITTEN)->as.written = outgoing_tell(&h->broker);
        break;
    case MOVE_CLOSED:
        writes_check_closed(h);
        (void)outgoing_closed(&h->broker, &push(&wire->to_client, MESSAGE_CLOSED)->as.closed);
        break;
    case MOVE_TIMER:
        SL_CHECK(h->is_asked || h->kernel_has_end, "the timer is for what was cancelled");
        outgoing_abandon(&h->broker);
        break;
    case MOVE_SERVE: serve(world); break;
    case MOVE_KERNEL: kernel_goes_on(h, c); break;
    case MOVE_START: start_write(h, one.which); break;
    case MOVE_CANCEL:
        h->calls[one.which].is_cancelled = true;
        writers_cancel(&h->client, &h->writers[one.which], SLUICE_ECANCELED);
        break;
    case MOVE_GIVE_UP: give_up(h, one.which); break;
    case MOVE_ACKNOWLEDGE: acknowledge(h); break;
    case MOVE_CLOSE:
        h->is_closing = true;
        writers_close(&h->client);
        (void)push(&wire->to_broker, MESSAGE_CLOSE);
        break;
    default: lose(world, one.handle); break;
    }
    fetch_ended(h);
    end_turn(h);
}

/* ---- states ---- */

void writes_begin(void *at) {
    writes_world *world = at;
    const writes_scenario *s = writes_scenario_now;
    memset(world, 0, sizeof(*world));
    rules = (outgoing_rules){s->floor_bytes, s->window_bytes, s->kernel_bytes, s->joins};
    budget_init(&world->pool, s->pool_bytes, 1);
    for (unsigned i = 0; i < s->handles; i++) {
        writes_handle *h = &world->handles[i];
        writers_init(&h->client, s->floor_bytes);
        outgoing_init(&h->broker, &rules, &world->pool);
        for (unsigned k = 0; k < s->early; k++) {
            start_write(h, k);
        }
    }
}

static void mix_message(uint64_t *f, const writes_message *m) {
    choices_mix(f, (uint64_t)m->kind << 16 | (uint64_t)m->which << 8 | m->index);
    if (m->kind == MESSAGE_WRITE) {
        choices_mix(f, m->as.write.at << 32 | m->as.write.waiting);
        choices_mix(f, (uint64_t)m->as.write.length << 4 | (m->as.write.begins ? 1u : 0) |
                           (m->as.write.end ? 2u : 0) | (m->as.write.now ? 4u : 0));
    } else if (m->kind == MESSAGE_CANCEL) {
        choices_mix(f, m->as.cancel.from << 32 | m->as.cancel.to);
    } else if (m->kind == MESSAGE_WRITTEN) {
        const sl_stream_written *w = &m->as.written;
        choices_mix(f, w->total << 32 | w->next);
        choices_mix(f, w->up_to << 32 | w->in_doubt);
        choices_mix(f, (uint64_t)(uint32_t)w->status << 2 | (w->stopped ? 1u : 0) |
                           (w->ended ? 2u : 0));
    } else if (m->kind == MESSAGE_CLOSED) {
        choices_mix(f, m->as.closed.total << 32 | m->as.closed.in_doubt);
        choices_mix(f, (uint64_t)(uint32_t)m->as.closed.status);
    }
}

uint64_t writes_fingerprint(const void *at) {
    const writes_world *world = at;
    uint64_t f = 1;
    search_mix(&f, &world->pool, sizeof(world->pool));
    for (unsigned i = 0; i < writes_scenario_now->handles; i++) {
        const writes_wire *wire = &world->wires[i];
        const outgoing *o = &world->handles[i].broker;
        search_mix(&f, &world->handles[i], sizeof(world->handles[i]));
        for (uint64_t k = o->total; k < o->taken; k++) {
            choices_mix(&f, (uint64_t)wire->content[k].which << 8 | wire->content[k].index);
        }
        choices_mix(&f, (uint64_t)wire->to_broker.count << 8 | wire->to_client.count);
        for (unsigned k = 0; k < wire->to_broker.count; k++) {
            mix_message(&f, &wire->to_broker.messages[k]);
        }
        for (unsigned k = 0; k < wire->to_client.count; k++) {
            mix_message(&f, &wire->to_client.messages[k]);
        }
    }
    return f;
}
