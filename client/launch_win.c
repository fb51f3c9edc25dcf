/*
 * launch_win.c - see launch.h. The child is created suspended, put into a job that is killed when
 * its last handle is closed, and resumed. The job's handle is ours alone and not inheritable: when
 * this process ends in whatever way, the system closes it.
 *
 * It inherits two handles and no other: NUL, and its standard error. It has no console of the
 * program's, so no Ctrl-C and no closed window reaches it, and the system's folder as its own, so
 * that it keeps none of the program's busy. CreateProcessW may block without limit (a virus
 * scanner): the launch thread can be spared.
 */
#include "client/launch.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <windows.h>

#include "base/clock.h"
#include "base/status.h"
#include "client/include/sluice/sluice.h"

#define PATH_CHARS 2048

static int status_of(DWORD error) {
    switch (error) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_NETPATH: return SLUICE_ENOTFOUND;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_WRITE_PROTECT:
    case ERROR_BAD_EXE_FORMAT: return SLUICE_EACCESS;
    case ERROR_FILENAME_EXCED_RANGE: return SLUICE_ENAMETOOLONG;
    case ERROR_TOO_MANY_OPEN_FILES:
    case ERROR_DISK_FULL: return SLUICE_EOSLIMIT;
    case ERROR_NOT_ENOUGH_MEMORY: return SLUICE_ENOMEM;
    default: return SLUICE_EOS;
    }
}

bool client_launch_is_absolute(const char *path) {
    bool has_drive = path[0] != '\0' && path[1] == ':' && (path[2] == '\\' || path[2] == '/');
    return has_drive || (path[0] == '\\' && path[1] == '\\');
}

/* sluiced.exe in the directory of a module. */
static bool try_beside(HMODULE module, const wchar_t *name, char *ret_path, size_t size,
                       sl_text *tried) {
    wchar_t path[PATH_CHARS];
    DWORD length = GetModuleFileNameW(module, path, PATH_CHARS);
    wchar_t *slash = length == 0 || length >= PATH_CHARS ? NULL : wcsrchr(path, L'\\');
    if (slash == NULL || (size_t)(slash - path) + wcslen(name) + 2 > PATH_CHARS) {
        return false;
    }
    wcscpy(slash + 1, name);
    if (WideCharToMultiByte(CP_UTF8, 0, path, -1, ret_path, (int)size, NULL, NULL) == 0) {
        return false;
    }
    size_t bytes = strlen(ret_path); /* the library and the program may be in one folder */
    if (tried->length != bytes || memcmp(tried->bytes, ret_path, bytes) != 0) {
        sl_text_append(tried, tried->length > 0 ? ", " : "");
        sl_text_append(tried, ret_path);
    }
    return GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES;
}

/* Nothing is passed over: who can lay a sluiced there can lay a DLL there. */
int client_launch_find(char *ret_path, size_t size, sl_text *tried, sl_text *passed_over) {
    (void)passed_over;
    static const wchar_t name[] = L"sluiced.exe";
    HMODULE library = NULL; /* the program itself when the library is a part of it */
    (void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                 GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                             (LPCWSTR)(const void *)name, &library);
    return try_beside(library, name, ret_path, size, tried) ||
                   try_beside(NULL, name, ret_path, size, tried)
               ? SLUICE_OK
               : SLUICE_ENOTFOUND;
}

static HANDLE create_job(DWORD *ret_error) {
    HANDLE job = CreateJobObjectW(NULL, NULL);
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (job != NULL &&
        SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof(limits))) {
        return job;
    }
    *ret_error = GetLastError();
    if (job != NULL) {
        (void)CloseHandle(job);
    }
    return NULL;
}

/* Neither a path nor our endpoint has a quote or ends with a backslash. */
static bool command_line(const client_launch *launch, const client_launch_options *options,
                         wchar_t *ret_path, wchar_t *ret_line) {
    static const char *const levels[] = {"warn", "error", "warn", "info", "debug"};
    char line[PATH_CHARS];
    int length =
        snprintf(line, sizeof(line), "\"%s\" run --endpoint %s --private-for %lu --log-level %s",
                 options->path, launch->place.endpoint, (unsigned long)GetCurrentProcessId(),
                 levels[options->log_level]);
    return length > 0 && (size_t)length < sizeof(line) && strchr(options->path, '"') == NULL &&
           MultiByteToWideChar(CP_UTF8, 0, line, -1, ret_line, PATH_CHARS) != 0 &&
           MultiByteToWideChar(CP_UTF8, 0, options->path, -1, ret_path, PATH_CHARS) != 0;
}

/* ---- what it inherits ------------------------------------------------------------------------ */

enum { NULL_DEVICE, LOG, INHERITED };

typedef struct inheritance {
    HANDLE handles[INHERITED];
    LPPROC_THREAD_ATTRIBUTE_LIST list;
    uint64_t list_bytes[32]; /* one attribute takes 48 bytes [Windows 10, 64 bit]; checked */
} inheritance;

static HANDLE open_inheritable(const wchar_t *path, DWORD access, DWORD disposition) {
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof(inherit), .bInheritHandle = TRUE};
    return CreateFileW(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                       &inherit, disposition, SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
                       NULL);
}

/* The log's handle, or INVALID_HANDLE_VALUE. Only appended to, as `sluiced --log-file` does. */
static HANDLE open_log(const client_launch_options *options) {
    wchar_t path[PATH_CHARS];
    HANDLE copy = INVALID_HANDLE_VALUE;
    if (options->log_path[0] != '\0') {
        if (MultiByteToWideChar(CP_UTF8, 0, options->log_path, -1, path, PATH_CHARS) == 0) {
            SetLastError(ERROR_FILENAME_EXCED_RANGE);
            return INVALID_HANDLE_VALUE;
        }
        return open_inheritable(path, FILE_APPEND_DATA | SYNCHRONIZE, OPEN_ALWAYS);
    }
    if (options->log == CLIENT_LOG_NOWHERE) {
        return open_inheritable(L"NUL", GENERIC_READ | GENERIC_WRITE, OPEN_EXISTING);
    }
    if (!DuplicateHandle(GetCurrentProcess(), (HANDLE)(uintptr_t)options->log, GetCurrentProcess(),
                         &copy, 0, TRUE, DUPLICATE_SAME_ACCESS)) {
        return INVALID_HANDLE_VALUE;
    }
    return copy;
}

static void drop_inheritance(inheritance *what) {
    if (what->list != NULL) {
        DeleteProcThreadAttributeList(what->list);
    }
    for (unsigned i = 0; i < INHERITED; i++) {
        if (what->handles[i] != INVALID_HANDLE_VALUE) {
            (void)CloseHandle(what->handles[i]);
        }
    }
}

/* 0, or the error. */
static DWORD make_inheritance(inheritance *ret, const client_launch_options *options,
                              client_launch_step *ret_step) {
    SIZE_T size = sizeof(ret->list_bytes);
    ret->list = NULL;
    ret->handles[LOG] = INVALID_HANDLE_VALUE;
    ret->handles[NULL_DEVICE] =
        open_inheritable(L"NUL", GENERIC_READ | GENERIC_WRITE, OPEN_EXISTING);
    if (ret->handles[NULL_DEVICE] != INVALID_HANDLE_VALUE) {
        ret->handles[LOG] = open_log(options);
    }
    *ret_step = ret->handles[NULL_DEVICE] == INVALID_HANDLE_VALUE ? CLIENT_LAUNCH_NULL_DEVICE
                : ret->handles[LOG] == INVALID_HANDLE_VALUE       ? CLIENT_LAUNCH_LOG
                                                                  : CLIENT_LAUNCH_PROGRAM;
    DWORD error = ret->handles[LOG] == INVALID_HANDLE_VALUE ? GetLastError() : 0;
    if (error == 0) {
        LPPROC_THREAD_ATTRIBUTE_LIST list = (LPPROC_THREAD_ATTRIBUTE_LIST)(void *)ret->list_bytes;
        if (InitializeProcThreadAttributeList(list, 1, 0, &size)) {
            ret->list = list;
        }
        if (ret->list == NULL ||
            !UpdateProcThreadAttribute(list, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, ret->handles,
                                       sizeof(ret->handles), NULL, NULL)) {
            error = GetLastError();
        }
    }
    if (error != 0) {
        drop_inheritance(ret);
    }
    return error;
}

/* ---- its start ------------------------------------------------------------------------------- */

/* Suspended. 0, or the error. */
static DWORD create_process(const wchar_t *path, wchar_t *line, const inheritance *inherited,
                            PROCESS_INFORMATION *ret_process) {
    wchar_t folder[MAX_PATH];
    UINT length = GetSystemDirectoryW(folder, MAX_PATH);
    if (length == 0 || length >= MAX_PATH) {
        return length == 0 ? GetLastError() : ERROR_FILENAME_EXCED_RANGE;
    }
    STARTUPINFOEXW startup = {.StartupInfo = {.cb = sizeof(startup)}};
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdInput = inherited->handles[NULL_DEVICE];
    startup.StartupInfo.hStdOutput = inherited->handles[NULL_DEVICE];
    startup.StartupInfo.hStdError = inherited->handles[LOG];
    startup.lpAttributeList = inherited->list;
    BOOL is_made =
        CreateProcessW(path, line, NULL, NULL, TRUE,
                       CREATE_SUSPENDED | CREATE_NO_WINDOW | EXTENDED_STARTUPINFO_PRESENT, NULL,
                       folder, &startup.StartupInfo, ret_process);
    return is_made ? 0 : GetLastError();
}

static bool is_folder(const wchar_t *path) {
    DWORD attributes = GetFileAttributesW(path);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

/* 0, or the error. */
static DWORD start_in_job(HANDLE job, const PROCESS_INFORMATION *process) {
    DWORD error = 0;
    if (!AssignProcessToJobObject(job, process->hProcess) ||
        ResumeThread(process->hThread) == (DWORD)-1) {
        error = GetLastError();
        (void)TerminateProcess(process->hProcess, 1);
    }
    (void)CloseHandle(process->hThread);
    if (error != 0) {
        (void)CloseHandle(process->hProcess);
    }
    return error;
}

void client_launch_init(client_launch *launch) {
    memset(launch, 0, sizeof(*launch));
    atomic_init(&launch->at, CLIENT_LAUNCH_NOWHERE);
    atomic_init(&launch->os_starting, 0);
}

int client_launch_start(client_launch *launch, const client_launch_options *options,
                        client_launch_step *ret_step, uint32_t *ret_os_error) {
    wchar_t line[PATH_CHARS];
    wchar_t wide[PATH_CHARS];
    inheritance inherited;
    PROCESS_INFORMATION process;
    *ret_step = CLIENT_LAUNCH_PROGRAM;
    if (!command_line(launch, options, wide, line)) {
        *ret_os_error = ERROR_FILENAME_EXCED_RANGE;
        return SLUICE_ENAMETOOLONG;
    }
    DWORD error = 0;
    HANDLE job = create_job(&error);
    if (job != NULL) {
        atomic_store(&launch->at, CLIENT_LAUNCH_LOG);
        error = make_inheritance(&inherited, options, ret_step);
        if (error == 0) {
            atomic_store(&launch->at, CLIENT_LAUNCH_PROGRAM);
            error = create_process(wide, line, &inherited, &process);
            drop_inheritance(&inherited);
            if (error != 0 && is_folder(wide)) { /* the system's errors for that say less */
                *ret_step = CLIENT_LAUNCH_FOLDER;
            }
        }
        if (error == 0) {
            error = start_in_job(job, &process);
        }
        if (error != 0) {
            (void)CloseHandle(job);
        }
    }
    if (error != 0) {
        *ret_os_error = error;
        return status_of(error);
    }
    launch->process_id = process.dwProcessId;
    launch->os_process = (uint64_t)(uintptr_t)process.hProcess;
    launch->os_life = (uint64_t)(uintptr_t)job;
    return SLUICE_OK;
}

void client_launch_words(uint32_t os_error, char *ret_words, size_t size) {
    static const struct {
        DWORD error;
        const char *words;
    } known[] = {
        {ERROR_FILE_NOT_FOUND, "there is no such file"},
        {ERROR_PATH_NOT_FOUND, "there is no such folder"},
        {ERROR_INVALID_NAME, "no path can be like that"},
        {ERROR_ACCESS_DENIED, "no permission, or a folder"},
        {ERROR_SHARING_VIOLATION, "another program has it for itself"},
        {ERROR_FILENAME_EXCED_RANGE, "too long"},
        {ERROR_BAD_EXE_FORMAT, "no program for this machine"},
    };
    const char *words = "the system refused";
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        words = known[i].error == os_error ? known[i].words : words;
    }
    (void)snprintf(ret_words, size, "%s (Windows error %lu)", words, (unsigned long)os_error);
}

/* CreateProcessW cannot be interrupted: it comes back, and the job ends what it has made. */
void client_launch_interrupt(client_launch *launch) {
    (void)launch;
}

/* ---- its end --------------------------------------------------------------------------------- */

bool client_launch_has_ended(const client_launch *launch) {
    HANDLE process = (HANDLE)(uintptr_t)launch->os_process;
    return launch->process_id == 0 || WaitForSingleObject(process, 0) != WAIT_TIMEOUT;
}

/* Nobody uses it any more, and it keeps nothing: the job ends it. */
void client_launch_let_go(client_launch *launch) {
    if (launch->os_life != 0) {
        (void)CloseHandle((HANDLE)(uintptr_t)launch->os_life);
        launch->os_life = 0;
    }
}

/* There is nothing to be polite with: the job has killed it already. */
bool client_launch_end(client_launch *launch, uint64_t polite_ns, uint64_t deadline_ns) {
    (void)polite_ns;
    if (launch->process_id == 0) {
        return true;
    }
    client_launch_let_go(launch);
    uint64_t now_ns = sl_clock_now_ns(sl_clock_system());
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / SL_NS_PER_MS : 0;
    return WaitForSingleObject((HANDLE)(uintptr_t)launch->os_process,
                               left_ms < INFINITE ? (DWORD)left_ms : INFINITE) != WAIT_TIMEOUT;
}

void client_launch_exit_words(const client_launch *launch, char *ret_words, size_t size) {
    DWORD code = 0;
    bool is_known = launch->process_id != 0 &&
                    GetExitCodeProcess((HANDLE)(uintptr_t)launch->os_process, &code) != 0;
    const char *why = "; its log says why, if it is a sluiced: ";
    if (is_known) {
        (void)snprintf(ret_words, size, ", with exit code %ld%s", (long)code, why);
    } else {
        (void)snprintf(ret_words, size, "%s", why);
    }
}

void client_launch_leave(client_launch *launch) {
    client_launch_let_go(launch);
    if (launch->process_id != 0) {
        (void)CloseHandle((HANDLE)(uintptr_t)launch->os_process);
    }
    client_place_leave(&launch->place);
    client_launch_init(launch);
}

/* ---- the program ----------------------------------------------------------------------------- */

/* A copy that may do only that, of a handle that may not, is refused [docs: DuplicateHandle, of a
 * file that was opened to be read]. Nothing is asked of the file, so nothing waits. */
static bool can_be_copied_with(HANDLE handle, DWORD access) {
    HANDLE copy;
    bool can =
        DuplicateHandle(GetCurrentProcess(), handle, GetCurrentProcess(), &copy, access, FALSE, 0);
    if (can) {
        (void)CloseHandle(copy);
    }
    return can;
}

int client_launch_log_check(uint64_t log, const char **ret_wrong) {
    HANDLE handle = (HANDLE)(uintptr_t)log;
    if (can_be_copied_with(handle, FILE_APPEND_DATA) ||
        can_be_copied_with(handle, FILE_WRITE_DATA)) {
        return SLUICE_OK;
    }
    *ret_wrong = GetLastError() == ERROR_INVALID_HANDLE
                     ? "private_log_handle: is not open"
                     : "private_log_handle: cannot be written to";
    return SLUICE_EINVAL;
}

uint64_t client_launch_standard_error(void) {
    const char *wrong;
    HANDLE handle = GetStdHandle(STD_ERROR_HANDLE);
    uint64_t log = (uint64_t)(uintptr_t)handle;
    return handle != NULL && handle != INVALID_HANDLE_VALUE &&
                   client_launch_log_check(log, &wrong) == SLUICE_OK
               ? log
               : CLIENT_LOG_NOWHERE;
}

int client_launch_log_copy(uint64_t log, uint64_t *ret_log) {
    HANDLE copy;
    *ret_log = CLIENT_LOG_NOWHERE;
    if (log == CLIENT_LOG_NOWHERE) {
        return SLUICE_OK;
    }
    if (!DuplicateHandle(GetCurrentProcess(), (HANDLE)(uintptr_t)log, GetCurrentProcess(), &copy, 0,
                         FALSE, DUPLICATE_SAME_ACCESS)) {
        return SLUICE_EOSLIMIT;
    }
    *ret_log = (uint64_t)(uintptr_t)copy;
    return SLUICE_OK;
}

void client_launch_log_close(uint64_t log) {
    if (log != CLIENT_LOG_NOWHERE) {
        (void)CloseHandle((HANDLE)(uintptr_t)log);
    }
}

uint64_t client_launch_own_id(void) {
    return GetCurrentProcessId();
}

void client_launch_own_name(char *ret_name, size_t size) {
    wchar_t path[PATH_CHARS];
    DWORD length = GetModuleFileNameW(NULL, path, PATH_CHARS);
    const wchar_t *slash = length == 0 || length >= PATH_CHARS ? NULL : wcsrchr(path, L'\\');
    if (slash == NULL ||
        WideCharToMultiByte(CP_UTF8, 0, slash + 1, -1, ret_name, (int)size, NULL, NULL) == 0) {
        (void)snprintf(ret_name, size, "program");
    }
}
