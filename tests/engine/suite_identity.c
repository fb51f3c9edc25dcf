/*
 * suite_identity.c - who is at the other end of a pipe: this process's own user, at both ends, on
 * every backend. Two users meet in tests/broker (simulated) and in tests/client (Linux, as root).
 */
#include <string.h>

#include "tests/engine/rig.h"

static engine_identity own_identity(rig *r) {
    engine_identity own;
    memset(&own, 0, sizeof(own));
    EXPECT_STATUS(engine_own_identity(r->engine, &own), SLUICE_OK);
    return own;
}

/* Of an accepted pipe it may be known only when something was read from it. */
static engine_peer await_peer(rig *r, engine_handle *ends[2]) {
    engine_peer peer;
    memset(&peer, 0xff, sizeof(peer));
    int status = engine_peer_identity(ends[0], &peer);
    if (status == SLUICE_EBUSY) {
        uint8_t byte;
        t_note("known only after a read");
        rig_send(r, ends[1], "x", 1);
        rig_receive(r, ends[0], &byte, 1);
        status = engine_peer_identity(ends[0], &peer);
    }
    EXPECT_STATUS(status, SLUICE_OK);
    return peer;
}

static void expect_own(rig *r, const engine_peer *peer) {
    engine_identity own = own_identity(r);
    char text[ENGINE_IDENTITY_TEXT_BYTES];
    engine_identity_text(&peer->user, text);
    t_note("%s, process %u%s", text, (unsigned)peer->process_id,
           peer->is_administrator ? ", administrator" : "");
    EXPECT(engine_identity_equal(&peer->user, &own));
    EXPECT(peer->process_id == 0 || t_is_sim() || peer->process_id == os_process_id());
    EXPECT(peer->is_self);
}

static void same_user_both_ends(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    rig_stream(r, STREAM_PIPE, ends);
    engine_peer peers[2] = {await_peer(r, ends)};
    EXPECT_STATUS(engine_peer_identity(ends[1], &peers[1]), SLUICE_OK);
    expect_own(r, &peers[0]);
    expect_own(r, &peers[1]);
    rig_close_stream(r, ends);
    rig_close(r);
}

/* Asking neither takes bytes nor disturbs a read that is pending. */
static void asking_changes_nothing(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    uint8_t buffer[4];
    engine_peer peer;
    rig_stream(r, STREAM_PIPE, ends);
    (void)await_peer(r, ends);
    for (unsigned i = 0; i < 100; i++) {
        engine_request_id id = rig_read(r, ends[0], buffer, 1);
        EXPECT_STATUS(engine_peer_identity(ends[0], &peer), SLUICE_OK);
        EXPECT_STATUS(engine_peer_identity(ends[1], &peer), SLUICE_OK);
        rig_send(r, ends[1], "ab", 2);
        EXPECT_INT(rig_await_status(r, id, SLUICE_OK), 1);
        EXPECT_STATUS(engine_peer_identity(ends[0], &peer), SLUICE_OK);
        rig_receive(r, ends[0], buffer + 1, 1);
        EXPECT(memcmp(buffer, "ab", 2) == 0);
    }
    EXPECT_INT(rig_counters(r).requests, 0);
    rig_close_stream(r, ends);
    rig_close(r);
}

static void peer_among(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    engine_identity own = own_identity(r);
    engine_identity others[2];
    bool is_among = false;
    EXPECT_STATUS(engine_identity_parse("uid 4000000001", &others[0]), SLUICE_OK);
    EXPECT_STATUS(engine_identity_parse("S-1-5-21-1-2-3-4", &others[1]), SLUICE_OK);
    rig_stream(r, STREAM_PIPE, ends);
    (void)await_peer(r, ends);
    EXPECT_STATUS(engine_peer_is_among(ends[0], &own, 1, &is_among), SLUICE_OK);
    EXPECT(is_among);
    EXPECT_STATUS(engine_peer_is_among(ends[0], others, 2, &is_among), SLUICE_OK);
    EXPECT(!is_among);
    EXPECT_STATUS(engine_peer_is_among(ends[0], others, 0, &is_among), SLUICE_OK);
    EXPECT(!is_among);
    rig_close_stream(r, ends);
    rig_close(r);
}

/* What is opened for a peer that may do what we may, opens; a stranger's is in access_posix.c. */
static void behalf_of_peer(void) {
    rig *r = rig_open();
    engine_handle *ends[2];
    engine_handle *more[2];
    engine_rights *rights = NULL;
    engine_request_id id = 0;
    rig_stream(r, STREAM_PIPE, ends);
    (void)await_peer(r, ends);
    bool is_lesser = true;
    EXPECT_STATUS(engine_peer_is_lesser(ends[0], &is_lesser), SLUICE_OK);
    EXPECT(!is_lesser); /* it is us; one that is: client_trust_other */
    EXPECT_STATUS(engine_peer_rights(ends[0], &rights), SLUICE_OK);
    engine_behalf behalf = {.rights = rights};
    EXPECT_STATUS(engine_connect(r->worker, &r->addresses[STREAM_PIPE],
                                 rig_after_ns(r, T_AWAIT_NS), &behalf, NULL, &id),
                  SLUICE_OK);
    more[0] = rig_accept(r, rig_listener(r, STREAM_PIPE));
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    more[1] = completion.opened[0];
    engine_rights_release(engine_rights_keep(rights));
    engine_rights_release(rights);
    rig_close_stream(r, more);
    rig_close_stream(r, ends);
    rig_close(r);
}

/* Of what is no pipe by name, and of what is closing, nothing is told, and nothing written. */
static void nobody_to_tell(void) {
    static const stream_kind kinds[] = {STREAM_PAIR, STREAM_TCP};
    rig *r = rig_open();
    engine_handle *ends[2];
    engine_peer peer = {.process_id = 42};
    for (unsigned i = 0; i < SL_ARRAY_COUNT(kinds); i++) {
        t_phase(stream_names[kinds[i]]);
        rig_stream(r, kinds[i], ends);
        EXPECT_STATUS(engine_peer_identity(ends[0], &peer), SLUICE_ENOTSUP);
        EXPECT_STATUS(engine_peer_identity(ends[1], &peer), SLUICE_ENOTSUP);
        rig_close_stream(r, ends);
    }
    EXPECT_STATUS(engine_peer_identity(rig_listener(r, STREAM_PIPE), &peer), SLUICE_ENOTSUP);
    rig_stream(r, STREAM_PIPE, ends);
    EXPECT_STATUS(engine_close(ends[0], NULL), SLUICE_OK);
    EXPECT_STATUS(engine_peer_identity(ends[0], &peer), SLUICE_ECLOSED);
    (void)rig_await_closed(r, ends[0]);
    /* The peer is gone: either answer is true, waiting or failing otherwise is not. */
    int status = engine_peer_identity(ends[1], &peer);
    EXPECT(status == SLUICE_OK || status == SLUICE_ECLOSED);
    EXPECT(status == SLUICE_OK || peer.process_id == 42);
    rig_close_handle(r, ends[1]);
    rig_close(r);
}

/* ---- endpoints and pipes --------------------------------------------------------------------- */

static void expect_no_connection(rig *r, const engine_address *to, int status) {
    engine_request_id id = 0;
    EXPECT_STATUS(engine_connect(r->worker, to, rig_after_ns(r, T_AWAIT_NS), NULL, NULL, &id),
                  SLUICE_OK);
    engine_completion completion = rig_await(r, id);
    EXPECT_STATUS(completion.status, status);
    EXPECT(completion.opened[0] == NULL && completion.detail != NULL);
}

/* On Windows these are different names, and nothing is found; elsewhere one name, and the kind is
 * looked at. */
static void endpoint_is_no_pipe(void) {
    rig *r = rig_open();
    engine_address name = t_endpoint_address();
    engine_address pipe = name;
    engine_endpoint *endpoint = NULL;
    engine_handle *listener = NULL;
    bool is_shared = !t_is_backend("iocp");
    pipe.is_endpoint = false;
    EXPECT_STATUS(rig_listen(r, &name, 1, NULL, &listener), SLUICE_EINVAL);
    EXPECT_STATUS(engine_endpoint_create(r->engine, &pipe, NULL, &endpoint, NULL), SLUICE_EINVAL);
    EXPECT_STATUS(engine_endpoint_create(r->engine, &name, NULL, &endpoint, NULL), SLUICE_OK);
    EXPECT_STATUS(engine_endpoint_join(endpoint, r->worker, &listener), SLUICE_OK);
    expect_no_connection(r, &pipe, is_shared ? SLUICE_EACCESS : SLUICE_ENOTFOUND);
    rig_close_handle(r, listener);
    EXPECT_STATUS(engine_endpoint_destroy(endpoint), SLUICE_OK);
    rig_close(r);
}

static void pipe_is_no_endpoint(void) {
    rig *r = rig_open();
    engine_handle *listener = rig_listener(r, STREAM_PIPE);
    engine_address name = r->addresses[STREAM_PIPE];
    bool is_shared = !t_is_backend("iocp");
    name.is_endpoint = true;
    expect_no_connection(r, &name, is_shared ? SLUICE_EUNTRUSTED : SLUICE_ENOTFOUND);
    EXPECT(listener != NULL);
    rig_close(r);
}

/* However a pipe's name is written, it does not get the mark of an endpoint. */
static void mark_is_not_forged(void) {
    rig *r = rig_open();
    if (t_is_sim()) {
        rig_close(r);
        T_SKIP("names have no parts in the simulator");
    }
    for (unsigned i = 0; i < OS_FORGED_NAMES; i++) {
        engine_address forged = t_pipe_address();
        engine_handle *listener = NULL;
        os_forge_mark(forged.pipe, i);
        t_phase(forged.pipe);
        int status = rig_listen(r, &forged, 1, NULL, &listener);
        if (t_is_backend("iocp")) {
            EXPECT_STATUS(status, SLUICE_EACCESS);
            expect_no_connection(r, &forged, SLUICE_EACCESS);
        } else {
            EXPECT_STATUS(status, SLUICE_OK);
            forged.is_endpoint = true;
            expect_no_connection(r, &forged, SLUICE_EUNTRUSTED);
            rig_close_handle(r, listener);
        }
    }
    rig_close(r);
}

static void expect_text(const char *text, bool is_good) {
    engine_identity identity;
    char again[ENGINE_IDENTITY_TEXT_BYTES];
    t_phase(text);
    EXPECT_STATUS(engine_identity_parse(text, &identity), is_good ? SLUICE_OK : SLUICE_EINVAL);
    if (is_good) {
        engine_identity_text(&identity, again);
        EXPECT(strcmp(text, again) == 0);
    }
}

static void texts(void) {
    static const char *const good[] = {
        "uid 0", "uid 4294967295", "gid 100", "S-1-5-18", "S-1-5-32-544", "S-1-0-0",
        "S-1-5-21-4294967295-2-3-1001",
        "S-1-5-80-1-2-3-4-5-6-7-8-9-10-11-12-13-14" /* the longest: 15 parts */
    };
    static const char *const bad[] = {
        "", "uid", "uid ", "uid -1", "uid 4294967296", "uid 1x", "uid  1", "root", "S-1", "S-1-5",
        "S-1-5-", "S-1-5-x", "S-1-5-18-", "S-256-5-18", "S-1-4294967296-1", "S-1-5-4294967296",
        "S-1-5-80-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15"};
    for (unsigned i = 0; i < SL_ARRAY_COUNT(good); i++) {
        expect_text(good[i], true);
    }
    for (unsigned i = 0; i < SL_ARRAY_COUNT(bad); i++) {
        expect_text(bad[i], false);
    }
    engine_identity nobody;
    engine_identity user;
    engine_identity group;
    memset(&nobody, 0, sizeof(nobody));
    engine_identity_uid(&user, 7);
    engine_identity_gid(&group, 7);
    EXPECT(!engine_identity_equal(&nobody, &nobody) && !engine_identity_equal(&user, &group));
    EXPECT(engine_identity_equal(&user, &user));
    char text[ENGINE_IDENTITY_TEXT_BYTES];
    engine_identity large = {.kind = ENGINE_IDENTITY_SID,
                             .length = 12,
                             .bytes = {1, 1, 0xab, 0xcd, 0, 0, 0, 1, 9}};
    engine_identity_text(&large, text);
    EXPECT(strcmp(text, "S-1-0xabcd00000001-9") == 0);
}

static const t_case cases[] = {
    {"same_user_both_ends", T_SMOKE, same_user_both_ends},
    {"asking_changes_nothing", 0, asking_changes_nothing},
    {"peer_among", 0, peer_among},
    {"behalf_of_peer", T_SMOKE, behalf_of_peer},
    {"nobody_to_tell", 0, nobody_to_tell},
    {"endpoint_is_no_pipe", T_SMOKE, endpoint_is_no_pipe},
    {"pipe_is_no_endpoint", T_SMOKE, pipe_is_no_endpoint},
    {"mark_is_not_forged", T_SMOKE, mark_is_not_forged},
    {"texts", 0, texts},
};

const t_suite suite_identity = {"identity", cases, SL_ARRAY_COUNT(cases)};
