/*
 * act_behalf.c - what is opened for a peer: with its own rights, which do, and with a stranger's.
 */
#include "tests/fault/act.h"

#define S_RIGHTS \
    (S(ENOTSUP) | S(ECLOSED) | S(EBUSY) | S(EACCESS) | S(ENOMEM) | S(EOSLIMIT) | S(EOS))

/* What it opened is closed again. */
static void end(script *s, engine_request_id id, int good) {
    engine_completion done = script_await(s, id);
    s->has_failed = s->has_failed || done.status != good;
    s->has_failed = s->has_failed || done.status != good;
    if (done.status == SLUICE_OK) {
        script_close(s, done.opened[0]);
    }
}

static void connect_for(script *s, const engine_address *to, engine_rights *rights, int good) {
    const engine_behalf behalf = {.rights = rights};
    uint64_t deadline_ns = script_now_ns() + SCRIPT_WAIT_NS / 2;
    engine_request_id id = 0;
    if (script_submitted(s, "engine_connect",
                         engine_connect(s->worker, to, deadline_ns, &behalf, NULL, &id))) {
        end(s, id, good);
    }
}

static void open_both(script *s, const engine_address *to, const engine_address *new_name,
                      engine_rights *rights, int good) {
    const engine_behalf behalf = {.rights = rights};
    engine_request_id id = 0;
    connect_for(s, to, rights, good);
    if (script_submitted(s, "engine_listen", engine_listen(s->worker, new_name, 1, NULL, &behalf,
                                                           NULL, &id))) {
        end(s, id, good);
    }
}

void act_behalf(script *s) {
    engine_address name = script_pipe_address();
    engine_address another = script_pipe_address();
    engine_handle *listener = NULL;
    engine_handle *ends[2] = {NULL, NULL};
    engine_rights *rights = NULL;
    if (!script_check(s, "engine_listen", act_listen(s, &name, 1, NULL, &listener), S_OPEN)) {
        return;
    }
    bool is_lesser = false;
    if (act_meet(s, listener, &name, true, ends) &&
        script_check(s, "engine_peer_is_lesser", engine_peer_is_lesser(ends[1], &is_lesser),
                     S_RIGHTS) &&
        script_check(s, "engine_peer_rights", engine_peer_rights(ends[1], &rights), S_RIGHTS)) {
        engine_address detour = name;
        act_detour(&detour);
        engine_address link;
        open_both(s, &detour, &another, rights, SLUICE_OK);
        if (act_link(&name, &link)) {
            connect_for(s, &link, rights, SLUICE_OK);
            act_unlink(&link);
        }
        if (act_name_no_socket(&detour)) {
            connect_for(s, &detour, rights, SLUICE_EREFUSED);
        }
        if (act_make_stranger(rights)) {
            open_both(s, &name, &another, rights, SLUICE_EACCESS);
            act_grant(s, rights);
        }
    }
    engine_rights_release(rights);
    script_close(s, ends[0]);
    script_close(s, ends[1]);
    script_close(s, listener); /* with the connection that nobody has accepted */
}
