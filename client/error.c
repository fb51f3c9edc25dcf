/*
 * error.c - see error.h.
 */
#include "client/error.h"

#include "base/status.h"
#include "client/detail.h"
#include "client/session.h"

void (*client_return_hook)(client_call call, int32_t status, const char *detail);

const char *client_failure_words(int32_t status, const char *detail) {
    return detail != NULL && detail[0] != '\0' ? detail : sl_status_sentence(status);
}

int32_t client_fail(client_call call, int32_t status, uint32_t os_error, const char *detail) {
    const char *words = client_failure_words(status, detail);
    client_thread_record *record = client_error_record(true);
    if (record != NULL) {
        sluice_error *error = &record->error;
        error->size = sizeof(*error);
        error->status = status;
        error->os_error = os_error;
        client_detail_copy(error->detail, sizeof(error->detail), words);
    }
    client_outcome(call, status, words);
    return status;
}

void client_outcome(client_call call, int32_t status, const char *detail) {
    if (client_return_hook != NULL && status != SLUICE_OK) {
        client_return_hook(call, status, detail);
    }
}

const sluice_error *sluice_last_error(void) {
    static const sluice_error none = {.size = sizeof(none),
                                      .status = SLUICE_ENOMEM,
                                      .detail = "no memory for what the last failure said"};
    const client_thread_record *record = client_error_record(false);
    return record != NULL ? &record->error : &none;
}

int client_inline_begin(void) {
    client_thread_record *record = client_error_record(true);
    if (record == NULL) {
        return SLUICE_ENOMEM;
    }
    record->inline_generation = client_fork_generation();
    return SLUICE_OK;
}

int client_inline_check(const char *instead, sl_reason *ret_reason) {
    const client_thread_record *record = client_error_record(false);
    /* A child that is forked in a callback has this record, too, but no session's thread. */
    if (record == NULL || record->inline_generation == 0 ||
        record->inline_generation != client_fork_generation()) {
        return SLUICE_OK;
    }
    return sl_reason_set(ret_reason, SLUICE_EDEADLK,
                         "this is a callback of an INLINE session, and its thread may not wait",
                         instead);
}

int client_check_session(const sluice_session *session, sl_reason *ret_reason) {
    if (session == NULL) {
        return sl_reason_set(ret_reason, SLUICE_EINVAL, "session", "is NULL");
    }
    if (client_session_is_forked(session)) {
        return sl_reason_set(ret_reason, SLUICE_EFORKED, "session",
                             "is of the process before the fork; open one in this process");
    }
    return SLUICE_OK;
}
