/*
 * connect.c - from "somebody wants a connection" to Hello's reply, and what its loss means.
 *
 *     DOWN -> (LAUNCHING) -> CONNECTING -> GREETING -> READY -> DOWN
 *                  BACKOFF <-'      '-> BACKOFF, or DOWN and all who wait are told
 *
 * A private broker is started anew for every connection; until it listens, connecting is tried
 * again. A service is tried once when the session is opened; when a connection is lost later, it is
 * tried again until open_timeout_ns have passed, each time after a longer wait with jitter, so
 * that a thousand clients of a restarted service do not come at once. A service that is stopping
 * says so (ESHUTDOWN), and whoever waits is told; AUTO goes on to a private broker.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/status.h"
#include "base/text.h"
#include "client/core.h"
#include "client/detail.h"
#include "client/handles.h"
#include "proto/version.h"

#define LAUNCH_FIRST_NS (2 * SL_NS_PER_MS)
#define LAUNCH_MAX_NS   (32 * SL_NS_PER_MS)
#define RETRY_FIRST_NS  (10 * SL_NS_PER_MS)
#define RETRY_MAX_NS    (1000 * SL_NS_PER_MS)
/* Who lost a connection just now waits a little before the first attempt, too. */
#define RECENTLY_NS SL_NS_PER_S
/* However patient the caller is, each step has its end. */
/* A private broker's process is there: what looks into every program that starts, a virus scanner
 * for example, has had its time. */
#define STARTING_MAX_NS (60 * SL_NS_PER_S)
/* ... and it listens. Longer than sluiced's own bound on its start, 10 s, after which its log says
 * what did not go on. */
#define LISTENING_MAX_NS (15 * SL_NS_PER_S)
/* What listens takes us in; and then it greets. A broker that is silent from the first is given up
 * like one that falls silent (unresponsive_ns by default). */
#define TAKING_IN_MAX_NS (5 * SL_NS_PER_S)
#define GREETING_MAX_NS  (5 * SL_NS_PER_S)

/* Between half of delay_ns and all of it. */
static uint64_t jitter(client_core *core, uint64_t delay_ns) {
    uint32_t random;
    core->random->fill(core->random, &random, sizeof(random));
    return delay_ns / 2 + (delay_ns / 2 * (random >> 16)) / 65536;
}

void client_connect_explain(client_core *core, const char *detail) {
    client_detail_copy(core->down_detail, sizeof(core->down_detail), detail);
}

/* For want of a connection. */
static void end_one(client_core *core, client_operation *op, int status, uint32_t os_error) {
    client_core_explain(op, core->down_detail);
    client_core_end(core, op, status, os_error);
}

/* What is said where nobody has said more. */
static void explain_end(client_core *core, int status, uint32_t os_error) {
    const client_settings *settings = &core->settings;
    if (status == SLUICE_EOSLIMIT && settings->explain_limit != NULL &&
        settings->explain_limit(os_error, core->down_detail, sizeof(core->down_detail))) {
        return;
    }
    if (core->down_detail[0] == '\0') {
        sl_reason reason;
        const char *sentence = sl_status_sentence(status);
        bool fits = strlen(core->endpoint) + strlen(sentence) + 3 <= sizeof(reason.text);
        const char *where = core->endpoint[0] == '\0' ? "the private broker"
                            : fits                    ? core->endpoint
                                                      : "endpoint";
        (void)sl_reason_set(&reason, status, where, sentence);
        client_connect_explain(core, reason.text);
    }
}

/* Ends all who wait for a connection. What is known of the session is told first: who asks for it
 * after its call has ended must not see what was before. */
static void give_up(client_core *core, int status, uint32_t os_error) {
    explain_end(core, status, os_error);
    core->phase = CLIENT_DOWN;
    core->down_status = status;
    core->down_os_error = os_error;
    core->hooks.on_connection(core->hooks.user);
    sl_list *node;
    while ((node = sl_list_first(&core->waiting)) != NULL) {
        end_one(core, SL_LIST_ENTRY(node, client_operation, link), status, os_error);
    }
}

/* The present step may take so long, within the time of who waits. */
static void begin_step(client_core *core, client_phase phase, uint64_t most_ns,
                       uint64_t deadline_ns) {
    uint64_t end_ns = sl_clock_after_ns(core->now_ns, most_ns);
    core->phase = phase;
    core->step_most_ns = most_ns;
    core->step_deadline_ns = end_ns < deadline_ns ? end_ns : deadline_ns;
}

/* What the other side has done meanwhile has not been heard yet, nor has it heard from us. But who
 * waits has said until when, and the next attempt does not come later. */
void client_connect_stopped(client_core *core) {
    bool is_trying = core->phase == CLIENT_CONNECTING || core->phase == CLIENT_BACKOFF;
    if (is_trying && core->mode == SLUICE_MODE_PRIVATE) {
        uint64_t end_ns = sl_clock_after_ns(core->now_ns, LISTENING_MAX_NS);
        core->listen_deadline_ns =
            end_ns < core->phase_deadline_ns ? end_ns : core->phase_deadline_ns;
    }
    if (core->phase == CLIENT_CONNECTING) {
        begin_step(core, core->phase, core->step_most_ns, core->listen_deadline_ns);
    } else if (core->phase == CLIENT_LAUNCHING || core->phase == CLIENT_GREETING) {
        begin_step(core, core->phase, core->step_most_ns, core->phase_deadline_ns);
    }
}

static void launch(client_core *core) {
    begin_step(core, CLIENT_LAUNCHING, STARTING_MAX_NS, core->phase_deadline_ns);
    client_connect_explain(core, NULL);
    core->hooks.on_launch(core->hooks.user);
}

static void back_off(client_core *core) {
    bool is_private = core->mode == SLUICE_MODE_PRIVATE;
    uint64_t first_ns = is_private ? LAUNCH_FIRST_NS : RETRY_FIRST_NS;
    uint64_t max_ns = is_private ? LAUNCH_MAX_NS : RETRY_MAX_NS;
    uint32_t doublings = core->attempt_count < 16 ? core->attempt_count : 16;
    uint64_t delay_ns = first_ns << doublings;
    core->attempt_count++;
    delay_ns = jitter(core, delay_ns < max_ns ? delay_ns : max_ns);
    begin_step(core, CLIENT_BACKOFF, delay_ns, core->listen_deadline_ns);
}

static void describe(sl_reason *ret_reason, const char *before, const char *name,
                     const char *after) {
    sl_text text;
    sl_text_init(&text, ret_reason->text, sizeof(ret_reason->text) - 1);
    sl_text_append(&text, before);
    sl_text_append(&text, name);
    sl_text_append(&text, after);
    ret_reason->text[text.length] = '\0';
}

/* Where nobody was found, and what can be done. */
static void describe_absence(const client_core *core, sl_reason *ret_reason) {
    if (core->mode == SLUICE_MODE_PRIVATE) {
        describe(ret_reason, "the private broker was started, but does not listen", "", "");
    } else {
        describe(ret_reason, "no broker listens at ", core->endpoint,
                 ": start sluiced, or use a private broker");
    }
}

/* Unless more is known. */
static void explain_absence(client_core *core) {
    sl_reason reason;
    if (core->down_detail[0] != '\0') {
        return;
    }
    if (core->phase == CLIENT_GREETING) {
        (void)sl_reason_set(&reason, 0, core->endpoint, "what listens there hangs up at once");
    } else {
        describe_absence(core, &reason);
    }
    client_connect_explain(core, reason.text);
}

/* The time of who waits is over, or that of the step: then it was the broker's. */
static int late_status(const client_core *core) {
    bool is_brokers = core->phase == CLIENT_GREETING ||
                      (core->phase == CLIENT_CONNECTING && core->now_ns < core->phase_deadline_ns);
    return core->is_absent ? SLUICE_ENOBROKER
           : is_brokers    ? SLUICE_EUNRESPONSIVE
                           : SLUICE_ETIMEDOUT;
}

/* The private broker has. */
static void explain_ended(client_core *core) {
    sl_reason reason;
    (void)sl_reason_set(&reason, 0, "the private broker", "ended before it was reached");
    if (core->settings.explain_start != NULL) {
        core->settings.explain_start(core->hooks.user, true, &reason);
    }
    client_connect_explain(core, reason.text);
}

/* An attempt has failed. */
static void on_failed(client_core *core, int status, uint32_t os_error) {
    if (status == SLUICE_ENOTFOUND || status == SLUICE_EREFUSED || status == SLUICE_ERESET ||
        status == SLUICE_EBROKERLOST || status == SLUICE_EBROKENPIPE) {
        status = SLUICE_ENOBROKER;
    } else if (status == SLUICE_EUNREACHABLE) {
        status = SLUICE_EOS; /* a system without such pipes: nothing that waiting could mend */
    } else if (status == SLUICE_ETIMEDOUT && core->is_absent) {
        status = SLUICE_ENOBROKER; /* the time was over in one attempt of many */
        client_connect_explain(core, NULL);
    } else if (status == SLUICE_ETIMEDOUT && core->phase == CLIENT_CONNECTING) {
        status = late_status(core);
    }
    core->down_status = status;
    core->down_os_error = os_error;
    bool is_no_place = status == SLUICE_ENAMETOOLONG && core->settings.endpoint_is_default;
    bool is_away = status == SLUICE_ENOBROKER || status == SLUICE_ESHUTDOWN;
    if (core->mode == SLUICE_MODE_AUTO &&
        (is_away || status == SLUICE_EACCESS || status == SLUICE_EUNTRUSTED || is_no_place)) {
        core->mode = SLUICE_MODE_PRIVATE;
        launch(core);
        return;
    }
    if (status == SLUICE_ENOBROKER) {
        explain_absence(core);
        core->is_absent = true;
    }
    bool may_come = core->mode == SLUICE_MODE_PRIVATE
                        ? !core->hooks.has_broker_ended(core->hooks.user)
                        : core->connection_count != 0;
    if (status == SLUICE_ENOBROKER && may_come && core->now_ns < core->listen_deadline_ns) {
        back_off(core);
    } else {
        if (status == SLUICE_ENOBROKER && core->mode == SLUICE_MODE_PRIVATE && !may_come) {
            explain_ended(core);
        }
        give_up(core, status, os_error);
    }
}

static void attempt(client_core *core) {
    begin_step(core, CLIENT_CONNECTING, TAKING_IN_MAX_NS, core->listen_deadline_ns);
    client_connect_explain(core, NULL);
    int status = client_link_create(core, core->endpoint, &core->link);
    if (status != SLUICE_OK) {
        on_failed(core, status, 0);
    }
}

void client_connect_want(client_core *core) {
    if (core->phase != CLIENT_DOWN) {
        return;
    }
    core->phase_deadline_ns = sl_clock_after_ns(core->now_ns, core->settings.open_timeout_ns);
    if (core->settings.open_deadline_ns != 0) { /* the caller's time has begun before */
        core->phase_deadline_ns = core->settings.open_deadline_ns;
        core->settings.open_deadline_ns = 0;
    }
    core->listen_deadline_ns = core->phase_deadline_ns;
    core->attempt_count = 0;
    core->is_absent = false;
    if (core->mode == SLUICE_MODE_PRIVATE) {
        launch(core);
        return;
    }
    size_t length = strlen(core->settings.endpoint);
    client_connect_explain(core, NULL);
    if (length >= sizeof(core->endpoint)) {
        give_up(core, SLUICE_ENAMETOOLONG, 0);
        return;
    }
    memcpy(core->endpoint, core->settings.endpoint, length + 1);
    if (core->lost_ns != 0 && core->now_ns - core->lost_ns < RECENTLY_NS) {
        back_off(core);
    } else {
        attempt(core);
    }
}

void client_core_launched(client_core *core, int status, uint32_t os_error, uint64_t process_id,
                          const char *endpoint, const char *detail) {
    if (core->phase != CLIENT_LAUNCHING) {
        return;
    }
    if (status == SLUICE_OK && strlen(endpoint) >= sizeof(core->endpoint)) {
        status = SLUICE_ENAMETOOLONG;
    }
    if (status != SLUICE_OK) {
        client_connect_explain(core, detail);
        give_up(core, status, os_error);
        return;
    }
    memcpy(core->endpoint, endpoint, strlen(endpoint) + 1);
    core->started = process_id;
    core->attempt_count = 0;
    begin_step(core, CLIENT_CONNECTING, LISTENING_MAX_NS, core->phase_deadline_ns);
    core->listen_deadline_ns = core->step_deadline_ns;
    attempt(core);
}

/* It is not whose the caller wants it to be. */
static void explain_other_user(client_core *core, const char *who,
                               const engine_identity *expected) {
    char wanted[ENGINE_IDENTITY_TEXT_BYTES];
    sl_reason reason;
    sl_text text;
    engine_identity_text(expected, wanted);
    sl_text_init(&text, reason.text, sizeof(reason.text) - 1);
    sl_text_append(&text, "expected_user: the server's user is ");
    sl_text_append(&text, who);
    sl_text_append(&text, ", not ");
    sl_text_append(&text, wanted);
    reason.text[text.length] = '\0';
    client_connect_explain(core, reason.text);
}

/* Whose broker is it? An untrusted one's name is for people to judge. */
static int check_server(client_core *core, const client_link *link) {
    engine_peer server = {.user = {.kind = ENGINE_IDENTITY_NONE}};
    int status = client_trust_check(&core->settings.trust, core->started, core->worker,
                                    link->handle, &server);
    if (status == SLUICE_OK) {
        core->server = server.user;
    } else if (status == SLUICE_EUNTRUSTED && server.user.kind != ENGINE_IDENTITY_NONE) {
        const engine_identity *expected = &core->settings.trust.expected;
        char who[ENGINE_IDENTITY_TEXT_BYTES];
        sl_reason reason;
        engine_identity_text(&server.user, who);
        if (core->started == 0 && !server.is_unmapped && expected->kind != ENGINE_IDENTITY_NONE) {
            explain_other_user(core, who, expected);
            return status;
        }
        const char *what = core->started != 0 ? "another process answers, of the user"
                           : server.is_unmapped
                               ? "the server's user has no number in this user namespace, and shows"
                           : core->settings.trust.doubts_own
                               ? "this program has more rights than its user, and the server's is"
                               : "the server's user";
        (void)sl_reason_set(&reason, status, what, who);
        client_connect_explain(core, reason.text);
    }
    return status;
}

/* Which endpoint; in front, unless the reason would be cut. */
static void explain_place(client_core *core, int status, const char *detail) {
    sl_reason reason;
    bool fits = strlen(core->endpoint) + strlen(detail) + 3 <= sizeof(reason.text);
    (void)sl_reason_set(&reason, status, fits ? core->endpoint : detail,
                        fits ? detail : core->endpoint);
    client_connect_explain(core, reason.text);
}

/* The engine speaks of the broker, whose it is otherwise. */
static void explain_refusal(client_core *core, const engine_completion *c) {
    sl_reason reason;
    if (c->status == SLUICE_EACCESS && c->os_error != 0) {
        (void)sl_reason_set(&reason, c->status,
                            "this program's user has no right to it, or to a folder on the way",
                            core->endpoint);
        client_connect_explain(core, reason.text);
    } else if (c->status == SLUICE_ETIMEDOUT) {
        client_connect_describe_wait(core, &reason);
        client_connect_explain(core, reason.text);
    } else if (c->detail != NULL && c->status != SLUICE_ENOTFOUND) { /* see explain_absence */
        explain_place(core, c->status, c->detail);
    }
}

void client_connect_done(client_core *core, client_link *link, const engine_completion *c) {
    int status = c->status;
    if (status == SLUICE_OK) {
        link->handle = c->opened[0];
        status = check_server(core, link);
    } else {
        explain_refusal(core, c);
    }
    if (status == SLUICE_OK) {
        core->is_absent = false;
        begin_step(core, CLIENT_GREETING, GREETING_MAX_NS, core->phase_deadline_ns);
        core->hello_is_due = true;
        status = client_link_begin(link);
    }
    if (status != SLUICE_OK) {
        core->link = NULL;
        client_link_give_up(link);
        on_failed(core, status, c->os_error);
    }
}

static void drop_link(client_core *core) {
    client_link *link = core->link;
    core->link = NULL;
    core->ping_id = 0;
    core->hello_is_due = false;
    core->ping_is_due = false;
    if (link != NULL) {
        client_link_give_up(link);
    }
}

static int check_hello(const sl_response *response, sl_reason *ret_reason) {
    if (response->status != SLUICE_OK) {
        return response->status;
    }
    const sl_hello_reply *hello = &response->as.hello;
    if (response->kind != SL_RESPONSE_HELLO || hello->epoch == 0 || hello->ping_interval_ns == 0 ||
        hello->unresponsive_ns < hello->ping_interval_ns) {
        return sl_reason_set(ret_reason, SLUICE_EPROTOCOL, "Response.hello", "makes no sense");
    }
    if (hello->version < SL_VERSION_MIN || hello->version > SL_VERSION_MAX) {
        return sl_reason_value(ret_reason, SLUICE_EVERSION, "Response.hello.version",
                               "was not offered", hello->version);
    }
    return sl_session_limits_check(&hello->limits, ret_reason);
}

void client_connect_greeted(client_core *core, const sl_response *response) {
    sl_reason reason = {""};
    int status = check_hello(response, &reason);
    if (status == SLUICE_OK) {
        status = client_wire_resize(core, response->as.hello.limits.credit_operations);
    }
    if (status != SLUICE_OK) {
        bool is_refused = response->status != SLUICE_OK;
        client_connect_explain(core, is_refused ? response->detail : reason.text);
        drop_link(core);
        on_failed(core, status, response->os_error);
        return;
    }
    core->hello = response->as.hello;
    const char *version = core->hello.broker_version;
    client_text_copy(core->broker_version, sizeof(core->broker_version), version);
    client_text_copy(core->engine_name, sizeof(core->engine_name), core->hello.engine_name);
    core->hello.broker_version = core->broker_version;
    core->hello.engine_name = core->engine_name;
    core->link->frame_limits.control_bytes = core->hello.limits.control_bytes;
    core->link->frame_limits.payload_bytes = core->hello.limits.fragment_bytes;
    SL_FAILPOINT_PASS(client, connected);
    core->connection_count++;
    core->phase = CLIENT_READY;
    core->down_status = SLUICE_OK;
    if (core->mode == SLUICE_MODE_AUTO) {
        core->mode = SLUICE_MODE_SERVICE;
    }
    core->hooks.on_connection(core->hooks.user);
    sl_list *node;
    while ((node = sl_list_pop_front(&core->waiting)) != NULL) {
        client_core_enqueue(core, SL_LIST_ENTRY(node, client_operation, link));
    }
}

static void end_all_but_waiting(client_core *core, int status, uint32_t os_error) {
    sl_list *node = core->all.next;
    while (node != &core->all) {
        client_operation *op = SL_LIST_ENTRY(node, client_operation, all_link);
        node = node->next;
        if (op->state != CLIENT_OPERATION_WAITING) {
            end_one(core, op, status, os_error);
        }
    }
}

/* Unless the broker has said it. */
static void explain_loss(client_core *core, int status, uint32_t os_error) {
    if (core->down_detail[0] == '\0' && status == SLUICE_EUNRESPONSIVE) {
        sl_reason reason;
        sl_text text;
        sl_text_init(&text, reason.text, sizeof(reason.text) - 1);
        sl_text_append(&text, "the broker owed an answer, and was silent for ");
        sl_text_append_u64(&text, core->hello.unresponsive_ns / SL_NS_PER_MS);
        sl_text_append(&text, " ms: ");
        sl_text_append(&text, core->endpoint);
        reason.text[text.length] = '\0';
        client_connect_explain(core, reason.text);
    }
    explain_end(core, status, os_error);
}

void client_connect_lost(client_core *core, int status, uint32_t os_error) {
    if (core->phase == CLIENT_CONNECTING || core->phase == CLIENT_GREETING) {
        drop_link(core);
        if (status == SLUICE_ECANCELED) {
            give_up(core, status, os_error);
        } else {
            on_failed(core, status, os_error);
        }
        return;
    }
    if (core->phase != CLIENT_READY) {
        return;
    }
    if (status == SLUICE_ECLOSED) {
        status = SLUICE_EBROKERLOST;
    }
    SL_FAILPOINT_PASS(client, lost);
    explain_loss(core, status, os_error);
    drop_link(core);
    core->phase = CLIENT_DOWN;
    core->down_status = status;
    core->down_os_error = os_error;
    core->lost_ns = core->now_ns;
    core->hooks.on_connection(core->hooks.user); /* before the calls end: see give_up */
    end_all_but_waiting(core, status, os_error);
    client_handles_close_all(core);
}

uint64_t client_connect_deadline_ns(const client_core *core) {
    switch (core->phase) {
    case CLIENT_BACKOFF:
    case CLIENT_LAUNCHING:
    case CLIENT_CONNECTING:
    case CLIENT_GREETING: return core->step_deadline_ns;
    default: return SL_CLOCK_NEVER;
    }
}

void client_connect_describe_wait(const client_core *core, sl_reason *ret_reason) {
    static const char *const what[] = {
        [CLIENT_BACKOFF] = "the connection there was lost just now",
        [CLIENT_CONNECTING] = "what listens there takes nobody in",
        [CLIENT_GREETING] = "what listens there does not greet",
    };
    if (core->phase == CLIENT_LAUNCHING) {
        describe(ret_reason, "the system has not started the private broker in time", "", "");
        if (core->settings.explain_start != NULL) {
            core->settings.explain_start(core->hooks.user, false, ret_reason);
        }
    } else if (core->is_absent) {
        describe_absence(core, ret_reason);
    } else {
        (void)sl_reason_set(ret_reason, 0, core->endpoint, what[core->phase]);
    }
}

void client_connect_tick(client_core *core) {
    if (core->now_ns < core->settle_ns || client_connect_deadline_ns(core) > core->now_ns) {
        return;
    }
    if (core->phase == CLIENT_BACKOFF && core->now_ns < core->listen_deadline_ns) {
        attempt(core);
        return;
    }
    sl_reason reason;
    int status = late_status(core);
    uint32_t os_error = core->is_absent ? core->down_os_error : 0;
    bool is_attempt = core->phase == CLIENT_CONNECTING; /* there may be others */
    client_connect_describe_wait(core, &reason);
    client_connect_explain(core, reason.text);
    drop_link(core);
    if (is_attempt) {
        on_failed(core, SLUICE_ETIMEDOUT, os_error);
    } else {
        give_up(core, status, os_error);
    }
}
