/*
 * service_run_win.c - see service.h: sluiced inside the service manager.
 *
 * Threads: the main thread waits in StartServiceCtrlDispatcherW and runs on_request; the service
 * manager starts service_main, which is the control thread of the broker (run.h). They share
 * `the_service`, under its mutex. A stop begins a drain; until it is over, every tick of the
 * control loop tells the manager that we are alive, by a new checkpoint.
 */
#include "broker/service.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdio.h>

#include "base/failpoint.h"
#include "base/thread.h"
#include "broker/complaint.h"
#include "broker/run.h"

#define HINT_MS 5000u /* between two checkpoints; the loop ticks every 500 ms */

typedef struct service {
    const sluiced_options *options;
    sl_mutex mutex;
    control *control; /* NULL: nothing to stop yet, or any more */
    bool is_stop_asked;
    SERVICE_STATUS_HANDLE os_service;
    SERVICE_STATUS status;
    sluiced_exit code;
} service;

static service the_service; /* the service manager's callbacks have no other way to it */

/* mutex held */
static void report(service *s, DWORD state) {
    s->status.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
    bool is_pending = state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING;
    s->status.dwCheckPoint = !is_pending                         ? 0
                             : state == s->status.dwCurrentState ? s->status.dwCheckPoint + 1
                                                                 : 1;
    s->status.dwCurrentState = state;
    s->status.dwWaitHint = is_pending ? HINT_MS : 0;
    s->status.dwControlsAccepted =
        state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_PRESHUTDOWN : 0;
    (void)SetServiceStatus(s->os_service, &s->status);
}

static DWORD WINAPI on_request(DWORD request, DWORD type, void *data, void *context) {
    (void)type;
    (void)data;
    service *s = context;
    DWORD result = NO_ERROR;
    sl_mutex_lock(&s->mutex);
    switch (request) {
    case SERVICE_CONTROL_STOP:
    case SERVICE_CONTROL_PRESHUTDOWN:
        SL_FAILPOINT_PASS(service, stop);
        s->is_stop_asked = true;
        report(s, SERVICE_STOP_PENDING);
        if (s->control != NULL) {
            control_stop(s->control);
        }
        break;
    case SERVICE_CONTROL_INTERROGATE: (void)SetServiceStatus(s->os_service, &s->status); break;
    default: result = ERROR_CALL_NOT_IMPLEMENTED;
    }
    sl_mutex_unlock(&s->mutex);
    return result;
}

/* ---- hooks of the run, on the control thread ---- */

static void on_control(void *user, control *control_or_null) {
    service *s = user;
    sl_mutex_lock(&s->mutex);
    s->control = control_or_null;
    if (control_or_null != NULL && s->is_stop_asked) {
        control_stop(control_or_null);
    }
    sl_mutex_unlock(&s->mutex);
}

static void on_running(void *user) {
    service *s = user;
    SL_FAILPOINT_PASS(service, running);
    sl_mutex_lock(&s->mutex);
    if (!s->is_stop_asked) {
        report(s, SERVICE_RUNNING);
    }
    sl_mutex_unlock(&s->mutex);
}

static void on_draining(void *user) {
    service *s = user;
    sl_mutex_lock(&s->mutex);
    report(s, SERVICE_STOP_PENDING);
    sl_mutex_unlock(&s->mutex);
}

static void WINAPI service_main(DWORD argc, LPWSTR *argv) {
    (void)argc;
    service *s = &the_service;
    s->os_service = RegisterServiceCtrlHandlerExW(argv[0], on_request, s);
    if (s->os_service == NULL) {
        char text[100];
        (void)snprintf(text, sizeof(text),
                       "service run: the service manager refused "
                       "(Windows error %lu)",
                       (unsigned long)GetLastError());
        complaint_write(text);
        s->code = SLUICED_EXIT_SERVICE;
        return;
    }
    sl_mutex_lock(&s->mutex);
    report(s, SERVICE_START_PENDING);
    sl_mutex_unlock(&s->mutex);

    const run_hooks hooks = {
        .on_control = on_control, .on_running = on_running, .on_draining = on_draining, .user = s};
    s->code = SL_FAILPOINT(service, start) == SLUICE_OK ? run_broker(s->options, &hooks)
                                                        : SLUICED_EXIT_FAILED;
    SL_FAILPOINT_PASS(service, stopped);

    /* Not 0: with fFailureActionsOnNonCrashFailures the manager restarts us. */
    sl_mutex_lock(&s->mutex);
    if (s->code != SLUICED_EXIT_OK) {
        s->status.dwWin32ExitCode = ERROR_SERVICE_SPECIFIC_ERROR;
        s->status.dwServiceSpecificExitCode = (DWORD)s->code;
    }
    report(s, SERVICE_STOPPED);
    sl_mutex_unlock(&s->mutex);
}

sluiced_exit service_run(const sluiced_options *options) {
    service *s = &the_service;
    s->options = options;
    sl_mutex_init(&s->mutex); /* for as long as the process lives */
    static WCHAR name[CONFIG_NAME_BYTES];
    if (MultiByteToWideChar(CP_UTF8, 0, options->service_name, -1, name, CONFIG_NAME_BYTES) <= 0) {
        return SLUICED_EXIT_USAGE;
    }
    SERVICE_TABLE_ENTRYW table[] = {{name, service_main}, {NULL, NULL}};
    if (!StartServiceCtrlDispatcherW(table)) {
        complaint_write(
            "service run is for the service manager; use sluiced run, or service start");
        return SLUICED_EXIT_SERVICE;
    }
    return s->code;
}
