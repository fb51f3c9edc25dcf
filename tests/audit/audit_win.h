/*
 * audit_win.h - the inside of the interposer.
 *
 *   a call of ReadFile in an object        call *__imp_ReadFile
 *   audit_imports_win.c                    defines __imp_ReadFile -> audit_ReadFile
 *   audit_file_win.c                       audit_ReadFile records, calls the slot's address
 *   audit_start_win.c                      has put kernel32's ReadFile there before main
 *
 * State (audit_state_win.c): one record per thread, never freed; one per OS handle, from its
 * creation or first use to its close; one per OVERLAPPED, from its issue to its packet.
 * Everything may run on any thread. Nothing here does I/O or calls an audited function by its
 * imported name, and no last-error value is changed.
 */
#ifndef SLUICE_TESTS_AUDIT_AUDIT_WIN_H
#define SLUICE_TESTS_AUDIT_AUDIT_WIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <winsock2.h>

#include <mswsock.h>
#include <windows.h>

#include <stdlib.h>

#include "sluice_audit.h"

/* ---- functions ------------------------------------------------------------------------------- */

typedef enum audit_dll {
    AUDIT_KERNEL32,
    AUDIT_NTDLL,
    AUDIT_WS2_32,
    AUDIT_CRT,
    AUDIT_EXTENSION
} audit_dll;

typedef enum audit_class {
    AUDIT_CLASS_WRAP,
    AUDIT_CLASS_COUNT,
    AUDIT_CLASS_SYNC,
    AUDIT_CLASS_OPEN,
    AUDIT_CLASS_FORBID
} audit_class;

typedef void (*audit_code)(void);

typedef struct audit_function {
    audit_code address; /* the true function; first, the stubs jump through it */
    audit_code entry;   /* our wrapper or stub */
    const char *name;
    audit_dll dll;
    audit_class class;
    unsigned index; /* in audit_functions and audit_thread.calls */
} audit_function;

#define AUDIT_WRAP(dll, name)        extern audit_function audit_slot_##name;
#define AUDIT_NOTE(dll, name, class) extern audit_function audit_slot_##name;
#include "audit_functions.h"
#undef AUDIT_WRAP
#undef AUDIT_NOTE

#define AUDIT_WRAP(dll, name)        AUDIT_INDEX_##name,
#define AUDIT_NOTE(dll, name, class) AUDIT_INDEX_##name,
enum {
#include "audit_functions.h"
    AUDIT_FUNCTION_COUNT
};
#undef AUDIT_WRAP
#undef AUDIT_NOTE

extern audit_function *const audit_functions[AUDIT_FUNCTION_COUNT];

/* No DLL exports it by name; WSAIoctl hands it out. */
extern __typeof__(*(LPFN_CONNECTEX)0) ConnectEx;

/* The wrappers, each with the signature of what it stands for. */
#define AUDIT_WRAP(dll, name) extern __typeof__(name) audit_##name;
#define AUDIT_NOTE(dll, name, class)
#include "audit_functions.h"
#undef AUDIT_WRAP
#undef AUDIT_NOTE

/* The true function, typed like the declaration of that name. */
#define AUDIT_TRUE(name) ((__typeof__(&name))(void *)audit_slot_##name.address)

/* Where a call came from. */
typedef struct audit_site {
    const audit_function *function; /* NULL = never */
    const void *where;              /* the return address into the caller */
    uintptr_t handle;               /* 0 = none */
} audit_site;

#define AUDIT_SITE(name, handle_value) \
    ((audit_site){.function = &audit_slot_##name, \
                  .where = __builtin_extract_return_addr(__builtin_return_address(0)), \
                  .handle = (uintptr_t)(handle_value)})

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct audit_thread {
    struct audit_thread *next; /* in the list of all */
    DWORD id;
    bool is_main;
    bool is_exempt;
    atomic_bool has_ended;
    bool reported_both;
    audit_site first_sync;
    audit_site first_overlapped;
    atomic_uint_fast64_t sync_count;
    atomic_uint_fast64_t open_count; /* of sync_count: names opened or looked up */
    atomic_uint_fast64_t overlapped_count;
    atomic_uint_fast64_t dequeued_count;
    atomic_uint_fast64_t cancel_count;
    atomic_uint_fast64_t close_count;
    atomic_int outstanding; /* requests it issued whose packet is still to come */
    atomic_uint_fast64_t calls[AUDIT_FUNCTION_COUNT];
} audit_thread;

/* The calling thread's record. Counts the call. */
audit_thread *audit_enter(const audit_site *site);

audit_thread *audit_thread_self(void);
audit_thread *audit_threads(void); /* all, newest first */

/* Adds to a counter that only the calling thread writes. */
void audit_add(atomic_uint_fast64_t *counter, uint64_t amount);

/* The thread did I/O of that kind: a thread that did both breaks I2. */
void audit_sync(audit_thread *thread, const audit_site *site);
void audit_overlapped(audit_thread *thread, const audit_site *site);

/* The stubs of AUDIT_NOTE come here. */
void audit_note(const audit_function *function, const void *where, uintptr_t first_argument);

/* ---- handles and requests -------------------------------------------------------------------- */

typedef enum audit_object {
    AUDIT_OBJECT_UNKNOWN,
    AUDIT_OBJECT_PIPE,
    AUDIT_OBJECT_FILE,
    AUDIT_OBJECT_SOCKET,
    AUDIT_OBJECT_PORT
} audit_object;

/* A handle came into being on this thread. It is in transit: it has no owner until a thread
 * associates it with a completion port or issues an overlapped request on it. */
void audit_handle_created(uintptr_t handle, audit_object object, bool is_overlapped);

/* Before a handle is closed: checks, and forgets it. */
void audit_handle_closing(audit_thread *thread, const audit_site *site, bool by_closesocket);

/* A handle was associated with a port: this thread owns it from now on. */
void audit_handle_associated(audit_thread *thread, const audit_site *site);

/* A packet is awaited on a port: the first thread to do so owns it. */
void audit_port_dequeuing(audit_thread *thread, const audit_site *site);

/* Around a synchronous transfer on a handle. */
void audit_sync_begin(audit_thread *thread, const audit_site *site);
void audit_sync_end(const audit_site *site);

/* Around an overlapped call. `second` is another handle that the request uses (AcceptEx), or 0. */
typedef enum audit_outcome {
    AUDIT_PACKET,      /* a packet will come */
    AUDIT_NO_PACKET,   /* it failed: none will */
    AUDIT_MAYBE_PACKET /* the sources disagree */
} audit_outcome;
void audit_issue_begin(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped,
                       uintptr_t second);
void audit_issue_end(audit_thread *thread, const OVERLAPPED *overlapped, audit_outcome outcome);

void audit_posted(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped);
void audit_dequeued(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped);
void audit_cancel(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped);

/* ---- violations ------------------------------------------------------------------------------ */

#define AUDIT_VIOLATIONS(X) \
    X(BOTH_KINDS, "both-kinds") \
    X(ISSUE_FOREIGN, "issue-foreign") \
    X(ISSUE_NO_PORT, "issue-no-port") \
    X(CANCEL_FOREIGN, "cancel-foreign") \
    X(CANCEL_ALL, "cancel-all") \
    X(CANCEL_STALE, "cancel-stale") \
    X(CANCEL_SYNCHRONOUS, "cancel-synchronous") \
    X(CANCEL_WORKER, "cancel-worker") \
    X(CLOSE_FOREIGN, "close-foreign") \
    X(CLOSE_OUTSTANDING, "close-outstanding") \
    X(CLOSE_INVALID, "close-invalid") \
    X(CLOSE_WRONG, "close-wrong") \
    X(DEQUEUE_FOREIGN, "dequeue-foreign") \
    X(EVENT, "event") \
    X(OVERLAPPED_REUSED, "overlapped-reused") \
    X(PACKET_TWICE, "packet-twice") \
    X(FORBIDDEN, "forbidden-call") \
    X(PIPE_NO_SECURITY, "pipe-no-security") \
    X(PIPE_REMOTE, "pipe-remote") \
    X(PIPE_NO_SQOS, "pipe-no-sqos") \
    X(PIPE_NOWAIT, "pipe-nowait") \
    X(SYNC_ON_OVERLAPPED, "sync-on-overlapped") \
    X(THREAD_EXIT, "thread-exit-outstanding")

#define AUDIT_VIOLATION_ENUM(id, name) AUDIT_##id,
typedef enum audit_violation_kind {
    AUDIT_VIOLATIONS(AUDIT_VIOLATION_ENUM) AUDIT_VIOLATION_KINDS
} audit_violation_kind;

/* Records; never prints. `other` may be NULL: the call that makes this one wrong. */
void audit_violation(audit_violation_kind kind, const audit_thread *thread, const audit_site *site,
                     const audit_thread *other_thread, const audit_site *other);

/* ---- start-up (audit_start_win.c) ------------------------------------------------------------ */

void audit_state_start(void);
/* Prints (quietly: only violations), and does not return when there was one. */
void audit_report_at_exit(bool is_quiet);

#endif
