/*
 * level_client.c - a broker in this process and the client library: real threads, the platform's
 * own engine on both sides. A fault may strike either; a bystander's session must not notice.
 *
 * A private broker is a process of its own, in which nothing fails: there the calls of the library
 * are at stake that start, watch and stop it. The last act is the broker's own start and end.
 */
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "broker/broker.h"
#include "tests/client/returns.h"
#include "tests/fault/act_client.h"
#include "tests/fault/level.h"

#define WORKERS 2u
#define LEFT_NS SL_NS_PER_S
#define STOP_NS (2 * SL_NS_PER_S) /* the library's patience with a private broker that is to end */
#define CALL_NS (40 * SL_NS_PER_S)
#define PING_NS (60 * SL_NS_PER_S) /* the bystander says nothing by itself */

static broker *the_broker;
static char endpoint[ENGINE_PIPE_NAME_BYTES];
static sluice_session *bystander;
static sluice_handle bystanders[2];

/* ---- the broker ------------------------------------------------------------------------------ */

/* broker.h: SLUICE_OK, and what else it lists. */
static int start_broker(const char *name, sl_log *log, broker **ret_broker) {
    broker_options options;
    broker_options_init(&options);
    options.log = log;
    options.endpoint = name;
    options.serves_itself = true; /* all are one process here */
    options.worker_count = WORKERS;
    options.limits.ping_interval_ns = PING_NS;
    options.limits.unresponsive_ns = 2 * PING_NS;
    *ret_broker = NULL;
    int status = broker_create(&options, ret_broker);
    script_expect_legal("broker_create", status, S_OPEN);
    if (status == SLUICE_OK) {
        status = broker_start(*ret_broker);
        script_expect_legal("broker_start", status, S(ENOMEM) | S(EOSLIMIT) | S(EOS) | S(ENOTSUP));
        if (status != SLUICE_OK) {
            EXPECT(broker_destroy(*ret_broker, SL_NS_PER_S) == SLUICE_OK);
            *ret_broker = NULL;
        }
    }
    return status;
}

static void stop_broker(broker *b) {
    broker_end end;
    broker_drain(b, 0);
    EXPECT(broker_join(b, script_now_ns() + SCRIPT_WAIT_NS));
    EXPECT(broker_has_ended(b, &end) && end.stuck_count == 0);
    EXPECT(broker_destroy(b, 10 * SL_NS_PER_S) == SLUICE_OK); /* checks the accounts */
}

static bool forget_line(void *context, const char *line, size_t length_bytes) {
    (void)context;
    (void)line;
    (void)length_bytes;
    return true;
}

/* With a log, and a first session. */
static void act_broker(client_act *a) {
    char name[ENGINE_PIPE_NAME_BYTES];
    const char *service = a->endpoint;
    const sl_log_options options = {.allocator = sl_allocator_system(),
                                    .clock = sl_clock_utc(),
                                    .level = SL_LOG_DEBUG,
                                    .write = forget_line};
    broker *second;
    sl_log *log;
    sluice_session *session;
    engine_address address = script_pipe_address();
    (void)snprintf(name, sizeof(name), "%s", address.pipe);
    int status = sl_log_create(&options, &log);
    script_expect_legal("sl_log_create", status, S(ENOMEM) | S(EOSLIMIT));
    a->has_failed = status != SLUICE_OK;
    if (status != SLUICE_OK) {
        return;
    }
    if (start_broker(name, log, &second) == SLUICE_OK) {
        a->endpoint = name;
        if (act_client_open(a, SLUICE_MODE_SERVICE, SLUICE_DELIVERY_THREAD, &session)) {
            act_client_close(a, session);
        }
        a->endpoint = service;
        stop_broker(second);
    } else {
        a->has_failed = true;
    }
    EXPECT(sl_log_destroy(log));
}

/* ---- the bystander --------------------------------------------------------------------------- */

static void open_bystander(void) {
    client_act a = {.endpoint = endpoint};
    sluice_result opened = {.size = sizeof(opened)};
    EXPECT(act_client_open(&a, SLUICE_MODE_SERVICE, SLUICE_DELIVERY_THREAD, &bystander));
    EXPECT(sluice_pair(bystander, CALL_NS, &opened) == SLUICE_OK);
    memcpy(bystanders, opened.handles, sizeof(bystanders));
}

/* The session and its pipe are what they were, and the broker has nothing else left. */
static void expect_untouched(void) {
    char got[4];
    broker_counters counters;
    EXPECT(sluice_write(bystander, bystanders[1], "ok", 2, CALL_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_read(bystander, bystanders[0], got, 2, SLUICE_READ_ALL, CALL_NS, NULL) ==
           SLUICE_OK);
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    do {
        EXPECT(script_now_ns() < end_ns);
        sl_thread_yield();
        broker_counters_get(the_broker, &counters);
    } while (counters.sessions != 1 || counters.handles != 2 || counters.operations != 0);
    EXPECT(counters.zombies == 0 && counters.protocol_violations == 0);
    EXPECT(counters.operations_started == counters.operations_finished);
}

/* ---- running --------------------------------------------------------------------------------- */

static unsigned count_acts(void) {
    return client_act_count + 1;
}

static const char *act_name(unsigned act) {
    return act < client_act_count ? client_acts[act].name : "broker";
}

/* plans NULL: nothing is counted either. */
static bool play(unsigned act, const fault_plan *plans, unsigned count) {
    client_act a = {.endpoint = endpoint};
    bool uses_session = act < client_act_count && client_acts[act].uses_session;
    if (uses_session) {
        EXPECT(act_client_open(&a, SLUICE_MODE_SERVICE, SLUICE_DELIVERY_THREAD, &a.session));
    }
    if (plans != NULL) {
        fault_begin(plans, count);
    }
    if (act < client_act_count) {
        client_acts[act].run(&a);
    } else {
        act_broker(&a);
    }
    fault_end();
    if (uses_session) {
        act_client_close(&a, a.session);
    }
    if (a.has_failed && count == 0) {
        fprintf(stderr, "fault: %s: %s\n", a.failed_at != NULL ? a.failed_at : "a callback",
                sl_status_name(a.failed_with));
    }
    return !a.has_failed;
}

static void set_up(void) {
    if (the_broker == NULL) {
        engine_address address = script_pipe_address();
        memcpy(endpoint, address.pipe, sizeof(endpoint));
        script_client_place();
        EXPECT(start_broker(endpoint, NULL, &the_broker) == SLUICE_OK);
        open_bystander();
        expect_untouched();
    }
}

static bool is_about(const fault_plan *plans, unsigned count, const char *error) {
    return count > 0 && strcmp(plans[count - 1].error->name, error) == 0;
}

static unsigned run(unsigned act, const fault_plan *plans, unsigned count) {
    static const fault_plan none[1];
    set_up();
    returns_watch();
    uint64_t began_ns = script_now_ns();
    unsigned handles = script_count_handles();
    bool is_good = play(act, count > 0 ? plans : none, count);
    unsigned struck = fault_struck();
    EXPECT(is_good || struck > 0);
    if (count > 0) {
        EXPECT(play(act, NULL, 0)); /* the next request works */
    }
    expect_untouched();
    unsigned now = script_count_handles();
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    while (now != handles && script_now_ns() < end_ns) { /* the broker's end of a session */
        sl_thread_yield();
        now = script_count_handles();
    }
    if (now != handles) {
        fprintf(stderr, "fault: %u descriptors before, %u now\n", handles, now);
    }
    EXPECT(now == handles);
    /* A broker that has not died after SIGTERM, a grace and SIGKILL is left to the system. */
    bool may_leave = is_about(plans, count, "ECHILD") || script_now_ns() - began_ns >= STOP_NS;
    EXPECT(script_collect_children(may_leave ? LEFT_NS : 0) == 0 || may_leave);
    return struck;
}

/* Starting a process takes long: there only what no other act reaches. */
static bool is_wanted(unsigned act, const fault_site *site) {
    return strcmp(act_name(act), "private broker") != 0 ||
           strncmp(site->name, "client/", strlen("client/")) == 0 ||
           strncmp(site->name, "base/", strlen("base/")) == 0;
}

static const char *const claims[] = {"client/", "base/random", NULL};

const fault_level level_client = {
    .name = "client",
    .claims = claims,
    .hits = 1,
    .is_wanted = is_wanted,
    .count_acts = count_acts,
    .run = run,
    .act_name = act_name,
};
