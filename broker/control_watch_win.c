/* control_watch_win.c - see control_watch.h. The job that the client made kills this process with
 * the client; the wait here ends it in order, and also where there is no job. */
#include "broker/control_watch.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <string.h>

#include "base/status.h"

/* Nothing is inherited of that but for Ctrl-C, which a group of its own does not get. */
bool control_watch_ignores(int signal) {
    (void)signal;
    return false;
}

/* On a thread of the system's pool. */
static void CALLBACK on_process_end(PVOID context, BOOLEAN timed_out) {
    (void)timed_out;
    control_watch *watch = context;
    (void)uv_async_send(&watch->uv.async);
}

static void on_wake(uv_async_t *async) {
    control_watch *watch = async->data;
    watch->on_gone(watch->user);
}

static int open_process(const char *who, HANDLE *ret_process) {
    if (strncmp(who, "handle:", 7) == 0) {
        uint64_t number = control_watch_number(who + 7, '\0');
        HANDLE process = (HANDLE)(uintptr_t)number;
        if (number == 0 || GetProcessId(process) == 0 || /* a process, and nothing else */
            !SetHandleInformation(process, HANDLE_FLAG_INHERIT, 0)) {
            return SLUICE_EINVAL;
        }
        *ret_process = process;
        return SLUICE_OK;
    }
    uint64_t number = control_watch_number(who, '\0');
    if (number == 0 || number > UINT32_MAX) {
        return SLUICE_EINVAL;
    }
    *ret_process = OpenProcess(SYNCHRONIZE, FALSE, (DWORD)number);
    if (*ret_process == NULL) {
        DWORD os_error = GetLastError();
        return os_error == ERROR_INVALID_PARAMETER ? SLUICE_ENOTFOUND
               : os_error == ERROR_ACCESS_DENIED   ? SLUICE_EACCESS
                                                   : SLUICE_EOS;
    }
    return SLUICE_OK;
}

int control_watch_open(control_watch *watch, uv_loop_t *loop, const char *who,
                       void (*on_gone)(void *user), void *user) {
    watch->on_gone = on_gone;
    watch->user = user;
    HANDLE process;
    int status = open_process(who, &process);
    if (status != SLUICE_OK) {
        return status;
    }
    watch->os_process = process;
    if (uv_async_init(loop, &watch->uv.async, on_wake) != 0) {
        (void)CloseHandle(process);
        return SLUICE_EOS;
    }
    watch->uv.async.data = watch;
    watch->is_open = true;
    if (!RegisterWaitForSingleObject(&watch->os_wait, process, on_process_end, watch, INFINITE,
                                     WT_EXECUTEONLYONCE)) {
        watch->os_wait = NULL;
        control_watch_close(watch);
        return SLUICE_EOS;
    }
    return SLUICE_OK;
}

void control_watch_tell(const control_watch *watch) {
    (void)watch;
}

void control_watch_close(control_watch *watch) {
    if (!watch->is_open) {
        return;
    }
    watch->is_open = false;
    if (watch->os_wait != NULL) {
        /* Waits for a callback that is running: it only sends. */
        (void)UnregisterWaitEx(watch->os_wait, INVALID_HANDLE_VALUE);
    }
    (void)CloseHandle(watch->os_process);
    uv_close((uv_handle_t *)&watch->uv.async, NULL);
}
