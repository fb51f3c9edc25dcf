/*
 * error_win.c - the calling thread's record, by a slot of the system: the compiler's own thread
 * variables would bring libraries along (libgcc's emulation, winpthread), and abort without memory.
 * A fiber's slot rather than a thread's, because it is told when its thread ends. The library stays
 * in the process (pin.h), and so does the function that is told.
 */
#include "client/error.h"

#include <windows.h>

#include "base/alloc.h"
#include "base/atomic.h"
#include "client/pin.h"

static sl_atomic_u32 slot; /* its number and 1; 0 = there is none yet */

/* Of a thread that has not failed; and what stands for a failure that found no memory. Neither is
 * written. */
static client_thread_record never_failed = {.error.size = sizeof(never_failed.error)};
static client_thread_record no_memory;

static void WINAPI on_thread_end(void *record) {
    if (record != NULL && record != &no_memory) {
        sl_allocator *source = sl_allocator_system();
        source->release(source, record, sizeof(client_thread_record));
    }
}

/* FLS_OUT_OF_INDEXES: there is none to be had. */
static DWORD find_slot(void) {
    uint32_t found = atomic_load(&slot);
    if (found != 0) {
        return found - 1;
    }
    client_pin();
    DWORD made = FlsAlloc(on_thread_end);
    if (made == FLS_OUT_OF_INDEXES || atomic_compare_exchange_strong(&slot, &found, made + 1)) {
        return made;
    }
    (void)FlsFree(made); /* another thread was faster */
    return found - 1;
}

static client_thread_record *make_record(DWORD index) {
    sl_allocator *source = sl_allocator_system();
    client_thread_record *record = source->acquire(source, sizeof(*record));
    if (record != NULL) {
        *record = never_failed;
    }
    if (record != NULL && !FlsSetValue(index, record)) {
        source->release(source, record, sizeof(*record));
        record = NULL;
    }
    if (record == NULL) {
        (void)FlsSetValue(index, &no_memory);
    }
    return record;
}

client_thread_record *client_error_record(bool is_to_write) {
    DWORD index = find_slot();
    if (index == FLS_OUT_OF_INDEXES) {
        return NULL;
    }
    client_thread_record *record = FlsGetValue(index);
    if (is_to_write && (record == NULL || record == &no_memory)) {
        return make_record(index);
    }
    if (record == NULL) {
        return &never_failed;
    }
    return record != &no_memory ? record : NULL;
}
