/*
 * selftest_service_win.c - the installed service, as the service manager runs it: under which
 * account, what it is told before a shutdown, that it comes back when it is killed.
 *
 * Installed and removed by `sluiced service`, under a name of this process's own. It needs an
 * administrator. A shutdown itself is not tried: only that the manager will tell, and how long it
 * waits. Main thread; it looks at states in pauses, since the manager has no call that waits.
 */
#include "client/cli/selftest_win.h"

#include <sddl.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#define COMMAND_LIMIT_S  120u
#define LOOK_MS          100u
#define RESTART_LIMIT_MS 60000u
#define WINE_LIMIT_MS    2000u       /* it does not restart services: the code is run, no more */
#define VIRTUAL_ACCOUNT  "S-1-5-80-" /* SECURITY_SERVICE_ID_BASE_RID */
#define NAME_BYTES       64u

typedef struct service {
    char name[NAME_BYTES];
    char broker[SELFTEST_PATH_BYTES];
    bool is_verbose;
    bool may_be_installed; /* so it is to be removed */
    SC_HANDLE os_manager;
    SC_HANDLE os_service;
} service;

static int command(const service *s, const char *verb, const char *const *more) {
    const char *words[SELFTEST_WORDS_MAX] = {"service", verb, "--name", s->name};
    for (unsigned i = 0; more != NULL && more[i] != NULL; i++) {
        words[4 + i] = more[i];
    }
    return selftest_run(s->broker, words, COMMAND_LIMIT_S, s->is_verbose);
}

static bool query(const service *s, SERVICE_STATUS_PROCESS *ret_status) {
    DWORD needed;
    return QueryServiceStatusEx(s->os_service, SC_STATUS_PROCESS_INFO, (LPBYTE)ret_status,
                                sizeof(*ret_status), &needed);
}

static bool begin(service *s, selftest_question question, const selftest_place *place,
                  selftest_result *ret_result) {
    WCHAR name[SELFTEST_PATH_BYTES];
    s->is_verbose = place->is_verbose;
    (void)snprintf(s->name, sizeof(s->name), "sluice-selftest-%lu-%d",
                   (unsigned long)GetCurrentProcessId(), (int)question); /* each its own */
    if (place->broker_path != NULL) {
        (void)snprintf(s->broker, sizeof(s->broker), "%s", place->broker_path);
    } else if (!selftest_find(NULL, "sluiced", ".", s->broker)) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "no sluiced beside this program: --broker PATH");
        return false;
    }
    s->os_manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE);
    if (s->os_manager == NULL) { /* whoever may not is told so; all that comes now must work */
        selftest_say(ret_result, SELFTEST_SKIPPED, "only an administrator may (Windows error %lu)",
                     (unsigned long)GetLastError());
        return false;
    }
    const char *const options[] = {"--allow", place->user,   "--endpoint",
                                   s->name,   "--from-here", NULL};
    s->may_be_installed = true;
    int code = command(s, "install", options);
    if (code != 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "it could not be installed (exit code %d)", code);
        return false;
    }
    code = command(s, "start", NULL);
    if (code == 0 && selftest_wide(s->name, name)) {
        s->os_service =
            OpenServiceW(s->os_manager, name, SERVICE_QUERY_STATUS | SERVICE_QUERY_CONFIG);
    }
    if (s->os_service == NULL) {
        selftest_say(ret_result, SELFTEST_FAILED, "it did not start (exit code %d)", code);
        return false;
    }
    return true;
}

/* The log that the service has written, where `sluiced service install` puts it, its folder, and
 * the one above if nobody else's is there. */
static void remove_log(const service *s) {
    WCHAR name[NAME_BYTES];
    WCHAR directory[MAX_PATH];
    WCHAR own[MAX_PATH + NAME_BYTES];
    WCHAR path[MAX_PATH + 2 * NAME_BYTES + 8];
    DWORD count = ExpandEnvironmentStringsW(L"%ProgramData%\\Sluice", directory, MAX_PATH);
    if (count > 0 && count <= MAX_PATH &&
        MultiByteToWideChar(CP_UTF8, 0, s->name, -1, name, NAME_BYTES) > 0 &&
        swprintf(own, sizeof(own) / sizeof(own[0]), L"%ls\\%ls", directory, name) > 0 &&
        swprintf(path, sizeof(path) / sizeof(path[0]), L"%ls\\%ls.log", own, name) > 0) {
        (void)DeleteFileW(path);
        (void)RemoveDirectoryW(own);
        (void)RemoveDirectoryW(directory);
    }
}

static void end(service *s, selftest_result *ret_result) {
    if (s->os_service != NULL) {
        (void)CloseServiceHandle(s->os_service);
    }
    if (s->os_manager != NULL) {
        (void)CloseServiceHandle(s->os_manager);
    }
    if (s->may_be_installed && command(s, "uninstall", NULL) != 0 &&
        ret_result->outcome != SELFTEST_FAILED) {
        selftest_say(ret_result, SELFTEST_FAILED, "it could not be removed: %s", s->name);
    }
    if (s->may_be_installed && ret_result->outcome != SELFTEST_FAILED) {
        remove_log(s); /* of a failure it may say the cause */
    }
}

static void account(const service *s, selftest_result *ret_result) {
    SERVICE_STATUS_PROCESS status;
    selftest_sid user;
    DWORD length;
    HANDLE process = NULL;
    HANDLE token = NULL;
    char *text = NULL;
    if (query(s, &status)) {
        process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, status.dwProcessId);
    }
    bool is_known = process != NULL && OpenProcessToken(process, TOKEN_QUERY, &token) &&
                    GetTokenInformation(token, TokenUser, &user, sizeof(user), &length) &&
                    ConvertSidToStringSidA(user.user.User.Sid, &text);
    if (!is_known) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "its token: Windows error %lu",
                     (unsigned long)GetLastError());
    } else if (strncmp(text, VIRTUAL_ACCOUNT, strlen(VIRTUAL_ACCOUNT)) != 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "it runs as %.80s", text);
    }
    (void)LocalFree(text);
    if (token != NULL) {
        (void)CloseHandle(token);
    }
    if (process != NULL) {
        (void)CloseHandle(process);
    }
}

/* An administrator may end others' processes when it says that it debugs. */
static void may_debug(void) {
    HANDLE token;
    TOKEN_PRIVILEGES wish = {.PrivilegeCount = 1};
    wish.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
    if (OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &token)) {
        if (LookupPrivilegeValueW(NULL, L"SeDebugPrivilege", &wish.Privileges[0].Luid)) {
            (void)AdjustTokenPrivileges(token, FALSE, &wish, 0, NULL, NULL);
        }
        (void)CloseHandle(token);
    }
}

/* For an event that never comes. */
static void pause_ms(unsigned time_ms) {
    HANDLE never = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (never != NULL) {
        (void)WaitForSingleObject(never, time_ms);
        (void)CloseHandle(never);
    }
}

static void restart(const service *s, selftest_result *ret_result) {
    SERVICE_STATUS_PROCESS before;
    SERVICE_STATUS_PROCESS after;
    unsigned limit_ms = selftest_system() == NULL ? RESTART_LIMIT_MS : WINE_LIMIT_MS;
    may_debug();
    HANDLE process =
        query(s, &before) ? OpenProcess(PROCESS_TERMINATE, FALSE, before.dwProcessId) : NULL;
    if (process == NULL || !TerminateProcess(process, 1)) {
        selftest_say(ret_result, SELFTEST_SKIPPED, "it cannot be killed: Windows error %lu",
                     (unsigned long)GetLastError());
        if (process != NULL) {
            (void)CloseHandle(process);
        }
        return;
    }
    (void)CloseHandle(process);
    for (unsigned waited_ms = 0; waited_ms < limit_ms; waited_ms += LOOK_MS) {
        pause_ms(LOOK_MS);
        if (query(s, &after) && after.dwCurrentState == SERVICE_RUNNING &&
            after.dwProcessId != before.dwProcessId) {
            return;
        }
    }
    selftest_say(ret_result, SELFTEST_FAILED, "it was not back after %u s", limit_ms / 1000);
}

static void preshutdown(const service *s, selftest_result *ret_result) {
    SERVICE_STATUS_PROCESS status;
    SERVICE_PRESHUTDOWN_INFO info = {0};
    DWORD needed;
    if (!query(s, &status) || !QueryServiceConfig2W(s->os_service, SERVICE_CONFIG_PRESHUTDOWN_INFO,
                                                    (LPBYTE)&info, sizeof(info), &needed)) {
        selftest_say(ret_result, SELFTEST_FAILED, "its configuration: Windows error %lu",
                     (unsigned long)GetLastError());
    } else if ((status.dwControlsAccepted & SERVICE_ACCEPT_PRESHUTDOWN) == 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "it does not ask to be told");
    } else if (info.dwPreshutdownTimeout == 0) {
        selftest_say(ret_result, SELFTEST_FAILED, "nobody waits for it");
    } else {
        selftest_say(ret_result, SELFTEST_PASSED, "%lu ms; a shutdown itself was not tried",
                     (unsigned long)info.dwPreshutdownTimeout);
    }
}

void selftest_service(selftest_question question, const selftest_place *place,
                      selftest_result *ret_result) {
    static service s;
    memset(&s, 0, sizeof(s));
    if (begin(&s, question, place, ret_result)) {
        switch (question) {
        case SELFTEST_SERVICE_ACCOUNT: account(&s, ret_result); break;
        case SELFTEST_SERVICE_RESTART: restart(&s, ret_result); break;
        default: preshutdown(&s, ret_result); break;
        }
    }
    end(&s, ret_result);
}
