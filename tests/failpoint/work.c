/*
 * work.c - what a client does all day; see scene.h. Every call is timed.
 */
#include <stdio.h>
#include <string.h>

#include "tests/failpoint/scene.h"

#define SHORT_NS SL_NS_PER_MS /* of the read whose time is to be up */

bool work_is_loss(int32_t status) {
    switch (status) {
    case SLUICE_EBROKERLOST:
    case SLUICE_EUNRESPONSIVE:
    case SLUICE_ENOBROKER:
    case SLUICE_ESTALE:
    case SLUICE_ESHUTDOWN: return true;
    default: return false;
    }
}

/* A call has ended. true: as it should. false: the broker is lost (or, on a machine that is busy
 * with other things, two seconds were short): the round is over. */
static bool ended(work *w, const char *what, uint64_t start_ns, uint64_t timeout_ns,
                  int32_t status, int32_t wanted) {
    uint64_t took_ns = place_now_ns() - start_ns;
    uint64_t late_ns = took_ns > timeout_ns ? took_ns - timeout_ns : 0;
    w->calls++;
    w->latest_ns = late_ns > w->latest_ns ? late_ns : w->latest_ns;
    bool is_right = status == wanted || status == SLUICE_ETIMEDOUT || work_is_loss(status);
    bool is_in_time = late_ns <= PLACE_GRACE_NS + canary_allowance_ns();
    if (!is_in_time || !is_right) {
        (void)fprintf(stderr, "%s: %s, %.1f ms after its deadline\n", what,
                      sluice_status_name(status), (double)late_ns / 1e6);
        EXPECT(is_in_time && is_right);
    }
    canary_reset();
    if (work_is_loss(status) && !w->is_lost) {
        w->is_lost = true;
        w->loss = status;
    }
    return status == wanted;
}

static bool close_handle(work *w, sluice_handle handle) {
    uint64_t start_ns = place_now_ns();
    return ended(w, "close", start_ns, SCENE_TIMEOUT_NS,
                 sluice_close(w->session, handle, SCENE_TIMEOUT_NS, NULL), SLUICE_OK);
}

/* A read that is cancelled while it waits. */
static bool cancel_read(work *w, sluice_handle handle) {
    static char byte; /* the library's until the callback */
    place_tally tally;
    sluice_operation *op = NULL;
    place_tally_init(&tally, 1);
    uint64_t start_ns = place_now_ns();
    int32_t status = sluice_read_start(w->session, handle, &byte, 1, 0, SCENE_TIMEOUT_NS,
                                       place_count, &tally, &op);
    if (status == SLUICE_OK) {
        /* Answered behind the read: it waits at the broker, and the cancel goes there, too. */
        (void)sluice_ping(w->session, SCENE_TIMEOUT_NS, NULL);
        EXPECT(sluice_cancel(op) == SLUICE_OK);
        EXPECT(place_tally_wait(&tally, PLACE_LONG_NS));
        sluice_release(op);
        for (int32_t s = 0; s > -PLACE_STATUSES; s--) {
            status = place_tally_get(&tally, s) == 1 ? s : status;
        }
    }
    place_tally_deinit(&tally);
    return ended(w, "cancelled read", start_ns, SCENE_TIMEOUT_NS, status, SLUICE_ECANCELED);
}

static bool use_pair(work *w) {
    sluice_result pair = {.size = sizeof(pair)};
    char byte = 0;
    uint64_t start_ns = place_now_ns();
    if (!ended(w, "pair", start_ns, SCENE_TIMEOUT_NS,
               sluice_pair(w->session, SCENE_TIMEOUT_NS, &pair), SLUICE_OK)) {
        return false;
    }
    start_ns = place_now_ns();
    if (!ended(w, "write", start_ns, SCENE_TIMEOUT_NS,
               sluice_write(w->session, pair.handles[1], "w", 1, SCENE_TIMEOUT_NS, NULL),
               SLUICE_OK)) {
        return false;
    }
    start_ns = place_now_ns();
    if (!ended(w, "read", start_ns, SCENE_TIMEOUT_NS,
               sluice_read(w->session, pair.handles[0], &byte, 1, 0, SCENE_TIMEOUT_NS, NULL),
               SLUICE_OK)) {
        return false;
    }
    EXPECT(byte == 'w');
    start_ns = place_now_ns();
    return ended(w, "short read", start_ns, SHORT_NS,
                 sluice_read(w->session, pair.handles[0], &byte, 1, 0, SHORT_NS, NULL),
                 SLUICE_ETIMEDOUT) &&
           !w->is_lost && cancel_read(w, pair.handles[0]) && close_handle(w, pair.handles[0]) &&
           close_handle(w, pair.handles[1]);
}

/* Over TCP: a name is looked up, a connection accepted. */
static bool use_tcp(work *w) {
    sluice_result listener = {.size = sizeof(listener)};
    sluice_result connection = {.size = sizeof(connection)};
    char address[64] = "";
    char target[64];
    uint64_t start_ns = place_now_ns();
    if (!ended(w, "listen", start_ns, SCENE_TIMEOUT_NS,
               sluice_listen(w->session, "tcp:127.0.0.1:0", 0, SCENE_TIMEOUT_NS, &listener),
               SLUICE_OK)) {
        return false;
    }
    if (sluice_local_address(w->session, listener.handles[0], address, sizeof(address)) !=
        SLUICE_OK) {
        return false; /* lost just now */
    }
    (void)snprintf(target, sizeof(target), "tcp:localhost%s", strrchr(address, ':'));
    start_ns = place_now_ns();
    if (!ended(w, "connect", start_ns, SCENE_TIMEOUT_NS,
               sluice_connect(w->session, target, SCENE_TIMEOUT_NS, &connection), SLUICE_OK)) {
        return false;
    }
    sluice_handle client = connection.handles[0];
    start_ns = place_now_ns();
    return ended(w, "accept", start_ns, SCENE_TIMEOUT_NS,
                 sluice_accept(w->session, listener.handles[0], SCENE_TIMEOUT_NS, &connection),
                 SLUICE_OK) &&
           close_handle(w, client) && close_handle(w, connection.handles[0]) &&
           close_handle(w, listener.handles[0]);
}

/* One more client comes and goes. */
static bool use_session(work *w) {
    sluice_open_options options = {.size = sizeof(options), .mode = SLUICE_MODE_SERVICE,
                                   .endpoint = w->endpoint, .client_name = "passer-by",
                                   .open_timeout_ns = SCENE_TIMEOUT_NS};
    sluice_session *session = NULL;
    uint64_t start_ns = place_now_ns();
    int32_t status = sluice_open(&options, &session);
    if (status == SLUICE_OK) {
        EXPECT(sluice_session_close(session) == SLUICE_OK);
    }
    return ended(w, "open", start_ns, SCENE_TIMEOUT_NS, status, SLUICE_OK);
}

void work_round(work *w) {
    if (use_pair(w) && use_tcp(w) && use_session(w)) {
        uint64_t start_ns = place_now_ns();
        (void)ended(w, "ping", start_ns, SCENE_TIMEOUT_NS,
                    sluice_ping(w->session, SCENE_TIMEOUT_NS, NULL), SLUICE_OK);
    }
}
