/*
 * sim_test.c - does the simulator itself do what it says? (The engine's rules are tested by
 * tests/engine on this backend as on the others.)
 *
 * Replay: the same seed gives the same hash, different seeds differ. Coverage: every kind of fault
 * strikes, and in at least 1 % of the places where it could; the counts are printed. Then what only
 * a simulator has: several workers and engines in one world, deadlocks, cancels without effect,
 * descriptors that run out. `sim_test --bench` measures; `sim_test --seeds N` runs N hostile seeds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/engine/listen_now.h"
#include "tests/sim/sim_load.h"
#include "tests/sim/sim_world.h"

#define EXPECT(condition) SL_CHECK(condition, "a test of the simulator")

typedef struct fixture {
    sl_clock_manual clock;
    engine *engine;
    engine_worker *worker;
} fixture;

static void fixture_open(fixture *f, const sim_options *options) {
    sl_clock_manual_init(&f->clock, SL_NS_PER_S);
    engine_options settings = {.clock = &f->clock.clock, .backend_options = options};
    EXPECT(engine_create(&engine_backend_sim, &settings, &f->engine) == SLUICE_OK);
    EXPECT(engine_worker_create(f->engine, &f->worker) == SLUICE_OK);
}

static void fixture_close(fixture *f) {
    EXPECT(engine_worker_destroy(f->worker) == SLUICE_OK);
    EXPECT(engine_destroy(f->engine, 0) == SLUICE_OK);
}

/* The next completion of a worker, which must come. */
static engine_completion next(engine_worker *worker) {
    engine_completion completion;
    EXPECT(engine_poll(worker, &completion, 1, SL_CLOCK_NEVER) == 1);
    return completion;
}

static void open_pair(engine_worker *worker, engine_handle *ret_ends[2]) {
    EXPECT(engine_pair(worker, NULL, NULL, NULL) == SLUICE_OK);
    engine_completion completion = next(worker);
    EXPECT(completion.kind == ENGINE_PAIR && completion.status == SLUICE_OK);
    ret_ends[0] = completion.opened[0];
    ret_ends[1] = completion.opened[1];
}

static void close_and_wait(engine_worker *worker, engine_handle *handle) {
    EXPECT(engine_close(handle, NULL) == SLUICE_OK);
    while (next(worker).kind != ENGINE_CLOSE) {
    }
}

/* ---- replay and coverage --------------------------------------------------------------------- */

static void test_replay(void) {
    uint64_t hashes[6];
    for (uint64_t seed = 0; seed < 6; seed++) {
        sim_load_result results[2];
        sim_options options;
        if (seed % 2 == 0) {
            sim_options_hostile(&options, seed + 1);
        } else {
            sim_options_gentle(&options, seed + 1);
        }
        for (unsigned i = 0; i < 2; i++) {
            sim_load_run(&options, 20000, &results[i]);
        }
        EXPECT(results[0].hash == results[1].hash && results[0].end_ns == results[1].end_ns);
        hashes[seed] = results[0].hash;
        for (uint64_t other = 0; other < seed; other++) {
            EXPECT(hashes[seed] != hashes[other]);
        }
        printf("  seed %u: hash %016llx, twice the same; %llu operations, %llu bytes\n",
               (unsigned)seed + 1, (unsigned long long)hashes[seed],
               (unsigned long long)results[0].operations, (unsigned long long)results[0].bytes);
    }
}

static void add_counters(sim_counters *sum, const sim_counters *more) {
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        sum->eligible_count[i] += more->eligible_count[i];
        sum->struck_count[i] += more->struck_count[i];
    }
    for (unsigned i = 0; i < ENGINE_KIND_COUNT; i++) {
        sum->finish_count[i] += more->finish_count[i];
    }
    sum->cancel_count += more->cancel_count;
    sum->cancel_completed_count += more->cancel_completed_count;
    sum->cancel_aborted_count += more->cancel_aborted_count;
    sum->cancel_error_count += more->cancel_error_count;
    sum->doubt_count += more->doubt_count;
    sum->doubt_bytes += more->doubt_bytes;
    sum->doubt_out_bytes += more->doubt_out_bytes;
    sum->datagram_lost_count += more->datagram_lost_count;
    sum->retry_count += more->retry_count;
}

static void print_counters(const sim_counters *sum) {
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        double share = sum->eligible_count[i] == 0
                           ? 0.0
                           : 100.0 * (double)sum->struck_count[i] / (double)sum->eligible_count[i];
        printf("  %-18s %9llu of %9llu  %5.1f %%\n", sim_fault_name((sim_fault)i),
               (unsigned long long)sum->struck_count[i], (unsigned long long)sum->eligible_count[i],
               share);
    }
    for (unsigned i = 0; i < ENGINE_CLOSE; i++) {
        printf("  ended: %-14s %9llu\n", engine_kind_name((engine_kind)i),
               (unsigned long long)sum->finish_count[i]);
    }
    printf("  cancelled: %llu = %llu completed, %llu aborted, %llu another error\n",
           (unsigned long long)sum->cancel_count, (unsigned long long)sum->cancel_completed_count,
           (unsigned long long)sum->cancel_aborted_count,
           (unsigned long long)sum->cancel_error_count);
    printf("  in doubt: %llu requests, %llu bytes, of which %llu were out\n",
           (unsigned long long)sum->doubt_count, (unsigned long long)sum->doubt_bytes,
           (unsigned long long)sum->doubt_out_bytes);
}

/* STUCK cannot strike here; the endpoint calls and the local address are tried by test_calls. */
static bool strikes_under_load(unsigned fault) {
    return fault != SIM_CANCEL_STUCK && fault != SIM_OS_ENDPOINT && fault != SIM_OS_JOIN;
}

static void test_coverage(uint64_t seeds) {
    sim_counters sum;
    memset(&sum, 0, sizeof(sum));
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        sim_options options;
        sim_load_result result;
        sim_options_hostile(&options, seed);
        options.handles_max = 90 - (uint32_t)(seed % 4) * 10;
        options.pipe_capacity = seed % 3 == 0 ? 700 : options.pipe_capacity;
        sim_load_run(&options, 40000, &result);
        add_counters(&sum, &result.counters);
    }
    print_counters(&sum);
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        if (strikes_under_load(i)) {
            EXPECT(sum.struck_count[i] > 0);
            EXPECT(sum.struck_count[i] * 110 >= sum.eligible_count[i]);
        }
    }
    EXPECT(sum.cancel_count ==
           sum.cancel_completed_count + sum.cancel_aborted_count + sum.cancel_error_count);
    EXPECT(sum.cancel_completed_count > 0 && sum.cancel_aborted_count > 0 &&
           sum.cancel_error_count > 0);
    EXPECT(sum.doubt_count > 0 && sum.doubt_out_bytes > 0 && sum.doubt_out_bytes < sum.doubt_bytes);
    EXPECT(sum.retry_count > 0);
}

/* The presets promise: gentle and races have no error without a cause. */
static void test_presets(void) {
    sim_options options;
    sim_load_result result;
    sim_options_gentle(&options, 7);
    sim_load_run(&options, 60000, &result);
    EXPECT(result.counters.struck_count[SIM_CANCEL_ERROR] == 0);
    EXPECT(result.counters.doubt_count == 0);
    for (unsigned i = SIM_OS_LISTEN; i < SIM_FAULT_COUNT; i++) {
        EXPECT(result.counters.struck_count[i] == 0);
    }
    sim_options_races(&options, 7);
    sim_load_run(&options, 60000, &result);
    EXPECT(result.counters.cancel_error_count > 0 && result.counters.doubt_count > 0);
    EXPECT(result.counters.struck_count[SIM_RESET] == 0);
    memset(options.per_mille, 0, sizeof(options.per_mille));
    sim_load_run(&options, 60000, &result);
    EXPECT(result.counters.cancel_completed_count > 0); /* there is still a race */
}

/* ---- calls that fail ------------------------------------------------------------------------- */

static void test_calls(void) {
    fixture f;
    sim_options options;
    sim_options_gentle(&options, 3);
    fixture_open(&f, &options);
    uint16_t *rates = sim_world_options(sim_world_of(f.engine))->per_mille;
    engine_address name;
    engine_endpoint *endpoint;
    engine_handle *handle;
    EXPECT(engine_address_endpoint(&name, "calls") == SLUICE_OK);
    rates[SIM_OS_ENDPOINT] = 1000;
    EXPECT(engine_endpoint_create(f.engine, &name, NULL, &endpoint, NULL) < 0);
    rates[SIM_OS_ENDPOINT] = 0;
    EXPECT(engine_endpoint_create(f.engine, &name, NULL, &endpoint, NULL) == SLUICE_OK);
    EXPECT(listen_now(f.worker, &name, 1, NULL, &handle) == SLUICE_EINVAL);
    name.is_endpoint = false;
    EXPECT(listen_now(f.worker, &name, 1, NULL, &handle) == SLUICE_ENAMETAKEN);
    rates[SIM_OS_JOIN] = 1000;
    EXPECT(engine_endpoint_join(endpoint, f.worker, &handle) < 0);
    EXPECT(engine_worker_os_error(f.worker) != 0);
    rates[SIM_OS_JOIN] = 0;
    EXPECT(engine_endpoint_destroy(endpoint) == SLUICE_OK);
    engine_address elsewhere;
    uint8_t ip[4] = {192, 0, 2, 1};
    engine_address_ipv4(&elsewhere, ip, 80);
    EXPECT(listen_now(f.worker, &elsewhere, 1, NULL, &handle) == SLUICE_EADDRNOTAVAIL);
    EXPECT(engine_connect(f.worker, &elsewhere, SL_CLOCK_NEVER, NULL, NULL, NULL) == SLUICE_OK);
    EXPECT(next(f.worker).status == SLUICE_EUNREACHABLE);
    elsewhere.ip[0] = 203;
    elsewhere.ip[2] = 113; /* silence: only the deadline ends it */
    uint64_t deadline_ns = f.clock.now_ns + 5 * SL_NS_PER_S;
    EXPECT(engine_connect(f.worker, &elsewhere, deadline_ns, NULL, NULL, NULL) == SLUICE_OK);
    EXPECT(next(f.worker).status == SLUICE_ETIMEDOUT && f.clock.now_ns >= deadline_ns);
    fixture_close(&f);
}

static void test_descriptors(void) {
    fixture f;
    sim_options options;
    engine_handle *ends[3][2];
    sim_options_gentle(&options, 4);
    options.handles_max = 5;
    fixture_open(&f, &options);
    open_pair(f.worker, ends[0]);
    open_pair(f.worker, ends[1]);
    EXPECT(engine_pair(f.worker, NULL, NULL, NULL) == SLUICE_OK);
    EXPECT(next(f.worker).status == SLUICE_EOSLIMIT);
    close_and_wait(f.worker, ends[1][0]);
    open_pair(f.worker, ends[2]);
    close_and_wait(f.worker, ends[1][1]);
    for (unsigned i = 0; i < 3; i += 2) {
        close_and_wait(f.worker, ends[i][0]);
        close_and_wait(f.worker, ends[i][1]);
    }
    fixture_close(&f);
}

/* ---- what only a simulator has --------------------------------------------------------------- */

static void test_stuck_cancel(void) {
    fixture f;
    sim_options options;
    engine_handle *ends[2];
    engine_request_id id;
    char byte;
    sim_options_gentle(&options, 5);
    options.per_mille[SIM_CANCEL_STUCK] = 1000;
    fixture_open(&f, &options);
    open_pair(f.worker, ends);
    EXPECT(engine_read(ends[0], &byte, 1, NULL, &id) == SLUICE_OK);
    engine_cancel(f.worker, id);
    EXPECT(engine_close(ends[0], NULL) == SLUICE_OK);
    engine_completion completion;
    uint64_t day_ns = 86400 * SL_NS_PER_S;
    EXPECT(engine_poll(f.worker, &completion, 1, f.clock.now_ns + day_ns) == 0);
    engine_counters counters;
    engine_worker_counters(f.worker, &counters);
    EXPECT(counters.closing == 1); /* a zombie */
    sim_world_calm(sim_world_of(f.engine));
    EXPECT(next(f.worker).status == SLUICE_ECANCELED);
    EXPECT(next(f.worker).kind == ENGINE_CLOSE);
    close_and_wait(f.worker, ends[1]);
    fixture_close(&f);
}

typedef struct deadlock {
    engine_message message;
    unsigned count;
} deadlock;

static void on_deadlock(void *user, engine_worker *worker) {
    deadlock *d = user;
    d->count++;
    engine_post(worker, &d->message);
}

static void test_deadlock(void) {
    fixture f;
    deadlock d;
    sim_options options;
    engine_handle *ends[2];
    char byte;
    memset(&d, 0, sizeof(d));
    sim_options_gentle(&options, 6);
    options.on_deadlock = on_deadlock;
    options.user = &d;
    fixture_open(&f, &options);
    open_pair(f.worker, ends);
    EXPECT(engine_read(ends[0], &byte, 1, NULL, NULL) == SLUICE_OK);
    EXPECT(next(f.worker).kind == ENGINE_MESSAGE && d.count == 1); /* nobody will ever write */
    close_and_wait(f.worker, ends[1]);
    close_and_wait(f.worker, ends[0]);
    fixture_close(&f);
}

/* A server and a client of different engines, in one world: each polls without waiting, the world
 * moves. */
static void test_two_engines(void) {
    fixture server, client;
    sim_options options;
    sim_options_gentle(&options, 8);
    sl_clock_manual clock;
    sl_clock_manual_init(&clock, SL_NS_PER_S);
    sim_world *world = sim_world_create(&options, &clock);
    options.world = world;
    engine_options settings = {.clock = &clock.clock, .backend_options = &options};
    EXPECT(engine_create(&engine_backend_sim, &settings, &server.engine) == SLUICE_OK);
    EXPECT(engine_create(&engine_backend_sim, &settings, &client.engine) == SLUICE_OK);
    EXPECT(engine_worker_create(server.engine, &server.worker) == SLUICE_OK);
    EXPECT(engine_worker_create(client.engine, &client.worker) == SLUICE_OK);
    engine_address name;
    engine_handle *listener;
    EXPECT(engine_address_pipe(&name, "broker") == SLUICE_OK);
    EXPECT(listen_now(server.worker, &name, 1, NULL, &listener) == SLUICE_OK);
    EXPECT(engine_accept(listener, NULL, NULL) == SLUICE_OK);
    EXPECT(engine_connect(client.worker, &name, SL_CLOCK_NEVER, NULL, NULL, NULL) == SLUICE_OK);
    engine_handle *ends[2] = {NULL, NULL};
    while (ends[0] == NULL || ends[1] == NULL) {
        EXPECT(sim_world_step(world, SL_CLOCK_NEVER));
        engine_completion completion;
        if (engine_poll(server.worker, &completion, 1, 0) == 1) {
            ends[0] = completion.opened[0];
        }
        if (engine_poll(client.worker, &completion, 1, 0) == 1) {
            ends[1] = completion.opened[0];
        }
    }
    EXPECT(sim_handle_of(ends[0])->connection == sim_handle_of(ends[1])->connection);
    EXPECT(!sim_world_step(world, SL_CLOCK_NEVER));
    close_and_wait(server.worker, ends[0]);
    close_and_wait(client.worker, ends[1]);
    close_and_wait(server.worker, listener);
    fixture_close(&server);
    fixture_close(&client);
    sim_world_destroy(world);
}

/* An endpoint of four workers: forty connections, ten each. */
static void test_endpoint(void) {
    fixture f;
    sim_options options;
    engine_worker *workers[4];
    engine_handle *listeners[4];
    unsigned counts[4] = {0, 0, 0, 0};
    engine_address name;
    engine_endpoint *endpoint;
    sim_options_gentle(&options, 9);
    fixture_open(&f, &options);
    EXPECT(engine_address_endpoint(&name, "spread") == SLUICE_OK);
    EXPECT(engine_endpoint_create(f.engine, &name, NULL, &endpoint, NULL) == SLUICE_OK);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT(engine_worker_create(f.engine, &workers[i]) == SLUICE_OK);
        EXPECT(engine_endpoint_join(endpoint, workers[i], &listeners[i]) == SLUICE_OK);
        for (unsigned k = 0; k < 40; k++) {
            EXPECT(engine_accept(listeners[i], NULL, NULL) == SLUICE_OK);
        }
    }
    for (unsigned i = 0; i < 40; i++) {
        EXPECT(engine_connect(f.worker, &name, SL_CLOCK_NEVER, NULL, NULL, NULL) == SLUICE_OK);
    }
    engine_handle *connected[40];
    for (unsigned i = 0; i < 40; i++) {
        connected[i] = next(f.worker).opened[0];
        EXPECT(connected[i] != NULL);
    }
    for (unsigned i = 0; i < 40; i++) {
        close_and_wait(f.worker, connected[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        engine_completion completion;
        EXPECT(engine_close(listeners[i], NULL) == SLUICE_OK);
        for (unsigned ended = 0; ended < 41; ended++) {
            completion = next(workers[i]);
            if (completion.kind == ENGINE_ACCEPT && completion.status == SLUICE_OK) {
                counts[i]++;
                EXPECT(engine_close(completion.opened[0], NULL) == SLUICE_OK);
            }
        }
        while (engine_poll(workers[i], &completion, 1, f.clock.now_ns + SL_NS_PER_S) == 1) {
        }
        EXPECT(engine_worker_destroy(workers[i]) == SLUICE_OK);
    }
    EXPECT(engine_endpoint_destroy(endpoint) == SLUICE_OK);
    printf("  spread over 4 workers: %u %u %u %u\n", counts[0], counts[1], counts[2], counts[3]);
    fixture_close(&f);
}

/* Once warm, neither the engine nor the world allocates (R10). */
static void test_steady(void) {
    fixture f;
    engine_handle *ends[2];
    sim_counters world[2];
    engine_counters worker[2];
    unsigned char bytes[3000] = {0}, room[4000];
    sim_options options;
    sim_options_gentle(&options, 10);
    fixture_open(&f, &options);
    open_pair(f.worker, ends);
    engine_buffer buffer = {bytes, sizeof(bytes)};
    for (unsigned i = 0; i < 20000; i++) {
        if (i == 1000) {
            sim_world_counters(sim_world_of(f.engine), &world[0]);
            engine_worker_counters(f.worker, &worker[0]);
        }
        EXPECT(engine_write(ends[1], &buffer, 1, NULL, NULL) == SLUICE_OK);
        EXPECT(engine_read(ends[0], room, sizeof(room), NULL, NULL) == SLUICE_OK);
        next(f.worker);
        next(f.worker);
    }
    sim_world_counters(sim_world_of(f.engine), &world[1]);
    engine_worker_counters(f.worker, &worker[1]);
    EXPECT(world[0].allocated_count == world[1].allocated_count);
    EXPECT(worker[0].allocated_count == worker[1].allocated_count);
    close_and_wait(f.worker, ends[0]);
    close_and_wait(f.worker, ends[1]);
    fixture_close(&f);
}

/* ---- measurements ---------------------------------------------------------------------------- */

static double cpu_seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

/* 64 bytes through a pair and back through another, `rounds` times: 4 operations each. */
static void bench_ping_pong(const char *what, const sim_options *options, unsigned rounds) {
    fixture f;
    engine_handle *there[2], *back[2];
    unsigned char out[64] = {0}, in[64];
    fixture_open(&f, options);
    open_pair(f.worker, there);
    open_pair(f.worker, back);
    double started = cpu_seconds();
    engine_buffer buffer = {out, sizeof(out)};
    for (unsigned i = 0; i < rounds; i++) {
        engine_handle **ends = i % 2 == 0 ? there : back;
        EXPECT(engine_read(ends[0], in, sizeof(in), NULL, NULL) == SLUICE_OK);
        EXPECT(engine_write(ends[1], &buffer, 1, NULL, NULL) == SLUICE_OK);
        next(f.worker);
        next(f.worker);
    }
    double seconds = cpu_seconds() - started;
    printf("  %-28s %8.2f million operations per CPU-second\n", what, 2.0 * rounds / seconds / 1e6);
    close_and_wait(f.worker, there[0]);
    close_and_wait(f.worker, there[1]);
    close_and_wait(f.worker, back[0]);
    close_and_wait(f.worker, back[1]);
    fixture_close(&f);
}

static void bench_load(const char *what, const sim_options *options) {
    sim_load_result result;
    double started = cpu_seconds();
    sim_load_run(options, 6000000, &result);
    double seconds = cpu_seconds() - started;
    printf("  %-28s %8.2f million operations per CPU-second (every byte checked), %.1f s\n", what,
           (double)result.operations / seconds / 1e6, seconds);
}

static void bench(void) {
    sim_options options;
    sim_options_gentle(&options, 1);
    bench_ping_pong("64-byte ping-pong, gentle", &options, 2000000);
    bench_load("random load, gentle", &options);
    sim_options_races(&options, 1);
    bench_load("random load, races", &options);
    sim_options_hostile(&options, 1);
    bench_load("random load, hostile", &options);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "--seeds") == 0) {
        test_coverage(strtoull(argv[2], NULL, 10));
        return 0;
    }
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"replay", test_replay},
        {"presets", test_presets},
        {"calls", test_calls},
        {"descriptors", test_descriptors},
        {"stuck cancel", test_stuck_cancel},
        {"deadlock", test_deadlock},
        {"two engines", test_two_engines},
        {"endpoint", test_endpoint},
        {"steady", test_steady},
    };
    for (unsigned i = 0; i < SL_ARRAY_COUNT(tests); i++) {
        printf("%s\n", tests[i].name);
        tests[i].run();
    }
    printf("coverage (20 hostile seeds)\n");
    test_coverage(20);
    printf("all passed\n");
    return 0;
}
