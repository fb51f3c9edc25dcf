/*
 * quiet.c - see chaos.h: the books at a quiet point.
 *
 * The survivors have closed all that they had, the other clients are dead. The broker knows the
 * sessions of the survivors and ours and nothing else; it has as many descriptors as it had before
 * any load; and its memory does not grow from one quiet point to the next.
 */
#include <inttypes.h>
#include <string.h>

#include "client/cli/out.h"
#include "tests/chaos/chaos.h"

#define LOOK_NS   (10 * SL_NS_PER_MS)
#define SETTLE_NS (10 * SL_NS_PER_S)
#define SLOPE_POINTS 8u

/* ---- memory ---- */

static void add_point(chaos_memory *memory, uint64_t bytes) {
    memory->at_ns[memory->points] = place_now_ns();
    memory->bytes[memory->points++] = bytes;
}

/* The mean of some points of a series. */
static double mean(const uint64_t *values, uint32_t from, uint32_t count) {
    double sum = 0;
    for (uint32_t i = from; i < from + count; i++) {
        sum += (double)values[i];
    }
    return sum / count;
}

/* The slope is that between the second and the last quarter: what a process fills at first, its
 * pools and its allocator's, is none. */
static void end_series(chaos_memory *m, chaos_growth *growth) {
    uint32_t quarter = m->points / 4;
    uint64_t last = m->points > 0 ? m->bytes[m->points - 1] : 0;
    if (last > m->bytes[0] && last - m->bytes[0] > growth->most_bytes) {
        growth->most_bytes = last - m->bytes[0];
    }
    if (m->points >= SLOPE_POINTS) {
        uint32_t end = m->points - quarter;
        double bytes = mean(m->bytes, end, quarter) - mean(m->bytes, quarter, quarter);
        double time_ns = mean(m->at_ns, end, quarter) - mean(m->at_ns, quarter, quarter);
        double per_minute = bytes * 60e9 / time_ns;
        growth->most_per_minute = growth->slopes == 0 || per_minute > growth->most_per_minute
                                      ? per_minute
                                      : growth->most_per_minute;
        growth->slopes++;
    }
    m->points = 0;
}

void chaos_life_end(chaos *c) {
    end_series(&c->broker_memory, &c->broker_growth);
}

void chaos_survivors_end(chaos *c) {
    for (uint32_t i = 0; i < CHAOS_SURVIVORS; i++) {
        end_series(&c->survivor_memory[i], &c->survivor_growth);
    }
}

/* ---- the books ---- */

static bool is_quiet(const chaos_client *client) {
    return client->is_quiet;
}

/* Asks until the broker holds nothing of the dead. */
static void settle(chaos *c) {
    uint64_t until_ns = place_now_ns() + SETTLE_NS;
    uint64_t open_count = 0;
    sluice_broker_info info = {0};
    bool is_clean = false;
    do {
        if (!chaos_broker_ask(c, &info)) {
            return;
        }
        open_count = process_open_count_of(c->at.broker.id);
        /* operations: the one that asks */
        is_clean = info.handles == 0 && info.operations <= 1 && info.zombies == 0 &&
                   info.sessions == CHAOS_SURVIVORS + 1 &&
                   (c->broker_open_first == 0 || open_count == c->broker_open_first);
        if (!is_clean) {
            place_let_pass(LOOK_NS);
        }
    } while (!is_clean && place_now_ns() < until_ns);
    if (!is_clean) {
        c->leaks++;
        out_complain("chaos: LEAK: the broker holds %" PRIu64 " handles, %" PRIu64 " operations, %"
                     PRIu64 " zombies, %" PRIu32 " sessions; %" PRIu64 " descriptors, at first %"
                     PRIu64 "\n", info.handles, info.operations, info.zombies, info.sessions,
                     open_count, c->broker_open_first);
    }
    if (c->broker_open_first == 0) {
        c->broker_open_first = open_count;
    }
    if (info.protocol_violations != 0) {
        c->wrong++;
        out_complain("chaos: WRONG: %" PRIu64 " violations of the protocol\n",
                     info.protocol_violations);
    }
    add_point(&c->broker_memory, process_memory_bytes(c->at.broker.id));
}

static void look_at_survivor(chaos *c, chaos_client *client) {
    add_point(&c->survivor_memory[client->number], client->memory_bytes);
    if (client->open_first == 0) {
        client->open_first = client->open_count;
    }
    if (client->open_count != client->open_first) {
        c->leaks++;
        out_complain("chaos: LEAK: client %u has %" PRIu64 " descriptors, at first %" PRIu64 "\n",
                     client->number, client->open_count, client->open_first);
    }
}

void chaos_quiet(chaos *c) {
    for (uint32_t i = 0; i < 2; i++) {
        proxy_set_faulty(&c->proxies[i], false);
    }
    chaos_broker_tend(c, true);
    chaos_clients_resume(c);
    for (uint32_t i = 0; i < c->options.clients; i++) {
        chaos_client *client = &c->clients[i];
        if (!client->is_started) {
            client->start_ns = SL_CLOCK_NEVER; /* until the next cycle */
        } else if (i < CHAOS_SURVIVORS) {
            process_tell(&client->process, "quiet\n");
        } else {
            chaos_client_kill(c, client, SL_NS_PER_S * 3600);
        }
    }
    chaos_clients_await(c, is_quiet, "quiet");
    settle(c);
    for (uint32_t i = 0; i < CHAOS_SURVIVORS; i++) {
        if (c->clients[i].is_quiet) {
            look_at_survivor(c, &c->clients[i]);
        }
    }
}
