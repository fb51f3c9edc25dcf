/*
 * suite_errors.c - what the system refuses, each mapped to its own status: names that are taken,
 * too long, absent, forbidden; busy pipes and deadlines; descriptors run out; and misuse, which
 * aborts.
 */
#include <string.h>

#include "tests/engine/rig.h"

#define BUSY_CLIENTS     80 /* more than any backlog of 1 lets wait */
#define BUSY_DEADLINE_NS (300 * SL_NS_PER_MS)
#define CHILD_LIMIT_NS   (UINT64_C(60) * SL_NS_PER_S)
#define LATE_MAX_NS      (UINT64_C(5) * SL_NS_PER_S) /* on a loaded machine; never early */
#define SIM_HANDLES      12

static engine_completion connect_to(rig *r, const engine_address *address, uint64_t delta_ns) {
    engine_request_id id = 0;
    EXPECT_STATUS(engine_connect(r->worker, address, rig_after_ns(r, delta_ns), NULL, NULL, &id),
                  SLUICE_OK);
    return rig_await(r, id);
}

static void addresses(void) {
    engine_address address;
    char name[2 * ENGINE_PIPE_NAME_BYTES];
    memset(name, 'n', sizeof(name));
    name[ENGINE_PIPE_NAME_BYTES] = '\0';
    EXPECT_STATUS(engine_address_pipe(&address, ""), SLUICE_EINVAL);
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_ENAMETOOLONG);
    name[ENGINE_PIPE_NAME_BYTES - 1] = '\0';
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
    EXPECT(address.family == ENGINE_ADDRESS_PIPE && strcmp(address.pipe, name) == 0);
    engine_address_loopback(&address, 77);
    EXPECT(address.family == ENGINE_ADDRESS_IPV4 && address.port == 77 && address.ip[0] == 127);
    rig *r = rig_open();
    engine_handle *handle = NULL;
    memset(&address, 0, sizeof(address));
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &handle), SLUICE_EINVAL);
    EXPECT_STATUS(engine_connect(r->worker, &address, SL_CLOCK_NEVER, NULL, NULL, NULL),
                  SLUICE_EINVAL);
    EXPECT(engine_udp_open(r->worker, &address, &handle) < 0);
    EXPECT(handle == NULL);
    EXPECT_INT(rig_counters(r).handles, 0);
    rig_close(r);
}

/* A name too long for the platform, though not for us. */
static void name_too_long(void) {
    rig *r = rig_open();
    engine_address address;
    engine_handle *handle = NULL;
    engine_endpoint *endpoint = NULL;
    char name[ENGINE_PIPE_NAME_BYTES];
    os_pipe_name(name, 1, ENGINE_PIPE_NAME_BYTES);
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
    int status = rig_listen(r, &address, 1, NULL, &handle);
    if (t_is_sim()) {
        EXPECT_STATUS(status, SLUICE_OK);
        rig_close_handle(r, handle);
        rig_close(r);
        T_SKIP("the simulator takes every name that fits an engine_address");
    }
    EXPECT_STATUS(status, SLUICE_ENAMETOOLONG);
    EXPECT_STATUS(connect_to(r, &address, SL_NS_PER_S).status, SLUICE_ENAMETOOLONG);
    address.is_endpoint = true;
    EXPECT_STATUS(engine_endpoint_create(r->engine, &address, NULL, &endpoint, NULL),
                  SLUICE_ENAMETOOLONG);
    EXPECT_STATUS(connect_to(r, &address, SL_NS_PER_S).status, SLUICE_ENAMETOOLONG);
    rig_close(r);
}

/* Endpoints have names of their own on Windows; where they share them with pipes they collide. */
static void name_taken(void) {
    rig *r = rig_open();
    engine_handle *second = NULL;
    engine_endpoint *endpoints[2] = {NULL, NULL};
    engine_handle *listener = rig_listener(r, STREAM_PIPE);
    engine_address name = r->addresses[STREAM_PIPE];
    if (os_is_wine() && t_is_backend("iocp")) {
        rig_close(r);
        T_SKIP("Wine does not enforce FILE_FLAG_FIRST_PIPE_INSTANCE");
    }
    EXPECT_STATUS(rig_listen(r, &r->addresses[STREAM_PIPE], 1, NULL, &second), SLUICE_ENAMETAKEN);
    name.is_endpoint = true;
    bool is_shared = !t_is_backend("iocp");
    EXPECT_STATUS(engine_endpoint_create(r->engine, &name, NULL, &endpoints[0], NULL),
                  is_shared ? SLUICE_ENAMETAKEN : SLUICE_OK);
    EXPECT_STATUS(engine_endpoint_create(r->engine, &name, NULL, &endpoints[1], NULL),
                  SLUICE_ENAMETAKEN);
    EXPECT(second == NULL && endpoints[1] == NULL);
    EXPECT_STATUS(engine_endpoint_destroy(endpoints[0]), SLUICE_OK);
    r->listeners[STREAM_PIPE] = NULL;
    rig_close_handle(r, listener);
    EXPECT_STATUS(rig_listen(r, &r->addresses[STREAM_PIPE], 1, NULL, &r->listeners[STREAM_PIPE]),
                  SLUICE_OK); /* free again */
    rig_close(r);
}

/* What a process that died left behind does not hold the name; two live ones still collide. */
static void stale_name(void) {
    rig *r = rig_open();
    engine_address address = t_pipe_address();
    engine_handle *second = NULL;
    if (t_is_sim() || !os_leave_stale_pipe(address.pipe)) {
        rig_close(r);
        T_SKIP("a pipe's name dies with its process here");
    }
    int status = connect_to(r, &address, SL_NS_PER_S).status;
    EXPECT(status == SLUICE_EREFUSED || status == SLUICE_ENOTFOUND);
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &r->listeners[STREAM_PIPE]), SLUICE_OK);
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &second), SLUICE_ENAMETAKEN);
    r->addresses[STREAM_PIPE] = address;
    engine_handle *ends[2];
    rig_stream(r, STREAM_PIPE, ends);
    rig_close_stream(r, ends);
    rig_close(r);
}

static void expect_taken(rig *r, engine_address address) {
    engine_handle *listener = NULL;
    engine_endpoint *endpoint = NULL;
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &listener), SLUICE_ENAMETAKEN);
    address.is_endpoint = true;
    EXPECT_STATUS(engine_endpoint_create(r->engine, &address, NULL, &endpoint, NULL),
                  SLUICE_ENAMETAKEN);
}

/* Somebody else's file lies where the name's lock would be: it is neither used nor removed, be it
 * empty, as lock files often are, or be it like ours. */
static void foreign_lock(void) {
    static const char *const texts[] = {"mine", "", "Sluice: whoever has this file locked"};
    rig *r = rig_open();
    for (unsigned i = 0; i < SL_ARRAY_COUNT(texts); i++) {
        engine_address address = t_pipe_address();
        if (t_is_sim() || !os_put_lock(address.pipe, texts[i])) {
            rig_close(r);
            T_SKIP("names have no lock files here");
        }
        expect_taken(r, address);
        EXPECT(os_take_lock(address.pipe, texts[i]));
    }
    rig_close(r);
}

/* From now on the foreign server takes connections, and whoever comes gets to it. */
static void expect_served(rig *r, const engine_address *address, intptr_t server) {
    engine_request_id id = 0;
    EXPECT(os_listen_foreign(server));
    EXPECT_STATUS(engine_connect(r->worker, address, rig_after_ns(r, T_AWAIT_NS), NULL, NULL, &id),
                  SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    rig_close_handle(r, completion.opened[0]);
}

/* A live server between its bind and its listen refuses connections like a dead one. Its socket
 * file stays, and so does that of a dead one: who has made it, we do not know. */
static void foreign_socket(void) {
    rig *r = rig_open();
    engine_address address = t_pipe_address();
    intptr_t server = 0;
    if (t_is_sim() || !os_bind_foreign(address.pipe, &server)) {
        rig_close(r);
        T_SKIP("names have no files here");
    }
    expect_taken(r, address);
    expect_served(r, &address, server);
    EXPECT(os_close_foreign(address.pipe, server, false));
    expect_taken(r, address);
    EXPECT(os_close_foreign(address.pipe, -1, true));
    EXPECT(!os_take_lock(address.pipe, "")); /* nor is a lock of ours left behind */
    rig_close(r);
}

/* The same where one of ours was killed before: its lock file tells of another socket. */
static void foreign_socket_in_its_place(void) {
    rig *r = rig_open();
    engine_address address = t_pipe_address();
    engine_address beside = t_pipe_address();
    intptr_t server = 0;
    if (t_is_sim() || !os_leave_stale_pipe(address.pipe)) {
        rig_close(r);
        T_SKIP("a pipe's name dies with its process here");
    }
    EXPECT(os_bind_foreign(beside.pipe, &server) && os_move_foreign(beside.pipe, address.pipe));
    expect_taken(r, address);
    expect_served(r, &address, server);
    EXPECT(os_close_foreign(address.pipe, server, true));
    rig_close(r);
}

static void name_not_found(void) {
    rig *r = rig_open();
    engine_address address = t_pipe_address();
    engine_handle *handle = NULL;
    char name[ENGINE_PIPE_NAME_BYTES];
    engine_completion completion = connect_to(r, &address, SL_NS_PER_S);
    EXPECT_STATUS(completion.status, SLUICE_ENOTFOUND);
    EXPECT(completion.os_error != 0 && completion.opened[0] == NULL);
    os_pipe_name_nowhere(name);
    if (name[0] != '\0' && !t_is_sim()) {
        EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
        EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &handle), SLUICE_ENOTFOUND);
        EXPECT(r->listen_error != 0);
        EXPECT_STATUS(connect_to(r, &address, SL_NS_PER_S).status, SLUICE_ENOTFOUND);
    }
    rig_close(r);
}

static void access_refused(void) {
    rig *r = rig_open();
    engine_address address;
    engine_handle *handle = NULL;
    char name[ENGINE_PIPE_NAME_BYTES];
    os_pipe_name_forbidden(name);
    if (name[0] == '\0' || t_is_sim()) {
        rig_close(r);
        T_SKIP("this user may create any pipe (root, Wine, simulator)");
    }
    EXPECT_STATUS(engine_address_pipe(&address, name), SLUICE_OK);
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &handle), SLUICE_EACCESS);
    rig_close(r);
}

static void bad_options(void) {
    static const char *const bad[] = {"", "nonsense", "0999", "99999", "-1", "O:", "06 60"};
    rig *r = rig_open();
    engine_address address = t_pipe_address();
    engine_handle *handle = NULL;
    engine_listen_options options = {.backlog = ENGINE_BACKLOG_MAX + 1};
    EXPECT_STATUS(rig_listen(r, &address, 1, &options, &handle), SLUICE_EINVAL);
    options.backlog = 0;
    for (unsigned i = 0; i < SL_ARRAY_COUNT(bad) && !t_is_sim(); i++) {
        options.access = bad[i];
        t_phase(bad[i]);
        int status = rig_listen(r, &address, 1, &options, &handle);
        if (status == SLUICE_OK) {
            t_fail(__FILE__, __LINE__, "the access string \"%s\" was taken", bad[i]);
        }
        EXPECT_STATUS(status, SLUICE_EINVAL);
    }
    EXPECT(handle == NULL);
    if (t_is_backend("epoll")) {
        options.access = "0660";
        EXPECT_STATUS(rig_listen(r, &address, 1, &options, &handle), SLUICE_OK);
        rig_close_handle(r, handle);
    } else if (t_is_backend("iocp")) {
        options.access = "D:P(A;;GA;;;OW)";
        EXPECT_STATUS(rig_listen(r, &address, 1, &options, &handle), SLUICE_OK);
        rig_close_handle(r, handle);
    }
    rig_close(r);
}

/* ---- busy pipes and deadlines ---------------------------------------------------------------- */

/* Connects until the backlog is full: those that stay pending. Returns how many succeeded. */
static unsigned fill_backlog(rig *r, const engine_address *address, engine_handle **ret_handles,
                             engine_request_id *ret_pending) {
    for (unsigned count = 0; count < BUSY_CLIENTS; count++) {
        engine_request_id id = 0;
        uint64_t until_ns = rig_after_ns(r, 2 * T_QUIET_NS);
        EXPECT_STATUS(engine_connect(r->worker, address, SL_CLOCK_NEVER, NULL, NULL, &id),
                      SLUICE_OK);
        while (!rig_has(r, id) && rig_now_ns(r) < until_ns) {
            (void)rig_pump(r, until_ns);
        }
        if (!rig_has(r, id)) {
            *ret_pending = id;
            return count;
        }
        engine_completion completion = rig_await(r, id);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        ret_handles[count] = completion.opened[0];
    }
    t_fail(__FILE__, __LINE__, "a backlog of 1 took %d clients", BUSY_CLIENTS);
}

/* A busy pipe: a connect gives up at its deadline, never before; another one gets through as soon
 * as the listener accepts. */
static void busy_pipe(void) {
    rig *r = rig_open();
    engine_address address = t_pipe_address();
    engine_listen_options options = {.backlog = 1};
    engine_handle *listener = NULL;
    engine_handle *handles[BUSY_CLIENTS];
    engine_request_id waiting = 0;
    engine_request_id accept = 0;
    EXPECT_STATUS(rig_listen(r, &address, 1, &options, &listener), SLUICE_OK);
    t_phase("fill the backlog");
    unsigned count = fill_backlog(r, &address, handles, &waiting);
    t_phase("deadline");
    uint64_t start_ns = rig_now_ns(r);
    engine_completion completion = connect_to(r, &address, BUSY_DEADLINE_NS);
    uint64_t elapsed_ns = rig_now_ns(r) - start_ns;
    EXPECT_STATUS(completion.status, SLUICE_ETIMEDOUT);
    EXPECT(elapsed_ns >= BUSY_DEADLINE_NS && elapsed_ns < BUSY_DEADLINE_NS + LATE_MAX_NS);
    EXPECT_STATUS(connect_to(r, &address, 0).status,
                  SLUICE_ETIMEDOUT); /* now is too late already */
    t_phase("it frees");
    EXPECT(!rig_has(r, waiting));
    for (unsigned i = 0; i < count + 1; i++) {
        EXPECT_STATUS(engine_accept(listener, NULL, &accept), SLUICE_OK);
        completion = rig_await(r, accept);
        EXPECT_STATUS(completion.status, SLUICE_OK);
        rig_close_handle(r, completion.opened[0]);
    }
    completion = rig_await(r, waiting);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    rig_close_handle(r, completion.opened[0]);
    t_phase("a cancel between two attempts");
    while (count > 0) {
        rig_close_handle(r, handles[--count]);
    }
    count = fill_backlog(r, &address, handles, &waiting);
    engine_cancel(r->worker, waiting);
    rig_await_status(r, waiting, SLUICE_ECANCELED);
    while (count > 0) {
        rig_close_handle(r, handles[--count]);
    }
    rig_close_handle(r, listener);
    rig_close(r);
}

/* TCP to a machine that says nothing. */
static void silent_host(void) {
    static const uint8_t silent[4] = {203, 0, 113, 9};
    rig *r = rig_open();
    engine_address address;
    engine_address_ipv4(&address, silent, 9);
    uint64_t start_ns = rig_now_ns(r);
    engine_completion completion = connect_to(r, &address, BUSY_DEADLINE_NS);
    if (!t_is_sim() && completion.status != SLUICE_ETIMEDOUT) {
        /* no route, or a proxy that answers for everybody */
        if (completion.status == SLUICE_OK) {
            rig_close_handle(r, completion.opened[0]);
        }
        rig_close(r);
        T_SKIP("this machine's network does not stay silent for 203.0.113.9");
    }
    EXPECT_STATUS(completion.status, SLUICE_ETIMEDOUT);
    EXPECT(rig_now_ns(r) - start_ns >= BUSY_DEADLINE_NS);
    rig_close(r);
}

/* ---- the system runs out --------------------------------------------------------------------- */

/* Everything that needs a descriptor ends with EOSLIMIT, and works again afterwards. */
static void descriptors_exhausted(void) {
    rig *r = rig_prepare(SIM_PROFILE_GENTLE);
    engine_handle *ends[64][2];
    engine_handle *handle = NULL;
    engine_address address;
    engine_request_id id = 0;
    unsigned count = 0;
    r->simulated.handles_max = SIM_HANDLES;
    EXPECT_STATUS(rig_start(r, NULL), SLUICE_OK);
    (void)rig_listener(r, STREAM_TCP);
    (void)rig_listener(r, STREAM_PIPE);
    if (!t_is_sim() && !os_lower_handle_limit(9)) {
        rig_close(r);
        T_SKIP("Windows has no limit on handles that could be reached in a test");
    }
    engine_completion completion;
    for (;; count++) {
        EXPECT(count < SL_ARRAY_COUNT(ends));
        EXPECT_STATUS(engine_pair(r->worker, NULL, NULL, &id), SLUICE_OK);
        completion = rig_await(r, id);
        if (completion.status != SLUICE_OK) {
            break;
        }
        ends[count][0] = completion.opened[0];
        ends[count][1] = completion.opened[1];
    }
    EXPECT_STATUS(completion.status, SLUICE_EOSLIMIT);
    EXPECT(completion.os_error != 0 && count > 0);
    /* one descriptor may be left, a pair takes two: take it, then nothing is left */
    engine_handle *last = NULL;
    engine_address_loopback(&address, 0);
    int status = engine_udp_open(r->worker, &address, &last);
    EXPECT(status == SLUICE_OK || status == SLUICE_EOSLIMIT);
    EXPECT_STATUS(engine_udp_open(r->worker, &address, &handle), SLUICE_EOSLIMIT);
    EXPECT(engine_worker_os_error(r->worker) != 0);
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &handle), SLUICE_EOSLIMIT);
    address = t_pipe_address();
    EXPECT_STATUS(rig_listen(r, &address, 1, NULL, &handle), SLUICE_EOSLIMIT);
    EXPECT_STATUS(connect_to(r, &r->addresses[STREAM_TCP], SL_NS_PER_S).status, SLUICE_EOSLIMIT);
    EXPECT_STATUS(connect_to(r, &r->addresses[STREAM_PIPE], SL_NS_PER_S).status, SLUICE_EOSLIMIT);
    EXPECT(handle == NULL);
    while (count > 0) {
        rig_close_stream(r, ends[--count]);
    }
    if (last != NULL) {
        rig_close_handle(r, last);
    }
    rig_stream(r, STREAM_TCP, ends[0]);
    rig_close_stream(r, ends[0]);
    rig_close(r);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

/* A worker belongs to its thread: using it from another one ends the process, with a check. */
static void wrong_thread_aborts(void) {
    const char *backend = engine_backend_name(t_backend());
    for (unsigned i = 0; i < suite_child.count; i++) {
        const char *arguments[] = {"--backend", backend, "--child", suite_child.cases[i].name,
                                   NULL};
        os_end end = OS_END_EXITED;
        int code = 0;
        t_phase(suite_child.cases[i].name);
        EXPECT(os_run_child(arguments, CHILD_LIMIT_NS, &end, &code));
        if (end != OS_END_ABORTED) {
            t_fail(__FILE__, __LINE__, "%s: %s, code %d; expected an abort",
                   suite_child.cases[i].name,
                   end == OS_END_HUNG      ? "it hung"
                   : end == OS_END_CRASHED ? "it crashed"
                                           : "it ended",
                   code);
        }
    }
    t_note("  %u kinds of misuse, each aborted", suite_child.count);
}

static const t_case cases[] = {
    {"addresses", T_SMOKE, addresses},
    {"name_too_long", T_SMOKE, name_too_long},
    {"name_taken", T_SMOKE, name_taken},
    {"stale_name", T_SMOKE, stale_name},
    {"foreign_lock", T_SMOKE, foreign_lock},
    {"foreign_socket", T_SMOKE, foreign_socket},
    {"foreign_socket_in_its_place", T_SMOKE, foreign_socket_in_its_place},
    {"name_not_found", T_SMOKE, name_not_found},
    {"access_refused", T_SMOKE, access_refused},
    {"bad_options", T_SMOKE, bad_options},
    {"busy_pipe", 0, busy_pipe},
    {"silent_host", 0, silent_host},
    {"descriptors_exhausted", 0, descriptors_exhausted},
    {"wrong_thread_aborts", 0, wrong_thread_aborts},
};

const t_suite suite_errors = {"errors", cases, SL_ARRAY_COUNT(cases)};
