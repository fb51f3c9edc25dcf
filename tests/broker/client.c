/*
 * client.c - a raw client: frames in and out over an engine handle. See rig.h.
 */
#include "tests/broker/client.h"

#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "tests/broker/rig.h"

#define TRIES_MAX     1000u
#define REPEATS_MAX   256u
#define REPLIES_FIRST 64u /* room for so many that nobody has asked for; then twice as many */

/* What a completion belongs to. */
typedef struct raw_job {
    raw_client *client;
    uint8_t *bytes; /* of a write */
} raw_job;

struct raw_client {
    test_rig *rig;
    engine_handle *pipe;
    uint64_t last_id;
    bool is_over;
    bool repeats[REPEATS_MAX]; /* client_may_repeat; [0]: any */
    bool is_stopped;
    bool is_reading;
    bool is_closing;
    bool is_closed;
    uint32_t jobs;
    int goodbye;
    char goodbye_detail[SL_DETAIL_BYTES + 1];
    sl_session_limits limits;
    uint64_t drainings;
    client_data_hook on_data;
    void *data_user;
    uint8_t *input;
    size_t input_length;
    size_t input_size;
    raw_reply *replies; /* that nobody has asked for yet; the unfinished ones too */
    bool *is_whole;
    uint32_t reply_count;
    uint32_t reply_size;
};

static void *allocate(size_t size) {
    void *memory = calloc(1, size);
    EXPECT(memory != NULL);
    return memory;
}

static raw_job *job_new(raw_client *client, uint8_t *bytes) {
    raw_job *made = allocate(sizeof(*made));
    made->client = client;
    made->bytes = bytes;
    client->jobs++;
    return made;
}

static void read_some(raw_client *client, size_t most) {
    if (client->is_reading || client->is_over || client->is_closing) {
        return;
    }
    if (client->input_size - client->input_length < 65536) {
        client->input_size = client->input_size * 2 + 131072;
        client->input = realloc(client->input, client->input_size);
        EXPECT(client->input != NULL);
    }
    size_t room = client->input_size - client->input_length;
    raw_job *job = job_new(client, NULL);
    int status = engine_read(client->pipe, client->input + client->input_length,
                             room < most ? room : most, job, NULL);
    EXPECT(status == SLUICE_OK);
    client->is_reading = true;
}

static void read_more(raw_client *client) {
    if (!client->is_stopped) {
        read_some(client, SIZE_MAX);
    }
}

/* ---- frames in ---- */

static raw_reply *reply_of(raw_client *client, uint64_t id) {
    for (uint32_t i = 0; i < client->reply_count; i++) {
        if (client->replies[i].id == id) {
            return &client->replies[i];
        }
    }
    return NULL;
}

static void take_body(raw_reply *reply, const sl_response *response) {
    reply->kind = response->kind;
    if (response->kind == SL_RESPONSE_OPENED) {
        reply->opened_count = response->as.opened.count;
        for (uint32_t i = 0; i < reply->opened_count; i++) {
            reply->opened[i] = response->as.opened.handles[i].handle;
        }
        const char *address = response->as.opened.handles[0].local_address;
        strncpy(reply->local_address, address != NULL ? address : "", SL_ADDRESS_BYTES);
    } else if (response->kind == SL_RESPONSE_HELLO) {
        reply->hello = response->as.hello;
    } else if (response->kind == SL_RESPONSE_STATUS) {
        reply->counters = response->as.status;
        strncpy(reply->user, response->as.status.user, SL_USER_BYTES);
    } else if (response->kind == SL_RESPONSE_OPS) {
        reply->row_count = response->as.ops.count;
        reply->next_cursor = response->as.ops.next_cursor;
        if (reply->row_count > 0) {
            strncpy(reply->user, response->as.ops.rows[0].user, SL_USER_BYTES);
        }
        reply->rows = allocate((reply->row_count + 1) * sizeof(reply->rows[0]));
        if (reply->row_count > 0) {
            memcpy(reply->rows, response->as.ops.rows, reply->row_count * sizeof(reply->rows[0]));
        }
    }
}

static raw_reply *reply_new(raw_client *client, uint64_t id) {
    if (client->reply_count == client->reply_size) {
        uint32_t size = client->reply_size == 0 ? REPLIES_FIRST : client->reply_size * 2;
        client->replies = realloc(client->replies, size * sizeof(*client->replies));
        client->is_whole = realloc(client->is_whole, size * sizeof(*client->is_whole));
        EXPECT(client->replies != NULL && client->is_whole != NULL);
        client->reply_size = size;
    }
    raw_reply *made = &client->replies[client->reply_count];
    client->is_whole[client->reply_count++] = false;
    memset(made, 0, sizeof(*made));
    made->id = id;
    return made;
}

static bool may_repeat(const raw_client *client, uint64_t id) {
    return client->repeats[0] || (id < REPEATS_MAX && client->repeats[id]);
}

/* The answer to a request whose id was used again since. */
static void forget_reply(raw_client *client, raw_reply *reply) {
    uint64_t id = reply->id;
    reply_free(reply);
    memset(reply, 0, sizeof(*reply));
    reply->id = id;
    client->is_whole[reply - client->replies] = false;
}

void client_on_data(raw_client *client, client_data_hook on_data, void *user) {
    client->on_data = on_data;
    client->data_user = user;
}

void client_ignore_data(void *user, uint64_t handle, const sl_stream_data *data,
                        const uint8_t *bytes) {
    (void)user;
    (void)handle;
    (void)data;
    (void)bytes;
}

void client_may_repeat(raw_client *client, uint64_t id) {
    EXPECT(id < REPEATS_MAX);
    client->repeats[id] = true;
}

static void take_event(raw_client *client, const sl_event_message *event) {
    client->drainings += event->kind == SL_EVENT_DRAINING;
    if (event->kind == SL_EVENT_GOODBYE) {
        client->goodbye = event->status;
        strncpy(client->goodbye_detail, event->detail != NULL ? event->detail : "",
                SL_DETAIL_BYTES);
    }
}

static void take_response(raw_client *client, const sl_response *response, const sl_frame *frame) {
    EXPECT(client->goodbye == 0); /* it is the last frame */
    if (response->kind == SL_RESPONSE_EVENT) {
        take_event(client, &response->as.event);
        return;
    }
    if (response->kind == SL_RESPONSE_DATA) {
        EXPECT(client->on_data != NULL);
        client->on_data(client->data_user, response->as.data.handle, &response->as.data.data,
                        frame->payload);
        return;
    }
    raw_reply *reply = reply_of(client, response->id);
    if (reply == NULL) {
        reply = reply_new(client, response->id);
    }
    if (client->is_whole[reply - client->replies] && may_repeat(client, response->id)) {
        forget_reply(client, reply);
    }
    EXPECT(!client->is_whole[reply - client->replies]); /* exactly one outcome */
    if (frame->payload_length > 0) {
        reply->payload = realloc(reply->payload, reply->length + frame->payload_length);
        EXPECT(reply->payload != NULL);
        memcpy(reply->payload + reply->length, frame->payload, frame->payload_length);
        reply->length += frame->payload_length;
    }
    if (!response->more) {
        reply->status = response->status;
        reply->done = response->done;
        reply->in_doubt = response->in_doubt;
        reply->os_error = response->os_error;
        strncpy(reply->detail, response->detail != NULL ? response->detail : "", SL_DETAIL_BYTES);
        take_body(reply, response);
        client->is_whole[reply - client->replies] = true;
    }
}

static void parse(raw_client *client) {
    sl_frame_limits limits = {65536, 65536};
    size_t at = 0;
    for (;;) {
        sl_frame frame;
        size_t needed;
        sl_response response;
        sl_frame_result result = sl_frame_parse(client->input + at, client->input_length - at,
                                                &limits, &frame, &needed, NULL);
        EXPECT(result != SL_FRAME_VIOLATION);
        if (result == SL_FRAME_INCOMPLETE) {
            break;
        }
        EXPECT(sl_response_decode(frame.control, frame.control_length, frame.payload_length,
                                  &client->rig->arena, &response, NULL) == SLUICE_OK);
        take_response(client, &response, &frame);
        at += frame.length;
    }
    memmove(client->input, client->input + at, client->input_length - at);
    client->input_length -= at;
}

void client_on_completion(const engine_completion *completion) {
    raw_job *job = completion->user;
    if (job == NULL) {
        return;
    }
    raw_client *client = job->client;
    client->jobs--;
    if (completion->kind == ENGINE_CONNECT) {
        client->pipe = completion->opened[0];
        client->is_over = completion->status != SLUICE_OK;
        if (client->is_closing && client->pipe != NULL) {
            EXPECT(engine_close(client->pipe, job_new(client, NULL)) == SLUICE_OK);
        } else if (client->is_over) {
            client->is_closed = client->is_closing;
        } else {
            read_more(client);
        }
    } else if (completion->kind == ENGINE_READ) {
        client->is_reading = false;
        client->is_over = client->is_over || completion->status != SLUICE_OK;
        if (completion->status == SLUICE_OK) {
            client->input_length += completion->bytes;
            parse(client);
        }
        read_more(client);
    } else if (completion->kind == ENGINE_CLOSE) {
        client->is_closed = true;
    }
    free(job->bytes);
    free(job);
}

/* ---- connecting ---- */

static void dial(raw_client *client, uint64_t deadline_ns) {
    client->is_over = false;
    EXPECT(engine_connect(client->rig->worker, &client->rig->endpoint, deadline_ns, NULL,
                          job_new(client, NULL), NULL) == SLUICE_OK);
}

raw_client *client_dial(test_rig *rig, uint64_t deadline_ns) {
    raw_client *made = allocate(sizeof(*made));
    made->rig = rig;
    dial(made, deadline_ns);
    return made;
}

raw_client *client_connect(test_rig *rig) {
    raw_client *made = client_dial(rig, SL_CLOCK_NEVER);
    for (unsigned tries = 0;; tries++) {
        uint64_t since_ns = 0;
        while (made->pipe == NULL && made->jobs > 0) {
            rig_wait(rig, &since_ns);
        }
        if (made->pipe != NULL) {
            return made;
        }
        EXPECT(tries < TRIES_MAX);
        dial(made, SL_CLOCK_NEVER);
    }
}

raw_client *client_open_within(test_rig *rig, const sl_session_limits *wishes,
                               uint64_t patience_ns) {
    uint64_t until_ns = sl_clock_now_ns(rig->clock) + patience_ns;
    raw_client *made = client_connect(rig);
    sl_request hello = {.id = client_id(made), .kind = SL_REQUEST_HELLO};
    raw_reply answer;
    hello.as.hello.version_min = 1;
    hello.as.hello.version_max = 1;
    hello.as.hello.client_name = "test";
    if (wishes != NULL) {
        hello.as.hello.limits = *wishes;
    }
    client_send(made, &hello, NULL, 0);
    while (!client_has(made, hello.id) && !made->is_over &&
           sl_clock_now_ns(rig->clock) < until_ns) {
        rig_step(rig);
    }
    if (!client_has(made, hello.id) || !client_await(made, hello.id, &answer)) {
        client_close(made);
        return NULL;
    }
    EXPECT(answer.status == SLUICE_OK && answer.kind == SL_RESPONSE_HELLO);
    made->limits = answer.hello.limits;
    reply_free(&answer);
    return made;
}

raw_client *client_open_with(test_rig *rig, const sl_session_limits *wishes) {
    raw_client *made = client_open_within(rig, wishes, RIG_WAIT_NS);
    EXPECT(made == NULL || made->limits.fragment_bytes > 0);
    return made;
}

raw_client *client_open(test_rig *rig) {
    raw_client *made = NULL;
    for (unsigned tries = 0; made == NULL; tries++) { /* the simulated system may break it */
        EXPECT(tries < TRIES_MAX);
        made = client_open_with(rig, NULL);
    }
    return made;
}

void client_hang_up(raw_client *client) {
    if (client->is_closing) {
        return;
    }
    client->is_closing = true;
    if (client->pipe != NULL) {
        EXPECT(engine_close(client->pipe, job_new(client, NULL)) == SLUICE_OK);
    } else {
        client->is_closed = client->jobs == 0; /* else it is still dialling */
    }
}

void client_close(raw_client *client) {
    uint64_t since_ns = 0;
    client_hang_up(client);
    while (!client->is_closed || client->jobs > 0) {
        rig_wait(client->rig, &since_ns);
    }
    for (uint32_t i = 0; i < client->reply_count; i++) {
        reply_free(&client->replies[i]);
    }
    free(client->replies);
    free(client->is_whole);
    free(client->input);
    free(client);
}

/* ---- frames out ---- */

uint64_t client_id(raw_client *client) {
    return ++client->last_id;
}

void client_send_bytes(raw_client *client, const void *bytes, size_t length) {
    uint8_t *copy = allocate(length);
    memcpy(copy, bytes, length);
    engine_buffer buffer = {copy, length};
    raw_job *job = job_new(client, copy);
    EXPECT(engine_write(client->pipe, &buffer, 1, job, NULL) == SLUICE_OK);
}

void client_send(raw_client *client, const sl_request *request, const void *payload,
                 uint32_t length) {
    size_t header;
    uint8_t *frame = allocate(SL_REQUEST_BYTES_MAX + (size_t)length);
    EXPECT(sl_request_encode(request, length, frame, SL_REQUEST_BYTES_MAX, &header) == SLUICE_OK);
    if (length > 0) {
        memcpy(frame + header, payload, length);
    }
    client_send_bytes(client, frame, header + length);
    free(frame);
}

/* ---- waiting ---- */

size_t client_received(raw_client *client, uint64_t id) {
    raw_reply *reply = reply_of(client, id);
    return reply != NULL ? reply->length : 0;
}

bool client_has(raw_client *client, uint64_t id) {
    raw_reply *reply = reply_of(client, id);
    return reply != NULL && client->is_whole[reply - client->replies];
}

bool client_await(raw_client *client, uint64_t id, raw_reply *ret_reply) {
    uint64_t since_ns = 0;
    while (!client_has(client, id)) {
        if (client->is_over) {
            return false;
        }
        rig_wait(client->rig, &since_ns);
    }
    raw_reply *reply = reply_of(client, id);
    uint32_t last = --client->reply_count;
    *ret_reply = *reply;
    client->is_whole[reply - client->replies] = client->is_whole[last];
    *reply = client->replies[last];
    return true;
}

int client_await_end(raw_client *client) {
    uint64_t since_ns = 0;
    while (!client->is_over) {
        rig_wait(client->rig, &since_ns);
    }
    return client->goodbye;
}

bool client_is_over(const raw_client *client) {
    return client->is_over;
}

test_rig *client_rig(const raw_client *client) {
    return client->rig;
}

uint64_t client_drainings(const raw_client *client) {
    return client->drainings;
}

void client_stop_reading(raw_client *client, bool is_stopped) {
    client->is_stopped = is_stopped;
    read_more(client);
}

void client_take(raw_client *client, size_t bytes) {
    EXPECT(client->is_stopped);
    read_some(client, bytes);
}

const char *client_goodbye_detail(const raw_client *client) {
    return client->goodbye_detail;
}

const sl_session_limits *client_limits(const raw_client *client) {
    return &client->limits;
}

void reply_free(raw_reply *reply) {
    free(reply->payload);
    free(reply->rows);
    reply->payload = NULL;
    reply->rows = NULL;
}
