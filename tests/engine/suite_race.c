/*
 * suite_race.c - the randomised races: submits, cancels, completions and closes over many
 * streams. See race.h for the model, race_actor.c for the actions.
 *
 * One worker with both ends of every stream, per kind; and, where workers have threads of their
 * own, pipes and TCP connections between two threads, so that the peer acts during a cancel.
 */
#include <string.h>

#include "tests/engine/race.h"

static const char *const outcome_names[] = {"success", "aborted", "another error"};

static void add_tally(race_tally *sum, const race_tally *more) {
    sum->submitted += more->submitted;
    sum->completed += more->completed;
    sum->races += more->races;
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < 3; j++) {
            sum->outcomes[i][j] += more->outcomes[i][j];
        }
    }
    sum->stale_cancels += more->stale_cancels;
    sum->closes += more->closes;
    sum->opens += more->opens;
    sum->bytes += more->bytes;
    sum->doubtful += more->doubtful;
    sum->cut += more->cut;
}

static void report(const race *shared, const race_tally *tally, uint64_t elapsed_ns) {
    EXPECT_INT(tally->submitted, tally->completed);
    EXPECT(tally->races >= shared->wanted);
    t_note(
        "  %s, seed %llu: %llu requests, %llu races (a cancel or a close met them), %llu closes, "
        "%llu bytes checked, %.0f requests/s",
        stream_names[shared->kind], (unsigned long long)t_seed(),
        (unsigned long long)tally->submitted, (unsigned long long)tally->races,
        (unsigned long long)tally->closes, (unsigned long long)tally->bytes,
        elapsed_ns == 0 ? 0.0 : (double)tally->submitted * 1e9 / (double)elapsed_ns);
    for (unsigned i = 0; i < 2; i++) {
        t_note("    cancelled %s: %llu success, %llu aborted, %llu another error",
               i == 0 ? "reads " : "writes", (unsigned long long)tally->outcomes[i][0],
               (unsigned long long)tally->outcomes[i][1],
               (unsigned long long)tally->outcomes[i][2]);
    }
    t_note("    %llu writes in doubt, %llu cancels of ids long gone, %llu streams cut by Wine",
           (unsigned long long)tally->doubtful, (unsigned long long)tally->stale_cancels,
           (unsigned long long)tally->cut);
    for (unsigned j = 0; j < 3; j++) {
        if (tally->outcomes[0][j] + tally->outcomes[1][j] == 0) {
            t_fail(__FILE__, __LINE__, "no cancelled request ended with %s", outcome_names[j]);
        }
    }
}

/* ---- one worker ------------------------------------------------------------------------------ */

static void reopen_both(race_actor *a, race_conn *conn) {
    engine_handle *ends[2];
    race_conn_recycle(a, conn);
    rig_stream(a->r, a->race->kind, ends); /* others' completions wait in the inbox */
    race_end_open(a, &conn->ends[0], ends[0]);
    race_end_open(a, &conn->ends[1], ends[1]);
    atomic_store(&conn->open_ends, 2);
    atomic_store(&conn->is_dirty, 1);
}

static void run_alone(race_actor *a) {
    while (atomic_load(&a->race->races) < a->race->wanted) {
        for (unsigned i = 0; i < RACE_CONNS; i++) {
            if (atomic_load(&a->race->conns[i].open_ends) == 0) {
                reopen_both(a, &a->race->conns[i]);
            }
        }
        (void)race_actor_act(a);
        race_actor_poll(a, false);
    }
    t_phase("drain");
    while (race_actor_has_open_ends(a)) {
        race_actor_drain(a);
        race_actor_poll(a, true);
    }
    for (unsigned i = 0; i < RACE_CONNS; i++) {
        race_conn_recycle(a, &a->race->conns[i]);
    }
}

static void race_alone(stream_kind kind) {
    rig *r = rig_open_with(NULL, SIM_PROFILE_RACES);
    race *shared = race_create(kind, t_scale(T_COUNT_RACES));
    race_actor actor;
    race_actor_init(&actor, shared, r, 0, 1, t_seed());
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    run_alone(&actor);
    report(shared, &actor.tally, sl_clock_now_ns(sl_clock_system()) - start_ns);
    race_actor_deinit(&actor);
    race_destroy(shared);
    rig_close(r);
}

static void race_pair(void) {
    race_alone(STREAM_PAIR);
}

static void race_pipe(void) {
    race_alone(STREAM_PIPE);
}

static void race_tcp(void) {
    race_alone(STREAM_TCP);
}

/* ---- two workers ----------------------------------------------------------------------------- */

typedef struct client_scene {
    race *race;
    rig *server; /* its engine and addresses only */
    sl_atomic_bool ended;
    race_tally tally;
} client_scene;

/* The client's thread opens: it owns a conn whose ends are both closed. */
static void reopen_as_client(race_actor *a, const engine_address *address, race_conn *conn) {
    engine_request_id id = 0;
    race_conn_recycle(a, conn);
    atomic_store(&conn->open_ends, 2);
    atomic_store(&conn->is_dirty, 1);
    atomic_store(&a->race->opening, conn);
    EXPECT_STATUS(engine_connect(a->r->worker, address, SL_CLOCK_NEVER, NULL, NULL, &id),
                  SLUICE_OK);
    engine_completion completion = rig_await(a->r, id);
    EXPECT_STATUS(completion.status, SLUICE_OK);
    race_end_open(a, &conn->ends[1], completion.opened[0]);
}

static void run_client(void *context) {
    client_scene *scene = context;
    race *shared = scene->race;
    rig *r = rig_open_on(scene->server);
    race_actor actor;
    race_actor_init(&actor, shared, r, 1, 1, t_seed() + 1);
    while (atomic_load(&shared->races) < shared->wanted) {
        for (unsigned i = 0; i < RACE_CONNS; i++) {
            if (atomic_load(&shared->conns[i].open_ends) == 0 &&
                atomic_load(&shared->opening) == NULL) {
                reopen_as_client(&actor, &scene->server->addresses[shared->kind],
                                 &shared->conns[i]);
            }
        }
        race_actor_poll(&actor, !race_actor_act(&actor));
    }
    while (race_actor_has_open_ends(&actor) || atomic_load(&shared->opening) != NULL) {
        race_actor_drain(&actor);
        race_actor_poll(&actor, true);
    }
    scene->tally = actor.tally;
    race_actor_deinit(&actor);
    rig_close(r);
    atomic_store(&scene->ended, true);
}

static void run_server(race_actor *a, client_scene *scene) {
    a->listener = rig_listener(a->r, a->race->kind);
    EXPECT_STATUS(engine_accept(a->listener, NULL, &a->accept), SLUICE_OK);
    while (!atomic_load(&scene->ended) || race_actor_has_open_ends(a)) {
        bool racing = atomic_load(&a->race->races) < a->race->wanted;
        bool acted = racing && race_actor_act(a);
        if (!racing) {
            race_actor_drain(a);
        }
        race_actor_poll(a, !acted);
    }
    engine_cancel(a->r->worker, a->accept);
    while (a->accept != 0) {
        race_actor_poll(a, true);
    }
}

static void race_between_threads(stream_kind kind) {
    rig *r = rig_open();
    race *shared = race_create(kind, t_scale(T_COUNT_RACES));
    client_scene scene = {.race = shared, .server = r};
    race_actor actor;
    t_thread thread;
    (void)rig_listener(r, kind);
    race_actor_init(&actor, shared, r, 0, 0, t_seed());
    uint64_t start_ns = sl_clock_now_ns(sl_clock_system());
    t_thread_start(&thread, run_client, &scene);
    run_server(&actor, &scene);
    t_thread_join(&thread);
    for (unsigned i = 0; i < RACE_CONNS; i++) {
        race_conn_recycle(&actor, &shared->conns[i]);
    }
    add_tally(&actor.tally, &scene.tally);
    report(shared, &actor.tally, sl_clock_now_ns(sl_clock_system()) - start_ns);
    race_actor_deinit(&actor);
    race_destroy(shared);
    rig_close(r);
}

static void race_pipe_threads(void) {
    race_between_threads(STREAM_PIPE);
}

static void race_tcp_threads(void) {
    race_between_threads(STREAM_TCP);
}

static const t_case cases[] = {
    {"race_pair", 0, race_pair},
    {"race_pipe", 0, race_pipe},
    {"race_tcp", 0, race_tcp},
    {"race_pipe_threads", T_THREADED, race_pipe_threads},
    {"race_tcp_threads", T_THREADED, race_tcp_threads},
};

const t_suite suite_race = {"race", cases, SL_ARRAY_COUNT(cases)};
