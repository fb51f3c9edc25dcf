/*
 * schedule.c - see chaos.h: what is done when, and the cycles.
 *
 * Each deed has a mean distance in chaos time, and comes after half to one and a half of it, at
 * random. Who is struck, and for how long, is random, too; all from one seed. (What the processes
 * make of it is not the seed's: they run on a real system.)
 */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli/out.h"
#include "tests/chaos/chaos.h"

#define LOOK_NS        (20 * SL_NS_PER_MS)
#define SAY_EVERY_NS   (5 * SL_NS_PER_S)
#define CLEAN_SHARE    20u /* percent of a cycle */
#define CLIENT_BACK_MS 200u
#define CLIENT_HALT_MS 1500u
#define BROKER_BACK_MS 500u
#define BROKER_HALT_MS 400u
#define BROKER_LONG_MS 4000u /* more than `unresponsive`, sometimes: broker.c */
#define BROKER_LONG_IN 6u    /* the first one, and one in so many behind it */

static uint64_t some_ms(chaos *c, uint32_t max_ms) {
    return (1 + sl_random_seeded_below(&c->random, max_ms)) * SL_NS_PER_MS;
}

/* One that is running; NULL: none is. */
static chaos_client *pick_client(chaos *c, uint32_t from) {
    uint32_t count = (uint32_t)c->options.clients - from;
    uint32_t first = sl_random_seeded_below(&c->random, count);
    for (uint32_t i = 0; i < count; i++) {
        chaos_client *client = &c->clients[from + (first + i) % count];
        if (client->is_started && client->is_running && !client->is_halted) {
            return client;
        }
    }
    return NULL;
}

/* false: there is nothing that it could strike now. */
static bool do_deed(chaos *c, chaos_deed deed) {
    chaos_client *client;
    switch (deed) {
    case CHAOS_KILL_CLIENT:
        client = pick_client(c, CHAOS_SURVIVORS);
        if (client != NULL) {
            chaos_client_kill(c, client, some_ms(c, CLIENT_BACK_MS));
        }
        return client != NULL;
    case CHAOS_HALT_CLIENT:
        client = pick_client(c, 0);
        if (client != NULL) {
            chaos_client_halt(client, some_ms(c, CLIENT_HALT_MS));
        }
        return client != NULL;
    default:
        break;
    }
    if (!c->is_broker_up || c->is_broker_halted) {
        return false;
    }
    if (deed == CHAOS_KILL_BROKER) {
        chaos_broker_kill(c, some_ms(c, BROKER_BACK_MS));
    } else if (deed == CHAOS_HALT_BROKER) {
        bool is_long = c->deeds[deed] % BROKER_LONG_IN == 0;
        chaos_broker_halt(c, is_long ? BROKER_LONG_MS / 4 * SL_NS_PER_MS +
                                           some_ms(c, BROKER_LONG_MS / 4 * 3)
                                     : some_ms(c, BROKER_HALT_MS));
    } else {
        chaos_broker_stop(c);
    }
    return true;
}

static void draw_next(chaos *c, chaos_deed deed) {
    uint32_t mean_ms = (uint32_t)(c->options.every_ns[deed] / SL_NS_PER_MS);
    c->next_ns[deed] = c->chaos_ns + (mean_ms / 2) * SL_NS_PER_MS + some_ms(c, mean_ms);
}

static void do_what_is_due(chaos *c) {
    for (uint32_t i = 0; i < CHAOS_DEEDS; i++) {
        if (c->chaos_ns >= c->next_ns[i] && do_deed(c, (chaos_deed)i)) {
            c->deeds[i]++;
            draw_next(c, (chaos_deed)i);
        }
    }
}

void chaos_step(chaos *c, const char *part) {
    place_let_pass(LOOK_NS);
    chaos_broker_tend(c, false);
    chaos_clients_tend(c);
    uint64_t now_ns = place_now_ns();
    if (now_ns >= c->said_ns + SAY_EVERY_NS) {
        chaos_counts total = chaos_total(c);
        char calls[OUT_NUMBER_BYTES], bytes[OUT_NUMBER_BYTES];
        c->said_ns = now_ns;
        out_complain("chaos: %4" PRIu64 " s, %s: %s calls, %s checked; killed %" PRIu64
                     " clients, %" PRIu64 " brokers; hangs %" PRIu64 ", wrong %" PRIu64
                     ", leaks %" PRIu64 "\n", (now_ns - c->begin_ns) / SL_NS_PER_S, part,
                     out_number(total.ended, calls), out_bytes(total.bytes, bytes),
                     c->deeds[CHAOS_KILL_CLIENT], c->deeds[CHAOS_KILL_BROKER], c->hangs, c->wrong,
                     c->leaks);
    }
}

static bool is_running(const chaos_client *client) {
    return client->is_running;
}

/* Runs a part of a cycle and says how much was done each second. */
static void run_part(chaos *c, uint64_t time_ns, bool is_chaos, double *ret_rate,
                     double *ret_bytes) {
    chaos_counts before = chaos_total(c);
    uint64_t start_ns = place_now_ns();
    uint64_t last_ns = start_ns;
    for (uint32_t i = 0; i < 2; i++) {
        proxy_set_faulty(&c->proxies[i], is_chaos);
    }
    while (last_ns < start_ns + time_ns) {
        chaos_step(c, is_chaos ? "chaos" : "clean");
        uint64_t now_ns = place_now_ns();
        if (is_chaos) {
            c->chaos_ns += now_ns - last_ns;
            do_what_is_due(c);
        }
        last_ns = now_ns;
    }
    chaos_counts after = chaos_total(c);
    double seconds = (double)(last_ns - start_ns) / 1e9;
    *ret_rate = (double)(after.ok - before.ok) / seconds;
    *ret_bytes = (double)(after.bytes - before.bytes) / seconds;
}

/* At least two, so that clean and chaos take turns. */
static uint32_t count_cycles(const chaos *c) {
    uint64_t count = c->options.seconds / CHAOS_CYCLE_S;
    return count < 2 ? 2 : count > CHAOS_CYCLES_MAX ? CHAOS_CYCLES_MAX : (uint32_t)count;
}

void chaos_run(chaos *c) {
    uint32_t cycles = count_cycles(c);
    uint64_t cycle_ns = c->options.seconds * SL_NS_PER_S / cycles;
    c->begin_ns = place_now_ns();
    c->said_ns = c->begin_ns;
    for (uint32_t i = 0; i < CHAOS_DEEDS; i++) {
        c->next_ns[i] = some_ms(c, (uint32_t)(c->options.every_ns[i] / SL_NS_PER_MS));
    }
    chaos_clients_start_all(c);
    chaos_clients_await(c, is_running, "running");
    chaos_quiet(c); /* as it is before there was any chaos */
    while (c->cycles < cycles) {
        uint32_t i = c->cycles;
        chaos_clients_start_all(c);
        chaos_clients_await(c, is_running, "running");
        run_part(c, cycle_ns * CLEAN_SHARE / 100, false, &c->clean_rate[i], &c->clean_bytes[i]);
        run_part(c, cycle_ns * (100 - CLEAN_SHARE) / 100, true, &c->chaos_rate[i],
                 &c->chaos_bytes[i]);
        c->cycles++;
        chaos_quiet(c);
    }
    chaos_life_end(c);
    chaos_survivors_end(c);
}
