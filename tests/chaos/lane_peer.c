/*
 * lane_peer.c - see load.h: streams between clients, which may be killed on either side.
 *
 * Each client listens at a name of its own and writes to whoever connects; each connects to the
 * others in turn and reads what they write. A listener's predecessor may have been killed a moment
 * ago: then its name is taken for as long as the broker closes it, and no longer.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tests/chaos/load.h"

#define KEY        9u
#define PIECE      (16u * 1024)
#define PIECES_MAX 16u
#define ACCEPT_NS  (300 * SL_NS_PER_MS)
/* A name is free again so soon after its owner was killed. */
#define TAKEN_NS   (10 * SL_NS_PER_S)

static void name_of(const load *l, uint32_t number, char address[LOAD_NAME_BYTES]) {
    (void)snprintf(address, LOAD_NAME_BYTES, "pipe:%s-%" PRIu32, l->peer_base, number);
}

/* Writes to a visitor until it has enough or is gone. */
static void serve(load_lane *lane, sluice_handle visitor) {
    static uint8_t bytes[PIECE];
    load *l = lane->load;
    uint64_t position = 0;
    int32_t status = SLUICE_OK;
    for (uint32_t i = load_below(lane, PIECES_MAX); i > 0 && status == SLUICE_OK; i--) {
        uint32_t length = load_some_bytes(lane, PIECE);
        sluice_result result = {.size = sizeof(result)};
        load_fill(KEY, position, bytes, length);
        load_begin(l, &lane->watch, "write to a peer", LOAD_OPEN_NS);
        status = load_end(l, &lane->watch, sluice_write(l->session, visitor, bytes, length,
                                                        LOAD_OPEN_NS, &result));
        position += result.done;
    }
    (void)load_close(lane, visitor);
}

/* 0 = not now. */
static sluice_handle listen_here(load_lane *lane, const char *address, uint64_t *taken_ns) {
    load *l = lane->load;
    sluice_result result = {.size = sizeof(result)};
    load_begin(l, &lane->watch, "listen", LOAD_OPEN_NS);
    int32_t status = load_end(l, &lane->watch, sluice_listen(l->session, address, 4, LOAD_OPEN_NS,
                                                             &result));
    if (status != SLUICE_ENAMETAKEN && status != SLUICE_EADDRINUSE) {
        *taken_ns = 0;
    } else if (*taken_ns == 0) {
        *taken_ns = place_now_ns();
    } else if (place_now_ns() - *taken_ns > TAKEN_NS) {
        load_wrong(l, "listen: the name of one who was killed is still taken");
        *taken_ns = place_now_ns();
    }
    return status == SLUICE_OK ? result.handles[0] : 0;
}

void load_run_server(load_lane *lane) {
    load *l = lane->load;
    char address[LOAD_NAME_BYTES];
    uint64_t taken_ns = 0;
    name_of(l, l->number, address);
    while (load_goes_on(lane)) {
        sluice_handle listener = listen_here(lane, address, &taken_ns);
        bool is_there = listener != 0;
        if (!is_there) {
            load_rest(lane);
            continue;
        }
        while (is_there && load_goes_on(lane)) {
            sluice_result result = {.size = sizeof(result)};
            load_begin(l, &lane->watch, "accept a peer", ACCEPT_NS);
            int32_t status = load_end(l, &lane->watch, sluice_accept(l->session, listener,
                                                                     ACCEPT_NS, &result));
            if (status == SLUICE_OK) {
                serve(lane, result.handles[0]);
            }
            is_there = status == SLUICE_OK || status == SLUICE_ETIMEDOUT;
        }
        (void)load_close(lane, listener);
    }
}

/* Reads what a server writes, to whatever end. */
static void visit(load_lane *lane, sluice_handle end) {
    static uint8_t bytes[PIECE];
    load *l = lane->load;
    uint64_t position = 0;
    int32_t status = SLUICE_OK;
    while ((status == SLUICE_OK || status == SLUICE_ETIMEDOUT) && load_goes_on(lane)) {
        uint32_t length = load_some_bytes(lane, PIECE);
        uint64_t timeout_ns = load_some_timeout(lane);
        sluice_result result = {.size = sizeof(result)};
        load_begin(l, &lane->watch, "read from a peer", timeout_ns);
        status = load_end(l, &lane->watch, sluice_read(l->session, end, bytes, length, 0,
                                                       timeout_ns, &result));
        if (!load_check(lane, KEY, position, bytes, result.done)) {
            break;
        }
        position += result.done;
    }
    (void)load_close(lane, end);
}

void load_run_visitor(load_lane *lane) {
    load *l = lane->load;
    char address[LOAD_NAME_BYTES];
    while (load_goes_on(lane)) {
        sluice_result result = {.size = sizeof(result)};
        name_of(l, load_below(lane, l->clients), address);
        load_begin(l, &lane->watch, "connect to a peer", LOAD_OPEN_NS);
        int32_t status = load_end(l, &lane->watch, sluice_connect(l->session, address,
                                                                  LOAD_OPEN_NS, &result));
        if (status == SLUICE_OK) {
            visit(lane, result.handles[0]);
        } else {
            load_rest(lane);
        }
    }
}
