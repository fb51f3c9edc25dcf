/*
 * reads.c - the moves of the world of the incoming direction: see reads.h.
 */
#include "tests/model/reads.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/status.h"

#define MOVES_MAX 48u

typedef enum move_kind {
    /* forced: they happen by themselves */
    MOVE_SEND,
    MOVE_BROKER_TAKES,
    MOVE_CLIENT_TAKES,
    MOVE_WAIT,
    MOVE_RECEIVE,
    MOVE_TELL,
    MOVE_CLOSED,
    MOVE_TIMER,
    MOVE_KERNEL_WAIT,
    MOVE_KERNEL,
    /* free: perhaps never */
    MOVE_ZOMBIE,
    MOVE_PEER_SENDS,
    MOVE_PEER_ENDS,
    MOVE_ERROR,
    MOVE_RECLAIM,
    MOVE_START,
    MOVE_CANCEL,
    MOVE_STOP,
    MOVE_WATCH,
    MOVE_PUT_BACK,
    MOVE_CLOSE,
    MOVE_LOSE
} move_kind;

static const char *const move_names[] = {"client sends",
                                         "broker takes a message",
                                         "client takes",
                                         "broker waits empty",
                                         "broker receives",
                                         "broker tells",
                                         "broker says Closed",
                                         "the broker's timer",
                                         "kernel: empty back",
                                         "kernel: receive back",
                                         "kernel: late packet",
                                         "peer sends",
                                         "peer ends",
                                         "kernel: error",
                                         "reclaim",
                                         "start",
                                         "cancel",
                                         "stop",
                                         "watch",
                                         "put back",
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

const reads_scenario *reads_scenario_now;
bool reads_is_loud;

static incoming_rules rules;

static reads_message *push(reads_channel *channel, reads_message_kind kind) {
    SL_CHECK(channel->count < READS_CHANNEL_MAX, "the model's channel has room");
    reads_message *message = &channel->messages[channel->count++];
    memset(message, 0, sizeof(*message));
    message->kind = kind;
    return message;
}

static reads_message pop(reads_channel *channel) {
    reads_message message = channel->messages[0];
    channel->count--;
    memmove(channel->messages, channel->messages + 1, channel->count * sizeof(message));
    return message;
}

/* ---- the client ---- */

static void copy_out(reads_handle *h, const readers_copy *copy) {
    SL_CHECK(copy->length == 0 || copy->at == h->position + copy->front,
             "the program gets the stream in order");
    h->position = (uint8_t)(h->position + copy->front + copy->length);
}

/* All that the library can do for the program by itself. */
static void serve(reads_handle *h) {
    readers_copy copy;
    reader *ended;
    while (readers_serve(&h->client, &copy)) {
        copy_out(h, &copy);
    }
    while ((ended = readers_ended(&h->client)) != NULL) {
        unsigned which = (unsigned)(ended - h->readers);
        reads_call *call = &h->calls[which];
        SL_CHECK(!call->is_over, "a read ends once");
        call->is_over = true;
        call->status = (int8_t)ended->status;
        call->done = (uint8_t)ended->done;
        reads_check_over(h, which);
        memset(ended, 0, sizeof(*ended)); /* its owner's again */
        if (reads_is_loud) {
            printf("      read %u is over: %s, done %u\n", which, sl_status_name(call->status),
                   call->done);
        }
    }
    if (h->client.status != SLUICE_OK || h->client.is_closed) {
        h->is_watching = false;
    }
}

static void start_read(reads_handle *h, unsigned which) {
    const reads_scenario *s = reads_scenario_now;
    reader_kind kind = (s->alls >> which & 1) != 0    ? READER_ALL
                       : (s->tries >> which & 1) != 0 ? READER_TRY
                                                      : READER_SOME;
    h->calls[which].is_started = true;
    readers_start(&h->client, &h->readers[which], s->lengths[which], kind);
}

static void send_next(reads_handle *h, reads_wire *wire) {
    readers_output output;
    readers_kind kind = readers_next(&h->client, &output);
    SL_CHECK(kind != READERS_NOTHING, "there was something to send");
    if (kind == READERS_CANCEL) {
        (void)push(&wire->to_broker, MESSAGE_CANCEL_READ);
        return;
    }
    push(&wire->to_broker, MESSAGE_READ)->as.read = output.read;
    if (reads_is_loud) {
        printf("      Read up_to %u taken %u%s\n", (unsigned)output.read.up_to,
               (unsigned)output.read.taken, output.read.notify ? " notify" : "");
    }
    if (h->client.is_cancel_due) { /* a try: both go out together */
        SL_CHECK(readers_next(&h->client, &output) == READERS_CANCEL, "a try is Read and Cancel");
        (void)push(&wire->to_broker, MESSAGE_CANCEL_READ);
    }
}

static bool has_output(reads_handle *h) {
    static reads_handle before;
    readers_output output;
    before = *h;
    bool has = readers_next(&h->client, &output) != READERS_NOTHING;
    *h = before;
    return has;
}

static void client_takes(reads_handle *h, reads_wire *wire) {
    reads_message message = pop(&wire->to_client);
    if (message.kind == MESSAGE_CLOSED_READ) {
        h->is_closed = true;
        return;
    }
    const sl_stream_data *data = &message.as.data;
    sl_reason reason = {""};
    const reader *trying = h->client.trying;
    if (reads_is_loud) {
        printf("      Data at %u length %u %s%s\n", (unsigned)data->at, data->length,
               sl_status_name(data->status), data->stopped ? " stopped" : "");
    }
    SL_CHECK(data->length == 0 || message.first == data->at || h->client.is_closed,
             "no byte is lost, doubled or out of order");
    int status = readers_take_data(&h->client, data, &reason);
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s\n", reason.text);
    }
    SL_CHECK(status == SLUICE_OK, "the broker keeps to the protocol");
    if (data->stopped && trying != NULL && trying->status == SLUICE_ETIMEDOUT) {
        SL_CHECK(h->has_looked_in_vain, "a try would block only if nothing was there");
    }
    if (data->stopped) {
        h->has_looked_in_vain = false;
    }
    if (!data->stopped || data->length > 0) {
        h->is_watching = false; /* the program is told that a read would not wait */
    }
}

/* ---- the broker ---- */

static uint8_t there(const reads_handle *h) {
    return (uint8_t)(h->sent - h->kernel);
}

static void end_turn(reads_handle *h) {
    unsigned due = incoming_due(&h->broker);
    if ((due & INCOMING_ABORT) != 0) {
        incoming_aborting(&h->broker);
        h->is_asked = true;
    }
    if ((due & INCOMING_UNWAIT) != 0) {
        incoming_unwaiting(&h->broker);
        h->is_unasked = true;
    }
}

static void broker_takes(reads_handle *h, reads_wire *wire) {
    reads_message message = pop(&wire->to_broker);
    sl_reason reason = {""};
    int status = SLUICE_OK;
    if (message.kind == MESSAGE_READ) {
        h->has_looked_in_vain = false;
        status = incoming_take_read(&h->broker, &message.as.read, &reason);
    } else if (message.kind == MESSAGE_CANCEL_READ) {
        status = incoming_take_cancel(&h->broker, &reason);
        /* a receive that is under way is the try; else one begins now, or there is the end */
        bool is_looking = h->length > 0 && !h->had_bytes;
        h->has_looked_in_vain =
            h->has_looked_in_vain || is_looking || h->broker.status != SLUICE_OK;
    } else {
        status = incoming_close(&h->broker, &message.as.close, &reason);
    }
    if (status != SLUICE_OK) {
        fprintf(stderr, "%s\n", reason.text);
    }
    SL_CHECK(status == SLUICE_OK, "the client keeps to the protocol");
}

static void receive(reads_handle *h) {
    h->length = (uint8_t)incoming_begin_receive(&h->broker, UINT64_MAX);
    h->had_bytes = there(h) > 0 || h->peer_has_ended;
    h->has_looked_in_vain = h->has_looked_in_vain || !h->had_bytes;
}

static void tell(reads_handle *h, reads_wire *wire) {
    sl_stream_data data = incoming_tell(&h->broker, reads_scenario_now->tell_bytes);
    reads_message *message = push(&wire->to_client, MESSAGE_DATA);
    message->as.data = data;
    message->first = data.length > 0 ? h->content[data.at] : 0;
}

static void say_closed(reads_handle *h, reads_wire *wire) {
    bool is_abandoned = false;
    bool wants_reset = false;
    (void)incoming_closed(&h->broker, &is_abandoned, &wants_reset);
    reads_check_closed(h, wants_reset);
    (void)push(&wire->to_client, MESSAGE_CLOSED_READ);
}

/* ---- the kernel ---- */

static void finish_wait(reads_handle *h) {
    incoming_result result = {.status = SLUICE_OK};
    if (there(h) == 0) {
        result.status = h->peer_has_ended ? SLUICE_EEOF : SLUICE_ECANCELED;
    }
    h->is_waiting = h->is_unasked = false;
    incoming_finish_wait(&h->broker, &result);
}

static void finish_receive(reads_handle *h, uint8_t bytes, int status) {
    incoming_result result = {.bytes = bytes, .status = status};
    uint64_t before = h->broker.received;
    h->length = 0;
    h->is_asked = h->had_bytes = false;
    incoming_finish_receive(&h->broker, &result);
    for (uint64_t k = before; k < h->broker.received; k++) {
        h->content[k] = (uint8_t)(h->kernel + (k - before));
    }
    h->kernel = (uint8_t)(h->kernel + bytes);
    if (reads_is_loud) {
        printf("      %u bytes, %s\n", bytes, sl_status_name(status));
    }
}

/* What is there, or part of it; the end; or, if it was cancelled, nothing. */
static void kernel_receives(reads_handle *h, choices *c) {
    uint8_t most = there(h) < h->length ? there(h) : h->length;
    bool may_abort = h->is_asked && !h->had_bytes && !reads_scenario_now->never_waits;
    if (may_abort && (most == 0 || choices_next(c, 2) == 1)) {
        if (most > 0 || !h->peer_has_ended || choices_next(c, 2) == 0) {
            finish_receive(h, 0, SLUICE_ECANCELED);
            return;
        }
    }
    if (most == 0) { /* a try finds nothing, or it is the end */
        finish_receive(h, 0, h->peer_has_ended ? SLUICE_EEOF : SLUICE_OK);
        return;
    }
    finish_receive(h, (uint8_t)(most - choices_next(c, most)), SLUICE_OK);
}

/* ---- moves ---- */

static void add(moves *m, move_kind kind, unsigned handle, unsigned which) {
    SL_CHECK(m->count < MOVES_MAX, "the model's list of moves has room");
    m->list[m->count++] = (move){kind, handle, which};
}

static void add_broker(reads_world *world, moves *m, unsigned i) {
    reads_handle *h = &world->handles[i];
    unsigned due = incoming_due(&h->broker);
    bool is_abandoned;
    bool wants_reset;
    if ((due & INCOMING_WAIT) != 0) {
        add(m, MOVE_WAIT, i, 0);
    }
    if ((due & INCOMING_RECEIVE) != 0) {
        add(m, MOVE_RECEIVE, i, 0);
    }
    if ((due & INCOMING_TELL) != 0) {
        add(m, MOVE_TELL, i, 0);
    }
    if (incoming_closed(&h->broker, &is_abandoned, &wants_reset) && !h->is_closed &&
        world->wires[i].to_client.count == 0) {
        add(m, MOVE_CLOSED, i, 0);
    }
    if ((due & INCOMING_TIMER) != 0 && reads_scenario_now->is_stubborn) {
        add(m, MOVE_TIMER, i, 0);
    }
}

static void add_forced(reads_world *world, moves *m, unsigned i) {
    reads_handle *h = &world->handles[i];
    bool has_news = there(h) > 0 || h->peer_has_ended;
    if (h->is_lost) {
        return;
    }
    if (has_output(h)) {
        add(m, MOVE_SEND, i, 0);
    }
    if (world->wires[i].to_broker.count > 0) {
        add(m, MOVE_BROKER_TAKES, i, 0);
    }
    if (world->wires[i].to_client.count > 0) {
        add(m, MOVE_CLIENT_TAKES, i, 0);
    }
    add_broker(world, m, i);
    if (h->is_waiting && (has_news || h->is_unasked)) {
        add(m, MOVE_KERNEL_WAIT, i, 0);
    }
    bool is_back = has_news || h->is_asked || reads_scenario_now->never_waits;
    if (h->length > 0 && is_back && !h->broker.is_zombie) {
        add(m, MOVE_KERNEL, i, 0);
    }
}

static void add_outside(moves *m, const reads_handle *h, unsigned i) {
    const reads_scenario *s = reads_scenario_now;
    if (!h->is_closed && !h->peer_has_ended) {
        if (h->sent < s->sends) {
            add(m, MOVE_PEER_SENDS, i, 0);
        }
        if (s->ends) {
            add(m, MOVE_PEER_ENDS, i, 0);
        }
    }
    if (h->length > 0 && h->broker.is_zombie) {
        add(m, MOVE_ZOMBIE, i, 0);
    }
    if (h->length > 0 && s->has_error && !h->has_failed) {
        add(m, MOVE_ERROR, i, 0);
    }
    if (h->length > 0 && s->reclaims && !h->broker.is_aborted && !h->broker.is_closing) {
        add(m, MOVE_RECLAIM, i, 0);
    }
}

static void add_program(moves *m, const reads_handle *h, unsigned i) {
    const reads_scenario *s = reads_scenario_now;
    unsigned next = s->count;
    for (unsigned k = s->count; k-- > 0;) {
        next = h->calls[k].is_started ? next : k;
        if (h->calls[k].is_started && !h->calls[k].is_over) {
            add(m, MOVE_CANCEL, i, k);
        }
    }
    if (next < s->count) {
        add(m, MOVE_START, i, next);
    }
    if (h->stops < s->stops && !h->client.is_stopping) {
        add(m, MOVE_STOP, i, 0);
    }
    if (h->watches < s->watches) {
        add(m, MOVE_WATCH, i, 0);
    }
    if (s->puts_back && !h->has_put_back && h->position > 0) {
        add(m, MOVE_PUT_BACK, i, 0);
    }
    if (s->closes) {
        add(m, MOVE_CLOSE, i, 0);
    }
    if (s->is_lost) {
        add(m, MOVE_LOSE, i, 0);
    }
}

static unsigned list_moves(reads_world *world, moves *m) {
    m->count = 0;
    for (unsigned i = 0; i < reads_scenario_now->handles; i++) {
        add_forced(world, m, i);
    }
    unsigned forced = m->count;
    for (unsigned i = 0; i < reads_scenario_now->handles; i++) {
        const reads_handle *h = &world->handles[i];
        add_outside(m, h, i);
        if (!h->is_closing && !h->is_lost) {
            add_program(m, h, i);
        }
    }
    return forced;
}

unsigned reads_count_moves(void *world, unsigned *ret_forced) {
    moves m;
    *ret_forced = list_moves(world, &m);
    return m.count;
}

static void close_handle(reads_handle *h, reads_wire *wire) {
    h->is_closing = true;
    push(&wire->to_broker, MESSAGE_CLOSE_READ)->as.close = readers_close(&h->client, false);
}

static void lose(reads_world *world, unsigned i) {
    reads_handle *h = &world->handles[i];
    sl_stream_close close = {.taken = h->broker.told};
    readers_lose(&h->client, SLUICE_EBROKERLOST);
    (void)incoming_close(&h->broker, &close, NULL);
    memset(&world->wires[i], 0, sizeof(world->wires[i]));
    h->is_lost = true;
}

static void put_back(reads_handle *h) {
    h->has_put_back = true;
    h->position--;
    SL_CHECK(readers_put_back(&h->client, 1) == SLUICE_OK, "a byte can be put back");
}

static void move_outside(reads_world *world, const move *one) {
    reads_handle *h = &world->handles[one->handle];
    switch (one->kind) {
    case MOVE_PEER_SENDS: h->sent++; break;
    case MOVE_PEER_ENDS: h->peer_has_ended = true; break;
    case MOVE_ERROR:
        h->has_failed = true;
        finish_receive(h, 0, SLUICE_ERESET);
        break;
    case MOVE_RECLAIM: incoming_reclaim(&h->broker); break;
    case MOVE_START: start_read(h, one->which); break;
    case MOVE_CANCEL:
        h->calls[one->which].is_cancelled = true;
        readers_cancel(&h->client, &h->readers[one->which], SLUICE_ECANCELED);
        break;
    case MOVE_STOP:
        h->stops++;
        readers_stop(&h->client);
        break;
    case MOVE_WATCH:
        h->watches++;
        h->is_watching = !readers_watch(&h->client);
        break;
    case MOVE_PUT_BACK: put_back(h); break;
    case MOVE_CLOSE: close_handle(h, &world->wires[one->handle]); break;
    default: lose(world, one->handle); break;
    }
}

void reads_move(void *at, unsigned index, choices *c) {
    reads_world *world = at;
    moves m;
    (void)list_moves(world, &m);
    const move *one = &m.list[index];
    reads_handle *h = &world->handles[one->handle];
    reads_wire *wire = &world->wires[one->handle];
    if (reads_is_loud) {
        printf("  %u: %s %u\n", one->handle, move_names[one->kind], one->which);
    }
    switch (one->kind) {
    case MOVE_SEND: send_next(h, wire); break;
    case MOVE_BROKER_TAKES: broker_takes(h, wire); break;
    case MOVE_CLIENT_TAKES: client_takes(h, wire); break;
    case MOVE_WAIT:
        incoming_begin_wait(&h->broker);
        h->is_waiting = true;
        break;
    case MOVE_RECEIVE: receive(h); break;
    case MOVE_TELL: tell(h, wire); break;
    case MOVE_CLOSED: say_closed(h, wire); break;
    case MOVE_TIMER:
        SL_CHECK(h->is_asked || h->is_unasked || h->was_abandoned,
                 "the timer is for what was cancelled");
        incoming_abandon(&h->broker);
        h->was_abandoned = true;
        break;
    case MOVE_KERNEL_WAIT: finish_wait(h); break;
    case MOVE_KERNEL:
    case MOVE_ZOMBIE: kernel_receives(h, c); break;
    default: move_outside(world, one); break;
    }
    serve(h);
    end_turn(h);
}

/* ---- states ---- */

void reads_begin(void *at) {
    reads_world *world = at;
    const reads_scenario *s = reads_scenario_now;
    memset(world, 0, sizeof(*world));
    rules = (incoming_rules){s->floor_bytes, s->capacity,          s->output_bytes,
                             s->sends,       s->waits_with_buffer, s->never_waits};
    budget_init(&world->pool, s->pool_bytes, 1);
    for (unsigned i = 0; i < s->handles; i++) {
        reads_handle *h = &world->handles[i];
        uint64_t up_to = s->has_ahead ? s->floor_bytes : 0;
        readers_init(&h->client, s->capacity, s->has_ahead, up_to);
        incoming_init(&h->broker, &rules, &world->pool, s->has_ahead, up_to);
    }
}

static void mix_message(uint64_t *f, const reads_message *m) {
    choices_mix(f, (uint64_t)m->kind << 8 | m->first);
    if (m->kind == MESSAGE_READ) {
        choices_mix(f,
                    m->as.read.up_to << 32 | m->as.read.taken << 1 | (m->as.read.notify ? 1 : 0));
    } else if (m->kind == MESSAGE_CLOSE_READ) {
        choices_mix(f, m->as.close.taken);
    } else if (m->kind == MESSAGE_DATA) {
        choices_mix(f, m->as.data.at << 32 | m->as.data.length);
        choices_mix(f, (uint64_t)(uint32_t)m->as.data.status << 1 | (m->as.data.stopped ? 1 : 0));
    }
}

static void mix_channel(uint64_t *f, const reads_channel *channel) {
    choices_mix(f, channel->count);
    for (unsigned k = 0; k < channel->count; k++) {
        mix_message(f, &channel->messages[k]);
    }
}

uint64_t reads_fingerprint(const void *at) {
    const reads_world *world = at;
    uint64_t f = 1;
    search_mix(&f, &world->pool, sizeof(world->pool));
    for (unsigned i = 0; i < reads_scenario_now->handles; i++) {
        search_mix(&f, &world->handles[i], sizeof(world->handles[i]));
        mix_channel(&f, &world->wires[i].to_broker);
        mix_channel(&f, &world->wires[i].to_client);
    }
    return f;
}
