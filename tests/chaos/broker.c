/*
 * broker.c - see chaos.h: the broker as a process, and the session that asks for its counters.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/out.h"
#include "tests/chaos/chaos.h"

#define WORKERS     2u
#define TELL_BYTES  4000u /* of the last words of one that died */
#define ASK_NS      (3 * SL_NS_PER_S)

/* A silent broker is given up after two seconds: one that is halted for longer is lost, and in one
 * that is halted for less long calls outlive their deadlines, up to their grace. */
static const char *const limits[] = {"unresponsive=2s", "ping_interval=200ms",
                                     "drain_grace=300ms", NULL};

void chaos_broker_start(chaos *c) {
    place_start_broker(&c->at, WORKERS, limits);
    c->is_broker_up = true;
    c->is_broker_halted = false;
    c->lives++;
}

static void bury(chaos *c, uint64_t back_after_ns) {
    chaos_life_end(c);
    c->is_broker_up = false;
    c->is_broker_halted = false;
    c->broker_back_ns = place_now_ns() + back_after_ns;
}

void chaos_broker_kill(chaos *c, uint64_t back_after_ns) {
    process_kill(&c->at.broker);
    EXPECT(process_wait(&c->at.broker, PROCESS_PATIENCE_NS));
    process_deinit(&c->at.broker);
    bury(c, back_after_ns);
}

void chaos_broker_halt(chaos *c, uint64_t time_ns) {
    process_suspend(&c->at.broker);
    c->is_broker_halted = true;
    c->broker_back_ns = place_now_ns() + time_ns;
}

void chaos_broker_stop(chaos *c) {
    place_stop_broker(&c->at); /* exit code 0, in time */
    bury(c, 0);
}

void chaos_broker_tend(chaos *c, bool at_once) {
    bool is_due = at_once || place_now_ns() >= c->broker_back_ns;
    if (c->is_broker_up && process_wait(&c->at.broker, 0)) {
        size_t length = strlen(c->at.broker.text);
        c->crashes++;
        out_complain("chaos: the broker ended by itself, code %d; its last words:\n",
                     c->at.broker.exit_code);
        (void)fprintf(stderr, "%s\n",
                      c->at.broker.text + (length > TELL_BYTES ? length - TELL_BYTES : 0));
        process_deinit(&c->at.broker);
        bury(c, 0);
    }
    if (c->is_broker_halted && is_due) {
        process_resume(&c->at.broker);
        c->is_broker_halted = false;
    }
    if (!c->is_broker_up && is_due) {
        chaos_broker_start(c);
    }
}

bool chaos_broker_ask(chaos *c, sluice_broker_info *ret_info) {
    uint64_t until_ns = place_now_ns() + CHAOS_PATIENCE_NS;
    int32_t status;
    do {
        *ret_info = (sluice_broker_info){.size = sizeof(*ret_info)};
        /* The ping makes the connection anew where that is needed. */
        status = sluice_ping(c->control, ASK_NS, NULL);
        status = status != SLUICE_OK ? status : sluice_broker_status(c->control, ASK_NS, ret_info);
    } while (status != SLUICE_OK && place_now_ns() < until_ns);
    if (status != SLUICE_OK) {
        c->hangs++;
        out_complain("chaos: HANG: the broker does not answer: %s\n", sluice_status_name(status));
    }
    return status == SLUICE_OK;
}
