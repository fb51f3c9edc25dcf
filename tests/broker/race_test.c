/*
 * race_test.c - random work on the simulator's races and hostile presets: whatever happens, every
 * accepted request ends once, sessions end with every counter at 0, and the broker drains.
 * `race_test FIRST COUNT` runs other seeds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/broker/rig.h"

#define CLIENTS_MAX 4u
#define STEPS       300u
#define PENDING_MAX 64u

typedef struct load {
    raw_client *client;
    uint64_t handles[8];
    unsigned handle_count;
    uint64_t pending[PENDING_MAX];
    unsigned pending_count;
} load;

static uint8_t bytes[200000];

static uint64_t any_handle(load *l, sl_random_seeded *random) {
    return l->handle_count == 0 ? 77 : l->handles[sl_random_seeded_below(random, l->handle_count)];
}

static void collect(load *l) {
    unsigned kept = 0;
    for (unsigned i = 0; i < l->pending_count; i++) {
        raw_reply reply;
        if (!client_has(l->client, l->pending[i])) {
            l->pending[kept++] = l->pending[i];
            continue;
        }
        EXPECT(client_await(l->client, l->pending[i], &reply));
        for (unsigned k = 0; k < reply.opened_count && l->handle_count < 8; k++) {
            l->handles[l->handle_count++] = reply.opened[k];
        }
        EXPECT(reply.kind != SL_RESPONSE_OPENED || reply.status == SLUICE_OK);
        reply_free(&reply);
    }
    l->pending_count = kept;
}

static uint64_t start_simple(load *l, sl_request_kind kind, const char *address) {
    sl_request request = {.id = client_id(l->client), .kind = kind};
    if (kind == SL_REQUEST_PAIR) {
        request.as.pair.timeout_ns = 0;
    } else if (kind == SL_REQUEST_LISTEN) {
        request.as.listen.address = address;
    } else {
        request.as.connect.address = address;
    }
    client_send(l->client, &request, NULL, 0);
    return request.id;
}

static void act(load *l, sl_random_seeded *random) {
    uint64_t handle = any_handle(l, random);
    uint64_t timeout_ns =
        sl_random_seeded_below(random, 3) == 0 ? 1 + sl_random_seeded_below(random, 30000000) : 0;
    uint32_t length = sl_random_seeded_below(
        random, sl_random_seeded_below(random, 8) == 0 ? (uint32_t)sizeof(bytes) : 700);
    uint64_t id = 0;
    switch (sl_random_seeded_below(random, 12)) {
    case 0: id = start_simple(l, SL_REQUEST_PAIR, NULL); break;
    case 1: id = start_simple(l, SL_REQUEST_LISTEN, "pipe:/some"); break;
    case 2: id = start_simple(l, SL_REQUEST_CONNECT, "pipe:/some"); break;
    case 3: id = start_simple(l, SL_REQUEST_CONNECT, "tcp:localhost:99"); break;
    case 4:
        id = start_close(l->client, handle);
        for (unsigned i = 0; i < l->handle_count; i++) {
            if (l->handles[i] == handle) {
                l->handles[i] = l->handles[--l->handle_count];
            }
        }
        break;
    case 5:
    case 6: id = start_write(l->client, handle, bytes, length, timeout_ns); break;
    case 7:
        if (l->pending_count > 0) {
            send_cancel(l->client, l->pending[sl_random_seeded_below(random, l->pending_count)]);
        }
        break;
    default:
        id = start_read(l->client, handle, length, sl_random_seeded_below(random, 2) == 0,
                        timeout_ns);
        break;
    }
    if (id != 0) {
        l->pending[l->pending_count++] = id;
    }
}

static void run(const sim_options *sim, uint64_t seed) {
    test_rig rig;
    load loads[CLIENTS_MAX];
    sl_random_seeded random;
    rig_options options = {.sim = sim, .worker_count = 1 + (uint32_t)(seed % 2)};
    memset(loads, 0, sizeof(loads));
    sl_random_seeded_init(&random, seed);
    rig_open(&rig, &options);
    for (unsigned i = 0; i < STEPS; i++) {
        load *l = &loads[sl_random_seeded_below(&random, CLIENTS_MAX)];
        if (l->client == NULL) {
            l->client = client_open(&rig);
        } else if (client_is_over(l->client) || sl_random_seeded_below(&random, 100) == 0) {
            client_close(l->client);
            memset(l, 0, sizeof(*l));
        } else if (l->pending_count < PENDING_MAX) {
            act(l, &random);
        }
        rig_step(&rig);
        if (l->client != NULL) {
            collect(l);
        }
    }
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        if (loads[i].client != NULL) {
            client_close(loads[i].client);
        }
    }
    sim_world_calm(rig.world);
    rig_await_empty(&rig);
    rig_close(&rig);
}

int main(int argc, char **argv) {
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 150;
    for (uint64_t seed = first; seed < first + count; seed++) {
        sim_options sim;
        if (seed % 2 == 0) {
            sim_options_hostile(&sim, seed);
        } else {
            sim_options_races(&sim, seed);
        }
        run(&sim, seed);
        if (argc > 1) {
            printf("seed %llu\n", (unsigned long long)seed);
        }
    }
    puts("ok");
    return 0;
}
