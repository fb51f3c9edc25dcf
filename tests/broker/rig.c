/*
 * rig.c - the broker under test and the clients' engine. See rig.h.
 */
#include "tests/broker/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/broker/client.h"
#include "tests/broker/rig_name.h"

#define STEP_NS        (2 * SL_NS_PER_MS)
#define OPEN_TRIES_MAX 1000u

static void open_broker(test_rig *rig, const rig_options *options, const sim_options *shared) {
    char name[ENGINE_PIPE_NAME_BYTES] = "/broker";
    broker_options settings;
    broker_options_init(&settings);
    if (!rig->is_simulated) {
        rig_name(name, sizeof(name));
    }
    settings.backend = rig->is_simulated ? &engine_backend_sim : NULL;
    settings.backend_options = shared;
    settings.endpoint = name;
    settings.worker_count = rig->worker_count;
    settings.clock = rig->clock;
    settings.random = rig->is_simulated ? &rig->random.random : NULL;
    settings.version = "test";
    settings.allocator = options->allocator;
    settings.log = options->log;
    settings.access = options->access;
    settings.serves_itself = !options->refuses_itself;
    settings.allow = options->allow;
    settings.allow_count = options->allow_count;
    settings.descriptors = options->descriptors;
    settings.pipe_pages = options->pipe_pages;
    if (options->limits != NULL) {
        settings.limits = *options->limits;
    }
    int status;
    unsigned tries = 0;
    do { /* a simulated system may refuse */
        status = broker_create(&settings, &rig->broker);
    } while (rig->is_simulated && status != SLUICE_OK && ++tries < OPEN_TRIES_MAX);
    EXPECT(status == SLUICE_OK);
    EXPECT(engine_address_endpoint(&rig->endpoint, name) == SLUICE_OK);
    if (!rig->is_simulated) {
        EXPECT(broker_start(rig->broker) == SLUICE_OK);
        return;
    }
    for (uint32_t i = 0; i < rig->worker_count; i++) {
        tries = 0;
        uint32_t thread = sim_thread_create(rig->world, "a broker's worker");
        rig->first_thread = thread - i;
        (void)sim_thread_enter(rig->world, thread);
        do {
            status = broker_worker_open(rig->broker, i);
        } while (status != SLUICE_OK && ++tries < OPEN_TRIES_MAX);
        EXPECT(status == SLUICE_OK);
        (void)sim_thread_enter(rig->world, 0);
    }
}

void rig_open(test_rig *rig, const rig_options *options) {
    memset(rig, 0, sizeof(*rig));
    rig->is_simulated = options->sim != NULL;
    rig->worker_count = options->worker_count != 0 ? options->worker_count : 1;
    sl_clock_manual_init(&rig->manual, SL_NS_PER_S);
    rig->clock = rig->is_simulated ? &rig->manual.clock : sl_clock_system();
    sim_options shared;
    sim_options_gentle(&shared, 1);
    if (rig->is_simulated) {
        sl_random_seeded_init(&rig->random, options->sim->seed);
        rig->world = sim_world_create(options->sim, &rig->manual);
        shared.world = rig->world;
    }
    open_broker(rig, options, &shared);
    engine_options settings = {.clock = rig->clock, .backend_options = &shared};
    const engine_backend *backend = rig->is_simulated ? &engine_backend_sim : NULL;
    EXPECT(engine_create(backend != NULL ? backend : engine_backend_find(NULL), &settings,
                         &rig->engine) == SLUICE_OK);
    EXPECT(engine_worker_create(rig->engine, &rig->worker) == SLUICE_OK);
    sl_account_init(&rig->account, sl_allocator_system(), "rig", SIZE_MAX);
    EXPECT(sl_message_arena_init(&rig->arena, &rig->account) == SLUICE_OK);
    rig->memory_bytes = rig_counters(rig).memory_bytes;
}

static void poll_clients(test_rig *rig, uint64_t deadline_ns) {
    engine_completion batch[64];
    unsigned count = engine_poll(rig->worker, batch, 64, deadline_ns);
    for (unsigned i = 0; i < count; i++) {
        client_on_completion(&batch[i]);
    }
}

void rig_poll_clients(test_rig *rig) {
    poll_clients(rig, 0);
}

uint32_t rig_worker_thread(const test_rig *rig, uint32_t index) {
    return rig->first_thread + index;
}

bool rig_worker_step(test_rig *rig, uint32_t index) {
    uint32_t before = sim_thread_enter(rig->world, rig_worker_thread(rig, index));
    bool goes_on = broker_worker_step(rig->broker, index, 0);
    (void)sim_thread_enter(rig->world, before);
    return goes_on;
}

void rig_step(test_rig *rig) {
    if (!rig->is_simulated) {
        poll_clients(rig, sl_clock_after_ns(sl_clock_now_ns(rig->clock), STEP_NS));
        return;
    }
    uint64_t until_ns = rig->manual.now_ns + STEP_NS;
    bool is_busy = false;
    for (uint32_t i = 0; i < rig->worker_count; i++) {
        if (!rig->has_ended[i]) {
            uint64_t timer_ns = broker_worker_deadline_ns(rig->broker, i);
            until_ns = timer_ns < until_ns ? timer_ns : until_ns;
            is_busy = is_busy || broker_worker_is_busy(rig->broker, i);
        }
    }
    if (!is_busy && until_ns > rig->manual.now_ns) {
        (void)sim_world_step(rig->world, until_ns);
    }
    for (uint32_t i = 0; i < rig->worker_count; i++) {
        if (!rig->has_ended[i] && !rig_worker_step(rig, i)) {
            rig->has_ended[i] = true;
        }
    }
    poll_clients(rig, 0);
}

void rig_pipe_address(const test_rig *rig, char *address, size_t size) {
    char name[64] = "/some";
    if (!rig->is_simulated) {
        rig_pipe_name(name, sizeof(name));
    }
    (void)snprintf(address, size, "pipe:%s", name);
}

void rig_wait(test_rig *rig, uint64_t *since_ns) {
    uint64_t now_ns = sl_clock_now_ns(rig->clock);
    *since_ns = *since_ns != 0 ? *since_ns : now_ns;
    EXPECT(now_ns - *since_ns <= RIG_WAIT_NS);
    rig_step(rig);
}

void rig_run_for(test_rig *rig, uint64_t time_ns) {
    uint64_t end_ns = sl_clock_now_ns(rig->clock) + time_ns;
    while (sl_clock_now_ns(rig->clock) < end_ns) {
        rig_step(rig);
    }
}

broker_counters rig_counters(const test_rig *rig) {
    broker_counters counters;
    broker_counters_get(rig->broker, &counters);
    return counters;
}

void rig_await_sessions(test_rig *rig, uint64_t count) {
    uint64_t since_ns = 0;
    while (rig_counters(rig).sessions != count) {
        rig_wait(rig, &since_ns);
    }
}

void rig_await_empty(test_rig *rig) {
    rig_await_sessions(rig, 0);
    broker_counters counters = rig_counters(rig);
    EXPECT(counters.handles == 0 && counters.operations == 0 && counters.zombies == 0);
    EXPECT(counters.operations_started == counters.operations_finished);
    /* Workers of a broker that stops give back their own tables as well, one by one. */
    EXPECT(counters.memory_bytes == rig->memory_bytes || counters.is_draining);
}

void rig_close(test_rig *rig) {
    rig_close_stuck(rig, 0);
}

void rig_close_stuck(test_rig *rig, uint64_t stuck_count) {
    broker_end end;
    uint64_t since_ns = 0;
    broker_drain(rig->broker, 0);
    for (uint32_t i = 0; i < rig->worker_count;) {
        if (!rig->is_simulated) {
            rig_wait(rig, &since_ns);
            i = broker_join(rig->broker, sl_clock_now_ns(rig->clock)) ? rig->worker_count : i;
        } else if (rig->has_ended[i]) {
            (void)sim_thread_enter(rig->world, rig_worker_thread(rig, i));
            EXPECT(broker_worker_close(rig->broker, i) == SLUICE_OK);
            (void)sim_thread_enter(rig->world, 0);
            i++;
        } else {
            rig_wait(rig, &since_ns);
        }
    }
    EXPECT(broker_has_ended(rig->broker, &end) && end.stuck_count == stuck_count);
    EXPECT(broker_destroy(rig->broker, SL_NS_PER_S) == SLUICE_OK);
    since_ns = sl_clock_now_ns(rig->clock);
    while (engine_worker_destroy(rig->worker) != SLUICE_OK) {
        EXPECT(sl_clock_now_ns(rig->clock) - since_ns <= RIG_WAIT_NS);
        poll_clients(rig, sl_clock_now_ns(rig->clock) + STEP_NS);
    }
    EXPECT(engine_destroy(rig->engine, SL_NS_PER_S) == SLUICE_OK);
    sim_world_destroy(rig->world);
    sl_arena_deinit(&rig->arena);
    sl_account_deinit(&rig->account);
}

uint64_t rig_count_records(const char *log, const char *message, unsigned *ret_lines) {
    uint64_t count = 0;
    unsigned lines = 0;
    while ((log = strstr(log, message)) != NULL) {
        const char *end = strchr(log, '\n');
        const char *left_out = strstr(log, " left_out=");
        EXPECT(end != NULL);
        count += left_out != NULL && left_out < end ? strtoull(left_out + 10, NULL, 10) : 1;
        lines++;
        log = end;
    }
    *ret_lines = lines;
    return count;
}
