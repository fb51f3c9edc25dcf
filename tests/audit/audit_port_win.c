/*
 * audit_port_win.c - wrappers of completion ports and of cancelling.
 */
#include "audit_win.h"

HANDLE WINAPI audit_CreateIoCompletionPort(HANDLE file, HANDLE port, ULONG_PTR key,
                                           DWORD concurrency) {
    audit_site site = AUDIT_SITE(CreateIoCompletionPort, file);
    audit_thread *thread = audit_enter(&site);
    HANDLE result = AUDIT_TRUE(CreateIoCompletionPort)(file, port, key, concurrency);
    DWORD error = GetLastError();
    if (result != NULL && port == NULL) {
        audit_handle_created((uintptr_t)result, AUDIT_OBJECT_PORT, false);
    }
    if (result != NULL && file != INVALID_HANDLE_VALUE) {
        audit_handle_associated(thread, &site);
    }
    SetLastError(error);
    return result;
}

BOOL WINAPI audit_GetQueuedCompletionStatusEx(HANDLE port, LPOVERLAPPED_ENTRY entries,
                                              ULONG capacity, PULONG ret_count, DWORD timeout_ms,
                                              BOOL is_alertable) {
    audit_site site = AUDIT_SITE(GetQueuedCompletionStatusEx, port);
    audit_thread *thread = audit_enter(&site);
    audit_overlapped(thread, &site);
    audit_port_dequeuing(thread, &site);
    BOOL ok = AUDIT_TRUE(GetQueuedCompletionStatusEx)(port, entries, capacity, ret_count,
                                                      timeout_ms, is_alertable);
    if (!ok) {
        return FALSE;
    }
    DWORD error = GetLastError();
    for (ULONG i = 0; i < *ret_count; i++) {
        audit_dequeued(thread, &site, entries[i].lpOverlapped);
    }
    SetLastError(error);
    return TRUE;
}

BOOL WINAPI audit_GetQueuedCompletionStatus(HANDLE port, LPDWORD ret_bytes, PULONG_PTR ret_key,
                                            LPOVERLAPPED *ret_overlapped, DWORD timeout_ms) {
    audit_site site = AUDIT_SITE(GetQueuedCompletionStatus, port);
    audit_thread *thread = audit_enter(&site);
    audit_overlapped(thread, &site);
    audit_port_dequeuing(thread, &site);
    BOOL ok =
        AUDIT_TRUE(GetQueuedCompletionStatus)(port, ret_bytes, ret_key, ret_overlapped, timeout_ms);
    DWORD error = GetLastError();
    /* FALSE with an OVERLAPPED is the packet of a request that failed. */
    if (ok || *ret_overlapped != NULL) {
        audit_dequeued(thread, &site, *ret_overlapped);
    }
    SetLastError(error);
    return ok;
}

BOOL WINAPI audit_PostQueuedCompletionStatus(HANDLE port, DWORD bytes, ULONG_PTR key,
                                             LPOVERLAPPED overlapped) {
    audit_site site = AUDIT_SITE(PostQueuedCompletionStatus, port);
    audit_thread *thread = audit_enter(&site);
    audit_posted(thread, &site, overlapped);
    return AUDIT_TRUE(PostQueuedCompletionStatus)(port, bytes, key, overlapped);
}

BOOL WINAPI audit_CancelIoEx(HANDLE file, LPOVERLAPPED overlapped) {
    audit_site site = AUDIT_SITE(CancelIoEx, file);
    audit_thread *thread = audit_enter(&site);
    audit_cancel(thread, &site, overlapped);
    return AUDIT_TRUE(CancelIoEx)(file, overlapped);
}

/* For openers and lanes. A thread with overlapped I/O must never be its target: it would hit
 * whatever that thread happens to do. */
BOOL WINAPI audit_CancelSynchronousIo(HANDLE thread_handle) {
    audit_site site = AUDIT_SITE(CancelSynchronousIo, thread_handle);
    audit_thread *thread = audit_enter(&site);
    audit_add(&thread->cancel_count, 1);
    DWORD id = GetThreadId(thread_handle);
    for (audit_thread *other = audit_threads(); other != NULL; other = other->next) {
        if (other->id == id && !atomic_load(&other->has_ended) &&
            atomic_load(&other->overlapped_count) > 0) {
            audit_violation(AUDIT_CANCEL_WORKER, thread, &site, other, &other->first_overlapped);
        }
    }
    return AUDIT_TRUE(CancelSynchronousIo)(thread_handle);
}
