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
    sluice_error *record = client_error_record(true);
    if (record != NULL) {
        record->size = sizeof(*record);
        record->status = status;
        record->os_error = os_error;
        client_detail_copy(record->detail, sizeof(record->detail), words);
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
