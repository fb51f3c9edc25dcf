/*
 * session.c - the broker's core on the simulated engine, and up to three clients whose every byte
 * comes from the input: well-formed requests with any numbers, frames with any contents, raw bytes,
 * silence, hanging up. Beside them a bystander, whose pair must go on working whatever they do. In
 * the end all have gone, and every book must be at 0 (rig_await_empty, rig_close).
 */
#include <stdio.h>

#include "tests/broker/rig.h"
#include "tests/fuzz/noise.h"

#define CLIENTS     3u
#define HANDLES_MAX 32u
#define OPENING_MAX 32u
#define ACTIONS_MAX 400u /* of one input: it is to be quick */
#define STEPS_MAX   64u
#define PAYLOAD_MAX 70000u /* more than a frame takes */
#define BYSTANDS    16u /* actions between two looks at the bystander */

typedef struct opening {
    raw_client *client;
    uint64_t id;
} opening;

typedef struct scene {
    test_rig rig;
    raw_client *clients[CLIENTS]; /* NULL = not there */
    raw_client *bystander;
    uint64_t ends[2]; /* the bystander's */
    uint64_t handles[HANDLES_MAX]; /* anybody's: of others they are guesses */
    uint32_t handle_count;
    opening opening[OPENING_MAX];
    uint32_t opening_count;
} scene;

static uint8_t payload[PAYLOAD_MAX];

static void choose_limits(fuzz_input *in, sl_limits *limits) {
    uint8_t bits = fuzz_u8(in);
    sl_limits_default(limits);
    limits->credit_operations = bits & 1 ? 16 : 64;
    limits->credit_bytes = 1048576;
    limits->handles = bits & 2 ? 16 : 64;
    limits->fragment_bytes = bits & 4 ? 4096 : 65536;
    limits->stream_chunk_bytes = bits & 8 ? 4096 : 65536;
    limits->receive_buffer_bytes = bits & 16 ? 4096 : 65536;
    limits->idle_buffer_bytes = bits & 32 ? 0 : 4096;
    limits->payload_bytes = bits & 64 ? 65536 : 1048576;
    limits->no_progress_ns = SL_SEC;
}

/* What an opening request has brought is used from then on. */
static void learn(scene *s) {
    for (uint32_t i = 0; i < s->opening_count;) {
        opening *o = &s->opening[i];
        raw_reply reply;
        if (!client_has(o->client, o->id)) {
            i++;
            continue;
        }
        FUZZ_EXPECT(client_await(o->client, o->id, &reply));
        for (uint32_t k = 0; k < reply.opened_count; k++) {
            s->handles[s->handle_count++ % HANDLES_MAX] = reply.opened[k];
        }
        reply_free(&reply);
        *o = s->opening[--s->opening_count];
    }
}

static void forget(scene *s, const raw_client *client) {
    for (uint32_t i = 0; i < s->opening_count;) {
        if (s->opening[i].client == client) {
            s->opening[i] = s->opening[--s->opening_count];
        } else {
            i++;
        }
    }
}

static void steps(scene *s, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        rig_step(&s->rig);
    }
    learn(s);
}

static uint64_t any_handle(scene *s, fuzz_input *in) {
    uint8_t which = fuzz_u8(in);
    if (which >= 250) {
        return fuzz_u64(in);
    }
    return s->handles[which % HANDLES_MAX];
}

static uint64_t any_timeout_ns(fuzz_input *in) {
    uint8_t which = fuzz_u8(in);
    return which < 128 ? 0 : which < 250 ? (uint64_t)(which - 127) * SL_NS_PER_MS : fuzz_u64(in);
}

static const char *any_address(fuzz_input *in, char text[SL_ADDRESS_BYTES + 1]) {
    static const char *const good[] = {"pipe:/some", "tcp:127.0.0.1:7", "tcp:127.0.0.1:0",
                                       "pipe:/other", "tcp:[::1]:7", "tcp:name:7"};
    uint8_t which = fuzz_u8(in);
    if (which < 200) {
        return good[which % SL_ARRAY_COUNT(good)];
    }
    size_t count;
    const uint8_t *bytes = fuzz_take(in, which - 199u, &count);
    memcpy(text, bytes, count);
    text[count] = '\0';
    return text;
}

/* A request of the kind with what the input says. false: it cannot be encoded. */
static bool make_request(scene *s, fuzz_input *in, sl_request *request, char *text) {
    switch (request->kind) {
    case SL_REQUEST_READ:
        request->as.read.handle = any_handle(s, in);
        request->as.read.max_bytes = fuzz_u16(in) * (fuzz_u8(in) % 20u);
        request->as.read.all = fuzz_u8(in) & 1;
        request->as.read.timeout_ns = any_timeout_ns(in);
        return true;
    case SL_REQUEST_WRITE:
        request->as.write.handle = any_handle(s, in);
        request->as.write.length_bytes = fuzz_u16(in) * (fuzz_u8(in) % 20u);
        request->as.write.timeout_ns = any_timeout_ns(in);
        return true;
    case SL_REQUEST_CANCEL: request->as.cancel.target_id = fuzz_u8(in); return true;
    case SL_REQUEST_CLOSE:
        request->as.close.handle = any_handle(s, in);
        request->as.close.grace_ns = any_timeout_ns(in);
        return true;
    case SL_REQUEST_PAIR:
        request->as.pair.timeout_ns = any_timeout_ns(in);
        request->as.pair.read_ahead = (fuzz_u8(in) & 1) != 0;
        return true;
    case SL_REQUEST_STREAM_READ:
        request->as.stream_read.handle = any_handle(s, in);
        request->as.stream_read.read.taken = fuzz_u8(in);
        request->as.stream_read.read.up_to = fuzz_u16(in) * (fuzz_u8(in) % 20u);
        request->as.stream_read.read.notify = (fuzz_u8(in) & 1) != 0;
        return true;
    case SL_REQUEST_STREAM_CANCEL:
        request->as.stream_cancel.handle = any_handle(s, in);
        request->as.stream_cancel.direction = (sl_stream_direction)(fuzz_u8(in) % 3);
        return true;
    case SL_REQUEST_ACCEPT:
        request->as.accept.listener = any_handle(s, in);
        request->as.accept.timeout_ns = any_timeout_ns(in);
        return true;
    case SL_REQUEST_CONNECT:
        request->as.connect.address = any_address(in, text);
        request->as.connect.timeout_ns = any_timeout_ns(in);
        return true;
    case SL_REQUEST_LISTEN:
        request->as.listen.address = any_address(in, text);
        request->as.listen.backlog = fuzz_u8(in);
        request->as.listen.timeout_ns = any_timeout_ns(in);
        return true;
    case SL_REQUEST_HALF_CLOSE:
        request->as.half_close.handle = any_handle(s, in);
        request->as.half_close.timeout_ns = any_timeout_ns(in);
        return true;
    case SL_REQUEST_ACKNOWLEDGE_TORN:
        request->as.acknowledge_torn.handle = any_handle(s, in);
        return true;
    case SL_REQUEST_HELLO:
        request->as.hello.version_min = fuzz_u8(in);
        request->as.hello.version_max = fuzz_u8(in);
        request->as.hello.client_name = "fuzz";
        return true;
    case SL_REQUEST_OPS:
        request->as.ops.cursor = fuzz_u8(in);
        request->as.ops.limit = fuzz_u8(in);
        request->as.ops.min_age_ns = any_timeout_ns(in);
        request->as.ops.filter = (sl_ops_filter)(fuzz_u8(in) & 1);
        return true;
    case SL_REQUEST_LEAVE:
    case SL_REQUEST_PING:
    case SL_REQUEST_STATUS:
    case SL_REQUEST_WRITE_DATA: return true;
    default: return false;
    }
}

static void send_request(scene *s, raw_client *client, fuzz_input *in) {
    char text[SL_ADDRESS_BYTES + 1];
    sl_request request = {.kind = (sl_request_kind)(fuzz_u8(in) % SL_REQUEST_KIND_COUNT)};
    uint8_t how = fuzz_u8(in);
    if (!make_request(s, in, &request, text)) {
        return;
    }
    /* Mostly an id of its own, or none where there is none; else one that may be in use, or 0. */
    bool stands = (sl_request_traits(request.kind) & SL_REQUEST_HAS_NO_ID) != 0;
    request.id = how >= 224 ? fuzz_u8(in) : stands ? 0 : client_id(client);
    if (how >= 224) {
        client_may_repeat(client, request.id);
    }
    uint32_t length = 0;
    if (request.kind == SL_REQUEST_WRITE) {
        uint32_t fragment = client_limits(client)->fragment_bytes;
        length = request.as.write.length_bytes;
        length = length < fragment ? length : fragment;
    } else if (request.kind == SL_REQUEST_WRITE_DATA) {
        length = fuzz_u16(in);
    }
    length = how % 32 == 31 ? fuzz_u16(in) : length; /* mostly as the protocol wants it */
    client_send(client, &request, payload, length);
    bool opens = request.kind == SL_REQUEST_PAIR || request.kind == SL_REQUEST_ACCEPT ||
                 request.kind == SL_REQUEST_CONNECT || request.kind == SL_REQUEST_LISTEN;
    if (opens && how < 224 && s->opening_count < OPENING_MAX) {
        s->opening[s->opening_count++] = (opening){client, request.id};
    }
}

static void send_noise(raw_client *client, fuzz_input *in) {
    uint8_t noise[FUZZ_NOISE_BYTES];
    size_t length = fuzz_noise(in, noise);
    if (length > 0) {
        client_may_repeat(client, 0); /* it may be a request, with any id */
        client_send_bytes(client, noise, length);
    }
}

static void replace(scene *s, raw_client **place, fuzz_input *in) {
    if (*place != NULL) {
        forget(s, *place);
        client_close(*place);
        *place = NULL;
        return;
    }
    bool has_hello = fuzz_u8(in) < 240;
    *place = has_hello ? client_open(&s->rig) : client_connect(&s->rig);
    client_on_data(*place, client_ignore_data, NULL);
}

/* Its bytes arrive, and nothing it has asked for takes long. */
static void look_at_bystander(scene *s) {
    uint64_t done;
    FUZZ_EXPECT(call_write(s->bystander, s->ends[1], "still here", 10) == SLUICE_OK);
    FUZZ_EXPECT(call_read(s->bystander, s->ends[0], 10, true, "still here", &done) == SLUICE_OK);
    FUZZ_EXPECT(done == 10);
}

static void act(scene *s, fuzz_input *in) {
    uint8_t what = fuzz_u8(in);
    raw_client **place = &s->clients[what % CLIENTS];
    raw_client *client = *place;
    what /= CLIENTS;
    if (client == NULL || (client_is_over(client) && what % 4 != 3)) {
        replace(s, place, in);
    } else if (what < 60) {
        send_request(s, client, in);
    } else if (what < 68) {
        send_noise(client, in);
    } else if (what < 72) {
        client_stop_reading(client, fuzz_u8(in) & 1);
    } else if (what < 80) {
        steps(s, 1 + fuzz_u8(in) % STEPS_MAX);
    } else if (what == 80) {
        rig_run_for(&s->rig, (uint64_t)fuzz_u8(in) * 10 * SL_NS_PER_MS);
        learn(s);
    } else {
        replace(s, place, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static scene s;
    fuzz_input in = {bytes, size};
    sl_limits limits;
    sim_options sim;
    memset(&s, 0, sizeof(s));
    choose_limits(&in, &limits);
    if (fuzz_u8(&in) & 1) {
        sim_options_races(&sim, fuzz_u8(&in));
    } else {
        sim_options_gentle(&sim, fuzz_u8(&in));
    }
    rig_options options = {.sim = &sim, .limits = &limits};
    rig_open(&s.rig, &options);
    s.bystander = client_open(&s.rig);
    FUZZ_EXPECT(call_pair(s.bystander, s.ends) == SLUICE_OK);
    for (unsigned i = 0; i < ACTIONS_MAX && in.left > 0; i++) {
        act(&s, &in);
        if (i % 4 == 3) {
            steps(&s, 1);
        }
        if (i % BYSTANDS == BYSTANDS - 1) {
            look_at_bystander(&s);
        }
    }
    look_at_bystander(&s);
    sim_world_calm(s.rig.world); /* what ignored its cancel takes it now */
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (s.clients[i] != NULL) {
            client_close(s.clients[i]);
        }
    }
    client_close(s.bystander);
    rig_await_empty(&s.rig);
    rig_close(&s.rig);
    return 0;
}
