/*
 * script.c - see script.h. Requests by id, completions once each, statuses against the header.
 */
#include "tests/fault/script.h"

#include <stdio.h>
#include <string.h>

#define PUMP_NS SL_NS_PER_MS

/* engine.h, at each call: what a completion may say beside SLUICE_OK. */
static const uint64_t legal_ends[ENGINE_KIND_COUNT] = {
    [ENGINE_READ] = S(EEOF) | S(ECANCELED) | S(ERESET) | S(EOSLIMIT) | S(EOS),
    [ENGINE_WRITE] = S(ECANCELED) | S(EBROKENPIPE) | S(ERESET) | S(EOSLIMIT) | S(EOS),
    [ENGINE_RECEIVE_FROM] = S(ECANCELED) | S(ETRUNCATED) | S(EOSLIMIT) | S(EOS),
    [ENGINE_SEND_TO] = S(ECANCELED) | S(ETOOLARGE) | S(EACCESS) | S(EUNREACHABLE) | S(EREFUSED) |
                       S(EBROKENPIPE) | S(ERESET) | S(EOSLIMIT) | S(EOS),
    [ENGINE_HALF_CLOSE] = S(ECANCELED) | S(EBROKENPIPE) | S(ERESET) | S(EOSLIMIT) | S(EOS),
    [ENGINE_ACCEPT] = S(ECANCELED) | S(EACCESS) | S(EOSLIMIT) | S(EOS),
    [ENGINE_LISTEN] = S(ECANCELED) | S_OPEN,
    [ENGINE_CONNECT] = S(ECANCELED) | S(ETIMEDOUT) | S(EREFUSED) | S(ENOTFOUND) |
                       S(EUNREACHABLE) | S(ERESET) | S(EACCESS) | S(ENAMETOOLONG) | S(EINVAL) |
                       S(EQUOTA) | S(ENOMEM) | S(EOSLIMIT) | S(EOS),
    [ENGINE_PAIR] = S(ECANCELED) | S(EQUOTA) | S(ENOMEM) | S(EOSLIMIT) | S(EOS),
    [ENGINE_RESOLVE] = S(ENOTFOUND) | S(EUNREACHABLE) | S(ECANCELED) | S(EQUOTA) | S(ENOMEM) |
                       S(EOSLIMIT) | S(EOS),
    [ENGINE_CLOSE] = 0,
    [ENGINE_MESSAGE] = 0,
};

uint64_t script_now_ns(void) {
    return sl_clock_now_ns(sl_clock_system());
}

void script_expect_legal(const char *what, int status, uint64_t legal) {
    if (status > 0 || status <= -SLUICE_STATUS_COUNT ||
        (status != SLUICE_OK && (legal & (UINT64_C(1) << -status)) == 0)) {
        fprintf(stderr, "fault: %s: %s (%d) is not in the header's list\n", what,
                sl_status_name(status), status);
        EXPECT(!"a documented status");
    }
}

bool script_check_is(script *s, const char *what, int status, int good, uint64_t legal) {
    script_expect_legal(what, status, legal);
    s->has_failed = s->has_failed || status != good;
    return status == good;
}

bool script_check(script *s, const char *what, int status, uint64_t legal) {
    return script_check_is(s, what, status, SLUICE_OK, legal);
}

bool script_submitted(script *s, const char *what, int status) {
    bool is_accepted = script_check(s, what, status, S_REFUSALS);
    s->accepted += is_accepted;
    return is_accepted;
}

/* ---- completions ----------------------------------------------------------------------------- */

static void take(script *s, const engine_completion *completion) {
    char what[64];
    EXPECT((unsigned)completion->kind < ENGINE_KIND_COUNT);
    (void)snprintf(what, sizeof(what), "the end of a %s", engine_kind_name(completion->kind));
    script_expect_legal(what, completion->status, legal_ends[completion->kind]);
    EXPECT(completion->kind == ENGINE_CLOSE || completion->status == SLUICE_OK ||
           (completion->opened[0] == NULL && completion->opened[1] == NULL));
    for (unsigned i = 0; i < s->inbox_count; i++) { /* never a second one */
        EXPECT(completion->id == 0 || s->inbox[i].id != completion->id);
    }
    EXPECT(s->inbox_count < SCRIPT_INBOX_MAX);
    s->inbox[s->inbox_count++] = *completion;
    s->ended += completion->kind != ENGINE_MESSAGE;
    EXPECT(s->ended <= s->accepted);
}

void script_pump(script *s, uint64_t pause_ns) {
    engine_completion batch[64];
    uint64_t until_ns = pause_ns == 0 ? 0 : script_now_ns() + pause_ns;
    unsigned count = engine_poll(s->worker, batch, SL_ARRAY_COUNT(batch), until_ns);
    for (unsigned i = 0; i < count; i++) {
        take(s, &batch[i]);
    }
}

static engine_completion *find(script *s, engine_request_id id, const engine_handle *closed) {
    for (unsigned i = 0; i < s->inbox_count; i++) {
        engine_completion *c = &s->inbox[i];
        if (closed != NULL ? c->kind == ENGINE_CLOSE && c->handle == closed : c->id == id) {
            return c;
        }
    }
    return NULL;
}

static engine_completion wait_for(script *s, engine_request_id id, const engine_handle *closed) {
    uint64_t end_ns = script_now_ns() + SCRIPT_WAIT_NS;
    engine_completion *found;
    while ((found = find(s, id, closed)) == NULL) {
        if (script_now_ns() >= end_ns) {
            fprintf(stderr, "fault: nothing ends %s\n", closed != NULL ? "a close" : "a request");
            EXPECT(!"a completion comes");
        }
        script_pump(s, PUMP_NS);
    }
    engine_completion taken = *found;
    *found = s->inbox[--s->inbox_count];
    return taken;
}

bool script_has(script *s, engine_request_id id) {
    return find(s, id, NULL) != NULL;
}

int script_status(script *s, engine_request_id id) {
    return find(s, id, NULL)->status;
}

engine_completion script_await(script *s, engine_request_id id) {
    return wait_for(s, id, NULL);
}

bool script_await_is(script *s, engine_request_id id, int good) {
    engine_completion done = script_await(s, id);
    s->has_failed = s->has_failed || done.status != good;
    return done.status == good;
}

void script_close(script *s, engine_handle *handle) {
    if (handle != NULL) {
        EXPECT(engine_close(handle, NULL) == SLUICE_OK);
        s->accepted++;
        (void)wait_for(s, 0, handle);
    }
}
