/*
 * audit_state_win.c - who did what: threads, handles, requests.
 *
 * Threads have a record each, in thread-local storage whose destructor (FLS) also tells us of a
 * thread's end. Handles and OVERLAPPEDs are in hash tables of small locked buckets; a record is
 * held only inside one function here, and two buckets are never locked at once. The locks are SRW
 * locks, held for a few instructions, and taken around the true calls by nobody.
 *
 * A right program touches a handle from one thread, so the order of events is its own. A wrong
 * one may race with itself; it is caught by what it did, whichever order was seen.
 */
#include "audit_win.h"

#define AUDIT_BUCKETS 16384u
#define AUDIT_LOCKS   64u
#define AUDIT_CHUNK   512u

typedef struct audit_node {
    struct audit_node *next;
    uintptr_t key;
    /* a handle */
    audit_object object;
    bool is_overlapped;
    bool is_known; /* its creation was seen: is_overlapped is true or false for certain */
    bool on_port;
    uint64_t serial; /* tells it from an earlier handle of the same value */
    int outstanding; /* requests issued on it, packet to come */
    int sync_inside; /* threads inside a synchronous transfer on it */
    audit_thread *owner;
    audit_site last; /* the issue, or synchronous call, that is under way */
    audit_thread *last_thread;
    /* a request: last and last_thread tell who issued it */
    int issued;
    int posted;
    int maybe;
    uintptr_t handles[2];
    uint64_t serials[2];
} audit_node;

typedef struct audit_table {
    audit_node *buckets[AUDIT_BUCKETS];
    SRWLOCK locks[AUDIT_LOCKS];
    audit_node *spare[AUDIT_LOCKS]; /* per lock, so that no other lock is needed */
} audit_table;

static audit_table handles;
static audit_table requests;
static atomic_uint_fast64_t next_serial;
static _Atomic(audit_thread *) all_threads;
static DWORD thread_slot = FLS_OUT_OF_INDEXES;

/* ---- tables ---------------------------------------------------------------------------------- */

static unsigned bucket_of(uintptr_t key) {
    return (unsigned)(((uint64_t)key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) % AUDIT_BUCKETS;
}

static audit_node *node_new(audit_table *table, unsigned lock) {
    if (table->spare[lock] == NULL) {
        audit_node *chunk = VirtualAlloc(NULL, AUDIT_CHUNK * sizeof *chunk,
                                         MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        if (chunk == NULL) {
            AUDIT_TRUE(TerminateProcess)(GetCurrentProcess(), SLUICE_AUDIT_EXIT_CODE);
            return NULL;
        }
        for (unsigned i = 0; i < AUDIT_CHUNK; i++) {
            chunk[i].next = table->spare[lock];
            table->spare[lock] = &chunk[i];
        }
    }
    audit_node *node = table->spare[lock];
    table->spare[lock] = node->next;
    *node = (audit_node){0};
    return node;
}

/* Locks the key's bucket; the node, or NULL when it is absent and not to be made. */
static audit_node *node_lock(audit_table *table, uintptr_t key, bool make) {
    unsigned bucket = bucket_of(key);
    unsigned lock = bucket % AUDIT_LOCKS;
    AcquireSRWLockExclusive(&table->locks[lock]);
    audit_node *node = table->buckets[bucket];
    while (node != NULL && node->key != key) {
        node = node->next;
    }
    if (node == NULL && make) {
        node = node_new(table, lock);
        node->key = key;
        node->serial = atomic_fetch_add(&next_serial, 1) + 1;
        node->next = table->buckets[bucket];
        table->buckets[bucket] = node;
    }
    return node;
}

static void node_unlock(audit_table *table, uintptr_t key) {
    ReleaseSRWLockExclusive(&table->locks[bucket_of(key) % AUDIT_LOCKS]);
}

/* With the bucket locked. */
static void node_remove(audit_table *table, audit_node *node) {
    unsigned bucket = bucket_of(node->key);
    unsigned lock = bucket % AUDIT_LOCKS;
    audit_node **link = &table->buckets[bucket];
    while (*link != node) {
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = table->spare[lock];
    table->spare[lock] = node;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void NTAPI on_thread_end(PVOID value) {
    audit_thread *thread = value;
    if (thread == NULL || thread->is_main) {
        return; /* the process's end is the report's business */
    }
    atomic_store(&thread->has_ended, true);
    if (atomic_load(&thread->outstanding) > 0) {
        audit_violation(AUDIT_THREAD_EXIT, thread, &thread->first_overlapped, NULL, NULL);
    }
}

void audit_state_start(void) {
    thread_slot = FlsAlloc(on_thread_end);
    if (thread_slot == FLS_OUT_OF_INDEXES) {
        AUDIT_TRUE(TerminateProcess)(GetCurrentProcess(), SLUICE_AUDIT_EXIT_CODE);
    }
}

audit_thread *audit_thread_self(void) {
    DWORD last_error = GetLastError();
    audit_thread *thread = FlsGetValue(thread_slot);
    if (thread == NULL) {
        thread = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof *thread);
        if (thread == NULL) {
            AUDIT_TRUE(TerminateProcess)(GetCurrentProcess(), SLUICE_AUDIT_EXIT_CODE);
            return NULL;
        }
        thread->id = GetCurrentThreadId();
        FlsSetValue(thread_slot, thread);
        thread->next = atomic_load(&all_threads);
        while (!atomic_compare_exchange_weak(&all_threads, &thread->next, thread)) {
        }
    }
    SetLastError(last_error);
    return thread;
}

audit_thread *audit_threads(void) {
    return atomic_load(&all_threads);
}

void audit_add(atomic_uint_fast64_t *counter, uint64_t amount) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

audit_thread *audit_enter(const audit_site *site) {
    audit_thread *thread = audit_thread_self();
    audit_add(&thread->calls[site->function->index], 1);
    return thread;
}

static void check_kinds(audit_thread *thread, const audit_site *site, const audit_site *other) {
    if (other->function != NULL && !thread->reported_both && !thread->is_exempt) {
        thread->reported_both = true;
        audit_violation(AUDIT_BOTH_KINDS, thread, site, thread, other);
    }
}

void audit_sync(audit_thread *thread, const audit_site *site) {
    audit_add(&thread->sync_count, 1);
    if (thread->first_sync.function == NULL) {
        thread->first_sync = *site;
        check_kinds(thread, site, &thread->first_overlapped);
    }
}

void audit_overlapped(audit_thread *thread, const audit_site *site) {
    audit_add(&thread->overlapped_count, 1);
    if (thread->first_overlapped.function == NULL) {
        thread->first_overlapped = *site;
        check_kinds(thread, site, &thread->first_sync);
    }
}

void audit_note(const audit_function *function, const void *where, uintptr_t first_argument) {
    audit_site site = {function, where, 0};
    audit_thread *thread = audit_enter(&site);
    if (function->class == AUDIT_CLASS_SYNC) {
        audit_sync(thread, &site);
    } else if (function->class == AUDIT_CLASS_OPEN) {
        audit_add(&thread->open_count, 1);
        audit_sync(thread, &site);
    } else if (function->class == AUDIT_CLASS_FORBID) {
        site.handle = first_argument;
        audit_violation(AUDIT_FORBIDDEN, thread, &site, NULL, NULL);
    }
}

/* ---- handles --------------------------------------------------------------------------------- */

void audit_handle_created(uintptr_t handle, audit_object object, bool is_overlapped) {
    audit_node *node = node_lock(&handles, handle, true);
    /* A record that is still there is of a handle whose close we did not see (inside a DLL). */
    audit_node fresh = {
        .next = node->next,
        .key = handle,
        .object = object,
        .is_overlapped = is_overlapped,
        .is_known = true,
        .serial = atomic_fetch_add(&next_serial, 1) + 1,
    };
    *node = fresh;
    node_unlock(&handles, handle);
}

void audit_handle_closing(audit_thread *thread, const audit_site *site, bool by_closesocket) {
    audit_add(&thread->close_count, 1);
    audit_node *node = node_lock(&handles, site->handle, false);
    if (node == NULL) {
        node_unlock(&handles, site->handle);
        return; /* an event, a thread: not ours to follow */
    }
    audit_node copy = *node;
    node_remove(&handles, node);
    node_unlock(&handles, site->handle);
    if (copy.owner != NULL && copy.owner != thread) {
        audit_violation(AUDIT_CLOSE_FOREIGN, thread, site, copy.owner, &copy.last);
    }
    if (copy.outstanding > 0 || copy.sync_inside > 0) {
        audit_violation(AUDIT_CLOSE_OUTSTANDING, thread, site, copy.last_thread, &copy.last);
    }
    if (copy.object != AUDIT_OBJECT_UNKNOWN &&
        by_closesocket != (copy.object == AUDIT_OBJECT_SOCKET)) {
        audit_violation(AUDIT_CLOSE_WRONG, thread, site, NULL, NULL);
    }
}

void audit_handle_associated(audit_thread *thread, const audit_site *site) {
    audit_node *node = node_lock(&handles, site->handle, true);
    audit_thread *owner = node->owner;
    audit_site last = node->last;
    node->on_port = true;
    node->owner = owner == NULL ? thread : owner;
    if (owner == NULL) {
        node->last = *site;
        node->last_thread = thread;
    }
    node_unlock(&handles, site->handle);
    if (owner != NULL && owner != thread) {
        audit_violation(AUDIT_ISSUE_FOREIGN, thread, site, owner, &last);
    }
}

void audit_port_dequeuing(audit_thread *thread, const audit_site *site) {
    audit_node *node = node_lock(&handles, site->handle, true);
    node->object = AUDIT_OBJECT_PORT;
    audit_thread *owner = node->owner;
    audit_site last = node->last;
    if (owner == NULL) {
        node->owner = thread;
        node->last = *site;
        node->last_thread = thread;
    }
    node_unlock(&handles, site->handle);
    if (owner != NULL && owner != thread) {
        audit_violation(AUDIT_DEQUEUE_FOREIGN, thread, site, owner, &last);
    }
}

void audit_sync_begin(audit_thread *thread, const audit_site *site) {
    audit_sync(thread, site);
    audit_node *node = node_lock(&handles, site->handle, true);
    node->sync_inside++;
    node->last = *site;
    node->last_thread = thread;
    /* Sockets are overlapped by default and may be used synchronously. */
    bool is_wrong = node->is_known && node->is_overlapped && node->object != AUDIT_OBJECT_SOCKET;
    node_unlock(&handles, site->handle);
    if (is_wrong) {
        audit_violation(AUDIT_SYNC_ON_OVERLAPPED, thread, site, NULL, NULL);
    }
}

void audit_sync_end(const audit_site *site) {
    audit_node *node = node_lock(&handles, site->handle, false);
    if (node != NULL && node->sync_inside > 0) {
        node->sync_inside--;
    }
    node_unlock(&handles, site->handle);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* A request on a handle begins; returns the handle's serial. `is_issuer`: the handle that the call
 * names, whose owner and port count. */
static uint64_t handle_begin(audit_thread *thread, const audit_site *site, uintptr_t handle,
                             bool is_issuer) {
    audit_node *node = node_lock(&handles, handle, true);
    audit_thread *owner = node->owner;
    audit_site last = node->last;
    bool on_port = node->on_port;
    if (is_issuer && owner == NULL) {
        node->owner = thread;
    }
    node->outstanding++;
    node->last = *site;
    node->last_thread = thread;
    uint64_t serial = node->serial;
    node_unlock(&handles, handle);
    if (is_issuer && owner != NULL && owner != thread) {
        audit_violation(AUDIT_ISSUE_FOREIGN, thread, site, owner, &last);
    }
    if (is_issuer && !on_port) {
        audit_violation(AUDIT_ISSUE_NO_PORT, thread, site, NULL, NULL);
    }
    return serial;
}

static void handle_end(uintptr_t handle, uint64_t serial) {
    audit_node *node = node_lock(&handles, handle, false);
    if (node != NULL && node->serial == serial && node->outstanding > 0) {
        node->outstanding--;
    }
    node_unlock(&handles, handle);
}

static void handles_end(const audit_node *request) {
    for (unsigned i = 0; i < 2; i++) {
        if (request->handles[i] != 0) {
            handle_end(request->handles[i], request->serials[i]);
        }
    }
}

void audit_issue_begin(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped,
                       uintptr_t second) {
    audit_overlapped(thread, site);
    if (overlapped->hEvent != NULL) {
        audit_violation(AUDIT_EVENT, thread, site, NULL, NULL);
    }
    uintptr_t used[2] = {site->handle, second};
    uint64_t serials[2] = {handle_begin(thread, site, site->handle, true), 0};
    if (second != 0) {
        serials[1] = handle_begin(thread, site, second, false);
    }
    atomic_fetch_add(&thread->outstanding, 1);

    audit_node *node = node_lock(&requests, (uintptr_t)overlapped, true);
    int issued_before = node->issued++;
    audit_site last = node->last;
    audit_thread *last_thread = node->last_thread;
    node->maybe = 0;
    node->last = *site;
    node->last_thread = thread;
    for (unsigned i = 0; i < 2; i++) {
        node->handles[i] = used[i];
        node->serials[i] = serials[i];
    }
    node_unlock(&requests, (uintptr_t)overlapped);
    if (issued_before > 0) {
        audit_violation(AUDIT_OVERLAPPED_REUSED, thread, site, last_thread, &last);
    }
}

void audit_issue_end(audit_thread *thread, const OVERLAPPED *overlapped, audit_outcome outcome) {
    if (outcome == AUDIT_PACKET) {
        return;
    }
    audit_node *node = node_lock(&requests, (uintptr_t)overlapped, false);
    if (node == NULL || node->issued == 0) {
        node_unlock(&requests, (uintptr_t)overlapped);
        return;
    }
    node->issued--;
    node->maybe = outcome == AUDIT_MAYBE_PACKET ? 1 : 0;
    audit_node copy = *node;
    if (node->issued + node->maybe + node->posted == 0) {
        node_remove(&requests, node);
    }
    node_unlock(&requests, (uintptr_t)overlapped);
    atomic_fetch_sub(&thread->outstanding, 1);
    handles_end(&copy);
}

void audit_posted(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped) {
    (void)thread;
    (void)site;
    if (overlapped == NULL) {
        return;
    }
    audit_node *node = node_lock(&requests, (uintptr_t)overlapped, true);
    node->posted++;
    node_unlock(&requests, (uintptr_t)overlapped);
}

void audit_dequeued(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped) {
    audit_add(&thread->dequeued_count, 1);
    if (overlapped == NULL) {
        return; /* a wake-up */
    }
    audit_node *node = node_lock(&requests, (uintptr_t)overlapped, false);
    if (node == NULL) {
        node_unlock(&requests, (uintptr_t)overlapped);
        audit_violation(AUDIT_PACKET_TWICE, thread, site, NULL, NULL);
        return;
    }
    bool was_issued = node->issued > 0;
    if (was_issued) {
        node->issued--;
    } else if (node->posted > 0) {
        node->posted--;
    } else {
        node->maybe = 0;
    }
    audit_node copy = *node;
    if (node->issued + node->posted + node->maybe == 0) {
        node_remove(&requests, node);
    }
    node_unlock(&requests, (uintptr_t)overlapped);
    if (!was_issued) {
        return;
    }
    atomic_fetch_sub(&copy.last_thread->outstanding, 1);
    handles_end(&copy);
    if (copy.last_thread != thread) {
        audit_violation(AUDIT_DEQUEUE_FOREIGN, thread, site, copy.last_thread, &copy.last);
    }
}

/* The handle's side of a cancel: who owns it, and is a thread inside a synchronous call on it? */
static void check_cancel_handle(audit_thread *thread, const audit_site *site) {
    audit_node *node = node_lock(&handles, site->handle, false);
    audit_node copy = {0};
    if (node != NULL) {
        copy = *node;
    }
    node_unlock(&handles, site->handle);
    if (copy.sync_inside > 0) {
        audit_violation(AUDIT_CANCEL_SYNCHRONOUS, thread, site, copy.last_thread, &copy.last);
    }
    if (copy.owner != NULL && copy.owner != thread) {
        audit_violation(AUDIT_CANCEL_FOREIGN, thread, site, copy.owner, &copy.last);
    }
}

void audit_cancel(audit_thread *thread, const audit_site *site, const OVERLAPPED *overlapped) {
    audit_add(&thread->cancel_count, 1);
    check_cancel_handle(thread, site);
    if (overlapped == NULL) {
        audit_violation(AUDIT_CANCEL_ALL, thread, site, NULL, NULL);
        return;
    }
    audit_node *node = node_lock(&requests, (uintptr_t)overlapped, false);
    bool is_right = node != NULL && node->issued > 0 && node->handles[0] == site->handle;
    node_unlock(&requests, (uintptr_t)overlapped);
    if (!is_right) {
        audit_violation(AUDIT_CANCEL_STALE, thread, site, NULL, NULL);
    }
}
