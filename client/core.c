/*
 * core.c - takes operations in, ends them, and turns the wheel once per poll.
 *
 * finish() is the only place that fixes an outcome; client_core_retire the only one that
 * lets go of a wire id and its credit. What the application said comes by mail, in its order.
 */
#include "client/core.h"

#include <string.h>

#include "base/failpoint.h"
#include "base/status.h"
#include "client/detail.h"
#include "client/handles.h"

#define WIRE_FIRST       64u
#define FULL_BATCHES_MAX 64u /* one after another, before time counts again */

/* ---- wire ids -------------------------------------------------------------------------------- */

uint64_t client_wire_next_id(client_core *core) {
    /* At most half of the places are taken. */
    while (core->wire[core->next_wire_id & (core->wire_size - 1)] != NULL ||
           core->next_wire_id == 0 || core->next_wire_id == core->ping_id) {
        core->next_wire_id++;
    }
    return core->next_wire_id++;
}

void client_wire_add(client_core *core, client_operation *op) {
    op->wire_id = client_wire_next_id(core);
    core->wire[op->wire_id & (core->wire_size - 1)] = op;
    core->wire_count++;
}

client_operation *client_wire_find(const client_core *core, uint64_t id) {
    client_operation *op = core->wire[id & (core->wire_size - 1)];
    return op != NULL && op->wire_id == id ? op : NULL;
}

void client_wire_remove(client_core *core, client_operation *op) {
    core->wire[op->wire_id & (core->wire_size - 1)] = NULL;
    core->wire_count--;
    op->wire_id = 0;
}

/* Room for so many requests with credit and as many closes. Only when nothing is on the wire. */
int client_wire_resize(client_core *core, uint32_t operations) {
    uint32_t size = WIRE_FIRST;
    while (size < (uint64_t)operations * 4) {
        size *= 2;
    }
    SL_CHECK(core->wire_count == 0, "the table of wire ids is resized while it is empty");
    if (size == core->wire_size) {
        return SLUICE_OK;
    }
    client_operation **wire = sl_account_alloc(core->account, size * sizeof(*wire));
    if (wire == NULL) {
        return SLUICE_ENOMEM;
    }
    sl_account_free(core->account, (void *)core->wire, core->wire_size * sizeof(*core->wire));
    core->wire = wire;
    core->wire_size = size;
    return SLUICE_OK;
}

/* ---- the end of an operation ----------------------------------------------------------------- */

static void fill_result(client_operation *op, int status, uint32_t os_error) {
    op->result.status = status;
    op->result.os_error = os_error;
    if (client_operation_is_read(op)) {
        op->result.done = op->received;
        if (op->in_size != 0 && op->received == op->in_size) { /* whatever came in between */
            op->result.status = SLUICE_OK;
            op->result.os_error = 0;
            op->result.detail[0] = '\0';
        }
    } else if (client_operation_is_write(op) && !op->is_replied) {
        /* The broker has said nothing: what was sent may be out, the rest is not. */
        op->result.in_doubt = op->sent;
    }
    if (op->result.status != SLUICE_OK && op->result.detail[0] == '\0') { /* nobody knew more */
        client_detail_copy(op->result.detail, sizeof(op->result.detail),
                           sl_status_sentence(op->result.status));
    }
}

void client_core_explain(client_operation *op, const char *detail) {
    if (!op->is_detached) { /* else the outcome has been told, and is not ours any more */
        client_detail_copy(op->result.detail, sizeof(op->result.detail), detail);
    }
}

/* A reference of the core's goes along. */
static void finish(client_core *core, client_operation *op, int status, uint32_t os_error) {
    SL_CHECK(!atomic_load(&op->is_finished), "an operation has one outcome");
    SL_FAILPOINT_PASS(client, finish);
    fill_result(op, status, os_error);
    sl_heap_remove(&core->timers, &op->timer);
    op->out = NULL;
    op->in = NULL;
    atomic_store_explicit(&op->is_finished, true, memory_order_release);
    core->hooks.on_finished(core->hooks.user, op);
}

static void leave_wire(client_core *core, client_operation *op) {
    uint32_t bytes;
    if (op->wire_id == 0) {
        return;
    }
    client_wire_remove(core, op);
    if (client_operation_credit(op, &bytes)) {
        core->credit_used--;
        core->credit_bytes_used -= op->wire_credit_bytes;
    }
    if (op->request.kind == SL_REQUEST_CLOSE) {
        core->close_count--;
    }
}

void client_core_retire(client_core *core, client_operation *op) {
    SL_CHECK(op->state != CLIENT_OPERATION_RETIRED, "an operation retires once");
    sl_heap_remove(&core->timers, &op->timer);
    sl_list_remove(&op->link);
    sl_list_remove(&op->cancel_link);
    sl_list_remove(&op->all_link);
    sl_list_remove(&op->read_link);
    core->operation_count--;
    leave_wire(core, op);
    if (core->ping_operation == op) {
        core->ping_operation = NULL;
        core->ping_id = 0;
    }
    op->state = CLIENT_OPERATION_RETIRED;
    if (!op->is_internal) {
        core->hooks.on_retired(core->hooks.user, op);
    }
}

static void drop(client_core *core, client_operation *op) {
    if (op->is_internal) {
        sl_account_free(core->account, op, sizeof(*op));
    } else {
        core->hooks.on_dropped(core->hooks.user, op);
    }
}

void client_core_end(client_core *core, client_operation *op, int status, uint32_t os_error) {
    client_core_retire(core, op);
    if (op->is_detached || op->is_internal) {
        drop(core, op);
    } else {
        finish(core, op, status, os_error);
    }
}

static bool can_cancel(const client_operation *op) {
    return op->kind == CLIENT_REQUEST &&
           (sl_request_traits(op->request.kind) & SL_REQUEST_IS_CANCELLABLE) != 0;
}

static void queue_cancel(client_core *core, client_operation *op) {
    if (can_cancel(op) && !op->is_cancelled) {
        op->is_cancelled = true;
        sl_list_push_back(&core->cancels, &op->cancel_link);
        if (client_operation_is_write(op)) {
            sl_list_remove(&op->link); /* what is not sent yet stays here */
        }
    }
}

void client_core_detach(client_core *core, client_operation *op, int status) {
    SL_CHECK(op->state == CLIENT_OPERATION_SENT || op->request.kind == SL_REQUEST_CLOSE,
             "only what the broker knows, or has to know, is detached");
    op->is_detached = true;
    queue_cancel(core, op);
    client_operation_hold(op);
    finish(core, op, status, 0);
}

void client_core_recall(client_core *core, client_operation *op) {
    if (op->state == CLIENT_OPERATION_SENT) {
        op->is_recalled = true;
        queue_cancel(core, op);
    } else {
        op->request.as.read.max_bytes = op->in_size - op->received;
    }
}

/* Where a read that is sent again goes: before the younger ones of its handle. Those that are with
 * the broker already would keep the bytes that this one lacks until they have all of theirs: they
 * come back, too. */
static sl_list *place_of_read(client_core *core, client_operation *op) {
    sl_list *place = &core->requests;
    for (sl_list *node = op->read_link.next; node != &op->entry->reads; node = node->next) {
        client_operation *each = SL_LIST_ENTRY(node, client_operation, read_link);
        if (each->state == CLIENT_OPERATION_QUEUED && place == &core->requests) {
            place = &each->link;
        } else if (each->state == CLIENT_OPERATION_SENT && !each->is_detached &&
                   each->request.as.read.all) {
            client_core_recall(core, each);
        }
    }
    return place;
}

void client_core_resend(client_core *core, client_operation *op) {
    if (op->entry->is_closing) { /* it would come behind the close */
        client_core_end(core, op, SLUICE_ECLOSED, 0);
        return;
    }
    leave_wire(core, op);
    sl_list_remove(&op->cancel_link);
    op->is_cancelled = false;
    op->is_recalled = false;
    op->is_replied = false;
    op->wire_received = 0;
    op->request.as.read.max_bytes = op->in_size - op->received;
    op->state = CLIENT_OPERATION_QUEUED;
    sl_list_insert_before(place_of_read(core, op), &op->link);
}

/* ---- the beginning of an operation ----------------------------------------------------------- */

/* For a call that is wrong: why. */
static void end_refused(client_core *core, client_operation *op, int status,
                        const sl_reason *reason) {
    client_core_explain(op, reason->text);
    client_core_end(core, op, status, 0);
}

/* What needs no connection, or has been decided already. true: it has ended. */
static bool ends_at_once(client_core *core, client_operation *op) {
    int status = SLUICE_OK;
    sl_reason reason;
    reason.text[0] = '\0';
    /* A close goes on whatever becomes of the wait for it: nobody else would close the handle. */
    bool is_close = op->request.kind == SL_REQUEST_CLOSE;
    if (core->phase == CLIENT_STOPPED) {
        status = sl_reason_set(&reason, SLUICE_ECLOSED, "session", "is being closed");
    } else if (!is_close && atomic_load(&op->cancel_posted)) {
        status = SLUICE_ECANCELED;
    } else if (!is_close && op->timeout_ns == 0) {
        status = sl_reason_set(&reason, SLUICE_ETIMEDOUT, "timeout_ns",
                               "0 has passed already; SLUICE_NO_TIMEOUT is none");
    } else if (core->operation_count > core->timers.capacity) {
        uint32_t room = core->operation_count < 64 ? 64 : core->operation_count * 2;
        status = sl_heap_reserve(&core->timers, room);
    }
    if (status != SLUICE_OK) {
        end_refused(core, op, status, &reason);
    }
    return status != SLUICE_OK;
}

static void answer_address(client_core *core, client_operation *op) {
    client_entry *entry;
    sl_reason reason;
    int status = client_handles_find(core, op->local_handle, &entry, &reason);
    if (status == SLUICE_OK && entry->address == NULL) {
        status = sl_reason_about(&reason, SLUICE_ENOTSUP, "handle", op->local_handle,
                                 "is neither a TCP connection nor a TCP listener");
    } else if (status == SLUICE_OK && entry->address_size > op->in_size) {
        status = sl_reason_range(&reason, SLUICE_EINVAL, "size", op->in_size, entry->address_size,
                                 UINT32_MAX);
    }
    if (status != SLUICE_OK) {
        end_refused(core, op, status, &reason);
        return;
    }
    memcpy(op->in, entry->address, entry->address_size);
    client_core_end(core, op, SLUICE_OK, 0);
}

static int too_large(const client_core *core, const char *what, sl_reason *ret_reason) {
    return sl_reason_value(ret_reason, SLUICE_ETOOLARGE, what, "longer than the session's limit",
                           core->hello.limits.payload_bytes);
}

/* A request that is too long for this session, and the like. */
static int check_request(client_core *core, client_operation *op, sl_reason *ret_reason) {
    if (op->request.kind == SL_REQUEST_READ &&
        op->request.as.read.max_bytes > core->hello.limits.payload_bytes) {
        if (op->request.as.read.all) {
            return too_large(core, "read", ret_reason);
        }
        op->request.as.read.max_bytes = core->hello.limits.payload_bytes;
        op->in_size = core->hello.limits.payload_bytes;
    }
    if (op->request.kind == SL_REQUEST_WRITE &&
        op->request.as.write.length_bytes > core->hello.limits.payload_bytes) {
        return too_large(core, "write", ret_reason);
    }
    op->request.id = 1; /* any will do for the check */
    return sl_request_check(&op->request, 0, &core->hello.limits, ret_reason);
}

/* Looks the handle up, and puts the broker's number in its place. true: it has ended. */
static bool resolve_handle(client_core *core, client_operation *op, uint64_t *handle) {
    client_entry *entry = NULL;
    sl_reason reason;
    int status = client_handles_find(core, *handle, &entry, &reason);
    if (status == SLUICE_OK && entry->is_closing) {
        status = sl_reason_about(&reason, SLUICE_ECLOSED, "handle", *handle, "is being closed");
    }
    if (status != SLUICE_OK) {
        end_refused(core, op, status, &reason);
        return true;
    }
    op->entry = entry;
    *handle = entry->broker;
    if (op->request.kind == SL_REQUEST_CLOSE) {
        entry->is_closing = true;
    }
    return false;
}

void client_core_enqueue(client_core *core, client_operation *op) {
    if (op->kind == CLIENT_OPEN) {
        client_core_end(core, op, SLUICE_OK, 0);
        return;
    }
    uint64_t *handle = client_operation_handle(op);
    if (handle != NULL && resolve_handle(core, op, handle)) {
        return;
    }
    sl_reason reason;
    reason.text[0] = '\0';
    int status = check_request(core, op, &reason);
    if (status != SLUICE_OK) {
        if (op->request.kind == SL_REQUEST_CLOSE) {
            op->entry->is_closing = false;
        }
        end_refused(core, op, status, &reason);
        return;
    }
    if (client_operation_is_read(op)) {
        if (client_handles_serve(core, op)) {
            client_core_end(core, op, SLUICE_OK, 0);
            return;
        }
        op->request.as.read.max_bytes = op->in_size - op->received;
        /* From here on, not from its sending: what an earlier read brings late is its own. */
        sl_list_push_back(&op->entry->reads, &op->read_link);
    }
    op->state = CLIENT_OPERATION_QUEUED;
    bool is_ping = op->request.kind == SL_REQUEST_PING;
    sl_list_push_back(is_ping ? &core->pings : &core->requests, &op->link);
}

int client_core_close_late(client_core *core, uint64_t broker_handle) {
    client_operation *op = sl_account_alloc(core->account, sizeof(*op));
    if (op == NULL) {
        return SLUICE_ENOMEM;
    }
    client_operation_init(op, SL_REQUEST_CLOSE, SLUICE_NO_TIMEOUT);
    op->is_internal = true;
    op->deadline_ns = SL_CLOCK_NEVER;
    op->request.as.close.handle = broker_handle;
    sl_list_push_back(&core->all, &op->all_link);
    core->operation_count++;
    op->state = CLIENT_OPERATION_QUEUED;
    sl_list_push_back(&core->requests, &op->link);
    return SLUICE_OK;
}

static void on_submit(client_core *core, client_mail *mail) {
    client_operation *op = SL_CONTAINER_OF(mail, client_operation, submit);
    sl_list_push_back(&core->all, &op->all_link);
    core->operation_count++;
    if (op->kind == CLIENT_LOCAL_ADDRESS) {
        answer_address(core, op);
        return;
    }
    if (ends_at_once(core, op)) {
        return;
    }
    op->deadline_ns = op->timeout_ns == SLUICE_NO_TIMEOUT
                          ? SL_CLOCK_NEVER
                          : sl_clock_after_ns(core->now_ns, op->timeout_ns);
    client_watch_start(core, op);
    if (core->phase == CLIENT_READY || client_operation_handle(op) != NULL) {
        client_core_enqueue(core, op);
    } else {
        op->state = CLIENT_OPERATION_WAITING;
        sl_list_push_back(&core->waiting, &op->link);
        client_connect_want(core);
    }
}

static void on_cancel(client_core *core, client_mail *mail) {
    client_operation *op = SL_CONTAINER_OF(mail, client_operation, cancel);
    if (op->state == CLIENT_OPERATION_WAITING ||
        (op->state == CLIENT_OPERATION_QUEUED && op->request.kind != SL_REQUEST_CLOSE)) {
        client_core_end(core, op, SLUICE_ECANCELED, 0);
    } else if (op->state == CLIENT_OPERATION_SENT && !op->is_detached) {
        queue_cancel(core, op);
    }
    core->hooks.on_dropped(core->hooks.user, op);
}

void client_core_post(engine_worker *worker, client_mail *mail) {
    mail->message.user = mail;
    mail->message.on_worker = NULL;
    engine_post(worker, &mail->message);
}

void client_core_submit(engine_worker *worker, client_operation *op) {
    op->submit.on_core = on_submit;
    client_core_post(worker, &op->submit);
}

void client_core_submit_here(client_core *core, client_operation *op) {
    client_mail *mail = &op->submit;
    if (engine_has_messages(core->worker)) { /* calls that began before this one */
        client_core_submit(core->worker, op);
        return;
    }
    mail->on_core = on_submit;
    mail->message.mail.next = NULL;
    if (core->own_first == NULL) {
        core->own_first = mail;
    } else {
        core->own_last->message.mail.next = &mail->message.mail;
    }
    core->own_last = mail;
}

/* Those that are there now; what their callbacks post is taken in next time. After a poll, before
 * what it has brought: those began before. After that, since it may have brought calls that began
 * before those of its callbacks. So calls take effect in the order in which they began, whatever
 * the thread. */
static void take_own(client_core *core) {
    sl_mail *next = core->own_first != NULL ? &core->own_first->message.mail : NULL;
    core->own_first = core->own_last = NULL;
    while (next != NULL) {
        client_mail *mail = SL_CONTAINER_OF(next, client_mail, message.mail);
        next = next->next;
        mail->on_core(core, mail);
    }
}

void client_core_cancel(engine_worker *worker, client_operation *op) {
    if (!atomic_exchange(&op->cancel_posted, true)) {
        client_operation_hold(op);
        op->cancel.on_core = on_cancel;
        client_core_post(worker, &op->cancel);
    }
}

/* ---- the wheel ------------------------------------------------------------------------------- */

static void on_completion(client_core *core, const engine_completion *completion) {
    if (completion->kind == ENGINE_MESSAGE) {
        client_mail *mail = completion->user;
        mail->on_core(core, mail);
    } else {
        client_link_on_completion(completion->user, completion);
    }
}

uint64_t client_core_deadline_ns(client_core *core) {
    if (core->own_first != NULL) {
        return 0;
    }
    uint64_t deadline_ns = sl_heap_deadline_ns(&core->timers);
    uint64_t connect_ns = client_connect_deadline_ns(core);
    uint64_t watch_ns = client_watch_deadline_ns(core);
    deadline_ns = connect_ns < deadline_ns ? connect_ns : deadline_ns;
    deadline_ns = watch_ns < deadline_ns ? watch_ns : deadline_ns;
    uint64_t first_ns = core->settle_ns > core->now_ns ? core->settle_ns : core->now_ns;
    return deadline_ns > first_ns ? deadline_ns : first_ns;
}

void client_core_run(client_core *core, uint64_t deadline_ns) {
    engine_completion completions[CLIENT_POLL_BATCH];
    uint64_t own_ns = client_core_deadline_ns(core);
    uint64_t wake_ns = own_ns < deadline_ns ? own_ns : deadline_ns;
    /* A deadline that had passed before was not slept through: it only means "do not wait". */
    core->expected_wake_ns = wake_ns > core->now_ns ? wake_ns : core->now_ns;
    unsigned count = engine_poll(core->worker, completions, CLIENT_POLL_BATCH, wake_ns);
    core->now_ns = sl_clock_now_ns(core->clock);
    client_watch_woken(core);
    take_own(core);
    for (unsigned i = 0; i < count; i++) {
        on_completion(core, &completions[i]);
    }
    take_own(core);
    /* Time counts only when there is nothing left to hear: after a long stop of this process (a
     * debugger) the broker's answers lie waiting. But who always has something to tell does not
     * stop the time. */
    if (count < CLIENT_POLL_BATCH || ++core->full_count == FULL_BATCHES_MAX) {
        core->full_count = 0;
        client_watch_tick(core);
        client_connect_tick(core);
    }
    if (core->link != NULL) {
        client_link_pump(core->link);
    }
}

int client_core_init(client_core *core, engine_worker *worker, sl_clock *clock, sl_random *random,
                     sl_account *account, const client_settings *settings,
                     const client_hooks *hooks) {
    memset(core, 0, sizeof(*core));
    core->worker = worker;
    core->clock = clock;
    core->random = random;
    core->account = account;
    core->settings = *settings;
    core->hooks = *hooks;
    core->mode = settings->mode;
    core->down_status = SLUICE_ENOBROKER;
    core->next_wire_id = 1;
    core->now_ns = sl_clock_now_ns(clock);
    core->expected_wake_ns = SL_CLOCK_NEVER;
    sl_list *lists[] = {&core->old_links, &core->all,       &core->waiting, &core->cancels,
                        &core->requests,  &core->fragments, &core->pings};
    for (size_t i = 0; i < SL_ARRAY_COUNT(lists); i++) {
        sl_list_init(lists[i]);
    }
    sl_heap_init(&core->timers, account, UINT32_MAX);
    int status = sl_message_arena_init(&core->arena, account);
    if (status == SLUICE_OK) {
        status = client_wire_resize(core, WIRE_FIRST / 4);
    }
    if (status == SLUICE_OK) {
        status = sl_slots_init(&core->handles, account, CLIENT_HANDLES_MAX, sizeof(client_entry));
    }
    if (status != SLUICE_OK) {
        client_core_deinit(core);
    }
    return status;
}

void client_core_stop(client_core *core) {
    static const char why[] = "session: is being closed";
    client_connect_explain(core, why);
    client_connect_lost(core, SLUICE_ECANCELED, 0);
    core->phase = CLIENT_STOPPED;
    sl_list *node;
    while ((node = sl_list_first(&core->all)) != NULL) {
        client_operation *op = SL_LIST_ENTRY(node, client_operation, all_link);
        client_core_explain(op, why);
        client_core_end(core, op, SLUICE_ECANCELED, 0);
    }
}

bool client_core_is_idle(const client_core *core) {
    return core->link == NULL && sl_list_is_empty(&core->old_links);
}

void client_core_deinit(client_core *core) {
    sl_slots_deinit(&core->handles);
    sl_account_free(core->account, (void *)core->wire, core->wire_size * sizeof(*core->wire));
    core->wire = NULL;
    sl_arena_deinit(&core->arena);
    sl_heap_deinit(&core->timers);
}
