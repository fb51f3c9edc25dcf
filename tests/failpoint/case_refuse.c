/*
 * case_refuse.c - every step that can be refused is, once: the status that is documented for it
 * reaches the client, nothing is left of it, and the next call works.
 */
#include <stdio.h>
#include <string.h>

#include "tests/failpoint/scene.h"

static const char *const limits[] = {"close_grace=300ms", NULL};

/* ---- calls ---- */

typedef struct ends {
    sluice_handle pair[2];
    sluice_handle listener;
    char address[64];
} ends;

static void open_ends(scene *s, ends *e) {
    sluice_result opened = {.size = sizeof(opened)};
    char local[64];
    EXPECT(sluice_pair(s->session, PLACE_LONG_NS, &opened) == SLUICE_OK);
    e->pair[0] = opened.handles[0];
    e->pair[1] = opened.handles[1];
    EXPECT(sluice_listen(s->session, "tcp:127.0.0.1:0", 0, PLACE_LONG_NS, &opened) == SLUICE_OK);
    e->listener = opened.handles[0];
    EXPECT(sluice_local_address(s->session, e->listener, local, sizeof(local)) == SLUICE_OK);
    (void)snprintf(e->address, sizeof(e->address), "tcp:127.0.0.1%s", strrchr(local, ':'));
}

static void close_one(scene *s, sluice_handle handle) {
    EXPECT(sluice_close(s->session, handle, PLACE_LONG_NS, NULL) == SLUICE_OK);
}

static void close_ends(scene *s, const ends *e) {
    close_one(s, e->pair[0]);
    close_one(s, e->pair[1]);
    close_one(s, e->listener);
}

/* Closes what a call has opened. */
static int32_t keep_nothing(scene *s, int32_t status, const sluice_result *opened) {
    for (uint32_t i = 0; status == SLUICE_OK && i < opened->handle_count; i++) {
        close_one(s, opened->handles[i]);
    }
    return status;
}

static int32_t call_pair(scene *s, const ends *e) {
    sluice_result opened = {.size = sizeof(opened)};
    (void)e;
    return keep_nothing(s, sluice_pair(s->session, PLACE_LONG_NS, &opened), &opened);
}

static int32_t call_listen(scene *s, const ends *e) {
    sluice_result opened = {.size = sizeof(opened)};
    (void)e;
    int32_t status = sluice_listen(s->session, "tcp:127.0.0.1:0", 0, PLACE_LONG_NS, &opened);
    return keep_nothing(s, status, &opened);
}

/* Takes an opener. */
static int32_t call_listen_by_name(scene *s, const ends *e) {
    sluice_result opened = {.size = sizeof(opened)};
    (void)e;
    int32_t status = sluice_listen(s->session, "tcp:localhost:0", 0, PLACE_LONG_NS, &opened);
    return keep_nothing(s, status, &opened);
}

static int32_t call_connect(scene *s, const ends *e) {
    sluice_result opened = {.size = sizeof(opened)};
    int32_t status = sluice_connect(s->session, e->address, PLACE_LONG_NS, &opened);
    return keep_nothing(s, status, &opened);
}

/* Works when somebody has connected before: every call_connect does, that is not refused. */
static int32_t call_accept(scene *s, const ends *e) {
    sluice_result opened = {.size = sizeof(opened)};
    int32_t status = sluice_accept(s->session, e->listener, PLACE_LONG_NS, &opened);
    return keep_nothing(s, status, &opened);
}

static int32_t call_write(scene *s, const ends *e) {
    return sluice_write(s->session, e->pair[1], "x", 1, PLACE_LONG_NS, NULL);
}

/* Works when something was written before. */
static int32_t call_read(scene *s, const ends *e) {
    char byte = 0;
    int32_t status = sluice_read(s->session, e->pair[0], &byte, 1, 0, PLACE_LONG_NS, NULL);
    EXPECT(status != SLUICE_OK || byte == 'x');
    return status;
}

static int32_t call_open(scene *s, const ends *e) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = s->at->endpoint};
    sluice_session *session = NULL;
    (void)e;
    int32_t status = sluice_open(&options, &session);
    return status == SLUICE_OK ? sluice_session_close(session) : status;
}

/* ---- refusals ---- */

typedef struct refusal {
    const char *name;
    const char *status;  /* that is returned there */
    int32_t seen;        /* by the client */
    int32_t (*call)(scene *s, const ends *e);
} refusal;

/* In this order: a write comes before a read, a connect before an accept. */
static const refusal refusals[] = {
    {"broker.submit", "ENOMEM", SLUICE_ENOMEM, call_pair},
    {"broker.submit", "EQUOTA", SLUICE_EQUOTA, call_listen},
    {"broker.submit", "EQUOTA", SLUICE_EQUOTA, call_connect},
    {"broker.submit", "ENOMEM", SLUICE_ENOMEM, call_accept},
    {"broker.submit", "ENOMEM", SLUICE_ENOMEM, call_write},
    {"broker.submit", "ESHUTDOWN", SLUICE_ESHUTDOWN, call_read},
    {"engine.submit", "ENOMEM", SLUICE_ENOMEM, call_pair},
    {"engine.submit", "EQUOTA", SLUICE_EQUOTA, call_connect},
    {"engine.submit", "EQUOTA", SLUICE_EQUOTA, call_accept},
    {"engine.submit", "ENOMEM", SLUICE_ENOMEM, call_write},
    {"engine.submit", "EQUOTA", SLUICE_EQUOTA, call_read},
    {"engine.listen", "EOSLIMIT", SLUICE_EOSLIMIT, call_listen},
    {"engine.listen", "EADDRINUSE", SLUICE_EADDRINUSE, call_listen},
    {"engine.open", "EACCESS", SLUICE_EACCESS, call_listen_by_name},
    {"engine.open", "ENOTFOUND", SLUICE_ENOTFOUND, call_listen_by_name},
};

#define REFUSALS (sizeof(refusals) / sizeof(refusals[0]))

static void refuse(scene *s, const ends *e, const refusal *r) {
    char action[48];
    (void)snprintf(action, sizeof(action), "1*return(%s)", r->status);
    scene_set(s, r->name, action);
    int32_t status = r->call(s, e);
    scene_expect_met(&s->at->broker, r->name, "return");
    int32_t next = r->call(s, e);
    printf("%-14s return(%s): %s, then %s\n", r->name, r->status, sluice_status_name(status),
           sluice_status_name(next));
    EXPECT(status == r->seen && next == SLUICE_OK);
}

/* A connection that breaks in the broker's hands: the session is lost, the next one works. The ping
 * that meets it may have had its answer before. */
static void refuse_connection(scene *s, const char *name, const char *action) {
    uint64_t connections = place_connections(s->session);
    uint64_t deadline_ns = sl_clock_after_ns(place_now_ns(), PROCESS_PATIENCE_NS);
    uint32_t lost = 0;
    scene_set(s, name, action);
    while (place_connections(s->session) == connections) {
        int32_t status = sluice_ping(s->session, PLACE_LONG_NS, NULL);
        EXPECT(status == SLUICE_OK || status == SLUICE_EBROKERLOST);
        EXPECT(place_now_ns() < deadline_ns);
        lost += status != SLUICE_OK;
    }
    scene_expect_met(&s->at->broker, name, "return");
    printf("%-14s %s: %u pings lost, and a new connection\n", name, action, lost);
    scene_check_clean(s);
    scene_attach(s);
}

/* New clients come to either worker: the one that is refused is on the other one. */
static void refuse_client(scene *s) {
    int32_t status = SLUICE_OK;
    scene_set(s, "broker.accept", "1*return(EOSLIMIT)");
    for (int i = 0; i < 64 && status == SLUICE_OK; i++) {
        status = call_open(s, NULL);
    }
    scene_expect_met(&s->at->broker, "broker.accept", "return");
    printf("%-14s return(EOSLIMIT): sluice_open: %s\n", "broker.accept",
           sluice_status_name(status));
    EXPECT(status == SLUICE_ENOBROKER);
    EXPECT(call_open(s, NULL) == SLUICE_OK);
    scene_check_clean(s);
}

/* ---- the library's own steps; in this process ---- */

static void refuse_here(const char *text) {
    char error[SL_FAILPOINT_ERROR_BYTES];
    EXPECT(sl_failpoint_configure(text, error));
}

static void on_never(void *user, sluice_operation *operation, const sluice_result *result) {
    (void)user;
    (void)operation;
    (void)result;
    EXPECT(false && "a call that was refused has no callback");
}

static void refuse_in_library(scene *s) {
    ends e;
    open_ends(s, &e);
    refuse_here("client.open=1*return(ENOMEM)");
    EXPECT(call_open(s, &e) == SLUICE_ENOMEM && call_open(s, &e) == SLUICE_OK);
    refuse_here("client.connect=1*return(EREFUSED)");
    EXPECT(call_open(s, &e) == SLUICE_ENOBROKER && call_open(s, &e) == SLUICE_OK);
    refuse_here("client.submit=1*return(ENOMEM)");
    EXPECT(call_write(s, &e) == SLUICE_ENOMEM && call_write(s, &e) == SLUICE_OK);
    refuse_here("client.submit=1*return(EQUOTA)");
    EXPECT(sluice_read_start(s->session, e.pair[0], e.address, 1, 0, PLACE_LONG_NS, on_never, NULL,
                             NULL) == SLUICE_EQUOTA);
    EXPECT(call_read(s, &e) == SLUICE_OK);
    close_ends(s, &e);
    scene_check_clean(s);
    printf("client.open, client.connect, client.submit: refused, then not\n");
}

void case_refuse(place *at) {
    scene s = {.at = at};
    ends e;
    scene_begin(&s, at, limits);
    open_ends(&s, &e);
    for (size_t i = 0; i < REFUSALS; i++) {
        refuse(&s, &e, &refusals[i]);
    }
    close_ends(&s, &e);
    scene_check_clean(&s);
    refuse_connection(&s, "broker.send", "1*return(ERESET)");
    /* The first request of a ping's wake is the next read of the connection. */
    refuse_connection(&s, "engine.submit", "1*return(ENOMEM)");
    refuse_client(&s);
    refuse_in_library(&s);
    scene_end(&s);
}
