/*
 * returns.c - see returns.h.
 */
#include "tests/client/returns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/check.h"
#include "base/status.h"

const char *const returns_sets[RETURNS_SET_COUNT] = {
    [RETURNS_BEGUN] = "Every call that makes an operation",
    [RETURNS_SYNC] = "Every call that waits",
    [RETURNS_START] = "Every `_start`",
    [RETURNS_WIRE] = "Calls that ask the broker",
    [RETURNS_END] = "Operations that were started",
    [RETURNS_CREDIT] = "Calls that take credit",
    [RETURNS_WORK] = "Calls that a broker refuses while it stops",
    [RETURNS_HANDLE] = "Calls on a handle",
    [RETURNS_OPENS] = "Calls that connect if there is no connection, and `sluice_open`",
    [RETURNS_OWN] = "Calls of their own",
};

#define SET(set, status, when) \
    { RETURNS_##set, CLIENT_CALL_COUNT, SLUICE_##status, when, NULL }
#define OWN(call, status, when) \
    { RETURNS_OWN, CLIENT_CALL_##call, SLUICE_##status, when, NULL }

const returns_row returns_rows[] = {
    SET(BEGUN, EINVAL, "an argument is wrong; the detail names it and what it must be"),
    SET(BEGUN, ENOMEM, "no memory for the operation"),
    SET(BEGUN, EFORKED, "the session is of the process before the fork"),
    SET(BEGUN, ECLOSED, "the session, or the handle, is being closed"),
    SET(SYNC, EDEADLK, "the call is made in a callback of an INLINE session, this one or another"),
    {RETURNS_SYNC, CLIENT_CALL_COUNT, SLUICE_EOSLIMIT, "the system gives no event to wait on",
     "Windows; tests/fault"},
    SET(START, EQUOTA, "no credit is free, or too many callbacks have not run"),
    SET(WIRE, ETIMEDOUT, "its time is over"),
    SET(WIRE, EBROKERLOST, "the connection ended under it"),
    SET(WIRE, EUNRESPONSIVE, "the broker was silent too long under it"),
    SET(WIRE, EPROTOCOL, "the broker broke the protocol"),
    SET(END, ECANCELED, "it was cancelled, or its session closed"),
    SET(CREDIT, EQUOTA,
        "no credit came free in time, or a limit of the broker's is reached: the "
        "detail says which"),
    SET(WORK, ESHUTDOWN, "the broker is stopping"),
    SET(HANDLE, EBADHANDLE, "the session has no such handle"),
    SET(HANDLE, ESTALE, "the handle's connection is lost"),
    SET(OPENS, ENOBROKER,
        "nobody listens at the endpoint, or there is no sluiced to start: the "
        "detail says where was looked"),
    SET(OPENS, EACCESS, "the system, or the broker, does not let this user in"),
    SET(OPENS, EUNTRUSTED, "the broker is not whose it should be; the detail says whose it is"),
    SET(OPENS, EVERSION, "no version of the protocol in common"),
    SET(OPENS, ETIMEDOUT, "open_timeout_ns is over"),
    SET(OPENS, EUNRESPONSIVE, "the broker does not greet"),
    SET(OPENS, ESHUTDOWN, "the broker is stopping"),
    SET(OPENS, EQUOTA, "the broker has no room for a session: the detail says which limit"),
    SET(OPENS, EPROTOCOL, "what answers is no broker"),
    SET(OPENS, ENAMETOOLONG, "the endpoint, or a path, is longer than the system takes"),
    SET(OPENS, EINVAL, "an option is wrong; the detail names it"),
    SET(OPENS, ENOMEM, "no memory for the session"),
    SET(OPENS, EOSLIMIT, "the system has no more threads or descriptors"),
    SET(OPENS, EOS, "the system refused something else: os_error"),
    OWN(pair, EABANDONED, "the system did not end the opening in time"),
    OWN(listen, ENOTFOUND, "no such host, or no such folder"),
    OWN(listen, EUNREACHABLE, "no name server answers"),
    OWN(listen, EADDRINUSE, "the TCP address is in use"),
    OWN(listen, EADDRNOTAVAIL, "the TCP address is none of this machine"),
    OWN(listen, ENAMETAKEN, "somebody listens under the pipe's name"),
    OWN(listen, ENOTSUP,
        "the system has no such protocol; or the broker has another user, and the folder no ACLs "
        "(Linux)"),
    OWN(listen, EABANDONED, "the system did not end the look-up in time"),
    OWN(accept, ENOTSUP, "the handle is no listener"),
    OWN(accept, EACCESS, "a policy of the system refused the connection"),
    OWN(accept, EOSLIMIT, "the system has no more descriptors; the connection waits"),
    OWN(accept, EOS, "the system refused something else: os_error"),
    OWN(connect, EREFUSED, "nobody listens there"),
    OWN(connect, ENOTFOUND, "no such host, or no such pipe"),
    OWN(connect, EUNREACHABLE, "no way to the host, or no name server answers"),
    OWN(connect, ERESET, "the peer hung up at once"),
    OWN(connect, ENOTSUP, "the system has no such protocol"),
    OWN(connect, EABANDONED, "the system did not end the attempt in time"),
    OWN(read, EEOF, "the peer closed, and all its bytes were read"),
    OWN(read, ERESET, "the peer or the network reset the connection"),
    OWN(read, ENOTSUP, "the handle cannot be read"),
    OWN(read, ETOOLARGE, "READ_ALL of more than payload_bytes"),
    OWN(read, EOSLIMIT, "the system has no more buffers"),
    OWN(read, EOS, "the system refused something else: os_error"),
    OWN(write, EBROKENPIPE, "the peer reads no more, or a half-close came before"),
    OWN(write, ERESET, "the peer or the network reset the connection"),
    OWN(write, ETORN, "a write before it was cut short"),
    OWN(write, ENOTSUP, "the handle cannot be written"),
    OWN(write, ETOOLARGE, "more than payload_bytes"),
    OWN(write, EABANDONED, "the system did not end the write in time"),
    OWN(write, EOSLIMIT, "the system has no more buffers"),
    OWN(write, EOS, "the system refused something else: os_error"),
    OWN(half_close, EBROKENPIPE, "the peer reads no more"),
    OWN(half_close, ERESET, "the peer or the network reset the connection"),
    OWN(half_close, ETORN, "a write before it was cut short"),
    OWN(half_close, ENOTSUP, "the handle has no end of its own (SLUICE_CAN_HALF_CLOSE)"),
    OWN(half_close, EABANDONED, "the system did not end it in time"),
    OWN(half_close, EOSLIMIT, "the system has no more buffers"),
    OWN(half_close, EOS, "the system refused something else: os_error"),
    OWN(close, EABANDONED, "the system does not let go; the broker looks after what is left"),
    OWN(acknowledge_torn, ENOTSUP, "the handle cannot be written"),
    OWN(listen_start, ENAMETOOLONG, "the address is longer than any"),
    OWN(connect_start, ENAMETOOLONG, "the address is longer than any"),
    OWN(read_start, ETOOLARGE, "READ_ALL of more than any broker takes"),
    OWN(write_start, ETOOLARGE, "more than any broker takes"),
    OWN(local_address, ENOTSUP, "the handle has no network address"),
    OWN(open, EDEADLK, "it is called in a callback of an INLINE session"),
    OWN(session_close, EFORKED, "the session is of the process before the fork"),
    OWN(session_close, EDEADLK, "it is called in a callback of this session"),
    OWN(session_close, EBUSY, "another thread dispatches"),
    {RETURNS_OWN, CLIENT_CALL_session_close, SLUICE_EOSLIMIT,
     "no thread for the close, in a callback of another session", "tests/fault"},
    {RETURNS_OWN, CLIENT_CALL_session_close, SLUICE_ENOMEM, "likewise", "tests/fault"},
    OWN(session_get_info, EINVAL, "an argument is NULL, or has no size"),
    OWN(session_get_info, EFORKED, "the session is of the process before the fork"),
    OWN(cancel, EINVAL, "the operation is NULL"),
    OWN(cancel, EFORKED, "the session is of the process before the fork"),
    OWN(waitable, EINVAL, "an argument is NULL"),
    OWN(waitable, ENOTSUP, "the session has another delivery"),
    OWN(waitable, EFORKED, "the session is of the process before the fork"),
    OWN(dispatch, EINVAL, "the session is NULL"),
    OWN(dispatch, ENOTSUP, "the session has another delivery"),
    OWN(dispatch, EDEADLK, "it is called in a callback"),
    OWN(dispatch, EBUSY, "another thread dispatches"),
    OWN(dispatch, EFORKED, "the session is of the process before the fork"),
};
const unsigned returns_row_count = SL_ARRAY_COUNT(returns_rows);

#define BIT(set) (1u << RETURNS_##set)
#define CALL     (BIT(BEGUN) | BIT(SYNC) | BIT(WIRE))
#define STARTED  (CALL | BIT(END))
#define USES     (STARTED | BIT(HANDLE))
#define WAITS    (BIT(CREDIT) | BIT(WORK))
#define START    (BIT(BEGUN) | BIT(START))

#define ROW(call, sets) [CLIENT_CALL_##call] = {"sluice_" #call, (sets) | BIT(OWN)}
#define TWIN(call)      ROW(call##_start, START)

const returns_call returns_calls[CLIENT_CALL_COUNT] = {
    ROW(open, BIT(OPENS)),
    ROW(session_close, 0),
    ROW(session_get_info, 0),
    ROW(pair, STARTED | BIT(CREDIT) | BIT(OPENS)),
    ROW(listen, STARTED | BIT(CREDIT) | BIT(OPENS)),
    ROW(accept, USES | WAITS),
    ROW(connect, STARTED | BIT(CREDIT) | BIT(OPENS)),
    ROW(read, USES | WAITS),
    ROW(write, USES | WAITS),
    ROW(half_close, USES | WAITS),
    ROW(close, USES),
    ROW(acknowledge_torn, USES | BIT(CREDIT)),
    ROW(ping, STARTED | BIT(OPENS)),
    ROW(local_address, BIT(BEGUN) | BIT(SYNC) | BIT(HANDLE)),
    ROW(cancel, 0),
    ROW(waitable, 0),
    ROW(dispatch, 0),
    ROW(broker_status, CALL | BIT(CREDIT) | BIT(OPENS)),
    ROW(ops, CALL | BIT(CREDIT) | BIT(OPENS)),
#define X(name) TWIN(name),
    CLIENT_CALLS_TO_START(X)
#undef X
};

bool returns_has(client_call call, const returns_row *row) {
    return (returns_calls[call].sets & 1u << row->set) != 0 &&
           (row->set != RETURNS_OWN || row->call == call);
}

bool returns_is_legal(client_call call, int status) {
    if (status == SLUICE_OK) {
        return true;
    }
    for (unsigned i = 0; i < returns_row_count; i++) {
        if (returns_rows[i].status == status && returns_has(call, &returns_rows[i])) {
            return true;
        }
    }
    return false;
}

static sl_atomic_u64 seen[CLIENT_CALL_COUNT];

/* The library knows more of these than what the status means. */
static bool is_telling(int32_t status) {
    static const int32_t telling[] = {SLUICE_EBROKERLOST, SLUICE_EUNRESPONSIVE, SLUICE_EPROTOCOL,
                                      SLUICE_EFORKED,     SLUICE_EDEADLK,       SLUICE_ESTALE,
                                      SLUICE_EBADHANDLE,  SLUICE_ENOBROKER};
    for (size_t i = 0; i < SL_ARRAY_COUNT(telling); i++) {
        if (telling[i] == status) {
            return true;
        }
    }
    return false;
}

static void look_at(client_call call, int32_t status, const char *detail) {
    SL_CHECK(call < CLIENT_CALL_COUNT && status < 0 && status > -SLUICE_STATUS_COUNT,
             "a call and a status that there are");
    if (!returns_is_legal(call, status)) {
        fprintf(stderr, "%s returns %s, which is in no row of tests/client/returns.c\n",
                returns_calls[call].name, sl_status_name(status));
        abort();
    }
    if (detail[0] == '\0' ||
        (is_telling(status) && strcmp(detail, sl_status_sentence(status)) == 0)) {
        fprintf(stderr, "%s returns %s and says \"%s\"\n", returns_calls[call].name,
                sl_status_name(status), detail);
        abort();
    }
    (void)atomic_fetch_or(&seen[call], UINT64_C(1) << -status);
}

void returns_watch(void) {
    client_return_hook = look_at;
}

bool returns_was_seen(client_call call, int status) {
    return (atomic_load(&seen[call]) & UINT64_C(1) << -status) != 0;
}
