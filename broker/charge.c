/*
 * charge.c - see charge.h.
 */
#include "broker/charge.h"

#include "broker/handle.h"
#include "broker/user.h"
#include "engine/buffers.h"

#define BATCH_BYTES  (8u * 1024) /* drawn at a time; a session keeps two of them at most */
#define OP_BYTES     (sizeof(broker_op) + 64) /* its place, its timer's, its id's */
#define SPARE_BYTES  (CHARGE_SPARE_BYTES + sizeof(broker_chunk))
#define ENGINE_BYTES 2048u /* an engine's handle, with a request each way */
/* The handle is in the session's own table, which is charged by itself. What the kernel needs for
 * it comes on top. */
#define HANDLE_BYTES  (ENGINE_BYTES + SPARE_BYTES + OP_BYTES)
#define SESSION_BYTES (sizeof(broker_session) + ENGINE_BYTES + CHARGE_RESERVE_OPS * OP_BYTES)

static broker_book *broker_bytes(const broker_session *session) {
    return &session->worker->broker->memory;
}

uint64_t charge_handle_bytes(const broker_session *session, uint32_t count) {
    return count * (HANDLE_BYTES + engine_handle_bytes(session->worker->broker->engine));
}

static bool draw(broker_session *session, uint64_t bytes) {
    session_memory *memory = &session->memory;
    if (!book_take(&session->user->memory, bytes)) {
        bool is_users = session->user->memory.limit < broker_bytes(session)->limit;
        memory->refused_by = is_users ? SL_LIMIT_USER : SL_LIMIT_BROKER;
        return false;
    }
    if (!book_take(broker_bytes(session), bytes)) {
        book_give(&session->user->memory, bytes);
        memory->refused_by = SL_LIMIT_BROKER;
        return false;
    }
    memory->drawn_bytes += bytes;
    return true;
}

static void give_back(broker_session *session, uint64_t bytes) {
    session->memory.drawn_bytes -= bytes;
    book_give(&session->user->memory, bytes);
    book_give(broker_bytes(session), bytes);
}

bool charge_take(broker_charge *charge, broker_session *session, uint64_t bytes) {
    session_memory *memory = &session->memory;
    SL_CHECK(charge->payer == NULL || charge->payer == session, "a charge has one payer");
    uint64_t free_bytes = memory->drawn_bytes - memory->used_bytes;
    if (bytes > free_bytes) {
        uint64_t missing = bytes - free_bytes;
        bool has_batch = missing < BATCH_BYTES && draw(session, BATCH_BYTES);
        if (!has_batch && !draw(session, missing)) {
            return false;
        }
    }
    memory->used_bytes += bytes;
    charge->payer = session;
    charge->bytes += bytes;
    return true;
}

/* Two that look at once may both be let through: it is a half of nothing precious. */
bool charge_take_extra(broker_charge *charge, broker_session *session, uint64_t bytes) {
    const broker_book *books[] = {&session->user->memory, broker_bytes(session)};
    for (unsigned i = 0; i < SL_ARRAY_COUNT(books); i++) {
        if (book_used(books[i]) + bytes > books[i]->limit / 2) {
            return false;
        }
    }
    return charge_take(charge, session, bytes);
}

void charge_tell_starving(broker_session *session) {
    if (!sl_list_is_empty(&session->memory.starving) && !sl_list_is_linked(&session->in_feeding)) {
        sl_list_push_back(&session->worker->feeding, &session->in_feeding);
    }
}

/* Also tells those who wait, whatever it was that came back. */
void charge_give(broker_charge *charge, uint64_t bytes) {
    broker_session *session = charge->payer;
    SL_CHECK(charge->bytes >= bytes, "memory is given back once");
    if (session == NULL) {
        return;
    }
    session_memory *memory = &session->memory;
    charge->bytes -= bytes;
    charge->payer = charge->bytes > 0 ? session : NULL;
    memory->used_bytes -= bytes;
    uint64_t free_bytes = memory->drawn_bytes - memory->used_bytes;
    if (free_bytes > 2 * BATCH_BYTES) {
        give_back(session, free_bytes - BATCH_BYTES);
    }
    charge_tell_starving(session);
}

void charge_end(broker_charge *charge) {
    charge_give(charge, charge->bytes);
}

void charge_move(broker_charge *to, broker_charge *from, uint64_t bytes) {
    SL_CHECK(from->bytes >= bytes, "what moves is there");
    SL_CHECK(to->payer == NULL || to->payer == from->payer, "a charge has one payer");
    to->payer = from->payer;
    to->bytes += bytes;
    from->bytes -= bytes;
    from->payer = from->bytes > 0 ? from->payer : NULL;
}

/* ---- the session and its tables ---- */

static void *acquire(sl_allocator *source, size_t size_bytes) {
    session_memory *memory = SL_CONTAINER_OF(source, session_memory, source);
    broker_session *session = SL_CONTAINER_OF(memory, broker_session, memory);
    if (!charge_take(&memory->tables, session, size_bytes)) {
        memory->was_refused = true;
        return NULL;
    }
    void *taken = sl_account_alloc(&session->worker->account, size_bytes);
    if (taken == NULL) {
        charge_give(&memory->tables, size_bytes);
    }
    return taken;
}

static void release(sl_allocator *source, void *taken, size_t size_bytes) {
    session_memory *memory = SL_CONTAINER_OF(source, session_memory, source);
    broker_session *session = SL_CONTAINER_OF(memory, broker_session, memory);
    sl_account_free(&session->worker->account, taken, size_bytes);
    charge_give(&memory->tables, size_bytes);
}

void charge_init(broker_session *session) {
    session_memory *memory = &session->memory;
    memory->source = (sl_allocator){acquire, release};
    sl_account_init(&memory->account, &memory->source, "session", SIZE_MAX);
    sl_list_init(&memory->starving);
    sl_list_init(&session->in_feeding);
}

int charge_begin(broker_session *session, sl_reason *ret_reason) {
    return charge_take(&session->memory.own, session, SESSION_BYTES)
               ? SLUICE_OK
               : charge_refused(session, ret_reason);
}

void charge_deinit(broker_session *session) {
    session_memory *memory = &session->memory;
    SL_CHECK(sl_list_is_empty(&memory->starving), "nobody waits for a session's end");
    SL_CHECK(memory->spares == 0 && memory->spares_used == 0 && memory->reserve_used == 0,
             "a session ends without buffers and answers");
    sl_account_deinit(&memory->account);
    charge_end(&memory->own);
    SL_CHECK(memory->used_bytes == 0, "a session ends without memory");
    give_back(session, memory->drawn_bytes);
    sl_list_remove(&session->in_feeding);
}

int charge_change_user(broker_session *session, struct broker_user *from, struct broker_user *to,
                       sl_reason *ret_reason) {
    uint64_t bytes = session->memory.drawn_bytes;
    if (!book_take(&to->memory, bytes)) {
        session->memory.refused_by = SL_LIMIT_USER;
        return charge_refused(session, ret_reason);
    }
    book_give(&from->memory, bytes);
    return SLUICE_OK;
}

int charge_refused(const broker_session *session, sl_reason *ret_reason) {
    return session->memory.refused_by == SL_LIMIT_USER
               ? sl_limit_reached(ret_reason, SL_LIMIT_USER, "user_memory_bytes",
                                  session->user->memory.limit)
               : sl_limit_reached(ret_reason, SL_LIMIT_BROKER, "memory_bytes",
                                  broker_bytes(session)->limit);
}

bool charge_was_refused(broker_session *session) {
    bool was_refused = session->memory.was_refused;
    session->memory.was_refused = false;
    return was_refused;
}

/* ---- smallest buffers ---- */

bool charge_take_spare(broker_charge *charge, broker_session *session) {
    session_memory *memory = &session->memory;
    if (memory->spares_used >= memory->spares) {
        return false;
    }
    memory->spares_used++;
    charge_move(charge, &memory->spare, SPARE_BYTES);
    return true;
}

/* One that has outlived its handle is given back; else it may be used again. */
void charge_give_spare(broker_charge *charge) {
    broker_session *session = charge->payer;
    SL_CHECK(session != NULL, "a spare buffer is given back once");
    session_memory *memory = &session->memory;
    memory->spares_used--;
    if (memory->spares_used >= memory->spares) {
        charge_end(charge);
    } else {
        charge_move(&memory->spare, charge, SPARE_BYTES);
        charge_tell_starving(session);
    }
}

/* ---- operations ---- */

static void leave_reserve(broker_op *op) {
    broker_session *session = op->session;
    SL_CHECK(session->memory.reserve_used > 0, "a place of the reserve is given back once");
    op->is_reserved = false;
    session->memory.reserve_used--;
    if (session->is_held) {
        session->is_held = false;
        if (session->state < SESSION_LEAVING && !sl_list_is_linked(&session->in_runnable)) {
            sl_list_push_back(&session->worker->runnable, &session->in_runnable);
        }
    }
}

int charge_take_op(broker_op *op) {
    session_memory *memory = &op->session->memory;
    if (charge_take(&op->charge, op->session, OP_BYTES)) {
        return SLUICE_OK;
    }
    if (memory->reserve_used >= CHARGE_RESERVE_OPS) {
        op->session->is_held = true;
        return SLUICE_EBUSY;
    }
    memory->reserve_used++;
    op->is_reserved = true;
    return SLUICE_OK;
}

void charge_give_op(broker_op *op) {
    SL_CHECK((op->charge.bytes == OP_BYTES) != op->is_reserved,
             "an operation is charged in one way");
    if (op->is_reserved) {
        leave_reserve(op);
    } else {
        charge_end(&op->charge);
    }
}

/* ---- handles ---- */

void charge_open_handle(broker_handle *handle, broker_op *op) {
    session_memory *memory = &handle->session->memory;
    charge_move(&handle->charge, &op->charge, charge_handle_bytes(handle->session, 1));
    charge_move(&memory->spare, &handle->charge, SPARE_BYTES);
    memory->spares++;
}

void charge_pay_close(broker_handle *handle, broker_op *op) {
    if (op->is_reserved) {
        leave_reserve(op);
        charge_move(&op->charge, &handle->charge, OP_BYTES);
    }
}

void charge_close_handle(broker_handle *handle) {
    session_memory *memory = &handle->session->memory;
    sl_list_remove(&handle->in_starving);
    SL_CHECK(memory->spares > 0, "a handle is given back once");
    memory->spares--;
    if (memory->spares_used <= memory->spares) {
        charge_give(&memory->spare, SPARE_BYTES);
    }
    charge_end(&handle->charge);
}

/* ---- those who wait ---- */

void charge_starve(broker_handle *handle) {
    if (!sl_list_is_linked(&handle->in_starving)) {
        sl_list_push_back(&handle->session->memory.starving, &handle->in_starving);
    }
}
