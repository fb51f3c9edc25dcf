/*
 * act_opener.c - what opener threads do: look-ups; a connect that comes too late.
 */
#include "base/thread.h"
#include "engine/opener.h"
#include "tests/fault/act.h"

/* The opener of a connect waits, where it is asked to. (Not that of a path which is given up: one
 * may be left of what failed before.) */
static struct {
    sl_atomic_bool is_asked;
    sl_atomic_bool has_begun;
    sl_event go;
    sl_event back;
} late;

static void run_late(engine_opener_job *job) {
    bool is_late = job->kind == ENGINE_OPENER_CONNECT && atomic_exchange(&late.is_asked, false);
    if (is_late) {
        atomic_store(&late.has_begun, true);
        (void)sl_event_wait_until(&late.go, SL_CLOCK_NEVER);
    }
    engine_opener_os_run(job);
    if (is_late) {
        sl_event_set(&late.back);
    }
}

void act_openers_start(void) {
    engine_opener_run = run_late;
}

static void give_up_connect(script *s, const engine_address *address) {
    atomic_store(&late.has_begun, false);
    atomic_store(&late.is_asked, true);
    engine_request_id id = act_connect(s, address);
    while (id != 0 && !atomic_load(&late.has_begun) && !script_has(s, id)) {
        script_pump(s, SL_NS_PER_MS);
    }
    if (id != 0) {
        engine_cancel(s->worker, id);
        s->has_failed = script_await(s, id).status != SLUICE_ECANCELED || s->has_failed;
    }
    if (!atomic_exchange(&late.is_asked, false)) {
        sl_event_set(&late.go);
        (void)sl_event_wait_until(&late.back, SL_CLOCK_NEVER);
    }
}

/* A connect that was given up, and succeeds: nobody has it. */
void act_late_connect(script *s) {
    engine_address address = script_pipe_address();
    engine_handle *listener;
    if (!script_check(s, "engine_listen", act_listen(s, &address, 1, NULL, &listener), S_OPEN)) {
        return;
    }
    if (script_check(s, "sl_event_init", sl_event_init(&late.go), S(EOSLIMIT))) {
        if (script_check(s, "sl_event_init", sl_event_init(&late.back), S(EOSLIMIT))) {
            give_up_connect(s, &address);
            sl_event_deinit(&late.back);
        }
        sl_event_deinit(&late.go);
    }
    script_close(s, listener);
}

void act_resolve(script *s) {
    for (unsigned i = 0; i < 2; i++) {
        engine_address found[4];
        engine_request_id id = 0;
        if (!script_submitted(
                s, "engine_resolve",
                engine_resolve(s->worker, "localhost", 80, found, 4, NULL, NULL, &id))) {
            return;
        }
        if (i == 1) { /* cancelled, unless it was faster */
            engine_cancel(s->worker, id);
            int status = script_await(s, id).status;
            s->has_failed = s->has_failed || (status != SLUICE_ECANCELED && status != SLUICE_OK);
            return;
        }
        engine_completion done = script_await(s, id);
        s->has_failed = s->has_failed || done.status != SLUICE_OK;
        EXPECT(done.status != SLUICE_OK || (done.count > 0 && done.count <= 4));
    }
}
