/*
 * fake.c - see fake.h. Simple rather than fast: answers are copied into a growing buffer.
 */
#include "tests/client/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "tests/engine/listen_now.h"

#define IN_BYTES   (256u * 1024)
#define WANT_KILL  1u
#define WANT_STOP  2u
#define FRAGMENT   (64u * 1024)
#define EXPECT(c)  SL_CHECK(c, "the fake broker works")
#define WRITES_MAX 4096u

typedef struct fake_read {
    sl_list link;
    uint64_t id;
    uint64_t handle;
    uint32_t max_bytes;
    bool all;
    uint64_t deadline_ns;
} fake_read;

typedef struct fake_write {
    uint64_t id;
    uint64_t handle;
    uint32_t length;
    uint32_t got;
    uint8_t *bytes;
} fake_write;

typedef struct fake_connection {
    sl_list link;
    fake_broker *fake;
    engine_handle *handle;
    bool is_reading;
    bool is_writing;
    bool is_closing;
    uint8_t in[IN_BYTES];
    size_t in_length;
    uint8_t *out; /* to be sent */
    size_t out_length;
    size_t out_sending;
    uint8_t *held;
    size_t held_length;
    sl_list reads;
    fake_write writes[WRITES_MAX];
} fake_connection;

static uint32_t mode_of(const fake_broker *fake) {
    return atomic_load(&fake->mode);
}

static void append(uint8_t **buffer, size_t *length, const void *bytes, size_t count) {
    *buffer = realloc(*buffer, *length + count + 1);
    EXPECT(*buffer != NULL);
    memcpy(*buffer + *length, bytes, count);
    *length += count;
}

/* ---- out ------------------------------------------------------------------------------------- */

static void pump(fake_connection *c) {
    if (c->is_closing || c->is_writing || c->out_length == 0) {
        return;
    }
    uint32_t trickle = atomic_load(&c->fake->trickle);
    c->out_sending = trickle != 0 && trickle < c->out_length ? trickle : c->out_length;
    engine_buffer buffer = {c->out, c->out_sending};
    c->is_writing = engine_write(c->handle, &buffer, 1, c, NULL) == SLUICE_OK;
}

static int refusal(fake_broker *fake, int usual) {
    int status = (int)atomic_load(&fake->refuse_status);
    return status != 0 ? -status : usual;
}

static const char *words(fake_broker *fake) {
    return atomic_load(&fake->is_wordless) ? NULL : FAKE_DETAIL;
}

static void answer(fake_connection *c, sl_response *response, const uint8_t *payload,
                   uint32_t payload_length, bool is_ping) {
    uint8_t buffer[4096];
    size_t length;
    uint32_t mode = mode_of(c->fake);
    if (mode == FAKE_SILENT) {
        return;
    }
    if (mode == FAKE_WRONG_ID) {
        response->id += 77777;
    }
    if (mode == FAKE_REFUSE && !is_ping) {
        payload_length = 0;
        *response = (sl_response){.id = response->id,
                                  .status = refusal(c->fake, SLUICE_EINVAL),
                                  .detail = words(c->fake)};
    }
    if (mode == FAKE_GOODBYE || mode == FAKE_FULL) {
        bool is_full = mode == FAKE_FULL;
        *response = (sl_response){.kind = SL_RESPONSE_EVENT};
        response->as.event.kind = SL_EVENT_GOODBYE;
        response->as.event.status = is_full ? SLUICE_EQUOTA : SLUICE_ESHUTDOWN;
        response->as.event.detail = is_full ? FAKE_IS_FULL : FAKE_LAST_WORDS;
    }
    EXPECT(sl_response_encode(response, payload_length, buffer, sizeof(buffer), &length) ==
           SLUICE_OK);
    if (mode == FAKE_GARBAGE) {
        memset(buffer, 0xee, length);
    }
    bool is_held = mode == FAKE_HOLD && !is_ping;
    uint8_t **to = is_held ? &c->held : &c->out;
    size_t *to_length = is_held ? &c->held_length : &c->out_length;
    if (!is_held && (c->is_writing || (c->held_length != 0 && !is_ping))) {
        /* the engine has c->out: it must not move. Keep it simple: send later. */
        to = &c->held;
        to_length = &c->held_length;
    }
    append(to, to_length, buffer, length);
    if (payload_length != 0) {
        append(to, to_length, payload, payload_length);
    }
}

static void release_held(fake_connection *c) {
    if (c->held_length != 0 && !c->is_writing && mode_of(c->fake) != FAKE_HOLD) {
        append(&c->out, &c->out_length, c->held, c->held_length);
        c->held_length = 0;
    }
    pump(c);
}

static void answer_status(fake_connection *c, uint64_t id, int status) {
    sl_response response = {.id = id, .status = status};
    answer(c, &response, NULL, 0, false);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

/* Handle 2i+1 reads, 2i+2 writes pipe i. */
static fake_pipe *pipe_of(fake_broker *fake, uint64_t handle, unsigned end) {
    if (handle == 0 || (handle - 1) / 2 >= fake->pipe_count || (handle - 1) % 2 != end) {
        return NULL;
    }
    fake_pipe *pipe = &fake->pipes[(handle - 1) / 2];
    return pipe->is_open[end] ? pipe : NULL;
}

static void serve_bytes(fake_connection *c, fake_read *read, fake_pipe *pipe, int status) {
    size_t count = pipe->length < read->max_bytes ? pipe->length : read->max_bytes;
    if (mode_of(c->fake) == FAKE_TOO_MUCH) {
        count = pipe->length;
    }
    size_t sent = 0;
    while (count - sent > FRAGMENT) {
        sl_response more = {.id = read->id, .more = true};
        answer(c, &more, pipe->bytes + sent, FRAGMENT, false);
        sent += FRAGMENT;
    }
    sl_response last = {.id = read->id, .done = count, .status = status};
    answer(c, &last, pipe->bytes + sent, (uint32_t)(count - sent), false);
    memmove(pipe->bytes, pipe->bytes + count, pipe->length - count);
    pipe->length -= count;
    sl_list_remove(&read->link);
    free(read);
}

static void end_read(fake_connection *c, fake_read *read, int status) {
    fake_pipe *pipe = pipe_of(c->fake, read->handle, 0);
    if (pipe != NULL && read->all) {
        serve_bytes(c, read, pipe, status);
        return;
    }
    answer_status(c, read->id, status);
    sl_list_remove(&read->link);
    free(read);
}

static void serve_reads(fake_connection *c) {
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    for (sl_list *node = c->reads.next; node != &c->reads;) {
        fake_read *read = SL_LIST_ENTRY(node, fake_read, link);
        node = node->next;
        fake_pipe *pipe = pipe_of(c->fake, read->handle, 0);
        if (pipe == NULL) {
            end_read(c, read, SLUICE_ECLOSED);
        } else if (pipe->length >= (read->all ? read->max_bytes : 1)) {
            serve_bytes(c, read, pipe, SLUICE_OK);
        } else if (!pipe->is_open[1]) {
            end_read(c, read, SLUICE_EEOF);
        } else if (now_ns >= read->deadline_ns) {
            end_read(c, read, SLUICE_ETIMEDOUT);
        }
    }
}

static void on_pair(fake_connection *c, const sl_request *request) {
    fake_broker *fake = c->fake;
    EXPECT(fake->pipe_count < FAKE_PIPES_MAX);
    uint32_t index = fake->pipe_count++;
    fake->pipes[index].is_open[0] = fake->pipes[index].is_open[1] = true;
    atomic_fetch_add(&fake->open_handles, 2);
    sl_response response = {.id = request->id, .kind = SL_RESPONSE_OPENED};
    response.as.opened.count = 2;
    response.as.opened.handles[0] = (sl_opened_handle){2 * index + 1, SL_CAN_READ, NULL};
    response.as.opened.handles[1] = (sl_opened_handle){2 * index + 2, SL_CAN_WRITE, NULL};
    answer(c, &response, NULL, 0, false);
}

static void on_listen(fake_connection *c, const sl_request *request) {
    fake_broker *fake = c->fake;
    uint32_t index = fake->pipe_count++;
    fake->pipes[index].is_open[0] = true;
    atomic_fetch_add(&fake->open_handles, 1);
    sl_response response = {.id = request->id, .kind = SL_RESPONSE_OPENED};
    response.as.opened.count = 1;
    response.as.opened.handles[0] = (sl_opened_handle){2 * index + 1, SL_CAN_ACCEPT,
                                                       "tcp:127.0.0.1:4711"};
    answer(c, &response, NULL, 0, false);
}

static void on_close(fake_connection *c, const sl_request *request) {
    uint64_t handle = request->as.close.handle;
    unsigned end = (handle - 1) % 2;
    fake_pipe *pipe = pipe_of(c->fake, handle, end);
    if (pipe == NULL) {
        answer_status(c, request->id, SLUICE_EBADHANDLE);
        return;
    }
    pipe->is_open[end] = false;
    atomic_fetch_sub(&c->fake->open_handles, 1);
    serve_reads(c);
    answer_status(c, request->id, SLUICE_OK);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void on_hello(fake_connection *c, const sl_request *request) {
    fake_broker *fake = c->fake;
    sl_limits limits;
    sl_limits_default(&limits);
    uint32_t credits = atomic_load(&fake->credit_operations);
    limits.credit_operations = credits == 0 ? 64 : credits;
    sl_response response = {.id = request->id, .kind = SL_RESPONSE_HELLO};
    sl_hello_reply *hello = &response.as.hello;
    hello->version = hello->version_min = hello->version_max = 1;
    hello->session_id = fake->epoch;
    hello->epoch = fake->epoch++;
    sl_limits_grant(&limits, &request->as.hello.limits, &hello->limits);
    hello->broker_version = "fake";
    hello->engine_name = "fake";
    hello->close_grace_ns = SL_SEC;
    hello->ping_interval_ns = atomic_load(&fake->ping_interval_ms) * SL_MSEC;
    hello->unresponsive_ns = atomic_load(&fake->unresponsive_ms) * SL_MSEC;
    if (mode_of(fake) == FAKE_BAD_VERSION) {
        hello->version = 0;
        response.status = refusal(fake, SLUICE_EVERSION);
        response.detail = words(fake);
    }
    if (mode_of(fake) != FAKE_MUTE_HELLO) {
        answer(c, &response, NULL, 0, true);
    }
}

static void on_read(fake_connection *c, const sl_request *request) {
    fake_read *read = calloc(1, sizeof(*read));
    EXPECT(read != NULL);
    sl_list_init(&read->link);
    read->id = request->id;
    read->handle = request->as.read.handle;
    read->max_bytes = request->as.read.max_bytes;
    read->all = request->as.read.all;
    uint64_t timeout_ns = request->as.read.timeout_ns;
    read->deadline_ns = timeout_ns == 0
                            ? SL_CLOCK_NEVER
                            : sl_clock_after_ns(sl_clock_now_ns(sl_clock_system()), timeout_ns);
    sl_list_push_back(&c->reads, &read->link);
    serve_reads(c);
}

static void on_write_bytes(fake_connection *c, uint64_t id, const sl_frame *frame) {
    for (unsigned i = 0; i < WRITES_MAX; i++) {
        fake_write *write = &c->writes[i];
        if (write->id != id) {
            continue;
        }
        memcpy(write->bytes + write->got, frame->payload, frame->payload_length);
        write->got += frame->payload_length;
        if (write->got == write->length) {
            fake_pipe *pipe = pipe_of(c->fake, write->handle, 1);
            sl_response response = {.id = id, .status = SLUICE_EBADHANDLE};
            if (pipe != NULL) {
                append(&pipe->bytes, &pipe->length, write->bytes, write->length);
                response = (sl_response){.id = id, .done = write->length};
            }
            answer(c, &response, NULL, 0, false);
            free(write->bytes);
            write->bytes = NULL;
            write->id = 0;
            serve_reads(c);
        }
        return;
    }
}

static void on_write(fake_connection *c, const sl_request *request, const sl_frame *frame) {
    for (unsigned i = 0; i < WRITES_MAX; i++) {
        if (c->writes[i].id == 0) {
            uint32_t length = request->as.write.length_bytes;
            c->writes[i] = (fake_write){request->id, request->as.write.handle, length, 0,
                                        malloc((size_t)length + 1)};
            EXPECT(c->writes[i].bytes != NULL);
            on_write_bytes(c, request->id, frame);
            return;
        }
    }
    EXPECT(false);
}

static void on_cancel(fake_connection *c, uint64_t target) {
    for (sl_list *node = c->reads.next; node != &c->reads; node = node->next) {
        fake_read *read = SL_LIST_ENTRY(node, fake_read, link);
        if (read->id == target) {
            end_read(c, read, SLUICE_ECANCELED);
            return;
        }
    }
    for (unsigned i = 0; i < WRITES_MAX; i++) {
        if (c->writes[i].id == target && target != 0) {
            free(c->writes[i].bytes);
            c->writes[i].id = 0;
            answer_status(c, target, SLUICE_ECANCELED);
        }
    }
}

static void on_looking(fake_connection *c, const sl_request *request) {
    sl_ops_row rows[2] = {{.operation_id = 1, .kind = SL_REQUEST_READ, .client_name = "one"},
                          {.operation_id = 2, .kind = SL_REQUEST_WRITE, .client_name = "two"}};
    sl_response response = {.id = request->id};
    if (request->kind == SL_REQUEST_STATUS) {
        response.kind = SL_RESPONSE_STATUS;
        response.as.status.broker_version = "fake";
        response.as.status.workers = 3;
    } else {
        response.kind = SL_RESPONSE_OPS;
        response.as.ops.rows = rows;
        response.as.ops.count = 2;
        response.as.ops.next_cursor = 9;
    }
    answer(c, &response, NULL, 0, false);
}

static void on_request(fake_connection *c, const sl_request *request, const sl_frame *frame) {
    switch (request->kind) {
    case SL_REQUEST_HELLO:
        on_hello(c, request);
        break;
    case SL_REQUEST_PAIR:
        on_pair(c, request);
        break;
    case SL_REQUEST_LISTEN:
        on_listen(c, request);
        break;
    case SL_REQUEST_READ:
        on_read(c, request);
        break;
    case SL_REQUEST_WRITE:
        on_write(c, request, frame);
        break;
    case SL_REQUEST_WRITE_DATA:
        on_write_bytes(c, request->id, frame);
        break;
    case SL_REQUEST_CLOSE:
        on_close(c, request);
        break;
    case SL_REQUEST_CANCEL:
        on_cancel(c, request->as.cancel.target_id);
        break;
    case SL_REQUEST_STATUS:
    case SL_REQUEST_OPS:
        on_looking(c, request);
        break;
    case SL_REQUEST_PING: {
        sl_response response = {.id = request->id};
        answer(c, &response, NULL, 0, true);
        break;
    }
    case SL_REQUEST_ACKNOWLEDGE_TORN:
        answer_status(c, request->id, SLUICE_OK);
        break;
    default:
        answer_status(c, request->id, SLUICE_ENOTSUP);
        break;
    }
    /* Not before: whoever waits for it may change the mode. */
    atomic_fetch_add(&c->fake->counts[request->kind], 1);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void receive(fake_connection *c) {
    const sl_frame_limits limits = {64 * 1024, 64 * 1024};
    const sl_session_limits session = {64 * 1024, 64 * 1024, 1024 * 1024, 65536, SL_GIB, 65536};
    size_t begin = 0;
    sl_frame frame;
    size_t needed;
    while (sl_frame_parse(c->in + begin, c->in_length - begin, &limits, &frame, &needed, NULL) ==
           SL_FRAME_COMPLETE) {
        sl_request request;
        sl_reason reason;
        int status = sl_request_decode(frame.control, frame.control_length, frame.payload_length,
                                       &session, &c->fake->arena, &request, &reason);
        if (status == SLUICE_EPROTOCOL) {
            printf("the client broke the protocol: %s\n", reason.text);
        }
        EXPECT(status != SLUICE_EPROTOCOL);
        if (status == SLUICE_OK) {
            on_request(c, &request, &frame);
        } else {
            answer_status(c, request.id, status);
        }
        begin += frame.length;
    }
    memmove(c->in, c->in + begin, c->in_length - begin);
    c->in_length -= begin;
}

static void read_more(fake_connection *c) {
    c->is_reading = engine_read(c->handle, c->in + c->in_length, IN_BYTES - c->in_length, c,
                                NULL) == SLUICE_OK;
}

static void hang_up(fake_connection *c) {
    if (!c->is_closing) {
        c->is_closing = true;
        (void)engine_close(c->handle, c);
    }
}

static void destroy(fake_connection *c) {
    sl_list *node;
    while ((node = sl_list_pop_front(&c->reads)) != NULL) {
        free(SL_LIST_ENTRY(node, fake_read, link));
    }
    for (unsigned i = 0; i < WRITES_MAX; i++) {
        free(c->writes[i].id != 0 ? c->writes[i].bytes : NULL);
    }
    free(c->out);
    free(c->held);
    sl_list_remove(&c->link);
    atomic_fetch_sub(&c->fake->connection_count, 1);
    free(c);
}

static void on_accepted(fake_broker *fake, engine_handle *handle) {
    fake_connection *c = calloc(1, sizeof(*c));
    EXPECT(c != NULL);
    c->fake = fake;
    c->handle = handle;
    sl_list_init(&c->link);
    sl_list_init(&c->reads);
    sl_list_push_back(&fake->connections, &c->link);
    atomic_fetch_add(&fake->connection_count, 1);
    read_more(c);
}

static void on_connection(const engine_completion *completion) {
    fake_connection *c = completion->user;
    if (completion->kind == ENGINE_CLOSE) {
        destroy(c);
    } else if (completion->status != SLUICE_OK) {
        hang_up(c);
    } else if (completion->kind == ENGINE_READ) {
        c->in_length += completion->bytes;
        receive(c);
        if (!c->is_closing) {
            read_more(c);
            pump(c);
        }
    } else {
        c->is_writing = false;
        memmove(c->out, c->out + c->out_sending, c->out_length - c->out_sending);
        c->out_length -= c->out_sending;
        release_held(c);
    }
}

static void look_around(fake_broker *fake) {
    uint32_t wanted = atomic_exchange(&fake->wanted, 0);
    for (sl_list *node = fake->connections.next; node != &fake->connections;) {
        fake_connection *c = SL_LIST_ENTRY(node, fake_connection, link);
        node = node->next;
        if (wanted != 0) {
            hang_up(c);
        } else if (!c->is_closing) {
            serve_reads(c);
            release_held(c);
        }
    }
    if ((wanted & WANT_KILL) != 0) {
        for (uint32_t i = 0; i < fake->pipe_count; i++) {
            fake->pipes[i].is_open[0] = fake->pipes[i].is_open[1] = false;
        }
        atomic_store(&fake->open_handles, 0);
    }
    if ((wanted & WANT_STOP) != 0) {
        atomic_store(&fake->wanted, WANT_STOP);
    }
}

static void fake_thread(void *context) {
    fake_broker *fake = context;
    engine_handle *listener;
    engine_address address;
    EXPECT(engine_create(engine_backend_find(NULL), NULL, &fake->engine) == SLUICE_OK);
    EXPECT(engine_worker_create(fake->engine, &fake->worker) == SLUICE_OK);
    EXPECT(engine_address_endpoint(&address, fake->endpoint) == SLUICE_OK);
    EXPECT(engine_endpoint_create(fake->engine, &address, NULL, &fake->listening, NULL) ==
           SLUICE_OK);
    EXPECT(engine_endpoint_join(fake->listening, fake->worker, &listener) == SLUICE_OK);
    EXPECT(engine_accept(listener, listener, NULL) == SLUICE_OK);
    sl_event_set(&fake->started);
    bool is_listening = true;
    while (is_listening || !sl_list_is_empty(&fake->connections)) {
        engine_completion completions[32];
        uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
        unsigned count = engine_poll(fake->worker, completions, 32, now_ns + 2 * SL_MSEC);
        for (unsigned i = 0; i < count; i++) {
            const engine_completion *each = &completions[i];
            if (each->kind == ENGINE_ACCEPT) {
                if (each->status == SLUICE_OK) {
                    on_accepted(fake, each->opened[0]);
                    (void)engine_accept(listener, listener, NULL);
                }
            } else if (each->kind == ENGINE_CLOSE && each->user == listener) {
                is_listening = false;
            } else if (each->kind != ENGINE_MESSAGE) {
                on_connection(each);
            }
        }
        look_around(fake);
        if ((atomic_load(&fake->wanted) & WANT_STOP) != 0) {
            (void)engine_close(listener, listener);
            atomic_store(&fake->wanted, WANT_KILL);
        }
    }
    EXPECT(engine_worker_destroy(fake->worker) == SLUICE_OK);
    EXPECT(engine_endpoint_destroy(fake->listening) == SLUICE_OK);
    EXPECT(engine_destroy(fake->engine, SL_SEC) == SLUICE_OK);
}

/* ---- the test's side ------------------------------------------------------------------------- */

void fake_start(fake_broker *fake) {
    static uint64_t number;
    memset(fake, 0, sizeof(*fake));
    uint64_t random;
    sl_random_system()->fill(sl_random_system(), &random, sizeof(random));
#define NAME "sluice-fake-%llx-%llu"
    (void)snprintf(fake->endpoint, sizeof(fake->endpoint), FAKE_PREFIX NAME,
                   (unsigned long long)random, (unsigned long long)number++);
    fake->epoch = 1;
    atomic_store(&fake->ping_interval_ms, 100);
    atomic_store(&fake->unresponsive_ms, 600);
    sl_list_init(&fake->connections);
    sl_account_init(&fake->account, sl_allocator_system(), "fake", SIZE_MAX);
    EXPECT(sl_message_arena_init(&fake->arena, &fake->account) == SLUICE_OK);
    EXPECT(sl_event_init(&fake->started) == SLUICE_OK);
    EXPECT(sl_thread_start(&fake->thread, "fake-broker", fake_thread, fake) == SLUICE_OK);
    EXPECT(sl_event_wait_until(&fake->started, SL_CLOCK_NEVER));
}

void fake_stop(fake_broker *fake) {
    atomic_fetch_or(&fake->wanted, WANT_STOP | WANT_KILL);
    sl_thread_join(&fake->thread);
    sl_event_deinit(&fake->started);
    for (uint32_t i = 0; i < fake->pipe_count; i++) {
        free(fake->pipes[i].bytes);
    }
    sl_arena_deinit(&fake->arena);
    sl_account_deinit(&fake->account);
}

void fake_set_mode(fake_broker *fake, fake_mode mode) {
    atomic_store(&fake->mode, mode);
}

void fake_kill(fake_broker *fake) {
    atomic_fetch_or(&fake->wanted, WANT_KILL);
}

uint64_t fake_count(fake_broker *fake, sl_request_kind kind) {
    return atomic_load(&fake->counts[kind]);
}
