/*
 * scene.h - what the cases share: a test build of the broker with two workers, a session of the
 * library on one, the control connection on the other; and what a client does all day.
 */
#ifndef SLUICE_TESTS_FAILPOINT_SCENE_H
#define SLUICE_TESTS_FAILPOINT_SCENE_H

#include "base/failpoint.h"
#include "tests/failpoint/canary.h"
#include "tests/failpoint/control.h"
#include "tests/integration/place.h"

#define SCENE_VARIABLE   "SLUICE_FAILPOINTS"
#define SCENE_TIMEOUT_NS (2 * SL_NS_PER_S) /* of calls that nothing holds up */
#define SCENE_TEXT_BYTES 160

/* ---- what a client does ---- */

typedef struct work {
    sluice_session *session;
    const char *endpoint;
    bool is_lost;       /* a call has ended as calls without a broker do */
    int32_t loss;       /* the first such status */
    uint32_t calls;
    uint64_t latest_ns; /* behind its deadline */
} work;

/* Opens, reads, writes, waits, cancels, connects, closes: past every point of a running broker.
 * Fails the test if a call outlives its deadline and the grace, or ends unlike itself; returns
 * early when the broker is lost. */
void work_round(work *w);
/* Is this how calls end when there is no broker, or no longer the same? */
bool work_is_loss(int32_t status);

/* ---- the scene ---- */

typedef struct scene {
    place *at;
    control control;
    sluice_session *session; /* NULL until the first scene_begin */
} scene;

/* Starts a broker, and opens the session unless there is one, which finds it. */
void scene_begin(scene *s, place *at, const char *const *limits);
/* Puts the control connection on another worker than the session. */
void scene_attach(scene *s);
/* "NAME=ACTION" */
void scene_set(scene *s, const char *name, const char *action);
/* Nothing is left but the session and the control connection. */
void scene_check_clean(scene *s);
/* Kills the broker if it lives, and closes the session. */
void scene_end(scene *s);

/* Waits until the process says that this point acts; fails the test if it never does. */
void scene_expect_met(process *p, const char *name, const char *action);
/* It dies of that point. Gives the process back. */
void scene_expect_death(process *p, const char *name);

/* ---- the cases ---- */

void case_engine(place *at);
void case_broker(place *at);
void case_client(place *at);
void case_hold(place *at);
void case_stuck(place *at);
void case_refuse(place *at);
void case_ignored(place *at);
void case_start(place *at);
void case_request(place *at);
void case_release(place *at);

#endif
