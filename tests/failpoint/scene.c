/*
 * scene.c - see scene.h.
 */
#include "tests/failpoint/scene.h"

#include <stdio.h>
#include <string.h>

#define NAME          "worker"
#define ATTEMPTS_MAX  512u
#define ROWS_MAX      64u
#define EXIT_KILLED   137 /* SIGKILL */
#define EXIT_KILLED_WINDOWS 9

/* ---- where the session is ---- */

static bool find_worker(sluice_session *session, uint32_t *ret_worker) {
    static sluice_ops_row rows[ROWS_MAX];
    sluice_ops_query query = {.size = sizeof(query), .row_size = sizeof(rows[0])};
    uint32_t count = 0;
    uint64_t cursor = 0;
    EXPECT(sluice_ops(session, &query, PLACE_LONG_NS, rows, ROWS_MAX, &count, &cursor) ==
           SLUICE_OK);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(rows[i].client_name, NAME) == 0 && strcmp(rows[i].kind_name, "read") == 0) {
            *ret_worker = rows[i].worker;
            return true;
        }
    }
    return false;
}

/* A read that waits shows in the list of operations, with its worker. */
static uint32_t worker_of(sluice_session *session) {
    static char byte;
    sluice_result pair = {.size = sizeof(pair)};
    place_tally tally;
    uint32_t worker = 0;
    place_tally_init(&tally, 1);
    EXPECT(sluice_pair(session, PLACE_LONG_NS, &pair) == SLUICE_OK);
    EXPECT(sluice_read_start(session, pair.handles[0], &byte, 1, 0, SLUICE_NO_TIMEOUT, place_count,
                             &tally, NULL) == SLUICE_OK);
    bool is_found = find_worker(session, &worker); /* sent behind the read */
    EXPECT(is_found);
    EXPECT(sluice_close(session, pair.handles[0], PLACE_LONG_NS, NULL) == SLUICE_OK);
    EXPECT(sluice_close(session, pair.handles[1], PLACE_LONG_NS, NULL) == SLUICE_OK);
    EXPECT(place_tally_wait(&tally, PLACE_LONG_NS));
    place_tally_deinit(&tally);
    return worker;
}

static void open_control(scene *s) {
    control_open(&s->control, s->at->endpoint);
    control_set(&s->control, ""); /* whose is it? */
}

/* Connections go to the workers in turn, or to whoever is first: those that were tried stay open
 * until the right one is found. */
void scene_attach(scene *s) {
    control tried[ATTEMPTS_MAX];
    uint32_t count = 0;
    uint32_t worker = worker_of(s->session);
    control_close(&s->control);
    open_control(s);
    while (s->control.worker == worker) {
        EXPECT(count < ATTEMPTS_MAX && "the other worker gets a connection");
        tried[count++] = s->control;
        open_control(s);
    }
    while (count > 0) {
        control_close(&tried[--count]);
    }
}

/* ---- up and down ---- */

void scene_begin(scene *s, place *at, const char *const *limits) {
    s->at = at;
    place_start_broker(at, 2, limits);
    if (s->session == NULL) {
        s->session = place_open(at->endpoint, NAME);
    }
    scene_attach(s);
}

void scene_set(scene *s, const char *name, const char *action) {
    char text[SCENE_TEXT_BYTES];
    (void)snprintf(text, sizeof(text), "%s=%s", name, action);
    control_set(&s->control, text);
}

static bool is_clean(const sluice_broker_info *info) {
    /* The session and the control connection; the call that asks. */
    return info->sessions == 2 && info->handles == 0 && info->operations <= 1 &&
           info->zombies == 0;
}

void scene_check_clean(scene *s) {
    place_await(s->session, is_clean);
}

void scene_end(scene *s) {
    control_close(&s->control);
    process_deinit(&s->at->broker);
    EXPECT(sluice_session_close(s->session) == SLUICE_OK); /* checks that its memory is back */
    s->session = NULL;
}

/* ---- what a process met ---- */

void scene_expect_met(process *p, const char *name, const char *action) {
    char line[SCENE_TEXT_BYTES];
    (void)snprintf(line, sizeof(line), "failpoint %s: %s", name, action);
    (void)process_until(p, line);
}

void scene_expect_death(process *p, const char *name) {
    scene_expect_met(p, name, "kill");
    EXPECT(process_wait(p, PROCESS_PATIENCE_NS));
    EXPECT(p->exit_code == EXIT_KILLED || p->exit_code == EXIT_KILLED_WINDOWS);
    process_deinit(p);
}
