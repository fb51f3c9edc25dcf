/*
 * service_win.c - see service.h: the service seen from outside, through the service manager.
 *
 * Installing makes a service of its own process under the virtual account NT SERVICE\NAME, whose
 * command line is `"...\sluiced.exe" service run` with what install was given, each word quoted.
 * Where Wine lacks something, that is said by name and skipped; on Windows it is an error, and the
 * half-made service is taken away again.
 */
#include "broker/service.h"

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/check.h"
#include "base/sink.h"
#include "base/thread.h"
#include "base/wine_win.h"
#include "broker/complaint.h"
#include "broker/control.h"
#include "broker/run.h"
#include "broker/service_place_win.h"

#define COMMAND_BYTES 8192
#define PATH_BYTES    2048 /* of UTF-8 */
#define DISPLAY_CHARS (CONFIG_NAME_BYTES + 32)
#define DEFAULT_NAME  L"sluice"           /* as in options.c */
#define LOOK_NS       (50 * SL_NS_PER_MS) /* how often a state is looked at */
#define START_NS      (30 * SL_NS_PER_S)

typedef struct manager {
    const sluiced_options *options;
    SC_HANDLE os_manager;
    SC_HANDLE os_service;
    WCHAR name[CONFIG_NAME_BYTES];
} manager;

static void say(const char *name, const char *what) {
    char line[400];
    int length = snprintf(line, sizeof(line), "%.100s: %.280s\n", name, what);
    SL_CHECK(length > 0, "the format is ours");
    (void)sl_sink_write(SL_SINK_OUTPUT, line, (size_t)length);
}

static sluiced_exit refuse(const manager *m, const char *step, DWORD os_error) {
    const char *hint = os_error == ERROR_ACCESS_DENIED             ? "an administrator may"
                       : os_error == ERROR_SERVICE_DOES_NOT_EXIST  ? "no such service"
                       : os_error == ERROR_SERVICE_EXISTS          ? "it is installed already"
                       : os_error == ERROR_DUPLICATE_SERVICE_NAME  ? "its shown name is taken"
                       : os_error == ERROR_SERVICE_ALREADY_RUNNING ? "it is running already"
                       : os_error == ERROR_SERVICE_NOT_ACTIVE      ? "it is not running"
                                                                   : "the system refused";
    char text[400];
    (void)snprintf(text, sizeof(text), "service %.100s: %.100s: %s (Windows error %lu)",
                   m->options->service_name, step, hint, (unsigned long)os_error);
    complaint_write(text);
    return SLUICED_EXIT_SERVICE;
}

/* Of a place that is not what it should be. */
static sluiced_exit refuse_place(const manager *m, const config_error *error, const char *advice) {
    char text[690];
    (void)snprintf(text, sizeof(text), "service %.64s: %.450s: %.150s", m->options->service_name,
                   error->text, advice);
    complaint_write(text);
    return SLUICED_EXIT_SERVICE;
}

static sluiced_exit open_service(manager *m, DWORD access) {
    m->os_service = OpenServiceW(m->os_manager, m->name, access);
    return m->os_service != NULL ? SLUICED_EXIT_OK : refuse(m, "cannot be opened", GetLastError());
}

/* ---- install ---- */

typedef struct command_line {
    char text[COMMAND_BYTES];
    size_t length;
    bool is_bad;
} command_line;

static void put(command_line *line, const char *bytes, size_t count) {
    if (line->length + count >= sizeof(line->text)) {
        line->is_bad = true;
        return;
    }
    memcpy(line->text + line->length, bytes, count);
    line->length += count;
    line->text[line->length] = '\0';
}

/* One word in quotes, as CommandLineToArgvW takes it apart: backslashes count only before a quote,
 * and a quote of its own is refused, since no name or path can have one. */
static void put_word(command_line *line, const char *word) {
    line->is_bad = line->is_bad || strchr(word, '"') != NULL;
    size_t length = strlen(word);
    size_t slashes = 0;
    while (slashes < length && word[length - 1 - slashes] == '\\') {
        slashes++;
    }
    put(line, line->length == 0 ? "\"" : " \"", line->length == 0 ? 1 : 2);
    put(line, word, length);
    put(line, word + length - slashes, slashes);
    put(line, "\"", 1);
}

/* Absolute: the service starts in another directory. NULL: our own. Its length, or 0. */
static DWORD wide_full_path(const char *path, WCHAR ret_path[PLACE_CHARS]) {
    WCHAR given[PLACE_CHARS];
    DWORD length = 0;
    if (path == NULL) {
        length = GetModuleFileNameW(NULL, ret_path, PLACE_CHARS);
    } else if (MultiByteToWideChar(CP_UTF8, 0, path, -1, given, PLACE_CHARS) > 0) {
        length = GetFullPathNameW(given, PLACE_CHARS, ret_path, NULL);
    }
    return length < PLACE_CHARS ? length : 0;
}

/* The same in UTF-8. If it cannot be told, an empty text. */
static bool full_path(const char *path, char *ret_path, int size) {
    WCHAR full[PLACE_CHARS];
    ret_path[0] = '\0';
    return wide_full_path(path, full) > 0 &&
           WideCharToMultiByte(CP_UTF8, 0, full, -1, ret_path, size, NULL, NULL) > 0;
}

static void put_assignment(command_line *line, const sluiced_assignment *a) {
    char value[PATH_BYTES];
    if (strcmp(a->option, "--log-file") == 0) {
        line->is_bad = line->is_bad || !full_path(a->value, value, sizeof(value));
    } else {
        bool is_limit = strcmp(a->option, "--limit") == 0;
        int length = snprintf(value, sizeof(value), "%s%s%s", is_limit ? a->name : "",
                              is_limit ? "=" : "", a->value);
        line->is_bad = line->is_bad || length < 0 || length >= (int)sizeof(value);
    }
    put_word(line, a->option);
    put_word(line, value);
}

/* log_file: where the log goes if nothing else says it; "" = it is said. */
static bool make_command(const sluiced_options *o, const char *log_file,
                         WCHAR ret_command[COMMAND_BYTES]) {
    static command_line line;
    char path[PATH_BYTES];
    line.is_bad = !full_path(NULL, path, sizeof(path));
    put_word(&line, path);
    put_word(&line, "service");
    put_word(&line, "run");
    put_word(&line, "--name");
    put_word(&line, o->service_name);
    if (o->config_path != NULL) {
        line.is_bad = line.is_bad || !full_path(o->config_path, path, sizeof(path));
        put_word(&line, "--config");
        put_word(&line, path);
    }
    for (unsigned i = 0; i < o->assignment_count; i++) {
        put_assignment(&line, &o->assignments[i]);
    }
    if (log_file[0] != '\0') {
        put_word(&line, "--log-file");
        put_word(&line, log_file);
    }
    return !line.is_bad &&
           MultiByteToWideChar(CP_UTF8, 0, line.text, -1, ret_command, COMMAND_BYTES) > 0;
}

/* Sets one piece of the service's configuration; false on Windows' refusal. */
static bool change(const manager *m, DWORD level, void *value, const char *name) {
    if (ChangeServiceConfig2W(m->os_service, level, value)) {
        return true;
    }
    DWORD os_error = GetLastError();
    if (sl_wine_is_here()) {
        char text[200];
        (void)snprintf(text, sizeof(text), "skipped, Wine does not implement it: %s (error %lu)",
                       name, (unsigned long)os_error);
        say(m->options->service_name, text);
        return true;
    }
    (void)refuse(m, name, os_error);
    return false;
}

static bool configure(const manager *m, const sluiced_config *config) {
    WCHAR text[] = L"Owns pipes and sockets on behalf of other programs, so that none of their "
                   L"calls hangs.";
    SERVICE_DESCRIPTIONW description = {.lpDescription = text};
    SC_ACTION restarts[] = {
        {SC_ACTION_RESTART, 1000}, {SC_ACTION_RESTART, 5000}, {SC_ACTION_RESTART, 30000}};
    SERVICE_FAILURE_ACTIONSW failure = {
        .dwResetPeriod = 86400, .cActions = 3, .lpsaActions = restarts};
    SERVICE_FAILURE_ACTIONS_FLAG flag = {.fFailureActionsOnNonCrashFailures = TRUE};
    uint64_t drain_ns = control_drain_limit_ns(&config->limits);
    SERVICE_PRESHUTDOWN_INFO preshutdown = {
        .dwPreshutdownTimeout = (DWORD)(drain_ns / SL_NS_PER_MS) + SERVICE_EXTRA_MS};
    SERVICE_SID_INFO sid = {.dwServiceSidType = SERVICE_SID_TYPE_UNRESTRICTED};
    WCHAR privileges_text[] = L"SeChangeNotifyPrivilege\0";
    SERVICE_REQUIRED_PRIVILEGES_INFOW privileges = {.pmszRequiredPrivileges = privileges_text};
    return change(m, SERVICE_CONFIG_DESCRIPTION, &description, "description") &&
           change(m, SERVICE_CONFIG_FAILURE_ACTIONS, &failure, "failure actions") &&
           change(m, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, &flag, "failure actions flag") &&
           change(m, SERVICE_CONFIG_PRESHUTDOWN_INFO, &preshutdown, "preshutdown timeout") &&
           change(m, SERVICE_CONFIG_SERVICE_SID_INFO, &sid, "service SID") &&
           change(m, SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, &privileges, "required privileges");
}

/* Who can change the program or its configuration is the service. */
static sluiced_exit check_origin(const manager *m) {
    const char *const files[] = {NULL, m->options->config_path};
    unsigned count = files[1] != NULL ? 2 : 1;
    for (unsigned i = 0; i < count; i++) {
        WCHAR path[PLACE_CHARS];
        config_error error;
        if (wide_full_path(files[i], path) == 0) {
            return refuse(m, "find the program and its configuration", GetLastError());
        }
        if (place_check_file(path, &error) != SLUICE_OK) {
            return refuse_place(m, &error,
                                "install it where only administrators can change anything, "
                                "%ProgramFiles%\\Sluice, or say --from-here");
        }
    }
    return SLUICED_EXIT_OK;
}

/* Once the service is there, whose account it is for: makes the default log's folders, or checks
 * the place that somebody chose (`is_given`). */
static sluiced_exit make_log(const manager *m, const WCHAR *path, bool is_given) {
    place_account account;
    config_error error;
    bool has_accounts = !sl_wine_is_here();
    int status = has_accounts ? place_find_account(m->name, &account, &error) : SLUICE_OK;
    if (!has_accounts) {
        say(m->options->service_name, "skipped, Wine does not implement it: the log's protection");
    }
    if (status == SLUICE_OK) {
        status = (is_given ? place_check_log : place_make_log)(path, has_accounts ? &account : NULL,
                                                               &error);
    }
    return status == SLUICE_OK
               ? SLUICED_EXIT_OK
               : refuse_place(m, &error,
                              is_given ? "the log wants a folder that is there, and that only "
                                         "administrators and the service can change"
                                       : "somebody else was there first: move it away");
}

/* What administrators see in the list of services. The manager has each such name once, as it has
 * the names themselves: a second broker of this machine tells its own.
 * Source: CreateServiceW, lpDisplayName; ERROR_DUPLICATE_SERVICE_NAME. */
static void display_name(const manager *m, WCHAR ret_name[DISPLAY_CHARS]) {
    wcscpy(ret_name, L"Sluice I/O broker");
    if (_wcsicmp(m->name, DEFAULT_NAME) != 0) {
        wcscat(ret_name, L" (");
        wcscat(ret_name, m->name);
        wcscat(ret_name, L")");
    }
}

/* Returns what the system said; m->os_service is NULL then. */
static DWORD create_service(manager *m, const WCHAR *command) {
    WCHAR display[DISPLAY_CHARS];
    WCHAR account[CONFIG_NAME_BYTES + 16] = L"NT SERVICE\\";
    wcscat(account, m->name);
    display_name(m, display);
    const DWORD access = SERVICE_CHANGE_CONFIG | SERVICE_START | DELETE; /* start: for restarts */
    m->os_service = CreateServiceW(m->os_manager, m->name, display, access,
                                   SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START,
                                   SERVICE_ERROR_NORMAL, command, NULL, NULL, NULL, account, NULL);
    DWORD os_error = GetLastError();
    if (m->os_service == NULL && os_error != ERROR_SERVICE_EXISTS && sl_wine_is_here()) {
        say(m->options->service_name, "skipped, Wine does not implement it: virtual account");
        m->os_service = CreateServiceW(m->os_manager, m->name, display, access,
                                       SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START,
                                       SERVICE_ERROR_NORMAL, command, NULL, NULL, NULL, NULL, NULL);
        os_error = GetLastError();
    }
    return os_error;
}

/* What comes before the service is there. ret_log: where its log goes, in any case. */
static sluiced_exit prepare(const manager *m, const sluiced_config *config,
                            WCHAR ret_log[PLACE_CHARS]) {
    static startup_allowed allowed;
    config_error error;
    bool is_given = config->log_file[0] != '\0';
    sluiced_exit code = run_find_allowed(m->options, config, &allowed);
    if (code != SLUICED_EXIT_OK) {
        return code;
    }
    if (is_given && wide_full_path(config->log_file, ret_log) == 0) {
        return refuse(m, "find the log file", GetLastError());
    }
    if (!is_given && place_log_path(m->name, ret_log, &error) != SLUICE_OK) {
        return refuse_place(m, &error, "give --log-file");
    }
    if (m->options->from_here != NULL) {
        return SLUICED_EXIT_OK;
    }
    if (sl_wine_is_here()) {
        say(m->options->service_name,
            "skipped, Wine does not implement it: who can change the program");
        return SLUICED_EXIT_OK;
    }
    return check_origin(m);
}

static sluiced_exit install(manager *m) {
    static sluiced_config config;
    static WCHAR command[COMMAND_BYTES];
    WCHAR log[PLACE_CHARS];
    char log_file[PATH_BYTES] = "";
    sluiced_exit code = run_load_config(m->options, &config);
    if (code == SLUICED_EXIT_OK) {
        code = prepare(m, &config, log);
    }
    if (code != SLUICED_EXIT_OK) {
        return code;
    }
    bool is_given = config.log_file[0] != '\0';
    if ((!is_given &&
         WideCharToMultiByte(CP_UTF8, 0, log, -1, log_file, PATH_BYTES, NULL, NULL) <= 0) ||
        !make_command(m->options, log_file, command)) {
        complaint_write(
            "service install: a path that Windows does not know, a value that cannot be "
            "quoted, or too many of them");
        return SLUICED_EXIT_USAGE;
    }
    DWORD os_error = create_service(m, command);
    if (m->os_service == NULL) {
        return refuse(m, "install", os_error);
    }
    code = configure(m, &config) ? SLUICED_EXIT_OK : SLUICED_EXIT_SERVICE;
    if (code == SLUICED_EXIT_OK) {
        code = make_log(m, log, is_given);
    }
    if (code != SLUICED_EXIT_OK) {
        (void)DeleteService(m->os_service);
        return code;
    }
    say(m->options->service_name,
        sl_wine_is_here() ? "installed (Wine runs it as this user)" : "installed");
    return SLUICED_EXIT_OK;
}

/* ---- start, stop, status, uninstall ---- */

static bool query(const manager *m, SERVICE_STATUS_PROCESS *ret_status) {
    DWORD needed;
    return QueryServiceStatusEx(m->os_service, SC_STATUS_PROCESS_INFO, (LPBYTE)ret_status,
                                sizeof(*ret_status), &needed);
}

/* Looks until the state is another than `pending`: the manager has no call that waits for it
 * (NotifyServiceStatusChange completes by APC). */
static bool wait_while(const manager *m, DWORD pending, uint64_t limit_ns,
                       SERVICE_STATUS_PROCESS *ret_status) {
    sl_event never;
    if (sl_event_init(&never) != SLUICE_OK) {
        return false;
    }
    sl_clock *clock = sl_clock_system();
    uint64_t deadline_ns = sl_clock_after_ns(sl_clock_now_ns(clock), limit_ns);
    bool is_known = query(m, ret_status);
    while (is_known && ret_status->dwCurrentState == pending &&
           sl_clock_now_ns(clock) < deadline_ns) {
        (void)sl_event_wait_until(&never, sl_clock_now_ns(clock) + LOOK_NS);
        is_known = query(m, ret_status);
    }
    sl_event_deinit(&never);
    return is_known;
}

static sluiced_exit start(manager *m) {
    sluiced_exit code = open_service(m, SERVICE_START | SERVICE_QUERY_STATUS);
    if (code != SLUICED_EXIT_OK) {
        return code;
    }
    SERVICE_STATUS_PROCESS status;
    if (!StartServiceW(m->os_service, 0, NULL) ||
        !wait_while(m, SERVICE_START_PENDING, START_NS, &status)) {
        return refuse(m, "start", GetLastError());
    }
    if (status.dwCurrentState != SERVICE_RUNNING) {
        char text[200];
        (void)snprintf(text, sizeof(text), "service %.80s did not start (exit code %lu)",
                       m->options->service_name, (unsigned long)status.dwServiceSpecificExitCode);
        complaint_write(text);
        return SLUICED_EXIT_SERVICE;
    }
    say(m->options->service_name, "running");
    return SLUICED_EXIT_OK;
}

/* As long as the manager says that it is alive, and not for ever: the limits' maximum. */
#define STOP_NS (1300 * SL_NS_PER_S)

static sluiced_exit stop(manager *m) {
    SERVICE_STATUS ignored;
    SERVICE_STATUS_PROCESS status;
    if (!ControlService(m->os_service, SERVICE_CONTROL_STOP, &ignored) ||
        !wait_while(m, SERVICE_STOP_PENDING, STOP_NS, &status)) {
        return refuse(m, "stop", GetLastError());
    }
    if (status.dwCurrentState != SERVICE_STOPPED) {
        complaint_write("the service has not stopped");
        return SLUICED_EXIT_SERVICE;
    }
    if (status.dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR &&
        status.dwServiceSpecificExitCode == (DWORD)SLUICED_EXIT_STUCK) {
        say(m->options->service_name, "stopped, with operations stuck in the system");
        return SLUICED_EXIT_STUCK;
    }
    say(m->options->service_name, "stopped");
    return SLUICED_EXIT_OK;
}

static sluiced_exit status_of(manager *m) {
    static const char *const states[] = {"unknown", "stopped",    "starting", "stopping",
                                         "running", "continuing", "pausing",  "paused"};
    SERVICE_STATUS_PROCESS status;
    if (!query(m, &status)) {
        return refuse(m, "status", GetLastError());
    }
    DWORD state = status.dwCurrentState < SL_ARRAY_COUNT(states) ? status.dwCurrentState : 0;
    DWORD exit_code = status.dwWin32ExitCode == ERROR_SERVICE_SPECIFIC_ERROR
                          ? status.dwServiceSpecificExitCode
                          : status.dwWin32ExitCode;
    char text[200];
    (void)snprintf(text, sizeof(text), "%s, process %lu, last exit code %lu", states[state],
                   (unsigned long)status.dwProcessId, (unsigned long)exit_code);
    say(m->options->service_name, text);
    return SLUICED_EXIT_OK;
}

static sluiced_exit uninstall(manager *m) {
    SERVICE_STATUS_PROCESS status; /* one that is starting takes no stop: what runs would be left */
    if (wait_while(m, SERVICE_START_PENDING, START_NS, &status) &&
        status.dwCurrentState == SERVICE_RUNNING) {
        (void)stop(m);
    }
    if (!DeleteService(m->os_service)) {
        return refuse(m, "uninstall", GetLastError());
    }
    if (query(m, &status) && status.dwCurrentState != SERVICE_STOPPED) {
        say(m->options->service_name, "uninstalled; its process still runs, and it goes with that");
        return SLUICED_EXIT_OK;
    }
    say(m->options->service_name, "uninstalled");
    return SLUICED_EXIT_OK;
}

static sluiced_exit do_command(manager *m) {
    const DWORD stop_access = SERVICE_STOP | SERVICE_QUERY_STATUS;
    sluiced_exit code;
    switch (m->options->command) {
    case OPTIONS_SERVICE_INSTALL: return install(m);
    case OPTIONS_SERVICE_START: return start(m);
    case OPTIONS_SERVICE_STOP:
        code = open_service(m, stop_access);
        return code == SLUICED_EXIT_OK ? stop(m) : code;
    case OPTIONS_SERVICE_STATUS:
        code = open_service(m, SERVICE_QUERY_STATUS);
        return code == SLUICED_EXIT_OK ? status_of(m) : code;
    default:
        code = open_service(m, stop_access | DELETE);
        return code == SLUICED_EXIT_OK ? uninstall(m) : code;
    }
}

sluiced_exit service_manage(const sluiced_options *options) {
    manager m = {.options = options};
    if (MultiByteToWideChar(CP_UTF8, 0, options->service_name, -1, m.name, CONFIG_NAME_BYTES) <=
        0) {
        return refuse(&m, "name", GetLastError());
    }
    DWORD access = options->command == OPTIONS_SERVICE_INSTALL ? SC_MANAGER_CREATE_SERVICE : 0;
    m.os_manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT | access);
    if (m.os_manager == NULL) {
        return refuse(&m, "open the service manager", GetLastError());
    }
    sluiced_exit code = do_command(&m);
    if (m.os_service != NULL) {
        (void)CloseServiceHandle(m.os_service);
    }
    (void)CloseServiceHandle(m.os_manager);
    return code;
}
