/*
 * error.c - see error.h.
 */
#include "client/error.h"

#include "client/detail.h"
#include "client/session.h"

void (*client_return_hook)(client_call call, int32_t status);

int32_t client_fail(client_call call, int32_t status, uint32_t os_error, const char *detail) {
    sluice_error *record = client_error_record(true);
    if (record != NULL) {
        record->size = sizeof(*record);
        record->status = status;
        record->os_error = os_error;
        client_detail_copy(record->detail, sizeof(record->detail), detail);
    }
    client_outcome(call, status);
    return status;
}

void client_outcome(client_call call, int32_t status) {
    if (client_return_hook != NULL && status != SLUICE_OK) {
        client_return_hook(call, status);
    }
}

const sluice_error *sluice_last_error(void) {
    static const sluice_error none = {.size = sizeof(none),
                                      .status = SLUICE_ENOMEM,
                                      .detail = "no memory for what the last failure said"};
    const sluice_error *record = client_error_record(false);
    return record != NULL ? record : &none;
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
