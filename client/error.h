/*
 * error.h - the end of a public function that failed: what the calling thread can ask about it
 * (sluice_last_error); and whether that thread may wait at all.
 *
 * A record is a thread's own: no lock. Its error is written when a call fails, and only then.
 */
#ifndef SLUICE_CLIENT_ERROR_H
#define SLUICE_CLIENT_ERROR_H

#include <stdbool.h>

#include "client/include/sluice/sluice.h"
#include "proto/reason.h"

/* Those that have a _start twin. */
#define CLIENT_CALLS_TO_START(X) \
    X(pair) \
    X(listen) \
    X(accept) \
    X(connect) \
    X(read) \
    X(write) \
    X(half_close) \
    X(close) \
    X(acknowledge_torn) \
    X(ping)

#define CLIENT_CALLS_OTHERS(X) \
    X(open) \
    X(session_close) \
    X(session_get_info) \
    X(local_address) \
    X(cancel) \
    X(waitable) \
    X(dispatch) \
    X(broker_status) \
    X(ops)

/* sluice_NAME; a twin is its call's number and CLIENT_CALL_TWIN. */
typedef enum client_call {
#define X(name) CLIENT_CALL_##name,
    CLIENT_CALLS_TO_START(X)
#undef X
#define X(name) CLIENT_CALL_##name##_start,
        CLIENT_CALLS_TO_START(X)
#undef X
#define X(name) CLIENT_CALL_##name,
            CLIENT_CALLS_OTHERS(X)
#undef X
                CLIENT_CALL_COUNT
} client_call;

#define CLIENT_CALL_TWIN ((unsigned)CLIENT_CALL_pair_start)

/* What a failure says: `detail`, or what its status means where nobody knew more. */
const char *client_failure_words(int32_t status, const char *detail);

/* The last act of each public function that can fail: remembers a failure. Returns status. detail
 * may be NULL. */
int32_t client_fail(client_call call, int32_t status, uint32_t os_error, const char *detail);

/* The same where nothing but a reason may be known. */
static inline int32_t client_return(client_call call, int32_t status, const sl_reason *reason) {
    return status == SLUICE_OK ? status : client_fail(call, status, 0, reason->text);
}

/* The outcome of an operation, before its callback runs. */
void client_outcome(client_call call, int32_t status, const char *detail);

/* Tests may look at what each call returns and says, failures only; NULL. Set while no session is
 * open. */
extern void (*client_return_hook)(client_call call, int32_t status, const char *detail);

/* What the library knows of a thread. */
typedef struct client_thread_record {
    sluice_error error;
    uint64_t inline_generation; /* it is an INLINE session's I/O thread, in this process (fork.h) */
} client_thread_record;

/* By platform. The calling thread's record, made if it is to be written. NULL: there was no memory
 * for it. */
client_thread_record *client_error_record(bool is_to_write);

/* ---- threads that must not wait ---- */

/* Once, the I/O thread of an INLINE session, before it runs a callback. SLUICE_OK, ENOMEM. */
int client_inline_begin(void);
/* Does this thread run a callback of an INLINE session? Whichever it is: of two that wait for each
 * other in their callbacks each would have to end the other's call. SLUICE_OK, EDEADLK;
 * `instead` is what the program is to do. */
int client_inline_check(const char *instead, sl_reason *ret_reason);

/* ---- what several calls say ---- */

/* Is the session one that this process can use? SLUICE_OK, EINVAL (NULL), EFORKED. */
int client_check_session(const sluice_session *session, sl_reason *ret_reason);

#endif
