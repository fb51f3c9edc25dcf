/*
 * reply.c - the client's core on the simulated engine, with a broker that says whatever the input
 * says: right answers, wrong ones, frames of noise, half a frame, nothing, a hang-up. Whatever it
 * does, each call ends once, at the latest at its deadline and the grace, nothing is written behind
 * a caller's buffer nor after the call has ended (it is freed then), and in the end the books are
 * at 0.
 */
#include "client/core.h"
#include "tests/client/no_launch.h"
#include "tests/engine/listen_now.h"
#include "tests/fuzz/noise.h"
#include "tests/sim/engine_sim.h"

#define CALLS_MAX    64u
#define ACTIONS_MAX  400u
#define HANDLES_MAX  8u
#define REQUESTS_MAX 64u
#define INPUT_BYTES  (256u * 1024)
#define PAYLOAD_MAX  70000u
#define STEP_MIN_NS  SL_NS_PER_MS
#define STEP_MAX_NS  (100 * SL_NS_PER_MS)
#define SLACK_NS     (10 * SL_NS_PER_MS) /* what polling in turn may add to a bound on time */
#define GRACE_NS     (20 * SL_NS_PER_MS)
#define END_STEPS    100000u

typedef struct fuzz_call {
    sluice_operation *op; /* NULL = over, or never begun */
    uint8_t *bytes;
    sl_request_kind kind;
    uint32_t length;
    uint64_t end_by_ns;
    bool has_ended;
} fuzz_call;

/* What the broker has been asked and has not answered. */
typedef struct asked {
    uint64_t id;
    sl_request_kind kind;
    uint32_t length; /* read: at most; write: the whole */
} asked;

typedef struct scene {
    sl_clock_manual clock;
    sl_random_seeded random;
    sim_world *world;
    engine *engine;
    sl_account account;

    engine_worker *worker; /* the client's */
    client_core core;
    fuzz_call calls[CALLS_MAX];
    uint32_t call_count;
    uint32_t open_count;
    sluice_handle handles[HANDLES_MAX];
    uint32_t handle_count;

    engine_worker *broker; /* a broker's */
    engine_endpoint *endpoint;
    engine_handle *listener;
    engine_handle *connection;
    bool is_accepting;
    bool is_reading;
    uint32_t jobs;
    uint8_t input[INPUT_BYTES];
    size_t input_length;
    sl_arena arena;
    asked asked[REQUESTS_MAX];
    uint32_t asked_count;
    uint64_t next_handle;
} scene;

static scene s;
static uint8_t payload[PAYLOAD_MAX];

/* What a completion of the broker's belongs to: a write's bytes, or nothing. */
static int no_job;

static uint64_t now_ns(void) {
    return s.clock.now_ns;
}

/* ---- the broker ---- */

static void send(const uint8_t *bytes, size_t length) {
    if (s.connection == NULL || length == 0) {
        return;
    }
    uint8_t *copy = fuzz_exact(bytes, length);
    engine_buffer buffer = {copy, length};
    if (engine_write(s.connection, &buffer, 1, copy, NULL) != SLUICE_OK) {
        free(copy);
        return;
    }
    s.jobs++;
}

static void reply(const sl_response *response, uint32_t payload_length) {
    static uint8_t frame[SL_RESPONSE_BYTES_OPS(SL_OPS_ROWS_MAX) + PAYLOAD_MAX];
    size_t header;
    if (sl_response_encode(response, payload_length, frame, sizeof(frame) - payload_length,
                           &header) == SLUICE_OK) {
        memcpy(frame + header, payload, payload_length);
        send(frame, header + payload_length);
    }
}

static void greet(uint64_t id, fuzz_input *in) {
    sl_response response;
    uint8_t bits = fuzz_u8(in);
    sl_response_init(&response, id);
    response.kind = SL_RESPONSE_HELLO;
    response.as.hello = (sl_hello_reply){
        .version = 1, .version_min = 1, .version_max = 1, .session_id = 1, .epoch = 1,
        .limits = {65536, bits & 1 ? 4096 : 65536, bits & 2 ? 65536 : 1048576,
                   bits & 4 ? 16 : 64, 1048576, 64},
        .broker_version = "fuzz", .engine_name = "sim",
        .close_grace_ns = SL_NS_PER_S, .ping_interval_ns = 200 * SL_NS_PER_MS,
        .unresponsive_ns = SL_NS_PER_S,
    };
    if (bits >= 248) { /* one that makes no sense */
        response.status = bits == 248 ? SLUICE_EVERSION : SLUICE_OK;
        response.as.hello.limits.fragment_bytes = fuzz_u16(in);
        response.as.hello.limits.credit_operations = fuzz_u16(in);
        response.as.hello.version = fuzz_u8(in);
    }
    reply(&response, 0);
}

/* As a broker would, or with one or the other thing that is wrong. */
static void answer(const asked *request, fuzz_input *in) {
    sl_response response;
    uint8_t wrong = fuzz_u8(in);
    uint32_t length = 0;
    if (request->kind == SL_REQUEST_HELLO) {
        greet(request->id, in);
        return;
    }
    sl_response_init(&response, request->id);
    response.status = wrong < 128 ? SLUICE_OK : -(int)(fuzz_u8(in) % SLUICE_STATUS_COUNT);
    switch (request->kind) {
    case SL_REQUEST_READ:
        length = response.status == SLUICE_OK ? fuzz_u16(in) % (request->length + 1) : 0;
        response.more = wrong % 8 == 7;
        response.done = length;
        break;
    case SL_REQUEST_WRITE: response.done = request->length; break;
    case SL_REQUEST_PAIR:
    case SL_REQUEST_LISTEN:
        if (response.status == SLUICE_OK) {
            response.kind = SL_RESPONSE_OPENED;
            response.as.opened.count = request->kind == SL_REQUEST_PAIR ? 2 : 1;
            for (uint32_t i = 0; i < response.as.opened.count; i++) {
                response.as.opened.handles[i] = (sl_opened_handle){++s.next_handle, 7, ""};
            }
        }
        break;
    case SL_REQUEST_STATUS:
        response.kind = SL_RESPONSE_STATUS;
        response.as.status = (sl_status_reply){.broker_version = "v", .engine_name = "e",
                                               .user = "u"};
        break;
    case SL_REQUEST_OPS:
        response.kind = SL_RESPONSE_OPS;
        response.as.ops.rows = NULL;
        response.as.ops.count = 0;
        response.as.ops.next_cursor = fuzz_u8(in);
        break;
    default: break;
    }
    if (wrong % 16 == 15) { /* what no broker says */
        response.done = fuzz_u16(in);
        response.in_doubt = fuzz_u16(in);
        length = fuzz_u16(in);
        response.id = fuzz_u8(in);
    }
    reply(&response, length);
}

static void answer_one(fuzz_input *in) {
    if (s.asked_count > 0) {
        uint32_t index = fuzz_u8(in) % s.asked_count;
        asked request = s.asked[index];
        s.asked[index] = s.asked[--s.asked_count];
        answer(&request, in);
    }
}

static void say_event(fuzz_input *in) {
    sl_response response;
    sl_response_init(&response, 0);
    response.kind = SL_RESPONSE_EVENT;
    response.as.event = (sl_event_message){.kind = (sl_event_kind)(fuzz_u8(in) % 3),
                                           .status = -(int)(fuzz_u8(in) % SLUICE_STATUS_COUNT),
                                           .detail = "why"};
    reply(&response, 0);
}

static void say_noise(fuzz_input *in) {
    uint8_t noise[FUZZ_NOISE_BYTES];
    send(noise, fuzz_noise(in, noise));
}

static void remember(const sl_request *request) {
    if ((sl_request_traits(request->kind) & SL_REQUEST_IS_ANSWERED) != 0 &&
        s.asked_count < REQUESTS_MAX) {
        uint32_t length = request->kind == SL_REQUEST_READ    ? request->as.read.max_bytes
                          : request->kind == SL_REQUEST_WRITE ? request->as.write.length_bytes
                                                              : 0;
        s.asked[s.asked_count++] = (asked){request->id, request->kind, length};
    }
}

/* What the client sends is always well-formed. */
static void hear(void) {
    const sl_frame_limits limits = {65536, 65536};
    const sl_session_limits session = {65536, 65536, 1048576, 65536, SL_GIB, 65536};
    size_t at = 0;
    for (;;) {
        sl_frame frame;
        size_t needed;
        sl_request request;
        sl_reason reason;
        sl_frame_result result = sl_frame_parse(s.input + at, s.input_length - at, &limits, &frame,
                                                &needed, NULL);
        FUZZ_EXPECT(result != SL_FRAME_VIOLATION);
        if (result == SL_FRAME_INCOMPLETE) {
            break;
        }
        FUZZ_EXPECT(sl_request_decode(frame.control, frame.control_length, frame.payload_length,
                                      &session, &s.arena, &request, &reason) == SLUICE_OK);
        remember(&request);
        at += frame.length;
    }
    memmove(s.input, s.input + at, s.input_length - at);
    s.input_length -= at;
}

static void listen_more(void) {
    if (s.connection == NULL) {
        if (!s.is_accepting && s.listener != NULL &&
            engine_accept(s.listener, &no_job, NULL) == SLUICE_OK) {
            s.is_accepting = true;
            s.jobs++;
        }
    } else if (!s.is_reading && engine_read(s.connection, s.input + s.input_length,
                                            sizeof(s.input) - s.input_length, &no_job,
                                            NULL) == SLUICE_OK) {
        s.is_reading = true;
        s.jobs++;
    }
}

static void hang_up(void) {
    if (s.connection != NULL && engine_close(s.connection, &no_job) == SLUICE_OK) {
        s.jobs++;
        s.connection = NULL; /* its read comes back before its close */
        s.input_length = 0;
        s.asked_count = 0;
    }
}

static void on_completion(const engine_completion *completion) {
    s.jobs--;
    if (completion->kind == ENGINE_ACCEPT) {
        s.is_accepting = false;
        if (completion->status == SLUICE_OK) {
            s.connection = completion->opened[0];
        }
    } else if (completion->kind == ENGINE_READ) {
        s.is_reading = false;
        if (completion->status == SLUICE_OK && completion->handle == s.connection) {
            s.input_length += completion->bytes;
            hear();
        } else if (completion->handle == s.connection) {
            hang_up();
        }
    } else if (completion->kind == ENGINE_WRITE) {
        free(completion->user);
    }
}

static void poll_broker(void) {
    engine_completion batch[16];
    unsigned count = engine_poll(s.broker, batch, SL_ARRAY_COUNT(batch), 0);
    for (unsigned i = 0; i < count; i++) {
        on_completion(&batch[i]);
    }
}

/* ---- the client's hooks ---- */

static void on_retired(void *user, client_operation *op) {
    (void)user;
    (void)op;
}

static void on_dropped(void *user, client_operation *op) {
    (void)user;
    if (client_operation_drop(op)) {
        free(op);
    }
}

static void on_finished(void *user, client_operation *op) {
    (void)user;
    fuzz_call *call = op->user;
    FUZZ_EXPECT(!call->has_ended && now_ns() <= sl_clock_after_ns(call->end_by_ns, SLACK_NS));
    FUZZ_EXPECT(op->result.status <= 0 && op->result.status > -SLUICE_STATUS_COUNT);
    FUZZ_EXPECT(op->result.done <= call->length);
    FUZZ_EXPECT(op->result.in_doubt <= call->length - op->result.done);
    FUZZ_EXPECT(op->result.status == SLUICE_OK || op->result.handle_count == 0);
    call->has_ended = true;
    s.open_count--;
    for (uint32_t i = 0; i < op->result.handle_count; i++) {
        s.handles[s.handle_count++ % HANDLES_MAX] = op->result.handles[i];
    }
    free(call->bytes); /* the library has nothing to do with it any more */
    call->bytes = NULL;
    on_dropped(NULL, op);
}

static void on_connection(void *user) {
    (void)user;
}

/* ---- calls ---- */

static void call_any(fuzz_input *in) {
    static const sl_request_kind kinds[] = {SL_REQUEST_READ,   SL_REQUEST_READ, SL_REQUEST_WRITE,
                                            SL_REQUEST_WRITE,  SL_REQUEST_PAIR, SL_REQUEST_PING,
                                            SL_REQUEST_LISTEN, SL_REQUEST_STATUS, SL_REQUEST_OPS,
                                            SL_REQUEST_CLOSE};
    uint8_t which = fuzz_u8(in);
    if (s.call_count == CALLS_MAX) {
        return;
    }
    fuzz_call *call = &s.calls[s.call_count++];
    uint64_t timeout_ns = which & 128 ? fuzz_u8(in) * SL_NS_PER_MS : SLUICE_NO_TIMEOUT;
    call->op = calloc(1, sizeof(*call->op));
    FUZZ_EXPECT(call->op != NULL);
    call->kind = kinds[(which & 127u) % SL_ARRAY_COUNT(kinds)];
    client_operation_init(call->op, call->kind, timeout_ns);
    sl_request *request = &call->op->request;
    request->kind = call->kind;
    uint64_t *handle = client_operation_handle(call->op);
    if (handle != NULL) {
        *handle = s.handles[fuzz_u8(in) % HANDLES_MAX];
    }
    if (call->kind == SL_REQUEST_READ) {
        call->length = fuzz_u16(in) % 5000;
        request->as.read.max_bytes = call->length;
        request->as.read.all = call->length > 0 && (fuzz_u8(in) & 1);
    } else if (call->kind == SL_REQUEST_WRITE) {
        call->length = 1 + fuzz_u16(in);
        request->as.write.length_bytes = call->length;
    } else if (call->kind == SL_REQUEST_LISTEN) {
        request->as.listen.address = "pipe:x";
    }
    size_t room = call->kind == SL_REQUEST_STATUS ? sizeof(sluice_broker_info)
                  : call->kind == SL_REQUEST_OPS  ? 2 * sizeof(sluice_ops_row)
                                                  : call->length;
    call->bytes = calloc(1, room > 0 ? room : 1);
    FUZZ_EXPECT(call->bytes != NULL);
    call->op->out = call->bytes;
    call->op->in = call->bytes;
    call->op->in_size = call->kind == SL_REQUEST_OPS ? 2 : (uint32_t)room;
    call->op->row_size = sizeof(sluice_ops_row);
    call->op->user = call;
    call->end_by_ns = sl_clock_after_ns(sl_clock_after_ns(now_ns(), timeout_ns), GRACE_NS);
    client_operation_hold(call->op); /* ours */
    s.open_count++;
    client_core_submit(s.worker, call->op);
}

static void cancel_any(fuzz_input *in) {
    if (s.call_count > 0) {
        client_core_cancel(s.worker, s.calls[fuzz_u8(in) % s.call_count].op);
    }
}

/* ---- a life ---- */

/* To the next thing that happens, or that the client has to do by itself. */
static uint64_t step_end_ns(void) {
    uint64_t watch_ns = client_watch_deadline_ns(&s.core);
    uint64_t connect_ns = client_connect_deadline_ns(&s.core);
    uint64_t timer_ns = sl_heap_deadline_ns(&s.core.timers);
    uint64_t end_ns = watch_ns < connect_ns ? watch_ns : connect_ns;
    end_ns = timer_ns < end_ns ? timer_ns : end_ns;
    uint64_t most_ns = now_ns() + STEP_MAX_NS;
    uint64_t least_ns = now_ns() + STEP_MIN_NS;
    end_ns = end_ns < most_ns ? end_ns : most_ns;
    return end_ns > least_ns ? end_ns : least_ns;
}

static void step(void) {
    (void)sim_world_step(s.world, step_end_ns());
    listen_more();
    poll_broker();
    client_core_run(&s.core, 0);
    for (uint32_t i = 0; i < s.call_count; i++) {
        const fuzz_call *call = &s.calls[i];
        FUZZ_EXPECT(call->has_ended || now_ns() <= sl_clock_after_ns(call->end_by_ns, SLACK_NS));
    }
}

static void run_for(uint64_t time_ns) {
    uint64_t end_ns = now_ns() + time_ns;
    while (now_ns() < end_ns) {
        step();
    }
}

static void act(fuzz_input *in) {
    uint8_t what = fuzz_u8(in);
    if (what < 80) {
        call_any(in);
    } else if (what < 180) {
        answer_one(in);
    } else if (what < 195) {
        cancel_any(in);
    } else if (what < 210) {
        say_noise(in);
    } else if (what < 216) {
        say_event(in);
    } else if (what < 220) {
        hang_up();
    } else if (what < 230) {
        run_for((uint64_t)fuzz_u8(in) * 10 * SL_NS_PER_MS);
    } else {
        for (unsigned i = 0; i < what - 229u; i++) {
            step();
        }
    }
}

static void open_all(uint64_t seed) {
    sim_options sim;
    engine_address address;
    memset(&s, 0, sizeof(s));
    sl_clock_manual_init(&s.clock, SL_NS_PER_S);
    sl_random_seeded_init(&s.random, seed);
    sl_account_init(&s.account, sl_allocator_system(), "fuzz", SIZE_MAX);
    FUZZ_EXPECT(sl_message_arena_init(&s.arena, &s.account) == SLUICE_OK);
    sim_options_gentle(&sim, seed);
    s.world = sim_world_create(&sim, &s.clock);
    sim.world = s.world;
    const engine_options options = {.clock = &s.clock.clock, .backend_options = &sim};
    FUZZ_EXPECT(engine_create(&engine_backend_sim, &options, &s.engine) == SLUICE_OK);
    FUZZ_EXPECT(engine_worker_create(s.engine, &s.worker) == SLUICE_OK);
    FUZZ_EXPECT(engine_worker_create(s.engine, &s.broker) == SLUICE_OK);
    FUZZ_EXPECT(engine_address_endpoint(&address, "broker") == SLUICE_OK);
    FUZZ_EXPECT(engine_endpoint_create(s.engine, &address, NULL, &s.endpoint, NULL) == SLUICE_OK);
    FUZZ_EXPECT(engine_endpoint_join(s.endpoint, s.broker, &s.listener) == SLUICE_OK);
    const client_settings settings = {.mode = SLUICE_MODE_SERVICE, .endpoint = "broker",
                                      .client_name = "fuzz", .open_timeout_ns = SL_NS_PER_S,
                                      .call_grace_ns = GRACE_NS};
    const client_hooks hooks = {NULL,      on_finished,      on_retired,   on_dropped,
                                no_launch, no_launch_has_ended, on_connection};
    FUZZ_EXPECT(client_core_init(&s.core, s.worker, &s.clock.clock, &s.random.random, &s.account,
                                 &settings, &hooks) == SLUICE_OK);
}

static void close_all(void) {
    unsigned steps = 0;
    client_core_stop(&s.core);
    while (!client_core_is_idle(&s.core) || engine_worker_destroy(s.worker) != SLUICE_OK) {
        FUZZ_EXPECT(++steps < END_STEPS);
        step();
    }
    FUZZ_EXPECT(s.open_count == 0 && s.core.operation_count == 0 && s.core.wire_count == 0);
    FUZZ_EXPECT(s.core.credit_used == 0 && s.core.credit_bytes_used == 0);
    for (uint32_t i = 0; i < s.call_count; i++) {
        on_dropped(NULL, s.calls[i].op);
    }
    client_core_deinit(&s.core);
    hang_up();
    FUZZ_EXPECT(engine_close(s.listener, &no_job) == SLUICE_OK);
    s.jobs++;
    s.listener = NULL;
    while (s.jobs > 0 || engine_worker_destroy(s.broker) != SLUICE_OK) {
        FUZZ_EXPECT(++steps < END_STEPS);
        (void)sim_world_step(s.world, now_ns() + STEP_MAX_NS);
        poll_broker();
        hang_up(); /* one that was accepted meanwhile */
    }
    FUZZ_EXPECT(engine_endpoint_destroy(s.endpoint) == SLUICE_OK);
    FUZZ_EXPECT(engine_destroy(s.engine, SL_NS_PER_S) == SLUICE_OK);
    sim_world_destroy(s.world);
    sl_arena_deinit(&s.arena);
    sl_account_deinit(&s.account);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    fuzz_input in = {bytes, size};
    open_all(fuzz_u8(&in));
    for (unsigned i = 0; i < ACTIONS_MAX && in.left > 0; i++) {
        act(&in);
        if (i % 4 == 3) {
            step();
        }
    }
    run_for(SL_NS_PER_S);
    close_all();
    return 0;
}
